//! One request's life: it begins when the head is read and ends exactly once.

use std::cell::Cell;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Instant;

use http::{HeaderName, Method};

use super::capture;
use super::head::Head;
use super::worker::Worker;
use crate::metrics::labels::{MethodClass, RequestRefusal, StatusClass};
use crate::metrics::shard::{InFlight, ListenerShard};
use crate::span::capture::Capture;
use crate::span::record::{Fault, Outcome, Record};

/// One request being served; ends on drop if nothing ended it before.
pub struct Exchange {
    worker: Rc<Worker>,
    counters: Arc<ListenerShard>,
    in_flight: Option<InFlight>,
    method: MethodClass,
    start: Instant,
    status: Option<u16>,
    record: Option<Box<Record>>,
    capture: Option<Arc<Capture>>,
    request_bytes: Option<Rc<Cell<u64>>>,
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
            method: MethodClass::of(method),
            start,
            status: None,
            record: None,
            capture: None,
            request_bytes: None,
        }
    }

    /// When the head had been read.
    pub const fn start(&self) -> Instant {
        self.start
    }

    /// The sampler chose this request: what is known goes into `record`, and what `capture` lists
    /// of the response will.
    pub fn sampled(&mut self, record: Box<Record>, capture: &Arc<Capture>) {
        self.record = Some(record);
        self.capture = Some(Arc::clone(capture));
    }

    /// Where the request's bytes are counted, if anybody will read the number.
    pub fn request_counter(&mut self) -> Option<Rc<Cell<u64>>> {
        self.record.as_ref()?;
        let counter = Rc::new(Cell::new(0));
        self.request_bytes = Some(Rc::clone(&counter));
        Some(counter)
    }

    /// Changes the record, if there is one.
    pub fn record(&mut self, change: impl FnOnce(&mut Record)) {
        if let Some(record) = &mut self.record {
            change(record);
        }
    }

    /// A response's head, from the upstream or made here.
    pub fn answered(&mut self, status: u16, headers: &impl Head) {
        self.status = Some(status);
        if let Some(record) = &mut self.record {
            record.status = Some(status);
            record.headers = Some(Instant::now());
            if record.grpc {
                record.grpc_status = grpc_status(headers);
            }
            capture::response(self.capture.as_deref(), headers, record);
        }
    }

    /// Bytes of the response's body went through.
    pub fn relayed(&mut self, bytes: usize) {
        if let Some(record) = &mut self.record {
            record.response_bytes += bytes as u64;
        }
    }

    /// The response's trailers went through.
    pub fn trailers(&mut self, trailers: &impl Head) {
        if let Some(record) = &mut self.record
            && record.grpc
        {
            record.grpc_status = grpc_status(trailers).or(record.grpc_status);
            capture::response(self.capture.as_deref(), trailers, record);
        }
    }

    /// Counts a request that is answered here instead of being forwarded.
    pub fn count_refusal(&self, fault: Fault) {
        let reason = match fault {
            Fault::BadRequest => RequestRefusal::BadRequest,
            Fault::HeadTooLarge => RequestRefusal::HeadTooLarge,
            Fault::BadTarget => RequestRefusal::BadTarget,
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
        let now = Instant::now();
        let status = StatusClass::of(self.status);
        self.counters
            .finished(self.method, status, now.duration_since(self.start));
        if let Some(mut record) = self.record.take() {
            record.end = now;
            record.outcome = outcome;
            if let Some(counter) = &self.request_bytes {
                record.request_bytes += counter.get();
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

fn grpc_status(headers: &impl Head) -> Option<u16> {
    const GRPC_STATUS: HeaderName = HeaderName::from_static("grpc-status");
    let value = headers.lines(&GRPC_STATUS).next()?;
    std::str::from_utf8(value).ok()?.parse().ok()
}
