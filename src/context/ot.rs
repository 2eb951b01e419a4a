//! OpenTelemetry's member of `tracestate`, `ot=th:…;rv:…` (TraceState handling, Development).

use std::fmt;
use std::num::NonZeroU64;

use super::ids::TraceId;

/// The longest value of the member, in bytes.
pub const MAX_LEN: usize = 256;

/// A number of 56 bits: what thresholds and randomness are made of.
///
/// Kept with a bit above the 56 set, so that an `Option` of it is one word.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct U56(NonZeroU64);

impl U56 {
    /// Hexadecimal digits of a number written in full.
    pub const DIGITS: usize = 14;
    /// The largest number.
    pub const MAX: Self = Self::low(u64::MAX);

    const MARK: u64 = 1 << 56;

    /// `None` if the value needs more than 56 bits.
    pub const fn new(value: u64) -> Option<Self> {
        if value < Self::MARK {
            Some(Self::low(value))
        } else {
            None
        }
    }

    /// The low 56 bits of a value.
    pub const fn low(value: u64) -> Self {
        let marked = value & (Self::MARK - 1) | Self::MARK;
        match NonZeroU64::new(marked) {
            Some(marked) => Self(marked),
            None => Self(NonZeroU64::MIN),
        }
    }

    /// The randomness of a trace id: its right-most 56 bits (W3C Trace Context Level 2).
    pub const fn of_trace_id(trace_id: TraceId) -> Self {
        Self::low(trace_id.get() as u64)
    }

    /// The number.
    pub const fn get(self) -> u64 {
        self.0.get() & (Self::MARK - 1)
    }
}

impl fmt::Debug for U56 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:014x}", self.get())
    }
}

/// The two sub-keys of consistent probability sampling.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Ot {
    /// Rejection threshold: traces whose randomness is below it were dropped.
    pub th: Option<U56>,
    /// Explicit randomness; absent, that of the trace id counts.
    pub rv: Option<U56>,
}

impl Ot {
    /// Nothing to say.
    pub const NONE: Self = Self { th: None, rv: None };

    /// Whether there is nothing to write.
    pub const fn is_empty(self) -> bool {
        self.th.is_none() && self.rv.is_none()
    }

    /// The member `ot=…` as text, empty if there is nothing to write. Doesn't allocate.
    pub fn text(self) -> OtText {
        let mut out = OtText {
            bytes: [0; OtText::CAPACITY],
            len: 0,
        };
        if let Some(th) = self.th {
            out.push(b"ot=th:");
            out.push_hex(th, significant(th));
        }
        if let Some(rv) = self.rv {
            out.push(if self.th.is_some() {
                b";rv:"
            } else {
                b"ot=rv:"
            });
            out.push_hex(rv, U56::DIGITS);
        }
        out
    }
}

/// The member as text, on the stack.
#[derive(Clone, Copy)]
pub struct OtText {
    bytes: [u8; Self::CAPACITY],
    len: u8,
}

impl OtText {
    /// `ot=th:` and `;rv:` with 14 digits each.
    const CAPACITY: usize = 38;

    /// What goes on the wire: ASCII.
    pub fn as_bytes(&self) -> &[u8] {
        self.bytes.get(..usize::from(self.len)).unwrap_or_default()
    }

    /// The same as a string.
    pub fn as_str(&self) -> &str {
        str::from_utf8(self.as_bytes()).unwrap_or_default()
    }

    fn push(&mut self, text: &[u8]) {
        let at = usize::from(self.len);
        if let Some(space) = self.bytes.get_mut(at..at + text.len()) {
            space.copy_from_slice(text);
            self.len += text.len() as u8;
        }
    }

    /// The first `digits` of the fourteen.
    fn push_hex(&mut self, value: U56, digits: usize) {
        let mut text = [0; U56::DIGITS];
        let mut rest = value.get();
        for place in (0..U56::DIGITS).rev() {
            let digit = (rest & 0x0f) as u8;
            text[place] = digit + b'0' + if digit > 9 { b'a' - b'9' - 1 } else { 0 };
            rest >>= 4;
        }
        self.push(text.get(..digits).unwrap_or(&text));
    }
}

impl fmt::Debug for OtText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self.as_str(), f)
    }
}

/// Digits of a threshold without its trailing zeros; `0` keeps one.
fn significant(th: U56) -> usize {
    let zeros = (th.get().trailing_zeros() / 4) as usize;
    U56::DIGITS.saturating_sub(zeros).max(1)
}

/// Reads a threshold: 1 to 14 hexadecimal digits, the missing ones being zeros.
pub fn parse_th(text: &str) -> Option<U56> {
    let digits = text.len();
    if digits > U56::DIGITS {
        return None;
    }
    let value = parse_hex(text)?;
    U56::new(value << (4 * (U56::DIGITS - digits)))
}

/// Reads randomness: exactly 14 hexadecimal digits.
pub fn parse_rv(text: &str) -> Option<U56> {
    if text.len() == U56::DIGITS {
        parse_hex(text).and_then(U56::new)
    } else {
        None
    }
}

/// Up to 14 digits of either case, at least one, no sign.
fn parse_hex(text: &str) -> Option<u64> {
    if text.is_empty() {
        return None;
    }
    text.bytes().try_fold(0, |value, byte| {
        let digit = char::from(byte).to_digit(16)?;
        Some(value << 4 | u64::from(digit))
    })
}

/// The member as it came: the sub-keys that matter here and the text that holds the others.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct OtMember<'a> {
    /// `th` and `rv`, if they are there and well-formed.
    pub ot: Ot,
    /// Whether a `th` or `rv` was there that isn't well-formed or came twice.
    pub malformed: bool,
    value: &'a str,
}

impl<'a> OtMember<'a> {
    /// Reads the member's value. A sub-key that doesn't parse counts as absent; of two with the
    /// same name the first counts.
    pub fn parse(value: &'a str) -> Self {
        let mut ot = Ot::NONE;
        let mut malformed = false;
        for (key, text) in value.split(';').filter_map(|field| field.split_once(':')) {
            let (slot, parsed) = match key {
                "th" => (&mut ot.th, parse_th(text)),
                "rv" => (&mut ot.rv, parse_rv(text)),
                _ => continue,
            };
            malformed |= slot.is_some() || parsed.is_none();
            *slot = slot.or(parsed);
        }
        Self {
            ot,
            malformed,
            value,
        }
    }

    /// The sub-keys that aren't ours, in order.
    pub fn others(&self) -> impl Iterator<Item = &'a str> {
        self.value.split(';').filter(|field| {
            let key = field.split(':').next().unwrap_or_default();
            !field.is_empty() && key != "th" && key != "rv"
        })
    }

    /// Appends `ot=…` with the given sub-keys and the other ones of this member, as many whole
    /// ones as fit [`MAX_LEN`]. Appends nothing if there is neither.
    pub fn write(&self, ot: Ot, out: &mut String) {
        const KEY: &str = "ot=";
        let start = out.len();
        out.push_str(ot.text().as_str());
        for other in self.others() {
            let so_far = out.len() - start;
            let separator = if so_far == 0 { KEY } else { ";" };
            let value = (so_far + separator.len() + other.len()) - KEY.len();
            if value <= MAX_LEN {
                out.push_str(separator);
                out.push_str(other);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn th(value: u64) -> Ot {
        Ot {
            th: U56::new(value),
            rv: None,
        }
    }

    #[test]
    fn thresholds_are_written_without_trailing_zeros() {
        for (value, expected) in [
            (0, "ot=th:0"),
            (0x80_0000_0000_0000, "ot=th:8"),
            (0xc0_0000_0000_0000, "ot=th:c"),
            (0xfd_70a4_0000_0000, "ot=th:fd70a4"),
            (0x08_0000_0000_0000, "ot=th:08"),
            (1, "ot=th:00000000000001"),
            (U56::MAX.get(), "ot=th:ffffffffffffff"),
        ] {
            assert_eq!(th(value).text().as_str(), expected);
        }
    }

    #[test]
    fn randomness_is_written_in_full() {
        let ot = Ot {
            th: None,
            rv: U56::new(0x1_2000),
        };
        assert_eq!(ot.text().as_str(), "ot=rv:00000000012000");
        let both = Ot {
            th: Some(U56::MAX),
            rv: Some(U56::MAX),
        };
        assert_eq!(
            both.text().as_str(),
            "ot=th:ffffffffffffff;rv:ffffffffffffff"
        );
        assert_eq!(Ot::NONE.text().as_str(), "");
    }

    #[test]
    fn only_hexadecimal_digits_of_the_right_number_are_read() {
        for (text, expected, reason) in [
            ("0", Some(0), "everything"),
            ("8", Some(0x80_0000_0000_0000), "half"),
            ("FD70A4", Some(0xfd_70a4_0000_0000), "upper case is allowed"),
            ("00000000000001", Some(1), "fourteen digits"),
            ("000000000000001", None, "fifteen digits"),
            ("", None, "none"),
            ("+8", None, "a sign is no digit"),
            ("8 ", None, "a space is no digit"),
        ] {
            assert_eq!(parse_th(text).map(U56::get), expected, "{reason}");
        }
        assert_eq!(
            parse_rv("0123456789abcd").map(U56::get),
            Some(0x01_2345_6789_abcd)
        );
        assert_eq!(parse_rv("123456789abcd"), None, "thirteen digits");
        assert_eq!(parse_rv("0123456789abcde"), None, "fifteen digits");
    }

    #[test]
    fn a_malformed_sub_key_counts_as_absent() {
        for (value, expected, malformed) in [
            ("th:8;rv:0123456789abcd", (true, true), false),
            ("rv:0123456789abcd;x:1;th:8", (true, true), false),
            ("th:xyz;rv:0123456789abcd", (false, true), true),
            ("th:8;rv:1", (true, false), true),
            ("th:8;th:4", (true, false), true),
            ("th", (false, false), false),
            ("", (false, false), false),
            ("x:th:8", (false, false), false),
        ] {
            let member = OtMember::parse(value);
            let got = (member.ot.th.is_some(), member.ot.rv.is_some());
            assert_eq!((got, member.malformed), (expected, malformed), "{value}");
        }
        assert_eq!(
            OtMember::parse("th:8;th:4").ot,
            th(0x80_0000_0000_0000),
            "the first counts"
        );
    }

    #[test]
    fn other_sub_keys_survive_a_new_threshold() {
        let member = OtMember::parse("p:8;th:c;r:62;rv:0123456789abcd");
        let mut out = String::new();
        member.write(
            Ot {
                th: None,
                ..member.ot
            },
            &mut out,
        );
        assert_eq!(out, "ot=rv:0123456789abcd;p:8;r:62");
        out.clear();
        member.write(Ot::NONE, &mut out);
        assert_eq!(out, "ot=p:8;r:62");
        out.clear();
        OtMember::parse("th:8;").write(Ot::NONE, &mut out);
        assert_eq!(out, "");
    }

    #[test]
    fn the_value_stays_within_its_limit_by_whole_sub_keys() {
        let value = format!("a:{};b:1;c:2", "x".repeat(MAX_LEN - 10));
        let mut out = String::new();
        OtMember::parse(&value).write(th(1), &mut out);
        assert_eq!(out, "ot=th:00000000000001;b:1;c:2");
        let value = format!("a:{}", "x".repeat(MAX_LEN - 7));
        out.clear();
        OtMember::parse(&value).write(th(0), &mut out);
        assert_eq!(out.len(), "ot=".len() + MAX_LEN);
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_back(
            th in proptest::option::of(0..=U56::MAX.get()),
            rv in proptest::option::of(0..=U56::MAX.get()),
        ) {
            let ot = Ot { th: th.and_then(U56::new), rv: rv.and_then(U56::new) };
            let text = ot.text();
            let member = OtMember::parse(text.as_str().strip_prefix("ot=").unwrap_or_default());
            prop_assert_eq!(member.ot, ot);
            prop_assert!(!member.malformed);
        }

        #[test]
        fn arbitrary_values_never_panic_nor_outgrow_the_limit(value in "[ -~]{0,300}") {
            let member = OtMember::parse(&value);
            let mut out = String::new();
            member.write(Ot { th: Some(U56::MAX), rv: Some(U56::MAX) }, &mut out);
            prop_assert!(out.len() <= "ot=".len() + MAX_LEN);
        }
    }
}
