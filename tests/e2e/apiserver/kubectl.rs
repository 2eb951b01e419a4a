//! The real client, through the proxy.

use std::process::{Command, Stdio};

use super::pki::Pki;
use super::{Rig, TOKEN};
use crate::process::skipped;

/// Runs kubectl with these arguments; what it prints, if it is installed.
fn kubectl(rig: &Rig, token: Option<&str>, arguments: &[&str]) -> Option<String> {
    let mut command = Command::new("kubectl");
    command
        .env_clear()
        .env("HOME", rig.pki.directory.path())
        .env("PATH", std::env::var_os("PATH").unwrap_or_default())
        .arg("--kubeconfig=/dev/null")
        .arg(format!("--server=https://{}", rig.proxy.at(0)))
        .arg(format!(
            "--certificate-authority={}",
            rig.pki.path("serving-ca.pem")
        ))
        .arg(format!("--tls-server-name={}", Pki::NAME))
        .arg("--request-timeout=20s")
        .args(match token {
            Some(token) => vec![format!("--token={token}")],
            // Without any it asks for one; of a password the server thinks nothing.
            None => vec!["--username=nobody".to_owned(), "--password=none".to_owned()],
        })
        .args(arguments)
        .stdin(Stdio::null());
    let output = match command.output() {
        Ok(output) => output,
        Err(_) => {
            skipped("kubectl through the proxy: kubectl is not installed");
            return None;
        }
    };
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let (out, err) = (text(&output.stdout), text(&output.stderr));
    assert!(output.status.success(), "{arguments:?}: {out}{err}");
    Some(out)
}

#[test]
fn kubectl_is_known_by_its_token_and_otherwise_anonymous() {
    let rig = Rig::start("");
    let whoami = [
        "auth",
        "whoami",
        "-o",
        "jsonpath={.status.userInfo.username}",
    ];
    for (token, arguments, expected) in [
        (Some(TOKEN), &whoami[..], "developer"),
        (Some(TOKEN), &["get", "--raw", "/livez"], "ok"),
        (None, &["get", "--raw", "/readyz"], "ok"),
    ] {
        match kubectl(&rig, token, arguments) {
            Some(printed) => assert_eq!(printed, expected),
            None => return,
        }
    }
    // It asks for more, to learn whom it speaks with.
    let mut audit = rig.server.audit();
    audit.retain(|event| event.code < 400 && !event.target.starts_with("/version"));
    let users: Vec<_> = audit
        .iter()
        .filter_map(|event| event.user.as_ref())
        .collect();
    assert_eq!(users.len(), 3, "{audit:#?}");
    assert!(users[2].is_anonymous());
    for event in &audit {
        assert_eq!(event.version, http::Version::HTTP_2);
        assert_eq!(event.values("traceparent").len(), 1);
    }
}
