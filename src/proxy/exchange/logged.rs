//! What the access log says of a request, beside its record.

use std::net::IpAddr;
use std::time::Instant;

use super::open::{Earlier, Open};
use super::{Exchange, span};
use crate::access_log::{Entry, Mode};
use crate::context::traceparent::TraceParent;
use crate::proxy::connection::Connection;
use crate::proxy::describe::{self, Ends};
use crate::proxy::head::{Head, Line};
use crate::proxy::listener::Listener;
use crate::span::record::Record;

/// What the access log says beside the record.
#[derive(Default)]
pub struct Logged {
    /// The record was made for the log alone, and is no span's.
    pub alone: bool,
    /// When the head had been read, if that isn't when the record begins.
    pub since: Option<Instant>,
    /// What went on to the upstream.
    pub context: Option<TraceParent>,
    client: Option<IpAddr>,
    protocol: &'static str,
}

impl Exchange {
    /// The context that goes on to the upstream.
    pub fn handed_on(&mut self, context: TraceParent) {
        if self.is_logged(context.flags.sampled()) {
            self.logged.get_or_insert_default().context = Some(context);
        }
    }

    fn is_logged(&self, sampled: bool) -> bool {
        match self.access_log {
            Mode::Off => false,
            Mode::Sampled => sampled,
            Mode::All => true,
        }
    }

    /// If the access log wants this request, keeps what it will say: a request that isn't sampled
    /// gets a record for that alone.
    pub fn log(
        &mut self,
        connection: &Connection,
        listener: &Listener,
        line: Line<'_>,
        headers: &impl Head,
    ) {
        if self.logged.is_none() && !self.is_logged(self.open.is_some()) {
            return;
        }
        let logged = self.logged.get_or_insert_default();
        let caller = connection.caller.address;
        logged.client = caller.or(connection.peer.map(|peer| peer.ip()));
        logged.protocol = match line.version {
            http::Version::HTTP_10 => "HTTP/1.0",
            http::Version::HTTP_2 => "HTTP/2",
            _ => "HTTP/1.1",
        };
        if self.open.is_none() {
            logged.alone = true;
            let span = logged.context.unwrap_or_else(|| self.worker.unseen());
            let ends = Ends::of(connection, self.to);
            let record = describe::begin(&ends, listener, line, headers, span, self.start);
            self.open = Some(Open::new(record, None));
        }
    }

    /// Hands a logged request's record to the log, and to the exporter if it is a span's.
    /// The log tells of the whole request, `earlier` segments included, and names the first of them.
    pub(super) fn hand_over(&self, record: Box<Record>, logged: &Logged, earlier: Earlier) {
        let (client, protocol) = (logged.client, logged.protocol);
        let start = logged.since.unwrap_or(self.start);
        let entry = |mut record: Box<Record>, context| {
            record.request_bytes += earlier.up;
            record.response_bytes += earlier.down;
            Entry {
                record,
                start,
                context,
                client,
                protocol,
            }
        };
        if logged.alone {
            return self.worker.log(entry(record, logged.context));
        }
        let mut context = span(&record);
        context.parent_id = earlier.first.unwrap_or(record.span_id);
        self.worker.log(entry(record.clone(), Some(context)));
        self.worker.export(record);
    }
}
