//! Interim responses (1xx): an upstream may send a few, and no flood of them.

use http::Method;

use super::frames::Came;
use super::http2_faults::framed;
use super::proxy::{self, Proxy};
use super::streams::{self, soon};
use super::wire::{self, Scripted};

const NOWHERE: &str = "http://127.0.0.1:1";
const MOST: usize = 64;

/// The status a caller of HTTP/1 or HTTP/2 gets in the end.
fn asked(upstream: &str, protocol: &str, http2: bool) -> u16 {
    let yaml = proxy::ingress(upstream, NOWHERE, "");
    let proxy = Proxy::start(&proxy::with_upstream(&yaml, protocol));
    let address = proxy.at(0);
    if http2 {
        return streams::run(async {
            let (mut caller, _ended) = streams::connect(address).await;
            let request = streams::request(Method::GET, address, "/");
            let (response, _) = caller.send_request(request, true).expect("sent");
            soon(response).await.expect("an answer").status().as_u16()
        });
    }
    let request = "GET / HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n";
    let answer = wire::exchange(address, request);
    let last = answer.rfind("HTTP/1.1 ").expect("an answer");
    wire::status(&answer[last..])
}

#[test]
fn an_upstream_may_send_some_interim_responses_and_no_flood_of_them() {
    for (came, expected) in [(MOST, 200), (MOST + 1, 502)] {
        for http2 in [false, true] {
            let url = framed(move |mut frames| {
                while let Came::Head(stream) = frames.came() {
                    for _ in 0..came {
                        frames.head(stream, &[(b":status", b"103")], false);
                    }
                    frames.head(stream, &[(b":status", b"200")], true);
                }
            });
            let status = asked(&url, "protocol: http2", http2);
            assert_eq!(status, expected, "{came} over HTTP/2, caller's: {http2}");
            let component = Scripted::start(1, move |_, mut wire| {
                wire.head();
                wire.send("HTTP/1.1 103 Early Hints\r\n\r\n".repeat(came));
                wire.send("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
                wire.rest();
            });
            let status = asked(&component.url(), "protocol: http1", http2);
            assert_eq!(status, expected, "{came} over HTTP/1, caller's: {http2}");
            component.join();
        }
    }
}
