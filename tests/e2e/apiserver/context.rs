//! Trace context in front of the server, and what spans say of its requests.

use super::{Rig, bearer, get, seen_values, whoami};
use crate::caller::{Speaks, block_on};
use crate::span_view::{View, hex, views};

const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";

/// What an unconfigured server would relay to etcd and webhooks, whoever sent it.
#[test]
fn no_context_of_an_untrusted_caller_reaches_the_server() {
    let rig = Rig::start("");
    let bearer = bearer();
    let planted = format!("00-{TRACE}-b7ad6b7169203331-01");
    block_on(async {
        for speaks in Speaks::BOTH {
            let mut caller = rig.caller(None, speaks).await;
            for known in [true, false] {
                let mut fields = vec![
                    ("traceparent", planted.as_str()),
                    ("tracestate", "planted=1"),
                    ("baggage", "planted=1"),
                    ("trace_parent", planted.as_str()),
                    ("b3", "planted"),
                ];
                if known {
                    fields.push(("authorization", &bearer));
                }
                let seen = whoami(&mut caller, &fields).await;
                let context = seen_values(&seen, "traceparent");
                assert_eq!(context.len(), 1, "{seen}");
                let text = seen.to_string();
                assert!(!text.contains(TRACE), "{text}");
                assert!(!text.contains("planted"), "{text}");
            }
        }
    });
    rig.proxy.stop();
    let spans: Vec<View> = views(&rig.receiver);
    assert_eq!(spans.len(), 4);
    for span in spans {
        assert_ne!(span.trace(), TRACE);
        let linked = hex(&span.0.links[0].trace_id);
        assert_eq!(linked, TRACE, "what was dropped is linked");
    }
}

#[test]
fn spans_are_named_by_template_and_joined_to_the_audit_log() {
    let rig = Rig::start("");
    let bearer = bearer();
    block_on(async {
        for speaks in Speaks::BOTH {
            let mut caller = rig.caller(None, speaks).await;
            let fields = [("authorization", bearer.as_str())];
            let chosen = [fields[0], ("audit-id", "chosen-by-the-caller")];
            for (path, fields) in [
                ("/api/v1/namespaces/default/pods/p", &fields[..]),
                ("/api/v1/namespaces/other/pods", &chosen),
            ] {
                assert_eq!(get(&mut caller, path, fields).await.status, 200);
            }
        }
    });
    rig.proxy.stop();
    let spans = views(&rig.receiver);
    let audit = rig.server.audit();
    assert_eq!((spans.len(), audit.len()), (4, 4));
    for (span, event) in spans.iter().zip(&audit) {
        assert_eq!(span.text("audit-id"), event.id);
        let (name, verb) = if event.target.ends_with("/p") {
            ("GET /api/v1/namespaces/{namespace}/pods/{name}", "get")
        } else {
            assert_eq!(event.id, "chosen-by-the-caller");
            ("GET /api/v1/namespaces/{namespace}/pods", "list")
        };
        assert_eq!(span.0.name, name);
        assert_eq!(span.text("k8s.api.verb"), verb);
        assert_eq!(
            span.text("http.response.status_code"),
            event.code.to_string()
        );
        assert_eq!(span.text("http.request.method"), event.method.as_str());
    }
}

#[test]
fn certificates_of_the_clusters_own_go_on_with_a_trace_and_others_restart_it() {
    let rig = Rig::start(
        "  trust:
    rules:
    - {from: {clientCert: {groups: [system:masters, system:monitoring]}}, as: full}
",
    );
    let planted = format!("00-{TRACE}-b7ad6b7169203331-01");
    let fields = [("traceparent", planted.as_str())];
    let rows = [
        ("admin", "system:masters", true),
        ("prometheus", "system:monitoring", true),
        ("alice", "dev", false),
        ("system:masters", "dev", false),
    ];
    block_on(async {
        for (name, group, continues) in rows {
            let certificate = rig.pki.user(name, &[group]);
            for speaks in Speaks::BOTH {
                let mut caller = rig.caller(Some(&certificate), speaks).await;
                let seen = whoami(&mut caller, &fields).await;
                let context = seen_values(&seen, "traceparent").concat();
                assert_eq!(context.contains(TRACE), continues, "{name}: {seen}");
            }
        }
    });
    rig.proxy.stop();
    let spans = views(&rig.receiver);
    assert_eq!(spans.len(), 2 * rows.len());
    for (span, (name, _, continues)) in spans.iter().zip(rows.iter().flat_map(|row| [row; 2])) {
        assert_eq!(span.trace() == TRACE, *continues, "{name}");
        let linked = span.0.links.first().map(|link| hex(&link.trace_id));
        let expected = (!continues).then(|| TRACE.to_owned());
        assert_eq!(linked, expected, "{name}");
    }
}
