//! The `baggage` fields (W3C Baggage, section 3): a verdict only. Valid ones pass as they came,
//! the others are dropped whole, since half a list may mean something else than all of it.

use std::fmt;

/// Most members over all fields of a request.
pub const MAX_MEMBERS: usize = 64;
/// Most bytes over all fields of a request, the commas that combine them counted.
pub const MAX_LEN: usize = 8192;

/// What is to be done with the `baggage` fields of a request.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Hash)]
pub enum Verdict {
    /// There are none.
    Absent,
    /// They pass unchanged.
    Valid,
    /// All of them are dropped.
    Invalid(Invalid),
}

/// Why baggage is dropped. The caller is at fault.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Hash)]
pub enum Invalid {
    /// More than [`MAX_MEMBERS`].
    TooManyMembers,
    /// More than [`MAX_LEN`].
    TooLong,
    /// A member or property without a key, or a key that isn't an HTTP token.
    Key,
    /// A member without `=`, or a value with a character that has to be percent-encoded.
    Value,
}

impl fmt::Display for Invalid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::TooManyMembers => "expected at most 64 members, more came",
            Self::TooLong => "expected at most 8192 bytes, more came",
            Self::Key => "expected a token as key",
            Self::Value => "expected a value of printable ASCII but space, quote, comma, semicolon and backslash",
        })
    }
}

impl std::error::Error for Invalid {}

impl Verdict {
    /// Judges the values of all `baggage` fields of one request.
    pub fn of<'a>(values: impl IntoIterator<Item = &'a [u8]>) -> Self {
        let mut verdict = Self::Absent;
        let (mut members, mut bytes) = (0, 0);
        for value in values {
            bytes += value.len() + usize::from(verdict != Self::Absent);
            verdict = Self::Valid;
            if bytes > MAX_LEN {
                return Self::Invalid(Invalid::TooLong);
            }
            for member in value.split(|byte| *byte == b',') {
                members += 1;
                if members > MAX_MEMBERS {
                    return Self::Invalid(Invalid::TooManyMembers);
                }
                if let Err(reason) = check(member) {
                    return Self::Invalid(reason);
                }
            }
        }
        verdict
    }
}

/// `key = value *( ; property )`, a property being `key` or `key = value`.
fn check(member: &[u8]) -> Result<(), Invalid> {
    let mut parts = member.split(|byte| *byte == b';');
    let (key, value) = pair(parts.next().unwrap_or_default())?;
    check_pair(key, value)?;
    value.ok_or(Invalid::Value)?;
    parts.try_for_each(|property| pair(property).and_then(|(key, value)| check_pair(key, value)))
}

/// Cut at the first `=`; further ones belong to the value.
fn pair(text: &[u8]) -> Result<(&[u8], Option<&[u8]>), Invalid> {
    let mut sides = text.splitn(2, |byte| *byte == b'=');
    let key = sides.next().ok_or(Invalid::Key)?;
    Ok((key.trim_ascii(), sides.next().map(<[u8]>::trim_ascii)))
}

fn check_pair(key: &[u8], value: Option<&[u8]>) -> Result<(), Invalid> {
    if key.is_empty() || !key.iter().all(|byte| is_token(*byte)) {
        return Err(Invalid::Key);
    }
    match value {
        Some(value) if !value.iter().all(|byte| is_octet(*byte)) => Err(Invalid::Value),
        _ => Ok(()),
    }
}

/// A character of an HTTP token (RFC 9110, section 5.6.2).
fn is_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

/// A `baggage-octet`.
fn is_octet(byte: u8) -> bool {
    byte.is_ascii_graphic() && !matches!(byte, b'"' | b',' | b';' | b'\\')
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn of(values: &[&str]) -> Verdict {
        Verdict::of(values.iter().map(|value| value.as_bytes()))
    }

    #[test]
    fn every_rule_of_the_list_has_a_row() {
        use super::Invalid::{Key, Value};
        use Verdict::{Absent, Invalid, Valid};
        for (value, expected, reason) in [
            ("a=1", Valid, "one member"),
            ("a=1,b=2", Valid, "two members"),
            ("a = 1 , b = 2\t", Valid, "white space around"),
            ("a=", Valid, "an empty value"),
            ("a=1=2==", Valid, "equals signs in a value"),
            ("a=%20%zz", Valid, "percent signs aren't decoded here"),
            ("a=1;p", Valid, "a property without value"),
            ("a=1 ; p = 2 ; q", Valid, "properties with and without"),
            ("A!#$%&'*+-.^_`|~9=x", Valid, "every sign of tokens"),
            ("", Invalid(Key), "nothing"),
            ("a=1,", Invalid(Key), "an empty member"),
            ("a", Invalid(Value), "no equals sign"),
            ("=1", Invalid(Key), "no key"),
            ("a b=1", Invalid(Key), "space in a key"),
            ("a=1 2", Invalid(Value), "space in a value"),
            ("a=\"1\"", Invalid(Value), "quotes"),
            ("a=1\\2", Invalid(Value), "backslash"),
            ("a=\u{e9}", Invalid(Value), "not ASCII"),
            ("a=1;", Invalid(Key), "an empty property"),
            (
                "a=1;p=\u{7f}",
                Invalid(Value),
                "a control character in a property",
            ),
        ] {
            assert_eq!(of(&[value]), expected, "{reason}");
        }
        assert_eq!(of(&[]), Absent);
    }

    #[test]
    fn sixty_four_members_are_allowed_over_all_fields_together() {
        let list = |count| vec!["a=1"; count].join(",");
        assert_eq!(of(&[&list(64)]), Verdict::Valid);
        let invalid = Verdict::Invalid(Invalid::TooManyMembers);
        assert_eq!(of(&[&list(32), &list(33)]), invalid);
    }

    #[test]
    fn bytes_are_counted_over_all_fields_together() {
        let value = |len: usize| format!("a={}", "x".repeat(len - 2));
        let invalid = Verdict::Invalid(Invalid::TooLong);
        assert_eq!(of(&[&value(MAX_LEN)]), Verdict::Valid);
        assert_eq!(of(&[&value(MAX_LEN + 1)]), invalid);
        assert_eq!(
            of(&[&value(4096), &value(4095)]),
            Verdict::Valid,
            "with the comma 8192"
        );
        assert_eq!(of(&[&value(4096), &value(4096)]), invalid);
    }

    proptest! {
        #[test]
        fn arbitrary_bytes_never_panic(value in proptest::collection::vec(any::<u8>(), 0..80)) {
            let _ = Verdict::of([value.as_slice()]);
        }
    }
}
