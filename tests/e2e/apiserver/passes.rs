//! What isn't context or identity passes as it is, up to the server's own limits; and nobody writes
//! the audit log's addresses.

use std::time::Duration;

use http::Method;

use super::{CALLER, Rig, StandIn, bearer, connect, get, whoami};
use crate::caller::{Answer, Caller, Speaks, block_on, block_on_for, full};

const LIMIT: usize = 3 * 1024 * 1024;

/// Fields of an answer, sorted.
fn fields(answer: &Answer) -> Vec<(String, String)> {
    let mut fields: Vec<_> = answer
        .headers
        .iter()
        .map(|(name, value)| (name.to_string(), format!("{value:?}")))
        .collect();
    fields.sort();
    fields
}

#[test]
fn what_the_server_says_beside_its_answers_reaches_the_caller() {
    let rig = Rig::start("");
    let token = bearer();
    let asked = [("authorization", token.as_str()), ("audit-id", "an-id")];
    for (path, status, told) in [
        ("/livez", 200, &[("x-content-type-options", "nosniff")][..]),
        ("/readyz", 200, &[]),
        ("/healthz", 200, &[]),
        ("/version", 200, &[("content-type", "application/json")]),
        ("/api/v1/namespaces/busy/pods", 429, &[("retry-after", "1")]),
        (
            "/api/v1/namespaces/deprecated/pods",
            200,
            &[(
                "warning",
                "299 - \"v1 Pod is deprecated in v1.99+, unavailable in v2.0+\" | 299 - \"and a second one\"",
            )],
        ),
        ("/api/v1/namespaces/default/nothing", 404, &[]),
    ] {
        block_on(async {
            for speaks in Speaks::BOTH {
                let mut proxied = rig.caller(None, speaks).await;
                let proxied = get(&mut proxied, path, &asked).await;
                let mut direct = connect(&rig.pki, None, rig.server.address(), speaks).await;
                let direct = get(&mut direct, path, &asked).await;
                assert_eq!(proxied.status, status, "{path}");
                for (name, value) in told {
                    assert_eq!(proxied.field(name).as_deref(), Some(*value), "{path}");
                }
                assert_eq!(proxied.field("audit-id").as_deref(), Some("an-id"));
                let flow = proxied.field("x-kubernetes-pf-flowschema-uid");
                assert!(flow.is_some(), "{path}");
                assert_eq!(proxied.body, direct.body, "{path}");
                assert_eq!(fields(&proxied), fields(&direct), "{path}, {speaks:?}");
            }
        });
    }
}

#[test]
fn no_caller_writes_the_addresses_of_the_audit_log() {
    let rig = Rig::start("");
    let token = bearer();
    block_on(async {
        for speaks in Speaks::BOTH {
            let mut caller = rig.caller(None, speaks).await;
            for forged in [
                &[("x-forwarded-for", "10.9.8.7")][..],
                &[
                    ("x-forwarded-for", "10.9.8.7, 10.9.8.6"),
                    ("x-forwarded-for", "10.9.8.5"),
                ],
                &[("x-real-ip", "10.9.8.7")],
                &[("x_forwarded_for", "10.9.8.7"), ("x.real.ip", "10.9.8.7")],
                &[("forwarded", "for=10.9.8.7")],
                &[],
            ] {
                for known in [true, false] {
                    let token = [("authorization", token.as_str())];
                    let fields = [forged, if known { &token } else { &[] }].concat();
                    let seen = whoami(&mut caller, &fields).await;
                    let expected = serde_json::json!([CALLER, "127.0.0.1"]);
                    assert_eq!(seen["sourceIPs"], expected, "{fields:?}, {speaks:?}");
                }
            }
        }
    });
    for event in rig.server.audit() {
        for name in ["x_forwarded_for", "x.real.ip"] {
            assert!(event.values(name).is_empty(), "{name}");
        }
    }
}

#[test]
fn a_mebibyte_of_fields_passes_where_the_limits_are_the_servers() {
    for upstream in ["", "protocol: http1,"] {
        let limits = "  limits: {maxHeaderBytes: 2MiB, maxHeaders: 4096}\n";
        let rig = Rig::with_upstream(upstream, limits);
        block_on_for(Duration::from_secs(60), async {
            for speaks in Speaks::BOTH {
                let mut caller = rig.caller(None, speaks).await;
                a_mebibyte_of_fields(&mut caller, &rig.server).await;
            }
        });
    }
}

/// Fields of a mebibyte together: a few large ones, a single one, and as many as there may be.
pub async fn a_mebibyte_of_fields(caller: &mut Caller, server: &StandIn) {
    let token = bearer();
    let piece = "x".repeat(60 * 1024);
    let whole = "y".repeat(1_000_000);
    let names: Vec<String> = (0..16).map(|number| format!("x-large-{number}")).collect();
    let authorization = ("authorization", token.as_str());
    let mut many = vec![authorization];
    many.extend(names.iter().map(|name| (name.as_str(), piece.as_str())));
    let numbered: Vec<String> = (0..2000).map(|number| format!("x-{number}")).collect();
    let mut single = vec![authorization];
    single.extend(numbered.iter().map(|name| (name.as_str(), "a value")));
    for fields in [&many[..], &[authorization, ("x-one", &whole)], &single] {
        let answer = get(caller, "/livez", fields).await;
        assert_eq!(answer.status, 200, "{}", answer.text());
        let event = server.audit().pop().expect("a request");
        for (name, value) in fields {
            assert_eq!(event.values(name).concat().len(), value.len(), "{name}");
        }
    }
}

/// Creates something of that size.
async fn create(caller: &mut Caller, size: usize) -> Answer {
    let path = "/api/v1/namespaces/default/pods";
    let request = caller.request(Method::POST, path);
    let request = request
        .header("authorization", bearer())
        .header("content-type", "application/json")
        .body(full(vec![b' '; size]));
    caller.exchange(request.expect("a request")).await
}

#[test]
fn bodies_pass_up_to_the_servers_limit_and_its_413_beyond() {
    let rig = Rig::start("");
    block_on_for(Duration::from_secs(60), async {
        for speaks in Speaks::BOTH {
            let mut caller = rig.caller(None, speaks).await;
            let answer = create(&mut caller, LIMIT).await;
            assert_eq!(answer.status, 201, "{}", answer.text());
            assert!(answer.text().contains("3145728 bytes"), "{}", answer.text());
            let answer = create(&mut caller, LIMIT + 1).await;
            assert_eq!(answer.status, 413, "{}", answer.text());
            assert!(
                answer.text().contains("limit is 3145728"),
                "{}",
                answer.text()
            );
        }
    });
}
