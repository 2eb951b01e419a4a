//! From header fields to an inbound context.

use super::traceparent::{Invalid, TraceParent};

/// What the `traceparent` fields of a request amount to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Inbound {
    /// No field: a root.
    Absent,
    /// A context that can't be continued; the trace restarts.
    Invalid(Invalid),
    /// One well-formed field.
    Valid(TraceParent),
}

impl Inbound {
    /// Reads the values of all `traceparent` fields of one request.
    ///
    /// More than one is [`Invalid::Multiple`], even if all say the same: an honest caller sends
    /// one, and whichever we picked, the component might pick the other.
    pub fn of<'a>(values: impl IntoIterator<Item = &'a [u8]>) -> Self {
        let mut values = values.into_iter();
        let Some(value) = values.next() else {
            return Self::Absent;
        };
        if values.next().is_some() {
            return Self::Invalid(Invalid::Multiple);
        }
        match TraceParent::parse(value) {
            Ok(parent) => Self::Valid(parent),
            Err(reason) => Self::Invalid(reason),
        }
    }

    /// The context, if there is a well-formed one.
    pub fn valid(self) -> Option<TraceParent> {
        match self {
            Self::Valid(parent) => Some(parent),
            Self::Absent | Self::Invalid(_) => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ONE: &[u8] = b"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
    const OTHER: &[u8] = b"00-1af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

    #[test]
    fn no_field_is_a_root() {
        assert_eq!(Inbound::of([]), Inbound::Absent);
    }

    #[test]
    fn one_field_is_the_context() {
        let parent = TraceParent::parse(ONE).unwrap();
        assert_eq!(Inbound::of([ONE]), Inbound::Valid(parent));
        assert_eq!(Inbound::of([ONE]).valid(), Some(parent));
    }

    #[test]
    fn of_several_fields_none_is_picked() {
        for values in [[ONE, OTHER], [ONE, ONE], [ONE, b""], [b"", ONE]] {
            let inbound = Inbound::of(values);
            assert_eq!(inbound, Inbound::Invalid(Invalid::Multiple), "{values:?}");
            assert_eq!(inbound.valid(), None);
        }
    }

    #[test]
    fn an_empty_field_is_invalid_not_absent() {
        assert_eq!(Inbound::of([&b""[..]]), Inbound::Invalid(Invalid::Length));
    }
}
