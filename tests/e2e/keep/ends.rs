//! Ends other than a plain answer: the upstream fails, the caller goes, a body takes its time; and
//! settings that change.

use std::time::{Duration, Instant};

use tracegate::lifecycle::Signal;

use super::{DROP, ERRORS, FULL, KEEP, LIMIT, PARENT, SLOW, TRACE, answer, yaml};
use crate::background::within;
use crate::component::Component;
use crate::grpc::service::{Client, Server};
use crate::metrics;
use crate::proxy::{self, Proxy};
use crate::receiver::{Receiver, Scratch, Speaks};
use crate::span_view::views;
use crate::wire::{self, Scripted, Wire};

const GET: &str = "GET /a HTTP/1.1\r\nHost: a\r\n\r\n";

#[test]
fn what_counts_is_when_the_head_came_and_not_how_long_the_body_took() {
    let receiver = Receiver::start(Speaks::Grpc);
    let upstream = Scripted::start(2, |index, mut wire: Wire| {
        wire.head();
        if index == 1 {
            std::thread::sleep(SLOW);
        }
        wire.send("HTTP/1.1 200 OK\r\nContent-Length: 4\r\nConnection: close\r\n\r\nab");
        if index == 0 {
            std::thread::sleep(SLOW);
        }
        wire.send("cd");
    });
    let proxy = Proxy::start(&yaml(KEEP, &upstream.url(), receiver.endpoint()));
    for _ in 0..2 {
        let start = Instant::now();
        let (_, body) = Wire::connect(proxy.at(DROP)).ask(GET);
        assert_eq!(body, b"abcd");
        assert!(start.elapsed() > LIMIT, "either way the whole takes long");
    }
    upstream.join();
    let spans = proxy.spans(&receiver, 1);
    let took = spans[0].end_time_unix_nano - spans[0].start_time_unix_nano;
    assert!(Duration::from_nanos(took) >= LIMIT);
    assert_eq!(views(&receiver)[0].text("tracegate.kept"), "slow");
}

#[test]
fn an_upstream_that_cannot_be_reached_is_an_error() {
    let receiver = Receiver::start(Speaks::Grpc);
    let proxy = Proxy::start(&yaml(ERRORS, "http://127.0.0.1:1", receiver.endpoint()));
    let (head, _) = Wire::connect(proxy.at(DROP)).ask(GET);
    assert_eq!(wire::status(&head), 503);
    proxy.spans(&receiver, 1);
    let span = views(&receiver).remove(0);
    assert_eq!(span.text("error.type"), "connect_error");
    assert_eq!(span.text("tracegate.kept"), "error");
}

#[test]
fn a_caller_that_goes_is_no_error_but_was_served_slowly_if_it_waited_for_long() {
    for (tracing, wait, kept) in [(ERRORS, Duration::ZERO, 0), (KEEP, SLOW, 1)] {
        let receiver = Receiver::start(Speaks::Grpc);
        let upstream = Scripted::start(1, |_, mut wire: Wire| {
            wire.head();
            wire.rest();
        });
        let proxy = Proxy::start(&yaml(tracing, &upstream.url(), receiver.endpoint()));
        let mut wire = Wire::connect(proxy.at(DROP));
        wire.send(GET);
        std::thread::sleep(wait.max(Duration::from_millis(50)));
        wire.reset();
        upstream.join();
        proxy.spans(&receiver, kept);
        for span in views(&receiver) {
            assert_eq!(span.text("tracegate.kept"), "slow");
            assert_eq!(span.text("tracegate.cancelled"), "true");
        }
    }
}

#[test]
fn a_reload_changes_what_is_kept() {
    let (scratch, receiver) = (Scratch::new("keep"), Receiver::start(Speaks::Grpc));
    let component = Component::answering(answer);
    let file = scratch.join("tracegate.yaml");
    let write = |tracing: &str| {
        let yaml = yaml(tracing, &component.url(), receiver.endpoint());
        std::fs::write(&file, proxy::document(&yaml)).expect("a file");
        yaml
    };
    let proxy = Proxy::start_file(file.clone(), &write("samplingRatePerMillion: 0"));
    let mut wire = Wire::connect(proxy.at(DROP));
    let failing = "GET /a/500 HTTP/1.1\r\nHost: a\r\n\r\n";
    wire.ask(failing);
    write("keep: {errors: true, maxPerSecond: 1000}");
    proxy.signal(Signal::Hangup);
    let until = Instant::now() + Duration::from_secs(20);
    while proxy.export().recorded() == 0 {
        wire.ask(failing);
        assert!(Instant::now() < until, "nothing is kept");
    }
    write("samplingRatePerMillion: 0");
    proxy.signal(Signal::Hangup);
    let name = "tracegate_keep_decisions_total";
    let kept = || metrics::Scrape::of(proxy.health()).matching(name, "decision", "error");
    loop {
        let before = kept();
        (0..10).for_each(|_| drop(wire.ask(failing)));
        if kept() == before {
            break;
        }
        assert!(Instant::now() < until, "it is kept still");
    }
}

#[tokio::test]
async fn a_call_that_fails_in_its_trailers_is_kept() {
    let (server, receiver) = (Server::start(), Receiver::start(Speaks::Grpc));
    let proxy = Proxy::start(&yaml(ERRORS, &server.url(), receiver.endpoint()));
    let mut client = Client::connect(proxy.at(DROP)).await;
    for code in ["5", "13"] {
        let answer = client.server_stream("/test.Echo/FailLate", code).await;
        let mut messages = answer.expect("a message first").into_inner();
        while let Ok(Some(_)) = within(messages.message()).await {}
    }
    drop(client);
    let stopped = tokio::task::spawn_blocking(move || {
        proxy.spans(&receiver, 1);
        views(&receiver).remove(0)
    });
    let span = within(stopped).await.expect("stopped");
    assert_eq!(span.text("error.type"), "INTERNAL");
    assert_eq!(span.text("tracegate.kept"), "error");
}

#[test]
fn a_tunnel_that_was_long_in_coming_is_kept_with_what_went_through() {
    let receiver = Receiver::start(Speaks::Grpc);
    let upstream = Scripted::start(1, |_, mut wire: Wire| {
        wire.head();
        std::thread::sleep(SLOW);
        wire.send("HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\n");
        wire.exactly(5);
        wire.send("abc");
    });
    let proxy = Proxy::start(&yaml(KEEP, &upstream.url(), receiver.endpoint()));
    let mut wire = Wire::connect(proxy.at(DROP));
    wire.send("GET /up HTTP/1.1\r\nHost: h\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\n");
    assert_eq!(wire::status(&wire.head()), 101);
    wire.send("12345");
    wire.finish();
    assert_eq!(wire.rest(), b"abc");
    upstream.join();
    proxy.spans(&receiver, 1);
    let span = views(&receiver).remove(0);
    assert_eq!(span.text("tracegate.kept"), "slow");
    assert_eq!(span.text("tracegate.tunnel.request_bytes"), "5");
    assert_eq!(span.text("tracegate.tunnel.response_bytes"), "3");
}

#[test]
fn what_a_cap_has_stopped_is_kept_if_it_fails() {
    let receiver = Receiver::start(Speaks::Grpc);
    let component = Component::answering(answer);
    let tracing = format!("maxTrustedTracesPerSecond: 1\n  {ERRORS}");
    let proxy = Proxy::start(&yaml(&tracing, &component.url(), receiver.endpoint()));
    let mut wire = Wire::connect(proxy.at(FULL));
    for _ in 0..5 {
        wire.ask(format!(
            "GET /a/500 HTTP/1.1\r\nHost: a\r\ntraceparent: 00-{TRACE}-{PARENT}-01\r\n\r\n"
        ));
    }
    proxy.spans(&receiver, 5);
    let kept = views(&receiver);
    let kept = kept.iter().filter(|s| s.get("tracegate.kept").is_some());
    assert!((3..=4).contains(&kept.count()), "all that the cap stopped");
}
