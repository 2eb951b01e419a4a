//! Datadog: decimal ids of 64 bits, the upper half of a longer trace id in `x-datadog-tags`, and a
//! priority whose sign is the decision (Datadog, "Trace Context Propagation").

use http::HeaderName;

use super::digits::{Text, decimal, hex64};
use super::{Fields, Found, Malformed, Remote, only};
use crate::context::traceparent::TraceParent;

const TRACE_ID: HeaderName = HeaderName::from_static("x-datadog-trace-id");
const PARENT_ID: HeaderName = HeaderName::from_static("x-datadog-parent-id");
const PRIORITY: HeaderName = HeaderName::from_static("x-datadog-sampling-priority");
const TAGS: HeaderName = HeaderName::from_static("x-datadog-tags");
/// The tag with the upper 64 bits of the trace id, 16 digits.
const UPPER: &[u8] = b"_dd.p.tid";

pub(super) fn read(fields: &impl Fields) -> Result<Found, Malformed> {
    let sampled = only(fields, &PRIORITY)?.map(priority).transpose()?;
    let upper = only(fields, &TAGS)?.map_or(Ok(0), upper)?;
    match (only(fields, &TRACE_ID)?, only(fields, &PARENT_ID)?) {
        (Some(trace), Some(parent)) => {
            let lower = decimal(trace).ok_or(Malformed::TraceId)?;
            // Its readers know a trace by the lower half: without one there is none.
            if lower == 0 {
                return Err(Malformed::ZeroTraceId);
            }
            let parent = decimal(parent).ok_or(Malformed::SpanId)?;
            let trace_id = u128::from(upper) << 64 | u128::from(lower);
            Remote::new(trace_id, parent, sampled).map(Found::Context)
        }
        // A priority decides about a trace; without one it decides nothing.
        (None, None) => Ok(Found::Nothing),
        _ => Err(Malformed::Incomplete),
    }
}

fn priority(value: &[u8]) -> Result<bool, Malformed> {
    match value {
        b"-1" | b"0" => Ok(false),
        b"1" | b"2" => Ok(true),
        _ => Err(Malformed::Sampling),
    }
}

/// The upper half of the trace id among `key=value,key=value`; zero if it isn't there.
fn upper(tags: &[u8]) -> Result<u64, Malformed> {
    let mut found = None;
    for tag in tags.split(|byte| *byte == b',') {
        let Some(digits) = tag
            .trim_ascii()
            .strip_prefix(UPPER)
            .and_then(|rest| rest.strip_prefix(b"="))
        else {
            continue;
        };
        let half = Some(digits).filter(|digits| digits.len() == 16);
        let half = half.and_then(hex64).ok_or(Malformed::TraceId)?;
        if found.replace(half).is_some() {
            return Err(Malformed::Several);
        }
    }
    Ok(found.unwrap_or(0))
}

/// Nothing for a trace id whose lower half is zero: no reader of the format could follow it.
pub(super) fn write(context: &TraceParent, put: &mut impl FnMut(HeaderName, &[u8])) {
    let trace_id = context.trace_id.get();
    let (upper, lower) = ((trace_id >> 64) as u64, trace_id as u64);
    if lower == 0 {
        return;
    }
    put(TRACE_ID, Text::of(format_args!("{lower}")).as_bytes());
    let parent = context.parent_id.get();
    put(PARENT_ID, Text::of(format_args!("{parent}")).as_bytes());
    put(PRIORITY, if context.flags.sampled() { b"1" } else { b"0" });
    if upper != 0 {
        let value = Text::of(format_args!("_dd.p.tid={upper:016x}"));
        put(TAGS, value.as_bytes());
    }
}
