//! `propagation.correlateBy`: a component that copies no trace context, but a field that names the
//! request, gets one trace from end to end; and nobody gets into another's.

mod engines;
mod full;
mod reload;

use std::net::TcpListener;

use super::component::{Component, Seen};
use super::metrics::{self, Scrape};
use super::proxy::Proxy;
use super::receiver::{Receiver, Speaks};
use super::span_view::{View, views};
use super::wire::{self, Wire};

const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";
const PARENT: &str = "b7ad6b7169203331";
const EVERYTHING: &str = "  samplingRatePerMillion: 1000000\n";

/// A proxy on both sides of a component, which the test plays.
struct Rig {
    proxy: Proxy,
    inside: TcpListener,
    outside: Component,
    receiver: Receiver,
}

/// A request the component hasn't answered yet.
struct Open {
    caller: Wire,
    component: Wire,
    /// The head as the component got it.
    head: String,
}

/// What a rig is made of; the strings are YAML.
struct Setup<'a> {
    /// Keys of `tracing`.
    tracing: &'a str,
    /// Keys of the ingress listener.
    ingress: &'a str,
    /// Keys of the egress listener.
    egress: &'a str,
    /// Names of fields.
    fields: &'a str,
    workers: usize,
}

const DEFAULT: Setup<'static> = Setup {
    tracing: EVERYTHING,
    ingress: "",
    egress: "",
    fields: "x-request-id",
    workers: 1,
};

impl Setup<'_> {
    fn yaml(&self, inside: &str, outside: &str, collector: &str) -> String {
        let Self {
            tracing,
            ingress,
            egress,
            fields,
            workers,
        } = self;
        format!(
            "service: {{name: test}}
health: {{bind: 127.0.0.1:0}}
tracing:
{tracing}  export: {{endpoint: \"{collector}\"}}
workers: {workers}
drainTimeout: 5s
propagation: {{correlateBy: [{fields}]}}
listeners:
- name: in
  bind: 127.0.0.1:0
  upstream: {{url: \"{inside}\"}}
{ingress}- name: out
  bind: 127.0.0.1:0
  direction: egress
  upstream: {{url: \"{outside}\"}}
{egress}"
        )
    }

    fn start(&self) -> Rig {
        let inside = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = inside.local_addr().expect("an address");
        let (outside, receiver) = (Component::start(), Receiver::start(Speaks::Grpc));
        let url = format!("http://{address}");
        let yaml = self.yaml(&url, &outside.url(), receiver.endpoint());
        Rig {
            proxy: Proxy::start(&yaml),
            inside,
            outside,
            receiver,
        }
    }
}

impl Rig {
    /// A request comes in and reaches the component.
    fn open(&self, fields: &str) -> Open {
        let mut caller = Wire::connect(self.proxy.at(0));
        caller.send(format!("GET /in HTTP/1.1\r\nHost: a\r\n{fields}\r\n"));
        let mut component = Wire::from(self.inside.accept().expect("a connection").0);
        let head = component.head();
        Open {
            caller,
            component,
            head,
        }
    }

    /// The component asks something with these fields; what leaves.
    fn ask(&self, fields: &str) -> Seen {
        self.ask_over(&mut Wire::connect(self.proxy.at(1)), fields)
    }

    fn ask_over(&self, wire: &mut Wire, fields: &str) -> Seen {
        let before = self.outside.seen().len();
        let (head, _) = wire.ask(format!("GET /out HTTP/1.1\r\nHost: b\r\n{fields}\r\n"));
        assert_eq!(wire::status(&head), 200);
        self.outside.wait_for(before + 1).remove(before)
    }

    /// The component answers, and the request has ended.
    fn end(&self, mut open: Open) {
        let before = self.in_flight();
        open.component
            .send("HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
        assert_eq!(wire::status(&open.caller.message().0), 200);
        let gauge = "tracegate_requests_in_flight";
        metrics::wait_for(
            self.proxy.health(),
            gauge,
            &[("listener", "in")],
            before - 1,
        );
    }

    fn in_flight(&self) -> u64 {
        let scrape = Scrape::of(self.proxy.health());
        scrape.get("tracegate_requests_in_flight", &[("listener", "in")])
    }

    /// Hits, misses and ambiguous ones of the egress listener.
    fn outcomes(&self) -> [u64; 3] {
        let scrape = Scrape::of(self.proxy.health());
        ["hit", "miss", "ambiguous"].map(|outcome| {
            let labels = [("listener", "out"), ("outcome", outcome)];
            scrape.get("tracegate_correlations_total", &labels)
        })
    }

    fn spans(self, count: usize) -> Vec<View> {
        self.proxy.spans(&self.receiver, count);
        views(&self.receiver)
    }
}

/// The parts of the one `traceparent` a head of the component's has.
fn handed(open: &Open) -> [String; 3] {
    let lines = open.head.lines();
    let mut found = lines.filter_map(|line| line.strip_prefix("traceparent: "));
    let value = found.next().expect("a context").to_owned();
    assert_eq!(found.next(), None, "one only");
    parts(&value)
}

/// The parts of the one `traceparent` that left.
fn left(seen: &Seen) -> [String; 3] {
    parts(&seen.value("traceparent").expect("a context"))
}

/// Trace, span and flags.
fn parts(value: &str) -> [String; 3] {
    let parts: Vec<&str> = value.split('-').skip(1).collect();
    parts
        .try_into()
        .map(|p: [&str; 3]| p.map(str::to_owned))
        .expect("four parts")
}

fn context(flags: &str) -> String {
    format!("traceparent: 00-{TRACE}-{PARENT}-{flags}\r\n")
}

#[test]
fn a_component_that_copies_only_the_requests_name_gets_one_trace() {
    let fields = "x-request-id: caller-7\r\n";
    let rig = DEFAULT.start();
    let open = rig.open(fields);
    let [trace, server, flags] = handed(&open);
    assert!(
        open.head.contains("x-request-id: caller-7\r\n"),
        "{}",
        open.head
    );
    let seen = rig.ask(fields);
    assert_eq!(seen.values("x-request-id"), ["caller-7"], "it passes");
    let [out_trace, client, out_flags] = left(&seen);
    assert_eq!((&out_trace, out_flags), (&trace, flags));
    let again = rig.ask(fields);
    assert_eq!(left(&again)[0], trace, "as often as it asks");
    rig.end(open);
    assert_eq!(rig.outcomes(), [2, 0, 0]);
    let spans = rig.spans(3);
    let find = |id: &str| {
        let found = spans.iter().find(|span| span.id() == id);
        found.unwrap_or_else(|| panic!("no span {id}"))
    };
    assert_eq!(find(&server).parent(), "", "the root");
    assert_eq!(find(&client).parent(), server);
    assert!(spans.iter().all(|span| span.trace() == trace));
}

#[test]
fn whatever_workers_serve_them_every_request_is_found() {
    const REQUESTS: usize = 100;
    let rig = Setup {
        workers: 2,
        ..DEFAULT
    }
    .start();
    let name = |n: usize| format!("x-request-id: request-{}\r\n", n % REQUESTS);
    let open: Vec<Open> = (0..REQUESTS).map(|n| rig.open(&name(n))).collect();
    // Connections go to the workers in turn: with and without an offset, both pairings occur.
    let mut wires = Vec::new();
    for offset in [0, 1] {
        for n in 0..REQUESTS {
            let mut wire = Wire::connect(rig.proxy.at(1));
            let seen = rig.ask_over(&mut wire, &name(n + offset));
            let inside = &open[(n + offset) % REQUESTS];
            assert_eq!(left(&seen)[0], handed(inside)[0], "request {n}");
            wires.push(wire);
        }
    }
    assert_eq!(rig.outcomes(), [2 * REQUESTS as u64, 0, 0]);
}

#[test]
fn a_name_that_two_open_requests_have_joins_neither() {
    let fields = "x-request-id: same\r\n";
    let rig = DEFAULT.start();
    let one = rig.open(fields);
    assert_eq!(left(&rig.ask(fields))[0], handed(&one)[0], "alone so far");
    let two = rig.open(fields);
    let traces = [handed(&one), handed(&two)].map(|[trace, ..]| trace);
    assert_ne!(traces[0], traces[1]);
    for why in ["both are open", "one is open, and may or may not be meant"] {
        let [trace, ..] = left(&rig.ask(fields));
        assert!(!traces.contains(&trace), "{why}");
    }
    rig.end(one);
    let [trace, ..] = left(&rig.ask(fields));
    assert!(
        !traces.contains(&trace),
        "one may have left something behind"
    );
    assert_eq!(rig.outcomes(), [1, 0, 3]);
    rig.end(two);
    let three = rig.open(fields);
    assert_eq!(left(&rig.ask(fields))[0], handed(&three)[0], "a new one");
    assert_eq!(rig.outcomes(), [2, 0, 3]);
}

#[test]
fn a_request_is_found_until_it_ends_however_it_ends() {
    let rig = DEFAULT.start();
    for (n, cut) in [false, true].into_iter().enumerate() {
        let fields = format!("x-request-id: request-{n}\r\n");
        let open = rig.open(&fields);
        let [trace, ..] = handed(&open);
        assert_eq!(left(&rig.ask(&fields))[0], trace);
        if cut {
            drop(open);
            let labels = [("listener", "in")];
            metrics::wait_for(
                rig.proxy.health(),
                "tracegate_requests_in_flight",
                &labels,
                0,
            );
        } else {
            rig.end(open);
        }
        assert_ne!(left(&rig.ask(&fields))[0], trace, "cut off: {cut}");
    }
    assert_eq!(rig.outcomes(), [2, 2, 0]);
}

#[test]
fn an_untrusted_caller_gets_into_nobodys_trace() {
    let fields = "x-request-id: victim\r\n";
    let rig = DEFAULT.start();
    let victim = rig.open(fields);
    let intruder = rig.open(&format!("{fields}{}tracestate: a=1\r\n", context("01")));
    let [trace, ..] = handed(&victim);
    assert_ne!(handed(&intruder)[0], trace);
    for _ in 0..2 {
        let [left, ..] = left(&rig.ask(fields));
        assert_ne!(left, trace, "whoever it was for");
        assert_ne!(left, TRACE);
    }
    assert_eq!(rig.outcomes(), [0, 0, 2]);
}

#[test]
fn a_refused_caller_disturbs_nobody() {
    let rig = DEFAULT.start();
    let open = rig.open("x-request-id: a\r\n");
    let refused = wire::exchange(
        rig.proxy.at(0),
        "CONNECT b:443 HTTP/1.1\r\nHost: b:443\r\nx-request-id: a\r\n\r\n",
    );
    assert_eq!(wire::status(&refused), 405);
    assert_eq!(left(&rig.ask("x-request-id: a\r\n"))[0], handed(&open)[0]);
    assert_eq!(rig.outcomes(), [1, 0, 0]);
}

#[test]
fn the_ingress_requests_decision_stands() {
    let tracing = "  samplingRatePerMillion: 0
  rules:
  - {match: {listener: out}, samplingRatePerMillion: 1000000}
";
    // Under `ids`, too: the context is our own.
    for egress in ["", "  trust: {default: ids}\n"] {
        let rig = Setup {
            tracing,
            egress,
            ..DEFAULT
        }
        .start();
        let open = rig.open("x-request-id: a\r\n");
        let [trace, _, flags] = handed(&open);
        let [out_trace, _, out_flags] = left(&rig.ask("x-request-id: a\r\n"));
        assert_eq!((&*flags, &*out_flags), ("02", "02"), "unsampled");
        assert_eq!(out_trace, trace);
        let [other, _, flags] = left(&rig.ask("x-request-id: b\r\n"));
        assert_eq!(&*flags, "03", "an orphan's is made here");
        assert_ne!(other, trace);
        assert_eq!(rig.outcomes(), [1, 1, 0]);
        assert_eq!(rig.spans(1)[0].trace(), other);
    }
}

#[test]
fn what_a_trusted_caller_sent_goes_on_as_if_the_component_had_copied_it() {
    let rig = Setup {
        ingress: "  trust: {default: full}\n",
        ..DEFAULT
    }
    .start();
    for (n, state) in ["a=1,b=2", "ot=th:0,a=1", "ot=rv:00000000000001"]
        .iter()
        .enumerate()
    {
        let name = format!("x-request-id: {n}\r\n");
        let open = rig.open(&format!("{name}{}tracestate: {state}\r\n", context("01")));
        let seen = rig.ask(&format!("{name}tracestate: stray=1\r\n"));
        assert_eq!(left(&seen)[0], TRACE);
        assert_eq!(seen.values("tracestate"), [*state]);
        rig.end(open);
    }
    let open = rig.open(&format!("x-request-id: a\r\n{}", context("00")));
    let seen = rig.ask("x-request-id: a\r\ntracestate: stray=1\r\n");
    assert_eq!(left(&seen)[2], "00");
    assert!(
        seen.values("tracestate").is_empty(),
        "the component's is nobody's"
    );
    rig.end(open);
}

#[test]
fn a_context_the_component_sends_itself_is_never_overruled() {
    let rig = DEFAULT.start();
    let open = rig.open("x-request-id: a\r\n");
    let [trace, ..] = handed(&open);
    let own = rig.ask(&format!("x-request-id: a\r\n{}", context("01")));
    assert_eq!(left(&own)[0], TRACE);
    let invalid = rig.ask(&format!("x-request-id: a\r\n{0}{0}", context("01")));
    assert_ne!(left(&invalid)[0], trace, "a broken one restarts");
    assert_eq!(rig.outcomes(), [0; 3], "nobody was looked for");
}

#[test]
fn where_components_arent_trusted_or_orphans_pass_it_is_as_configured() {
    let rig = Setup {
        egress: "  orphans: pass\n",
        ..DEFAULT
    }
    .start();
    let open = rig.open("x-request-id: a\r\n");
    let seen = rig.ask("x-request-id: a\r\n");
    assert_eq!(left(&seen)[0], handed(&open)[0], "no orphan");
    let orphan = rig.ask("x-request-id: b\r\n");
    assert!(orphan.values("traceparent").is_empty());
    rig.end(open);
    assert_eq!(rig.spans(2).len(), 2);

    let rig = Setup {
        egress: "  trust: {default: drop}\n",
        ..DEFAULT
    }
    .start();
    let open = rig.open("x-request-id: a\r\n");
    let seen = rig.ask("x-request-id: a\r\n");
    assert_ne!(left(&seen)[0], handed(&open)[0], "trust: drop");
    assert_eq!(rig.outcomes(), [0; 3]);
}

#[test]
fn a_request_that_hands_nothing_on_has_nothing_to_join() {
    let drop = "  samplingRatePerMillion: 1000000
  rules:
  - {match: {listener: in}, drop: true}
";
    let omit = "  unsampledRoot: omit
  rules:
  - {match: {listener: out}, samplingRatePerMillion: 1000000}
";
    for tracing in [drop, omit] {
        let rig = Setup { tracing, ..DEFAULT }.start();
        let open = rig.open("x-request-id: a\r\n");
        assert!(!open.head.contains("traceparent"), "{}", open.head);
        let [_, client, flags] = left(&rig.ask("x-request-id: a\r\n"));
        assert_eq!(flags, "03", "an orphan");
        assert_eq!(rig.outcomes(), [0, 1, 0]);
        rig.end(open);
        let spans = rig.spans(1);
        assert_eq!((spans[0].id(), spans[0].parent()), (client, String::new()));
    }
}

#[test]
fn a_dropped_request_of_a_trusted_caller_hands_on_what_came() {
    let rig = Setup {
        tracing: "  rules:\n  - {match: {listener: in}, drop: true}\n",
        ingress: "  trust: {default: full}\n",
        ..DEFAULT
    }
    .start();
    let open = rig.open(&format!("x-request-id: a\r\n{}", context("01")));
    let [trace, client, _] = left(&rig.ask("x-request-id: a\r\n"));
    assert_eq!(trace, TRACE);
    rig.end(open);
    let spans = rig.spans(1);
    assert_eq!(
        (spans[0].id(), spans[0].parent()),
        (client, PARENT.to_owned())
    );
}

#[test]
fn no_context_needs_to_reach_the_component() {
    let rig = Setup {
        ingress: "  propagate: none\n",
        ..DEFAULT
    }
    .start();
    let open = rig.open("x-request-id: a\r\n");
    assert!(!open.head.contains("traceparent"), "{}", open.head);
    rig.ask("x-request-id: a\r\n");
    rig.end(open);
    let spans = rig.spans(2);
    assert_eq!(spans[1].parent(), spans[0].id());
}

#[test]
fn any_listed_field_joins_and_no_other() {
    let rig = Setup {
        fields: "x-request-id, Audit-ID",
        ..DEFAULT
    }
    .start();
    let open = rig.open("Audit-ID: 1b4e28ba\r\nX-Request-ID: a\r\nx-other: o\r\n");
    let [trace, ..] = handed(&open);
    for (fields, joined, why) in [
        ("audit-id: 1b4e28ba\r\n", true, "the second of the list"),
        ("x-request-id: a\r\n", true, "the first"),
        (
            "x-request-id: new\r\nAudit-Id: 1b4e28ba\r\n",
            true,
            "one it copied",
        ),
        ("x-other: o\r\n", false, "not listed"),
        ("x-request-id: 1b4e28ba\r\n", false, "another field's value"),
        ("x-request-id: A\r\n", false, "another case"),
    ] {
        let found = left(&rig.ask(fields))[0] == trace;
        assert_eq!(found, joined, "{why}");
    }
    assert_eq!(rig.outcomes(), [3, 2, 0]);
}
