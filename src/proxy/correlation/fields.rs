//! The fields of a request by which it is put down and found.

use http::HeaderName;

use super::held::{Correlation, Held};
use super::{Found, Handed, State};
use crate::context::ot::Ot;
use crate::context::traceparent::TraceParent;
use crate::context::tracestate::{MAX_LEN, Outgoing, TraceState};
use crate::proxy::head::Head;

/// The most fields of `propagation.correlateBy`.
pub const MOST_FIELDS: usize = 4;

/// The longest value that counts, in bytes.
pub const LONGEST_VALUE: usize = 256;

/// Puts an ingress request down under every listed field it carries, for the component may copy
/// any of them; says whether there was a place for all.
///
/// `context` is what is handed on. A request that hands none on is put down all the same: what it
/// asks of others must not be taken for somebody else's.
pub fn enter(
    correlation: &Correlation,
    held: &mut Option<Held>,
    fields: &[HeaderName],
    headers: &impl Head,
    context: Option<TraceParent>,
    state: &Outgoing,
) -> bool {
    let mut kept = true;
    let mut put = |name: &HeaderName, value: &[u8], found: Found| {
        kept &= !counts(value) || correlation.hold(held, name, value, found);
    };
    let mut found = None;
    for name in fields {
        let mut lines = headers.lines(name);
        match (lines.next(), lines.next()) {
            (None, _) => {}
            (Some(value), None) => {
                let found = found.get_or_insert_with(|| handed(headers, context, state));
                put(name, value, found.clone());
            }
            // Nobody knows which of them a component reads, so none finds anything.
            (Some(_), Some(_)) => headers
                .lines(name)
                .for_each(|value| put(name, value, Found::Ambiguous)),
        }
    }
    kept
}

/// What an egress request without a context is found under: by the first of its listed fields
/// that is known. `None`: it carries none of them.
///
/// One that is known but ambiguous decides, too.
pub fn find(
    correlation: &Correlation,
    fields: &[HeaderName],
    headers: &impl Head,
) -> Option<Found> {
    let mut asked = None;
    for name in fields {
        let Some(value) = single(name, headers) else {
            continue;
        };
        match correlation.find(name, value) {
            Found::Nothing => asked = Some(Found::Nothing),
            known => return Some(known),
        }
    }
    asked
}

/// The value by which a request is found: of a field that came once.
pub fn single<'a>(name: &HeaderName, headers: &'a impl Head) -> Option<&'a [u8]> {
    let mut lines = headers.lines(name);
    match (lines.next(), lines.next()) {
        (Some(value), None) => Some(value).filter(|value| counts(value)),
        _ => None,
    }
}

/// Whether a value says anything, and isn't longer than an identifier ever is.
fn counts(value: &[u8]) -> bool {
    (1..=LONGEST_VALUE).contains(&value.len())
}

fn handed(headers: &impl Head, context: Option<TraceParent>, state: &Outgoing) -> Found {
    let Some(context) = context else {
        return Found::Nothing;
    };
    let state = match state {
        Outgoing::Remove => State::Absent,
        Outgoing::Ours(text) => State::Ours(*text),
        Outgoing::Combined(text) => State::of(text),
        Outgoing::Keep => kept(headers),
    };
    Found::One(Handed { context, state })
}

/// A `tracestate` that goes on as it came. Most requests have none.
fn kept(headers: &impl Head) -> State {
    let name = HeaderName::from_static("tracestate");
    let mut lines = headers.lines(&name).peekable();
    if lines.peek().is_none() {
        return State::Absent;
    }
    let lines: Vec<&[u8]> = lines.collect();
    let text = lines.join(&b","[..]);
    std::str::from_utf8(&text).map_or(State::Absent, State::of)
}

impl State {
    /// What is kept per request is bounded: of a list longer than must be passed on (W3C Trace
    /// Context, section 3.3.1.5) OpenTelemetry's member alone.
    fn of(text: &str) -> Self {
        if text.len() <= MAX_LEN {
            return Self::Text(text.into());
        }
        let ot = TraceState::parse([text.as_bytes()]).map_or(Ot::NONE, |state| state.ot());
        if ot.is_empty() {
            Self::Absent
        } else {
            Self::Ours(ot.text())
        }
    }
}

#[cfg(test)]
mod tests;
