//! Jaeger: `uber-trace-id: {trace-id}:{span-id}:{parent-span-id}:{flags}` (Jaeger's client
//! libraries, "Propagation Format").

use http::HeaderName;

use super::digits::{Text, hex, hex64};
use super::{Fields, Found, Malformed, Remote, only};
use crate::context::traceparent::TraceParent;

const TRACE_ID: HeaderName = HeaderName::from_static("uber-trace-id");

/// `sampled` and `debug`; debug forces a trace, so it counts as sampled.
const SAMPLED: u128 = 0x01 | 0x02;

pub(super) fn read(fields: &impl Fields) -> Result<Found, Malformed> {
    only(fields, &TRACE_ID)?.map_or(Ok(Found::Nothing), parse)
}

/// Numbers may come without their leading zeros; the parent's is of no use and often `0`.
fn parse(value: &[u8]) -> Result<Found, Malformed> {
    let (trace_id, rest) = part(value).ok_or(Malformed::Shape)?;
    let (span_id, rest) = part(rest).ok_or(Malformed::Shape)?;
    let (parent, flags) = part(rest).ok_or(Malformed::Shape)?;
    hex64(parent).ok_or(Malformed::SpanId)?;
    if flags.len() > 2 {
        return Err(Malformed::Sampling);
    }
    let flags = hex(flags).ok_or(Malformed::Sampling)?;
    Remote::new(
        hex(trace_id).ok_or(Malformed::TraceId)?,
        hex64(span_id).ok_or(Malformed::SpanId)?,
        Some(flags & SAMPLED != 0),
    )
    .map(Found::Context)
}

/// What stands before the next colon, and what behind it. Some clients encode it as in URLs.
fn part(text: &[u8]) -> Option<(&[u8], &[u8])> {
    let at = text.iter().position(|byte| matches!(byte, b':' | b'%'))?;
    let (before, rest) = text.split_at(at);
    let behind = match rest {
        [b':', behind @ ..] | [b'%', b'3', b'A' | b'a', behind @ ..] => behind,
        _ => return None,
    };
    Some((before, behind))
}

pub(super) fn write(context: &TraceParent, put: &mut impl FnMut(HeaderName, &[u8])) {
    let (trace_id, span_id) = (context.trace_id, context.parent_id);
    let flags = u8::from(context.flags.sampled());
    let value = Text::of(format_args!("{trace_id}:{span_id}:0:{flags}"));
    put(TRACE_ID, value.as_bytes());
}
