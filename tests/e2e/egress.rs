//! Requests by the component: its own context is the parent, exactly one context leaves, and
//! none where none is to leave.

use super::component::{Component, Seen};
use super::proxy::{self, Proxy};
use super::receiver::{Receiver, Speaks, attribute};
use super::wire::{self, Wire};

const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";
const PARENT: &str = "b7ad6b7169203331";

/// `CLIENT` of OTLP's `SpanKind`.
const CLIENT: i32 = 3;

fn context(flags: &str) -> String {
    format!("traceparent: 00-{TRACE}-{PARENT}-{flags}\r\n")
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

struct Rig {
    proxy: Proxy,
    outside: Component,
    receiver: Receiver,
}

impl Rig {
    fn start(more: &str) -> Self {
        let (outside, receiver) = (Component::start(), Receiver::start(Speaks::Grpc));
        let yaml = proxy::egress(&outside.url(), receiver.endpoint(), more);
        Self {
            proxy: Proxy::start(&yaml),
            outside,
            receiver,
        }
    }

    /// What leaves of a request with these fields.
    fn call(&self, path: &str, fields: &str) -> Seen {
        call(&self.proxy, &self.outside, path, fields)
    }

    /// The spans made, and only those.
    fn spans(self, count: usize) -> Vec<opentelemetry_proto::tonic::trace::v1::Span> {
        self.proxy.stop();
        let spans = self.receiver.wait_for_spans(count);
        assert_eq!(spans.len(), count, "{spans:#?}");
        spans
    }
}

fn call(proxy: &Proxy, outside: &Component, path: &str, fields: &str) -> Seen {
    let before = outside.seen().len();
    let request = format!("GET {path} HTTP/1.1\r\nHost: example.com\r\n{fields}\r\n");
    let (head, _) = Wire::connect(proxy.at(0)).ask(request);
    assert_eq!(wire::status(&head), 200);
    outside.wait_for(before + 1).remove(before)
}

#[test]
fn the_components_context_is_the_parent_of_the_client_span() {
    let rig = Rig::start("");
    let seen = rig.call(
        "/a?b=c",
        &format!("{}tracestate: a=1\r\nbaggage: k=v\r\n", context("01")),
    );
    let left = seen.value("traceparent").expect("exactly one");
    assert_eq!(seen.values("tracestate"), ["a=1"]);
    assert_eq!(seen.values("baggage"), ["k=v"]);
    assert!(
        seen.values("x-forwarded-for").is_empty(),
        "nobody is told who asks"
    );
    let span = rig.spans(1).remove(0);
    assert_eq!(span.kind, CLIENT);
    assert_eq!(
        (hex(&span.trace_id), hex(&span.parent_span_id)),
        (TRACE.to_owned(), PARENT.to_owned())
    );
    assert_eq!(left, format!("00-{TRACE}-{}-01", hex(&span.span_id)));
    assert_eq!(
        attribute(&span.attributes, "server.address").as_deref(),
        Some("example.com")
    );
    assert!(span.links.is_empty());
}

#[test]
fn no_context_leaves_where_none_is_to_and_the_span_is_made() {
    let rig = Rig::start("  propagate: none\n");
    let seen = rig.call(
        "/a",
        &format!(
            "{}tracestate: a=1\r\nbaggage: k=v\r\nb3: 1\r\nx-b3-traceid: 1\r\nX_B3_SpanId: 1\r\n\
             uber-trace-id: 1\r\nuberctx-a: 1\r\nx-datadog-trace-id: 1\r\nx-amzn-trace-id: 1\r\n\
             sw8: 1\r\ngrpc-trace-bin: 1\r\nsentry-trace: 1\r\nTrace_Parent: 1\r\nx-stays: 1\r\n",
            context("01")
        ),
    );
    let mut left: Vec<&str> = seen.headers.keys().map(http::HeaderName::as_str).collect();
    left.sort_unstable();
    assert_eq!(left, ["host", "x-stays"]);
    let orphan = rig.call("/b", "");
    assert!(orphan.values("traceparent").is_empty(), "not even our own");
    let spans = rig.spans(2);
    let of = |path: &str| {
        let found = spans
            .iter()
            .find(|s| attribute(&s.attributes, "url.full").is_some_and(|url| url.ends_with(path)));
        found.unwrap_or_else(|| panic!("no span of {path}"))
    };
    assert_eq!(hex(&of("/a").parent_span_id), PARENT);
    assert_eq!(hex(&of("/a").trace_id), TRACE);
    assert!(of("/b").parent_span_id.is_empty());
}

#[test]
fn no_context_leaves_in_trailers_either() {
    let rig = Rig::start("  propagate: none\n");
    Wire::connect(rig.proxy.at(0)).ask(format!(
        "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nTrailer: traceparent, x-a\r\n\r\n\
         0\r\n{}x-a: 1\r\n\r\n",
        context("01")
    ));
    let seen = rig.outside.wait_for(1).remove(0);
    let trailers = seen.trailers.expect("trailers");
    assert_eq!(trailers.keys().collect::<Vec<_>>(), ["x-a"]);
}

#[test]
fn orphans_start_a_trace_or_pass_without_span() {
    for (orphans, starts) in [("start", true), ("pass", false)] {
        let rig = Rig::start(&format!("  orphans: {orphans}\n"));
        let rows = [
            ("none", String::new()),
            ("invalid", format!("traceparent: 00-{TRACE}-{PARENT}\r\n")),
            ("two", format!("{}{}", context("01"), context("01"))),
            ("a state alone", "tracestate: a=1\r\n".to_owned()),
            (
                "an alias",
                format!("trace-parent: 00-{TRACE}-{PARENT}-01\r\n"),
            ),
        ];
        for (why, fields) in &rows {
            let seen = rig.call("/orphan", fields);
            let left = seen.values("traceparent");
            assert_eq!(
                left.len(),
                usize::from(starts),
                "{orphans}, {why}: {left:?}"
            );
            assert!(!left.iter().any(|c| c.contains(TRACE)), "{orphans}, {why}");
            assert!(seen.values("trace-parent").is_empty(), "{orphans}, {why}");
            let state = if starts { vec!["ot=th:0"] } else { vec![] };
            assert_eq!(seen.values("tracestate"), state, "{orphans}, {why}");
        }
        rig.call("/child", &context("01"));
        let spans = rig.spans(if starts { rows.len() + 1 } else { 1 });
        let roots = spans.iter().filter(|s| s.parent_span_id.is_empty()).count();
        assert_eq!(roots, if starts { rows.len() } else { 0 }, "{orphans}");
    }
}

#[test]
fn a_request_that_is_not_recorded_gets_a_fresh_parent_id_and_an_honest_flag() {
    let rig = Rig::start("");
    let mut parents = Vec::new();
    for flags in ["00", "02", "00"] {
        let left = rig
            .call("/", &context(flags))
            .value("traceparent")
            .expect("exactly one");
        let parts: Vec<&str> = left.split('-').collect();
        assert_eq!((parts[1], parts[3]), (TRACE, flags));
        parents.push(parts[2].to_owned());
    }
    parents.push(PARENT.to_owned());
    parents.sort_unstable();
    parents.dedup();
    assert_eq!(parents.len(), 4, "fresh each time: {parents:?}");
    rig.spans(0);
}

#[test]
fn where_nothing_is_exported_the_parent_id_is_relayed() {
    let outside = Component::start();
    let listeners = format!(
        "- name: out\n  bind: 127.0.0.1:0\n  direction: egress\n  upstream: {{url: \"{}\"}}\n",
        outside.url()
    );
    let tracing = "  samplingRatePerMillion: 1000000\n  export: {protocol: none}";
    let proxy = Proxy::start(&proxy::custom(tracing, &listeners));
    for flags in ["00", "01", "02", "03"] {
        let fields = format!("{}tracestate: a=1\r\n", context(flags));
        let seen = call(&proxy, &outside, "/", &fields);
        assert_eq!(
            seen.values("traceparent"),
            [format!("00-{TRACE}-{PARENT}-{flags}")]
        );
        assert_eq!(seen.values("tracestate"), ["a=1"]);
    }
}

#[test]
fn exactly_one_context_leaves_whatever_the_component_put_there() {
    let rig = Rig::start("");
    let rows = [
        ("two", format!("{}{}", context("01"), context("00"))),
        (
            "an alias beside",
            format!("{}Trace_Parent: 00-{TRACE}-{PARENT}-00\r\n", context("01")),
        ),
        (
            "a list",
            format!("traceparent: 00-{TRACE}-{PARENT}-01, 00-{TRACE}-{PARENT}-01\r\n"),
        ),
        (
            "another case",
            format!("TRACEPARENT: 00-{TRACE}-{PARENT}-01\r\n"),
        ),
        (
            "a nomination",
            format!("{}Connection: traceparent\r\n", context("01")),
        ),
    ];
    for (why, fields) in rows {
        let seen = rig.call("/", &fields);
        let folded =
            |name: &&http::HeaderName| name.as_str().replace(['-', '_', '.'], "") == "traceparent";
        assert_eq!(seen.headers.keys().filter(folded).count(), 1, "{why}");
        let left = seen.value("traceparent").expect("exactly one");
        assert!(left.len() == 55 && !left.contains(PARENT), "{why}: {left}");
    }
}
