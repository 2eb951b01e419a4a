//! Trace context on its way through: strip, judge, decide, inject.

use http::Method;
use http::header::{self, HeaderName, HeaderValue};

use super::connection::Connection;
use super::describe;
use super::exchange::Exchange;
use super::head::{Head, Line};
use super::listener::Listener;
use super::settings::{Orphans, Propagate};
use crate::context::baggage::Verdict;
use crate::context::extract::Inbound;
use crate::context::ids::Flags;
use crate::context::ot::Ot;
use crate::context::traceparent::TraceParent;
use crate::context::tracestate::{Outgoing, TraceState};
use crate::context::trust::Trust;
use crate::context::untrusted;
use crate::metrics::labels::Decision as Counted;
use crate::sample::decision::{Decision, Parent, Reason};
use crate::sample::rules::RequestView;
use crate::sample::settings::UnsampledRoot;
use crate::span::record::{Direction, text};

const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");
const TRACESTATE: HeaderName = HeaderName::from_static("tracestate");
const BAGGAGE: HeaderName = HeaderName::from_static("baggage");

/// What was decided about a request's context, as far as its answer needs to know.
#[derive(Clone, Copy, Debug)]
pub struct Traced {
    /// The caller's trust.
    pub trust: Trust,
    /// Whether context is stripped from the answer's trailers.
    pub strip_trailers: bool,
}

/// Judges what the caller brought, decides sampling, and leaves exactly our own context on the
/// request. If the request is sampled its record begins here.
pub fn judge(
    connection: &Connection,
    listener: &Listener,
    line: Line<'_>,
    headers: &mut impl Head,
    exchange: &mut Exchange,
) -> Traced {
    let settings = &listener.settings;
    let trust = settings.trust.judge(&connection.caller);
    listener.counters.trust(trust);
    let leaves_nothing = settings.propagate == Propagate::None;
    let traced = Traced {
        trust,
        strip_trailers: leaves_nothing || trust != Trust::Full,
    };

    let inbound = Inbound::of(headers.lines(&TRACEPARENT));
    let trusted = inbound.valid().filter(|_| trust != Trust::Drop);
    if trusted.is_none() && !matches!(inbound, Inbound::Absent) {
        listener.counters.context_restarted();
    }
    if trusted.is_none()
        && settings.direction == Direction::Egress
        && settings.orphans == Orphans::Pass
    {
        strip(headers, trust, inbound, leaves_nothing);
        return traced;
    }

    let state = inherited(headers, trust, trusted);
    let ot = state.as_ref().map_or(Ot::NONE, TraceState::ot);
    let rule = listener.sampler.rule(&View {
        line,
        headers: &*headers,
        listener,
    });
    let parent = parent(connection, trust, trusted, ot);
    let now = connection.worker.nanos(exchange.start());
    let decision = listener.sampler.decide(rule, parent, now);
    listener.counters.sampling(counted(&decision));

    let change = match &state {
        Some(state) => state.outgoing(decision.ot),
        None => Outgoing::fresh(decision.ot),
    };
    let outgoing = outgoing(connection, listener, parent, trusted, &decision);
    strip(headers, trust, inbound, leaves_nothing);
    if let Some(outgoing) = outgoing
        && !leaves_nothing
    {
        inject(connection, headers, &outgoing, &change);
    }
    if let Some(span) = outgoing
        && decision.sampled
        && connection.worker.records()
    {
        let link = inbound.valid().filter(|_| trusted.is_none());
        let mut record =
            describe::begin(connection, listener, line, headers, span, exchange.start());
        record.parent = trusted.map(|t| t.parent_id);
        record.link = link.map(|l| (l.trace_id, l.parent_id, l.flags));
        record.tracestate = match change {
            Outgoing::Keep => describe::field(headers, &TRACESTATE),
            _ => change.value().map(text),
        };
        exchange.sampled(record, &settings.capture);
    }
    traced
}

/// The `tracestate` that may be continued: a trusted caller's, beside a valid `traceparent`.
fn inherited<'a>(
    headers: &'a impl Head,
    trust: Trust,
    trusted: Option<TraceParent>,
) -> Option<TraceState<'a>> {
    if trust != Trust::Full || trusted.is_none() || !headers.has(&TRACESTATE) {
        return None;
    }
    TraceState::parse(headers.lines(&TRACESTATE)).ok()
}

fn parent(connection: &Connection, trust: Trust, trusted: Option<TraceParent>, ot: Ot) -> Parent {
    match (trusted, trust) {
        (None, _) | (_, Trust::Drop) => Parent::Root {
            trace_id: connection.worker.ids.borrow_mut().trace_id(),
        },
        (Some(inbound), Trust::Ids) => Parent::Ids {
            trace_id: inbound.trace_id,
        },
        (Some(inbound), Trust::Full) => Parent::Full {
            trace_id: inbound.trace_id,
            flags: inbound.flags,
            ot,
        },
    }
}

/// The context that goes on, `None` if none does.
fn outgoing(
    connection: &Connection,
    listener: &Listener,
    parent: Parent,
    trusted: Option<TraceParent>,
    decision: &Decision,
) -> Option<TraceParent> {
    let dropped = matches!(decision.reason, Reason::Dropped(_));
    let relayed = dropped || !connection.worker.records();
    match (parent, trusted) {
        (Parent::Root { .. }, _) if dropped => None,
        (Parent::Root { .. }, _)
            if !decision.sampled && listener.sampler.unsampled_root() == UnsampledRoot::Omit =>
        {
            None
        }
        (Parent::Ids { .. } | Parent::Full { .. }, Some(inbound)) if relayed => Some(TraceParent {
            flags: match parent {
                Parent::Full { .. } if dropped => inbound.flags,
                _ => inbound.flags.with_sampled(decision.sampled),
            },
            ..inbound
        }),
        (
            Parent::Root { trace_id } | Parent::Ids { trace_id } | Parent::Full { trace_id, .. },
            _,
        ) => {
            let continued = trusted.map_or(Flags::RANDOM, |inbound| inbound.flags);
            Some(TraceParent {
                trace_id,
                parent_id: connection.worker.ids.borrow_mut().span_id(),
                flags: continued.with_sampled(decision.sampled),
            })
        }
    }
}

/// Removes context: all of it, unless a trusted caller brought one that can be continued.
fn strip(headers: &mut impl Head, trust: Trust, inbound: Inbound, leaves_nothing: bool) {
    let restarted = matches!(inbound, Inbound::Invalid(_));
    if leaves_nothing || restarted || trust != Trust::Full {
        headers.remove_if(untrusted::is_context);
        return;
    }
    // A server that folds names would read an alias as a second, different context.
    headers.remove_if(untrusted::is_w3c_alias);
    if inbound == Inbound::Absent {
        headers.remove(&TRACESTATE);
    }
    if matches!(Verdict::of(headers.lines(&BAGGAGE)), Verdict::Invalid(_)) {
        headers.remove(&BAGGAGE);
    }
}

/// Puts our own context on the request, last of all.
fn inject(
    connection: &Connection,
    headers: &mut impl Head,
    outgoing: &TraceParent,
    state: &Outgoing,
) {
    let mut values = connection.worker.values.borrow_mut();
    if let Some(mut value) = values.header(&outgoing.format()) {
        // Never the same twice: HTTP/2's compression tables have nothing to gain from it.
        value.set_sensitive(true);
        headers.set(TRACEPARENT, value);
    }
    match (state, state.value()) {
        (Outgoing::Keep, _) => {}
        (_, Some(state)) => {
            if let Some(value) = values.header(state.as_bytes()) {
                headers.set(TRACESTATE, value);
            }
        }
        (_, None) => headers.remove(&TRACESTATE),
    }
}

/// The upstream's own trace headers don't reach callers that aren't trusted.
pub fn answered(traced: &Traced, headers: &mut impl Head) {
    const TRACERESPONSE: HeaderName = HeaderName::from_static("traceresponse");
    const SERVER_TIMING: HeaderName = HeaderName::from_static("server-timing");
    if traced.trust != Trust::Drop {
        return;
    }
    headers.remove(&TRACERESPONSE);
    if headers.has(&SERVER_TIMING) {
        strip_trace_timing(headers, &SERVER_TIMING);
    }
}

/// The same for the answer's trailers.
pub fn trailed(traced: &Traced, trailers: &mut impl Head) {
    if traced.strip_trailers {
        trailers.remove_if(untrusted::is_context);
    }
    answered(traced, trailers);
}

fn strip_trace_timing(headers: &mut impl Head, name: &HeaderName) {
    let kept: Vec<HeaderValue> = headers
        .lines(name)
        .filter_map(|value| {
            let members: Vec<&[u8]> = super::head::members(value)
                .filter(|member| !is_trace_metric(member))
                .collect();
            (!members.is_empty())
                .then(|| HeaderValue::from_bytes(&members.join(&b", "[..])))?
                .ok()
        })
        .collect();
    headers.remove(name);
    for value in kept {
        headers.add(name.clone(), value);
    }
}

fn is_trace_metric(member: &[u8]) -> bool {
    let metric = member.split(|b| *b == b';').next().unwrap_or(member);
    metric.trim_ascii().eq_ignore_ascii_case(b"trace")
}

fn counted(decision: &Decision) -> Counted {
    match decision.reason {
        Reason::Dropped(_) => Counted::Dropped,
        Reason::TrustedCap | Reason::RuleCap(_) | Reason::Cap => Counted::Capped,
        _ if decision.sampled => Counted::Sampled,
        _ => Counted::Unsampled,
    }
}

/// What sampling rules look at.
struct View<'a, H> {
    line: Line<'a>,
    headers: &'a H,
    listener: &'a Listener,
}

impl<H: Head> RequestView for View<'_, H> {
    fn method(&self) -> &Method {
        self.line.method
    }

    fn path(&self) -> &str {
        self.line.uri.path()
    }

    fn host(&self) -> Option<&str> {
        describe::visible(self.headers.first(&header::HOST)?)
    }

    fn header_any(&self, name: &HeaderName, accept: &mut dyn FnMut(&[u8]) -> bool) -> bool {
        self.headers.lines(name).any(accept)
    }

    fn listener(&self) -> &str {
        &self.listener.settings.name
    }
}
