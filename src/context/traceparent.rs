//! The `traceparent` field (W3C Trace Context Level 2, section 3.2).

use std::fmt;

use super::hex;
use super::ids::{Flags, SpanId, TraceId};

/// Length of a version 00 field, in bytes.
pub const LEN: usize = 55;

/// A parsed `traceparent`: the trace, the caller's span and its flags.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct TraceParent {
    /// The trace.
    pub trace_id: TraceId,
    /// The caller's span.
    pub parent_id: SpanId,
    /// The caller's flags; bits the specification doesn't define are cleared.
    pub flags: Flags,
}

/// Why a `traceparent` can't be continued. The caller is at fault.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Hash)]
pub enum Invalid {
    /// Shorter than 55 bytes, or a version 00 field of any other length.
    Length,
    /// A dash is missing where one has to be.
    Separator,
    /// A character that isn't lower-case hexadecimal.
    Hex,
    /// The forbidden version `ff`.
    Version,
    /// A trace id of zeros.
    ZeroTraceId,
    /// A parent id of zeros.
    ZeroParentId,
    /// More than one field; none is picked.
    Multiple,
}

impl Invalid {
    /// What was expected, in words.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Length => "expected 55 bytes (more only in versions above 00)",
            Self::Separator => "expected a dash between the fields",
            Self::Hex => "expected lower-case hexadecimal digits",
            Self::Version => "version ff is forbidden",
            Self::ZeroTraceId => "the trace id is zero",
            Self::ZeroParentId => "the parent id is zero",
            Self::Multiple => "expected one field, more came",
        }
    }
}

impl fmt::Display for Invalid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl std::error::Error for Invalid {}

impl TraceParent {
    /// Parses one field value.
    ///
    /// Versions above 00 may be longer; what follows the flags is ignored, as the specification
    /// asks, and [`format`](Self::format) writes version 00.
    ///
    /// # Errors
    /// Says which rule the value breaks; such a trace has to be restarted.
    pub fn parse(value: &[u8]) -> Result<Self, Invalid> {
        let (field, rest) = value.split_first_chunk::<LEN>().ok_or(Invalid::Length)?;
        if field[2] != b'-' || field[35] != b'-' || field[52] != b'-' {
            return Err(Invalid::Separator);
        }
        // Every digit in one array, ids first; the padding is valid.
        let mut digits = [b'0'; hex::DIGITS];
        digits[..32].copy_from_slice(&field[3..35]);
        digits[32..48].copy_from_slice(&field[36..52]);
        digits[48..50].copy_from_slice(&field[..2]);
        digits[50..52].copy_from_slice(&field[53..]);
        let bytes = hex::decode(&digits).ok_or(Invalid::Hex)?;
        let (version, flags) = (bytes[24], bytes[25]);
        match (version, rest) {
            (0xff, _) => return Err(Invalid::Version),
            (0, []) | (1.., [] | [b'-', ..]) => {}
            (0, _) => return Err(Invalid::Length),
            (1.., _) => return Err(Invalid::Separator),
        }
        let mut trace_id = [0; 16];
        trace_id.copy_from_slice(&bytes[..16]);
        let mut parent_id = [0; 8];
        parent_id.copy_from_slice(&bytes[16..24]);
        Ok(Self {
            trace_id: TraceId::new(u128::from_be_bytes(trace_id)).ok_or(Invalid::ZeroTraceId)?,
            parent_id: SpanId::new(u64::from_be_bytes(parent_id)).ok_or(Invalid::ZeroParentId)?,
            flags: Flags::from_bits(flags),
        })
    }

    /// Writes the field as version 00.
    pub fn format(&self) -> [u8; LEN] {
        let mut bytes = [0; hex::DIGITS / 2];
        bytes[..16].copy_from_slice(&self.trace_id.get().to_be_bytes());
        bytes[16..24].copy_from_slice(&self.parent_id.get().to_be_bytes());
        bytes[24] = self.flags.bits();
        let digits = hex::encode(&bytes);
        let mut out = [b'-'; LEN];
        out[..2].copy_from_slice(b"00");
        out[3..35].copy_from_slice(&digits[..32]);
        out[36..52].copy_from_slice(&digits[32..48]);
        out[53..].copy_from_slice(&digits[48..50]);
        out
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";
    const SPAN: &str = "b7ad6b7169203331";

    fn parse(value: &str) -> Result<TraceParent, Invalid> {
        TraceParent::parse(value.as_bytes())
    }

    #[test]
    fn a_version_00_field_is_read_digit_by_digit() {
        let parsed = parse(&format!("00-{TRACE}-{SPAN}-01")).unwrap();
        assert_eq!(parsed.trace_id.to_string(), TRACE);
        assert_eq!(parsed.parent_id.to_string(), SPAN);
        assert!(parsed.flags.sampled() && !parsed.flags.random());
    }

    #[test]
    fn every_rule_of_the_field_has_a_row() {
        use Invalid::*;
        let ok = |flags| Ok(Flags::from_bits(flags));
        let rows = [
            (format!("00-{TRACE}-{SPAN}-00"), ok(0), "unsampled"),
            (format!("00-{TRACE}-{SPAN}-02"), ok(2), "random flag"),
            (format!("00-{TRACE}-{SPAN}-03"), ok(3), "both flags"),
            (
                format!("00-{TRACE}-{SPAN}-ff"),
                ok(3),
                "unknown flag bits become 0",
            ),
            (format!("cc-{TRACE}-{SPAN}-01"), ok(1), "future version"),
            (
                format!("cc-{TRACE}-{SPAN}-01-what"),
                ok(1),
                "future version with more fields",
            ),
            (
                format!("cc-{TRACE}-{SPAN}-01-"),
                ok(1),
                "future version with an empty field",
            ),
            (
                format!("cc-{TRACE}-{SPAN}-01.what"),
                Err(Separator),
                "flags not closed by a dash",
            ),
            (
                format!("cc-{TRACE}-{SPAN}-012"),
                Err(Separator),
                "three flag digits",
            ),
            (
                format!("cc-{TRACE}-{SPAN}-0"),
                Err(Length),
                "future version too short",
            ),
            (format!("ff-{TRACE}-{SPAN}-01"), Err(Version), "version ff"),
            (
                format!("00-{TRACE}-{SPAN}-01-"),
                Err(Length),
                "trailing dash on version 00",
            ),
            (
                format!("00-{TRACE}-{SPAN}-01-x"),
                Err(Length),
                "more fields on version 00",
            ),
            (
                format!("00-{TRACE}-{SPAN}-"),
                Err(Length),
                "ends after the parent id's dash",
            ),
            (
                format!("00-{TRACE}-{SPAN}"),
                Err(Length),
                "ends after the parent id",
            ),
            (
                format!("00-{TRACE}-{SPAN}-1"),
                Err(Length),
                "one flag digit",
            ),
            (
                format!("00-{TRACE}-{SPAN}-0x"),
                Err(Hex),
                "flags not hexadecimal",
            ),
            (
                format!("00-{TRACE}-{SPAN}-0A"),
                Err(Hex),
                "upper-case flags",
            ),
            (
                format!("0-{TRACE}-{SPAN}-01"),
                Err(Length),
                "one version digit",
            ),
            (
                format!("0x-{TRACE}-{SPAN}-01"),
                Err(Hex),
                "version not hexadecimal",
            ),
            (
                format!("CC-{TRACE}-{SPAN}-01"),
                Err(Hex),
                "upper-case version",
            ),
            (
                format!("00-{}-{SPAN}-01", TRACE.to_uppercase()),
                Err(Hex),
                "upper-case trace id",
            ),
            (
                format!("00-{TRACE}-{}-01", SPAN.to_uppercase()),
                Err(Hex),
                "upper-case parent id",
            ),
            (
                format!("00-{}-{SPAN}-01", "0".repeat(32)),
                Err(ZeroTraceId),
                "zero trace id",
            ),
            (
                format!("00-{TRACE}-{}-01", "0".repeat(16)),
                Err(ZeroParentId),
                "zero parent id",
            ),
            (
                format!("00-+{}-{SPAN}-01", &TRACE[1..]),
                Err(Hex),
                "a sign is no digit",
            ),
            (
                format!("00-{}-{SPAN}-01", &TRACE[1..]),
                Err(Length),
                "31-digit trace id",
            ),
            (
                format!("00-{}-{SPAN}0-01", &TRACE[1..]),
                Err(Separator),
                "31 and 17 digits",
            ),
            (
                format!("00_{TRACE}-{SPAN}-01"),
                Err(Separator),
                "underscore for a dash",
            ),
            (
                format!(" 00-{TRACE}-{SPAN}-01"),
                Err(Separator),
                "leading space",
            ),
            (
                format!("00-{TRACE}-{SPAN}-01,00-{TRACE}-{SPAN}-01"),
                Err(Length),
                "two in one",
            ),
            (String::new(), Err(Length), "empty"),
        ];
        for (value, expected, reason) in rows {
            assert_eq!(
                parse(&value).map(|p| p.flags),
                expected,
                "{reason}: {value}"
            );
        }
    }

    #[test]
    fn every_byte_but_lower_case_hexadecimal_is_refused() {
        for byte in 0..=255_u8 {
            let mut value = format!("00-{TRACE}-{SPAN}-01").into_bytes();
            value[20] = byte;
            let expected = matches!(byte, b'0'..=b'9' | b'a'..=b'f');
            assert_eq!(
                TraceParent::parse(&value).is_ok(),
                expected,
                "byte {byte:#04x}"
            );
        }
    }

    #[test]
    fn a_future_version_is_handed_on_as_version_00() {
        let parsed = parse(&format!("42-{TRACE}-{SPAN}-f3-future")).unwrap();
        assert_eq!(parsed.format(), format!("00-{TRACE}-{SPAN}-03").as_bytes());
    }

    fn any_traceparent() -> impl Strategy<Value = TraceParent> {
        (1..=u128::MAX, 1..=u64::MAX, 0..4_u8).prop_map(|(trace_id, parent_id, flags)| {
            TraceParent {
                trace_id: TraceId::new(trace_id).unwrap(),
                parent_id: SpanId::new(parent_id).unwrap(),
                flags: Flags::from_bits(flags),
            }
        })
    }

    proptest! {
        #[test]
        fn parse_reads_what_format_wrote(parent in any_traceparent()) {
            let text = parent.format();
            let expected = format!("00-{}-{}-{:?}", parent.trace_id, parent.parent_id, parent.flags);
            prop_assert_eq!(&text[..], expected.as_bytes());
            prop_assert_eq!(TraceParent::parse(&text), Ok(parent));
        }

        #[test]
        fn arbitrary_bytes_never_panic(value in proptest::collection::vec(any::<u8>(), 0..80)) {
            let _ = TraceParent::parse(&value);
        }

        #[test]
        fn nothing_but_what_format_writes_is_a_version_00_field(
            parent in any_traceparent(), at in 0..LEN, byte: u8,
        ) {
            let mut value = parent.format();
            value[at] = byte;
            if let Ok(parsed) = TraceParent::parse(&value) && value.starts_with(b"00") {
                // Flag bits above the defined two are the only thing parsing may lose.
                prop_assert_eq!(&parsed.format()[..53], &value[..53]);
            }
        }
    }
}
