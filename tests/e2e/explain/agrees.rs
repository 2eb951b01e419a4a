//! Generated policies and requests: the answer and the pipeline agree.

use std::rc::Rc;
use std::time::Instant;

use http::{HeaderMap, HeaderName, HeaderValue, Method, Uri, Version};
use proptest::prelude::*;
use proptest::test_runner::{Config as Runs, TestCaseError, TestRunner};
use serde_json::Value;
use tracegate::config::Config;
use tracegate::explain::{self, From, Question};
use tracegate::metrics::Registry;
use tracegate::proxy::caller::Caller;
use tracegate::proxy::connection::Connection;
use tracegate::proxy::exchange::Exchange;
use tracegate::proxy::head::Line;
use tracegate::proxy::listener::{Plan, Slot};
use tracegate::proxy::pipeline;
use tracegate::proxy::refuse;
use tracegate::proxy::worker::Worker;
use tracegate::sample::sampler::Sampler;

use super::{PARENT, TRACE, is_outcome, load};

const POLICIES: u32 = 250;
const REQUESTS: usize = 40;

/// One of these, written into the file.
fn one(words: &'static [&'static str]) -> impl Strategy<Value = &'static str> {
    prop::sample::select(words)
}

fn policy() -> impl Strategy<Value = String> {
    let listener = (
        one(&[
            "direction: ingress",
            "direction: egress",
            "direction: egress\n  orphans: pass",
        ]),
        one(&[
            "default: drop",
            "default: ids",
            "default: full",
            "default: ids, alsoContext: [x_a]",
            "default: full, alsoContext: [x_a]",
            "default: drop, rules: [{from: {cidrs: [127.0.0.0/8]}, as: full}]",
            "default: full, rules: [{from: {cidrs: [127.0.0.0/8]}, as: ids}]",
        ]),
        one(&["w3c", "none"]),
        one(&["auto", "replace", "append", "off"]),
    );
    let tracing = (
        one(&["0", "500000", "1000000"]),
        one(&["consistent", "traceidratio"]),
        one(&["propagate", "omit"]),
        one(&[
            "[]",
            "[{match: {path: /a}, drop: true}]",
            "[{match: {path: /a}, samplingRatePerMillion: 300000}, {match: {method: PUT}, drop: true}]",
        ]),
        one(&["none", "console"]),
        one(&[
            "",
            "\n  maxTracesPerSecond: 1000",
            "\n  keep: {errors: true, slowerThan: 1s}",
        ]),
    );
    let formats = (
        one(&[
            "[tracecontext, baggage]",
            "[b3, tracecontext]",
            "[tracecontext, b3multi, datadog]",
            "[jaeger, xray, grpc-trace-bin]",
            "[]",
        ]),
        one(&[
            "[tracecontext, baggage]",
            "[b3, b3multi, tracecontext]",
            "[xray, datadog, jaeger, grpc-trace-bin]",
            "[]",
        ]),
    );
    (listener, tracing, formats).prop_map(|(listener, tracing, formats)| {
        let (direction, trust, propagate, forwarded) = listener;
        let (rate, ratio, root, rules, sink, cap) = tracing;
        let (extract, inject) = formats;
        format!(
            "propagation: {{extract: {extract}, inject: {inject}}}
tracing:
  samplingRatePerMillion: {rate}
  ratioRule: {ratio}
  unsampledRoot: {root}
  rules: {rules}
  export: {{protocol: {sink}}}{cap}
listeners:
- name: a
  bind: 127.0.0.1:0
  {direction}
  trust: {{{trust}}}
  propagate: {propagate}
  forwarded: {forwarded}
  upstream: {{url: \"http://127.0.0.1:1\"}}
"
        )
    })
}

/// Fields that mean something, well-formed and not; any of them may come twice.
fn field() -> impl Strategy<Value = (&'static str, String)> {
    let traceparent = |flags: &str| format!("00-{TRACE}-{PARENT}-{flags}");
    let fields = vec![
        ("traceparent", traceparent("01")),
        ("traceparent", traceparent("00")),
        ("traceparent", traceparent("03")),
        ("traceparent", format!("00-{TRACE}-{PARENT}")),
        ("traceparent", format!("cc-{TRACE}-{PARENT}-01-x")),
        ("traceparent", String::new()),
        ("trace_parent", traceparent("01")),
        ("tracestate", "ot=th:8;rv:00000000000001,a=1".to_owned()),
        ("tracestate", "a=1,,b=2".to_owned()),
        ("tracestate", "ot=th:zz".to_owned()),
        ("tracestate", "A=1".to_owned()),
        ("baggage", "k=v".to_owned()),
        ("baggage", "not baggage".to_owned()),
        ("b3", format!("{TRACE}-{PARENT}-1")),
        ("b3", format!("{TRACE}-{PARENT}")),
        ("b3", "0".to_owned()),
        ("x-b3-traceid", TRACE.to_owned()),
        ("x-b3-spanid", PARENT.to_owned()),
        ("x-b3-sampled", "1".to_owned()),
        ("uber-trace-id", format!("{TRACE}:{PARENT}:0:1")),
        (
            "x-amzn-trace-id",
            format!("Root=1-0af76519-16cd43dd8448eb211c80319c;Parent={PARENT};Sampled=1"),
        ),
        ("x-datadog-trace-id", "12345".to_owned()),
        ("x-datadog-parent-id", "678".to_owned()),
        (
            "grpc-trace-bin",
            "AAAK92UZFs1D3YRI6yEcgDGcAbetsrFpIDMxAgE".to_owned(),
        ),
        ("sentry-trace", "1".to_owned()),
        ("connection", "traceparent, x-a".to_owned()),
        ("connection", "keep-alive".to_owned()),
        ("x-a", "1".to_owned()),
        ("x-forwarded-for", "1.2.3.4".to_owned()),
        ("x-forwarded-proto", "gopher".to_owned()),
        ("forwarded", "for=1.2.3.4".to_owned()),
        ("te", "trailers, deflate".to_owned()),
        ("upgrade", "websocket".to_owned()),
        ("content-length", "1, 2".to_owned()),
    ];
    prop::sample::select(fields)
}

#[derive(Clone, Debug)]
struct Asked {
    method: &'static str,
    path: &'static str,
    http2: bool,
    fields: Vec<(&'static str, String)>,
}

fn asked() -> impl Strategy<Value = Asked> {
    let fields = prop::collection::vec(field(), 0..6);
    let method = one(&["GET", "POST", "PUT", "CONNECT"]);
    let parts = (method, one(&["/a", "/b?c=d"]), any::<bool>(), fields);
    parts.prop_map(|(method, path, http2, fields)| Asked {
        method,
        path,
        http2,
        fields,
    })
}

impl Asked {
    fn headers(&self) -> Vec<(HeaderName, HeaderValue)> {
        let field = |(name, value): &(&'static str, String)| {
            let name = HeaderName::from_static(name);
            (name, HeaderValue::from_str(value).expect("a value"))
        };
        self.fields.iter().map(field).collect()
    }

    fn question(&self) -> Question {
        Question {
            listener: None,
            method: self.method.parse().expect("a method"),
            target: self.path.parse().expect("a path"),
            headers: self.headers(),
            http2: self.http2,
            from: From::default(),
        }
    }
}

/// The pipeline as a worker has it, with ids and a key of its own.
struct Live {
    connections: [Connection; 2],
}

impl Live {
    fn start(config: &Config, seed: u8) -> Self {
        let listener = &config.listeners[0];
        let key = config.sampling.fleet_key.unwrap_or([seed; 16]);
        let sampler = Sampler::new(&config.sampling, key);
        let plan = Plan::unconnected(&listener.listen, &listener.proxy, sampler);
        let registry = Registry::new(&[("a".into(), listener.proxy.direction)], 1);
        let counters = registry.shard(0).listener(0);
        let records = !config.export.sinks.is_empty();
        let worker = Rc::new(Worker::unread([seed; 32], records));
        let slot = Slot::new(&plan, &counters);
        let connection = |http2| {
            let local = "127.0.0.1".parse().ok();
            let caller = Caller::known(local, None, Vec::new());
            let (worker, slot) = (Rc::clone(&worker), Rc::clone(&slot));
            Connection::unconnected(worker, slot, caller, (false, http2))
        };
        Self {
            connections: [connection(false), connection(true)],
        }
    }

    /// The lines that leave and whether there is a span; or the status of the refusal.
    fn serve(&self, asked: &Asked) -> Result<(Vec<(String, String)>, bool), u16> {
        let connection = &self.connections[usize::from(asked.http2)];
        let listener = connection.slot.current();
        let method: Method = asked.method.parse().expect("a method");
        let uri: Uri = asked.path.parse().expect("a path");
        let mut headers = HeaderMap::new();
        for (name, value) in asked.headers() {
            headers.append(name, value);
        }
        headers.insert("host", HeaderValue::from_static("localhost"));
        let line = Line {
            method: &method,
            uri: &uri,
            version: if asked.http2 {
                Version::HTTP_2
            } else {
                Version::HTTP_11
            },
        };
        let mut exchange = Exchange::begin(
            &connection.worker,
            connection.slot.counters(),
            &method,
            Instant::now(),
        );
        let passed = pipeline::request(connection, &listener, line, &mut headers, &mut exchange);
        passed.map_err(|fault| refuse::status(fault).as_u16())?;
        let mut span = false;
        exchange.record(|_| span = true);
        if asked.http2 {
            // It is in the target by then.
            headers.remove("host");
        }
        let line = |(name, value): (&HeaderName, &HeaderValue)| {
            let value = value.to_str().expect("text").to_owned();
            (name.as_str().to_owned(), value)
        };
        let mut lines: Vec<_> = headers.iter().map(line).collect();
        lines.sort();
        Ok((lines, span))
    }
}

#[test]
fn the_answer_is_what_the_pipeline_does() {
    let mut runner = TestRunner::new(Runs::with_cases(POLICIES));
    let requests = prop::collection::vec(asked(), REQUESTS);
    let agree = runner.run(
        &(policy(), requests, any::<u8>()),
        |(yaml, requests, seed)| {
            let config = load(&yaml);
            let live = Live::start(&config, seed);
            for asked in &requests {
                let report = explain::explain(&config, &asked.question()).expect("an answer");
                agrees(&report.json(), live.serve(asked))
                    .map_err(|why| TestCaseError::fail(format!("{why}\n{asked:?}\n{yaml}")))?;
            }
            Ok(())
        },
    );
    if let Err(error) = agree {
        panic!("{error}");
    }
}

fn agrees(told: &Value, live: Result<(Vec<(String, String)>, bool), u16>) -> Result<(), String> {
    let outcomes = told["outcomes"].as_array().expect("outcomes");
    match live {
        Err(status) => {
            let said = told["refused"]["status"].as_u64();
            (said == Some(status.into()))
                .then_some(())
                .ok_or_else(|| format!("refused with {status}, told {said:?}"))
        }
        Ok((lines, span)) => {
            let matches =
                |outcome: &&Value| is_outcome(outcome, &lines) && outcome["span"].is_null() != span;
            // Two, where the sampler's word changes nothing: no context leaves and no span is made.
            let told_so = outcomes.iter().any(|outcome| matches(&outcome));
            if told["refused"].is_null() && told_so {
                Ok(())
            } else {
                Err(format!("{lines:#?}, span: {span}, told {told:#}"))
            }
        }
    }
}
