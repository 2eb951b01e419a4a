//! The component's own trace headers on their way back.

use bytes::Bytes;
use http::Response;
use http_body_util::Full;

use crate::component::Component;
use crate::http2::Caller;
use crate::proxy::{self, Proxy};
use crate::wire::{Scripted, Wire};

const TIMING: &[&str] = &[
    "trace;desc=\"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01\", db;dur=53",
    "cache;desc=\"hit, trace;here\";dur=1 , TRACE;dur=2,app",
    " trace ",
    "tracer;dur=1, x-trace;dur=2",
];

/// What is left of it.
const KEPT: &[&str] = &[
    "db;dur=53",
    "cache;desc=\"hit, trace;here\";dur=1, app",
    "tracer;dur=1, x-trace;dur=2",
];

fn component() -> Component {
    Component::answering(|_| {
        let mut response = Response::builder()
            .header("traceresponse", "00-a-b-01")
            .header("TraceResponse", "00-c-d-01")
            .header("x-stays", "1");
        for value in TIMING {
            response = response.header("server-timing", *value);
        }
        response.body(Full::new(Bytes::new())).expect("a response")
    })
}

#[test]
fn untrusted_callers_are_not_told_the_components_trace() {
    for (trust, told) in [("drop", false), ("ids", false), ("full", true)] {
        let component = component();
        let more = format!("  trust: {{default: {trust}}}\n");
        let yaml = proxy::ingress(&component.url(), "http://127.0.0.1:9", &more);
        let proxy = Proxy::start(&yaml);

        let (head, _) = Wire::connect(proxy.at(0)).ask("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
        let values = |name: &str| -> Vec<String> {
            head.lines()
                .filter_map(|line| line.split_once(':'))
                .filter(|(n, _)| n.eq_ignore_ascii_case(name))
                .map(|(_, value)| value.trim().to_owned())
                .collect()
        };
        let expected: Vec<&str> = if told {
            TIMING.iter().map(|v| v.trim()).collect()
        } else {
            KEPT.to_vec()
        };
        assert_eq!(values("server-timing"), expected, "{trust}");
        assert_eq!(values("traceresponse").is_empty(), !told, "{trust}");
        assert_eq!(values("x-stays"), ["1"], "{trust}");

        let (answer, _) = Caller::connect(proxy.at(0)).send(Caller::get("/"));
        let timing: Vec<_> = answer.headers().get_all("server-timing").iter().collect();
        assert_eq!(
            timing.len(),
            expected.len(),
            "{trust} over HTTP/2: {timing:?}"
        );
        assert_eq!(
            answer.headers().contains_key("traceresponse"),
            told,
            "{trust}"
        );
    }
}

#[test]
fn untrusted_callers_are_not_told_in_trailers_either() {
    let upstream = Scripted::start(1, |_, mut wire| {
        wire.head();
        wire.send(
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\
             Trailer: Server-Timing, TraceResponse, X-Checksum\r\n\r\n2\r\nok\r\n0\r\n\
             Server-Timing: trace;desc=planted, db;dur=1\r\nTraceResponse: planted\r\n\
             X-Checksum: 7\r\n\r\n",
        );
        wire.rest();
    });
    let yaml = proxy::ingress(&upstream.url(), "http://127.0.0.1:9", "");
    let proxy = Proxy::start(&yaml);
    let mut wire = Wire::connect(proxy.at(0));
    wire.send("GET / HTTP/1.1\r\nHost: a\r\nTE: trailers\r\nConnection: TE, close\r\n\r\n");
    let answer = String::from_utf8_lossy(&wire.rest()).to_lowercase();
    let (_, trailers) = answer.split_once("0\r\n").expect("chunks");
    assert!(!trailers.contains("planted"), "{answer}");
    assert!(trailers.contains("server-timing: db;dur=1\r\n"), "{answer}");
    assert!(trailers.contains("x-checksum: 7\r\n"), "{answer}");
    drop(proxy);
    upstream.join();
}
