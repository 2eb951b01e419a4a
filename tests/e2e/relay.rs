//! What HTTP/1 callers of HTTP/1 upstreams get that the other engine can't give.

use std::io::{ErrorKind, Read};
use std::net::Shutdown;

use super::component::Component;
use super::proxy::{self, Proxy};
use super::wire::{Scripted, Wire};

const GET: &str = "GET / HTTP/1.1\r\nHost: h\r\n\r\n";

fn before(component: &Scripted) -> Proxy {
    Proxy::start(&proxy::ingress(&component.url(), "http://127.0.0.1:1", ""))
}

#[test]
fn interim_responses_are_relayed_as_they_come_but_not_to_http10() {
    let component = Scripted::start(1, |_, mut wire| {
        for _ in 0..2 {
            wire.head();
            wire.send(
                "HTTP/1.1 103 Early Hints\r\nLink: </a>; rel=preload\r\nConnection: x\r\n\r\n",
            );
            wire.send(
                "HTTP/1.1 102 Processing\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
            );
        }
    });
    let proxy = before(&component);
    let mut caller = Wire::connect(proxy.at(0));
    caller.send(GET);
    let hints = "HTTP/1.1 103 Early Hints\r\nLink: </a>; rel=preload\r\n\r\n";
    assert_eq!(caller.head(), hints);
    assert_eq!(caller.head(), "HTTP/1.1 102 Processing\r\n\r\n");
    assert!(caller.head().starts_with("HTTP/1.1 200 OK\r\n"));
    let mut old = Wire::connect(proxy.at(0));
    old.send("GET / HTTP/1.0\r\n\r\n");
    assert!(old.head().starts_with("HTTP/1.0 200 OK\r\n"));
    component.join();
}

#[test]
fn requests_sent_ahead_are_answered_in_order() {
    let component = Scripted::start(1, |_, mut wire| {
        for path in ["/a", "/b", "/c"] {
            let head = wire.head();
            assert!(head.contains(&format!(" {path} HTTP")), "{head}");
            if path == "/b" {
                assert_eq!(wire.exactly(4), b"body");
            }
            wire.send(format!(
                "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{path}"
            ));
        }
    });
    let proxy = before(&component);
    let mut caller = Wire::connect(proxy.at(0));
    caller.send(concat!(
        "GET /a HTTP/1.1\r\nHost: h\r\n\r\n",
        "POST /b HTTP/1.1\r\nHost: h\r\nContent-Length: 4\r\n\r\nbody",
        "GET /c HTTP/1.1\r\nHost: h\r\n\r\n",
    ));
    for path in ["/a", "/b", "/c"] {
        let (head, body) = caller.message();
        assert!(head.starts_with("HTTP/1.1 200 "), "{head}");
        assert_eq!(body, path.as_bytes());
    }
    component.join();
}

#[test]
fn a_response_may_begin_before_the_request_has_ended() {
    let component = Scripted::start(1, |_, mut wire| {
        wire.head();
        wire.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n");
        for _ in 0..3 {
            let chunk = wire.exactly(9);
            assert_eq!(chunk, b"4\r\nping\r\n");
            wire.send("4\r\npong\r\n");
        }
        assert_eq!(wire.exactly(5), b"0\r\n\r\n");
        wire.send("0\r\n\r\n");
    });
    let proxy = before(&component);
    let mut caller = Wire::connect(proxy.at(0));
    caller.send("POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n");
    assert!(caller.head().starts_with("HTTP/1.1 200 OK\r\n"));
    for _ in 0..3 {
        caller.send("4\r\nping\r\n");
        assert_eq!(caller.exactly(9), b"4\r\npong\r\n");
    }
    caller.send("0\r\n\r\n");
    assert_eq!(caller.exactly(5), b"0\r\n\r\n");
    component.join();
}

#[test]
fn a_response_cut_short_is_cut_short_for_the_caller_too() {
    let answers = [
        "HTTP/1.1 200 OK\r\nContent-Length: 11\r\n\r\npart",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\npart\r\n",
    ];
    let component = Scripted::start(answers.len(), move |index, mut wire| {
        wire.head();
        wire.send(answers[index]);
        wire.socket().shutdown(Shutdown::Both).expect("open");
    });
    let proxy = before(&component);
    for _ in answers {
        let mut caller = Wire::connect(proxy.at(0));
        caller.send(GET);
        let text = String::from_utf8_lossy(&caller.rest()).into_owned();
        assert!(text.starts_with("HTTP/1.1 200 OK\r\n"), "{text}");
        assert!(
            text.contains("part") && !text.contains("0\r\n\r\n"),
            "{text}"
        );
    }
    component.join();
}

#[test]
fn trailers_pass_both_ways_without_what_they_may_not_say() {
    let component = Scripted::start(1, |_, mut wire| {
        let head = wire.head();
        assert!(head.contains("Trailer: X-Sum"), "{head}");
        assert_eq!(wire.exactly(7), b"2\r\nhi\r\n");
        assert_eq!(wire.head(), "0\r\nX-Sum: 1\r\n\r\n");
        wire.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n");
        wire.send("0\r\nX-Sum: 2\r\ntraceparent: x\r\nContent-Length: 9\r\n\r\n");
    });
    let proxy = before(&component);
    let mut caller = Wire::connect(proxy.at(0));
    caller
        .send("POST / HTTP/1.1\r\nHost: h\r\nTrailer: X-Sum\r\nTransfer-Encoding: chunked\r\n\r\n");
    caller.send(
        "2\r\nhi\r\n0\r\nX-Sum: 1\r\nX-Remote-User: root\r\ntraceparent: x\r\nHost: i\r\n\r\n",
    );
    assert!(caller.head().starts_with("HTTP/1.1 200 OK\r\n"));
    assert_eq!(caller.exactly(7), b"2\r\nok\r\n");
    assert_eq!(caller.head(), "0\r\nX-Sum: 2\r\n\r\n");
    component.join();
}

#[test]
fn a_malformed_trailer_section_never_becomes_the_next_request() {
    let sections = [
        ("GET /admin HTTP/1.1\r\nHost: a\r\n\r\n", "a request line"),
        ("a: b\nc: d\r\n\r\n", "a bare LF"),
        ("a: b\n\nX\r\rY\r\n\r\n", "bytes behind the parser's end"),
        ("a : b\r\n\r\n", "a space before the colon"),
    ];
    for (section, why) in sections {
        let component = Component::start();
        let proxy = Proxy::start(&proxy::ingress(&component.url(), "http://127.0.0.1:1", ""));
        let mut caller = Wire::connect(proxy.at(0));
        caller.send(format!(
            "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n{section}"
        ));
        let answers = String::from_utf8_lossy(&caller.rest()).into_owned();
        assert!(answers.starts_with("HTTP/1.1 400 "), "{why}: {answers}");
        assert_eq!(answers.matches("HTTP/1.1 ").count(), 1, "{why}: {answers}");
        let paths = component.seen().into_iter().map(|seen| seen.uri);
        assert!(!paths.into_iter().any(|uri| uri == "/admin"), "{why}");
    }
}

#[test]
fn a_byte_behind_the_last_request_is_given_the_time_of_a_head() {
    let component = Component::start();
    let limits = "  limits: {headerTimeout: 200ms, idleTimeout: 60s}\n";
    let proxy = Proxy::start(&proxy::ingress(
        &component.url(),
        "http://127.0.0.1:1",
        limits,
    ));
    let mut caller = Wire::connect(proxy.at(0));
    caller.send(format!("{GET}G"));
    assert!(caller.head().starts_with("HTTP/1.1 200 OK\r\n"));
    let ended = match caller.socket().read(&mut [0]) {
        Ok(count) => count == 0,
        Err(error) => error.kind() == ErrorKind::ConnectionReset,
    };
    assert!(ended, "still open long after the time of a head");
}

#[test]
fn a_target_without_a_path_gets_one() {
    let component = Component::start();
    let proxy = Proxy::start(&proxy::ingress(&component.url(), "http://127.0.0.1:1", ""));
    let mut caller = Wire::connect(proxy.at(0));
    caller.send("GET http://a?x=1 HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
    assert!(caller.head().starts_with("HTTP/1.1 200 OK\r\n"));
    assert_eq!(component.wait_for(1)[0].uri, "/?x=1");
}

#[test]
fn an_http10_caller_cannot_ask_for_another_protocol() {
    let component = Component::start();
    let proxy = Proxy::start(&proxy::ingress(&component.url(), "http://127.0.0.1:1", ""));
    let mut caller = Wire::connect(proxy.at(0));
    caller.send("GET / HTTP/1.0\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n");
    assert!(caller.head().starts_with("HTTP/1.0 200 OK\r\n"));
    assert_eq!(component.wait_for(1)[0].value("upgrade"), None);
}

#[test]
fn identity_in_trailers_does_not_pass_whatever_it_is_spelled_like() {
    let component = Component::start();
    let proxy = Proxy::start(&proxy::ingress(&component.url(), "http://127.0.0.1:1", ""));
    let mut caller = Wire::connect(proxy.at(0));
    caller.send(concat!(
        "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nTE: trailers\r\n",
        "Trailer: x-checksum\r\nConnection: close\r\n\r\n0\r\n",
        "X_Remote_User: root\r\nx-forwarded.for: 1\r\nImpersonate-User: a\r\nX_Real-IP: 1\r\n",
        "x-checksum: 1\r\n\r\n"
    ));
    assert!(caller.head().starts_with("HTTP/1.1 200 OK\r\n"));
    let trailers = component.wait_for(1)[0].trailers.clone().expect("trailers");
    let names: Vec<_> = trailers.keys().map(|name| name.as_str()).collect();
    assert_eq!(names, ["x-checksum"]);
}
