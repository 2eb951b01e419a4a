//! From header fields to an inbound context.

use super::formats::{Fields, Format, Found, Malformed};
use super::ids::Flags;
use super::traceparent::{self, TraceParent};
use http::HeaderName;

const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");

/// What the context of a request amounts to, over all formats that are read.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Inbound {
    /// None: a root.
    Absent,
    /// No ids, but a decision about the trace that starts here (B3, "Sampling State").
    Decision(bool),
    /// A context that can't be continued; the trace restarts.
    Invalid(Invalid),
    /// A well-formed context.
    Valid(Context),
}

/// A well-formed context as it came.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Context {
    /// The trace, the caller's span and its flags. Random only where the format can say so.
    pub parent: TraceParent,
    /// The caller left the sampling decision to us; the flags don't say one then.
    pub deferred: bool,
    /// The format it was read from: `tracestate` belongs to W3C's alone.
    pub format: Format,
}

/// Why a context can't be continued. The caller is at fault.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Invalid {
    /// By the rules of `traceparent`.
    TraceParent(traceparent::Invalid),
    /// By the rules of another format.
    Other(Format, Malformed),
}

impl Inbound {
    /// Reads the fields of one request in these formats.
    ///
    /// The first format that has a context wins; one that has a decision alone counts only where
    /// none has a context. But if *any* of them is malformed or has a field twice, nothing of any
    /// is picked: an honest caller sends none such, and whoever else reads the request might
    /// follow the other one.
    pub fn read(fields: &impl Fields, formats: &[Format]) -> Self {
        let mut inbound = Self::Absent;
        for format in formats {
            let said = Self::said(fields, *format);
            match (&said, &inbound) {
                (Self::Invalid(_), _) => return said,
                (Self::Valid(_), Self::Absent | Self::Decision(_))
                | (Self::Decision(_), Self::Absent) => inbound = said,
                _ => {}
            }
        }
        inbound
    }

    /// What one format says.
    #[inline]
    fn said(fields: &impl Fields, format: Format) -> Self {
        let found = match format {
            Format::TraceContext => return Self::traceparent(fields.lines(&TRACEPARENT)),
            Format::Baggage => return Self::Absent,
            _ => format.read(fields),
        };
        match found {
            Err(reason) => Self::Invalid(Invalid::Other(format, reason)),
            Ok(Found::Nothing) => Self::Absent,
            Ok(Found::Decision(sampled)) => Self::Decision(sampled),
            Ok(Found::Context(remote)) => Self::Valid(Context {
                parent: TraceParent {
                    trace_id: remote.trace_id,
                    parent_id: remote.span_id,
                    flags: Flags::default().with_sampled(remote.sampled == Some(true)),
                },
                deferred: remote.sampled.is_none(),
                format,
            }),
        }
    }

    /// Reads the values of all `traceparent` fields.
    ///
    /// More than one is invalid, even if all say the same: an honest caller sends one, and
    /// whichever we picked, the component might pick the other.
    fn traceparent<'a>(values: impl IntoIterator<Item = &'a [u8]>) -> Self {
        let mut values = values.into_iter();
        let Some(value) = values.next() else {
            return Self::Absent;
        };
        let parsed = match values.next() {
            Some(_) => Err(traceparent::Invalid::Multiple),
            None => TraceParent::parse(value),
        };
        match parsed {
            Ok(parent) => Self::Valid(Context {
                parent,
                deferred: false,
                format: Format::TraceContext,
            }),
            Err(reason) => Self::Invalid(Invalid::TraceParent(reason)),
        }
    }

    /// The context, if there is a well-formed one.
    pub fn valid(self) -> Option<Context> {
        match self {
            Self::Valid(context) => Some(context),
            Self::Absent | Self::Decision(_) | Self::Invalid(_) => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Format::{B3, B3Multi, Baggage, Datadog, Jaeger, TraceContext, XRay};
    use super::*;
    use crate::context::formats::testing::Lines;

    const ONE: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
    const OTHER: &str = "00-1af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
    const B3_ONE: &str = "463ac35c9f6413ad48485a3953bb6124-a2fb4a1d1a96d312-0";

    fn read(lines: &[(&str, &str)], formats: &[Format]) -> Inbound {
        Inbound::read(&Lines::new(lines), formats)
    }

    fn traceparents(values: &[&str]) -> Inbound {
        let lines: Vec<_> = values.iter().map(|value| ("traceparent", *value)).collect();
        read(&lines, &[TraceContext, Baggage])
    }

    #[test]
    fn no_field_is_a_root() {
        assert_eq!(traceparents(&[]), Inbound::Absent);
    }

    #[test]
    fn one_field_is_the_context() {
        let parent = TraceParent::parse(ONE.as_bytes()).unwrap();
        let context = traceparents(&[ONE]).valid().unwrap();
        assert_eq!(context.parent, parent);
        assert_eq!((context.deferred, context.format), (false, TraceContext));
    }

    #[test]
    fn of_several_fields_none_is_picked() {
        for values in [[ONE, OTHER], [ONE, ONE], [ONE, ""], ["", ONE]] {
            let inbound = traceparents(&values);
            let reason = Invalid::TraceParent(traceparent::Invalid::Multiple);
            assert_eq!(inbound, Inbound::Invalid(reason), "{values:?}");
            assert_eq!(inbound.valid(), None);
        }
    }

    #[test]
    fn an_empty_field_is_invalid_not_absent() {
        let reason = Invalid::TraceParent(traceparent::Invalid::Length);
        assert_eq!(traceparents(&[""]), Inbound::Invalid(reason));
    }

    /// What a list of formats makes of a request.
    #[derive(PartialEq, Eq, Debug)]
    enum Made {
        Root,
        Decided(bool),
        Restart,
        From(Format),
    }

    #[test]
    #[rustfmt::skip]
    fn the_first_valid_format_wins_and_a_broken_one_restarts() {
        use Made::{Decided, From, Restart, Root};
        let w3c = ("traceparent", ONE);
        let b3 = ("b3", B3_ONE);
        let dd = ("x-datadog-trace-id", "1");
        let rows: [(&[(&str, &str)], &[Format], Made, &str); 17] = [
            (&[w3c], &[B3], Root, "a format that isn't configured isn't read"),
            (&[], &[], Root, "nothing is read"),
            (&[w3c, b3], &[TraceContext, B3], From(TraceContext), "W3C stands first"),
            (&[w3c, b3], &[B3, TraceContext], From(B3), "B3 stands first"),
            (&[b3], &[TraceContext, B3], From(B3), "the first one isn't there"),
            (&[w3c, b3], &[Jaeger, XRay, TraceContext, B3], From(TraceContext), "nor two"),
            (&[("traceparent", "no"), b3], &[TraceContext, B3], Restart, "broken, then valid"),
            (&[("traceparent", "no"), b3], &[B3, TraceContext], Restart, "valid, then broken"),
            (&[w3c, w3c, b3], &[B3, TraceContext], Restart, "valid, then doubled"),
            (&[w3c, b3, b3], &[TraceContext, B3], Restart, "the other one doubled"),
            (&[w3c, dd], &[TraceContext, Datadog], Restart, "half of the other one"),
            (&[("traceparent", "no"), b3], &[B3], From(B3), "broken, but never read"),
            (&[("b3", "0")], &[B3], Decided(false), "a decision alone"),
            (&[("b3", "0"), w3c], &[B3, TraceContext], From(TraceContext), "ids before a decision"),
            (&[w3c, ("b3", "0")], &[TraceContext, B3], From(TraceContext), "in any order"),
            (&[("b3", "1"), ("x-b3-sampled", "0")], &[B3, B3Multi], Decided(true), "the first decision"),
            (&[("b3", "2"), w3c], &[TraceContext, B3], Restart, "no decision there is"),
        ];
        for (lines, formats, expected, reason) in rows {
            let made = match read(lines, formats) {
                Inbound::Absent => Root,
                Inbound::Decision(sampled) => Decided(sampled),
                Inbound::Invalid(_) => Restart,
                Inbound::Valid(context) => From(context.format),
            };
            assert_eq!(made, expected, "{reason}");
        }
    }

    #[test]
    fn only_w3c_says_that_an_id_is_random() {
        let random = ONE.replace("-01", "-03");
        let context = traceparents(&[&random]).valid().unwrap();
        assert!(context.parent.flags.random());
        for (lines, format) in [
            ([("b3", B3_ONE)], B3),
            ([("uber-trace-id", "1:2:0:ff")], Jaeger),
        ] {
            let context = read(&lines, &[format]).valid().unwrap();
            assert!(!context.parent.flags.random(), "{format:?}");
        }
    }

    #[test]
    fn a_context_without_a_decision_says_so() {
        let ids = &B3_ONE[..B3_ONE.len() - 2];
        for (value, deferred) in [(B3_ONE, false), (ids, true)] {
            let context = read(&[("b3", value)], &[B3]).valid().unwrap();
            assert_eq!(context.deferred, deferred, "{value}");
            assert!(!context.parent.flags.sampled());
        }
    }
}
