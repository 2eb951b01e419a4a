//! The formats context is spoken in: what each is called, which fields it has, and how it is read
//! and written. One file per format; W3C's own are `traceparent` and `tracestate`.
//!
//! All of them are read strictly and from single fields: a value that isn't well-formed, or a
//! field that came twice, makes the format [`Malformed`], for whichever reading we picked, the
//! component might pick the other.

mod b3;
mod datadog;
mod digits;
mod grpc_trace_bin;
mod jaeger;
#[cfg(test)]
pub(super) mod testing;
mod xray;

use std::fmt;

use http::HeaderName;

use super::ids::{SpanId, TraceId};
use super::traceparent::TraceParent;
use super::untrusted::Family;

/// A format of `propagation.extract` and `propagation.inject`.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Hash)]
pub enum Format {
    /// W3C Trace Context: `traceparent` and `tracestate`.
    TraceContext,
    /// W3C Baggage: no context, it only goes along.
    Baggage,
    /// B3 in a single field.
    B3,
    /// B3 in a field for each part.
    B3Multi,
    /// Jaeger: `uber-trace-id`.
    Jaeger,
    /// AWS X-Ray: `x-amzn-trace-id`.
    XRay,
    /// Datadog: `x-datadog-trace-id` and others.
    Datadog,
    /// OpenCensus' binary format over gRPC.
    GrpcTraceBin,
}

impl Format {
    /// Every format.
    pub const ALL: [Self; 8] = [
        Self::TraceContext,
        Self::Baggage,
        Self::B3,
        Self::B3Multi,
        Self::Jaeger,
        Self::XRay,
        Self::Datadog,
        Self::GrpcTraceBin,
    ];

    /// Its name in the configuration; where OpenTelemetry has one (`OTEL_PROPAGATORS`), the same.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::TraceContext => "tracecontext",
            Self::Baggage => "baggage",
            Self::B3 => "b3",
            Self::B3Multi => "b3multi",
            Self::Jaeger => "jaeger",
            Self::XRay => "xray",
            Self::Datadog => "datadog",
            Self::GrpcTraceBin => "grpc-trace-bin",
        }
    }

    /// The fields that would contradict it; see the list in `untrusted`.
    pub const fn family(self) -> Family {
        match self {
            Self::TraceContext => Family::TraceContext,
            Self::Baggage => Family::Baggage,
            Self::B3 | Self::B3Multi => Family::B3,
            Self::Jaeger => Family::Jaeger,
            Self::XRay => Family::XRay,
            Self::Datadog => Family::Datadog,
            Self::GrpcTraceBin => Family::GrpcTraceBin,
        }
    }

    /// What the fields say in this format. Nothing for W3C's, which have readers of their own.
    ///
    /// # Errors
    /// If a field came more than once or isn't well-formed.
    pub(super) fn read(self, fields: &impl Fields) -> Result<Found, Malformed> {
        match self {
            Self::TraceContext | Self::Baggage => Ok(Found::Nothing),
            Self::B3 => b3::read_single(fields),
            Self::B3Multi => b3::read_multi(fields),
            Self::Jaeger => jaeger::read(fields),
            Self::XRay => xray::read(fields),
            Self::Datadog => datadog::read(fields),
            Self::GrpcTraceBin => grpc_trace_bin::read(fields),
        }
    }

    /// Writes a context in this format: `put` gets every field there is to set. Doesn't allocate.
    ///
    /// `tracestate` isn't among them: what it says is decided with the sampling.
    pub fn write(self, context: &TraceParent, put: &mut impl FnMut(HeaderName, &[u8])) {
        const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");
        match self {
            Self::TraceContext => put(TRACEPARENT, &context.format()),
            Self::Baggage => {}
            Self::B3 => b3::write_single(context, put),
            Self::B3Multi => b3::write_multi(context, put),
            Self::Jaeger => jaeger::write(context, put),
            Self::XRay => xray::write(context, put),
            Self::Datadog => datadog::write(context, put),
            Self::GrpcTraceBin => grpc_trace_bin::write(context, put),
        }
    }
}

/// The fields of a request, as the formats read them.
pub trait Fields {
    /// Values of all lines of a field, in the order they were received. Other spellings that
    /// servers fold into the name don't count.
    fn lines<'a>(&'a self, name: &HeaderName) -> impl Iterator<Item = &'a [u8]>;
}

/// The only line of a field, if there is one.
fn only<'a>(fields: &'a impl Fields, name: &HeaderName) -> Result<Option<&'a [u8]>, Malformed> {
    let mut lines = fields.lines(name);
    let first = lines.next();
    if first.is_some() && lines.next().is_some() {
        return Err(Malformed::Several);
    }
    Ok(first)
}

/// What a format said.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Found {
    /// Nothing that could be continued or respected.
    Nothing,
    /// No ids, but whether the trace that starts here is to be sampled.
    Decision(bool),
    /// A context.
    Context(Remote),
}

/// A context of a format that isn't W3C's: it has neither a random flag nor a `tracestate`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Remote {
    /// The trace; one of 64 bits has zeros in front.
    pub trace_id: TraceId,
    /// The caller's span.
    pub span_id: SpanId,
    /// The caller's decision; `None` leaves it to whoever reads.
    pub sampled: Option<bool>,
}

impl Remote {
    fn new(trace_id: u128, span_id: u64, sampled: Option<bool>) -> Result<Self, Malformed> {
        Ok(Self {
            trace_id: TraceId::new(trace_id).ok_or(Malformed::ZeroTraceId)?,
            span_id: SpanId::new(span_id).ok_or(Malformed::ZeroSpanId)?,
            sampled,
        })
    }
}

/// Why a format can't be read. The caller is at fault; the trace restarts.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Hash)]
pub enum Malformed {
    /// More than one field of a name, or of a key; none is picked.
    Several,
    /// Parts are missing, or there are more than the format has.
    Shape,
    /// One of the ids came without the other.
    Incomplete,
    /// The trace id isn't written as the format asks.
    TraceId,
    /// The span (parent) id isn't written as the format asks.
    SpanId,
    /// A trace id of zeros.
    ZeroTraceId,
    /// A span (parent) id of zeros.
    ZeroSpanId,
    /// A sampling decision the format doesn't have.
    Sampling,
    /// Not base64.
    Base64,
    /// A version nobody knows.
    Version,
}

impl Malformed {
    /// What was expected, in words.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Several => "expected one field, more came",
            Self::Shape => "expected the parts the format has",
            Self::Incomplete => "expected a trace id and a span id, one of them came",
            Self::TraceId => "expected the trace id in the format's digits",
            Self::SpanId => "expected the span id in the format's digits",
            Self::ZeroTraceId => "the trace id is zero",
            Self::ZeroSpanId => "the span id is zero",
            Self::Sampling => "expected a sampling decision the format has",
            Self::Base64 => "expected base64",
            Self::Version => "expected a version that is known",
        }
    }
}

impl fmt::Display for Malformed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl std::error::Error for Malformed {}

#[cfg(test)]
mod tests;
