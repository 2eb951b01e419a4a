//! Claims of callers, and of certificates, that must not become somebody else.

use std::time::{Duration, SystemTime};

use http::{HeaderMap, Method};
use serde_json::{Value, json};

use super::super::pki::user;
use super::super::{DEVELOPER, Rig, bearer, get, seen_values, username, whoami};
use super::REQUEST_HEADER;
use crate::caller::{Caller, Speaks, block_on, trailed};
use crate::trust::until;

/// Every way to say whom one would like to be.
const FORGED: [(&str, &str); 12] = [
    ("x-remote-user", "forged"),
    ("x-remote-group", "forged"),
    ("x-remote-group", "system:masters-forged"),
    ("x-remote-uid", "forged"),
    ("x-remote-extra-scopes", "forged"),
    (
        "x-remote-extra-authentication.kubernetes.io%2fcredential-id",
        "forged",
    ),
    ("x_remote_user", "forged"),
    ("x-remote.user", "forged"),
    ("x.remote.group", "forged"),
    ("x_remote-uid", "forged"),
    ("x_remote_extra_scopes", "forged"),
    ("xremoteuser", "forged"),
];

#[test]
fn no_forged_identity_reaches_the_server_on_any_verdict() {
    let rig = Rig::start(REQUEST_HEADER);
    let alice = rig.pki.user("alice", &["dev"]);
    let expired = SystemTime::now() - Duration::from_secs(60);
    let expired = rig
        .pki
        .clients
        .sign(until(user("alice", &["dev"]), expired));
    let bearer = bearer();
    let token = ("authorization", bearer.as_str());
    for (certificate, fields, expected) in [
        (Some(&alice), &[][..], "alice"),
        (Some(&alice), &[token], "alice"),
        (Some(&expired), &[token], DEVELOPER),
        (None, &[token], DEVELOPER),
        (None, &[], "system:anonymous"),
    ] {
        block_on(async {
            for speaks in Speaks::BOTH {
                let mut caller = rig.caller(certificate, speaks).await;
                let nominated = (
                    "connection",
                    "keep-alive, X-Remote-User, X-Remote-Group, X-Remote-Uid, X-Remote-Extra-Authentication.kubernetes.io%2fcredential-id",
                );
                let mut fields = [fields, &FORGED].concat();
                if speaks == Speaks::Http1 {
                    fields.push(nominated);
                }
                let seen = whoami(&mut caller, &fields).await;
                assert_eq!(username(&seen), expected, "{speaks:?}");
                nothing_forged(&seen, certificate.is_some() && expected == "alice");

                let seen = with_trailers(&mut caller, &FORGED, &fields).await;
                assert_eq!(username(&seen), expected, "{speaks:?}, with trailers");
                nothing_forged(&seen, certificate.is_some() && expected == "alice");
            }
        });
    }
}

/// Upstreams may know other names; what they would believe ends here all the same.
#[test]
fn no_forged_identity_of_configured_names_reaches_the_server_in_trailers() {
    let identity = REQUEST_HEADER
        .replace("X-Remote-User", "X-Auth-User")
        .replace("X-Remote-Uid", "X-Auth-Id")
        .replace("X-Remote-Group", "X-Auth-Team")
        .replace("X-Remote-Extra-", "X-Auth-More-");
    let forged = [
        ("x-auth-user", "forged"),
        ("x_auth.user", "forged"),
        ("x-auth-id", "forged"),
        ("xauthteam", "forged"),
        ("x-auth-more-scopes", "forged"),
        ("x_auth_more_scopes", "forged"),
        ("x-remote-user", "forged"),
    ];
    let bearer = bearer();
    let fields = [&[("authorization", bearer.as_str())][..], &forged].concat();
    // By the engines, and by the relay of HTTP/1.
    for upstream in ["", "protocol: http1,"] {
        let rig = Rig::with_upstream(upstream, &identity);
        block_on(async {
            for speaks in Speaks::BOTH {
                let mut caller = rig.caller(None, speaks).await;
                let mut seen = with_trailers(&mut caller, &forged, &fields).await;
                assert_eq!(username(&seen), DEVELOPER, "{speaks:?}");
                // What announces them is a list of names.
                let fields = seen["headers"].as_array_mut().expect("fields");
                fields.retain(|field| field[0] != "trailer");
                assert!(!seen.to_string().contains("forged"), "{seen}");
            }
        });
    }
}

/// The fields of the identity are the proxy's own, once each, or absent.
fn nothing_forged(seen: &Value, verified: bool) {
    assert!(!seen.to_string().contains("forged"), "{seen}");
    let users = seen_values(seen, "x-remote-user");
    assert_eq!(users.len(), usize::from(verified), "{seen}");
    let fields = seen["headers"].as_array().expect("fields").iter();
    let folded = fields.map(|field| {
        field[0]
            .as_str()
            .expect("a name")
            .replace(['-', '_', '.'], "")
    });
    let remote = folded.filter(|name| name.starts_with("xremote")).count();
    // User, group and credential.
    assert_eq!(remote, if verified { 3 } else { 0 }, "{seen}");
}

/// The same names in the trailers of a body.
async fn with_trailers(
    caller: &mut Caller,
    forged: &[(&str, &str)],
    fields: &[(&str, &str)],
) -> Value {
    let mut trailers = HeaderMap::new();
    for (name, value) in forged {
        let name: http::HeaderName = name.parse().expect("a name");
        trailers.append(name, value.parse().expect("a value"));
    }
    trailers.append("x-checksum", "passes".parse().expect("a value"));
    let announced: Vec<&str> = forged.iter().map(|(name, _)| *name).collect();
    let announced = format!("x-checksum, {}", announced.join(", "));
    let mut request = caller
        .request(Method::POST, "/whoami")
        .header("te", "trailers")
        .header("trailer", announced);
    for (name, value) in fields {
        request = request.header(*name, *value);
    }
    let request = request.body(trailed(&["a", "b"], trailers));
    let answer = caller.exchange(request.expect("a request")).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    let mut seen: Value = serde_json::from_str(&answer.text()).expect("JSON");
    assert_eq!(seen["trailers"], json!([["x-checksum", "passes"]]));
    // What the trailers are called may well be announced.
    let headers = seen["headers"].as_array_mut().expect("fields");
    headers.retain(|field| field[0] != "trailer");
    seen
}

/// Names and values that are no text of a field, or mean something in one.
#[test]
fn what_stands_in_a_certificate_is_one_value_of_one_field() {
    let rig = Rig::start(REQUEST_HEADER);
    for (name, why) in [
        ("a, b", "a comma"),
        ("system:node:worker-1", "colons"),
        ("alice smith", "a space"),
        ("alice%2fadmin", "an escape"),
        ("zo\u{eb}", "a letter beyond ASCII"),
    ] {
        let certificate = rig.pki.user(name, &["one, two"]);
        block_on(async {
            for speaks in Speaks::BOTH {
                let mut caller = rig.caller(Some(&certificate), speaks).await;
                let seen = whoami(&mut caller, &[]).await;
                assert_eq!(username(&seen), name, "{why}");
                let groups = json!(["one, two", "system:authenticated"]);
                assert_eq!(seen["user"]["groups"], groups, "{why}");
            }
        });
    }
}

/// What a field can't carry as it is must not arrive as something else.
#[test]
fn no_name_in_a_certificate_becomes_another() {
    for upstream in ["", "protocol: http1,"] {
        let rig = Rig::with_upstream(upstream, REQUEST_HEADER);
        for (name, group) in [
            (" admin", "dev"),
            ("admin ", "dev"),
            ("admin\t", "dev"),
            ("admin\0", "dev"),
            ("a\r\nX-Remote-Group: system:masters", "dev"),
            ("bob", " system:masters"),
            ("bob", "system:masters "),
            ("bob", "dev\r\nX-Remote-Group: system:masters"),
        ] {
            let certificate = rig.pki.user(name, &[group]);
            block_on(async {
                for speaks in Speaks::BOTH {
                    let mut caller = rig.caller(Some(&certificate), speaks).await;
                    let status = get(&mut caller, "/whoami", &[]).await.status;
                    assert!(status < 500, "{name:?} in {group:?}: {status}");
                }
            });
        }
        for event in rig.server.audit() {
            let Some(user) = event.user else { continue };
            assert_ne!(user.name, "admin");
            let masters = user.groups.iter().any(|group| group == "system:masters");
            assert!(!masters, "{user:?}");
        }
    }
}
