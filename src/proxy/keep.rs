//! What is remembered of a request that isn't sampled, in case it fails or is slow
//! (`tracing.keep`).
//!
//! Nearly all of them end well and leave nothing. So everything is copied into memory that the
//! worker uses again and again, and becomes a record only at the end of one that is kept.

mod texts;

use std::cell::RefCell;
use std::rc::Rc;
use std::time::{Duration, Instant};

use http::{HeaderName, Version, header};

use self::texts::{SLACK, Texts};
use super::capture::{self, AUDIT_ID};
use super::clock::Tick;
use super::connection::Connection;
use super::describe::{self, Asked, Ends, visible};
use super::head::{Head, Line};
use super::judged::{Decided, Judged};
use super::listener::Listener;
use super::place::Place;
use super::trace::TRACESTATE;
use super::upstream::via::{self, Via};
use super::worker::Worker;
use crate::context::ids::{Flags, SpanId, TraceId};
use crate::context::ot::{Ot, U56};
use crate::context::traceparent::TraceParent;
use crate::context::tracestate::{Outgoing, TraceState};
use crate::metrics::labels::{Kept as Counted, Label as _};
use crate::metrics::{Call, MethodClass};
use crate::sample::decision::{Decision, Parent, Reason};
use crate::sample::keep::{Keep, Kept};
use crate::span::capture::{MAX_CAPTURED, MAX_VALUE, MAX_VALUES, Side};
use crate::span::error_type::Ended;
use crate::span::record::{Direction, Record, text};

/// Boxes a worker has ready; beyond them they are made anew.
const READY: usize = 1024;

/// The context an unsampled request has, and what a restart left behind.
#[derive(Clone, Copy, Debug)]
pub struct Unsampled {
    /// The trace.
    pub trace_id: TraceId,
    /// The parent id that was handed on; `None` if nothing was.
    pub span_id: Option<SpanId>,
    /// Flags as they were handed on.
    pub flags: Flags,
    /// The caller's span.
    pub parent: Option<SpanId>,
    /// The untrusted context that was dropped.
    pub link: Option<(TraceId, SpanId, Flags)>,
    /// Randomness that isn't the trace id's.
    pub rv: Option<U56>,
    /// Whether the caller's `tracestate` is continued.
    pub continues: bool,
}

impl Unsampled {
    /// Of a request that was decided so; `continues`: its `tracestate`, too.
    pub fn of(judged: &Judged, decided: &Decided, continues: bool) -> Self {
        let (Parent::Root { trace_id } | Parent::Ids { trace_id } | Parent::Full { trace_id, .. }) =
            decided.parent;
        let outgoing = decided.outgoing;
        let (parent, link) = judged.origin();
        Self {
            trace_id,
            span_id: outgoing.map(|on| on.parent_id),
            flags: outgoing.map_or(Flags::RANDOM, |on| on.flags),
            parent,
            link,
            rv: decided.decision.ot.rv,
            continues,
        }
    }
}

/// A worker's boxes that nobody uses now.
#[derive(Default)]
pub struct Pool(
    #[expect(clippy::vec_box, reason = "boxes are what requests hold and give back")]
    RefCell<Vec<Box<Held>>>,
);

impl Pool {
    fn take(&self) -> Box<Held> {
        self.0.borrow_mut().pop().unwrap_or_default()
    }

    fn give(&self, mut held: Box<Held>) {
        let mut ready = self.0.borrow_mut();
        if ready.len() < READY {
            held.clear();
            ready.push(held);
        }
    }
}

/// Whether a request is to be remembered: it isn't sampled, but might be kept.
///
/// What a rule drops leaves no span, whatever becomes of it.
#[inline]
pub fn is_wanted(worker: &Worker, listener: &Listener, decision: &Decision) -> bool {
    listener.sampler.keep().is_some()
        && !decision.sampled
        && !matches!(decision.reason, Reason::Dropped(_))
        && worker.records()
}

/// One unsampled request, in memory that is used again.
#[derive(Default)]
pub struct Held {
    /// `None` while nobody uses the box, as what follows.
    listener: Option<Rc<Listener>>,
    unsampled: Option<Unsampled>,
    ends: Ends,
    version: Version,
    /// Of methods that aren't known.
    method: Option<Place>,
    /// Path and query.
    target: Option<Place>,
    host: Option<Place>,
    user_agent: Option<Place>,
    tracestate: Option<Place>,
    texts: Texts,
    captured: Vec<(Side, usize, Place)>,
    audit_id: Option<Place>,
    /// The last tick before the response's head.
    headers: Option<Tick>,
    /// By which connection it went to the upstream, on egress.
    pub via: Option<Via>,
    /// Attempts beyond the first.
    pub resends: u8,
    /// Whether the connection became a tunnel.
    pub upgraded: bool,
    /// Bytes of the request's body, of tunnels alone.
    pub request_bytes: u64,
    /// Bytes of the response's body.
    pub response_bytes: u64,
}

impl Held {
    /// Remembers a request as it goes on to the upstream of its destination. What is set here,
    /// clearing leaves.
    pub fn remember(
        connection: &Connection,
        (to, method): (u16, MethodClass),
        line: Line<'_>,
        headers: &impl Head,
        unsampled: Unsampled,
    ) -> Box<Self> {
        let mut boxed = connection.worker.held.take();
        let held = &mut *boxed;
        held.unsampled = Some(unsampled);
        held.ends = Ends::of(connection, to);
        held.version = line.version;
        let listener = held.listener.insert(connection.slot.current());
        let texts = &mut held.texts;
        let unknown = method == MethodClass::Other;
        held.method = unknown.then(|| texts.put(line.method.as_str().as_bytes()));
        held.target = line.uri.path_and_query().map(|target| texts.target(target));
        held.host = line.host(headers).map(|host| texts.put(host));
        let user_agent = headers.first(&header::USER_AGENT);
        held.user_agent = user_agent.map(|agent| texts.put(agent));
        let continues = unsampled.continues && headers.has(&TRACESTATE);
        held.tracestate = continues.then(|| texts.join(headers.lines(&TRACESTATE)));
        let seen = Seen::new(&mut held.texts, &mut held.captured, &mut held.audit_id);
        seen.of(listener, Side::Request, headers);
        boxed
    }

    /// A response's head.
    pub fn answered(&mut self, headers: &impl Head) {
        let keep = self.listener.as_ref().and_then(|l| l.sampler.keep());
        if keep.is_some_and(Keep::is_timed) {
            self.headers = Some(Tick::last());
        }
        self.trailers(headers);
    }

    /// Fields of the response's head, and those that come later.
    pub fn trailers(&mut self, fields: &impl Head) {
        if let Some(listener) = &self.listener {
            let seen = Seen::new(&mut self.texts, &mut self.captured, &mut self.audit_id);
            seen.of(listener, Side::Response, fields);
        }
    }

    /// The request has ended, `whole` after its start: its record, if it is kept. The box goes
    /// back.
    pub fn end(
        self: Box<Self>,
        worker: &Worker,
        call: &Call,
        start: Instant,
        whole: Duration,
    ) -> Option<Box<Record>> {
        let kept = self.verdict(worker, &call.ended, start, whole);
        let record = kept.and_then(|kept| {
            let now = start + whole;
            let mut record = self.record(worker, call, start, now)?;
            record.kept = Some(kept.as_str());
            record.end = now;
            Some(record)
        });
        worker.held.give(self);
        record
    }

    fn verdict(
        &self,
        worker: &Worker,
        ended: &Ended,
        start: Instant,
        whole: Duration,
    ) -> Option<Kept> {
        let listener = self.listener.as_ref()?;
        let keep = listener.sampler.keep()?;
        let now = || start + whole;
        let waited = || {
            self.headed(worker, start, now())
                .saturating_duration_since(start)
        };
        let kept = keep.judge(ended.error().is_some(), whole, waited)?;
        let admitted = keep.admit(worker.nanos(now()));
        listener.counters.kept(match kept {
            _ if !admitted => Counted::Capped,
            Kept::Error => Counted::Error,
            Kept::Slow => Counted::Slow,
        });
        admitted.then_some(kept)
    }

    /// When the response's head came; `now` if none did. A tick may be from before the request.
    fn headed(&self, worker: &Worker, start: Instant, now: Instant) -> Instant {
        let tick = self.headers.map(|tick| worker.clock.moment(tick));
        tick.map_or(now, |tick| tick.clamp(start, now.max(start)))
    }

    /// The record this request would have had from its beginning.
    fn record(
        &self,
        worker: &Worker,
        call: &Call,
        start: Instant,
        now: Instant,
    ) -> Option<Box<Record>> {
        let (listener, unsampled) = (self.listener.as_ref()?, self.unsampled?);
        let ended = &call.ended;
        let settings = &listener.settings;
        let fresh = || worker.ids.borrow_mut().span_id();
        let span = TraceParent {
            trace_id: unsampled.trace_id,
            parent_id: unsampled.span_id.unwrap_or_else(fresh),
            flags: unsampled.flags,
        };
        let asked = self.asked(call);
        let mut record = describe::record(&self.ends, settings, &asked, span, start);
        record.parent = unsampled.parent;
        record.link = unsampled.link;
        record.tracestate = self.tracestate(unsampled.rv);
        record.headers = self.headers.map(|_| self.headed(worker, start, now));
        record.status = ended.status;
        record.grpc_status = ended.grpc_status;
        record.outcome = ended.outcome;
        if ended.direction == Direction::Egress {
            record.protocol_version = call.version.as_str();
            via::tell(self.via, settings.upstream_at(self.ends.to()), &mut record);
        }
        record.resends = self.resends;
        record.upgraded = self.upgraded;
        record.request_bytes = self.request_bytes;
        record.response_bytes = self.response_bytes;
        let audited = self.audit_id.and_then(|id| visible(self.texts.get(id)));
        record.audit_id = audited.map(Into::into);
        for (side, index, place) in &self.captured {
            let names = match side {
                Side::Request => &settings.capture.request,
                Side::Response => &settings.capture.response,
            };
            if let Some(name) = names.get(*index) {
                capture::keep(name, *side, self.texts.get(*place), &mut record.captured);
            }
        }
        Some(record)
    }

    fn asked(&self, call: &Call) -> Asked<'_> {
        let bytes = |place: Option<Place>| place.map(|place| self.texts.get(place));
        let method = self.method.map(|method| self.texts.text(method));
        let target = self.target.map(|target| self.texts.text(target));
        let target = target.unwrap_or_default();
        let (path, query) = match target.split_once('?') {
            Some((path, query)) => (path, Some(query)),
            None => (target, None),
        };
        // As `Uri` has it: only an authority's form has no path at all.
        let root = if self.target.is_some() { "/" } else { "" };
        Asked {
            method: method.unwrap_or(call.method.as_str()),
            path: if path.is_empty() { root } else { path },
            query,
            host: bytes(self.host),
            user_agent: bytes(self.user_agent),
            version: self.version,
            grpc: call.ended.grpc,
        }
    }

    /// `tracestate` without `th`: that said how likely the request was sampled, and it wasn't.
    fn tracestate(&self, rv: Option<U56>) -> Option<Box<str>> {
        let ot = Ot { th: None, rv };
        let Some(came) = self.tracestate.map(|place| self.texts.get(place)) else {
            return Outgoing::fresh(ot).value().map(text);
        };
        match TraceState::parse([came]).ok()?.outgoing(ot) {
            Outgoing::Keep => visible(came).map(text),
            other => other.value().map(text),
        }
    }

    /// Gives back what others wait for, and forgets what isn't set at the beginning.
    fn clear(&mut self) {
        self.listener = None;
        self.texts.clear();
        self.captured.clear();
        (self.audit_id, self.headers) = (None, None);
        (self.via, self.resends, self.upgraded) = (None, 0, false);
        (self.request_bytes, self.response_bytes) = (0, 0);
    }
}

/// Where fields go that are to be seen on spans.
struct Seen<'a> {
    texts: &'a mut Texts,
    captured: &'a mut Vec<(Side, usize, Place)>,
    audit_id: &'a mut Option<Place>,
}

impl<'a> Seen<'a> {
    const fn new(
        texts: &'a mut Texts,
        captured: &'a mut Vec<(Side, usize, Place)>,
        audit_id: &'a mut Option<Place>,
    ) -> Self {
        Self {
            texts,
            captured,
            audit_id,
        }
    }

    /// Nothing is to be seen of most listeners' requests: then this is all.
    #[inline]
    fn of(self, listener: &Listener, side: Side, headers: &impl Head) {
        let settings = &listener.settings;
        let names = match side {
            Side::Request => &settings.capture.request,
            Side::Response => &settings.capture.response,
        };
        let audited = settings.routes.kubernetes.is_some();
        if audited || !names.is_empty() {
            self.fields(audited, names, side, headers);
        }
    }

    #[inline(never)]
    fn fields(self, audited: bool, names: &[HeaderName], side: Side, headers: &impl Head) {
        let audit_id = headers.first(&AUDIT_ID).filter(|_| audited);
        if let Some(id) = audit_id.and_then(capture::audited) {
            *self.audit_id = Some(self.texts.put(id.as_bytes()));
        }
        for (index, name) in names.iter().enumerate() {
            for value in headers.lines(name).take(MAX_VALUES) {
                let seen = self.captured.iter().map(|(.., place)| place.len());
                if seen.sum::<usize>() < MAX_CAPTURED {
                    let value = value.get(..MAX_VALUE + SLACK).unwrap_or(value);
                    self.captured.push((side, index, self.texts.put(value)));
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_box_is_used_again_and_remembers_nothing() {
        let pool = Pool::default();
        let mut held = pool.take();
        (held.resends, held.response_bytes) = (1, 2);
        let place: *const Held = &raw const *held;
        pool.give(held);
        let held = pool.take();
        assert!(std::ptr::eq(&raw const *held, place), "the same box");
        assert_eq!((held.resends, held.response_bytes), (0, 0));
        assert!(held.listener.is_none() && held.texts.is_empty());
    }
}
