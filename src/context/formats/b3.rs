//! B3, single and multiple headers (the `b3-propagation` specification of OpenZipkin).
//!
//! A sampling state without ids starts a trace that follows it; ids without a sampling state leave
//! the decision to whoever reads. Debug counts as accept, and isn't handed on as debug.

use http::HeaderName;

use super::digits::{Text, hex, hex64};
use super::{Fields, Found, Malformed, Remote, only};
use crate::context::traceparent::TraceParent;

const SINGLE: HeaderName = HeaderName::from_static("b3");
const TRACE_ID: HeaderName = HeaderName::from_static("x-b3-traceid");
const SPAN_ID: HeaderName = HeaderName::from_static("x-b3-spanid");
const PARENT_SPAN_ID: HeaderName = HeaderName::from_static("x-b3-parentspanid");
const SAMPLED: HeaderName = HeaderName::from_static("x-b3-sampled");
const FLAGS: HeaderName = HeaderName::from_static("x-b3-flags");

/// `{TraceId}-{SpanId}[-{SamplingState}[-{ParentSpanId}]]`, or the sampling state alone.
pub(super) fn read_single(fields: &impl Fields) -> Result<Found, Malformed> {
    only(fields, &SINGLE)?.map_or(Ok(Found::Nothing), parse_single)
}

fn parse_single(value: &[u8]) -> Result<Found, Malformed> {
    let mut parts = value.split(|byte| *byte == b'-');
    let first = parts.next().unwrap_or_default();
    let Some(span_id) = parts.next() else {
        return state(first).map(Found::Decision);
    };
    let sampled = parts.next().map(state).transpose()?;
    if let Some(parent) = parts.next() {
        self::span_id(parent)?;
    }
    if parts.next().is_some() {
        return Err(Malformed::Shape);
    }
    Remote::new(trace_id(first)?, self::span_id(span_id)?, sampled).map(Found::Context)
}

/// A field per part; a sampling state may come alone.
pub(super) fn read_multi(fields: &impl Fields) -> Result<Found, Malformed> {
    let parent = only(fields, &PARENT_SPAN_ID)?;
    // Other values than 1 mean nothing, by the specification.
    let debug = only(fields, &FLAGS)? == Some(b"1");
    let sampled = only(fields, &SAMPLED)?.map(lenient_state).transpose()?;
    let sampled = if debug { Some(true) } else { sampled };
    if let Some(parent) = parent {
        span_id(parent)?;
    }
    match (only(fields, &TRACE_ID)?, only(fields, &SPAN_ID)?) {
        (Some(trace), Some(span)) => {
            Remote::new(trace_id(trace)?, span_id(span)?, sampled).map(Found::Context)
        }
        (None, None) if parent.is_none() => Ok(sampled.map_or(Found::Nothing, Found::Decision)),
        _ => Err(Malformed::Incomplete),
    }
}

fn trace_id(digits: &[u8]) -> Result<u128, Malformed> {
    Some(digits)
        .filter(|digits| matches!(digits.len(), 16 | 32))
        .and_then(hex)
        .ok_or(Malformed::TraceId)
}

fn span_id(digits: &[u8]) -> Result<u64, Malformed> {
    Some(digits)
        .filter(|digits| digits.len() == 16)
        .and_then(hex64)
        .ok_or(Malformed::SpanId)
}

fn state(value: &[u8]) -> Result<bool, Malformed> {
    match value {
        b"0" => Ok(false),
        b"1" | b"d" => Ok(true),
        _ => Err(Malformed::Sampling),
    }
}

/// With the words that were in use before the specification.
fn lenient_state(value: &[u8]) -> Result<bool, Malformed> {
    match value {
        b"0" | b"false" => Ok(false),
        b"1" | b"true" => Ok(true),
        _ => Err(Malformed::Sampling),
    }
}

pub(super) fn write_single(context: &TraceParent, put: &mut impl FnMut(HeaderName, &[u8])) {
    let (trace_id, span_id) = (context.trace_id, context.parent_id);
    let sampled = u8::from(context.flags.sampled());
    let value = Text::of(format_args!("{trace_id}-{span_id}-{sampled}"));
    put(SINGLE, value.as_bytes());
}

pub(super) fn write_multi(context: &TraceParent, put: &mut impl FnMut(HeaderName, &[u8])) {
    put(
        TRACE_ID,
        Text::of(format_args!("{}", context.trace_id)).as_bytes(),
    );
    put(
        SPAN_ID,
        Text::of(format_args!("{}", context.parent_id)).as_bytes(),
    );
    put(SAMPLED, if context.flags.sampled() { b"1" } else { b"0" });
}
