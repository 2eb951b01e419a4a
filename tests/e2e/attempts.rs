//! On egress every attempt is a span, and the upstream hears of the one that is made to it.

use std::sync::{Arc, Mutex};

use bytes::Bytes;
use http::{Method, Response};
use opentelemetry_proto::tonic::trace::v1::Span;

use super::metrics::Scrape;
use super::proxy::{self, Proxy};
use super::receiver::{Receiver, Speaks, attribute};
use super::span_view::hex;
use super::streams::{self, Upstream, soon};
use super::wire::{Scripted, Wire};

const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";
const PARENT: &str = "b7ad6b7169203331";
const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

/// What upstreams were sent, in order: values of `traceparent` and `b3` of each attempt.
type Heard = Arc<Mutex<Vec<(Vec<String>, Vec<String>)>>>;

fn hear(heard: &Heard, traceparent: Vec<String>, b3: Vec<String>) {
    heard.lock().unwrap().push((traceparent, b3));
}

fn lines(head: &str, name: &str) -> Vec<String> {
    let line = |line: &str| {
        let (field, value) = line.split_once(": ")?;
        field.eq_ignore_ascii_case(name).then(|| value.to_owned())
    };
    head.lines().filter_map(line).collect()
}

/// Answers the first request, closes the connection at the second, and answers it on another.
fn closing(heard: &Heard) -> Scripted {
    let heard = Arc::clone(heard);
    Scripted::start(2, move |index, mut wire| {
        if index == 0 {
            wire.head();
            wire.send(OK);
        }
        let head = wire.head();
        hear(&heard, lines(&head, "traceparent"), lines(&head, "b3"));
        if index == 1 {
            wire.send(OK);
            // Stays until the proxy goes.
            wire.head();
        }
    })
}

/// Refuses the first stream, answers the others.
fn refusing(heard: &Heard) -> Upstream {
    let heard = Arc::clone(heard);
    Upstream::start(move |listener| async move {
        loop {
            let mut connection = streams::accept(&listener).await;
            let heard = Arc::clone(&heard);
            tokio::spawn(async move {
                while let Some(Ok((request, mut respond))) = connection.accept().await {
                    let lines = |name: &str| {
                        let values = request.headers().get_all(name).iter();
                        let text = values.map(|v| v.to_str().expect("text").to_owned());
                        text.collect()
                    };
                    hear(&heard, lines("traceparent"), lines("b3"));
                    if heard.lock().unwrap().len() == 1 {
                        respond.send_reset(h2::Reason::REFUSED_STREAM);
                        continue;
                    }
                    let mut send = respond
                        .send_response(Response::new(()), false)
                        .expect("sent");
                    send.send_data(Bytes::from_static(b"ok"), true)
                        .expect("sent");
                }
            });
        }
    })
}

/// An egress listener that writes two formats.
fn egress(upstream: &str, collector: &str) -> String {
    proxy::with_top(
        &proxy::egress(upstream, collector, ""),
        "health: {bind: \"127.0.0.1:0\"}\npropagation: {inject: [tracecontext, b3]}",
    )
}

/// The spans of a request that was sent twice: the failed attempt's, then the other's.
fn attempts(mut spans: Vec<Span>) -> [Span; 2] {
    spans.retain(|span| {
        attribute(&span.attributes, "url.full").is_some_and(|url| url.ends_with("/second"))
    });
    spans.sort_by_key(|span| span.start_time_unix_nano);
    spans.try_into().expect("two attempts")
}

fn assert_two(spans: Vec<Span>, error: &str, heard: &Heard) {
    let [failed, other] = attempts(spans);
    for span in [&failed, &other] {
        assert_eq!(hex(&span.trace_id), TRACE);
        assert_eq!(hex(&span.parent_span_id), PARENT, "both are the caller's");
    }
    let of = |span: &Span, name: &str| attribute(&span.attributes, name);
    for span in [&failed, &other] {
        let port = of(span, "network.peer.port");
        assert!(port.is_some(), "each was sent");
        assert_eq!(port, of(span, "server.port"));
    }
    assert_eq!(of(&failed, "error.type").as_deref(), Some(error));
    assert_eq!(of(&failed, "http.request.resend_count"), None);
    assert_eq!(of(&failed, "http.response.status_code"), None);
    assert_eq!(of(&other, "error.type"), None);
    assert_eq!(
        of(&other, "http.request.resend_count").as_deref(),
        Some("1")
    );
    assert_eq!(
        of(&other, "http.response.status_code").as_deref(),
        Some("200")
    );
    assert!(failed.end_time_unix_nano <= other.start_time_unix_nano);
    let ids = [failed, other].map(|span| hex(&span.span_id));
    assert_ne!(ids[0], ids[1]);
    let heard = heard.lock().unwrap();
    assert_eq!(heard.len(), 2);
    for (id, (traceparent, b3)) in ids.iter().zip(&*heard) {
        assert_eq!(traceparent, &[format!("00-{TRACE}-{id}-01")]);
        assert_eq!(b3, &[format!("{TRACE}-{id}-1")]);
    }
}

fn context() -> String {
    format!("00-{TRACE}-{PARENT}-01")
}

fn ask(caller: &mut Wire, path: &str) {
    let context = context();
    let request = format!("GET {path} HTTP/1.1\r\nHost: h\r\ntraceparent: {context}\r\n\r\n");
    caller.send(request);
    let (head, _) = caller.message();
    assert!(head.starts_with("HTTP/1.1 200"), "{head}");
}

#[test]
fn each_attempt_over_http1_is_a_span_of_its_own() {
    let heard = Heard::default();
    let (receiver, component) = (Receiver::start(Speaks::Grpc), closing(&heard));
    let proxy = Proxy::start(&egress(&component.url(), receiver.endpoint()));
    let mut caller = Wire::connect(proxy.at(0));
    ask(&mut caller, "/first");
    ask(&mut caller, "/second");
    // An answer reaches its caller a moment before its request is counted, and recorded after that.
    streams::run(streams::until(|| proxy.export().recorded() == 3));
    let measured = Scrape::of(proxy.health()).matching(
        "http_client_request_duration_seconds_count",
        "listener",
        "egress",
    );
    assert_eq!(measured, 3, "an attempt is measured as it is recorded");
    drop(caller);
    assert_two(proxy.spans(&receiver, 3), "connection_closed", &heard);
}

#[test]
fn each_attempt_over_http2_is_a_span_of_its_own() {
    let heard = Heard::default();
    let (receiver, upstream) = (Receiver::start(Speaks::Grpc), refusing(&heard));
    let proxy = Proxy::start(&egress(&upstream.url(), receiver.endpoint()));
    let address = proxy.at(0);
    streams::run(async {
        let (mut caller, _ended) = streams::connect(address).await;
        let mut request = streams::request(Method::GET, address, "/second");
        let context = context().parse().expect("a value");
        request.headers_mut().insert("traceparent", context);
        let (response, _) = caller.send_request(request, true).expect("sent");
        assert_eq!(soon(response).await.expect("an answer").status(), 200);
    });
    assert_two(proxy.spans(&receiver, 2), "stream_reset", &heard);
}

#[test]
fn each_attempt_of_a_caller_of_http2_over_http1_is_a_span_of_its_own() {
    let heard = Heard::default();
    let (receiver, component) = (Receiver::start(Speaks::Grpc), closing(&heard));
    let yaml = egress(&component.url(), receiver.endpoint());
    let proxy = Proxy::start(&proxy::with_upstream(&yaml, "protocol: http1"));
    let address = proxy.at(0);
    streams::run(async {
        let (mut caller, _ended) = streams::connect(address).await;
        for path in ["/first", "/second"] {
            let mut request = streams::request(Method::GET, address, path);
            let context = context().parse().expect("a value");
            request.headers_mut().insert("traceparent", context);
            let (response, _) = caller.send_request(request, true).expect("sent");
            let response = soon(response).await.expect("an answer");
            assert_eq!(response.status(), 200);
            let mut body = response.into_body();
            streams::collect(&mut body).await.expect("a body");
        }
    });
    assert_two(proxy.spans(&receiver, 3), "connection_closed", &heard);
}

#[test]
fn a_request_that_is_not_sampled_is_sent_again_in_the_context_it_had() {
    let heard = Heard::default();
    let component = closing(&heard);
    let listeners = format!(
        "- name: a\n  bind: 127.0.0.1:0\n  direction: egress\n  upstream: {{url: \"{}\"}}\n",
        component.url()
    );
    let receiver = Receiver::start(Speaks::Grpc);
    let tracing = format!(
        "  samplingRatePerMillion: 0\n  export: {{endpoint: \"{}\"}}",
        receiver.endpoint()
    );
    let proxy = Proxy::start(&proxy::custom(&tracing, &listeners));
    let mut caller = Wire::connect(proxy.at(0));
    for path in ["/first", "/second"] {
        caller.send(format!("GET {path} HTTP/1.1\r\nHost: h\r\n\r\n"));
        assert!(caller.message().0.starts_with("HTTP/1.1 200"));
    }
    drop(caller);
    assert!(proxy.spans(&receiver, 0).is_empty());
    let heard = heard.lock().unwrap();
    let [(first, _), (second, _)] = &heard[..] else {
        panic!("{heard:?}");
    };
    assert_eq!(first, second);
    assert!(first.len() == 1 && first[0].ends_with("-02"), "{first:?}");
}

#[test]
fn where_no_context_leaves_the_second_attempt_brings_none_either() {
    let heard = Heard::default();
    let (receiver, component) = (Receiver::start(Speaks::Grpc), closing(&heard));
    let yaml = proxy::egress(&component.url(), receiver.endpoint(), "  propagate: none\n");
    let proxy = Proxy::start(&yaml);
    let mut caller = Wire::connect(proxy.at(0));
    ask(&mut caller, "/first");
    ask(&mut caller, "/second");
    drop(caller);
    let [failed, other] = attempts(proxy.spans(&receiver, 3));
    assert_ne!(failed.span_id, other.span_id);
    let none = (Vec::new(), Vec::new());
    assert_eq!(*heard.lock().unwrap(), [none.clone(), none]);
}
