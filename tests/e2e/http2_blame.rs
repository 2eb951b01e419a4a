//! How a request ended, and whose fault that was, where HTTP/1 meets HTTP/2.

use std::time::Duration;

use http::{Method, Request};

use super::component::Component;
use super::frames::Came;
use super::http2_faults::framed;
use super::metrics;
use super::proxy::{self, Proxy};
use super::receiver::{Receiver, Speaks, attribute};
use super::streams::{self, soon};
use super::wire::{self, Wire};

const NOWHERE: &str = "http://127.0.0.1:1";

/// Over HTTP/2 to the upstream, whatever the caller speaks.
fn over_http2(upstream: &str, collector: &str, more: &str) -> Proxy {
    let yaml = proxy::ingress(upstream, collector, more);
    let yaml = proxy::with_upstream(&yaml, "protocol: http2");
    Proxy::start(&proxy::with_top(&yaml, "health: {bind: \"127.0.0.1:0\"}"))
}

fn refused(proxy: &Proxy, reason: &str) {
    let labels = [("listener", "ingress"), ("reason", reason)];
    let name = "tracegate_requests_refused_total";
    metrics::wait_for(proxy.health(), name, &labels, 1);
}

#[test]
fn an_answer_without_a_body_is_complete_before_its_stream_has_ended() {
    for (method, status) in [("HEAD", "200"), ("GET", "204"), ("GET", "304")] {
        let receiver = Receiver::start(Speaks::Grpc);
        let url = framed(move |mut frames| {
            while let Came::Head(stream) = frames.came() {
                frames.head(stream, &[(b":status", status.as_bytes())], false);
                // The caller has its answer by now.
                std::thread::sleep(Duration::from_millis(50));
                frames.last_data(stream, b"");
            }
        });
        let proxy = over_http2(&url, receiver.endpoint(), "");
        let mut caller = Wire::connect(proxy.at(0));
        caller.send(format!("{method} / HTTP/1.1\r\nHost: h\r\n\r\n"));
        let head = caller.head();
        assert_eq!(wire::status(&head).to_string(), status, "{method}");
        let span = proxy.spans(&receiver, 1).remove(0);
        let cancelled = attribute(&span.attributes, "tracegate.cancelled");
        assert_eq!(cancelled, None, "{method} {status}");
    }
}

#[test]
fn a_request_that_names_nobody_is_refused_and_not_put_down_to_the_upstream() {
    let receiver = Receiver::start(Speaks::Grpc);
    let component = Component::start();
    let proxy = over_http2(&component.url(), receiver.endpoint(), "");
    let answer = wire::exchange(proxy.at(0), "GET / HTTP/1.1\r\nHost:\r\n\r\n");
    assert_eq!(wire::status(&answer), 400, "{answer}");
    refused(&proxy, "bad_target");
    let span = proxy.spans(&receiver, 1).remove(0);
    assert_eq!(attribute(&span.attributes, "error.type"), None);
    assert!(component.seen().is_empty());
}

#[test]
fn a_body_of_malformed_chunks_is_refused_also_in_front_of_http2() {
    for answered in [false, true] {
        let receiver = Receiver::start(Speaks::Grpc);
        let url = framed(move |mut frames| {
            while let Came::Head(stream) | Came::Reset(stream, _) = frames.came() {
                if answered {
                    frames.head(stream, &[(b":status", b"200")], false);
                }
            }
        });
        let proxy = over_http2(&url, receiver.endpoint(), "");
        let mut caller = Wire::connect(proxy.at(0));
        caller.send("POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n");
        if answered {
            assert_eq!(wire::status(&caller.head()), 200);
        }
        caller.send("ZZ\r\n");
        if !answered {
            assert_eq!(wire::status(&caller.head()), 400);
        }
        refused(&proxy, "bad_request");
        let span = proxy.spans(&receiver, 1).remove(0);
        for name in ["tracegate.cancelled", "error.type"] {
            let said = attribute(&span.attributes, name);
            assert_eq!(said, None, "{name}, answered: {answered}");
        }
    }
}

#[test]
fn a_tunnel_to_no_port_is_refused_whoever_asks() {
    let allowed = "  allowConnect: true\n";
    let proxy = Proxy::start(&proxy::ingress(NOWHERE, NOWHERE, allowed));
    let address = proxy.at(0);
    for target in ["example.com", "example.com:", "example.com:0"] {
        let request = format!("CONNECT {target} HTTP/1.1\r\nHost: example.com\r\n\r\n");
        let answer = wire::exchange(address, &request);
        assert_eq!(wire::status(&answer), 400, "{target}: {answer}");
    }
    streams::run(async {
        let (mut caller, _ended) = streams::connect(address).await;
        let request = Request::builder().method(Method::CONNECT);
        let request = request.uri("example.com").body(()).expect("a request");
        let (response, _send) = caller.send_request(request, false).expect("sent");
        assert_eq!(soon(response).await.expect("an answer").status(), 400);
    });
}
