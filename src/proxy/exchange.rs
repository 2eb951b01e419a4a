//! One request's life: it begins when the head is read and ends exactly once.

use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use http::{HeaderName, Method};

use super::capture;
use super::connection::Connection;
use super::correlation::held::Held as Entered;
use super::describe;
use super::head::{Head, Line};
use super::keep::{Held, Unsampled};
use super::listener::Listener;
use super::tunnel::side::Tally;
use super::worker::Worker;
use crate::access_log::Mode;
use crate::context::traceparent::TraceParent;
use crate::metrics::Call;
use crate::metrics::labels::{Label as _, MethodClass, RequestRefusal, Version};
use crate::metrics::shard::{InFlight, ListenerShard};
use crate::span::capture::Capture;
use crate::span::error_type::Ended;
use crate::span::events::Moment;
use crate::span::record::{Direction, Fault, Outcome, Record};

mod attempts;
mod logged;
pub mod open;
pub mod segments;

use self::logged::Logged;
use self::open::{Open, Uploaded};
use self::segments::Segments;

/// One request being served; ends on drop if nothing ended it before.
pub struct Exchange {
    worker: Rc<Worker>,
    counters: Arc<ListenerShard>,
    in_flight: Option<InFlight>,
    /// When the head had been read, or the attempt that is under way began.
    start: Instant,
    /// What metrics say of it.
    call: Call,
    access_log: Mode,
    /// What the access log says beside the record, if the request is logged.
    logged: Option<Box<Logged>>,
    open: Option<Rc<Open>>,
    /// What is known of a request that isn't sampled, if it may be kept.
    held: Option<Box<Held>>,
    capture: Option<Arc<Capture>>,
    /// The number of its destination.
    to: u16,
    /// The caller reads gRPC's trailers behind the body: they tell if the upstream is lost in it.
    pub(super) by_trailers: bool,
    /// The keys under which it is found while it is open.
    pub(super) entered: Option<Entered>,
}

impl Exchange {
    /// A request whose head has been read at `start`.
    pub fn begin(
        worker: &Rc<Worker>,
        counters: &Arc<ListenerShard>,
        method: &Method,
        start: Instant,
    ) -> Self {
        Self {
            worker: Rc::clone(worker),
            counters: Arc::clone(counters),
            in_flight: Some(counters.request()),
            start,
            call: Call {
                method: MethodClass::of(method),
                https: false,
                version: Version::Http11,
                rpc_method: None,
                ended: Ended {
                    direction: Direction::Ingress,
                    grpc: false,
                    status: None,
                    grpc_status: None,
                    outcome: Outcome::Cancelled,
                },
            },
            access_log: Mode::Off,
            logged: None,
            open: None,
            held: None,
            capture: None,
            to: 0,
            by_trailers: false,
            entered: None,
        }
    }

    /// What is known from the head.
    pub fn identify(
        &mut self,
        connection: &Connection,
        listener: &Listener,
        line: Line<'_>,
        headers: &impl Head,
    ) {
        self.access_log = listener.access_log;
        self.to = listener.settings.destination(connection, line, headers);
        let call = &mut self.call;
        call.https = describe::is_https(connection, listener, self.to);
        call.version = Version::of(line.version);
        call.ended.direction = listener.settings.direction;
        call.ended.grpc = line.is_grpc(headers);
        if call.ended.grpc {
            call.rpc_method = self.counters.known_rpc().index(line.uri.path());
        }
    }

    /// The number of its destination, for `Settings::upstream_at`.
    pub const fn destination(&self) -> u16 {
        self.to
    }

    /// When the head had been read, or the attempt that is under way began.
    pub const fn start(&self) -> Instant {
        self.start
    }

    /// The sampler chose this request: what is known goes into `record`, and what `capture` lists
    /// of the response will.
    pub fn sampled(&mut self, record: Box<Record>, listener: &Listener) {
        self.open = Some(Open::new(record, listener.sampler.max_span_duration()));
        self.capture = Some(Arc::clone(&listener.settings.capture));
    }

    /// The sampler didn't choose this request; it is exported all the same if it is to be kept.
    pub fn hold(
        &mut self,
        connection: &Connection,
        line: Line<'_>,
        headers: &impl Head,
        unsampled: Unsampled,
    ) {
        let to = (self.to, self.call.method);
        self.held = Some(Held::remember(connection, to, line, headers, unsampled));
    }

    /// The request leaves: where what is sent of its body is counted, if anybody will read that.
    pub fn leaves(&self) -> Option<Rc<Uploaded>> {
        let open = self.open.as_ref()?;
        Segments::watch(&self.worker, &self.counters, open);
        Some(Rc::clone(&open.uploaded))
    }

    /// Changes the record, if there is one.
    pub fn record(&mut self, change: impl FnOnce(&mut Record)) {
        if let Some(open) = &self.open {
            open.change(change);
        }
    }

    /// The connection became a tunnel.
    pub fn upgraded(&mut self) {
        self.record(|record| record.upgraded = true);
        if let Some(held) = &mut self.held {
            held.upgraded = true;
        }
    }

    /// Bytes will go through a tunnel, from the caller and from the upstream, and are tallied.
    pub fn tunnels(&mut self, tallies: [Rc<Tally>; 2]) {
        if let Some(open) = &self.open {
            open.tunnelled(tallies);
        }
    }

    /// Bytes that went through a tunnel.
    pub fn tunnelled(&mut self, sent: u64, received: u64) {
        if let Some(held) = &mut self.held {
            (held.request_bytes, held.response_bytes) = (sent, received);
        }
    }

    /// An interim response's head.
    pub fn interim(&mut self, status: u16) {
        self.note(Moment::Informational(status));
    }

    fn note(&mut self, moment: Moment) {
        self.record(|record| record.moments.note(moment, Instant::now()));
    }

    /// A response's head, from the upstream or made here.
    pub fn answered(&mut self, status: u16, headers: &impl Head) {
        let ended = &mut self.call.ended;
        ended.status = Some(status);
        if ended.grpc {
            ended.grpc_status = grpc_status(headers);
        }
        if let Some(open) = &self.open {
            open.change(|record| {
                record.status = Some(status);
                record.headers = Some(Instant::now());
                capture::response(self.capture.as_deref(), headers, record);
            });
        }
        if let Some(held) = &mut self.held {
            held.answered(headers);
        }
    }

    /// Whether the answer is complete with its head (RFC 9110, section 6.4.1).
    pub fn has_no_body(&self) -> bool {
        self.call.method == MethodClass::Head || matches!(self.call.ended.status, Some(204 | 304))
    }

    /// The version spoken with the upstream; an egress listener's is the request's.
    pub fn spoke(&mut self, version: Version) {
        if self.call.ended.direction == Direction::Egress {
            self.call.version = version;
            self.record(|record| record.protocol_version = version.as_str());
        }
    }

    /// Bytes of the response's body went through.
    pub fn relayed(&mut self, data: &[u8]) {
        if let Some(open) = &self.open {
            open.received(data);
        }
        if let Some(held) = &mut self.held {
            held.response_bytes += data.len() as u64;
        }
    }

    /// The response's trailers went through.
    pub fn trailers(&mut self, trailers: &impl Head) {
        self.note(Moment::Trailers);
        let ended = &mut self.call.ended;
        if ended.grpc {
            ended.grpc_status = grpc_status(trailers).or(ended.grpc_status);
            if let Some(open) = &self.open {
                open.change(|record| capture::response(self.capture.as_deref(), trailers, record));
            }
            if let Some(held) = &mut self.held {
                held.trailers(trailers);
            }
        }
    }

    /// Counts a request that is answered here instead of being forwarded.
    pub fn count_refusal(&self, fault: Fault) {
        let reason = match fault {
            Fault::BadRequest => RequestRefusal::BadRequest,
            Fault::HeadTooLarge => RequestRefusal::HeadTooLarge,
            Fault::BadTarget => RequestRefusal::BadTarget,
            Fault::ClientCertificate => RequestRefusal::ClientCertificate,
            Fault::Unauthorized => RequestRefusal::Unauthorized,
            Fault::MethodNotAllowed => RequestRefusal::MethodNotAllowed,
            _ => RequestRefusal::Internal,
        };
        self.counters.request_refused(reason);
    }

    /// Ends the request; later calls change nothing.
    pub fn end(&mut self, outcome: Outcome) {
        if self.in_flight.take().is_none() {
            return;
        }
        if let Some(entered) = self.entered.take() {
            self.worker.correlation.release(entered);
        }
        let now = Instant::now();
        let whole = now.saturating_duration_since(self.start);
        self.call.ended.outcome = outcome;
        let mut logged = self.logged.take();
        self.keep(whole, logged.as_deref_mut());
        let for_log_alone = logged.as_ref().is_some_and(|logged| logged.alone);
        let open = self.open.take();
        let recorded = open.as_ref().filter(|_| !for_log_alone);
        let span = recorded.and_then(|open| open.read(|record| (record.trace_id, record.span_id)));
        self.counters.finished(&self.call, whole, now, span);
        let Some(open) = open else { return };
        self.worker.segments.release(&open);
        if let Some((mut record, earlier)) = open.end() {
            record.end = now;
            record.outcome = outcome;
            record.grpc_status = self.call.ended.grpc_status;
            match logged {
                None => self.worker.export(record),
                Some(logged) => self.hand_over(record, &logged, earlier),
            }
        }
    }

    /// Exports an unsampled request that is to be kept.
    fn keep(&mut self, whole: Duration, logged: Option<&mut Logged>) {
        let Some(held) = self.held.take() else { return };
        if let Some(record) = held.end(&self.worker, &self.call, self.start, whole) {
            if let Some(logged) = logged {
                // As of every recorded request, also where nothing went on.
                logged.context.get_or_insert(span(&record));
            }
            self.worker.export(record);
        }
    }
}

impl Drop for Exchange {
    fn drop(&mut self) {
        self.end(Outcome::Cancelled);
    }
}

/// The context of a record's span.
fn span(record: &Record) -> TraceParent {
    TraceParent {
        trace_id: record.trace_id,
        parent_id: record.span_id,
        flags: record.flags,
    }
}

fn grpc_status(headers: &impl Head) -> Option<u16> {
    const GRPC_STATUS: HeaderName = HeaderName::from_static("grpc-status");
    let value = headers.lines(&GRPC_STATUS).next()?;
    std::str::from_utf8(value).ok()?.parse().ok()
}
