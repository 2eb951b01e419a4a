//! Many streams, few places: the upstream's limits and its farewells.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use h2::Reason;
use tonic::Request;

use super::super::background::within;
use super::super::receiver::{Receiver, Speaks};
use super::super::wire::{Scripted, Wire};
use super::peer::{self, Call, Caller, Server, grpc_ok};
use super::service::Client;
use super::{ingress, recorded, spans};

/// Echoes bytes until the request ends.
async fn echo(mut call: Call) {
    let mut back = call.head();
    while let Some(Ok(chunk)) = call.request.body_mut().data().await {
        let _ = call
            .request
            .body_mut()
            .flow_control()
            .release_capacity(chunk.len());
        if back.send_data(chunk, false).is_err() {
            return;
        }
    }
    let _ = back.send_trailers(grpc_ok());
}

#[tokio::test]
async fn no_watch_waits_for_another_whatever_the_upstream_allows() {
    for allowed in [1, 2] {
        let receiver = Receiver::start(Speaks::Grpc);
        let mut settings = h2::server::Builder::new();
        settings.max_concurrent_streams(allowed);
        let (open, most) = (
            Arc::<[AtomicUsize; 16]>::default(),
            Arc::<AtomicUsize>::default(),
        );
        let peak = Arc::clone(&most);
        let server = Server::start(settings, move |call: Call| {
            let (open, peak) = (Arc::clone(&open), Arc::clone(&peak));
            async move {
                let open = &open[call.connection];
                peak.fetch_max(open.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
                echo(call).await;
                open.fetch_sub(1, Ordering::SeqCst);
            }
        });
        let proxy = ingress(&server.url(), &receiver);
        let caller = Caller::connect(proxy.at(0)).await;
        let mut watches = Vec::new();
        for _ in 0..8 {
            let mut call = caller.call("/test.Echo/Bidi").await;
            call.body
                .send_data(Bytes::from_static(b"0"), false)
                .unwrap();
            watches.push(call);
        }
        let mut bodies = Vec::new();
        for watch in &mut watches {
            bodies.push(watch.head().await.expect("its own place").into_body());
        }
        for _ in 0..3 {
            for (watch, body) in watches.iter_mut().zip(&mut bodies) {
                let event = within(body.data()).await.expect("open").unwrap();
                body.flow_control().release_capacity(event.len()).unwrap();
                assert_eq!(event, "0");
                watch.body.send_data(event, false).unwrap();
            }
        }
        assert_eq!(server.connections(), 8 / allowed as usize);
        assert!(most.load(Ordering::SeqCst) <= allowed as usize);
        assert_eq!(proxy.export().recorded(), 0, "all of them are open");

        // A place that has become free is used again.
        for (watch, body) in watches.iter_mut().zip(&mut bodies).take(2) {
            watch.finish(b"");
            peer::read(body).await.unwrap();
            assert!(within(body.trailers()).await.unwrap().is_some());
        }
        recorded(&proxy, 2).await;
        let mut call = caller.call("/test.Echo/Bidi").await;
        call.finish(b"again");
        let mut body = call.head().await.unwrap().into_body();
        assert_eq!(peer::read(&mut body).await.unwrap(), b"again");
        assert_eq!(server.connections(), 8 / allowed as usize);
        drop((watches, bodies, call, body, caller));
        recorded(&proxy, 9).await;
        assert_eq!(spans(proxy, &receiver).await.len(), 9);
    }
}

#[tokio::test]
async fn a_graceful_goaway_loses_no_request() {
    let receiver = Receiver::start(Speaks::Grpc);
    let served = Arc::<AtomicUsize>::default();
    let count = Arc::clone(&served);
    let server = Server::start(h2::server::Builder::new(), move |call: Call| {
        // Every few calls the connection says goodbye, while others are under way.
        if count.fetch_add(1, Ordering::Relaxed) % 10 == 9 {
            call.goaway.notify_one();
        }
        echo(call)
    });
    let proxy = ingress(&server.url(), &receiver);
    let address = proxy.at(0);
    let callers = (0..8).map(|_| async move {
        let mut client = Client::connect(address).await;
        for _ in 0..50 {
            let request = Request::new(Bytes::from("x"));
            let answer = client.unary("/test.Echo/Unary", request).await;
            assert_eq!(answer.expect("an answer").into_inner(), "x");
        }
    });
    let callers: Vec<_> = callers.map(tokio::spawn).collect();
    for caller in callers {
        within(caller).await.unwrap();
    }
    recorded(&proxy, 400).await;
    assert!(server.connections() > 10, "{}", server.connections());
    assert!(served.load(Ordering::Relaxed) >= 400);
    for span in spans(proxy, &receiver).await {
        assert_eq!(span.text("rpc.response.status_code"), "OK", "{span:?}");
    }
}

const SETTINGS: u8 = 4;
const HEADERS: u8 = 1;
const GOAWAY: u8 = 7;

fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).expect("a small frame");
    let mut bytes = length.to_be_bytes()[1..].to_vec();
    bytes.extend([kind, flags]);
    bytes.extend(stream.to_be_bytes());
    bytes.extend(payload);
    bytes
}

/// Reads frames up to a request's head; its stream.
fn head(wire: &mut Wire) -> u32 {
    loop {
        let head = wire.exactly(9);
        let length = u32::from_be_bytes([0, head[0], head[1], head[2]]);
        wire.exactly(length as usize);
        if head[3] == HEADERS {
            return u32::from_be_bytes([head[5], head[6], head[7], head[8]]);
        }
    }
}

/// An upstream whose first connection says goodbye and that it has processed nothing; the second
/// answers 200.
fn refuses_first() -> Scripted {
    Scripted::start(2, |index, mut wire| {
        wire.exactly(24);
        wire.send(frame(SETTINGS, 0, 0, &[]));
        wire.send(frame(SETTINGS, 1, 0, &[]));
        let stream = head(&mut wire);
        if index == 0 {
            wire.send(frame(GOAWAY, 0, 0, &[0; 8]));
        } else {
            // `:status: 200` of HPACK's static table; the stream and the headers end.
            wire.send(frame(HEADERS, 0x5, stream, &[0x88]));
        }
        wire.rest();
    })
}

#[tokio::test]
async fn a_bodyless_request_the_upstream_has_not_processed_is_sent_again() {
    let receiver = Receiver::start(Speaks::Grpc);
    let upstream = refuses_first();
    let proxy = ingress(&upstream.url(), &receiver);
    let caller = Caller::connect(proxy.at(0)).await;
    let response = caller.get("/").await.expect("an answer");
    assert_eq!(response.status(), 200);
    recorded(&proxy, 1).await;
    drop((response, caller));
    let span = spans(proxy, &receiver).await.remove(0);
    assert_eq!(span.text("http.request.resend_count"), "1");
}

#[tokio::test]
async fn a_call_the_upstream_has_not_processed_is_sent_again_with_what_was_sent_of_it() {
    let receiver = Receiver::start(Speaks::Grpc);
    let upstream = refuses_first();
    let proxy = ingress(&upstream.url(), &receiver);
    let caller = Caller::connect(proxy.at(0)).await;
    let mut call = caller.call("/test.Echo/Unary").await;
    call.body
        .send_data(Bytes::from_static(b"part"), false)
        .unwrap();
    let response = call.head().await.expect("an answer");
    assert_eq!(response.status(), 200);
    recorded(&proxy, 1).await;
    drop((call, response, caller));
    let span = spans(proxy, &receiver).await.remove(0);
    assert_eq!(span.text("http.request.resend_count"), "1");
}

#[tokio::test]
async fn a_refused_bodyless_request_is_sent_again_once() {
    let receiver = Receiver::start(Speaks::Grpc);
    let attempts = Arc::<AtomicUsize>::default();
    let count = Arc::clone(&attempts);
    let server = Server::start(h2::server::Builder::new(), move |mut call: Call| {
        let attempt = count.fetch_add(1, Ordering::Relaxed);
        async move {
            if call.request.uri().path() == "/never" || attempt == 0 {
                call.respond.send_reset(Reason::REFUSED_STREAM);
            } else {
                call.respond
                    .send_response(http::Response::new(()), true)
                    .unwrap();
            }
        }
    });
    let proxy = ingress(&server.url(), &receiver);
    let caller = Caller::connect(proxy.at(0)).await;
    assert_eq!(caller.get("/second").await.unwrap().status(), 200);
    assert_eq!(attempts.load(Ordering::Relaxed), 2);
    let error = caller.get("/never").await.expect_err("a reset");
    assert_eq!(error.reason(), Some(Reason::REFUSED_STREAM));
    assert_eq!(attempts.load(Ordering::Relaxed), 4);
    recorded(&proxy, 2).await;
    drop(caller);
    let spans = spans(proxy, &receiver).await;
    for span in &spans {
        assert_eq!(span.text("http.request.resend_count"), "1");
    }
    assert!(!spans[0].failed() && spans[1].failed());
}

#[tokio::test]
async fn a_slow_reader_holds_up_only_itself() {
    let receiver = Receiver::start(Speaks::Grpc);
    let server = Server::start(h2::server::Builder::new(), |mut call: Call| async move {
        let mut back = call.head();
        if call.request.uri().path() == "/flood" {
            // As much as anybody takes, for as long as anybody does.
            loop {
                back.reserve_capacity(16 * 1024);
                match std::future::poll_fn(|cx| back.poll_capacity(cx)).await {
                    Some(Ok(capacity)) => {
                        if back.send_data(vec![0; capacity].into(), false).is_err() {
                            return;
                        }
                    }
                    _ => return,
                }
            }
        }
        let _ = back.send_trailers(grpc_ok());
    });
    let proxy = ingress(&server.url(), &receiver);
    let caller = Caller::connect(proxy.at(0)).await;
    let mut flood = caller.call("/flood").await;
    let unread = flood.head().await.unwrap();
    tokio::time::timeout(Duration::from_secs(10), async {
        for _ in 0..20 {
            // A connection of their own, as the flood has filled its connection's window.
            let other = Caller::connect(proxy.at(0)).await;
            let mut call = other.call("/test.Echo/Unary").await;
            call.finish(b"");
            let mut body = call.head().await.unwrap().into_body();
            peer::read(&mut body).await.unwrap();
            assert!(within(body.trailers()).await.unwrap().is_some());
        }
    })
    .await
    .expect("the others go on");
    drop((flood, unread, caller));
    recorded(&proxy, 21).await;
    drop(proxy);
}
