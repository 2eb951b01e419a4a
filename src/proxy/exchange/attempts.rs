//! Attempts at one request: on egress each is a span, and a measurement, of its own.
//!
//! So the HTTP conventions have it ("HTTP request retries and redirects"); their client metric is
//! to say the same as the span beside it. A gRPC call is measured as one, as its metric asks. What
//! a caller asks of an ingress listener is one request, however often the component was asked.

use std::time::Instant;

use super::{Exchange, span};
use crate::context::traceparent::TraceParent;
use crate::proxy::settings::Settings;
use crate::proxy::upstream::via::{self, Via};
use crate::span::record::{Direction, Fault, Outcome, Record};

impl Exchange {
    /// By which connection it went to the upstream, if by any; on egress that is seen on spans.
    pub fn reached(&mut self, via: Option<Via>, settings: &Settings) {
        if self.call.ended.direction == Direction::Ingress {
            return;
        }
        if let Some(open) = &self.open {
            open.change(|record| via::tell(via, settings.upstream_at(self.to), record));
        }
        if let Some(held) = &mut self.held {
            held.via = via;
        }
    }

    /// An attempt has failed and another one begins. If that gets a span of its own, the request
    /// goes on in the context that is returned; otherwise in the one it has: a second id that
    /// nobody records would tell nothing.
    pub fn resend(&mut self, fault: Fault) -> Option<TraceParent> {
        if let Some(held) = &mut self.held {
            held.resends = held.resends.saturating_add(1);
        }
        if self.call.ended.direction == Direction::Ingress {
            self.record(|record| record.resends = record.resends.saturating_add(1));
            return None;
        }
        let now = Instant::now();
        let failed = self.next_record(fault, now);
        if let Some(logged) = &mut self.logged {
            logged.since.get_or_insert(self.start);
        }
        let seen = failed
            .as_ref()
            .map(|failed| (failed.trace_id, failed.span_id));
        if !self.call.ended.grpc {
            let mut call = self.call;
            call.ended.outcome = Outcome::Upstream(fault);
            let lasted = now.saturating_duration_since(self.start);
            self.counters.finished(&call, lasted, now, seen);
            self.start = now;
        }
        self.worker.export(failed?);
        self.open.as_ref().and_then(|open| open.read(span))
    }

    /// Begins the next attempt's record, if the request is recorded as spans; the last one's.
    fn next_record(&mut self, fault: Fault, now: Instant) -> Option<Box<Record>> {
        if self.logged.as_ref().is_some_and(|logged| logged.alone) {
            return None;
        }
        let open = self.open.as_ref()?;
        let mut failed = open.again(self.worker.ids.borrow_mut().span_id(), now)?;
        failed.outcome = Outcome::Upstream(fault);
        open.change(|record| {
            record.resends = record.resends.saturating_add(1);
            record.peer = None;
        });
        Some(failed)
    }
}
