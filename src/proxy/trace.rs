//! Trace context on its way through: strip, judge, decide, inject.

mod answer;
mod leave;

use std::time::Instant;

use http::Method;
use http::header::HeaderName;

pub use self::answer::{answered, trailed};
pub use self::leave::write;
use self::leave::{inject, strip};
use super::connection::Connection;
use super::correlation::Handed;
use super::correlation::join;
use super::describe::{self, Ends};
use super::exchange::Exchange;
use super::head::{Head, Line};
use super::judged::{Decided, Judged};
use super::keep::{self, Unsampled};
use super::listener::Listener;
use super::settings::{Orphans, Propagate};
use super::trace_id_header::Told;
use crate::context::extract::{Context, Inbound};
use crate::context::formats::{Fields, Format};
use crate::context::ids::Flags;
use crate::context::ot::Ot;
use crate::context::traceparent::TraceParent;
use crate::context::tracestate::{Outgoing, TraceState};
use crate::context::trust::Trust;
use crate::metrics::labels::Decision as Counted;
use crate::sample::decision::{Decision, Parent, Reason};
use crate::sample::rules::RequestView;
use crate::sample::settings::UnsampledRoot;
use crate::span::record::{Direction, text};

/// `tracestate`
pub const TRACESTATE: HeaderName = HeaderName::from_static("tracestate");

/// What was decided about a request's context, as far as its answer needs to know.
#[derive(Clone, Debug)]
pub struct Traced {
    /// The caller's trust.
    pub trust: Trust,
    /// Whether context is stripped from the answer's trailers.
    pub strip_trailers: bool,
    /// The trace id, for callers that may know it; `None` if nobody may.
    pub told: Option<Box<Told>>,
}

/// Judges what the caller brought, decides sampling, and leaves exactly our own context on the
/// request. If the request is sampled its record begins here. `admitted`: it isn't refused.
/// `observe` is shown what was found.
pub fn judge(
    connection: &Connection,
    listener: &Listener,
    line: Line<'_>,
    headers: &mut impl Head,
    exchange: &mut Exchange,
    admitted: bool,
    observe: impl FnOnce(&Judged),
) -> Traced {
    let settings = &listener.settings;
    let (mut judged, joined) = read(connection, listener, headers);
    let Judged {
        verdict,
        inbound,
        trusted,
        ..
    } = judged;
    let leaves_nothing = settings.propagate == Propagate::None;
    let mut traced = Traced {
        trust: verdict.trust,
        strip_trailers: leaves_nothing || verdict.trust != Trust::Full,
        told: Told::nothing(listener),
    };
    let egress = settings.direction == Direction::Egress;
    if trusted.is_none() && egress && settings.orphans == Orphans::Pass {
        observe(&judged);
        strip(headers, verdict.trust, inbound, listener, None);
        return traced;
    }

    let start = exchange.start();
    let joined = joined.as_ref();
    let (decided, change, continues) =
        decide(connection, listener, line, headers, &judged, joined, start);
    judged.decided = Some(decided);
    observe(&judged);
    let outgoing = decided.outgoing;
    if let (Some(told), Some(on)) = (&mut traced.told, &outgoing)
        && verdict.trust != Trust::Drop
    {
        told.learn(on.trace_id);
    }
    let recorded = outgoing.filter(|_| decided.decision.sampled && connection.worker.records());
    let tracestate = recorded.and_then(|_| match change {
        Outgoing::Keep => describe::field(headers, &TRACESTATE),
        _ => change.value().map(text),
    });
    if admitted {
        join::enter(connection, listener, headers, exchange, outgoing, &change);
    }
    let leaving = outgoing.filter(|_| !leaves_nothing);
    strip(
        headers,
        verdict.trust,
        inbound,
        listener,
        leaving.map(|_| &change),
    );
    if let Some(leaving) = leaving {
        exchange.handed_on(leaving);
        inject(
            connection,
            headers,
            &leaving,
            &change,
            &settings.propagation,
        );
    }
    if let Some(span) = recorded {
        let ends = Ends::of(connection, exchange.destination());
        let mut record = describe::begin(&ends, listener, line, headers, span, start);
        (record.parent, record.link) = judged.origin();
        record.tracestate = tracestate;
        if decided.decision.reason == Reason::Parent {
            record.capped = listener.sampler.take_refused();
        }
        exchange.sampled(record, listener);
    } else if keep::is_wanted(&connection.worker, listener, &decided.decision) {
        let unsampled = Unsampled::of(&judged, &decided, continues);
        exchange.hold(connection, line, headers, unsampled);
    }
    traced
}

/// What the caller may say, what it says, and what counts of that: its context, or that of the
/// request this one was joined to.
fn read(
    connection: &Connection,
    listener: &Listener,
    headers: &impl Head,
) -> (Judged, Option<Handed>) {
    let verdict = connection.caller.judge(listener);
    listener.counters.trust(verdict);
    let extract = listener.settings.propagation.extract();
    let inbound = Inbound::read(&Carried(headers), extract);
    let joined = join::joined(connection, listener, verdict.trust, inbound, headers);
    let own = inbound.valid().filter(|_| verdict.trust != Trust::Drop);
    let trusted = own.or(joined.as_ref().map(Handed::context));
    if trusted.is_none() && matches!(inbound, Inbound::Invalid(_) | Inbound::Valid(_)) {
        listener.counters.context_restarted();
    }
    let judged = Judged {
        verdict,
        inbound,
        trusted,
        decided: None,
    };
    (judged, joined)
}

/// Asks the sampler; what it was asked and said, what becomes of `tracestate`, and whether one is
/// continued.
fn decide(
    connection: &Connection,
    listener: &Listener,
    line: Line<'_>,
    headers: &impl Head,
    judged: &Judged,
    joined: Option<&Handed>,
    start: Instant,
) -> (Decided, Outgoing, bool) {
    let (trust, trusted) = (judged.verdict.trust, judged.trusted);
    let state = match joined {
        Some(handed) => handed.state(),
        None => inherited(headers, trust, trusted),
    };
    let ot = state.as_ref().map_or(Ot::NONE, TraceState::ot);
    let rule = listener.sampler.rule(&View {
        line,
        headers,
        listener,
        trust,
    });
    let parent = match trusted.filter(|_| joined.is_some()) {
        // It went on from here: whatever the component is trusted with, the decision stands.
        Some(context) => parent(connection, Trust::Full, Inbound::Valid(context), ot),
        None => parent(connection, trust, judged.inbound, ot),
    };
    let now = connection.worker.nanos(start);
    let decision = listener.sampler.decide(rule, parent, now);
    listener.counters.sampling(counted(&decision));
    let change = match (joined, &state) {
        (Some(handed), _) => handed.outgoing(decision.ot),
        (None, Some(state)) => state.outgoing(decision.ot),
        (None, None) => Outgoing::fresh(decision.ot),
    };
    let outgoing = outgoing(connection, listener, parent, trusted, &decision);
    let decided = Decided {
        rule,
        parent,
        decision,
        outgoing,
    };
    (decided, change, state.is_some())
}

/// The `tracestate` that may be continued: a trusted caller's, beside the `traceparent` that is.
fn inherited<'a>(
    headers: &'a impl Head,
    trust: Trust,
    trusted: Option<Context>,
) -> Option<TraceState<'a>> {
    let continued = trusted.is_some_and(|context| context.format == Format::TraceContext);
    if trust != Trust::Full || !continued || !headers.has(&TRACESTATE) {
        return None;
    }
    TraceState::parse(headers.lines(&TRACESTATE)).ok()
}

fn parent(connection: &Connection, trust: Trust, inbound: Inbound, ot: Ot) -> Parent {
    let fresh = || connection.worker.ids.borrow_mut().trace_id();
    match (inbound, trust) {
        (Inbound::Valid(context), Trust::Ids) => Parent::Ids {
            trace_id: context.parent.trace_id,
        },
        // A trusted caller that left the decision to us is decided like a trace that starts here.
        (Inbound::Valid(context), Trust::Full) if context.deferred => Parent::Root {
            trace_id: context.parent.trace_id,
        },
        (Inbound::Valid(context), Trust::Full) => Parent::Full {
            trace_id: context.parent.trace_id,
            flags: context.parent.flags,
            ot,
        },
        (Inbound::Decision(sampled), Trust::Full) => Parent::Full {
            trace_id: fresh(),
            flags: Flags::RANDOM.with_sampled(sampled),
            ot,
        },
        _ => Parent::Root { trace_id: fresh() },
    }
}

/// The context that goes on, `None` if none does.
fn outgoing(
    connection: &Connection,
    listener: &Listener,
    parent: Parent,
    trusted: Option<Context>,
    decision: &Decision,
) -> Option<TraceParent> {
    let dropped = matches!(decision.reason, Reason::Dropped(_));
    let omitted = !decision.sampled && listener.sampler.unsampled_root() == UnsampledRoot::Omit;
    let sampled = match parent {
        Parent::Root { .. } if trusted.is_none() && (dropped || omitted) => return None,
        // What trust left goes on as it was.
        Parent::Full { flags, .. } if dropped => flags.sampled(),
        _ => decision.sampled,
    };
    let relayed = dropped || !connection.worker.records();
    let (Parent::Root { trace_id } | Parent::Ids { trace_id } | Parent::Full { trace_id, .. }) =
        parent;
    let (flags, parent_id) = match trusted {
        Some(context) if relayed => (context.parent.flags, context.parent.parent_id),
        Some(context) => (
            context.parent.flags,
            connection.worker.ids.borrow_mut().span_id(),
        ),
        None => (Flags::RANDOM, connection.worker.ids.borrow_mut().span_id()),
    };
    Some(TraceParent {
        trace_id,
        parent_id,
        flags: flags.with_sampled(sampled),
    })
}

/// A request's fields, as the formats read them.
struct Carried<'a, H>(&'a H);

impl<H: Head> Fields for Carried<'_, H> {
    fn lines<'a>(&'a self, name: &HeaderName) -> impl Iterator<Item = &'a [u8]> {
        self.0.lines(name)
    }
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
    trust: Trust,
}

impl<H: Head> RequestView for View<'_, H> {
    fn method(&self) -> &Method {
        self.line.method
    }

    fn path(&self) -> &str {
        self.line.uri.path()
    }

    fn host(&self) -> Option<&str> {
        describe::visible(self.line.host(self.headers)?)
    }

    fn header_any(&self, name: &HeaderName, accept: &mut dyn FnMut(&[u8]) -> bool) -> bool {
        // Context that doesn't count can't pick a rule either.
        let stripper = &self.listener.settings.stripper;
        let counts = self.trust == Trust::Full || !stripper.is_context(name.as_str());
        counts && self.headers.lines(name).any(accept)
    }

    fn listener(&self) -> &str {
        &self.listener.settings.name
    }
}
