//! Generated policies and requests: the answer and the pipeline agree.

mod credentials;
mod generated;
mod sockets;

use std::cell::Cell;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Instant;

use http::request::Parts;
use http::{HeaderMap, HeaderValue, Request, Version};
use proptest::prelude::*;
use proptest::test_runner::{Config as Runs, TestCaseError, TestRunner};
use serde_json::Value;
use tracegate::config::Config;
use tracegate::context::untrusted;
use tracegate::explain;
use tracegate::listen::client_auth::Authorities;
use tracegate::metrics::Registry;
use tracegate::proxy::caller::Caller;
use tracegate::proxy::connection::Connection;
use tracegate::proxy::exchange::Exchange;
use tracegate::proxy::head::Line;
use tracegate::proxy::listener::{Plan, Slot};
use tracegate::proxy::settings::{UpstreamProtocol, UpstreamSettings};
use tracegate::proxy::worker::Worker;
use tracegate::proxy::{pipeline, refuse, target};
use tracegate::sample::decision::Reason;
use tracegate::sample::sampler::Sampler;
use tracegate::span::known_rpc::KnownMethods;
use tracegate::span::semconv::{Anchor, Converter};

use self::credentials::Credentials;
use self::generated::{Asked, Kind, Policy, asked, policy};
use super::{fits, is_outcome, lines, load};

const POLICIES: u32 = 250;
const REQUESTS: usize = 40;

/// What leaves.
struct Left {
    /// `None`: it isn't known here.
    line: Option<String>,
    lines: Vec<(String, String)>,
    /// The span's name, if there is one; `None`: that isn't known here.
    span: Option<Option<String>>,
    /// The cap that kept the request from being sampled, as `explain` names it.
    capped: Option<String>,
}

/// The pipeline as a worker has it, with ids and a key of its own.
struct Live<'a> {
    worker: Rc<Worker>,
    slot: Rc<Slot>,
    converter: Converter,
    policy: &'a Policy,
    credentials: &'a Credentials,
    tls: bool,
}

impl<'a> Live<'a> {
    fn start(config: &Config, seed: u8, policy: &'a Policy, credentials: &'a Credentials) -> Self {
        let listener = &config.listeners[0];
        let key = config.sampling.fleet_key.unwrap_or([seed; 16]);
        let sampler = Sampler::new(&config.sampling, key);
        let mut plan = Plan::unconnected(&listener.listen, &listener.proxy, sampler);
        if let Some(tls) = &listener.listen.tls {
            plan.clients = Authorities::load(&tls.client_auth).expect("authorities");
        }
        let registry = Registry::new(&[("a".into(), listener.proxy.direction)], 1);
        let counters = registry.shard(0).listener(0);
        let records = !config.export.sinks.is_empty();
        let none: [&str; 0] = [];
        Self {
            worker: Rc::new(Worker::unread([seed; 32], records)),
            slot: Slot::new(&plan, &counters),
            converter: Converter::new(Arc::new(KnownMethods::new(none))),
            policy,
            credentials,
            tls: listener.listen.tls.is_some(),
        }
    }

    fn connection(&self, asked: &Asked) -> Connection {
        let (address, process) = asked.who.known(self.policy.kind);
        let from = asked.who.from(self.policy.kind, self.credentials);
        let caller = Caller::known(address, process, from.certificates);
        let (worker, slot) = (Rc::clone(&self.worker), Rc::clone(&self.slot));
        Connection::unconnected(worker, slot, caller, (self.tls, asked.http2))
    }

    /// What leaves; or the status of the refusal.
    fn serve(&self, asked: &Asked) -> Result<Left, u16> {
        let connection = self.connection(asked);
        let listener = connection.slot.current();
        let mut head = Request::new(()).into_parts().0;
        head.method = asked.method.parse().expect("a method");
        head.uri = asked.path.parse().expect("a path");
        head.version = if asked.http2 {
            Version::HTTP_2
        } else {
            Version::HTTP_11
        };
        for (name, value) in asked.headers() {
            head.headers.append(name, value);
        }
        if !head.headers.contains_key("host") {
            let host = HeaderValue::from_static("localhost");
            head.headers.insert("host", host);
        }
        let (worker, counters) = (&connection.worker, connection.slot.counters());
        let mut exchange = Exchange::begin(worker, counters, &head.method, Instant::now());
        let mut reason = None;
        let (line, headers) = Line::split(&mut head);
        let observe = |seen: &tracegate::proxy::judged::Judged| {
            reason = seen.decided.map(|decided| decided.decision.reason);
        };
        let passed = pipeline::observed(
            &connection,
            &listener,
            line,
            headers,
            &mut exchange,
            observe,
        );
        let passed = passed.map_err(|fault| refuse::status(fault).as_u16())?;
        let mut span = None;
        exchange.record(|record| {
            let made = self.converter.span(record, Anchor::now());
            span = Some(made.name.into_owned());
        });
        addressed(&mut head, passed.upstream.settings(), asked.http2);
        Ok(Left {
            line: Some(explained(&head)),
            lines: sorted(&head.headers),
            span: Some(span),
            capped: reason.and_then(cap),
        })
    }
}

impl Live<'_> {
    /// What a component behind a real proxy has got.
    fn arrived(lines: Vec<(String, String)>) -> Left {
        Left {
            line: None,
            lines,
            span: None,
            capped: None,
        }
    }
}

fn sorted(headers: &HeaderMap) -> Vec<(String, String)> {
    let mut lines: Vec<_> = headers
        .iter()
        .map(|(name, value)| {
            let value = value.to_str().expect("text").to_owned();
            (name.as_str().to_owned(), value)
        })
        .collect();
    lines.sort();
    lines
}

/// The target as the upstream reads it.
fn addressed(head: &mut Parts, upstream: &UpstreamSettings, http2: bool) {
    let tls = upstream.tls.is_some();
    let version = match upstream.protocol {
        UpstreamProtocol::Http2 => Version::HTTP_2,
        UpstreamProtocol::Auto if http2 && !tls => Version::HTTP_2,
        _ => Version::HTTP_11,
    };
    target::rewrite(head, version, tls, upstream.host.as_ref()).expect("a target");
}

/// The first line as `explain` writes it, but for what it doesn't show.
fn explained(head: &Parts) -> String {
    match head.version {
        Version::HTTP_2 => format!("{} {} HTTP/2", head.method, head.uri),
        _ => format!("{} {} HTTP/1.1", head.method, head.uri),
    }
}

/// The key of a cap that was met.
fn cap(reason: Reason) -> Option<String> {
    match reason {
        Reason::RuleCap(rule) => {
            let index = rule.index().expect("a rule");
            Some(format!("tracing.rules[{index}].maxTracesPerSecond"))
        }
        Reason::Cap => Some("tracing.maxTracesPerSecond".to_owned()),
        Reason::TrustedCap => Some("tracing.maxTrustedTracesPerSecond".to_owned()),
        Reason::Parent | Reason::Rate(_) | Reason::Dropped(_) => None,
    }
}

/// How often what the test is about has happened.
#[derive(Default)]
struct Counts {
    refused: Cell<u32>,
    unidentified: Cell<u32>,
    identified: Cell<u32>,
    capped: Cell<u32>,
    routed: Cell<u32>,
    templates: Cell<u32>,
    verdicts: [Cell<u32>; 3],
}

impl Counts {
    fn count(&self, told: &Value, live: &Result<Left, u16>) {
        let count = |cell: &Cell<u32>| cell.set(cell.get() + 1);
        let verdict = told["trust"]["verdict"].as_str();
        let verdicts = ["drop", "ids", "full"].iter().zip(&self.verdicts);
        for (_, cell) in verdicts.filter(|(name, _)| Some(**name) == verdict) {
            count(cell);
        }
        match live {
            Err(401) => count(&self.unidentified),
            Err(_) => count(&self.refused),
            Ok(left) => {
                let has = |name| left.lines.iter().any(|(found, _)| found == name);
                let value = |found| left.lines.iter().any(|(_, value)| value == found);
                let span = left.span.iter().flatten();
                for (happened, cell) in [
                    (has("x-remote-user"), &self.identified),
                    (left.capped.is_some(), &self.capped),
                    (value("other.example"), &self.routed),
                    (span.clone().any(|name| name.contains('{')), &self.templates),
                ] {
                    if happened {
                        count(cell);
                    }
                }
            }
        }
    }

    fn assert_each(&self) {
        let [drop, ids, full] = &self.verdicts;
        for (cell, what) in [
            (&self.refused, "refused"),
            (&self.unidentified, "401"),
            (&self.identified, "identity"),
            (&self.capped, "a cap is met"),
            (&self.routed, "a route"),
            (&self.templates, "a template"),
            (drop, "drop"),
            (ids, "ids"),
            (full, "full"),
        ] {
            assert!(cell.get() >= 10, "{what}: {} times", cell.get());
        }
    }
}

#[test]
fn the_answer_is_what_the_pipeline_does() {
    let (credentials, counts) = (Credentials::new(), Counts::default());
    let mut runner = TestRunner::new(Runs::with_cases(POLICIES));
    let requests = prop::collection::vec(asked(), REQUESTS);
    let caps = &[
        "",
        "\n  maxTracesPerSecond: 1000",
        "\n  maxTracesPerSecond: 1",
        "\n  maxTrustedTracesPerSecond: 1",
        "\n  keep: {errors: true, slowerThan: 1s}",
    ];
    let agree = runner.run(
        &(policy(&Kind::ALL, caps), requests, any::<u8>()),
        |(policy, requests, seed)| {
            let yaml = policy.yaml(&credentials, "127.0.0.1:1");
            let config = load(&yaml);
            let live = Live::start(&config, seed, &policy, &credentials);
            for asked in &requests {
                let question = asked.question(policy.kind, &credentials);
                let report = explain::explain(&config, &question).expect("an answer");
                let (told, live) = (report.json(), live.serve(asked));
                counts.count(&told, &live);
                agrees(&told, live)
                    .map_err(|why| TestCaseError::fail(format!("{why}\n{asked:?}\n{yaml}")))?;
            }
            Ok(())
        },
    );
    if let Err(error) = agree {
        panic!("{error}");
    }
    counts.assert_each();
}

fn agrees(told: &Value, live: Result<Left, u16>) -> Result<(), String> {
    match live {
        Err(status) => {
            let said = told["refused"]["status"].as_u64();
            (said == Some(status.into()))
                .then_some(())
                .ok_or_else(|| format!("refused with {status}, told {said:?}"))
        }
        Ok(left) => {
            if told["refused"].is_null() && !matching(told, &left).is_empty() {
                return Ok(());
            }
            let Left {
                line,
                lines,
                span,
                capped,
            } = left;
            Err(format!(
                "{line:?}\n{lines:#?}, span: {span:?}, capped: {capped:?}, told {told:#}"
            ))
        }
    }
}

/// The outcomes that what has left can be; two, where the sampler's word changes nothing of it.
fn matching<'a>(told: &'a Value, left: &Left) -> Vec<&'a Value> {
    let outcomes = told["outcomes"].as_array().expect("outcomes");
    let is_told = |outcome: &&Value| match &left.capped {
        Some(cap) => said_cap(told, cap) && is_but_context(outcome, left),
        None => is(outcome, left),
    };
    outcomes.iter().filter(is_told).collect()
}

fn is(outcome: &Value, left: &Left) -> bool {
    let told = outcome["upstream"]["line"].as_str().expect("a line");
    let span = outcome["span"]["name"].as_str();
    left.line.as_ref().is_none_or(|line| fits(told, line))
        && left
            .span
            .as_ref()
            .is_none_or(|name| name.as_deref() == span)
        && is_outcome(outcome, &left.lines)
}

/// Whether the answer says that this cap may come in between.
fn said_cap(told: &Value, cap: &str) -> bool {
    let caps = told["sampling"]["caps"].as_array().into_iter().flatten();
    let notes = told["notes"].as_array().into_iter().flatten();
    let note = |note: &Value| note.as_str().is_some_and(|text| text.contains(cap));
    caps.map(|by| &by["by"]).any(|by| by == cap) || notes.into_iter().any(note)
}

/// The same but for context, where a cap that the answer names has come in between: then it isn't
/// sampled, whatever luck says.
fn is_but_context(outcome: &Value, left: &Left) -> bool {
    let rest = |lines: &[(String, String)]| -> Vec<(String, String)> {
        let lines = lines
            .iter()
            .filter(|(name, _)| !untrusted::is_context(name));
        lines.cloned().collect()
    };
    let (told, found) = (rest(&lines(outcome)), rest(&left.lines));
    let pairs = told.iter().zip(&found);
    left.span == Some(None)
        && told.len() == found.len()
        && pairs
            .into_iter()
            .all(|(told, found)| told.0 == found.0 && fits(&told.1, &found.1))
}
