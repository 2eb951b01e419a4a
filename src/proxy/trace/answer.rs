//! What an answer says of the trace, and to whom.

use http::{HeaderName, HeaderValue};

use super::Traced;
use crate::context::trust::Trust;
use crate::context::untrusted;
use crate::proxy::head::{self, Head};

/// The upstream's own trace headers don't reach callers that aren't fully trusted: they would tell
/// one whose luck is decided here whether it had any.
pub fn answered(traced: &Traced, headers: &mut impl Head) {
    const TRACERESPONSE: HeaderName = HeaderName::from_static("traceresponse");
    const SERVER_TIMING: HeaderName = HeaderName::from_static("server-timing");
    if let Some(told) = &traced.told {
        told.strip(headers);
    }
    if traced.trust == Trust::Full {
        return;
    }
    let mut timed = false;
    headers.remove_if(|name| {
        timed |= name == SERVER_TIMING;
        name == TRACERESPONSE
    });
    if timed {
        strip_trace_timing(headers, &SERVER_TIMING);
    }
}

/// The same for the answer's trailers.
pub fn trailed(traced: &Traced, trailers: &mut impl Head) {
    if traced.strip_trailers {
        trailers.remove_if(untrusted::is_context);
    }
    answered(traced, trailers);
}

fn strip_trace_timing(headers: &mut impl Head, name: &HeaderName) {
    let kept: Vec<HeaderValue> = headers
        .lines(name)
        .filter_map(|value| {
            let members: Vec<&[u8]> = head::members(value)
                .filter(|member| !is_trace_metric(member))
                .collect();
            (!members.is_empty())
                .then(|| HeaderValue::from_bytes(&members.join(&b", "[..])))?
                .ok()
        })
        .collect();
    headers.remove(name);
    for value in kept {
        headers.add(name.clone(), value);
    }
}

fn is_trace_metric(member: &[u8]) -> bool {
    let metric = member.split(|b| *b == b';').next().unwrap_or(member);
    metric.trim_ascii().eq_ignore_ascii_case(b"trace")
}
