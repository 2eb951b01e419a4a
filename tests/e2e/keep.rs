//! Unsampled requests that fail or are slow are exported all the same, and what went on to the
//! upstream stays true.

mod ends;

use std::time::{Duration, Instant};

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::Full;

use super::component::{Component, Seen};
use super::http2::Caller;
use super::metrics;
use super::proxy::{self, Proxy};
use super::receiver::{Receiver, Speaks};
use super::span_view::{View, views};
use super::wire::{self, Wire};

const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";
const PARENT: &str = "b7ad6b7169203331";

/// Longer than any answer here takes on its own, and shorter than a slow one.
const LIMIT: Duration = Duration::from_millis(500);
const SLOW: Duration = Duration::from_millis(700);

const KEEP: &str = "keep: {errors: true, slowerThan: 500ms, maxPerSecond: 1000}";
const ERRORS: &str = "keep: {errors: true, maxPerSecond: 1000}";

/// Places of [`listeners`].
const DROP: usize = 0;
const FULL: usize = 1;
const OUT: usize = 2;

fn listeners(upstream: &str) -> String {
    let listener = |name: &str, more: &str| {
        format!(
            "- name: {name}\n  bind: 127.0.0.1:0\n  upstream: {{url: \"{upstream}\"}}\n  {more}\n"
        )
    };
    listener("drop", "direction: ingress")
        + &listener("full", "trust: {default: full}")
        + &listener("out", "direction: egress")
}

/// The last part of the path is the status; `slow` in front of it takes its time, and `grpc-N`
/// is a code of gRPC's.
fn answer(seen: &Seen) -> Response<Full<Bytes>> {
    let (before, last) = seen.uri.path().rsplit_once('/').unwrap_or_default();
    if before.contains("slow") {
        std::thread::sleep(SLOW);
    }
    let mut response = Response::new(Full::default());
    match last.strip_prefix("grpc-") {
        Some(code) => {
            let headers = response.headers_mut();
            headers.insert("content-type", "application/grpc".parse().expect("a value"));
            headers.insert("grpc-status", code.parse().expect("a value"));
        }
        None => *response.status_mut() = last.parse().unwrap_or_default(),
    }
    response
}

struct Rig {
    proxy: Proxy,
    component: Component,
    receiver: Receiver,
}

impl Rig {
    fn start(tracing: &str) -> Self {
        let (component, receiver) = (Component::answering(answer), Receiver::start(Speaks::Grpc));
        let proxy = Proxy::start(&yaml(tracing, &component.url(), receiver.endpoint()));
        Self {
            proxy,
            component,
            receiver,
        }
    }

    /// Sends a request by HTTP/1; what arrived of it.
    fn get(&self, listener: usize, path: &str, fields: &str) -> Seen {
        let before = self.component.seen().len();
        let request = format!("GET {path} HTTP/1.1\r\nHost: a.example\r\n{fields}\r\n");
        Wire::connect(self.proxy.at(listener)).ask(request);
        self.component.wait_for(before + 1).remove(before)
    }

    /// Everything that was exported, which must be that much.
    fn kept(self, count: usize) -> Vec<View> {
        self.proxy.spans(&self.receiver, count);
        views(&self.receiver)
    }
}

fn yaml(tracing: &str, upstream: &str, endpoint: &str) -> String {
    let tracing = format!(
        "  {tracing}\n  rules: [{{match: {{path: /dropped*}}, drop: true}}]\n  \
         export: {{endpoint: \"{endpoint}\"}}"
    );
    let yaml = proxy::custom(&tracing, &listeners(upstream));
    proxy::with_top(&yaml, "health: {bind: \"127.0.0.1:0\"}")
}

/// Trace id, parent id and flags of the one context that arrived.
fn context(seen: &Seen) -> (String, String, u8) {
    let context = seen.value("traceparent").expect("a context");
    let flags = u8::from_str_radix(&context[53..], 16).expect("flags");
    (context[3..35].to_owned(), context[36..52].to_owned(), flags)
}

#[test]
fn what_fails_or_is_slow_is_kept_and_nothing_else() {
    let rig = Rig::start(KEEP);
    let rows = [
        ("/well/200", None),
        ("/not-found/404", None),
        ("/failed/503", Some("error")),
        ("/slow/200", Some("slow")),
        ("/slow/500", Some("error")),
        ("/dropped/500", None),
        ("/dropped/slow/200", None),
    ];
    let mut caller = Caller::connect(rig.proxy.at(DROP));
    for (path, _) in rows {
        rig.get(DROP, path, "");
        caller.send(Caller::get(path));
    }
    drop(caller);
    let seen = rig.component.wait_for(2 * rows.len());
    let wanted: Vec<_> = rows
        .iter()
        .filter_map(|(path, kept)| kept.map(|kept| (path, kept)))
        .flat_map(|row| [row; 2])
        .collect();
    let spans = rig.kept(wanted.len());
    for (span, (path, kept)) in spans.iter().zip(&wanted) {
        assert_eq!(span.text("url.path"), **path);
        assert_eq!(span.text("tracegate.kept"), *kept, "{path}");
        assert_eq!(span.failed(), *kept == "error", "{path}");
        let at = seen.iter().map(context);
        let (_, _, flags) = at
            .into_iter()
            .find(|(trace, parent, _)| (trace, parent) == (&span.trace(), &span.id()))
            .expect("the ids that went on");
        assert_eq!(flags & 1, 0, "what went on says that it isn't sampled");
        assert_eq!(span.0.flags & 1, 0, "and so does the span");
    }
    let versions = spans
        .chunks(2)
        .map(|pair| [0, 1].map(|at| pair[at].text("network.protocol.version")));
    for pair in versions {
        assert_eq!(pair, ["1.1", "2"], "by either engine");
    }
}

#[test]
fn a_trusted_unsampled_parents_request_is_kept_under_the_id_that_was_handed_on() {
    let rig = Rig::start(KEEP);
    let fields = format!(
        "traceparent: 00-{TRACE}-{PARENT}-00\r\ntracestate: a=1\r\n\
         tracestate: ot=th:8;rv:00000000000001,b=2\r\n"
    );
    rig.get(FULL, "/well/200", &fields);
    let seen = rig.get(FULL, "/failed/500", &fields);
    let (trace, parent, flags) = context(&seen);
    assert_eq!(
        (trace.as_str(), flags),
        (TRACE, 0),
        "the parent is respected"
    );
    let state = seen.values("tracestate").join(",");
    assert!(
        state.contains("th:8"),
        "it is true of what goes on: {state}"
    );
    let span = rig.kept(1).remove(0);
    assert_eq!((span.trace(), span.id()), (trace, parent));
    assert_eq!(span.parent(), PARENT);
    assert_eq!(span.0.trace_state, "ot=rv:00000000000001,a=1,b=2");
}

#[test]
fn a_kept_restart_links_to_what_was_dropped_and_a_silent_root_has_ids_of_its_own() {
    let rig = Rig::start(&format!("unsampledRoot: omit\n  {KEEP}"));
    let fields = format!("traceparent: 00-{TRACE}-{PARENT}-01\r\n");
    let seen = rig.get(DROP, "/failed/500", &fields);
    assert_eq!(seen.value("traceparent"), None, "nothing goes on");
    let span = rig.kept(1).remove(0);
    assert!(span.parent().is_empty() && span.trace() != TRACE);
    assert_eq!(span.0.links.len(), 1);
    assert_eq!(super::span_view::hex(&span.0.links[0].trace_id), TRACE);
}

#[test]
fn an_error_is_what_the_conventions_call_one_on_that_side() {
    let rig = Rig::start(ERRORS);
    for (listener, path, kept, why) in [
        (DROP, "/a/404", false, "the caller's"),
        (OUT, "/a/404", true, "the client's own"),
        (OUT, "/a/302", false, "no error"),
        (OUT, "/a/500", true, "the upstream's"),
        (DROP, "/s.S/grpc-14", true, "UNAVAILABLE"),
        (DROP, "/s.S/grpc-5", false, "NOT_FOUND, of a server"),
        (OUT, "/s.S/grpc-5", true, "NOT_FOUND, for a client"),
        (OUT, "/s.S/grpc-0", false, "OK"),
    ] {
        let request = match path.contains("grpc") {
            true => Request::post(format!("http://a.example{path}"))
                .header("content-type", "application/grpc")
                .body(Bytes::new())
                .expect("a request"),
            false => Caller::get(path),
        };
        let before = rig.proxy.export().recorded();
        Caller::connect(rig.proxy.at(listener)).send(request);
        let until = Instant::now() + Duration::from_secs(if kept { 20 } else { 0 });
        while rig.proxy.export().recorded() == before && Instant::now() < until {
            std::thread::sleep(Duration::from_millis(1));
        }
        let recorded = rig.proxy.export().recorded() - before;
        assert_eq!(recorded, u64::from(kept), "{path} on {listener}: {why}");
    }
    let spans = rig.kept(4);
    let codes: Vec<_> = spans.iter().map(|span| span.text("error.type")).collect();
    assert_eq!(codes, ["404", "500", "UNAVAILABLE", "NOT_FOUND"]);
}

#[test]
fn no_more_than_the_cap_is_kept_and_the_rest_is_counted() {
    const CAP: f64 = 10.0;
    const REQUESTS: u64 = 200;
    let rig = Rig::start("keep: {errors: true, maxPerSecond: 10}");
    let start = Instant::now();
    for listener in [DROP, FULL] {
        let mut wire = Wire::connect(rig.proxy.at(listener));
        for _ in 0..REQUESTS / 2 {
            wire.ask("GET /a/500 HTTP/1.1\r\nHost: a\r\n\r\n");
        }
    }
    let most = CAP * (start.elapsed().as_secs_f64() + 1.0) + 1.0;
    let name = "tracegate_keep_decisions_total";
    let until = Instant::now() + Duration::from_secs(20);
    let (kept, capped) = loop {
        let scrape = metrics::Scrape::of(rig.proxy.health());
        let of = |decision| scrape.matching(name, "decision", decision);
        if of("error") + of("capped") == REQUESTS {
            break (of("error"), of("capped"));
        }
        assert!(Instant::now() < until, "{} requests", of("error"));
    };
    assert!(
        kept as f64 >= CAP && kept as f64 <= most,
        "{kept} were kept, {most} at most"
    );
    assert_eq!(capped, REQUESTS - kept);
    rig.kept(kept as usize);
}

#[test]
fn where_no_spans_are_exported_nothing_is_kept() {
    let component = Component::answering(answer);
    let yaml = proxy::custom(
        "  keep: {errors: true}\n  export: {protocol: none}",
        &listeners(&component.url()),
    );
    let proxy = Proxy::start(&proxy::with_top(&yaml, "health: {bind: \"127.0.0.1:0\"}"));
    Wire::connect(proxy.at(DROP)).ask("GET /a/500 HTTP/1.1\r\nHost: a\r\n\r\n");
    let duration = "http_server_request_duration_seconds_count";
    let until = Instant::now() + Duration::from_secs(20);
    let scrape = loop {
        let scrape = metrics::Scrape::of(proxy.health());
        if scrape.matching(duration, "listener", "drop") == 1 {
            break scrape;
        }
        assert!(Instant::now() < until);
    };
    for decision in ["error", "slow", "capped"] {
        let name = "tracegate_keep_decisions_total";
        assert_eq!(scrape.matching(name, "decision", decision), 0);
    }
}

/// Attributes, name, kind and status, but for what kept spans have more.
fn content(span: &View) -> (String, i32, bool, Vec<(String, String)>) {
    let mut attributes: Vec<_> = span
        .0
        .attributes
        .iter()
        .map(|attribute| (attribute.key.clone(), span.text(&attribute.key)))
        .filter(|(key, _)| key != "tracegate.kept" && !key.ends_with("peer.port"))
        .collect();
    attributes.sort();
    (span.0.name.clone(), span.0.kind, span.failed(), attributes)
}

#[test]
fn a_kept_span_says_what_a_sampled_one_would() {
    let answer = |seen: &Seen| {
        let mut response = answer(seen);
        let headers = response.headers_mut();
        headers.insert("x-answer", "42".parse().expect("a value"));
        headers.insert("audit-id", "of-the-server".parse().expect("a value"));
        response
    };
    let (component, receiver) = (Component::answering(answer), Receiver::start(Speaks::Grpc));
    let more = "  span:
    capture: {requestHeaders: [x-one, x-none], responseHeaders: [x-answer]}
    templates: {kubernetes: true, patterns: [\"/users/{id}\"]}\n";
    let path = "/api/v1/namespaces/a/pods/503?watch=1&token=secret";
    for direction in ["ingress", "egress"] {
        let start = |tracing: &str| {
            let upstream = format!("{{url: \"{}\"}}", component.url());
            let yaml = proxy::listening(
                direction,
                "127.0.0.1:0",
                &upstream,
                receiver.endpoint(),
                more,
            );
            Proxy::start(&yaml.replace("samplingRatePerMillion: 1000000", tracing))
        };
        let before = receiver.spans().len();
        for (at, tracing) in ["samplingRatePerMillion: 1000000", ERRORS]
            .iter()
            .enumerate()
        {
            let proxy = start(tracing);
            let port = proxy.at(0).port();
            let long = "ä".repeat(700);
            for _ in 0..2 {
                let request = format!(
                    "GET {path} HTTP/1.1\r\nHost: a.example:{port}\r\nUser-Agent: curl\r\n\
                     X-One: 1\r\nX-One: {long}\r\nAudit-ID: of-the-caller\r\n\r\n"
                );
                let (head, _) = Wire::connect(proxy.at(0)).ask(request);
                assert_eq!(wire::status(&head), 503);
            }
            proxy.stop();
            receiver.wait_for_spans(before + 2 * (at + 1));
        }
        let spans: Vec<_> = views(&receiver).split_off(before);
        let content: Vec<_> = spans
            .iter()
            .map(|span| {
                let (name, kind, failed, mut attributes) = content(span);
                attributes.retain(|(key, _)| key != "server.port" && key != "url.full");
                (name, kind, failed, attributes)
            })
            .collect();
        let kept = |at: usize| spans[at].get("tracegate.kept");
        assert_eq!(
            [0, 1, 2, 3].map(kept),
            [
                None,
                None,
                Some("error".to_owned()),
                Some("error".to_owned())
            ]
        );
        assert!(content[0].3.len() > 10, "{content:?}");
        for at in 1..4 {
            assert_eq!(content[0], content[at], "{direction}");
        }
    }
}
