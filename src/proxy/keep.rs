//! What is remembered of a request that isn't sampled, in case it fails or is slow
//! (`tracing.keep`).
//!
//! Nearly all of them end well and leave nothing. So everything is copied into memory that the
//! worker uses again and again, and becomes a record only at the end of one that is kept.

mod texts;

use std::cell::RefCell;
use std::rc::Rc;
use std::time::Instant;

use http::Version;

use self::texts::{Piece, SLACK, Texts};
use super::capture::{self, AUDIT_ID};
use super::connection::Connection;
use super::describe::{self, Asked, Ends, visible};
use super::head::{Head, Line};
use super::judged::Judged;
use super::listener::Listener;
use super::trace::TRACESTATE;
use super::worker::Worker;
use crate::context::ids::{Flags, SpanId, TraceId};
use crate::context::ot::{Ot, U56};
use crate::context::traceparent::TraceParent;
use crate::context::tracestate::{Outgoing, TraceState};
use crate::metrics::labels::Kept as Counted;
use crate::sample::decision::{Decision, Parent, Reason};
use crate::sample::keep::Kept;
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
    /// Of a request with this `parent` and no `tracestate`; `outgoing` is what goes on.
    pub fn of(judged: &Judged, parent: Parent, outgoing: Option<&TraceParent>, ot: Ot) -> Self {
        let (Parent::Root { trace_id } | Parent::Ids { trace_id } | Parent::Full { trace_id, .. }) =
            parent;
        let trusted = judged.trusted.map(|context| context.parent);
        let dropped = judged.inbound.valid().filter(|_| trusted.is_none());
        let dropped = dropped.map(|context| context.parent);
        Self {
            trace_id,
            span_id: outgoing.map(|on| on.parent_id),
            flags: outgoing.map_or(Flags::RANDOM, |on| on.flags),
            parent: trusted.map(|parent| parent.parent_id),
            link: dropped.map(|old| (old.trace_id, old.parent_id, old.flags)),
            rv: ot.rv,
            continues: false,
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
    known: Option<Known>,
    texts: Texts,
    captured: Vec<(Side, usize, Piece)>,
    audit_id: Option<Piece>,
    headers: Option<Instant>,
    /// Attempts beyond the first.
    pub resends: u8,
    /// Whether the connection became a tunnel.
    pub upgraded: bool,
    /// Bytes of the request's body, of tunnels alone.
    pub request_bytes: u64,
    /// Bytes of the response's body.
    pub response_bytes: u64,
}

/// What is known from the head.
struct Known {
    listener: Rc<Listener>,
    ends: Ends,
    unsampled: Unsampled,
    version: Version,
    method: Piece,
    path: Piece,
    query: Option<Piece>,
    host: Option<Piece>,
    user_agent: Option<Piece>,
    tracestate: Option<Piece>,
}

impl Held {
    /// Remembers a request as it goes on to the upstream.
    pub fn remember(
        connection: &Connection,
        line: Line<'_>,
        headers: &impl Head,
        unsampled: Unsampled,
    ) -> Box<Self> {
        let listener = connection.slot.current();
        let mut held = connection.worker.held.take();
        let texts = &mut held.texts;
        // gRPC is known of every request; what follows from it is put in at the end.
        let asked = Asked::of(line, headers, false);
        let known = Known {
            ends: Ends::of(connection),
            unsampled,
            version: line.version,
            method: texts.put(asked.method.as_bytes()),
            path: texts.put(asked.path.as_bytes()),
            query: asked.query.map(|query| texts.put(query.as_bytes())),
            host: asked.host.map(|host| texts.put(host)),
            user_agent: asked.user_agent.map(|agent| texts.put(agent)),
            tracestate: (unsampled.continues && headers.has(&TRACESTATE))
                .then(|| texts.join(headers.lines(&TRACESTATE))),
            listener,
        };
        held.see(&known.listener, Side::Request, headers);
        held.known = Some(known);
        held
    }

    /// A response's head.
    pub fn answered(&mut self, headers: &impl Head) {
        let Some(known) = &self.known else { return };
        let listener = Rc::clone(&known.listener);
        if listener.sampler.keep().is_some_and(|keep| keep.is_timed()) {
            self.headers = Some(Instant::now());
        }
        self.see(&listener, Side::Response, headers);
    }

    /// Fields that come later.
    pub fn trailers(&mut self, trailers: &impl Head) {
        if let Some(known) = &self.known {
            let listener = Rc::clone(&known.listener);
            self.see(&listener, Side::Response, trailers);
        }
    }

    /// Remembers the fields that are to be seen on spans.
    fn see(&mut self, listener: &Listener, side: Side, headers: &impl Head) {
        let settings = &listener.settings;
        let names = match side {
            Side::Request => &settings.capture.request,
            Side::Response => &settings.capture.response,
        };
        for (index, name) in names.iter().enumerate() {
            for value in headers.lines(name).take(MAX_VALUES) {
                let seen = self.captured.iter().map(|(.., piece)| piece.len);
                if seen.sum::<usize>() < MAX_CAPTURED {
                    let value = value.get(..MAX_VALUE + SLACK).unwrap_or(value);
                    self.captured.push((side, index, self.texts.put(value)));
                }
            }
        }
        if settings.routes.kubernetes.is_some()
            && let Some(id) = headers.first(&AUDIT_ID).and_then(capture::audited)
        {
            self.audit_id = Some(self.texts.put(id.as_bytes()));
        }
    }

    /// The request has ended `now`: its record, if it is kept. The box goes back.
    pub fn end(
        self: Box<Self>,
        worker: &Worker,
        ended: &Ended,
        version: &'static str,
        start: Instant,
        now: Instant,
    ) -> Option<Box<Record>> {
        let kept = self.verdict(worker, ended, start, now);
        let record = kept.and_then(|kept| {
            let mut record = self.record(worker, ended, start)?;
            record.kept = Some(kept.as_str());
            record.end = now;
            if ended.direction == Direction::Egress {
                record.protocol_version = version;
            }
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
        now: Instant,
    ) -> Option<Kept> {
        let listener = &self.known.as_ref()?.listener;
        let keep = listener.sampler.keep()?;
        let waited = self.headers.unwrap_or(now).saturating_duration_since(start);
        let kept = keep.judge(ended.error().is_some(), waited)?;
        let admitted = keep.admit(worker.nanos(now));
        listener.counters.kept(match kept {
            _ if !admitted => Counted::Capped,
            Kept::Error => Counted::Error,
            Kept::Slow => Counted::Slow,
        });
        admitted.then_some(kept)
    }

    /// The record this request would have had from its beginning.
    fn record(&self, worker: &Worker, ended: &Ended, start: Instant) -> Option<Box<Record>> {
        let Known {
            listener,
            ends,
            unsampled,
            ..
        } = self.known.as_ref()?;
        let settings = &listener.settings;
        let fresh = || worker.ids.borrow_mut().span_id();
        let span = TraceParent {
            trace_id: unsampled.trace_id,
            parent_id: unsampled.span_id.unwrap_or_else(fresh),
            flags: unsampled.flags,
        };
        let asked = self.asked(ended.grpc)?;
        let mut record = describe::record(ends, settings, &asked, span, start);
        record.parent = unsampled.parent;
        record.link = unsampled.link;
        record.tracestate = self.tracestate();
        record.headers = self.headers;
        record.status = ended.status;
        record.grpc_status = ended.grpc_status;
        record.outcome = ended.outcome;
        record.resends = self.resends;
        record.upgraded = self.upgraded;
        record.request_bytes = self.request_bytes;
        record.response_bytes = self.response_bytes;
        let audited = self.audit_id.and_then(|id| visible(self.texts.get(id)));
        record.audit_id = audited.map(Into::into);
        for (side, index, piece) in &self.captured {
            let names = match side {
                Side::Request => &settings.capture.request,
                Side::Response => &settings.capture.response,
            };
            if let Some(name) = names.get(*index) {
                capture::keep(name, *side, self.texts.get(*piece), &mut record.captured);
            }
        }
        Some(record)
    }

    fn asked(&self, grpc: bool) -> Option<Asked<'_>> {
        let known = self.known.as_ref()?;
        let bytes = |piece: Option<Piece>| piece.map(|piece| self.texts.get(piece));
        Some(Asked {
            method: self.texts.text(known.method),
            path: self.texts.text(known.path),
            query: known.query.map(|query| self.texts.text(query)),
            host: bytes(known.host),
            user_agent: bytes(known.user_agent),
            version: known.version,
            grpc,
        })
    }

    /// `tracestate` without `th`: that said how likely the request was sampled, and it wasn't.
    fn tracestate(&self) -> Option<Box<str>> {
        let known = self.known.as_ref()?;
        let ot = Ot {
            th: None,
            rv: known.unsampled.rv,
        };
        let Some(came) = known.tracestate.map(|piece| self.texts.get(piece)) else {
            return Outgoing::fresh(ot).value().map(text);
        };
        match TraceState::parse([came]).ok()?.outgoing(ot) {
            Outgoing::Keep => visible(came).map(text),
            other => other.value().map(text),
        }
    }

    fn clear(&mut self) {
        self.known = None;
        self.texts.clear();
        self.captured.clear();
        self.audit_id = None;
        self.headers = None;
        (self.resends, self.upgraded) = (0, false);
        (self.request_bytes, self.response_bytes) = (0, 0);
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
        assert!(held.known.is_none());
    }
}
