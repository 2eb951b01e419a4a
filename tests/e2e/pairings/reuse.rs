//! Keep-alive and pipelining: connections outlive requests on both sides, each for itself.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use super::towards;
use crate::caller::{Caller, Speaks, block_on};
use crate::component::{Component, PATIENCE};
use crate::server::{Listen, Server};
use crate::wire::{Scripted, Wire};

#[test]
fn pipelined_requests_are_answered_in_order_on_one_connection_each_side() {
    let server = Server::start(Listen::Tcp, |request| async move {
        let path = request.uri().path().to_owned();
        if path.ends_with('0') {
            // Later ones would overtake it if they could.
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        http::Response::new(crate::caller::full(path))
    });
    let proxy = towards(server.url(), Speaks::Http1);
    let mut caller = Wire::connect(proxy.at(0));
    let mut requests = String::new();
    for number in 0..20 {
        let (method, body) = if number % 3 == 0 {
            ("POST", "abc")
        } else {
            ("GET", "")
        };
        let length = body.len();
        requests += &format!(
            "{method} /{number} HTTP/1.1\r\nHost: example.com\r\nContent-Length: {length}\r\n\r\n{body}"
        );
    }
    caller.send(requests);
    for number in 0..20 {
        let head = caller.head();
        assert!(head.starts_with("HTTP/1.1 200 OK\r\n"), "{head}");
        let expected = format!("/{number}");
        assert_eq!(caller.exactly(expected.len()), expected.as_bytes());
    }
    assert_eq!(server.connections(), 1);
}

#[test]
fn connections_to_the_upstream_are_used_again_by_other_callers() {
    for up in Speaks::BOTH {
        let server = Server::start(Listen::Tcp, |_| async {
            http::Response::new(crate::caller::full("x"))
        });
        let proxy = towards(server.url(), up);
        block_on(async {
            for down in [Speaks::Http1, Speaks::Http2, Speaks::Http1] {
                let mut caller = Caller::tcp(proxy.at(0), down).await;
                for _ in 0..5 {
                    assert_eq!(caller.get("/").await.text(), "x");
                }
            }
        });
        // HTTP/1.1 towards the upstream is spoken by the relay and by the engine of HTTP/2
        // callers; neither uses the other's connections.
        let most = if up == Speaks::Http1 { 2 } else { 1 };
        assert_eq!(server.connections(), most, "{up:?}");
    }
}

#[test]
fn a_caller_that_closes_does_not_close_the_upstreams_connection() {
    let component = Scripted::start(1, |_, mut wire| {
        for _ in 0..2 {
            let head = wire.head().to_ascii_lowercase();
            assert!(!head.contains("connection:"), "{head}");
            wire.send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
        }
    });
    let proxy = towards(&component.url(), Speaks::Http1);
    for _ in 0..2 {
        let mut caller = Wire::connect(proxy.at(0));
        caller.send("GET / HTTP/1.1\r\nHost: example.com\r\nConnection: close\r\n\r\n");
        let answer = String::from_utf8_lossy(&caller.rest()).to_ascii_lowercase();
        assert!(answer.contains("connection: close"), "{answer}");
        assert!(answer.ends_with("\r\n\r\nok"), "{answer}");
    }
    component.join();
}

#[test]
fn an_upstream_that_closes_does_not_close_the_callers_connection() {
    let component = Scripted::start(2, |_, mut wire| {
        wire.head();
        wire.send("HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok");
    });
    let proxy = towards(&component.url(), Speaks::Http1);
    let mut caller = Wire::connect(proxy.at(0));
    for _ in 0..2 {
        caller.send("GET / HTTP/1.1\r\nHost: example.com\r\n\r\n");
        let head = caller.head().to_ascii_lowercase();
        assert!(head.starts_with("http/1.1 200 ok"), "{head}");
        assert!(!head.contains("close"), "{head}");
        assert_eq!(caller.exactly(2), b"ok");
    }
    component.join();
}

#[test]
fn an_http_1_0_caller_may_keep_its_connection() {
    let component = Component::start();
    let proxy = towards(&component.url(), Speaks::Http1);
    let mut caller = Wire::connect(proxy.at(0));
    for _ in 0..2 {
        caller.send(
            "POST / HTTP/1.0\r\nHost: example.com\r\nConnection: keep-alive\r\n\
             Content-Length: 2\r\n\r\nok",
        );
        let head = caller.head().to_ascii_lowercase();
        assert!(head.starts_with("http/1.0 200"), "{head}");
        assert!(head.contains("connection: keep-alive"), "{head}");
        assert_eq!(caller.exactly(2), b"ok");
    }
}

#[test]
fn a_caller_that_leaves_ends_its_request_upstream() {
    for up in Speaks::BOTH {
        let (begun, ended) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
        let counters = (Arc::clone(&begun), Arc::clone(&ended));
        let server = Server::start(Listen::Tcp, move |_| {
            let (begun, ended) = (Arc::clone(&counters.0), Arc::clone(&counters.1));
            async move {
                let _ended = OnDrop(ended);
                begun.fetch_add(1, Ordering::SeqCst);
                std::future::pending().await
            }
        });
        for (number, down) in Speaks::BOTH.into_iter().enumerate() {
            let proxy = towards(server.url(), up);
            block_on(async {
                let mut caller = Caller::tcp(proxy.at(0), down).await;
                let request = caller.get("/");
                let left = async { until(|| begun.load(Ordering::SeqCst) == number + 1).await };
                tokio::select! {
                    _ = request => panic!("nobody answers"),
                    () = left => {}
                }
                drop(caller);
                until(|| ended.load(Ordering::SeqCst) == number + 1).await;
            });
        }
    }
}

struct OnDrop(Arc<AtomicUsize>);

impl Drop for OnDrop {
    fn drop(&mut self) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

async fn until(condition: impl Fn() -> bool) {
    let end = Instant::now() + PATIENCE;
    while !condition() {
        assert!(Instant::now() < end, "it never happened");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}
