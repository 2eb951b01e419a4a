//! The answer as data: what the words are made of, and what machines read.

use std::net::IpAddr;
use std::sync::Arc;

use super::Scene;
use super::chance::{self, Luck, Way, ways};
use super::compare::{first_line, missing, stripped};
use super::identity::Identity;
use super::masked::{self, Line, Made};
use super::notes::notes;
use super::{rates, secrets};
use crate::context::extract::{Inbound, Invalid};
use crate::context::ot::U56;
use crate::context::trust::Trust;
use crate::proxy::judged::{Decided, Judged};
use crate::proxy::refuse;
use crate::sample::decision::{Parent, Reason};
use crate::sample::settings::{RatioRule, Settings};
use crate::sample::threshold::Threshold;
use crate::span::known_rpc::KnownMethods;
use crate::span::record::{Direction, Record};
use crate::span::semconv::{Anchor, Converter};

/// What would happen to a request. [`Display`](std::fmt::Display) says it in words.
#[derive(Clone, Debug)]
pub struct Report {
    pub(super) listener: String,
    pub(super) direction: Direction,
    /// The caller's address; `None`: a process on a unix socket.
    pub(super) from: Option<IpAddr>,
    /// What the certificate that was presented is worth.
    pub(super) identity: Option<Identity>,
    pub(super) trust: Trust,
    /// The key of the configuration that says so.
    pub(super) trust_by: String,
    pub(super) inbound: Inbound,
    /// Whether the inbound context is continued.
    pub(super) continued: bool,
    /// What else there is to say of what came along.
    pub(super) notes: Vec<String>,
    pub(super) sampling: Option<Sampling>,
    /// Names of the caller's fields that don't leave as they came, whatever stands in their place.
    pub(super) stripped: Vec<String>,
    /// Status and text of the answer, if the request isn't forwarded; gRPC's code besides.
    pub(super) refused: Option<Refusal>,
    pub(super) outcomes: Vec<Outcome>,
}

/// The answer made here.
#[derive(Clone, Debug)]
pub(super) struct Refusal {
    pub status: u16,
    pub grpc_status: Option<u16>,
    pub text: &'static str,
}

/// How the sampler comes to its decision.
#[derive(Clone, Debug)]
pub(super) struct Sampling {
    /// The key of the configuration that matches.
    pub rule: String,
    pub by: By,
}

/// What decides.
#[derive(Clone, Debug)]
pub(super) enum By {
    /// A rule drops the request.
    Dropped,
    /// The trusted parent's flag.
    Parent,
    /// A rate.
    Rate {
        per_million: u32,
        ratio_rule: RatioRule,
        luck: Option<Luck>,
        /// Randomness and threshold, where both are known and count.
        numbers: Option<(U56, Option<U56>)>,
        /// Caps per second that may stop what the rate keeps.
        caps: Vec<(String, u32)>,
    },
}

/// One way it may go.
#[derive(Clone, Debug)]
pub(super) struct Outcome {
    pub probability: f64,
    pub sampled: bool,
    pub reason: Option<Reason>,
    /// `method target version` and header lines, as they leave.
    pub first_line: String,
    pub lines: Vec<Line>,
    /// Names of fields whose value is another than the caller's, and of those that are new.
    pub replaced: Vec<String>,
    pub added: Vec<String>,
    /// Name and kind.
    pub span: Option<(String, &'static str)>,
}

impl Report {
    pub(super) fn of(scene: &Scene<'_>) -> Self {
        let ways = ways(scene);
        let first = ways.first().map(|way| &way.rehearsed);
        let judged = first.and_then(|first| first.judged);
        let (trust, trust_by) = trust(scene, judged.as_ref());
        let inbound = judged.map_or(Inbound::Absent, |judged| judged.inbound);
        let refused = first.and_then(|first| first.refused);
        let grpc = |status| scene.is_grpc().then_some(status);
        Self {
            listener: scene.listener.listen.name.to_string(),
            direction: scene.listener.proxy.direction,
            from: scene.address,
            identity: Identity::of(scene),
            trust,
            trust_by,
            inbound,
            continued: judged.is_some_and(|judged| judged.trusted.is_some()),
            notes: first.map_or_else(Vec::new, |first| notes(scene, first)),
            sampling: judged.and_then(|judged| sampling(&scene.config.sampling, &judged)),
            stripped: stripped(&scene.head.headers, &ways),
            refused: refused.map(|fault| Refusal {
                status: refuse::status(fault).as_u16(),
                grpc_status: grpc(refuse::grpc_status(fault)),
                text: refuse::text(fault),
            }),
            outcomes: ways.iter().map(|way| outcome(scene, way)).collect(),
        }
    }
}

impl Scene<'_> {
    fn is_grpc(&self) -> bool {
        let line = crate::proxy::head::Line {
            method: &self.head.method,
            uri: &self.head.uri,
            version: self.head.version,
        };
        line.is_grpc(&self.head.headers)
    }
}

fn trust(scene: &Scene<'_>, judged: Option<&Judged>) -> (Trust, String) {
    let policy = &scene.listener.proxy.trust;
    let Some(Judged { verdict, .. }) = judged else {
        return (policy.default, String::new());
    };
    let key = match verdict.rule {
        Some(rule) => format!("rules[{rule}]"),
        None => "default".to_owned(),
    };
    (
        verdict.trust,
        format!("listeners[{}].trust.{key}", scene.at),
    )
}

fn sampling(settings: &Settings, judged: &Judged) -> Option<Sampling> {
    let decided = judged.decided?;
    let rule = match decided.rule.index() {
        Some(index) => format!("tracing.rules[{index}]"),
        None => "tracing.samplingRatePerMillion".to_owned(),
    };
    let by = match decided.decision.reason {
        Reason::Dropped(_) => By::Dropped,
        Reason::Parent | Reason::TrustedCap => By::Parent,
        _ => {
            let rate = chance::rate(settings, decided.rule)?;
            let luck = chance::luck(settings, judged);
            let threshold = Threshold::of(rate).map(Threshold::get);
            let randomness = rates::randomness(settings, judged, &decided);
            By::Rate {
                per_million: rate.get(),
                ratio_rule: settings.ratio_rule,
                luck,
                numbers: randomness.map(|randomness| (randomness, threshold)),
                caps: rates::caps(settings, &decided),
            }
        }
    };
    Some(Sampling { rule, by })
}

fn outcome(scene: &Scene<'_>, way: &Way) -> Outcome {
    let rehearsed = &way.rehearsed;
    let judged = rehearsed.judged.as_ref();
    let decided = judged.and_then(|judged| judged.decided);
    let new_key = judged.is_some_and(|judged| {
        let keyless = scene.config.sampling.fleet_key.is_none();
        keyless
            && matches!(
                judged.decided,
                Some(Decided {
                    parent: Parent::Ids { .. },
                    ..
                })
            )
    });
    let (before, after) = (&scene.head.headers, &rehearsed.head.headers);
    let formats = scene.listener.proxy.propagation.inject();
    let replaced = after
        .keys()
        .filter(|name| before.contains_key(*name))
        .filter(|name| !before.get_all(*name).iter().eq(after.get_all(*name)));
    let names = |names: &mut dyn Iterator<Item = &http::HeaderName>| {
        names.map(|name| name.as_str().to_owned()).collect()
    };
    Outcome {
        probability: way.probability,
        sampled: decided.is_some_and(|decided| decided.decision.sampled),
        reason: decided.map(|decided| decided.decision.reason),
        first_line: secrets::request_line(&first_line(&rehearsed.head)),
        lines: secrets::lines(masked::lines(after, formats, Made::of(judged, new_key))),
        replaced: names(&mut { replaced }),
        added: missing(after, before),
        span: rehearsed.record.as_ref().map(|record| span(scene, record)),
    }
}

/// Name and kind, as the exporter would make them.
fn span(scene: &Scene<'_>, record: &Record) -> (String, &'static str) {
    let listeners = &scene.config.listeners;
    let configured = listeners
        .iter()
        .flat_map(|l| l.proxy.known_rpc_methods.iter());
    let converter = Converter::new(Arc::new(KnownMethods::new(configured)));
    let span = converter.span(record, Anchor::now());
    let kind = match record.direction {
        Direction::Ingress => "SERVER",
        Direction::Egress => "CLIENT",
    };
    (span.name.into_owned(), kind)
}

/// Why a context can't be continued, in words.
pub(super) fn why(invalid: Invalid) -> (&'static str, &'static str) {
    match invalid {
        Invalid::TraceParent(reason) => ("traceparent", reason.as_str()),
        Invalid::Other(format, reason) => (format.as_str(), reason.as_str()),
    }
}
