//! The stand-in itself, asked without a proxy: what tests through one rely on.

use std::time::{Duration, SystemTime};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::json;

use super::pki::{Pki, user, user_with_uid};
use super::{TOKEN, connect, get, standin, username, whoami};
use crate::caller::{Speaks, block_on};
use crate::files::Authority;
use crate::streams;
use crate::trust::until;

#[test]
fn authenticators_are_asked_in_the_servers_order() {
    let pki = Pki::new();
    let server = standin(&pki);
    let at = server.address();
    let past = SystemTime::now() - Duration::from_secs(60);
    let alice = pki.user("alice", &["dev"]);
    let expired = pki.clients.sign(until(user("alice", &["dev"]), past));
    let stranger = Authority::new().sign(user("alice", &["dev"]));
    let nameless = pki.user("", &["system:masters"]);
    let proxy = pki.front_proxy();
    let pretender = pki.front_proxies.sign(user("other", &[]));
    let (bearer, wrong) = (
        ("authorization", "Bearer dev-token"),
        ("authorization", "Bearer x"),
    );
    let offer = |token: &str| {
        let coded = URL_SAFE_NO_PAD.encode(token);
        format!("v5.channel.k8s.io, base64url.bearer.authorization.k8s.io.{coded}")
    };
    let (offered, misled) = (offer(TOKEN), offer("x"));
    let offered = ("sec-websocket-protocol", offered.as_str());
    let misled = ("sec-websocket-protocol", misled.as_str());
    let remote = ("x-remote-user", "bob");
    for (certificate, fields, expected, why) in [
        (None, &[][..], Some("system:anonymous"), "no credential"),
        (None, &[bearer], Some("developer"), "a token"),
        (None, &[wrong], None, "a wrong token"),
        (
            None,
            &[offered],
            Some("developer"),
            "a token among WebSocket protocols",
        ),
        (None, &[misled], None, "a wrong one there"),
        (
            None,
            &[wrong, offered],
            Some("developer"),
            "a later credential is right",
        ),
        (
            None,
            &[remote],
            Some("system:anonymous"),
            "a name without a proxy",
        ),
        (Some(&alice), &[], Some("alice"), "a certificate"),
        (
            Some(&alice),
            &[bearer],
            Some("alice"),
            "a certificate before a token",
        ),
        (
            Some(&alice),
            &[wrong],
            Some("alice"),
            "a wrong token isn't looked at",
        ),
        (
            Some(&alice),
            &[remote],
            Some("alice"),
            "a client is no proxy",
        ),
        (Some(&expired), &[], None, "an expired certificate"),
        (Some(&expired), &[bearer], Some("developer"), "and a token"),
        (Some(&stranger), &[], None, "an unknown authority"),
        (
            Some(&nameless),
            &[],
            None,
            "no name, and no front proxy's certificate either",
        ),
        (Some(&proxy), &[remote], Some("bob"), "a front proxy's word"),
        (
            Some(&proxy),
            &[remote, bearer],
            Some("bob"),
            "before a token",
        ),
        (Some(&proxy), &[], None, "a front proxy that says nothing"),
        (
            Some(&proxy),
            &[bearer],
            Some("developer"),
            "a front proxy's own token",
        ),
        (
            Some(&pretender),
            &[remote],
            None,
            "a name that isn't allowed",
        ),
    ] {
        block_on(async {
            for speaks in Speaks::BOTH {
                let mut caller = connect(&pki, certificate, at, speaks).await;
                let answer = get(&mut caller, "/whoami", fields).await;
                match expected {
                    None => assert_eq!(answer.status, 401, "{why}: {}", answer.text()),
                    Some(name) => {
                        assert_eq!(answer.status, 200, "{why}: {}", answer.text());
                        let seen = serde_json::from_str(&answer.text()).expect("JSON");
                        assert_eq!(username(&seen), name, "{why}");
                    }
                }
            }
        });
    }
}

#[test]
fn a_user_is_read_from_either_kind_of_certificate() {
    let pki = Pki::new();
    let server = standin(&pki);
    let at = server.address();
    let alice = pki
        .clients
        .sign(user_with_uid("alice", &["dev", "ops"], "42"));
    let proxy = pki.front_proxy();
    block_on(async {
        let mut caller = connect(&pki, Some(&alice), at, Speaks::Http1).await;
        let mut own = whoami(&mut caller, &[]).await["user"].take();
        let extra = own["extra"].take();
        let said = extra["authentication.kubernetes.io/credential-id"][0].as_str();
        let said = said.expect("an id").to_owned();
        assert_eq!(
            said.strip_prefix("X509SHA256=").expect("a digest").len(),
            64
        );
        let groups = json!(["dev", "ops", "system:authenticated"]);
        assert_eq!(
            own,
            json!({"username": "alice", "uid": "42", "groups": groups, "extra": null})
        );

        let mut caller = connect(&pki, Some(&proxy), at, Speaks::Http2).await;
        let fields = [
            ("x-remote-user", "alice"),
            ("x-remote-uid", "42"),
            ("x-remote-group", "dev"),
            ("x-remote-group", "ops"),
            (
                "x-remote-extra-authentication.kubernetes.io%2fcredential-id",
                &said,
            ),
        ];
        let mut told = whoami(&mut caller, &fields).await["user"].take();
        assert_eq!(told["extra"].take(), extra);
        assert_eq!(told, own);
    });
}

#[test]
fn an_unknown_callers_connection_ends_with_its_answer_and_others_go_on() {
    let pki = Pki::new();
    let server = standin(&pki);
    block_on(async {
        let mut known = connect(&pki, None, server.address(), Speaks::Http2).await;
        let token = [("authorization", "Bearer dev-token")];
        for path in ["/livez", "/whoami"] {
            assert_eq!(get(&mut known, path, &token).await.status, 200);
        }
        for (fields, expected) in [(&[][..], 200), (&[("authorization", "Bearer x")], 401)] {
            let mut caller = connect(&pki, None, server.address(), Speaks::Http2).await;
            assert_eq!(get(&mut caller, "/livez", fields).await.status, expected);
            let again = caller.request(http::Method::GET, "/livez");
            let again = again.body(crate::caller::empty()).expect("a request");
            // On HTTP/1.1 it may ask again; here it has heard GOAWAY, or is about to.
            let again = tokio::time::timeout(Duration::from_secs(5), caller.try_send(again)).await;
            assert!(again.expect("an end").is_err());
        }
        assert_eq!(get(&mut known, "/livez", &token).await.status, 200);
        streams::until(|| server.open() == 1).await;
    });
    let connections: Vec<usize> = server
        .audit()
        .iter()
        .map(|event| event.connection)
        .collect();
    assert_eq!(connections, [1, 1, 2, 3, 1]);
}
