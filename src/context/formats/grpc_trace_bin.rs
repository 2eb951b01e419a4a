//! `grpc-trace-bin`: OpenCensus' binary encoding of a trace context, version 0, as base64 (padded
//! or not: gRPC over HTTP/2, "Binary-Header").

use base64::Engine as _;
use base64::alphabet;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use http::HeaderName;

use super::{Fields, Found, Malformed, Remote, only};
use crate::context::traceparent::TraceParent;

const TRACE_BIN: HeaderName = HeaderName::from_static("grpc-trace-bin");

/// Version, then three fields: 1 + 17 + 9 + 2 bytes.
const LEN: usize = 29;
/// The most that is decoded: room for fields that don't exist yet.
const MOST: usize = 96;

const BASE64: GeneralPurpose = GeneralPurpose::new(
    &alphabet::STANDARD,
    GeneralPurposeConfig::new()
        .with_encode_padding(false)
        .with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

pub(super) fn read(fields: &impl Fields) -> Result<Found, Malformed> {
    let Some(value) = only(fields, &TRACE_BIN)? else {
        return Ok(Found::Nothing);
    };
    let mut bytes = [0; MOST];
    let len = BASE64
        .decode_slice(value, &mut bytes)
        .map_err(|_| Malformed::Base64)?;
    parse(bytes.get(..len).unwrap_or_default())
}

/// Fields of the version may come in any order, each once; what stands behind the first unknown
/// one is of a later version and ignored.
fn parse(bytes: &[u8]) -> Result<Found, Malformed> {
    let [0, rest @ ..] = bytes else {
        return Err(Malformed::Version);
    };
    let (mut trace_id, mut span_id, mut options) = (None, None, None);
    let mut rest = rest;
    while let [id @ 0..=2, field @ ..] = rest {
        rest = match id {
            0 => take(field, &mut trace_id)?,
            1 => take(field, &mut span_id)?,
            _ => take(field, &mut options)?,
        };
    }
    let (Some(trace_id), Some(span_id)) = (trace_id, span_id) else {
        return Err(Malformed::Incomplete);
    };
    Remote::new(
        u128::from_be_bytes(trace_id),
        u64::from_be_bytes(span_id),
        options.map(|[options]: [u8; 1]| options & 1 != 0),
    )
    .map(Found::Context)
}

/// Takes a field's bytes off; the rest is handed back.
fn take<'a, const N: usize>(
    field: &'a [u8],
    into: &mut Option<[u8; N]>,
) -> Result<&'a [u8], Malformed> {
    let (bytes, rest) = field.split_first_chunk().ok_or(Malformed::Shape)?;
    match into.replace(*bytes) {
        None => Ok(rest),
        Some(_) => Err(Malformed::Several),
    }
}

pub(super) fn write(context: &TraceParent, put: &mut impl FnMut(HeaderName, &[u8])) {
    let mut bytes = [0; LEN];
    // Version 0 and the id of the first field are zeros already.
    bytes[2..18].copy_from_slice(&context.trace_id.get().to_be_bytes());
    bytes[18] = 1;
    bytes[19..27].copy_from_slice(&context.parent_id.get().to_be_bytes());
    bytes[27] = 2;
    bytes[28] = u8::from(context.flags.sampled());
    let mut text = [0; LEN.div_ceil(3) * 4];
    // The room is the encoding's with padding, so it can't be too small.
    if let Ok(len) = BASE64.encode_slice(bytes, &mut text) {
        put(TRACE_BIN, text.get(..len).unwrap_or_default());
    }
}
