//! Which formats are read and written: `propagation.extract` and `propagation.inject`, resolved
//! once, so that a request costs a walk over a few bytes.

use super::formats::Format;
use super::untrusted::{self, Family};

/// The formats of one direction, in the configured order, each once.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Formats {
    items: [Format; Format::ALL.len()],
    len: usize,
}

impl Formats {
    fn new(formats: &[Format]) -> Self {
        let mut list = Self {
            items: Format::ALL,
            len: 0,
        };
        for format in formats {
            if !list.as_slice().contains(format)
                && let Some(place) = list.items.get_mut(list.len)
            {
                *place = *format;
                list.len += 1;
            }
        }
        list
    }

    fn as_slice(&self) -> &[Format] {
        self.items.get(..self.len).unwrap_or_default()
    }
}

/// What is read of callers and what leaves.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Propagation {
    extract: Formats,
    inject: Formats,
    /// A bit for every [`Family`] of which no caller's field goes on.
    ended: u16,
}

impl Propagation {
    /// Formats to read, tried in this order, and formats to write. Repetitions are ignored.
    pub fn new(extract: &[Format], inject: &[Format]) -> Self {
        let (extract, inject) = (Formats::new(extract), Formats::new(inject));
        let both = extract.as_slice().iter().chain(inject.as_slice());
        let ended = both.fold(
            bit(Family::TraceContext) | bit(Family::Baggage),
            |bits, format| bits | bit(format.family()),
        );
        let mut made = Self {
            extract,
            inject,
            ended,
        };
        if made.extracts(Format::Baggage) && made.injects(Format::Baggage) {
            made.ended &= !bit(Family::Baggage);
        }
        made
    }

    /// Formats to read, in order.
    pub fn extract(&self) -> &[Format] {
        self.extract.as_slice()
    }

    /// Formats to write, in order.
    pub fn inject(&self) -> &[Format] {
        self.inject.as_slice()
    }

    /// Whether a format is read.
    pub fn extracts(&self, format: Format) -> bool {
        self.extract().contains(&format)
    }

    /// Whether a format is written.
    pub fn injects(&self, format: Format) -> bool {
        self.inject().contains(&format)
    }

    /// Whether a fully trusted caller's field of this (lower-cased) name goes on as it came.
    ///
    /// What is read ends here, and what is written is replaced, with every field that could
    /// contradict it: of B3 all spellings go if one is configured. `traceparent` and `tracestate`
    /// never pass by themselves, baggage only if it is both read and written, and neither under
    /// another spelling: a server that folds names would read a second, different one.
    pub fn passes(&self, name: &str) -> bool {
        match untrusted::family(name) {
            None | Some(Family::Unspoken) => true,
            Some(Family::Baggage) if name != "baggage" => false,
            Some(family) => self.ended & bit(family) == 0,
        }
    }
}

impl Default for Propagation {
    fn default() -> Self {
        const W3C: [Format; 2] = [Format::TraceContext, Format::Baggage];
        Self::new(&W3C, &W3C)
    }
}

const fn bit(family: Family) -> u16 {
    1 << family as u16
}

#[cfg(test)]
mod tests {
    use super::Format::{B3, B3Multi, Baggage, Jaeger, TraceContext};
    use super::*;

    #[test]
    fn lists_keep_their_order_and_no_repetition() {
        let made = Propagation::new(&[B3, TraceContext, B3], &[]);
        assert_eq!(made.extract(), [B3, TraceContext]);
        assert_eq!(made.inject(), []);
        assert!(made.extracts(B3) && !made.extracts(B3Multi) && !made.injects(B3));
        let all = Propagation::new(&Format::ALL, &Format::ALL);
        assert_eq!(all.extract(), Format::ALL);
    }

    #[test]
    #[rustfmt::skip]
    fn a_trusted_field_passes_unless_its_format_is_configured() {
        let w3c: &[Format] = &[TraceContext, Baggage];
        let rows: [(&[Format], &[Format], &str, bool, &str); 18] = [
            (w3c, w3c, "accept", true, "no context"),
            (w3c, w3c, "b3", true, "not configured"),
            (w3c, w3c, "sentry-trace", true, "never spoken"),
            (w3c, w3c, "traceparent", false, "replaced"),
            (w3c, w3c, "trace-parent", false, "would be read as a second one"),
            (w3c, w3c, "baggage", true, "read and written"),
            (w3c, w3c, "bag_gage", false, "would be read as a second one"),
            (&[TraceContext], w3c, "baggage", false, "not read: there is none to write"),
            (w3c, &[TraceContext], "baggage", false, "not written"),
            (&[], &[], "baggage", false, "neither"),
            (&[], &[], "traceparent", false, "neither: it would name an outdated parent"),
            (&[B3], w3c, "b3", false, "read, so it ends here"),
            (w3c, &[B3], "b3", false, "replaced"),
            (w3c, &[B3], "x-b3-sampled", false, "the same truth in other fields"),
            (&[B3Multi], w3c, "x_b3_traceid", false, "another spelling"),
            (&[B3], w3c, "uber-trace-id", true, "another format, not configured"),
            (w3c, &[Jaeger], "jaeger-debug-id", false, "would overrule the flags"),
            (w3c, &[Jaeger], "uberctx-user", true, "baggage contradicts no context"),
        ];
        for (extract, inject, name, expected, reason) in rows {
            let made = Propagation::new(extract, inject);
            assert_eq!(made.passes(name), expected, "{name}: {reason}");
        }
    }
}
