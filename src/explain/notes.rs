//! What else there is to say of a request: what is dropped though its caller is trusted, and what
//! depends on what isn't known yet.

use super::Scene;
use crate::config::Config;
use crate::context::baggage;
use crate::context::extract::Inbound;
use crate::context::formats::Format;
use crate::context::tracestate::TraceState;
use crate::context::trust::Trust;
use crate::proxy::correlation::fields::single;
use crate::proxy::judged::Judged;
use crate::proxy::rehearsal::Rehearsed;
use crate::proxy::settings::{Propagate, UpstreamProtocol};
use crate::sample::decision::{Parent, Reason};
use crate::span::record::Direction;

/// All of them, in words.
pub fn notes(scene: &Scene<'_>, rehearsed: &Rehearsed) -> Vec<String> {
    let judged = rehearsed.judged.as_ref();
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
    notes.extend(version(rehearsed));
    notes.extend(trusted_cap(scene, rehearsed));
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
    let headers = &scene.head.headers;
    let mut names = settings.correlate_by.iter();
    let name = names.find(|name| single(name, headers).is_some())?.as_str();
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

/// The upstream hasn't been asked which version it speaks.
fn version(rehearsed: &Rehearsed) -> Option<String> {
    let upstream = rehearsed.upstream.as_ref()?;
    let chosen = upstream.tls.is_some() && upstream.protocol == UpstreamProtocol::Auto;
    (chosen && rehearsed.refused.is_none()).then(|| {
        "the upstream chooses HTTP/2 or HTTP/1.1 in its TLS handshake; shown as HTTP/1.1".to_owned()
    })
}

/// A cap that a lone request doesn't meet.
fn trusted_cap(scene: &Scene<'_>, rehearsed: &Rehearsed) -> Option<String> {
    let cap = scene.config.sampling.max_trusted_traces_per_second?;
    let decided = rehearsed.judged?.decided?;
    let by_parent = matches!(decided.decision.reason, Reason::Parent | Reason::TrustedCap);
    let sampled = matches!(decided.parent, Parent::Full { flags, .. } if flags.sampled());
    (by_parent && sampled).then(|| {
        format!(
            "the sampled flag is respected at most {cap} times a second \
             (tracing.maxTrustedTracesPerSecond)"
        )
    })
}
