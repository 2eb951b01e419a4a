//! From a record to a span, by OpenTelemetry's semantic conventions.
//!
//! Attributes of tracegate's own, where the conventions have no name: `tracegate.listener`;
//! `tracegate.cancelled` (`true` if the caller went away: no error, and no status, of ours or of
//! the upstream); `tracegate.refused` (why a request was refused here, a name of a
//! [`Fault`](super::record::Fault)); `tracegate.kept` (why a request that wasn't sampled is
//! exported all the same: `error` or `slow`); `tracegate.capped` (how many sampled requests of
//! trusted callers `maxTrustedTracesPerSecond` has stopped since the last one it didn't);
//! `tracegate.segment` (which part of a request that lasts the span is, from 1) and
//! `tracegate.continued` (`true` if another part follows, so that nothing is said of the end);
//! `tracegate.rpc.request_messages` and `tracegate.rpc.response_messages` (gRPC messages that went
//! through in full); `tracegate.tunnel.request_bytes` and
//! `tracegate.tunnel.response_bytes` (what went through a tunnel, from the caller and from the
//! upstream).

use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use opentelemetry::trace::{
    Event, Link, SpanContext, SpanId, SpanKind, Status, TraceFlags, TraceId, TraceState,
};
use opentelemetry::{InstrumentationScope, KeyValue, Value};
use opentelemetry_sdk::trace::{SpanData, SpanEvents, SpanLinks};

use super::error_type::Ended;
use super::events::Moment;
use super::known_rpc::KnownMethods;
use super::record::{Direction, Outcome, Record};
use crate::context::ids;

mod http;
mod network;
mod route;
mod rpc;

/// The version of the conventions spans, scope and resource follow.
pub const SCHEMA_URL: &str = "https://opentelemetry.io/schemas/1.44.0";

/// Name of the event that marks the arrival of a response's head.
pub const HEADERS_EVENT: &str = "http.response.headers";

/// From how much of a response after its head on a span gets [`HEADERS_EVENT`]: on a watch or a
/// stream the head's time is what a reader looks for, on other spans it would be noise.
pub const LASTING: Duration = Duration::from_secs(1);

/// One moment on both clocks: what turns a monotonic time into a date.
#[derive(Clone, Copy, Debug)]
pub struct Anchor {
    /// The moment by the wall clock.
    pub wall: SystemTime,
    /// The same moment by the monotonic clock.
    pub mono: Instant,
}

impl Anchor {
    /// This moment.
    pub fn now() -> Self {
        Self {
            wall: SystemTime::now(),
            mono: Instant::now(),
        }
    }

    /// The date of a moment; the epoch, should it lie outside of what the clock can express.
    pub fn date(&self, moment: Instant) -> SystemTime {
        let before = self.mono.checked_duration_since(moment);
        match before {
            Some(before) => self.wall.checked_sub(before),
            None => self
                .wall
                .checked_add(moment.saturating_duration_since(self.mono)),
        }
        .unwrap_or(SystemTime::UNIX_EPOCH)
    }
}

/// Nanoseconds since the epoch; a clock before it counts as 0, one after 2554 as the largest.
pub fn unix_nanos(time: SystemTime) -> u64 {
    let since = time.duration_since(SystemTime::UNIX_EPOCH);
    u64::try_from(since.unwrap_or_default().as_nanos()).unwrap_or(u64::MAX)
}

/// Turns records into spans.
#[derive(Debug)]
pub struct Converter {
    scope: InstrumentationScope,
    known_rpc: Arc<KnownMethods>,
}

impl Converter {
    /// `known_rpc`: the gRPC methods whose names may stand on spans.
    pub fn new(known_rpc: Arc<KnownMethods>) -> Self {
        let scope = InstrumentationScope::builder("tracegate")
            .with_version(env!("CARGO_PKG_VERSION"))
            .with_schema_url(SCHEMA_URL)
            .build();
        Self { scope, known_rpc }
    }

    /// The span of a record.
    pub fn span(&self, record: &Record, anchor: Anchor) -> SpanData {
        let mut attributes = Attributes(Vec::with_capacity(20));
        let name = if record.grpc {
            rpc::describe(record, &self.known_rpc, &mut attributes)
        } else {
            http::describe(record, &mut attributes)
        };
        network::describe(record, &mut attributes);
        route::captured(record, &mut attributes);
        own(record, &mut attributes);
        let error = Ended::of(record).error().filter(|_| !record.continued);
        let status = match error {
            Some(error) => {
                attributes.put("error.type", error.as_str());
                // What there is to say is in the attributes.
                Status::error("")
            }
            None => Status::Unset,
        };
        SpanData {
            span_context: context(
                record.trace_id,
                record.span_id,
                record.flags,
                record.tracestate.as_deref(),
                false,
            ),
            parent_span_id: record
                .parent
                .map_or(SpanId::INVALID, |parent| SpanId::from(parent.get())),
            parent_span_is_remote: record.parent.is_some(),
            span_kind: match record.direction {
                Direction::Ingress => SpanKind::Server,
                Direction::Egress => SpanKind::Client,
            },
            name,
            start_time: anchor.date(record.start),
            end_time: anchor.date(record.end.max(record.start)),
            attributes: attributes.0,
            dropped_attributes_count: 0,
            events: events(record, anchor),
            links: links(record),
            status,
            instrumentation_scope: self.scope.clone(),
        }
    }
}

/// A list of attributes under construction.
struct Attributes(Vec<KeyValue>);

impl Attributes {
    fn put(&mut self, key: &'static str, value: impl Into<Value>) {
        self.0.push(KeyValue::new(key, value));
    }

    fn put_some(&mut self, key: &'static str, value: Option<impl Into<Value>>) {
        if let Some(value) = value {
            self.put(key, value);
        }
    }
}

fn own(record: &Record, attributes: &mut Attributes) {
    attributes.put("tracegate.listener", Arc::clone(&record.listener));
    attributes.put_some("tracegate.kept", record.kept);
    if record.capped > 0 {
        attributes.put("tracegate.capped", i64::from(record.capped));
    }
    if record.segment > 0 {
        attributes.put("tracegate.segment", i64::from(record.segment));
    }
    if record.continued {
        attributes.put("tracegate.continued", true);
    }
    let count = |count: u64| i64::try_from(count).unwrap_or(i64::MAX);
    if record.grpc {
        attributes.put(
            "tracegate.rpc.request_messages",
            count(record.request_messages),
        );
        attributes.put(
            "tracegate.rpc.response_messages",
            count(record.response_messages),
        );
    }
    match record.outcome {
        Outcome::Cancelled => attributes.put("tracegate.cancelled", true),
        Outcome::Refused(fault) => attributes.put("tracegate.refused", fault.as_str()),
        Outcome::Done | Outcome::Upstream(_) => {}
    }
    if record.upgraded {
        attributes.put(
            "tracegate.tunnel.request_bytes",
            count(record.request_bytes),
        );
        attributes.put(
            "tracegate.tunnel.response_bytes",
            count(record.response_bytes),
        );
    }
}

fn context(
    trace: ids::TraceId,
    span: ids::SpanId,
    flags: ids::Flags,
    tracestate: Option<&str>,
    remote: bool,
) -> SpanContext {
    // What the library can't read it can't send either; ids and flags matter more.
    let state = tracestate.and_then(|state| state.parse::<TraceState>().ok());
    SpanContext::new(
        TraceId::from(trace.get()),
        SpanId::from(span.get()),
        TraceFlags::new(flags.bits()),
        remote,
        state.unwrap_or_default(),
    )
}

fn events(record: &Record, anchor: Anchor) -> SpanEvents {
    let mut events = SpanEvents::default();
    if !is_stream(record) {
        return events;
    }
    let event = |name, moment, attributes| Event::new(name, anchor.date(moment), attributes, 0);
    let headers = record
        .headers
        .map(|at| (at, event(HEADERS_EVENT, at, Vec::new())));
    let others = record.moments.iter().map(|(moment, at)| {
        let status = match moment {
            Moment::Informational(status) => Some(i64::from(status)),
            Moment::FirstByte | Moment::Trailers | Moment::RequestTrailers => None,
        };
        let status = status.map(|status| KeyValue::new("http.response.status_code", status));
        (at, event(moment.as_str(), at, status.into_iter().collect()))
    });
    let mut all: Vec<_> = headers.into_iter().chain(others).collect();
    all.sort_by_key(|(at, _)| *at);
    events.events = all.into_iter().map(|(_, event)| event).collect();
    events.dropped_count = record.moments.dropped();
    events
}

/// Whether there is more to see than a request and its answer.
fn is_stream(record: &Record) -> bool {
    let after = |headers| record.end.saturating_duration_since(headers);
    let lasting = record
        .headers
        .is_some_and(|headers| after(headers) >= LASTING);
    let several = record.request_messages > 1 || record.response_messages > 1;
    lasting || record.upgraded || several || record.segment > 0
}

fn links(record: &Record) -> SpanLinks {
    let mut links = SpanLinks::default();
    if let Some((trace, span, flags)) = record.link {
        // The segment before is of here.
        let old = context(trace, span, flags, None, record.segment < 2);
        links.links.push(Link::new(old, Vec::new(), 0));
    }
    links
}

#[cfg(test)]
mod tests;
