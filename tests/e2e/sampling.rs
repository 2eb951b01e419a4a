//! Sampling as callers and components see it: which rule decides, what goes on, and how rates
//! change while connections stay.

mod change;
mod files;
mod wire_format;

use opentelemetry_proto::tonic::trace::v1::Span;

use super::component::{Component, Seen};
use super::proxy::{self, Proxy};
use super::receiver::{Receiver, Speaks, attribute};
use super::wire::{self, Wire};

const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";
const PARENT: &str = "b7ad6b7169203331";
const TRUSTS: [&str; 3] = ["drop", "ids", "full"];

/// One listener per trust, in the order of [`TRUSTS`], named after it.
fn listeners(component: &Component) -> String {
    TRUSTS
        .iter()
        .map(|trust| {
            format!(
                "- name: {trust}\n  bind: 127.0.0.1:0\n  trust: {{default: {trust}}}\n  \
                 upstream: {{url: \"{}\"}}\n",
                component.url()
            )
        })
        .collect()
}

struct Rig {
    proxy: Proxy,
    component: Component,
}

impl Rig {
    fn start(tracing: &str) -> Self {
        let component = Component::start();
        let tracing = format!("{tracing}\n  export: {{endpoint: \"http://127.0.0.1:9\"}}");
        let proxy = Proxy::start(&proxy::custom(&tracing, &listeners(&component)));
        Self { proxy, component }
    }

    /// A connection to the listener of this trust.
    fn connect(&self, trust: &str) -> Wire {
        let index = TRUSTS.iter().position(|t| *t == trust);
        Wire::connect(self.proxy.at(index.expect("a trust")))
    }

    /// What arrives of a request.
    fn send(&self, wire: &mut Wire, request: &str) -> Seen {
        let before = self.component.seen().len();
        let (head, _) = wire.ask(request);
        assert_eq!(wire::status(&head), 200, "{request}");
        self.component.wait_for(before + 1).remove(before)
    }

    fn get(&self, wire: &mut Wire, fields: &str) -> Seen {
        self.send(wire, &format!("GET / HTTP/1.1\r\nHost: a\r\n{fields}\r\n"))
    }
}

/// Whether the context that arrived says sampled; `None` if none arrived.
fn sampled(seen: &Seen) -> Option<bool> {
    let context = seen.value("traceparent")?;
    let flags = u8::from_str_radix(&context[53..], 16).expect("flags");
    Some(flags & 1 != 0)
}

#[test]
fn the_first_rule_that_matches_decides() {
    let rig = Rig::start(
        "  samplingRatePerMillion: 0
  rules:
  - match: {path: /livez*, method: GET}
    drop: true
  - match: {path: /never*}
    samplingRatePerMillion: 0
  - match: {path: /never/but}
    samplingRatePerMillion: 1000000
  - match: {path: /a/*/c}
    samplingRatePerMillion: 1000000
  - match: {method: PUT}
    samplingRatePerMillion: 1000000
  - match: {header: {user-agent: kubelet*}}
    samplingRatePerMillion: 1000000
  - match: {host: \"*.example.org\"}
    samplingRatePerMillion: 1000000
  - match: {grpcService: etcdserverpb.*}
    samplingRatePerMillion: 1000000
  - match: {listener: ids, path: /b}
    samplingRatePerMillion: 1000000",
    );
    let grpc = "Content-Type: application/grpc\r\n";
    let rows = [
        ("drop", "GET /", "a", "", Some(false), "no rule"),
        ("drop", "GET /livez", "a", "", None, "path and method"),
        (
            "drop",
            "GET /livez/ping?verbose",
            "a",
            "",
            None,
            "the query doesn't count",
        ),
        (
            "drop",
            "POST /livez",
            "a",
            "",
            Some(false),
            "path without method",
        ),
        (
            "drop",
            "GET /never/but",
            "a",
            "",
            Some(false),
            "an earlier rule",
        ),
        (
            "drop",
            "PUT /never",
            "a",
            "",
            Some(false),
            "an earlier rule, method of a later one",
        ),
        (
            "drop",
            "GET /a/b/c?d",
            "a",
            "",
            Some(true),
            "a glob in the middle",
        ),
        ("drop", "GET /a/b/d", "a", "", Some(false), "another end"),
        ("drop", "PUT /", "a", "", Some(true), "method"),
        (
            "drop",
            "GET /",
            "a",
            "User-Agent: kubelet/1.36\r\n",
            Some(true),
            "header",
        ),
        (
            "drop",
            "GET /",
            "a",
            "User-Agent: curl\r\nUser-Agent: kubelet\r\n",
            Some(true),
            "second value of a header",
        ),
        (
            "drop",
            "GET /",
            "a",
            "User-Agent: curl/8\r\n",
            Some(false),
            "another value",
        ),
        (
            "drop",
            "GET /",
            "API.example.org:8443",
            "",
            Some(true),
            "host without port and case",
        ),
        (
            "drop",
            "GET /",
            "example.org",
            "",
            Some(false),
            "another host",
        ),
        (
            "drop",
            "GET http://x.example.org/",
            "a",
            "",
            Some(true),
            "the host that is asked, not the one in Host",
        ),
        (
            "drop",
            "POST /etcdserverpb.KV/Range",
            "a",
            grpc,
            Some(true),
            "gRPC service",
        ),
        (
            "drop",
            "POST /etcdserverpb.KV/Range",
            "a",
            "",
            Some(false),
            "its path without its type",
        ),
        ("ids", "GET /b", "a", "", Some(true), "listener and path"),
        ("drop", "GET /b", "a", "", Some(false), "another listener"),
    ];
    for (trust, line, host, fields, expected, why) in rows {
        let request = format!("{line} HTTP/1.1\r\nHost: {host}\r\n{fields}\r\n");
        let seen = rig.send(&mut rig.connect(trust), &request);
        assert_eq!(sampled(&seen), expected, "{why}");
    }
}

#[test]
fn a_dropped_request_hands_on_what_trust_left_and_makes_no_span() {
    let (component, receiver) = (Component::start(), Receiver::start(Speaks::Grpc));
    let tracing = format!(
        "  samplingRatePerMillion: 1000000\n  rules: [{{match: {{path: /}}, drop: true}}]\n  \
         export: {{endpoint: \"{}\"}}",
        receiver.endpoint()
    );
    let proxy = Proxy::start(&proxy::custom(&tracing, &listeners(&component)));
    let rig = Rig { proxy, component };
    let names = ["traceparent", "tracestate", "baggage", "b3"];
    let all = |seen: &Seen| names.map(|name| seen.value(name));
    let some = |values: [&str; 4]| values.map(|v| (!v.is_empty()).then(|| v.to_owned()));

    let context = |flags: &str| format!("00-{TRACE}-{PARENT}-{flags}");
    for flags in ["00", "01", "02", "03"] {
        let fields = format!(
            "traceparent: {}\r\ntracestate: a=1,ot=th:0;rv:00000000000001\r\nbaggage: k=v\r\n\
             b3: 1\r\nTrace_Parent: {}\r\n",
            context(flags),
            context(flags)
        );
        let unsampled = if flags < "02" { "00" } else { "02" };
        for (trust, expected) in [
            ("drop", some([""; 4])),
            ("ids", some([&context(unsampled), "", "", ""])),
            (
                "full",
                some([&context(flags), "a=1,ot=th:0;rv:00000000000001", "k=v", "1"]),
            ),
        ] {
            let seen = rig.get(&mut rig.connect(trust), &fields);
            assert_eq!(all(&seen), expected, "{trust}, {flags}");
            assert!(seen.values("trace_parent").is_empty(), "{trust}");
        }
    }
    for trust in TRUSTS {
        for fields in [
            String::new(),
            "tracestate: a=1\r\n".to_owned(),
            format!(
                "traceparent: {}\r\ntraceparent: {}\r\ntracestate: a=1\r\nb3: 1\r\n",
                context("01"),
                context("01")
            ),
        ] {
            let seen = rig.get(&mut rig.connect(trust), &fields);
            assert_eq!(all(&seen), some([""; 4]), "{trust}: {fields}");
        }
    }
    rig.proxy.stop();
    assert!(receiver.spans().is_empty());
}

#[test]
fn an_unsampled_root_may_say_nothing() {
    for (choice, said) in [("propagate", true), ("omit", false)] {
        let rig = Rig::start(&format!(
            "  samplingRatePerMillion: 0\n  unsampledRoot: {choice}\n  \
             rules: [{{match: {{method: PUT}}, samplingRatePerMillion: 1000000}}]"
        ));
        let context = format!("traceparent: 00-{TRACE}-{PARENT}-00\r\n");
        for (trust, fields, root) in [
            ("drop", "", true),
            ("drop", &context[..], true),
            ("full", "", true),
            ("ids", "", true),
            ("full", &context, false),
            ("ids", &context, false),
        ] {
            let seen = rig.get(&mut rig.connect(trust), fields);
            let expected = (said || !root).then_some(false);
            assert_eq!(sampled(&seen), expected, "{choice}, {trust}: {fields}");
            if root {
                assert!(seen.values("tracestate").is_empty(), "{choice}, {trust}");
            }
        }
        let put = "PUT / HTTP/1.1\r\nHost: a\r\n\r\n";
        let seen = rig.send(&mut rig.connect("drop"), put);
        assert_eq!(sampled(&seen), Some(true), "a sampled root always speaks");
    }
}

#[test]
fn a_trusted_parents_decision_is_never_overridden() {
    for rate in [0, 1_000_000] {
        let rig = Rig::start(&format!(
            "  samplingRatePerMillion: {rate}\n  maxTracesPerSecond: 1\n  \
             rules: [{{match: {{path: /r}}, samplingRatePerMillion: {rate}, maxTracesPerSecond: 1}}]"
        ));
        let mut wire = rig.connect("full");
        for path in ["/", "/r"] {
            for (flags, expected) in
                [("00", false), ("01", true), ("02", false), ("03", true)].repeat(3)
            {
                let seen = rig.send(&mut wire, &format!(
                    "GET {path} HTTP/1.1\r\nHost: a\r\ntraceparent: 00-{TRACE}-{PARENT}-{flags}\r\n\r\n"
                ));
                assert_eq!(sampled(&seen), Some(expected), "{rate}, {path}, {flags}");
            }
        }
    }
}

/// Sends requests as fast as they go; says how many came out sampled, and in how many seconds.
fn rush(rig: &Rig, trust: &str, fields: &str, count: usize) -> (usize, f64, Vec<Seen>) {
    let (mut wire, start) = (rig.connect(trust), std::time::Instant::now());
    let request = format!("GET / HTTP/1.1\r\nHost: a\r\n{fields}\r\n");
    for _ in 0..count {
        wire.ask(&request);
    }
    let seconds = start.elapsed().as_secs_f64();
    let seen = rig.component.wait_for(count);
    let kept = seen
        .iter()
        .filter(|seen| sampled(seen) == Some(true))
        .count();
    (kept, seconds, seen)
}

#[test]
fn a_cap_lets_a_burst_and_its_rate_pass_and_no_more() {
    const CAP: f64 = 20.0;
    let context = format!("traceparent: 00-{TRACE}-{PARENT}-01\r\n");
    for (tracing, trust, fields) in [
        ("maxTracesPerSecond: 20", "drop", ""),
        ("maxTracesPerSecond: 20", "ids", &context[..]),
        (
            "rules: [{match: {path: /}, samplingRatePerMillion: 1000000, maxTracesPerSecond: 20}]",
            "drop",
            "",
        ),
        ("maxTrustedTracesPerSecond: 20", "full", &context),
    ] {
        let rig = Rig::start(&format!("  samplingRatePerMillion: 1000000\n  {tracing}"));
        let (kept, seconds, seen) = rush(&rig, trust, fields, 400);
        let most = CAP * (seconds + 1.0) + 1.0;
        assert!(
            kept as f64 >= CAP && kept as f64 <= most,
            "{tracing}, {trust}: {kept} in {seconds} s"
        );
        for seen in seen {
            let state = seen.value("tracestate").unwrap_or_default();
            assert!(
                !state.contains("th:"),
                "a capped decision has no probability: {state}"
            );
        }
    }
}

#[test]
fn what_a_cap_on_trusted_parents_left_out_is_marked_on_the_next_span() {
    let (component, receiver) = (Component::start(), Receiver::start(Speaks::Grpc));
    let tracing = format!(
        "  maxTrustedTracesPerSecond: 2\n  export: {{endpoint: \"{}\"}}",
        receiver.endpoint()
    );
    let proxy = Proxy::start(&proxy::custom(&tracing, &listeners(&component)));
    let rig = Rig { proxy, component };
    let context = format!("traceparent: 00-{TRACE}-{PARENT}-01\r\ntracestate: ot=th:0\r\n");
    let mut wire = rig.connect("full");
    let (mut requests, mut last) = (0, false);
    // Until one is let through after some that weren't.
    while requests < 5 || !last {
        let seen = rig.get(&mut wire, &context);
        requests += 1;
        last = sampled(&seen) == Some(true);
        assert_eq!(seen.value("tracestate"), None, "th says nothing any more");
    }
    rig.proxy.stop();
    let spans = receiver.spans();
    let capped = |span: &Span| attribute(&span.attributes, "tracegate.capped");
    let left_out = spans.iter().filter_map(capped);
    let left_out: usize = left_out
        .map(|n| n.parse::<usize>().expect("a number"))
        .sum();
    assert!(left_out > 0, "{spans:#?}");
    assert_eq!(
        spans.len() + left_out,
        requests,
        "every request is accounted for"
    );
}

#[test]
fn one_rules_flood_leaves_other_rules_traces() {
    let rig = Rig::start(
        "  samplingRatePerMillion: 1000000\n  maxTracesPerSecond: 10\n  \
         rules: [{match: {path: /flood}, samplingRatePerMillion: 1000000}]",
    );
    let mut wire = rig.connect("drop");
    let mut of = |path: &str, count| {
        let request = format!("GET {path} HTTP/1.1\r\nHost: a\r\n\r\n");
        let kept = (0..count).filter(|_| sampled(&rig.send(&mut wire, &request)) == Some(true));
        kept.count()
    };
    assert!(of("/flood", 200) >= 5, "its share at least");
    assert_eq!(of("/", 5), 5, "the others have theirs");
}
