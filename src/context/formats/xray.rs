//! AWS X-Ray: `x-amzn-trace-id: Root=1-{8 digits}-{24 digits};Parent={16 digits};Sampled=1` (AWS
//! X-Ray, "Tracing header"). Further keys, as load balancers add them, mean nothing here.

use http::HeaderName;

use super::digits::{Text, hex, hex64};
use super::{Fields, Found, Malformed, Remote, only};
use crate::context::traceparent::TraceParent;

const TRACE_ID: HeaderName = HeaderName::from_static("x-amzn-trace-id");

pub(super) fn read(fields: &impl Fields) -> Result<Found, Malformed> {
    only(fields, &TRACE_ID)?.map_or(Ok(Found::Nothing), parse)
}

/// A trace without a parent is what load balancers start: there is no span to continue, so of it
/// only the decision counts, as of a decision alone.
fn parse(value: &[u8]) -> Result<Found, Malformed> {
    if value.is_empty() {
        return Err(Malformed::Shape);
    }
    let (mut root, mut parent, mut sampled) = (None, None, None);
    for pair in value.split(|byte| *byte == b';') {
        let pair = pair.trim_ascii();
        if pair.is_empty() {
            continue;
        }
        let equals = pair.iter().position(|byte| *byte == b'=');
        let (key, text) = pair.split_at(equals.ok_or(Malformed::Shape)?);
        let text = text.get(1..).unwrap_or_default();
        let known = match key {
            b"Root" => &mut root,
            b"Parent" => &mut parent,
            b"Sampled" => &mut sampled,
            _ => continue,
        };
        if known.replace(text).is_some() {
            return Err(Malformed::Several);
        }
    }
    let root = root.map(trace_id).transpose()?;
    let sampled = match sampled {
        None | Some(b"?") => None,
        Some(b"0") => Some(false),
        Some(b"1") => Some(true),
        Some(_) => return Err(Malformed::Sampling),
    };
    match (root, parent) {
        (Some(root), Some(parent)) => {
            let parent = Some(parent).filter(|digits| digits.len() == 16);
            let parent = parent.and_then(hex64).ok_or(Malformed::SpanId)?;
            Remote::new(root, parent, sampled).map(Found::Context)
        }
        (Some(0), None) => Err(Malformed::ZeroTraceId),
        (_, None) => Ok(sampled.map_or(Found::Nothing, Found::Decision)),
        (None, Some(_)) => Err(Malformed::Incomplete),
    }
}

/// `1-{8 digits of time}-{24 digits}`
fn trace_id(text: &[u8]) -> Result<u128, Malformed> {
    let rest = text.strip_prefix(b"1-").ok_or(Malformed::Version)?;
    let (time, rest) = rest.split_at_checked(8).ok_or(Malformed::TraceId)?;
    let unique = rest
        .strip_prefix(b"-")
        .filter(|digits| digits.len() == 24)
        .and_then(hex);
    match (hex(time), unique) {
        (Some(time), Some(unique)) => Ok(time << 96 | unique),
        _ => Err(Malformed::TraceId),
    }
}

pub(super) fn write(context: &TraceParent, put: &mut impl FnMut(HeaderName, &[u8])) {
    let trace_id = context.trace_id.get();
    let (time, unique) = (trace_id >> 96, trace_id & (u128::MAX >> 32));
    let (parent, sampled) = (context.parent_id, u8::from(context.flags.sampled()));
    let value = Text::of(format_args!(
        "Root=1-{time:08x}-{unique:024x};Parent={parent};Sampled={sampled}"
    ));
    put(TRACE_ID, value.as_bytes());
}
