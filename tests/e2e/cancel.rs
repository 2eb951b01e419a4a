//! Whoever goes away is noticed at once on the other side, and the span ends once.

use std::sync::mpsc;
use std::time::Duration;

use bytes::Bytes;
use http::{Method, Response};

use super::proxy::{self, Proxy};
use super::receiver::{Receiver, Speaks, attribute};
use super::streams::{self, Upstream, soon};
use super::wire::{Scripted, Wire};

/// "At once" for a machine that does other things too; far below every timeout.
const PROMPTLY: Duration = Duration::from_secs(3);

const GET: &str = "GET /watch HTTP/1.1\r\nHost: h\r\n\r\n";

fn cancelled_once(receiver: &Receiver, proxy: Proxy) {
    let span = proxy.spans(receiver, 1).remove(0);
    let say = |key| attribute(&span.attributes, key);
    assert_eq!(say("tracegate.cancelled").as_deref(), Some("true"));
    assert_eq!(say("error.type"), None);
}

/// Sends what it is told when it is told; says when the connection's end was seen.
fn component(answer: &'static str) -> (Scripted, mpsc::Receiver<()>, mpsc::Receiver<Vec<u8>>) {
    let (came, comes) = mpsc::channel();
    let (ended, ends) = mpsc::channel();
    let component = Scripted::start(1, move |_, mut wire| {
        wire.head();
        wire.send(answer);
        came.send(()).expect("the test waits");
        ended.send(wire.rest()).expect("the test waits");
    });
    (component, comes, ends)
}

#[test]
fn a_caller_that_leaves_while_waiting_closes_the_upstream_connection() {
    let receiver = Receiver::start(Speaks::Grpc);
    let (component, comes, ends) = component("");
    let proxy = Proxy::start(&proxy::ingress(&component.url(), receiver.endpoint(), ""));
    let mut caller = Wire::connect(proxy.at(0));
    caller.send(GET);
    comes.recv_timeout(PROMPTLY).expect("the request came");
    drop(caller);
    ends.recv_timeout(PROMPTLY).expect("closed promptly");
    component.join();
    cancelled_once(&receiver, proxy);
}

#[test]
fn a_caller_that_leaves_a_silent_watch_closes_the_upstream_connection() {
    let receiver = Receiver::start(Speaks::Grpc);
    let (component, comes, ends) =
        component("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nevent\r\n");
    let proxy = Proxy::start(&proxy::ingress(&component.url(), receiver.endpoint(), ""));
    let mut caller = Wire::connect(proxy.at(0));
    caller.send(GET);
    comes.recv_timeout(PROMPTLY).expect("the request came");
    caller.head();
    assert_eq!(caller.exactly(10), b"5\r\nevent\r\n");
    drop(caller);
    ends.recv_timeout(PROMPTLY).expect("closed promptly");
    component.join();
    cancelled_once(&receiver, proxy);
}

#[test]
fn a_reset_stream_closes_the_http1_connection_behind_it() {
    for answer in ["", "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nbegin"] {
        let receiver = Receiver::start(Speaks::Grpc);
        let (component, comes, ends) = component(answer);
        let yaml = proxy::ingress(&component.url(), receiver.endpoint(), "");
        let yaml = proxy::with_upstream(&yaml, "protocol: http1");
        let proxy = Proxy::start(&yaml);
        let address = proxy.at(0);
        streams::run(async {
            let (mut caller, _ended) = streams::connect(address).await;
            let request = streams::request(Method::GET, address, "/watch");
            let (response, mut stream) = caller.send_request(request, true).expect("sent");
            tokio::task::spawn_blocking(move || comes.recv_timeout(PROMPTLY))
                .await
                .expect("no panic")
                .expect("the request came");
            let mut held = None;
            if !answer.is_empty() {
                held = Some(soon(response).await.expect("an answer"));
            }
            stream.send_reset(h2::Reason::CANCEL);
            tokio::task::spawn_blocking(move || ends.recv_timeout(PROMPTLY))
                .await
                .expect("no panic")
                .expect("closed promptly");
            drop(held);
        });
        component.join();
        cancelled_once(&receiver, proxy);
    }
}

/// Answers with a head (and an event) if told so, then waits for the stream's reset and tells it.
fn streaming(
    answers: bool,
    reads: bool,
) -> (Upstream, mpsc::Receiver<()>, mpsc::Receiver<h2::Reason>) {
    let (came, comes) = mpsc::channel();
    let (reset, resets) = mpsc::channel();
    let upstream = Upstream::start(move |listener| async move {
        let mut connection = streams::accept(&listener).await;
        while let Some(Ok((request, mut respond))) = connection.accept().await {
            let (came, reset) = (came.clone(), reset.clone());
            tokio::spawn(async move {
                let mut body = request.into_body();
                if reads {
                    let _ = body.data().await;
                }
                let _ = came.send(());
                let reason = if answers {
                    let mut send = respond
                        .send_response(Response::new(()), false)
                        .expect("sent");
                    send.send_data(Bytes::from_static(b"event"), false)
                        .expect("sent");
                    std::future::poll_fn(|cx| send.poll_reset(cx)).await
                } else {
                    std::future::poll_fn(|cx| respond.poll_reset(cx)).await
                };
                let _ = reset.send(reason.expect("a reset"));
            });
        }
    });
    (upstream, comes, resets)
}

#[test]
fn a_caller_that_leaves_resets_the_upstreams_stream() {
    for (http2, answers) in [(false, false), (false, true), (true, false), (true, true)] {
        let receiver = Receiver::start(Speaks::Grpc);
        let (upstream, comes, resets) = streaming(answers, false);
        let yaml = proxy::ingress(&upstream.url(), receiver.endpoint(), "");
        let yaml = proxy::with_upstream(&yaml, "protocol: http2");
        let proxy = Proxy::start(&yaml);
        let address = proxy.at(0);
        if http2 {
            streams::run(async {
                let (mut caller, _ended) = streams::connect(address).await;
                let request = streams::request(Method::GET, address, "/watch");
                let (response, mut stream) = caller.send_request(request, true).expect("sent");
                tokio::task::spawn_blocking(move || comes.recv_timeout(PROMPTLY))
                    .await
                    .expect("no panic")
                    .expect("the request came");
                if answers {
                    let mut body = soon(response).await.expect("an answer").into_body();
                    soon(body.data()).await.expect("data").expect("data");
                    stream.send_reset(h2::Reason::CANCEL);
                } else {
                    stream.send_reset(h2::Reason::CANCEL);
                }
                tokio::time::sleep(Duration::from_millis(1)).await;
                let reason = tokio::task::spawn_blocking(move || resets.recv_timeout(PROMPTLY));
                let reason = reason.await.expect("no panic").expect("reset promptly");
                assert_eq!(reason, h2::Reason::CANCEL);
            });
        } else {
            let mut caller = Wire::connect(address);
            caller.send(GET);
            comes.recv_timeout(PROMPTLY).expect("the request came");
            if answers {
                caller.head();
            }
            drop(caller);
            let reason = resets.recv_timeout(PROMPTLY).expect("reset promptly");
            assert_eq!(
                reason,
                h2::Reason::CANCEL,
                "http2 {http2}, answers {answers}"
            );
        }
        cancelled_once(&receiver, proxy);
    }
}

#[test]
fn a_caller_that_leaves_while_uploading_cancels_the_upstreams_stream() {
    let receiver = Receiver::start(Speaks::Grpc);
    let (upstream, comes, resets) = streaming(false, true);
    let yaml = proxy::ingress(&upstream.url(), receiver.endpoint(), "");
    let yaml = proxy::with_upstream(&yaml, "protocol: http2");
    let proxy = Proxy::start(&yaml);
    let mut caller = Wire::connect(proxy.at(0));
    caller.send("POST /up HTTP/1.1\r\nHost: h\r\nContent-Length: 100\r\n\r\nbegin");
    comes.recv_timeout(PROMPTLY).expect("the request came");
    drop(caller);
    let reason = resets.recv_timeout(PROMPTLY).expect("reset promptly");
    assert_eq!(reason, h2::Reason::CANCEL);
    cancelled_once(&receiver, proxy);
}

#[test]
fn an_upstream_that_dies_in_mid_body_leaves_a_truncated_answer() {
    for answer in [
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nbegin\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nbegin",
    ] {
        for http2 in [false, true] {
            let receiver = Receiver::start(Speaks::Grpc);
            let component = Scripted::start(1, move |_, mut wire| {
                wire.head();
                wire.send(answer);
            });
            let yaml = proxy::ingress(&component.url(), receiver.endpoint(), "");
            let yaml = proxy::with_upstream(&yaml, "protocol: http1");
            let proxy = Proxy::start(&yaml);
            let address = proxy.at(0);
            if http2 {
                streams::run(async {
                    let (mut caller, _ended) = streams::connect(address).await;
                    let request = streams::request(Method::GET, address, "/");
                    let (response, _) = caller.send_request(request, true).expect("sent");
                    let mut body = soon(response).await.expect("an answer").into_body();
                    let error = soon(streams::collect(&mut body))
                        .await
                        .expect_err("truncated");
                    assert!(error.is_reset(), "{error}");
                });
            } else {
                let mut caller = Wire::connect(address);
                caller.send(GET);
                let head = caller.head();
                assert!(head.starts_with("HTTP/1.1 200 "), "{head}");
                let body = caller.rest();
                assert!(!body.ends_with(b"0\r\n\r\n"), "no clean end");
                assert!(body.windows(5).any(|w| w == b"begin"), "{body:?}");
            }
            component.join();
            let span = proxy.spans(&receiver, 1).remove(0);
            let say = |key| attribute(&span.attributes, key);
            assert_eq!(say("error.type").as_deref(), Some("connection_closed"));
            assert_eq!(say("http.response.status_code").as_deref(), Some("200"));
        }
    }
}

#[test]
fn an_upstreams_reset_code_reaches_the_caller() {
    for code in [
        h2::Reason::CANCEL,
        h2::Reason::ENHANCE_YOUR_CALM,
        h2::Reason::INADEQUATE_SECURITY,
        h2::Reason::NO_ERROR,
    ] {
        for answers in [false, true] {
            let receiver = Receiver::start(Speaks::Grpc);
            let upstream = Upstream::start(move |listener| async move {
                let mut connection = streams::accept(&listener).await;
                while let Some(Ok((_, mut respond))) = connection.accept().await {
                    if answers {
                        let mut send = respond
                            .send_response(Response::new(()), false)
                            .expect("sent");
                        send.send_data(Bytes::from_static(b"begin"), false)
                            .expect("sent");
                        tokio::spawn(async move {
                            // What was sent must leave before the reset takes it back.
                            tokio::time::sleep(Duration::from_millis(20)).await;
                            send.send_reset(code);
                        });
                    } else {
                        respond.send_reset(code);
                    }
                }
            });
            let proxy = Proxy::start(&proxy::ingress(&upstream.url(), receiver.endpoint(), ""));
            let address = proxy.at(0);
            let error = streams::run(async {
                let (mut caller, _ended) = streams::connect(address).await;
                let request = streams::request(Method::POST, address, "/");
                let (response, mut send) = caller.send_request(request, false).expect("sent");
                send.send_data("x".into(), true).expect("sent");
                match soon(response).await {
                    Err(error) => error,
                    Ok(answer) => {
                        let mut body = answer.into_body();
                        soon(streams::collect(&mut body))
                            .await
                            .expect_err("a reset")
                    }
                }
            });
            let expected = match code {
                // Half an answer isn't a whole one, whatever the upstream calls it.
                h2::Reason::NO_ERROR if answers => h2::Reason::INTERNAL_ERROR,
                code => code,
            };
            assert_eq!(error.reason(), Some(expected), "answers: {answers}");
            assert!(error.is_reset(), "{error}");
            let span = proxy.spans(&receiver, 1).remove(0);
            let say = |key| attribute(&span.attributes, key);
            assert_eq!(
                say("error.type").as_deref(),
                Some("stream_reset"),
                "{code:?}"
            );
        }
    }
}

#[test]
fn every_chunk_of_a_watch_comes_at_once() {
    let (next, nexts) = mpsc::channel::<()>();
    let component = Scripted::start(1, move |_, mut wire| {
        wire.head();
        wire.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n");
        for event in 0..5 {
            wire.send(format!("7\r\nevent {event}\r\n"));
            // The next one isn't sent before this one has been read at the far end.
            nexts
                .recv_timeout(PROMPTLY)
                .expect("the event came at once");
        }
        wire.send("0\r\n\r\n");
    });
    let proxy = Proxy::start(&proxy::ingress(&component.url(), "http://127.0.0.1:1", ""));
    let mut caller = Wire::connect(proxy.at(0));
    caller.send(GET);
    caller.head();
    for event in 0..5 {
        assert_eq!(
            caller.exactly(12),
            format!("7\r\nevent {event}\r\n").as_bytes()
        );
        next.send(()).expect("the component waits");
    }
    assert_eq!(caller.exactly(5), b"0\r\n\r\n");
    component.join();
}
