//! Watches: many of them, prompt, and each one span.

use std::time::Duration;

use bytes::Bytes;
use http::Method;
use http_body_util::BodyExt;
use hyper::body::Incoming;

use super::{Rig, TOKEN};
use crate::caller::{Caller, Speaks, block_on_for, empty};
use crate::span_view::views;
use crate::streams;

const PATH: &str = "/api/v1/namespaces/default/pods?watch=true";

/// More than the server allows on one of its connections.
const MANY: usize = 130;

/// "At once" for a machine that does other things too.
const PROMPTLY: Duration = Duration::from_secs(5);

/// Opens a watch.
async fn watch(caller: &mut Caller) -> Incoming {
    let request = caller.request(Method::GET, PATH);
    let request = request.header("authorization", format!("Bearer {TOKEN}"));
    let response = caller.send(request.body(empty()).expect("a request")).await;
    assert_eq!(response.status(), 200);
    response.into_body()
}

/// The next of its bytes; `None` at its end.
async fn next(body: &mut Incoming) -> Option<Bytes> {
    let frame = async {
        loop {
            let frame = body.frame().await?.expect("no error");
            let data = frame.into_data().expect("no trailers");
            // A stream may end with a frame that has nothing in it.
            if !data.is_empty() {
                return Some(data);
            }
        }
    };
    let frame = tokio::time::timeout(PROMPTLY, frame);
    frame.await.expect("promptly")
}

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
                let line = next(body).await.expect("an event");
                let text = String::from_utf8(line.to_vec()).expect("text");
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
            assert!(next(body).await.is_some());
        }
        rig.server.end_watches();
        for body in &mut bodies {
            assert_eq!(next(body).await, None, "a clean end");
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
                assert!(next(&mut body).await.is_some());
            }
            assert_eq!(rig.proxy.export().recorded(), 0, "it is open");
            rig.server.end_watches();
            assert_eq!(next(&mut body).await, None);
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
