//! `Expect: 100-continue`: the caller sends its body on the upstream's word, not on ours.
//!
//! What becomes of an upstream that never says a word is tested with the body, in paused time.

use std::sync::mpsc;
use std::time::Duration;

use super::component::{Component, PATIENCE};
use super::proxy::{self, Proxy};
use super::wire::{Scripted, Wire};

const ASKS: &str =
    "POST /up HTTP/1.1\r\nHost: h\r\nExpect: 100-continue\r\nContent-Length: 4\r\n\r\n";

/// Whether nothing comes for a moment.
fn is_silent(wire: &mut Wire) -> bool {
    let moment = Some(Duration::from_millis(50));
    wire.socket().set_read_timeout(moment).expect("a socket");
    let mut byte = [0];
    let silent = matches!(
        std::io::Read::read(&mut wire.socket(), &mut byte),
        Err(error) if error.kind() == std::io::ErrorKind::WouldBlock
    );
    wire.socket()
        .set_read_timeout(Some(PATIENCE))
        .expect("a socket");
    silent
}

#[test]
fn the_caller_hears_continue_once_the_upstream_has_said_it_and_not_before() {
    let (speak, spoken) = mpsc::channel::<()>();
    let (came, comes) = mpsc::channel();
    let component = Scripted::start(1, move |_, mut wire| {
        let head = wire.head().to_ascii_lowercase();
        assert!(head.contains("\r\nexpect: 100-continue\r\n"), "{head}");
        came.send(()).expect("the test waits");
        spoken.recv_timeout(PATIENCE).expect("the test speaks");
        assert!(is_silent(&mut wire), "the body came before the word");
        wire.send("HTTP/1.1 100 Continue\r\n\r\n");
        assert_eq!(wire.exactly(4), b"body");
        wire.send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
    });
    let proxy = Proxy::start(&proxy::ingress(&component.url(), "http://127.0.0.1:1", ""));
    let mut caller = Wire::connect(proxy.at(0));
    caller.send(ASKS);
    comes.recv_timeout(PATIENCE).expect("the head came");
    assert!(
        is_silent(&mut caller),
        "continue before the upstream's word"
    );
    speak.send(()).expect("the component waits");
    assert_eq!(caller.head(), "HTTP/1.1 100 Continue\r\n\r\n");
    caller.send("body");
    let (head, body) = caller.message();
    assert!(head.starts_with("HTTP/1.1 200 "), "{head}");
    assert_eq!(body, b"ok");
    component.join();
}

#[test]
fn a_final_answer_passes_without_the_body_and_nothing_after_it_is_a_request() {
    for status in ["417 Expectation Failed", "401 Unauthorized"] {
        let component = Scripted::start(1, move |_, mut wire| {
            wire.head();
            wire.send(format!(
                "HTTP/1.1 {status}\r\nWWW-Authenticate: Basic\r\nContent-Length: 3\r\n\r\nno!"
            ));
            assert_eq!(wire.rest(), b"", "no body was sent");
        });
        let proxy = Proxy::start(&proxy::ingress(&component.url(), "http://127.0.0.1:1", ""));
        let mut caller = Wire::connect(proxy.at(0));
        caller.send(ASKS);
        let (head, body) = caller.message();
        assert!(head.starts_with(&format!("HTTP/1.1 {status}")), "{head}");
        assert!(
            head.to_ascii_lowercase()
                .contains("www-authenticate: basic"),
            "{head}"
        );
        assert!(
            head.to_ascii_lowercase().contains("connection: close"),
            "{head}"
        );
        assert_eq!(body, b"no!");
        // A caller that sends its body all the same: it may not be read as a request.
        caller.send("GET /smuggled HTTP/1.1\r\nHost: h\r\n\r\n");
        assert_eq!(String::from_utf8_lossy(&caller.rest()), "");
        component.join();
    }
}

#[test]
fn an_upstream_of_http2_gets_the_body_at_once_as_its_word_cannot_be_heard() {
    let component = Component::start();
    let yaml = proxy::ingress(&component.url(), "http://127.0.0.1:1", "");
    let proxy = Proxy::start(&proxy::with_upstream(&yaml, "protocol: http2"));
    let mut caller = Wire::connect(proxy.at(0));
    let begun = std::time::Instant::now();
    caller.send(ASKS);
    assert_eq!(caller.head(), "HTTP/1.1 100 Continue\r\n\r\n");
    caller.send("body");
    let (head, body) = caller.message();
    assert!(head.starts_with("HTTP/1.1 200 "), "{head}");
    assert_eq!(body, b"body");
    assert!(
        begun.elapsed() < Duration::from_secs(3),
        "no patience is spent"
    );
    let seen = component.wait_for(1).remove(0);
    assert_eq!(seen.version, http::Version::HTTP_2);
    assert_eq!(seen.value("expect"), None);
}

#[test]
fn an_upstream_that_answers_at_once_and_reads_on_gets_the_body() {
    let component = Scripted::start(1, |_, mut wire| {
        wire.head();
        wire.send("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 100 Continue\r\n\r\n");
        assert_eq!(wire.exactly(4), b"body");
        wire.send("HTTP/1.1 204 No Content\r\n\r\n");
        // Kept alive: the next request comes on the same connection.
        assert!(wire.head().starts_with("GET /next "));
        wire.send("HTTP/1.1 204 No Content\r\n\r\n");
    });
    let proxy = Proxy::start(&proxy::ingress(&component.url(), "http://127.0.0.1:1", ""));
    let mut caller = Wire::connect(proxy.at(0));
    caller.send(ASKS);
    for _ in 0..2 {
        assert_eq!(caller.head(), "HTTP/1.1 100 Continue\r\n\r\n");
    }
    caller.send("body");
    assert!(caller.head().starts_with("HTTP/1.1 204 "));
    caller.send("GET /next HTTP/1.1\r\nHost: h\r\n\r\n");
    assert!(caller.head().starts_with("HTTP/1.1 204 "));
    component.join();
}
