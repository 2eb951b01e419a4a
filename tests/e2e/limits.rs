//! Bounds in time and number: what they end, what they leave alone, and that they are counted.

use std::net::{SocketAddr, TcpListener};
use std::time::{Duration, Instant};

use http::{Method, Response};

use super::component::Component;
use super::metrics::{self, Scrape};
use super::proxy::{self, Proxy};
use super::receiver::{Receiver, Scratch, Speaks, attribute};
use super::streams::{self, Upstream, soon};
use super::wire::{self, Scripted, Wire};

const NOWHERE: &str = "http://127.0.0.1:1";
const GET: &str = "GET / HTTP/1.1\r\nHost: h\r\n\r\n";

fn with_limits(upstream: &str, limits: &str) -> String {
    let limits = format!("  limits: {{{limits}}}\n");
    let yaml = proxy::ingress(upstream, NOWHERE, &limits);
    proxy::with_top(&yaml, "health: {bind: \"127.0.0.1:0\"}")
}

fn refused_requests(proxy: &Proxy, reason: &str) {
    let labels = [("listener", "ingress"), ("reason", reason)];
    metrics::wait_for(
        proxy.health(),
        "tracegate_requests_refused_total",
        &labels,
        1,
    );
}

fn refused_connections(proxy: &Proxy, reason: &str) {
    let labels = [("listener", "ingress"), ("reason", reason)];
    metrics::wait_for(
        proxy.health(),
        "tracegate_connections_refused_total",
        &labels,
        1,
    );
}

#[test]
fn a_head_that_drips_is_given_up_after_the_header_timeout() {
    let component = Component::start();
    let proxy = Proxy::start(&with_limits(&component.url(), "headerTimeout: 200ms"));
    for (begin, drip) in [("GET / HTTP/1.1\r\n", "X: y\r\n"), ("GET / HT", "")] {
        let mut caller = Wire::connect(proxy.at(0));
        let begun = Instant::now();
        caller.send(begin);
        let mut dripping = caller.again();
        let drops = std::thread::spawn(move || {
            for _ in 0..30 {
                dripping.send(drip);
                std::thread::sleep(Duration::from_millis(50));
            }
        });
        caller.rest();
        let lasted = begun.elapsed();
        assert!(lasted >= Duration::from_millis(200), "{lasted:?}");
        assert!(lasted < Duration::from_millis(1200), "{lasted:?}");
        drops.join().expect("no panic");
    }
    let labels = [("listener", "ingress"), ("reason", "header_timeout")];
    metrics::wait_for(
        proxy.health(),
        "tracegate_requests_refused_total",
        &labels,
        2,
    );
    assert!(component.seen().is_empty());
}

#[test]
fn a_second_head_that_drips_is_given_up_too() {
    let component = Component::start();
    let proxy = Proxy::start(&with_limits(&component.url(), "headerTimeout: 200ms"));
    let mut caller = Wire::connect(proxy.at(0));
    caller.send(GET);
    caller.message();
    caller.send("GET / HTTP/1.1\r\nHos");
    assert_eq!(caller.rest(), b"");
    refused_requests(&proxy, "header_timeout");
}

#[test]
fn a_caller_that_says_nothing_or_stalls_its_handshake_is_given_up() {
    let component = Component::start();
    let proxy = Proxy::start(&with_limits(&component.url(), "headerTimeout: 200ms"));
    let mut silent = Wire::connect(proxy.at(0));
    assert_eq!(silent.rest(), b"");
    refused_connections(&proxy, "timeout");

    let (scratch, tls) = certificate();
    let yaml = with_limits(&component.url(), "headerTimeout: 200ms") + &tls;
    let proxy = Proxy::start(&yaml);
    let mut stalled = Wire::connect(proxy.at(0));
    // The header of a TLS record, and no more.
    stalled.send(b"\x16\x03\x01\x02\x00");
    let begun = Instant::now();
    stalled.rest();
    assert!(begun.elapsed() >= Duration::from_millis(190));
    refused_connections(&proxy, "timeout");
    drop(scratch);
}

fn certificate() -> (Scratch, String) {
    let scratch = Scratch::new("limits-tls");
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).expect("a certificate");
    let (cert, key) = (scratch.join("tls.crt"), scratch.join("tls.key"));
    std::fs::write(&cert, made.cert.pem()).expect("written");
    std::fs::write(&key, made.signing_key.serialize_pem()).expect("written");
    let tls = format!(
        "  tls: {{certificates: [{{certFile: {}, keyFile: {}}}]}}\n",
        cert.display(),
        key.display()
    );
    (scratch, tls)
}

#[test]
fn a_kept_connection_outlives_the_header_timeout_and_ends_at_the_idle_timeout() {
    let component = Component::start();
    let limits = "headerTimeout: 100ms, idleTimeout: 1s";
    let proxy = Proxy::start(&with_limits(&component.url(), limits));
    let mut caller = Wire::connect(proxy.at(0));
    caller.send(GET);
    caller.message();
    std::thread::sleep(Duration::from_millis(400));
    caller.send(GET);
    let (head, _) = caller.message();
    assert!(head.starts_with("HTTP/1.1 200 "), "{head}");
    let idle = Instant::now();
    assert_eq!(caller.rest(), b"");
    assert!(
        idle.elapsed() >= Duration::from_millis(900),
        "{:?}",
        idle.elapsed()
    );
    assert!(
        idle.elapsed() < Duration::from_secs(4),
        "{:?}",
        idle.elapsed()
    );
    let refused = Scrape::of(proxy.health()).get(
        "tracegate_requests_refused_total",
        &[("listener", "ingress"), ("reason", "header_timeout")],
    );
    assert_eq!(refused, 0);
}

#[test]
fn an_http2_connection_may_ping_through_the_header_timeout_and_leaves_by_goaway() {
    let component = Component::start();
    let limits = "headerTimeout: 100ms, idleTimeout: 1s";
    let proxy = Proxy::start(&with_limits(&component.url(), limits));
    let address = proxy.at(0);
    streams::run(async {
        let socket = tokio::net::TcpStream::connect(address)
            .await
            .expect("a connection");
        let (caller, mut connection) = h2::client::handshake(socket).await.expect("HTTP/2");
        let mut ping = connection.ping_pong().expect("the first");
        let ended = tokio::spawn(connection);
        let mut caller = soon(caller.ready()).await.expect("SETTINGS");
        for _ in 0..2 {
            for _ in 0..5 {
                tokio::time::sleep(Duration::from_millis(60)).await;
                soon(ping.ping(h2::Ping::opaque())).await.expect("a pong");
            }
            let request = streams::request(Method::GET, address, "/");
            let (response, _) = caller.send_request(request, true).expect("sent");
            let response = soon(response).await.expect("an answer");
            let mut body = response.into_body();
            soon(streams::collect(&mut body)).await.expect("a body");
        }
        // Nothing is open: GOAWAY, a clean end.
        soon(ended).await.expect("no panic").expect("no error");
    });
}

#[test]
fn nothing_is_idle_while_a_request_a_stream_or_a_tunnel_is_open() {
    let component = Scripted::start(2, |index, mut wire| {
        wire.head();
        if index == 1 {
            wire.send("HTTP/1.1 101 S\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\n");
        }
        std::thread::sleep(Duration::from_millis(700));
        wire.send(match index {
            0 => "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nlate",
            _ => "late",
        });
    });
    let limits = "headerTimeout: 100ms, idleTimeout: 100ms";
    let proxy = Proxy::start(&with_limits(&component.url(), limits));
    let mut caller = Wire::connect(proxy.at(0));
    caller.send(GET);
    let (head, body) = caller.message();
    assert!(head.starts_with("HTTP/1.1 200 "), "{head}");
    assert_eq!(body, b"late");
    let mut caller = Wire::connect(proxy.at(0));
    caller.send("GET / HTTP/1.1\r\nHost: h\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\n");
    caller.head();
    assert_eq!(caller.exactly(4), b"late");
    component.join();
}

#[test]
fn one_connection_too_many_is_closed_and_counted_and_the_others_live() {
    let component = Component::start();
    let proxy = Proxy::start(&with_limits(&component.url(), "maxConnections: 2"));
    let mut callers: Vec<Wire> = (0..2)
        .map(|_| {
            let mut caller = Wire::connect(proxy.at(0));
            caller.send(GET);
            caller.message();
            caller
        })
        .collect();
    let mut third = Wire::connect(proxy.at(0));
    assert_eq!(third.rest(), b"");
    refused_connections(&proxy, "max_connections");
    for caller in &mut callers {
        caller.send(GET);
        assert!(caller.message().0.starts_with("HTTP/1.1 200 "));
    }
    drop(callers);
    let open = "tracegate_connections";
    metrics::wait_for(proxy.health(), open, &[("listener", "ingress")], 0);
    let answer = wire::exchange(
        proxy.at(0),
        "GET / HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n",
    );
    assert!(answer.starts_with("HTTP/1.1 200 "), "room again: {answer}");
}

#[test]
fn a_head_too_large_or_of_too_many_fields_is_431() {
    let component = Component::start();
    let limits = "maxHeaderBytes: 8KiB, maxHeaders: 20";
    let proxy = Proxy::start(&with_limits(&component.url(), limits));
    let large = format!("X-Large: {}\r\n", "x".repeat(9000));
    let many: String = (0..30).map(|i| format!("X-{i}: y\r\n")).collect();
    for fields in [large, many] {
        let mut caller = Wire::connect(proxy.at(0));
        caller.send(format!("GET / HTTP/1.1\r\nHost: h\r\n{fields}\r\n"));
        let (head, _) = caller.message();
        assert!(head.starts_with("HTTP/1.1 431 "), "{head}");
        assert_eq!(caller.rest(), b"", "and closed");
    }
    let labels = [("listener", "ingress"), ("reason", "head_too_large")];
    metrics::wait_for(
        proxy.health(),
        "tracegate_requests_refused_total",
        &labels,
        2,
    );

    let address = proxy.at(0);
    for (name, count, size) in [("x-large", 1, 9000), ("x-many", 30, 1)] {
        streams::run(async {
            let (mut caller, _ended) = streams::connect(address).await;
            let mut request = streams::request(Method::GET, address, "/");
            for _ in 0..count {
                let value = "x".repeat(size).parse().expect("a value");
                request.headers_mut().append(name, value);
            }
            let (response, _) = caller.send_request(request, true).expect("sent");
            let response = soon(response).await.expect("an answer");
            assert_eq!(response.status(), 431, "{name} by HTTP/2");
            // The others on the connection live on.
            let mut caller = soon(caller.ready()).await.expect("a connection");
            let request = streams::request(Method::GET, address, "/");
            let (response, _) = caller.send_request(request, true).expect("sent");
            assert_eq!(soon(response).await.expect("an answer").status(), 200);
        });
    }
    assert_eq!(component.seen().len(), 2);
}

/// hyper's buffer is smaller than such a head, unless it is told.
#[test]
fn a_response_head_of_the_configured_size_passes_whatever_reads_it() {
    const SIZE: usize = 900_000;
    let component = Scripted::start(2, |_, mut wire| {
        wire.head();
        let large = "x".repeat(SIZE);
        wire.send(format!(
            "HTTP/1.1 204 No Content\r\nX-Large: {large}\r\nConnection: close\r\n\r\n"
        ));
    });
    let yaml = with_limits(&component.url(), "maxHeaderBytes: 1MiB");
    let proxy = Proxy::start(&proxy::with_upstream(&yaml, "protocol: http1"));
    let address = proxy.at(0);
    let mut caller = Wire::connect(address);
    caller.send("GET / HTTP/1.1\r\nHost: h\r\n\r\n");
    assert!(caller.head().len() > SIZE);
    streams::run(async {
        let socket = tokio::net::TcpStream::connect(address).await;
        let mut builder = h2::client::Builder::new();
        let builder = builder.max_header_list_size(2 << 20);
        let connected = builder.handshake::<_, bytes::Bytes>(socket.expect("a connection"));
        let (mut caller, connection) = connected.await.expect("HTTP/2");
        tokio::spawn(connection);
        let request = streams::request(Method::GET, address, "/");
        let (response, _) = caller.send_request(request, true).expect("sent");
        let response = soon(response).await.expect("an answer");
        assert_eq!(response.headers()["x-large"].len(), SIZE);
    });
    component.join();
}

#[test]
fn the_number_of_streams_is_advertised_and_enforced() {
    let (upstream, release) = waiting();
    let proxy = Proxy::start(&with_limits(&upstream.url(), "maxConcurrentStreams: 2"));
    let address = proxy.at(0);
    streams::run(async {
        let (mut caller, _ended) = streams::connect(address).await;
        let mut open = Vec::new();
        for _ in 0..2 {
            caller = soon(caller.ready()).await.expect("room");
            let request = streams::request(Method::GET, address, "/");
            open.push(caller.send_request(request, true).expect("sent").0);
        }
        streams::until(|| caller.current_max_send_streams() == 2).await;
    });
    // A caller that doesn't care.
    streams::run(async {
        use tokio::io::{AsyncReadExt, AsyncWriteExt};
        let mut socket = tokio::net::TcpStream::connect(address)
            .await
            .expect("a connection");
        let mut bytes = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0".to_vec();
        // :method GET, :scheme http, :path /, :authority (name indexed) "h".
        let block = [0x82, 0x86, 0x84, 0x41, 0x01, b'h'];
        for id in [1_u8, 3, 5] {
            bytes.extend([0, 0, block.len() as u8, 1, 5, 0, 0, 0, id]);
            bytes.extend(block);
        }
        socket.write_all(&bytes).await.expect("written");
        soon(async {
            loop {
                let mut head = [0; 9];
                socket.read_exact(&mut head).await.expect("a frame");
                let length = u32::from_be_bytes([0, head[0], head[1], head[2]]);
                let mut payload = vec![0; length as usize];
                socket.read_exact(&mut payload).await.expect("a frame");
                // RST_STREAM
                if head[3] == 3 {
                    assert_eq!(head[5..9], [0, 0, 0, 5]);
                    assert_eq!(payload, [0, 0, 0, 7], "REFUSED_STREAM");
                    break;
                }
            }
        })
        .await;
    });
    drop(release);
}

/// Takes streams and answers none while the sender lives.
fn waiting() -> (Upstream, tokio::sync::watch::Sender<()>) {
    let (release, released) = tokio::sync::watch::channel(());
    let upstream = Upstream::start(move |listener| async move {
        loop {
            let (socket, _) = listener.accept().await.expect("a connection");
            let mut released = released.clone();
            tokio::spawn(async move {
                let Ok(mut connection) = h2::server::handshake(socket).await else {
                    // The test was over before the proxy had said hello.
                    return;
                };
                let mut held = Vec::new();
                loop {
                    tokio::select! {
                        Some(Ok(stream)) = connection.accept() => held.push(stream),
                        _ = released.changed() => return,
                    }
                }
            });
        }
    });
    (upstream, release)
}

fn failure(yaml: &str, receiver: &Receiver, request: &str) -> (String, Option<String>) {
    let proxy = Proxy::start(yaml);
    let mut caller = Wire::connect(proxy.at(0));
    caller.send(request);
    let (head, _) = caller.message();
    drop(caller);
    let span = proxy.spans(receiver, 1).remove(0);
    (head, attribute(&span.attributes, "error.type"))
}

#[test]
fn an_upstream_that_does_not_answer_in_time_is_504() {
    for protocol in ["http1", "http2"] {
        let receiver = Receiver::start(Speaks::Grpc);
        let (h2, _release) = waiting();
        let h1 = Scripted::start(1, |_, mut wire| {
            wire.head();
            assert_eq!(wire.rest(), b"", "the connection is given up");
        });
        let url = if protocol == "http1" {
            h1.url()
        } else {
            h2.url()
        };
        let yaml = proxy::ingress(&url, receiver.endpoint(), "");
        let keys = format!("protocol: {protocol}, responseHeaderTimeout: 200ms");
        let yaml = proxy::with_upstream(&yaml, &keys);
        let begun = Instant::now();
        let (head, error) = failure(&yaml, &receiver, GET);
        assert!(begun.elapsed() >= Duration::from_millis(200));
        assert!(head.starts_with("HTTP/1.1 504 "), "{head}");
        assert_eq!(error.as_deref(), Some("response_header_timeout"));
        if protocol == "http1" {
            h1.join();
        }
    }
}

#[test]
fn the_response_header_timeout_bounds_neither_the_upload_nor_the_body() {
    let component = Scripted::start(1, |_, mut wire| {
        wire.head();
        assert_eq!(wire.exactly(4), b"slow");
        wire.send("HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\n");
        std::thread::sleep(Duration::from_millis(500));
        wire.send("late");
    });
    let yaml = proxy::ingress(&component.url(), NOWHERE, "");
    let proxy = Proxy::start(&proxy::with_upstream(&yaml, "responseHeaderTimeout: 250ms"));
    let mut caller = Wire::connect(proxy.at(0));
    caller.send("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 4\r\n\r\nsl");
    std::thread::sleep(Duration::from_millis(500));
    caller.send("ow");
    let (head, body) = caller.message();
    assert!(head.starts_with("HTTP/1.1 200 "), "{head}");
    assert_eq!(body, b"late");
    component.join();
}

#[test]
fn the_response_header_timeout_bounds_both_attempts_together() {
    const BOUND: Duration = Duration::from_secs(1);
    let slow = BOUND * 7 / 10;
    let component = Scripted::start(2, move |connection, mut wire| {
        wire.head();
        if connection == 0 {
            wire.send("HTTP/1.1 204 No Content\r\n\r\n");
            wire.head();
            std::thread::sleep(slow);
        } else {
            // Never an answer.
            wire.rest();
        }
    });
    let refusing = Upstream::start(move |listener| async move {
        let mut connection = streams::accept(&listener).await;
        let mut begun = 0;
        while let Some(Ok((_, mut respond))) = connection.accept().await {
            begun += 1;
            let now = begun;
            tokio::spawn(async move {
                match now {
                    1 => drop(respond.send_response(Response::new(()), true)),
                    2 => {
                        tokio::time::sleep(slow).await;
                        respond.send_reset(h2::Reason::REFUSED_STREAM);
                    }
                    _ => std::future::pending().await,
                }
            });
        }
    });
    for (url, protocol) in [(component.url(), "http1"), (refusing.url(), "http2")] {
        let yaml = proxy::ingress(&url, NOWHERE, "");
        let keys = format!("protocol: {protocol}, responseHeaderTimeout: 1s");
        let proxy = Proxy::start(&proxy::with_upstream(&yaml, &keys));
        let mut caller = Wire::connect(proxy.at(0));
        caller.ask(GET);
        let begun = Instant::now();
        let (head, _) = caller.ask(GET);
        let lasted = begun.elapsed();
        assert!(head.starts_with("HTTP/1.1 504 "), "{protocol}: {head}");
        assert!(lasted >= BOUND, "{protocol}: {lasted:?}");
        assert!(lasted < slow + BOUND, "{protocol}: {lasted:?}");
    }
    component.join();
}

#[test]
fn a_grpc_caller_reads_a_late_upstream_as_deadline_exceeded() {
    let (upstream, _release) = waiting();
    let yaml = proxy::ingress(&upstream.url(), NOWHERE, "");
    let proxy = Proxy::start(&proxy::with_upstream(&yaml, "responseHeaderTimeout: 100ms"));
    let address = proxy.at(0);
    streams::run(async {
        let (mut caller, _ended) = streams::connect(address).await;
        let mut request = streams::request(Method::POST, address, "/p.S/M");
        let value = "application/grpc".parse().expect("a value");
        request.headers_mut().insert("content-type", value);
        let (response, _) = caller.send_request(request, true).expect("sent");
        let response = soon(response).await.expect("an answer");
        assert_eq!(response.status(), 200);
        assert_eq!(response.headers()["grpc-status"], "4");
    });
}

#[test]
fn an_upstream_that_does_not_connect_in_time_is_504_and_an_absent_one_503() {
    let receiver = Receiver::start(Speaks::Grpc);
    // Accepts, and says nothing to a ClientHello.
    let stalled = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let at = |address: SocketAddr| format!("https://{address}");
    let url = at(stalled.local_addr().expect("an address"));
    let yaml = proxy::ingress(&url, receiver.endpoint(), "");
    let yaml = proxy::with_upstream(&yaml, "connectTimeout: 200ms");
    let (head, error) = failure(&yaml, &receiver, GET);
    assert!(head.starts_with("HTTP/1.1 504 "), "{head}");
    assert_eq!(error.as_deref(), Some("connect_timeout"));

    let address = stalled.local_addr().expect("an address");
    drop(stalled);
    let receiver = Receiver::start(Speaks::Grpc);
    let yaml = proxy::ingress(&format!("http://{address}"), receiver.endpoint(), "");
    let (head, error) = failure(&yaml, &receiver, GET);
    assert!(head.starts_with("HTTP/1.1 503 "), "{head}");
    assert_eq!(error.as_deref(), Some("connect_error"));
}
