//! What is sent again, once, and what never is.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, mpsc};
use std::time::Duration;

use bytes::Bytes;
use http::{Method, Response};

use super::component::{Component, PATIENCE};
use super::metrics::Scrape;
use super::proxy::{self, Proxy};
use super::receiver::{Receiver, Speaks, attribute};
use super::streams::{self, Upstream, soon};
use super::wire::{Scripted, Wire};

const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
const NOWHERE: &str = "http://127.0.0.1:1";

fn get(path: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nHost: h\r\n\r\n")
}

fn post(path: &str) -> String {
    format!("POST {path} HTTP/1.1\r\nHost: h\r\nContent-Length: 4\r\n\r\nbody")
}

fn status(caller: &mut Wire) -> String {
    let (head, _) = caller.message();
    head.get(9..12).unwrap_or_default().to_owned()
}

/// The upstream closes a kept connection just when the next request is written to it.
#[test]
fn a_dying_idle_connection_costs_no_request_without_a_body() {
    const ROUNDS: usize = 50;
    let component = Scripted::start(ROUNDS + 1, |index, mut wire| {
        if !wire.head().is_empty() {
            wire.send(OK);
        }
        // No word: the end comes at the time of the next request, sometimes before it, sometimes
        // after.
        std::thread::sleep(Duration::from_micros(index as u64 * 20));
    });
    let proxy = Proxy::start(&proxy::ingress(&component.url(), NOWHERE, ""));
    let mut caller = Wire::connect(proxy.at(0));
    for round in 0..ROUNDS {
        caller.send(get(&format!("/{round}")));
        assert_eq!(status(&mut caller), "200", "round {round}");
    }
}

#[test]
fn an_idempotent_request_is_sent_again_on_a_connection_that_closed_without_a_word() {
    for reset in [false, true] {
        let receiver = Receiver::start(Speaks::Grpc);
        let component = Scripted::start(2, move |index, mut wire| {
            wire.head();
            wire.send(OK);
            let second = wire.head();
            if index == 0 {
                assert!(second.starts_with("GET /second "), "{second}");
                if reset {
                    wire.reset();
                }
            } else {
                assert_eq!(second, "");
            }
        });
        let yaml = proxy::ingress(&component.url(), receiver.endpoint(), "");
        let proxy = Proxy::start(&proxy::with_top(&yaml, "health: {bind: \"127.0.0.1:0\"}"));
        let mut caller = Wire::connect(proxy.at(0));
        caller.send(get("/first"));
        assert_eq!(status(&mut caller), "200");
        caller.send(get("/second"));
        assert_eq!(status(&mut caller), "200", "reset: {reset}");
        let retries = Scrape::of(proxy.health()).get(
            "tracegate_upstream_retries_total",
            &[("listener", "ingress")],
        );
        assert_eq!(retries, 1);
        drop(caller);
        let spans = proxy.spans(&receiver, 2);
        component.join();
        let resends = |path: &str| {
            let span = spans
                .iter()
                .find(|span| attribute(&span.attributes, "url.path").as_deref() == Some(path));
            attribute(
                &span.expect("a span").attributes,
                "http.request.resend_count",
            )
        };
        assert_eq!(resends("/first"), None);
        assert_eq!(resends("/second").as_deref(), Some("1"));
    }
}

#[test]
fn nothing_is_sent_again_after_a_byte_of_an_answer_or_with_a_body_or_twice() {
    // What the component says to the request, on a connection used before, before it closes it.
    for (request, said, why) in [
        (post("/second"), "", "POST isn't idempotent"),
        (
            "POST /second HTTP/1.1\r\nHost: h\r\nContent-Length: 0\r\n\r\n".to_owned(),
            "",
            "nor is it without a body",
        ),
        (
            post("/second").replace("POST", "PUT"),
            "",
            "a body can't be sent again",
        ),
        (get("/second"), "HTTP/1.1 200", "an answer had begun"),
    ] {
        let receiver = Receiver::start(Speaks::Grpc);
        let component = Scripted::start(1, move |_, mut wire| {
            wire.head();
            wire.send(OK);
            wire.head();
            wire.send(said);
        });
        let proxy = Proxy::start(&proxy::ingress(&component.url(), receiver.endpoint(), ""));
        let mut caller = Wire::connect(proxy.at(0));
        caller.send(get("/first"));
        assert_eq!(status(&mut caller), "200");
        caller.send(request);
        assert_eq!(status(&mut caller), "502", "{why}");
        component.join();
        drop(caller);
        let spans = proxy.spans(&receiver, 2);
        let failed = spans
            .iter()
            .find_map(|span| attribute(&span.attributes, "error.type"));
        assert_eq!(failed.as_deref(), Some("connection_closed"), "{why}");
    }
}

#[test]
fn a_first_connection_that_closes_is_no_reason_to_send_again() {
    let component = Scripted::start(1, |_, mut wire| {
        wire.head();
    });
    let proxy = Proxy::start(&proxy::ingress(&component.url(), NOWHERE, ""));
    let mut caller = Wire::connect(proxy.at(0));
    caller.send(get("/"));
    assert_eq!(status(&mut caller), "502");
    component.join();
}

#[test]
fn a_request_is_sent_again_once_and_not_more() {
    // Two connections are kept, both die of their next request.
    let requests = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&requests);
    let (both, waits) = mpsc::channel::<()>();
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = listener.local_addr().expect("an address");
    let (came, comes) = mpsc::channel();
    let component = std::thread::spawn(move || {
        let mut kept: Vec<Wire> = Vec::new();
        for _ in 0..2 {
            let mut wire = Wire::from(listener.accept().expect("a connection").0);
            wire.head();
            came.send(()).expect("the test waits");
            kept.push(wire);
        }
        waits.recv_timeout(PATIENCE).expect("the test speaks");
        for wire in &mut kept {
            wire.send(OK);
        }
        let dying: Vec<_> = kept
            .into_iter()
            .map(|mut wire| {
                let count = Arc::clone(&count);
                std::thread::spawn(move || {
                    if !wire.head().is_empty() {
                        count.fetch_add(1, Ordering::Relaxed);
                    }
                })
            })
            .collect();
        // The second attempt is made on a new connection: it dies, too.
        let mut wire = Wire::from(listener.accept().expect("a connection").0);
        if !wire.head().is_empty() {
            count.fetch_add(1, Ordering::Relaxed);
        }
        drop(wire);
        drop(listener);
        dying
    });
    let proxy = Proxy::start(&proxy::ingress(&format!("http://{address}"), NOWHERE, ""));
    let mut callers: Vec<Wire> = (0..2).map(|_| Wire::connect(proxy.at(0))).collect();
    for caller in &mut callers {
        caller.send(get("/first"));
        comes.recv_timeout(PATIENCE).expect("the request came");
    }
    both.send(()).expect("the component waits");
    for caller in &mut callers {
        assert_eq!(status(caller), "200");
    }
    callers[0].send(get("/second"));
    let answer = status(&mut callers[0]);
    // Nobody waits for a connection that doesn't come.
    drop(std::net::TcpStream::connect(address));
    assert_eq!(answer, "502");
    let dying = component.join().expect("no panic");
    drop((callers, proxy));
    for thread in dying {
        thread.join().expect("no panic");
    }
    assert_eq!(
        requests.load(Ordering::Relaxed),
        2,
        "one attempt and one more"
    );
}

/// The connection is known to be closed before anything is written: any method goes again.
#[test]
fn a_request_that_was_never_written_goes_on_another_connection_whatever_its_method() {
    let component = Scripted::start(20, |_, mut wire| {
        let head = wire.head();
        if head.starts_with("POST") {
            assert_eq!(wire.exactly(4), b"body");
        }
        wire.send(OK);
    });
    let proxy = Proxy::start(&proxy::ingress(&component.url(), NOWHERE, ""));
    let mut caller = Wire::connect(proxy.at(0));
    for round in 0..20 {
        caller.send(post("/up"));
        assert_eq!(status(&mut caller), "200", "round {round}");
        // The component has closed by now; give the news time to arrive.
        std::thread::sleep(Duration::from_millis(5));
    }
    component.join();
}

#[test]
fn an_upstream_that_restarts_serves_the_next_request() {
    for protocol in ["http1", "http2"] {
        let component = Component::start();
        let address = component.address();
        let yaml = proxy::ingress(&component.url(), NOWHERE, "");
        let keys = format!("protocol: {protocol}");
        let proxy = Proxy::start(&proxy::with_upstream(&yaml, &keys));
        let mut caller = Wire::connect(proxy.at(0));
        caller.send(post("/"));
        assert_eq!(status(&mut caller), "200");
        drop(component);
        let again = Component::start_at(address);
        caller.send(post("/"));
        assert_eq!(status(&mut caller), "200", "{protocol}");
        drop(again);
        caller.send(post("/"));
        let absent = status(&mut caller);
        assert!(["502", "503"].contains(&absent.as_str()), "{absent}");
    }
}

/// Refuses or goes away from the first `bad` streams, answers the others.
fn refusing(bad: usize, goaway: bool) -> (Upstream, Arc<AtomicUsize>) {
    let streams_seen = Arc::new(AtomicUsize::new(0));
    let seen = Arc::clone(&streams_seen);
    let upstream = Upstream::start(move |listener| async move {
        loop {
            let (socket, _) = listener.accept().await.expect("a connection");
            let seen = Arc::clone(&seen);
            tokio::spawn(async move {
                if goaway && seen.load(Ordering::Relaxed) < bad {
                    // Written by hand: SETTINGS, then GOAWAY with last stream 0 once the
                    // request's HEADERS have come.
                    goaway_at_the_first_request(socket, &seen).await;
                    return;
                }
                let mut connection = h2::server::handshake(socket).await.expect("HTTP/2");
                while let Some(Ok((request, mut respond))) = connection.accept().await {
                    if seen.fetch_add(1, Ordering::Relaxed) < bad {
                        respond.send_reset(h2::Reason::REFUSED_STREAM);
                        continue;
                    }
                    let mut body = request.into_body();
                    tokio::spawn(async move {
                        let _ = streams::collect(&mut body).await;
                        let mut send = respond
                            .send_response(Response::new(()), false)
                            .expect("sent");
                        send.send_data(Bytes::from_static(b"ok"), true)
                            .expect("sent");
                    });
                }
            });
        }
    });
    (upstream, streams_seen)
}

async fn goaway_at_the_first_request(mut socket: tokio::net::TcpStream, seen: &AtomicUsize) {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    const SETTINGS: [u8; 9] = [0, 0, 0, 4, 0, 0, 0, 0, 0];
    const GOAWAY: [u8; 17] = [0, 0, 8, 7, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    socket.write_all(&SETTINGS).await.expect("written");
    let mut preface = [0; 24];
    socket.read_exact(&mut preface).await.expect("the preface");
    loop {
        let mut head = [0; 9];
        socket.read_exact(&mut head).await.expect("a frame");
        let length = u32::from_be_bytes([0, head[0], head[1], head[2]]);
        let mut payload = vec![0; length as usize];
        socket.read_exact(&mut payload).await.expect("a frame");
        if head[3] == 1 {
            break;
        }
    }
    // Counted first: the second attempt may be faster than this connection's end.
    seen.fetch_add(1, Ordering::Relaxed);
    socket.write_all(&GOAWAY).await.expect("written");
    // Graceful: whatever else comes is read, the peer closes.
    let mut rest = Vec::new();
    let _ = socket.read_to_end(&mut rest).await;
}

#[test]
fn a_stream_declared_unprocessed_is_sent_again_once_if_it_has_no_body() {
    for goaway in [false, true] {
        for (method, bad, expected) in [
            (Method::GET, 1, true),
            // Nobody processed it, so it needn't be idempotent.
            (Method::DELETE, 1, true),
            (Method::GET, 2, false),
        ] {
            let receiver = Receiver::start(Speaks::Grpc);
            let (upstream, seen) = refusing(bad, goaway);
            let proxy = Proxy::start(&proxy::ingress(&upstream.url(), receiver.endpoint(), ""));
            let address = proxy.at(0);
            let answered = streams::run(async {
                let (mut caller, _ended) = streams::connect(address).await;
                let request = streams::request(method.clone(), address, "/");
                let (response, _) = caller.send_request(request, true).expect("sent");
                match soon(response).await {
                    Ok(response) => response.status() == 200,
                    Err(error) => {
                        assert_eq!(error.reason(), Some(h2::Reason::REFUSED_STREAM));
                        false
                    }
                }
            });
            assert_eq!(answered, expected, "{method} {bad} goaway: {goaway}");
            assert_eq!(
                seen.load(Ordering::Relaxed),
                2,
                "{method} {bad} goaway: {goaway}"
            );
            let span = proxy.spans(&receiver, 1).remove(0);
            let resends = attribute(&span.attributes, "http.request.resend_count");
            assert_eq!(resends.as_deref(), Some("1"));
        }
    }
}

/// Sends a body of so many bytes to an upstream that refuses the first stream once it has read
/// half of them, and echoes the second; the body that comes back, or the code.
fn refused_amid(bytes: usize) -> (Result<Vec<u8>, Option<h2::Reason>>, usize) {
    let seen = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&seen);
    let upstream = Upstream::start(move |listener| async move {
        loop {
            let (socket, _) = listener.accept().await.expect("a connection");
            let count = Arc::clone(&count);
            tokio::spawn(async move {
                let mut connection = h2::server::Builder::new()
                    .initial_window_size(1 << 20)
                    .initial_connection_window_size(1 << 20)
                    .handshake::<_, Bytes>(socket)
                    .await
                    .expect("HTTP/2");
                while let Some(Ok((request, mut respond))) = connection.accept().await {
                    let first = count.fetch_add(1, Ordering::Relaxed) == 0;
                    let mut body = request.into_body();
                    tokio::spawn(async move {
                        let mut read = 0;
                        while first && read < bytes / 2 {
                            read += body.data().await.expect("a part").expect("data").len();
                        }
                        if first {
                            respond.send_reset(h2::Reason::REFUSED_STREAM);
                            return;
                        }
                        let (whole, _) = streams::collect(&mut body).await.expect("a body");
                        let mut send = respond
                            .send_response(Response::new(()), false)
                            .expect("sent");
                        send.send_data(whole.into(), true).expect("sent");
                    });
                }
            });
        }
    });
    let proxy = Proxy::start(&proxy::ingress(&upstream.url(), NOWHERE, ""));
    let address = proxy.at(0);
    let answered = streams::run(async {
        let (mut caller, _ended) = streams::connect(address).await;
        // Not idempotent, and sent in two parts with the refusal between them.
        let request = streams::request(Method::POST, address, "/");
        let (response, mut send) = caller.send_request(request, false).expect("sent");
        let body: Vec<u8> = (0..bytes).map(|at| (at % 251) as u8).collect();
        let (one, two) = body.split_at(bytes / 2);
        send.send_data(one.to_vec().into(), false).expect("sent");
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
        // The stream may have been reset meanwhile.
        let _ = send.send_data(two.to_vec().into(), true);
        match soon(response).await {
            Ok(response) => {
                let body = streams::collect(&mut response.into_body()).await;
                Ok(body.expect("a body").0)
            }
            Err(error) => Err(error.reason()),
        }
    });
    (answered, seen.load(Ordering::Relaxed))
}

#[test]
fn a_refused_stream_is_sent_again_with_its_body_while_all_of_it_is_still_there() {
    for bytes in [2, 60_000] {
        let body: Vec<u8> = (0..bytes).map(|at| (at % 251) as u8).collect();
        assert_eq!(refused_amid(bytes), (Ok(body), 2), "{bytes} bytes");
    }
}

#[test]
fn a_refused_stream_whose_body_has_gone_is_the_callers_to_send_again() {
    let (answered, attempts) = refused_amid(300_000);
    assert_eq!(answered, Err(Some(h2::Reason::REFUSED_STREAM)));
    assert_eq!(attempts, 1);
}
