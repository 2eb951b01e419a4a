//! A bound that changes while connections stay: it holds for requests that begin then.

use tracegate::lifecycle::Signal;

use super::*;
use crate::receiver::Scratch;

#[test]
fn a_reload_changes_how_old_a_span_may_become() {
    let (receiver, scratch) = (Receiver::start(Speaks::Grpc), Scratch::new("segments"));
    let component = Scripted::start(1, |_, mut wire| {
        while wire.head().starts_with("GET /watch ") {
            wire.send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n");
            std::thread::sleep(Duration::from_millis(1500));
            wire.send("ok");
        }
    });
    let bounded = yaml(&component.url(), &receiver, "");
    let unbounded = bounded.replace("  maxSpanDuration: 1s\n", "");
    let file = scratch.join("tracegate.yaml");
    std::fs::write(&file, proxy::document(&unbounded)).expect("a file");
    let proxy = Proxy::start_file(file.clone(), &unbounded);
    let mut caller = watch(&proxy);
    caller.exactly(2);
    until(&proxy, 1);
    std::fs::write(&file, proxy::document(&bounded)).expect("a file");
    proxy.signal(Signal::Hangup);
    // Nothing tells when a reload has reached the worker: one of the next requests is the first.
    let patience = Instant::now() + PATIENCE;
    let (mut asked, mut segmented) = (1, false);
    while !segmented {
        assert!(Instant::now() < patience, "no segments");
        caller.send("GET /watch HTTP/1.1\r\nHost: h\r\n\r\n");
        assert!(caller.head().starts_with("HTTP/1.1 200"));
        caller.exactly(2);
        asked += 1;
        until(&proxy, asked);
        segmented = proxy.export().recorded() > asked;
    }
    drop(caller);
    proxy.stop();
    let spans = receiver.spans();
    let continued = |span: &&Span| attribute(&span.attributes, "tracegate.continued").is_some();
    assert!(spans.iter().any(|span| continued(&span)));
    let first = spans.iter().find(|span| hex(&span.trace_id) == TRACE);
    let segment = number(first.expect("the first"), "tracegate.segment");
    assert_eq!(segment, None, "as it was when it began");
}
