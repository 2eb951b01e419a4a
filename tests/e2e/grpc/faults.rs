//! How calls end when they don't end well: resets, cancellation, absent upstreams, trailers.

use std::sync::Arc;

use bytes::Bytes;
use h2::Reason;
use http::{HeaderMap, HeaderValue};
use tokio::sync::{Notify, mpsc};
use tonic::{Code, Request};

use super::super::background::{listener, within};
use super::super::proxy::{self, Proxy};
use super::super::receiver::{Receiver, Speaks};
use super::super::wire::{self, Scripted, Wire};
use super::peer::{self, Call, Caller, Server, grpc_ok};
use super::service::Client;
use super::{ingress, recorded, spans};

/// The codes a peer may reset a stream with, but for those that gRPC gives a meaning of its own
/// they are all INTERNAL: what matters is that none becomes another.
const CODES: [Reason; 6] = [
    Reason::REFUSED_STREAM,
    Reason::ENHANCE_YOUR_CALM,
    Reason::INTERNAL_ERROR,
    Reason::CANCEL,
    Reason::INADEQUATE_SECURITY,
    Reason::PROTOCOL_ERROR,
];

fn code(path: &str) -> Reason {
    let number = path.rsplit('/').next().and_then(|n| n.parse::<u32>().ok());
    Reason::from(number.expect("a code in the path"))
}

#[tokio::test]
async fn the_upstreams_reset_codes_reach_the_caller_unchanged() {
    let receiver = Receiver::start(Speaks::Grpc);
    let server = Server::start(h2::server::Builder::new(), |mut call: Call| async move {
        let path = call.request.uri().path().to_owned();
        if path.starts_with("/late/") {
            let mut body = call.head();
            body.send_data(Bytes::from_static(b"part"), false).unwrap();
            // Only what has been relayed is sure to stay: a reset overtakes queued data.
            let _ = call.read().await;
            body.send_reset(code(&path));
        } else {
            let _ = call.read().await;
            call.respond.send_reset(code(&path));
        }
    });
    let proxy = ingress(&server.url(), &receiver);
    let caller = Caller::connect(proxy.at(0)).await;
    for expected in CODES {
        let mut early = caller
            .call(&format!("/early/{}", u32::from(expected)))
            .await;
        early.finish(b"a body");
        let error = early.head().await.expect_err("a reset");
        assert!(error.is_reset() && error.is_remote(), "{error}");
        assert_eq!(error.reason(), Some(expected), "instead of a head");

        let mut late = caller.call(&format!("/late/{}", u32::from(expected))).await;
        let mut body = late.head().await.unwrap().into_body();
        assert_eq!(within(body.data()).await.unwrap().unwrap(), "part");
        late.finish(b"a body");
        let error = peer::read(&mut body).await.expect_err("a reset");
        assert!(error.is_reset() && error.is_remote(), "{error}");
        assert_eq!(error.reason(), Some(expected), "after a part");
    }
    let made = 2 * CODES.len();
    recorded(&proxy, made as u64).await;
    drop(caller);
    for span in spans(proxy, &receiver).await {
        assert!(span.failed(), "{span:?}");
        assert_eq!(span.text("error.type"), "stream_reset");
    }
}

#[tokio::test]
async fn a_response_that_is_cut_off_never_looks_complete() {
    let receiver = Receiver::start(Speaks::Grpc);
    let server = Server::start(h2::server::Builder::new(), |mut call: Call| async move {
        let mut body = call.head();
        body.send_data(Bytes::from_static(b"part"), false).unwrap();
        let _ = call.read().await;
        body.send_reset(Reason::NO_ERROR);
    });
    let proxy = ingress(&server.url(), &receiver);
    let caller = Caller::connect(proxy.at(0)).await;
    let mut call = caller.call("/test.Echo/Unary").await;
    let mut body = call.head().await.unwrap().into_body();
    assert_eq!(within(body.data()).await.unwrap().unwrap(), "part");
    call.finish(b"");
    let error = peer::read(&mut body).await.expect_err("not an end");
    assert_ne!(error.reason(), Some(Reason::NO_ERROR), "it reads as an end");
    recorded(&proxy, 1).await;
    drop(caller);
    let span = spans(proxy, &receiver).await.remove(0);
    assert_eq!(span.text("error.type"), "stream_reset");
}

#[tokio::test]
async fn a_response_that_is_cut_off_breaks_off_its_chunks_for_callers_of_http1() {
    let receiver = Receiver::start(Speaks::Grpc);
    let read = Arc::new(Notify::new());
    let go_on = Arc::clone(&read);
    let server = Server::start(h2::server::Builder::new(), move |mut call: Call| {
        let go_on = Arc::clone(&go_on);
        async move {
            let mut body = call.head();
            body.send_data(Bytes::from_static(b"part"), false).unwrap();
            go_on.notified().await;
            if call.request.uri().path() == "/cut" {
                body.send_reset(Reason::NO_ERROR);
            } else {
                body.send_data(Bytes::new(), true).unwrap();
            }
        }
    });
    let upstream = format!("{{url: \"{}\", protocol: http2}}", server.url());
    let proxy = Proxy::start(&proxy::listening(
        "ingress",
        "127.0.0.1:0",
        &upstream,
        receiver.endpoint(),
        "",
    ));
    let at = proxy.at(0);
    for (path, whole) in [("/whole", true), ("/cut", false)] {
        let request = format!("GET {path} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
        let read = Arc::clone(&read);
        let exchange = move || {
            let mut wire = Wire::connect(at);
            wire.send(request);
            let head = wire.head();
            assert_eq!(wire.exactly(9), b"4\r\npart\r\n");
            read.notify_one();
            (head, wire.rest())
        };
        let (head, rest) = tokio::task::spawn_blocking(exchange).await.unwrap();
        assert!(head.starts_with("HTTP/1.1 200 OK\r\n"), "{head}");
        let end: &[u8] = if whole { b"0\r\n\r\n" } else { b"" };
        assert_eq!(rest, end, "{path}");
    }
    recorded(&proxy, 2).await;
    let spans = spans(proxy, &receiver).await;
    assert!(!spans[0].failed());
    assert_eq!(spans[1].text("error.type"), "stream_reset");
}

#[tokio::test]
async fn a_request_that_is_cut_off_never_looks_complete() {
    let receiver = Receiver::start(Speaks::Grpc);
    let (tell, mut told) = mpsc::unbounded_channel();
    let server = Server::start(h2::server::Builder::new(), move |mut call: Call| {
        let tell = tell.clone();
        async move {
            let _open = call.head();
            let body = call.request.body_mut();
            let part = within(body.data()).await.expect("a part");
            let _ = tell.send(part.map(|_| ()).map_err(|error| error.reason()));
            let rest = peer::read(body).await;
            let _ = tell.send(rest.map(|_| ()).map_err(|error| error.reason()));
        }
    });
    let proxy = ingress(&server.url(), &receiver);
    for sent in [Reason::NO_ERROR, Reason::CANCEL, Reason::INTERNAL_ERROR] {
        let caller = Caller::connect(proxy.at(0)).await;
        let mut call = caller.call("/test.Echo/Unary").await;
        call.body
            .send_data(Bytes::from_static(b"part"), false)
            .unwrap();
        assert_eq!(within(told.recv()).await, Some(Ok(())));
        let response = call.head().await.unwrap();
        call.body.send_reset(sent);
        let ended = within(told.recv()).await.expect("an end");
        let reason = ended.expect_err("an error").expect("a reset");
        assert_ne!(reason, Reason::NO_ERROR, "which reads as an end");
        drop(response);
    }
    drop(proxy);
}

#[tokio::test]
async fn a_request_that_is_cut_off_breaks_off_its_chunks_for_an_upstream_of_http1() {
    let receiver = Receiver::start(Speaks::Grpc);
    let (tell, mut told) = mpsc::unbounded_channel();
    let upstream = Scripted::start(3, move |_, mut wire| {
        wire.head();
        assert_eq!(wire.exactly(9), b"4\r\npart\r\n");
        wire.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n");
        let _ = tell.send(wire.rest());
    });
    let target = format!("{{url: \"{}\", protocol: http1}}", upstream.url());
    let proxy = Proxy::start(&proxy::listening(
        "ingress",
        "127.0.0.1:0",
        &target,
        receiver.endpoint(),
        "",
    ));
    for code in [Reason::NO_ERROR, Reason::CANCEL, Reason::INTERNAL_ERROR] {
        let caller = Caller::connect(proxy.at(0)).await;
        let mut call = caller.call("/test.Echo/Unary").await;
        call.body
            .send_data(Bytes::from_static(b"part"), false)
            .unwrap();
        let response = call.head().await.unwrap();
        call.body.send_reset(code);
        let rest = within(told.recv()).await.expect("an end");
        assert!(rest.is_empty(), "{code:?} became {rest:?}");
        drop(response);
    }
    drop(proxy);
}

/// Tells when a call has come and by what code it was cancelled.
fn patient(tell: mpsc::UnboundedSender<Option<Reason>>) -> Server {
    Server::start(h2::server::Builder::new(), move |mut call: Call| {
        let tell = tell.clone();
        async move {
            let reason = if call.request.uri().path() == "/test.Echo/Bidi" {
                let mut stream = call.head();
                let _ = tell.send(None);
                peer::reset(&mut stream).await
            } else {
                let _ = tell.send(None);
                let respond = &mut call.respond;
                let reset = std::future::poll_fn(|cx| respond.poll_reset(cx));
                within(reset).await.expect("a reset")
            };
            let _ = tell.send(Some(reason));
        }
    })
}

#[tokio::test]
async fn a_cancelled_call_is_cancelled_upstream_and_is_nobodys_error() {
    let receiver = Receiver::start(Speaks::Grpc);
    let (tell, mut told) = mpsc::unbounded_channel();
    let server = patient(tell);
    let proxy = ingress(&server.url(), &receiver);
    let mut next = async || within(told.recv()).await.expect("an event");
    let cancelled = Some(Reason::CANCEL);

    // Before the head, its body sent.
    let caller = Caller::connect(proxy.at(0)).await;
    let mut call = caller.call("/test.Echo/Unary").await;
    call.finish(b"whole");
    assert_eq!(next().await, None);
    call.body.send_reset(Reason::CANCEL);
    assert_eq!(next().await, cancelled);

    // Before the head, its body open.
    let mut call = caller.call("/test.Echo/Unary").await;
    assert_eq!(next().await, None);
    call.body.send_reset(Reason::CANCEL);
    assert_eq!(next().await, cancelled);

    // After the head: a watch that nobody watches any more.
    let mut call = caller.call("/test.Echo/Bidi").await;
    let response = call.head().await.unwrap();
    assert_eq!(next().await, None);
    call.body.send_reset(Reason::CANCEL);
    assert_eq!(next().await, cancelled);

    // The caller's connection is gone altogether.
    let mut call = caller.call("/test.Echo/Bidi").await;
    let watched = call.head().await.unwrap();
    assert_eq!(next().await, None);
    drop((call, response, watched, caller));
    assert_eq!(next().await, cancelled);

    // A deadline of the caller's library.
    let mut client = Client::connect(proxy.at(0)).await;
    let mut request = Request::new(Bytes::new());
    request.set_timeout(std::time::Duration::from_millis(100));
    let status = client.unary("/test.Echo/Unary", request).await;
    assert_eq!(status.unwrap_err().code(), Code::Cancelled);
    assert_eq!(next().await, None);
    assert_eq!(next().await, cancelled);

    recorded(&proxy, 5).await;
    drop(client);
    for span in spans(proxy, &receiver).await {
        assert_eq!(span.text("tracegate.cancelled"), "true", "{span:?}");
        assert!(!span.failed());
    }
}

#[tokio::test]
async fn an_early_answer_is_whole_though_the_upstream_reads_no_further() {
    let receiver = Receiver::start(Speaks::Grpc);
    let server = Server::start(h2::server::Builder::new(), |mut call: Call| async move {
        let mut body = call.head();
        body.send_data(Bytes::from_static(b"no"), false).unwrap();
        body.send_trailers(grpc_ok()).unwrap();
        // The request is dropped unread: its stream is reset with NO_ERROR.
    });
    let proxy = ingress(&server.url(), &receiver);
    let caller = Caller::connect(proxy.at(0)).await;
    for _ in 0..20 {
        let mut call = caller.call("/test.Echo/Unary").await;
        let mut body = call.head().await.unwrap().into_body();
        assert_eq!(peer::read(&mut body).await.unwrap(), b"no");
        assert!(within(body.trailers()).await.unwrap().is_some());
    }
    recorded(&proxy, 20).await;
    drop(caller);
    for span in spans(proxy, &receiver).await {
        assert_eq!(span.text("rpc.response.status_code"), "OK");
    }
}

#[tokio::test]
async fn unimplemented_stays_a_trailers_only_response() {
    let receiver = Receiver::start(Speaks::Grpc);
    let service = super::service::Server::start();
    let proxy = ingress(&service.url(), &receiver);
    let caller = Caller::connect(proxy.at(0)).await;
    let mut call = caller.call("/runtime.v1.RuntimeService/Nothing").await;
    call.finish(b"\0\0\0\0\0");
    let response = call.head().await.unwrap();
    assert_eq!(response.headers()["grpc-status"], "12");
    assert!(response.body().is_end_stream(), "one frame, as it was sent");
    drop((call, response, caller));
    spans(proxy, &receiver).await;
}

#[tokio::test]
async fn trailers_pass_both_ways_without_context() {
    let receiver = Receiver::start(Speaks::Grpc);
    let (tell, mut told) = mpsc::unbounded_channel();
    let server = Server::start(h2::server::Builder::new(), move |mut call: Call| {
        let tell = tell.clone();
        async move {
            let (_, trailers) = call.read().await;
            let _ = tell.send(trailers);
            let mut trailers = grpc_ok();
            trailers.insert("x-kept", HeaderValue::from_static("yes"));
            trailers.insert("b3", HeaderValue::from_static("0"));
            call.head().send_trailers(trailers).unwrap();
        }
    });
    let proxy = ingress(&server.url(), &receiver);
    let caller = Caller::connect(proxy.at(0)).await;
    let mut call = caller.call("/test.Echo/Unary").await;
    let mut trailers = HeaderMap::new();
    for (name, value) in [
        (
            "traceparent",
            "00-0af7651916cd43dd8448eb211c80319c-00f067aa0ba902b7-01",
        ),
        (
            "trace_parent",
            "00-0af7651916cd43dd8448eb211c80319c-00f067aa0ba902b7-01",
        ),
        ("baggage", "a=b"),
        ("x-b3-traceid", "1"),
        ("x-kept", "yes"),
    ] {
        trailers.insert(name, HeaderValue::from_static(value));
    }
    call.body
        .send_data(Bytes::from_static(b"x"), false)
        .unwrap();
    call.body.send_trailers(trailers).unwrap();
    let names = |trailers: Option<HeaderMap>| -> Vec<String> {
        let trailers = trailers.expect("trailers");
        let mut names: Vec<_> = trailers.keys().map(ToString::to_string).collect();
        names.sort();
        names
    };
    assert_eq!(names(within(told.recv()).await.unwrap()), ["x-kept"]);
    let mut body = call.head().await.unwrap().into_body();
    assert!(peer::read(&mut body).await.unwrap().is_empty());
    let back = within(body.trailers()).await.unwrap();
    assert_eq!(names(back), ["grpc-status", "x-kept"]);
    drop((call, body, caller));
    let span = spans(proxy, &receiver).await.remove(0);
    assert_eq!(span.text("rpc.response.status_code"), "OK");
}

#[tokio::test]
async fn an_absent_upstream_is_told_in_the_callers_own_protocol() {
    let receiver = Receiver::start(Speaks::Grpc);
    let (nobody, address) = listener();
    drop(nobody);
    let proxy = ingress(&format!("http://{address}"), &receiver);
    let mut client = Client::connect(proxy.at(0)).await;
    let request = Request::new(Bytes::new());
    let status = client.unary("/test.Echo/Unary", request).await;
    let status = status.unwrap_err();
    assert_eq!(status.code(), Code::Unavailable);
    assert!(status.message().contains("no connection"), "{status}");
    let caller = Caller::connect(proxy.at(0)).await;
    let response = caller.get("/").await.unwrap();
    assert_eq!(response.status(), 503);
    assert!(response.headers().get("grpc-status").is_none());
    let at = proxy.at(0);
    let answer = tokio::task::spawn_blocking(move || {
        wire::exchange(at, "GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
    });
    let answer = answer.await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 503 "), "{answer}");
    recorded(&proxy, 3).await;
    drop((client, caller, response));
    let spans = spans(proxy, &receiver).await;
    for span in &spans {
        assert!(span.failed());
        assert_eq!(span.text("error.type"), "connect_error");
    }
    assert_eq!(spans[0].text("rpc.response.status_code"), "UNAVAILABLE");
    assert_eq!(spans[1].text("http.response.status_code"), "503");
}
