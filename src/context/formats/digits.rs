//! Numbers as the formats write them, and the room they are written into.

use std::fmt;

/// A lower-case hexadecimal number of 1 to 32 digits.
///
/// The strict reading of every format: capitals, signs and blanks are no digits.
pub(super) fn hex(digits: &[u8]) -> Option<u128> {
    if digits.is_empty() || digits.len() > 32 {
        return None;
    }
    digits.iter().try_fold(0, |value, byte| {
        let digit = match byte {
            b'0'..=b'9' => byte - b'0',
            b'a'..=b'f' => byte - b'a' + 10,
            _ => return None,
        };
        Some(value << 4 | u128::from(digit))
    })
}

/// [`hex`] of up to 16 digits.
pub(super) fn hex64(digits: &[u8]) -> Option<u64> {
    hex(digits).and_then(|value| u64::try_from(value).ok())
}

/// A decimal number below 2^64: digits alone.
pub(super) fn decimal(digits: &[u8]) -> Option<u64> {
    if digits.is_empty() {
        return None;
    }
    digits.iter().try_fold(0_u64, |value, byte| {
        let digit = byte.is_ascii_digit().then(|| byte - b'0')?;
        value.checked_mul(10)?.checked_add(u64::from(digit))
    })
}

/// A value being written, on the stack.
pub(super) struct Text {
    bytes: [u8; Self::CAPACITY],
    len: usize,
}

impl Text {
    /// The longest value of any format is X-Ray's, with 74 bytes.
    const CAPACITY: usize = 80;

    /// What `arguments` say; formats here are far shorter than the room.
    pub fn of(arguments: fmt::Arguments<'_>) -> Self {
        let mut text = Self {
            bytes: [0; Self::CAPACITY],
            len: 0,
        };
        // Can't fail for lack of room; cut values would be refused by every reader.
        let _ = fmt::write(&mut text, arguments);
        text
    }

    pub fn as_bytes(&self) -> &[u8] {
        self.bytes.get(..self.len).unwrap_or_default()
    }
}

impl fmt::Write for Text {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let end = self.len + text.len();
        let room = self.bytes.get_mut(self.len..end).ok_or(fmt::Error)?;
        room.copy_from_slice(text.as_bytes());
        self.len = end;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn only_digits_make_numbers() {
        let rows: [(&[u8], Option<u128>, &str); 8] = [
            (b"0", Some(0), "zero is a number"),
            (b"00ff", Some(255), "leading zeros"),
            (b"", None, "nothing"),
            (b"FF", None, "capitals"),
            (b"+f", None, "a sign"),
            (b"f ", None, "a blank"),
            (
                b"ffffffffffffffffffffffffffffffff",
                Some(u128::MAX),
                "the largest",
            ),
            (b"000000000000000000000000000000000", None, "33 digits"),
        ];
        for (digits, expected, reason) in rows {
            assert_eq!(hex(digits), expected, "{reason}");
        }
        assert_eq!(hex64(b"10000000000000000"), None, "65 bits");
        assert_eq!(decimal(b"18446744073709551615"), Some(u64::MAX));
        for (digits, reason) in [
            (&b"18446744073709551616"[..], "2^64"),
            (b"", "nothing"),
            (b"-1", "a sign"),
            (b"+1", "a sign"),
            (b"1a", "a letter"),
            (b"99999999999999999999999999", "far too much"),
        ] {
            assert_eq!(decimal(digits), None, "{reason}");
        }
    }

    proptest! {
        #[test]
        fn numbers_survive_being_written(value: u128, short: u64) {
            prop_assert_eq!(hex(Text::of(format_args!("{value:032x}")).as_bytes()), Some(value));
            prop_assert_eq!(hex64(Text::of(format_args!("{short:x}")).as_bytes()), Some(short));
            prop_assert_eq!(decimal(Text::of(format_args!("{short}")).as_bytes()), Some(short));
        }
    }
}
