//! W3C Trace Context Level 2 as its own suite checks it: harness → ingress (trust full) → an app
//! that copies nothing but `traceparent` and `tracestate` → egress → harness.

mod conformance;
mod tracestate;

use std::net::SocketAddr;
use std::sync::{Arc, OnceLock};

use bytes::Bytes;
use http::Response;
use http_body_util::Full;

use super::component::{Component, Seen};
use super::proxy::{self, Proxy};
use super::receiver::{Receiver, Speaks};
use super::wire::{self, Wire};

const TRACE: &str = "12345678901234567890123456789012";
const PARENT: &str = "1234567890123456";

struct Rig {
    proxy: Proxy,
    harness: Component,
    _app: Component,
}

impl Rig {
    fn start(collector: &str) -> Self {
        let harness = Component::start();
        let egress: Arc<OnceLock<SocketAddr>> = Arc::default();
        let way = Arc::clone(&egress);
        let app = Component::answering(move |seen| call(*way.get().expect("it runs"), seen));
        let listeners = format!(
            "- name: in\n  bind: 127.0.0.1:0\n  trust: {{default: full}}\n  upstream: {{url: \"{}\"}}\n\
             - name: out\n  bind: 127.0.0.1:0\n  direction: egress\n  upstream: {{url: \"{}\"}}\n",
            app.url(),
            harness.url()
        );
        let tracing =
            format!("  samplingRatePerMillion: 1000000\n  export: {{endpoint: \"{collector}\"}}");
        let proxy = Proxy::start(&proxy::custom(&tracing, &listeners));
        egress.set(proxy.at(1)).expect("set once");
        Self {
            proxy,
            harness,
            _app: app,
        }
    }

    /// What comes back to the harness of a request with these field lines.
    fn call(&self, fields: &str) -> Context {
        let before = self.harness.seen().len();
        let request = format!("GET /a HTTP/1.1\r\nHost: a\r\n{fields}\r\n");
        let (head, _) = Wire::connect(self.proxy.at(0)).ask(request);
        assert_eq!(wire::status(&head), 200, "{fields}");
        Context::of(&self.harness.wait_for(before + 1).remove(before))
    }
}

/// The app: one call further on, with nothing but the two fields.
fn call(egress: SocketAddr, seen: &Seen) -> Response<Full<Bytes>> {
    let mut request = "GET /b HTTP/1.1\r\nHost: harness\r\n".to_owned();
    for name in ["traceparent", "tracestate"] {
        for value in seen.values(name) {
            request.push_str(&format!("{name}: {value}\r\n"));
        }
    }
    request.push_str("\r\n");
    let (head, _) = Wire::connect(egress).ask(request);
    let mut response = Response::new(Full::default());
    *response.status_mut() = wire::status(&head).try_into().expect("a status");
    response
}

/// A context as the suite reads it.
#[derive(Debug)]
struct Context {
    trace: String,
    parent: String,
    flags: u8,
    state: Option<String>,
}

impl Context {
    fn of(seen: &Seen) -> Self {
        let value = seen.value("traceparent").expect("exactly one context");
        let parts: Vec<&str> = value.split('-').collect();
        let [version, trace, parent, flags] = parts[..] else {
            panic!("expected four parts, got {value}");
        };
        let lengths = [version.len(), trace.len(), parent.len(), flags.len()];
        assert_eq!(lengths, [2, 32, 16, 2], "{value}");
        assert_eq!(version, "00", "{value}");
        let lower = |b: u8| matches!(b, b'0'..=b'9' | b'a'..=b'f' | b'-');
        assert!(value.bytes().all(lower), "{value}");
        assert!(trace.bytes().any(|b| b != b'0'), "{value}");
        assert!(parent.bytes().any(|b| b != b'0'), "{value}");
        let states = seen.values("tracestate");
        Self {
            trace: trace.to_owned(),
            parent: parent.to_owned(),
            flags: u8::from_str_radix(flags, 16).expect("hexadecimal"),
            state: (!states.is_empty()).then(|| states.join(",")),
        }
    }

    fn continued(&self) -> bool {
        assert_ne!(self.parent, PARENT, "a span of its own");
        self.trace == TRACE
    }
}

fn rig() -> Rig {
    Rig::start("http://127.0.0.1:9")
}

#[test]
fn a_traceparent_is_continued_or_the_trace_restarts() {
    let p = format!("{TRACE}-{PARENT}");
    let rows: Vec<(&str, String, bool)> = vec![
        ("both missing", String::new(), false),
        ("alone", format!("traceparent: 00-{p}-00\r\n"), true),
        (
            "twice",
            format!(
                "traceparent: 00-{p}-01\r\ntraceparent: 00-{}-{PARENT}-01\r\n",
                TRACE.replace('1', "2")
            ),
            false,
        ),
        (
            "name with a dash",
            format!("trace-parent: 00-{p}-01\r\n"),
            false,
        ),
        (
            "name with a dot",
            format!("trace.parent: 00-{p}-01\r\n"),
            false,
        ),
        (
            "name TraceParent",
            format!("TraceParent: 00-{p}-01\r\n"),
            true,
        ),
        (
            "name TrAcEpArEnT",
            format!("TrAcEpArEnT: 00-{p}-01\r\n"),
            true,
        ),
        (
            "name TRACEPARENT",
            format!("TRACEPARENT: 00-{p}-01\r\n"),
            true,
        ),
        (
            "version 00 with a dot behind",
            format!("traceparent: 00-{p}-01.\r\n"),
            false,
        ),
        (
            "version 00 with more",
            format!("traceparent: 00-{p}-01-what-the-future-will-be-like\r\n"),
            false,
        ),
        (
            "version 00 with a dash behind",
            format!("traceparent: 00-{p}-01-\r\n"),
            false,
        ),
        ("version cc", format!("traceparent: cc-{p}-01\r\n"), true),
        (
            "version cc with more",
            format!("traceparent: cc-{p}-01-what-the-future-will-be-like\r\n"),
            true,
        ),
        (
            "version cc with a dot behind",
            format!("traceparent: cc-{p}-01.what-the-future-will-not-be-like\r\n"),
            false,
        ),
        (
            "version cc too short",
            format!("traceparent: cc-{TRACE}-{PARENT}-0\r\n"),
            false,
        ),
        ("version ff", format!("traceparent: ff-{p}-01\r\n"), false),
        ("version .0", format!("traceparent: .0-{p}-01\r\n"), false),
        ("version 0.", format!("traceparent: 0.-{p}-01\r\n"), false),
        (
            "version too long",
            format!("traceparent: 000-{p}-01\r\n"),
            false,
        ),
        (
            "version too short",
            format!("traceparent: 0-{p}-01\r\n"),
            false,
        ),
        (
            "trace id of zeros",
            format!("traceparent: 00-{:032}-{PARENT}-01\r\n", 0),
            false,
        ),
        (
            "trace id with a dot",
            format!("traceparent: 00-.{}-{PARENT}-01\r\n", &TRACE[1..]),
            false,
        ),
        (
            "trace id ends in a dot",
            format!("traceparent: 00-{}.-{PARENT}-01\r\n", &TRACE[1..]),
            false,
        ),
        (
            "trace id too long",
            format!("traceparent: 00-{TRACE}3-{PARENT}-01\r\n"),
            false,
        ),
        (
            "trace id too short",
            format!("traceparent: 00-{}-{PARENT}-01\r\n", &TRACE[1..]),
            false,
        ),
        (
            "trace id with a sign",
            format!("traceparent: 00-+{}-{PARENT}-01\r\n", &TRACE[1..]),
            false,
        ),
        (
            "trace id in capitals",
            format!("traceparent: 00-{}ABCDEF-{PARENT}-01\r\n", &TRACE[6..]),
            false,
        ),
        (
            "parent id of zeros",
            format!("traceparent: 00-{TRACE}-{:016}-01\r\n", 0),
            false,
        ),
        (
            "parent id with a dot",
            format!("traceparent: 00-{TRACE}-.{}-01\r\n", &PARENT[1..]),
            false,
        ),
        (
            "parent id too long",
            format!("traceparent: 00-{TRACE}-{PARENT}3-01\r\n"),
            false,
        ),
        (
            "parent id too short",
            format!("traceparent: 00-{TRACE}-{}-01\r\n", &PARENT[1..]),
            false,
        ),
        ("flags .0", format!("traceparent: 00-{p}-.0\r\n"), false),
        ("flags 0.", format!("traceparent: 00-{p}-0.\r\n"), false),
        (
            "flags too long",
            format!("traceparent: 00-{p}-001\r\n"),
            false,
        ),
        (
            "flags too short",
            format!("traceparent: 00-{p}-1\r\n"),
            false,
        ),
        (
            "no flags behind the dash",
            format!("traceparent: 00-{p}-\r\n"),
            false,
        ),
        ("no flags", format!("traceparent: 00-{p}\r\n"), false),
        (
            "space before",
            format!("traceparent:    00-{p}-01\r\n"),
            true,
        ),
        ("tab before", format!("traceparent: \t00-{p}-01\r\n"), true),
        ("space behind", format!("traceparent: 00-{p}-01 \r\n"), true),
        ("tab behind", format!("traceparent: 00-{p}-01\t\r\n"), true),
        (
            "both around",
            format!("traceparent: \t 00-{p}-01 \t\r\n"),
            true,
        ),
    ];
    let rig = rig();
    for (why, fields, continued) in rows {
        let context = rig.call(&fields);
        assert_eq!(context.continued(), continued, "{why}: {context:?}");
    }
}

#[test]
fn flags_tell_the_truth_and_randomness_stays_as_it_was_said() {
    let rig = rig();
    for (given, expected, why) in [
        ("00", 0, "not sampled"),
        ("01", 1, "sampled"),
        ("02", 2, "random, not sampled"),
        ("03", 3, "random and sampled"),
        ("ff", 3, "flags nobody defined are cleared"),
        ("fc", 0, "only flags nobody defined"),
    ] {
        let context = rig.call(&format!("traceparent: 00-{TRACE}-{PARENT}-{given}\r\n"));
        assert!(context.continued(), "{why}");
        assert_eq!(context.flags, expected, "{why}");
    }
    let root = rig.call("");
    assert_eq!(root.flags, 3, "an id made here is random");
}

#[test]
fn two_requests_without_context_get_two_traces() {
    let rig = rig();
    let (one, two) = (rig.call(""), rig.call(""));
    assert_ne!(one.trace, two.trace);
    assert_ne!(one.parent, two.parent);
}

#[test]
fn the_spans_on_the_way_are_each_others_parents() {
    let receiver = Receiver::start(Speaks::Grpc);
    let rig = Rig::start(receiver.endpoint());
    let context = rig.call(&format!("traceparent: 00-{TRACE}-{PARENT}-01\r\n"));
    rig.proxy.stop();
    let hex = |bytes: &[u8]| bytes.iter().map(|b| format!("{b:02x}")).collect::<String>();
    let spans = receiver.wait_for_spans(2);
    let child_of = |parent: &str| {
        let span = spans.iter().find(|s| hex(&s.parent_span_id) == parent);
        hex(&span
            .unwrap_or_else(|| panic!("no child of {parent}"))
            .span_id)
    };
    assert_eq!(child_of(&child_of(PARENT)), context.parent);
    assert!(spans.iter().all(|span| hex(&span.trace_id) == TRACE));
}
