//! What else there is to say of a request: what is dropped though its caller is trusted, and what
//! depends on what isn't known yet.

use http::HeaderName;

use super::Scene;
use crate::config::Config;
use crate::context::baggage;
use crate::context::extract::Inbound;
use crate::context::formats::Format;
use crate::context::tracestate::TraceState;
use crate::context::trust::Trust;
use crate::proxy::correlation::fields::LONGEST_VALUE;
use crate::proxy::judged::Judged;
use crate::proxy::settings::Propagate;
use crate::sample::decision::Reason;
use crate::span::record::Direction;

/// All of them, in words.
pub fn notes(scene: &Scene<'_>, judged: Option<&Judged>) -> Vec<String> {
    let headers = &scene.head.headers;
    let mut notes = Vec::new();
    if scene.listener.proxy.propagate == Propagate::None {
        notes.push("the listener lets no context leave (propagate: none)".to_owned());
    }
    if scene.config.export.sinks.is_empty() {
        notes.push("no spans are made (tracing.export.protocol: none)".to_owned());
    }
    notes.extend(kept(scene.config, judged));
    notes.extend(correlated(scene, judged));
    let trusted = judged.and_then(|judged| judged.trusted);
    if judged.is_none_or(|judged| judged.verdict.trust != Trust::Full) {
        return notes;
    }
    let values = |name| {
        headers
            .get_all(name)
            .into_iter()
            .map(http::HeaderValue::as_bytes)
    };
    if trusted.is_some_and(|trusted| trusted.format == Format::TraceContext)
        && let Err(why) = TraceState::parse(values("tracestate"))
    {
        notes.push(format!("tracestate is dropped: {why}"));
    }
    if let baggage::Verdict::Invalid(why) = baggage::Verdict::of(values("baggage")) {
        notes.push(format!("baggage is dropped: {why}"));
    }
    notes
}

/// What may become of a request that isn't sampled, after all.
fn kept(config: &Config, judged: Option<&Judged>) -> Option<String> {
    let keep = config.sampling.keep?;
    let decision = judged?.decided?.decision;
    let settled = decision.sampled && decision.reason == Reason::Parent;
    let dropped = matches!(decision.reason, Reason::Dropped(_));
    if settled || dropped || config.export.sinks.is_empty() {
        return None;
    }
    let error = keep.errors.then(|| "fails".to_owned());
    let slow = keep.slower_than;
    let slow = slow.map(|least| format!("takes more than {least:?} to be answered"));
    let when: Vec<_> = error.into_iter().chain(slow).collect();
    let when = when.join(" or ");
    Some(format!(
        "unsampled it has a span all the same if it {when} (tracing.keep)"
    ))
}

/// To which other request this one may belong, by a field both carry.
fn correlated(scene: &Scene<'_>, judged: Option<&Judged>) -> Option<String> {
    let settings = &scene.listener.proxy;
    let joins = |name: &&HeaderName| {
        let mut values = scene.head.headers.get_all(*name).iter();
        let (first, second) = (values.next(), values.next());
        let value = first.filter(|_| second.is_none());
        value.is_some_and(|value| (1..=LONGEST_VALUE).contains(&value.len()))
    };
    let mut names = settings.correlate_by.iter().filter(joins);
    let name = names.next()?.as_str();
    if settings.direction == Direction::Ingress {
        return Some(format!(
            "until it ends, egress requests with the same {name} and no context belong to it \
             (propagation.correlateBy)"
        ));
    }
    let judged = judged?;
    let alone = judged.inbound == Inbound::Absent && judged.verdict.trust != Trust::Drop;
    alone.then(|| {
        format!(
            "if exactly one open ingress request has the same {name}, it belongs to that one \
             (propagation.correlateBy)"
        )
    })
}
