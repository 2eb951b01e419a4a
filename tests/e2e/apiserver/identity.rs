//! Identity of verified client certificates: what the server takes callers for, and that nobody is
//! taken for somebody else.

mod authorities;
mod certificates;
mod forged;
mod verdicts;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::pki::{Pki, user_with_uid};
use super::{Rig, TOKEN, bearer, connect, get, seen_values, username, whoami};
use crate::caller::{Speaks, block_on};
use crate::span_view::hex;

const REQUEST_HEADER: &str = "  identity:
    requestHeader:
      username: X-Remote-User
      uid: X-Remote-Uid
      group: X-Remote-Group
      extraPrefix: X-Remote-Extra-
      tls: {certFile: $PKI/front-proxy.crt, keyFile: $PKI/front-proxy.key}
";

const CREDENTIAL: &str = "authentication.kubernetes.io/credential-id";

fn certificate_of(seen: &Value) -> Option<&str> {
    seen["certificate"].as_str()
}

#[test]
fn a_verified_certificates_user_is_the_servers_user() {
    let rig = Rig::start(REQUEST_HEADER);
    let alice = rig
        .pki
        .clients
        .sign(user_with_uid("alice", &["dev", "ops"], "42"));
    let digest = hex(&Sha256::digest(&alice.der().0[0]));
    block_on(async {
        for speaks in Speaks::BOTH {
            let mut caller = rig.caller(Some(&alice), speaks).await;
            for _ in 0..3 {
                let seen = whoami(&mut caller, &[]).await;
                let expected = json!({
                    "username": "alice",
                    "uid": "42",
                    "groups": ["dev", "ops", "system:authenticated"],
                    "extra": {CREDENTIAL: [format!("X509SHA256={digest}")]},
                });
                assert_eq!(seen["user"], expected, "{speaks:?}");
                assert_eq!(certificate_of(&seen), Some(Pki::FRONT_PROXY));
            }
        }
    });
    // As the server itself would have read it.
    block_on(async {
        let mut direct = connect(&rig.pki, Some(&alice), rig.server.address(), Speaks::Http2).await;
        let mut proxied = rig.caller(Some(&alice), Speaks::Http2).await;
        let direct = whoami(&mut direct, &[]).await;
        assert_eq!(whoami(&mut proxied, &[]).await["user"], direct["user"]);
    });
}

#[test]
fn a_user_without_groups_or_uid_gains_none() {
    let rig = Rig::start(REQUEST_HEADER);
    let bare = rig.pki.user("bare", &[]);
    block_on(async {
        for speaks in Speaks::BOTH {
            let mut caller = rig.caller(Some(&bare), speaks).await;
            let seen = whoami(&mut caller, &[]).await;
            assert_eq!(username(&seen), "bare");
            assert_eq!(seen["user"]["groups"], json!(["system:authenticated"]));
            assert_eq!(seen["user"]["uid"], "");
            assert!(seen_values(&seen, "x-remote-group").is_empty());
        }
    });
}

/// The server asks authenticators in an order, in which x509 comes before tokens.
#[test]
fn beside_a_certificate_that_verifies_a_token_counts_nothing() {
    let rig = Rig::start(REQUEST_HEADER);
    let alice = rig.pki.user("alice", &["dev"]);
    let (bearer, coded) = (bearer(), URL_SAFE_NO_PAD.encode(TOKEN));
    let offered = format!("v5.channel.k8s.io, base64url.bearer.authorization.k8s.io.{coded}");
    block_on(async {
        for speaks in Speaks::BOTH {
            let mut caller = rig.caller(Some(&alice), speaks).await;
            for field in [
                ("authorization", bearer.as_str()),
                ("authorization", "Bearer wrong"),
                ("authorization", "Basic Zm9vOmJhcg=="),
                ("sec-websocket-protocol", offered.as_str()),
            ] {
                let seen = whoami(&mut caller, &[field]).await;
                assert_eq!(username(&seen), "alice", "{field:?}, {speaks:?}");
                assert_eq!(seen_values(&seen, field.0), [field.1], "it passes");
            }
        }
    });
}

#[test]
fn impersonation_is_by_the_verified_user_and_cannot_be_nominated_away() {
    let rig = Rig::start(REQUEST_HEADER);
    let admin = rig.pki.user("admin", &["system:masters"]);
    let alice = rig.pki.user("alice", &["dev"]);
    block_on(async {
        for speaks in Speaks::BOTH {
            let mut fields = vec![("impersonate-user", "bob")];
            if speaks == Speaks::Http1 {
                fields.push(("connection", "keep-alive, Impersonate-User"));
            }
            let mut caller = rig.caller(Some(&admin), speaks).await;
            let seen = whoami(&mut caller, &fields).await;
            assert_eq!(username(&seen), "admin");
            assert_eq!(seen["impersonatedUser"]["username"], "bob");
            let mut caller = rig.caller(Some(&alice), speaks).await;
            assert_eq!(get(&mut caller, "/whoami", &fields).await.status, 403);
        }
    });
}

#[test]
fn a_verified_caller_may_open_tunnels_by_its_groups() {
    let rig = Rig::start(REQUEST_HEADER);
    let asked = "POST /api/v1/namespaces/default/pods/p/exec?command=sh HTTP/1.1\r\n\
                 Host: kubernetes.example\r\nConnection: Upgrade\r\nUpgrade: SPDY/3.1\r\n\
                 X-Remote-Group: system:masters\r\n\
                 X-Stream-Protocol-Version: v4.channel.k8s.io\r\n\r\n";
    for (name, group, expected) in [
        ("alice", "dev", "HTTP/1.1 101 "),
        ("carol", "guests", "HTTP/1.1 403 "),
    ] {
        let certificate = rig.pki.user(name, &[group]);
        block_on(async {
            let mut caller = rig.stream(Some(&certificate), &[]).await;
            caller.write_all(asked.as_bytes()).await.expect("sent");
            let mut status = vec![0; expected.len()];
            caller.read_exact(&mut status).await.expect("an answer");
            assert_eq!(String::from_utf8_lossy(&status), expected, "{name}");
        });
    }
    for event in rig.server.audit() {
        assert_eq!(event.certificate.as_deref(), Some(Pki::FRONT_PROXY));
        assert_eq!(event.values("x-remote-group").len(), 1);
    }
}
