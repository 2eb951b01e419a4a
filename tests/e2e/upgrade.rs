//! `Upgrade` and CONNECT: tunnels that carry any bytes, and answers that open none.

use std::io::{Read, Write};
use std::net::Shutdown;

use super::component::{Component, PATIENCE};
use super::proxy::{self, Proxy};
use super::receiver::{Receiver, Speaks, attribute};
use super::streams;
use super::wire::{self, Scripted, Wire};

const MEGABYTES: usize = 8 << 20;

fn asks(protocol: &str) -> String {
    format!(
        "GET /up HTTP/1.1\r\nHost: h\r\nConnection: Upgrade\r\nUpgrade: {protocol}\r\n\
         Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
    )
}

fn switches(protocol: &str) -> String {
    format!(
        "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: {protocol}\r\n\r\n"
    )
}

/// A proxy in front of a component that runs `script` on its only connection.
fn in_front(script: impl FnMut(Wire) + Send + 'static) -> (Proxy, Scripted) {
    let mut script = script;
    let component = Scripted::start(1, move |_, wire| script(wire));
    let proxy = Proxy::start(&proxy::ingress(&component.url(), "http://127.0.0.1:1", ""));
    (proxy, component)
}

fn pattern(seed: u8, length: usize) -> Vec<u8> {
    (0..length)
        .map(|i| (i as u8).wrapping_mul(31) ^ seed ^ (i >> 8) as u8)
        .collect()
}

#[test]
fn any_protocol_is_switched_to_and_its_bytes_go_both_ways() {
    for protocol in ["websocket", "SPDY/3.1", "made-up/7"] {
        let (proxy, component) = in_front(move |mut wire| {
            let head = wire.head().to_ascii_lowercase();
            let asked = format!("upgrade: {}\r\n", protocol.to_ascii_lowercase());
            assert!(head.contains(&asked), "{head}");
            assert!(head.contains("connection: upgrade\r\n"), "{head}");
            wire.send(switches(protocol));
            let frame = wire.exactly(5);
            wire.send(b"GET / HTTP/1.1\r\n\0\xff");
            wire.send(&frame);
            assert_eq!(wire.rest(), b"");
        });
        let mut caller = Wire::connect(proxy.at(0));
        caller.send(asks(protocol));
        let head = caller.head();
        assert!(head.starts_with("HTTP/1.1 101 "), "{head}");
        let lower = head.to_ascii_lowercase();
        assert!(
            lower.contains(&format!("upgrade: {}\r\n", protocol.to_ascii_lowercase())),
            "{head}"
        );
        assert!(lower.contains("connection: upgrade\r\n"), "{head}");
        caller.send(b"\x00\xff\r\n\x01");
        let expected = b"GET / HTTP/1.1\r\n\0\xff\x00\xff\r\n\x01";
        assert_eq!(caller.exactly(expected.len()), expected, "{protocol}");
        caller.finish();
        assert_eq!(caller.rest(), b"");
        component.join();
    }
}

#[test]
fn bytes_sent_along_with_either_head_belong_to_the_tunnel() {
    let (proxy, component) = in_front(|mut wire| {
        wire.head();
        wire.send([switches("x").as_bytes(), b"early answer"].concat());
        assert_eq!(wire.exactly(10), b"early data");
        wire.finish();
        wire.rest();
    });
    let mut caller = Wire::connect(proxy.at(0));
    caller.send([asks("x").as_bytes(), b"early data"].concat());
    assert!(caller.head().starts_with("HTTP/1.1 101 "));
    assert_eq!(caller.rest(), b"early answer");
    caller.finish();
    component.join();
}

#[test]
fn either_side_may_end_first_while_the_other_goes_on() {
    let (proxy, component) = in_front(|mut wire| {
        wire.head();
        wire.send(switches("x"));
        assert_eq!(wire.rest(), b"the caller is done");
        wire.send(b"but I am not");
    });
    let mut caller = Wire::connect(proxy.at(0));
    caller.send(asks("x"));
    caller.head();
    caller.send(b"the caller is done");
    caller.finish();
    assert_eq!(caller.rest(), b"but I am not");
    component.join();

    let (proxy, component) = in_front(|mut wire| {
        wire.head();
        wire.send(switches("x"));
        wire.send(b"the component is done");
        wire.finish();
        assert_eq!(wire.rest(), b"but the caller isn't");
    });
    let mut caller = Wire::connect(proxy.at(0));
    caller.send(asks("x"));
    caller.head();
    assert_eq!(caller.rest(), b"the component is done");
    caller.send(b"but the caller isn't");
    caller.finish();
    component.join();
}

#[test]
fn megabytes_go_both_ways_at_once_and_the_span_counts_them() {
    let receiver = Receiver::start(Speaks::Grpc);
    let component = Scripted::start(1, |_, mut wire| {
        wire.head();
        wire.send(switches("x"));
        let mut sender = wire.again();
        let sending = std::thread::spawn(move || {
            sender.send(pattern(2, MEGABYTES));
            sender.finish();
        });
        assert!(wire.rest() == pattern(1, MEGABYTES));
        sending.join().expect("sent");
    });
    let proxy = Proxy::start(&proxy::ingress(&component.url(), receiver.endpoint(), ""));
    let mut caller = Wire::connect(proxy.at(0));
    caller.send(asks("x"));
    caller.head();
    let mut sender = caller.again();
    let sending = std::thread::spawn(move || {
        sender.send(pattern(1, MEGABYTES));
        sender.finish();
    });
    assert!(caller.rest() == pattern(2, MEGABYTES));
    sending.join().expect("sent");
    component.join();

    let spans = proxy.spans(&receiver, 1);
    let say = |key| attribute(&spans[0].attributes, key);
    assert_eq!(say("http.response.status_code").as_deref(), Some("101"));
    let bytes = MEGABYTES.to_string();
    assert_eq!(say("tracegate.tunnel.request_bytes"), Some(bytes.clone()));
    assert_eq!(say("tracegate.tunnel.response_bytes"), Some(bytes));
    assert_eq!(say("error.type"), None);
}

#[test]
fn a_tunnels_span_ends_with_the_tunnel_and_says_who_broke_it() {
    for (broken_by_caller, cancelled, error) in [
        (true, Some("true"), None),
        (false, None, Some("connection_closed")),
    ] {
        let receiver = Receiver::start(Speaks::Grpc);
        let component = Scripted::start(1, move |_, mut wire| {
            wire.head();
            wire.send(switches("x"));
            assert_eq!(wire.exactly(4), b"ping");
            wire.send(b"pong!");
            if broken_by_caller {
                wire.rest();
            } else {
                assert_eq!(wire.exactly(1), b"!");
                wire.reset();
            }
        });
        let proxy = Proxy::start(&proxy::ingress(&component.url(), receiver.endpoint(), ""));
        let mut caller = Wire::connect(proxy.at(0));
        caller.send(asks("x"));
        caller.head();
        caller.send(b"ping");
        assert_eq!(caller.exactly(5), b"pong!");
        assert_eq!(
            proxy.export().recorded(),
            0,
            "the span ended before the tunnel"
        );
        if broken_by_caller {
            caller.reset();
        } else {
            caller.send(b"!");
            assert_eq!(caller.rest(), b"");
        }
        component.join();
        let spans = proxy.spans(&receiver, 1);
        let say = |key| attribute(&spans[0].attributes, key);
        assert_eq!(say("tracegate.cancelled").as_deref(), cancelled);
        assert_eq!(say("error.type").as_deref(), error);
        let sent = if broken_by_caller { "4" } else { "5" };
        assert_eq!(say("tracegate.tunnel.request_bytes").as_deref(), Some(sent));
        assert_eq!(say("tracegate.tunnel.response_bytes").as_deref(), Some("5"));
    }
}

#[test]
fn a_refused_upgrade_is_an_answer_and_the_connections_last() {
    for status in ["403 Forbidden", "200 OK", "426 Upgrade Required"] {
        let component = Scripted::start(1, move |_, mut wire| {
            wire.head();
            wire.send(format!(
                "HTTP/1.1 {status}\r\nUpgrade: websocket\r\nContent-Length: 9\r\nX-Why: no\r\n\r\nno thanks"
            ));
            // What the caller sent for the other protocol never comes here as a request.
            let more = wire.some();
            assert!(!more.starts_with(b"GET /smuggled"), "{more:?}");
        });
        let proxy = Proxy::start(&proxy::ingress(&component.url(), "http://127.0.0.1:1", ""));
        let mut caller = Wire::connect(proxy.at(0));
        caller.send(asks("websocket") + "GET /smuggled HTTP/1.1\r\nHost: h\r\n\r\n");
        let answer = String::from_utf8(caller.rest()).expect("text");
        let (head, body) = answer.split_once("\r\n\r\n").expect("a head");
        assert!(head.starts_with(&format!("HTTP/1.1 {status}")), "{head}");
        assert!(
            head.to_ascii_lowercase().contains("connection: close"),
            "{head}"
        );
        assert!(head.contains("X-Why: no"), "{head}");
        assert_eq!(body, "no thanks", "one answer, its body intact");
        drop(proxy);
        component.join();
    }
}

#[test]
fn a_switch_nobody_asked_for_is_a_fault_of_the_upstream() {
    let receiver = Receiver::start(Speaks::Grpc);
    let component = Scripted::start(1, |_, mut wire| {
        wire.head();
        wire.send(switches("websocket"));
        assert_eq!(wire.rest(), b"", "the connection is given up");
    });
    let proxy = Proxy::start(&proxy::ingress(&component.url(), receiver.endpoint(), ""));
    let mut caller = Wire::connect(proxy.at(0));
    caller.send("GET / HTTP/1.1\r\nHost: h\r\n\r\n");
    let (head, _) = caller.message();
    assert!(head.starts_with("HTTP/1.1 502 "), "{head}");
    component.join();
    let spans = proxy.spans(&receiver, 1);
    assert_eq!(
        attribute(&spans[0].attributes, "error.type").as_deref(),
        Some("protocol_error")
    );
}

#[test]
fn an_h2c_upgrade_is_never_handed_on() {
    let component = Component::start();
    let proxy = Proxy::start(&proxy::ingress(&component.url(), "http://127.0.0.1:1", ""));
    let mut caller = Wire::connect(proxy.at(0));
    caller.send(
        "GET / HTTP/1.1\r\nHost: h\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\n\
         HTTP2-Settings: AAMAAABkAAQCAAAAAAIAAAAA\r\n\r\n",
    );
    let (head, _) = caller.message();
    assert!(head.starts_with("HTTP/1.1 200 "), "{head}");
    let seen = component.wait_for(1).remove(0);
    for name in ["upgrade", "http2-settings", "connection"] {
        assert_eq!(seen.value(name), None, "{name}");
    }
}

/// `protocol: http2` says what requests are sent as; an upgrade exists in HTTP/1.1 alone.
#[test]
fn an_upgrade_goes_by_http1_even_where_requests_go_by_http2() {
    let component = Scripted::start(1, |_, mut wire| {
        assert!(wire.head().starts_with("GET /up HTTP/1.1\r\n"));
        wire.send(switches("websocket"));
        let echoed = wire.exactly(4);
        wire.send(echoed);
        wire.rest();
    });
    let yaml = proxy::ingress(&component.url(), "http://127.0.0.1:1", "");
    let yaml = proxy::with_upstream(&yaml, "protocol: http2");
    let proxy = Proxy::start(&yaml);
    let mut caller = Wire::connect(proxy.at(0));
    caller.send(asks("websocket"));
    assert!(caller.head().starts_with("HTTP/1.1 101 "));
    caller.send("ping");
    assert_eq!(caller.exactly(4), b"ping");
    drop(caller);
    component.join();
}

#[test]
fn connect_is_refused_unless_allowed() {
    let component = Component::start();
    let proxy = Proxy::start(&proxy::ingress(&component.url(), "http://127.0.0.1:1", ""));
    let mut caller = Wire::connect(proxy.at(0));
    caller.send("CONNECT example.com:443 HTTP/1.1\r\nHost: example.com:443\r\n\r\n");
    let (head, _) = caller.message();
    assert!(head.starts_with("HTTP/1.1 405 "), "{head}");
    assert!(head.to_ascii_lowercase().contains("\nallow: "), "{head}");
    assert!(component.seen().is_empty());
}

#[test]
fn connect_opens_a_tunnel_on_success_only() {
    let allowed = "  allowConnect: true\n";
    let component = Scripted::start(1, |_, mut wire| {
        let head = wire.head();
        assert!(
            head.starts_with("CONNECT example.com:443 HTTP/1.1\r\n"),
            "{head}"
        );
        wire.send("HTTP/1.1 200 Connection established\r\n\r\nhello");
        assert_eq!(wire.rest(), b"GET / HTTP/1.1\r\n\r\n");
    });
    let proxy = Proxy::start(&proxy::ingress(
        &component.url(),
        "http://127.0.0.1:1",
        allowed,
    ));
    let mut caller = Wire::connect(proxy.at(0));
    caller.send("CONNECT example.com:443 HTTP/1.1\r\nHost: example.com:443\r\n\r\n");
    let head = caller.head();
    assert!(head.starts_with("HTTP/1.1 200 "), "{head}");
    assert_eq!(caller.exactly(5), b"hello");
    caller.send("GET / HTTP/1.1\r\n\r\n");
    caller.finish();
    caller.rest();
    component.join();

    let component = Scripted::start(1, |_, mut wire| {
        wire.head();
        wire.send("HTTP/1.1 407 Who are you\r\nContent-Length: 3\r\n\r\nno!");
        let more = wire.some();
        assert!(more.is_empty(), "{more:?}");
    });
    let proxy = Proxy::start(&proxy::ingress(
        &component.url(),
        "http://127.0.0.1:1",
        allowed,
    ));
    let answer = wire::exchange(
        proxy.at(0),
        "CONNECT example.com:443 HTTP/1.1\r\nHost: example.com:443\r\n\r\nGET /smuggled HTTP/1.1\r\nHost: h\r\n\r\n",
    );
    assert!(answer.starts_with("HTTP/1.1 407 "), "{answer}");
    assert!(answer.ends_with("\r\n\r\nno!"), "{answer}");
    assert!(
        answer.to_ascii_lowercase().contains("connection: close"),
        "{answer}"
    );
    drop(proxy);
    component.join();
}

#[test]
fn connect_by_http2_becomes_a_tunnel_too() {
    let component = Scripted::start(1, |_, mut wire| {
        assert!(
            wire.head()
                .starts_with("CONNECT example.com:443 HTTP/1.1\r\n")
        );
        wire.send("HTTP/1.1 200 OK\r\n\r\n");
        let echoed = wire.exactly(4);
        wire.send(echoed);
        wire.rest();
    });
    let proxy = Proxy::start(&proxy::ingress(
        &component.url(),
        "http://127.0.0.1:1",
        "  allowConnect: true\n",
    ));
    streams::run(async {
        let (mut caller, _ended) = streams::connect(proxy.at(0)).await;
        assert!(
            !caller.is_extended_connect_protocol_enabled(),
            "RFC 8441 isn't offered"
        );
        let request = http::Request::connect("example.com:443")
            .body(())
            .expect("a request");
        let (response, mut send) = caller.send_request(request, false).expect("sent");
        let response = streams::soon(response).await.expect("an answer");
        assert_eq!(response.status(), 200);
        send.send_data("ping".into(), false).expect("sent");
        let mut body = response.into_body();
        let data = streams::soon(body.data())
            .await
            .expect("data")
            .expect("data");
        assert_eq!(&data[..], b"ping");
        send.send_data("".into(), true).expect("sent");
        let (rest, _) = streams::soon(streams::collect(&mut body))
            .await
            .expect("a clean end");
        assert_eq!(rest, b"");
    });
    component.join();
}

/// TLS in front: what is inside stays an upgrade, half-close included (by `close_notify`).
#[test]
fn an_upgrade_works_over_a_tls_listener() {
    let scratch = super::receiver::Scratch::new("upgrade-tls");
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).expect("a certificate");
    let (cert, key) = (scratch.join("tls.crt"), scratch.join("tls.key"));
    std::fs::write(&cert, made.cert.pem()).expect("written");
    std::fs::write(&key, made.signing_key.serialize_pem()).expect("written");
    let (proxy, component) = {
        let component = Scripted::start(1, |_, mut wire| {
            wire.head();
            wire.send(switches("websocket"));
            assert_eq!(wire.rest(), b"ping");
            wire.send("pong");
        });
        let tls = format!(
            "  tls: {{certificates: [{{certFile: {}, keyFile: {}}}]}}\n",
            cert.display(),
            key.display()
        );
        let proxy = Proxy::start(&proxy::ingress(
            &component.url(),
            "http://127.0.0.1:1",
            &tls,
        ));
        (proxy, component)
    };
    let mut roots = rustls::RootCertStore::empty();
    roots.add(made.cert.der().clone()).expect("a root");
    // No ALPN at all, as clients of upgrades often are.
    let config = rustls::ClientConfig::builder_with_provider(
        rustls::crypto::ring::default_provider().into(),
    )
    .with_safe_default_protocol_versions()
    .expect("versions")
    .with_root_certificates(roots)
    .with_no_client_auth();
    let name = "localhost".try_into().expect("a name");
    let tls = rustls::ClientConnection::new(config.into(), name).expect("a client");
    let socket = std::net::TcpStream::connect(proxy.at(0)).expect("a connection");
    socket.set_read_timeout(Some(PATIENCE)).expect("a socket");
    let mut caller = rustls::StreamOwned::new(tls, socket);
    caller
        .write_all(asks("websocket").as_bytes())
        .expect("sent");
    let mut head = Vec::new();
    let mut byte = [0];
    while !head.ends_with(b"\r\n\r\n") {
        caller.read_exact(&mut byte).expect("bytes in time");
        head.push(byte[0]);
    }
    assert!(head.starts_with(b"HTTP/1.1 101 "));
    caller.write_all(b"ping").expect("sent");
    caller.conn.send_close_notify();
    caller.flush().expect("sent");
    caller
        .sock
        .shutdown(Shutdown::Write)
        .expect("an open socket");
    let mut rest = Vec::new();
    caller.read_to_end(&mut rest).expect("a clean end");
    assert_eq!(rest, b"pong");
    component.join();
}
