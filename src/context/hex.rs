//! Lower-case hexadecimal in bulk, without a branch and without a table: plain loops over fixed
//! arrays, which compilers turn into vector instructions.

/// Digits decoded at a time: enough for a whole `traceparent`.
pub const DIGITS: usize = 64;
const LANES: usize = 16;

/// `None` if any character isn't a lower-case hexadecimal digit.
#[inline]
pub fn decode(digits: &[u8; DIGITS]) -> Option<[u8; DIGITS / 2]> {
    let mut nibbles = [0; DIGITS];
    let mut bad = [0; LANES];
    for (from, to) in digits
        .as_chunks::<LANES>()
        .0
        .iter()
        .zip(nibbles.as_chunks_mut::<LANES>().0)
    {
        for lane in 0..LANES {
            let digit = from[lane].wrapping_sub(b'0');
            let letter = from[lane].wrapping_sub(b'a');
            let is_digit = u8::from(digit < 10).wrapping_neg();
            let is_letter = u8::from(letter < 6).wrapping_neg();
            to[lane] = (digit & is_digit) | (letter.wrapping_add(10) & is_letter);
            bad[lane] |= !(is_digit | is_letter);
        }
    }
    let mut out = [0; DIGITS / 2];
    for (from, to) in nibbles
        .as_chunks::<8>()
        .0
        .iter()
        .zip(out.as_chunks_mut::<4>().0)
    {
        let nibbles = u64::from_be_bytes(*from);
        let bytes = (nibbles | nibbles >> 4) & 0x00ff_00ff_00ff_00ff;
        let words = (bytes | bytes >> 8) & 0x0000_ffff_0000_ffff;
        *to = ((words | words >> 16) as u32).to_be_bytes();
    }
    (u128::from_ne_bytes(bad) == 0).then_some(out)
}

/// The inverse of [`decode`]. Not inlined: among other code the loops aren't turned into vectors.
#[inline(never)]
pub fn encode(bytes: &[u8; DIGITS / 2]) -> [u8; DIGITS] {
    let mut out = [0; DIGITS];
    for (place, byte) in bytes.iter().enumerate() {
        out[2 * place] = byte >> 4;
        out[2 * place + 1] = byte & 0x0f;
    }
    for digit in &mut out {
        *digit += b'0' + if *digit > 9 { b'a' - b'9' - 1 } else { 0 };
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_lower_case_digits_decode_at_every_place() {
        for place in 0..DIGITS {
            for byte in 0..=255_u8 {
                let mut digits = [b'0'; DIGITS];
                digits[place] = byte;
                let expected = matches!(byte, b'0'..=b'9' | b'a'..=b'f');
                assert_eq!(
                    decode(&digits).is_some(),
                    expected,
                    "{byte:#04x} at {place}"
                );
            }
        }
    }

    #[test]
    fn every_byte_encodes_and_decodes_at_every_place() {
        for place in 0..DIGITS / 2 {
            for byte in 0..=255_u8 {
                let mut bytes = [0; DIGITS / 2];
                bytes[place] = byte;
                let digits = encode(&bytes);
                let expected = format!("{byte:02x}");
                assert_eq!(&digits[2 * place..2 * place + 2], expected.as_bytes());
                assert_eq!(decode(&digits), Some(bytes));
            }
        }
    }
}
