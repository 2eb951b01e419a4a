//! Callers without a certificate: their credentials pass as they are, and the proxy adds none.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::json;

use super::{ADMIN_TOKEN, DEVELOPER, Rig, TOKEN, bearer, get, seen_values, username, whoami};
use crate::caller::{Speaks, block_on};

#[test]
fn tokens_and_their_absence_reach_the_server_on_connections_without_a_certificate() {
    let rig = Rig::start("");
    let bearer = bearer();
    let offered = format!(
        "v5.channel.k8s.io, base64url.bearer.authorization.k8s.io.{}",
        URL_SAFE_NO_PAD.encode(TOKEN)
    );
    block_on(async {
        for speaks in Speaks::BOTH {
            let mut caller = rig.caller(None, speaks).await;
            // Interleaved on one connection: nobody's credential may stick to it.
            for _ in 0..3 {
                for (fields, expected, group) in [
                    (
                        vec![("authorization", bearer.as_str())],
                        DEVELOPER,
                        "system:authenticated",
                    ),
                    (vec![], "system:anonymous", "system:unauthenticated"),
                    (
                        vec![("sec-websocket-protocol", offered.as_str())],
                        DEVELOPER,
                        "system:authenticated",
                    ),
                ] {
                    let seen = whoami(&mut caller, &fields).await;
                    assert_eq!(username(&seen), expected, "{fields:?}, {speaks:?}");
                    let groups = seen["user"]["groups"].as_array().expect("groups");
                    assert!(groups.contains(&json!(group)), "{seen}");
                    assert!(seen["certificate"].is_null(), "{seen}");
                    for (name, value) in fields {
                        assert_eq!(seen_values(&seen, name), [value]);
                    }
                }
            }
        }
    });
}

#[test]
fn a_wrong_token_is_the_servers_401_with_its_own_words() {
    let rig = Rig::start("");
    block_on(async {
        for speaks in Speaks::BOTH {
            let mut caller = rig.caller(None, speaks).await;
            let fields = [("authorization", "Bearer wrong")];
            let answer = get(&mut caller, "/api/v1/namespaces/default/pods", &fields).await;
            assert_eq!(answer.status, 401);
            let status: serde_json::Value = serde_json::from_str(&answer.text()).expect("JSON");
            assert_eq!(status["kind"], "Status");
            assert_eq!(status["reason"], "Unauthorized");
        }
    });
}

#[test]
fn impersonation_passes_and_cannot_be_nominated_away() {
    let rig = Rig::start("");
    let admin = format!("Bearer {ADMIN_TOKEN}");
    let developer = bearer();
    block_on(async {
        for (speaks, connection) in [
            (
                Speaks::Http1,
                Some("keep-alive, Impersonate-User, Impersonate-Group"),
            ),
            (Speaks::Http1, None),
            (Speaks::Http2, None),
        ] {
            let mut caller = rig.caller(None, speaks).await;
            let mut fields = vec![
                ("authorization", admin.as_str()),
                ("impersonate-user", "bob"),
                ("impersonate-group", "ops"),
                ("impersonate-group", "qa"),
            ];
            fields.extend(connection.map(|nominated| ("connection", nominated)));
            let seen = whoami(&mut caller, &fields).await;
            assert_eq!(username(&seen), "admin");
            let other = &seen["impersonatedUser"];
            assert_eq!(other["username"], "bob", "{seen}");
            assert_eq!(
                other["groups"],
                json!(["ops", "qa", "system:authenticated"])
            );
            fields[0].1 = &developer;
            let answer = get(&mut caller, "/whoami", &fields).await;
            assert_eq!(answer.status, 403, "{}", answer.text());
        }
    });
}
