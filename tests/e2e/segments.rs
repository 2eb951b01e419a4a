//! What lasts is seen while it lasts: events, counted messages, spans in linked segments.

mod attempts;
mod engines;
mod reload;

use std::time::{Duration, Instant};

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, Response};
use opentelemetry_proto::tonic::trace::v1::Span;

use super::component::PATIENCE;
use super::proxy::{self, Proxy};
use super::receiver::{Receiver, Speaks, attribute};
use super::span_view::hex;
use super::streams::{self, Upstream, soon};
use super::wire::{Scripted, Wire};

const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";
const PARENT: &str = "b7ad6b7169203331";
const WATCH: &str = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";

/// Every span recorded, and none older than a second.
fn yaml(upstream: &str, receiver: &Receiver, more: &str) -> String {
    let tracing = format!(
        "  samplingRatePerMillion: 1000000\n  maxSpanDuration: 1s\n  export: {{endpoint: \"{}\"}}",
        receiver.endpoint()
    );
    let listeners = format!(
        "- name: ingress\n  bind: 127.0.0.1:0\n  trust: {{default: full}}\n  upstream: {{url: \"{upstream}\"}}\n{more}"
    );
    proxy::custom(&tracing, &listeners)
}

fn names(span: &Span) -> Vec<&str> {
    span.events
        .iter()
        .map(|event| event.name.as_str())
        .collect()
}

fn number(span: &Span, name: &str) -> Option<u64> {
    attribute(&span.attributes, name)?.parse().ok()
}

/// Waits until so many spans have been handed to the exporter.
fn until(proxy: &Proxy, count: u64) {
    let patience = Instant::now() + PATIENCE;
    while proxy.export().recorded() < count {
        assert!(Instant::now() < patience, "no more spans");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// Segments in the order they began: each but the first links to the one before, all are the
/// caller's children, all but the last are continued.
fn assert_chain(spans: &mut [Span]) {
    spans.sort_by_key(|span| span.start_time_unix_nano);
    let last = spans.len();
    for (index, span) in spans.iter().enumerate() {
        assert_eq!(hex(&span.trace_id), TRACE);
        assert_eq!(hex(&span.parent_span_id), PARENT);
        assert_eq!(number(span, "tracegate.segment"), Some(index as u64 + 1));
        let continued = attribute(&span.attributes, "tracegate.continued");
        assert_eq!(continued.is_some(), index + 1 < last, "{index} of {last}");
    }
    for pair in spans.windows(2) {
        let [before, after] = pair else { continue };
        let [link] = &after.links[..] else {
            panic!("{after:#?}");
        };
        assert_eq!(
            (&link.span_id, &link.trace_id),
            (&before.span_id, &before.trace_id)
        );
        assert_ne!(before.span_id, after.span_id);
        // Each span's dates are reckoned from a reading of both clocks.
        let gap = before
            .end_time_unix_nano
            .abs_diff(after.start_time_unix_nano);
        assert!(gap < 1_000_000, "{gap} ns");
        let length = before.end_time_unix_nano - before.start_time_unix_nano;
        assert!(
            (1_000_000_000..3_000_000_000).contains(&length),
            "{length} ns"
        );
    }
}

fn watch(proxy: &Proxy) -> Wire {
    let mut caller = Wire::connect(proxy.at(0));
    let context = format!("00-{TRACE}-{PARENT}-01");
    caller.send(format!(
        "GET /watch HTTP/1.1\r\nHost: h\r\ntraceparent: {context}\r\n\r\n"
    ));
    assert!(caller.head().starts_with("HTTP/1.1 200"));
    caller
}

#[test]
fn a_watch_is_seen_in_linked_segments_while_it_lasts() {
    let receiver = Receiver::start(Speaks::Grpc);
    let (go, wait) = std::sync::mpsc::channel::<()>();
    let component = Scripted::start(1, move |_, mut wire| {
        let head = wire.head();
        let id = head.split(&format!("{TRACE}-")).nth(1).unwrap_or_default();
        wire.send(format!("HTTP/1.1 103 Early Hints\r\n\r\n{WATCH}"));
        wire.send(format!("10\r\n{}\r\n", &id[..16]));
        let _ = wait.recv();
        wire.send("3\r\nend\r\n0\r\n\r\n");
    });
    let proxy = Proxy::start(&yaml(&component.url(), &receiver, ""));
    let mut caller = Wire::connect(proxy.at(0));
    let context = format!("00-{TRACE}-{PARENT}-01");
    caller.send(format!(
        "GET /watch HTTP/1.1\r\nHost: h\r\ntraceparent: {context}\r\n\r\n"
    ));
    assert!(caller.head().starts_with("HTTP/1.1 103"));
    assert!(caller.head().starts_with("HTTP/1.1 200"));
    let told = String::from_utf8(caller.exactly(22)).expect("text");
    // Seen while it lasts.
    until(&proxy, 2);
    go.send(()).expect("the component waits");
    assert!(caller.exactly(13).ends_with(b"0\r\n\r\n"));
    drop(caller);
    proxy.stop();
    component.join();
    let mut spans = receiver.spans();
    assert_chain(&mut spans);
    assert!(spans.len() >= 3, "{}", spans.len());
    assert_eq!(
        told[4..20],
        hex(&spans[0].span_id),
        "the upstream knows the first one's id"
    );
    let events = [
        "http.response.informational",
        "http.response.headers",
        "http.response.first_byte",
    ];
    assert_eq!(names(&spans[0]), events);
    let status = attribute(&spans[0].events[0].attributes, "http.response.status_code");
    assert_eq!(status.as_deref(), Some("103"));
    assert!(names(&spans[1]).is_empty(), "{:?}", names(&spans[1]));
    let last = spans.last().expect("segments");
    assert_eq!(number(last, "http.response.status_code"), Some(200));
}

#[test]
fn a_caller_that_leaves_between_two_looks_ends_the_last_segment_once() {
    let receiver = Receiver::start(Speaks::Grpc);
    let component = Scripted::start(1, |_, mut wire| {
        wire.head();
        wire.send(WATCH);
        wire.rest();
    });
    let proxy = Proxy::start(&yaml(&component.url(), &receiver, ""));
    let caller = watch(&proxy);
    until(&proxy, 1);
    drop(caller);
    let export = proxy.stop_with_status();
    component.join();
    let mut spans = receiver.spans();
    assert_eq!(spans.len() as u64, export.recorded());
    assert_chain(&mut spans);
    let cancelled = |span: &Span| attribute(&span.attributes, "tracegate.cancelled").is_some();
    let (last, others) = spans.split_last().expect("segments");
    assert!(cancelled(last) && !others.iter().any(cancelled));
}

#[test]
fn a_tunnels_bytes_are_each_segments_own() {
    let receiver = Receiver::start(Speaks::Grpc);
    let component = Scripted::start(1, |_, mut wire| {
        wire.head();
        wire.send(
            "HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: echo\r\n\r\n",
        );
        while let bytes = wire.some()
            && !bytes.is_empty()
        {
            wire.send(bytes);
        }
    });
    let proxy = Proxy::start(&yaml(&component.url(), &receiver, ""));
    let mut caller = Wire::connect(proxy.at(0));
    let context = format!("00-{TRACE}-{PARENT}-01");
    caller.send(format!(
        "GET /exec HTTP/1.1\r\nHost: h\r\nConnection: upgrade\r\nUpgrade: echo\r\ntraceparent: {context}\r\n\r\n"
    ));
    assert!(caller.head().starts_with("HTTP/1.1 101"));
    for (round, bytes) in [(1, &b"12345"[..]), (2, b"123")] {
        caller.send(bytes);
        assert_eq!(caller.exactly(bytes.len()), bytes);
        until(&proxy, round);
    }
    drop(caller);
    proxy.stop();
    component.join();
    let mut spans = receiver.spans();
    assert_chain(&mut spans);
    let bytes = |name: &'static str| spans.iter().map(move |span| number(span, name));
    for name in [
        "tracegate.tunnel.request_bytes",
        "tracegate.tunnel.response_bytes",
    ] {
        assert_eq!(bytes(name).next(), Some(Some(5)), "{name}");
        assert_eq!(bytes(name).flatten().sum::<u64>(), 8, "{name}");
    }
    assert_eq!(names(&spans[0]), ["http.response.headers"], "the switch");
}

#[test]
fn trailers_are_noted_on_their_way_through_http1_both_ways() {
    let receiver = Receiver::start(Speaks::Grpc);
    let component = Scripted::start(1, |_, mut wire| {
        wire.head();
        wire.send(WATCH);
        wire.exactly("2\r\nab\r\n0\r\nx-late: 1\r\n\r\n".len());
        std::thread::sleep(Duration::from_millis(1100));
        wire.send("3\r\nend\r\n0\r\nx-late: 2\r\n\r\n");
    });
    let longer =
        yaml(&component.url(), &receiver, "").replace("maxSpanDuration: 1s", "maxSpanDuration: 1h");
    let proxy = Proxy::start(&longer);
    let mut caller = Wire::connect(proxy.at(0));
    caller.send("POST / HTTP/1.1\r\nHost: h\r\nTE: trailers\r\nTransfer-Encoding: chunked\r\n\r\n");
    assert!(caller.head().starts_with("HTTP/1.1 200"));
    caller.send("2\r\nab\r\n0\r\nx-late: 1\r\n\r\n");
    let told = caller.exactly("3\r\nend\r\n0\r\nx-late: 2\r\n\r\n".len());
    assert!(told.ends_with(b"x-late: 2\r\n\r\n"), "{told:?}");
    let spans = proxy.spans(&receiver, 1);
    let events = [
        "http.response.headers",
        "http.request.trailers",
        "http.response.first_byte",
        "http.response.trailers",
    ];
    assert_eq!(names(&spans[0]), events);
    component.join();
}

/// Answers with so many messages, each as soon as the request has one more.
fn echo() -> Upstream {
    Upstream::start(|listener| async move {
        let mut connection = streams::accept(&listener).await;
        while let Some(Ok((request, mut respond))) = connection.accept().await {
            tokio::spawn(async move {
                let mut body = request.into_body();
                let mut send = respond
                    .send_response(Response::new(()), false)
                    .expect("sent");
                while let Some(Ok(data)) = body.data().await {
                    let _ = body.flow_control().release_capacity(data.len());
                    send.send_data(data, false).expect("sent");
                }
                let mut trailers = HeaderMap::new();
                trailers.insert("grpc-status", HeaderValue::from_static("0"));
                send.send_trailers(trailers).expect("sent");
            });
        }
    })
}

#[test]
fn a_streaming_calls_messages_are_counted_both_ways_and_its_moments_noted() {
    let (receiver, upstream) = (Receiver::start(Speaks::Grpc), echo());
    let proxy = Proxy::start(&yaml(&upstream.url(), &receiver, ""));
    let address = proxy.at(0);
    streams::run(async {
        let (mut caller, _ended) = streams::connect(address).await;
        for messages in [3, 1] {
            let mut request = streams::request(Method::POST, address, "/a.B/C");
            let grpc = HeaderValue::from_static("application/grpc");
            request.headers_mut().insert("content-type", grpc);
            let (response, mut send) = caller.send_request(request, false).expect("sent");
            for _ in 0..messages {
                // Cut amid the prefix.
                send.send_data(Bytes::from_static(b"\0\0\0"), false)
                    .expect("sent");
                send.send_data(Bytes::from_static(b"\0\x02ab"), false)
                    .expect("sent");
            }
            let mut late = HeaderMap::new();
            late.insert("x-late", HeaderValue::from_static("1"));
            send.send_trailers(late).expect("sent");
            let response = soon(response).await.expect("an answer");
            let mut body = response.into_body();
            let (bytes, trailers) = soon(streams::collect(&mut body)).await.expect("a body");
            assert_eq!(bytes.len(), messages * 7);
            assert_eq!(trailers.expect("trailers")["grpc-status"], "0");
        }
    });
    let mut spans = proxy.spans(&receiver, 2);
    spans.sort_by_key(|span| span.start_time_unix_nano);
    for (span, messages) in spans.iter().zip([3, 1]) {
        for name in [
            "tracegate.rpc.request_messages",
            "tracegate.rpc.response_messages",
        ] {
            assert_eq!(number(span, name), Some(messages), "{name}");
        }
        assert_eq!(attribute(&span.attributes, "tracegate.segment"), None);
    }
    // The echo answers as it reads: only what is the response's has an order.
    let (asked, answered): (Vec<&str>, Vec<&str>) = names(&spans[0])
        .iter()
        .partition(|name| name.starts_with("http.request"));
    let events = [
        "http.response.headers",
        "http.response.first_byte",
        "http.response.trailers",
    ];
    assert_eq!(answered, events, "a stream");
    assert_eq!(asked, ["http.request.trailers"]);
    assert!(
        names(&spans[1]).is_empty(),
        "a plain call has nothing to see"
    );
}
