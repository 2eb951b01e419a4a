//! Watches: many of them, prompt, and each one span.

use std::time::Duration;

use super::{Rig, get, next_event, watch};
use crate::caller::{Speaks, block_on_for};
use crate::span_view::views;
use crate::streams;

/// More than the server allows on one of its connections.
const MANY: usize = 130;

#[test]
fn many_watches_on_one_connection_hear_every_event_at_once() {
    let rig = Rig::start("");
    block_on_for(Duration::from_secs(60), async {
        let mut caller = rig.caller(None, Speaks::Http2).await;
        let mut bodies = Vec::new();
        for _ in 0..MANY {
            bodies.push(watch(&mut caller).await);
        }
        assert_eq!(rig.server.watches(), MANY);
        assert_eq!(rig.server.connections(), 2, "100 streams each");
        for event in 1..=3 {
            rig.server.tick();
            for body in &mut bodies {
                let text = next_event(body).await.expect("an event");
                assert!(text.ends_with("}\n"), "{text}");
                let version = format!("\"resourceVersion\":\"{event}\"");
                assert!(text.contains(&version), "{text}");
            }
        }
        // The caller loses interest in one: the server hears that, and the others don't.
        drop(bodies.pop());
        streams::until(|| rig.server.watches() == MANY - 1).await;
        rig.server.tick();
        for body in &mut bodies {
            assert!(next_event(body).await.is_some());
        }
        rig.server.end_watches();
        for body in &mut bodies {
            assert_eq!(next_event(body).await, None, "a clean end");
        }
    });
}

#[test]
fn watches_over_http1_are_as_prompt_each_on_its_own_connection() {
    const CALLERS: usize = 20;
    let rig = Rig::start("");
    block_on_for(Duration::from_secs(60), async {
        let mut callers = Vec::new();
        for _ in 0..CALLERS {
            let mut caller = rig.caller(None, Speaks::Http1).await;
            let watch = watch(&mut caller).await;
            callers.push((caller, watch));
        }
        for _ in 0..3 {
            rig.server.tick();
            for (_, watch) in &mut callers {
                assert!(next_event(watch).await.is_some());
            }
        }
        rig.server.end_watches();
        for (caller, watch) in &mut callers {
            assert_eq!(next_event(watch).await, None, "a clean end");
            // The connection is good for more.
            assert_eq!(get(caller, "/livez", &[]).await.status, 200);
        }
    });
}

#[test]
fn a_watch_is_one_span_whose_end_is_its_own() {
    for speaks in Speaks::BOTH {
        let rig = Rig::start("");
        block_on_for(Duration::from_secs(60), async {
            let mut caller = rig.caller(None, speaks).await;
            let mut body = watch(&mut caller).await;
            for _ in 0..3 {
                rig.server.tick();
                assert!(next_event(&mut body).await.is_some());
            }
            assert_eq!(rig.proxy.export().recorded(), 0, "it is open");
            rig.server.end_watches();
            assert_eq!(next_event(&mut body).await, None);
        });
        let audit = rig.server.audit();
        rig.proxy.stop();
        let spans = views(&rig.receiver);
        assert_eq!(spans.len(), 1);
        let span = &spans[0];
        assert_eq!(span.0.name, "GET /api/v1/namespaces/{namespace}/pods");
        assert_eq!(span.text("k8s.api.verb"), "watch");
        assert_eq!(span.text("k8s.api.resource"), "pods");
        assert_eq!(span.text("k8s.namespace.name"), "default");
        assert_eq!(span.text("audit-id"), audit[0].id);
        assert!(!span.failed());
    }
}
