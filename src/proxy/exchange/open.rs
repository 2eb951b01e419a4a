//! A request's record while it is open: what goes through is counted towards it, and what has
//! lasted too long goes on in a new one.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::{Duration, Instant};

use crate::context::ids::{Flags, SpanId, TraceId};
use crate::proxy::tunnel::side::Tally;
use crate::span::events::Moment;
use crate::span::messages::Counter;
use crate::span::record::{Outcome, Record};

/// What went up of a request's body.
#[derive(Debug, Default)]
pub struct Uploaded {
    bytes: Cell<u64>,
    /// If it is gRPC's.
    messages: Option<RefCell<Counter>>,
    /// When the trailers went through.
    trailers: Cell<Option<Instant>>,
}

impl Uploaded {
    /// Bytes on their way.
    pub fn took(&self, data: &[u8]) {
        self.bytes.set(self.bytes.get() + data.len() as u64);
        if let Some(messages) = &self.messages {
            messages.borrow_mut().read(data);
        }
    }

    /// The trailers, behind all bytes.
    pub fn trailers(&self) {
        self.trailers.set(Some(Instant::now()));
    }
}

/// A record and what is counted beside it.
pub struct Open {
    /// `None` once the request has ended.
    record: RefCell<Option<Box<Record>>>,
    /// What goes up.
    pub uploaded: Rc<Uploaded>,
    downloaded: RefCell<Counter>,
    /// What comes from the caller and from the upstream of a tunnel.
    tunnel: RefCell<Option<[Rc<Tally>; 2]>>,
    /// How old a span may become.
    pub max: Option<Duration>,
    /// Its place among those that are looked at.
    pub place: Cell<Option<usize>>,
    earlier: Cell<Earlier>,
}

/// What the records before this one have.
#[derive(Clone, Copy, Default)]
pub struct Earlier {
    /// Bytes of the request's body.
    pub up: u64,
    /// gRPC messages of the request.
    messages: u64,
    /// Bytes of the response's body.
    pub down: u64,
    /// The id of the first segment: the one the upstream knows.
    pub first: Option<SpanId>,
    /// The first one's link: later segments have that to the one before.
    link: Option<(TraceId, SpanId, Flags)>,
}

impl Open {
    /// Of a request that has just begun.
    pub fn new(record: Box<Record>, max: Option<Duration>) -> Rc<Self> {
        let messages = record.grpc.then(RefCell::default);
        Rc::new(Self {
            record: RefCell::new(Some(record)),
            uploaded: Rc::new(Uploaded {
                bytes: Cell::default(),
                messages,
                trailers: Cell::default(),
            }),
            downloaded: RefCell::default(),
            tunnel: RefCell::default(),
            max,
            place: Cell::default(),
            earlier: Cell::default(),
        })
    }

    /// Changes the record.
    pub fn change(&self, change: impl FnOnce(&mut Record)) {
        if let Some(record) = self.record.borrow_mut().as_deref_mut() {
            change(record);
        }
    }

    /// What `read` finds in the record.
    pub fn read<T>(&self, read: impl FnOnce(&Record) -> T) -> Option<T> {
        self.record.borrow().as_deref().map(read)
    }

    /// Bytes of the response's body.
    pub fn received(&self, data: &[u8]) {
        self.change(|record| {
            if record.response_bytes == 0 && !data.is_empty() && self.earlier.get().down == 0 {
                record.moments.note(Moment::FirstByte, Instant::now());
            }
            record.response_bytes += data.len() as u64;
            if record.grpc {
                self.downloaded.borrow_mut().read(data);
            }
        });
    }

    /// The connection became a tunnel; what goes through is tallied there.
    pub fn tunnelled(&self, tallies: [Rc<Tally>; 2]) {
        *self.tunnel.borrow_mut() = Some(tallies);
    }

    /// Ends the record so far, as it is `now`, and begins the next one under the same parent.
    fn split(&self, span_id: SpanId, now: Instant) -> Option<Box<Record>> {
        let mut slot = self.record.borrow_mut();
        let record = slot.as_mut()?;
        self.count(record);
        let mut ended = record.clone();
        ended.end = now;
        let mut earlier = self.earlier.get();
        earlier.up += std::mem::take(&mut record.request_bytes);
        earlier.messages += std::mem::take(&mut record.request_messages);
        earlier.down += std::mem::take(&mut record.response_bytes);
        if record.segment == 0 {
            (earlier.link, earlier.first) = (record.link, Some(record.span_id));
        }
        self.earlier.set(earlier);
        record.response_messages = 0;
        (record.headers, record.moments) = (None, Default::default());
        (record.span_id, record.start) = (span_id, now);
        Some(ended)
    }

    /// Ends an attempt's record, and begins the next one's: no segment of it, and as the body is
    /// sent from its beginning, what was read of it counts there, too.
    pub fn again(&self, span_id: SpanId, now: Instant) -> Option<Box<Record>> {
        let failed = self.split(span_id, now)?;
        let mut earlier = self.earlier.get();
        earlier.first = None;
        self.change(|record| {
            record.request_bytes = std::mem::take(&mut earlier.up);
            record.request_messages = std::mem::take(&mut earlier.messages);
            (record.segment, record.link) = (0, earlier.link);
        });
        self.earlier.set(earlier);
        Some(failed)
    }

    /// Closes a span that has become too old, and continues it by one that links to it.
    pub fn roll(&self, now: Instant, fresh: impl FnOnce() -> SpanId) -> Option<Box<Record>> {
        let age = self.read(|record| now.saturating_duration_since(record.start))?;
        self.max.filter(|max| age >= *max)?;
        let mut ended = self.split(fresh(), now)?;
        (ended.outcome, ended.continued) = (Outcome::Done, true);
        ended.segment = ended.segment.max(1);
        self.change(|record| {
            record.segment = ended.segment.saturating_add(1);
            record.link = Some((ended.trace_id, ended.span_id, ended.flags));
        });
        Some(ended)
    }

    /// Ends the record; what those before it have.
    pub fn end(&self) -> Option<(Box<Record>, Earlier)> {
        let mut record = self.record.borrow_mut().take()?;
        self.count(&mut record);
        Some((record, self.earlier.get()))
    }

    /// Takes what was counted since the last time into the record.
    fn count(&self, record: &mut Record) {
        record.request_bytes += self.uploaded.bytes.take();
        if let Some(messages) = &self.uploaded.messages {
            record.request_messages += messages.borrow_mut().take();
        }
        if let Some(at) = self.uploaded.trailers.take() {
            record.moments.note(Moment::RequestTrailers, at);
        }
        record.response_messages += self.downloaded.borrow_mut().take();
        if let Some([caller, upstream]) = &*self.tunnel.borrow() {
            record.request_bytes += caller.take();
            record.response_bytes += upstream.take();
        }
    }
}
