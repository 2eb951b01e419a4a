//! HPACK's Huffman code (RFC 7541, section 5.2), as far as names and paths are written in it.

/// Symbols by the bits of their codes, in the order of the codes, up to 15 bits (RFC 7541,
/// appendix B): every character of ASCII that is seen, but for the backslash. The code is
/// canonical, so that is all there is to know.
const CODES: [(u32, &[u8]); 10] = [
    (5, b"012aceiost"),
    (6, b" %-./3456789=A_bdfghlmnpru"),
    (7, b":BCDEFGHIJKLMNOPQRSTUVWYjkqvwxyz"),
    (8, b"&*,;XZ"),
    (10, b"!\"()?"),
    (11, b"'+|"),
    (12, b"#>"),
    (13, b"\0$@[]~"),
    (14, b"^}"),
    (15, b"<`{"),
];

/// Decodes into `out`; how many symbols there are. `None` if a symbol isn't listed above, if
/// `out` is too short, and if the padding isn't less than a byte of ones.
pub(super) fn decode(coded: &[u8], out: &mut [u8]) -> Option<usize> {
    let mut count = 0;
    let (mut code, mut length) = (0_u32, 0_u32);
    for byte in coded {
        for bit in (0..8).rev() {
            code = (code << 1) | u32::from((byte >> bit) & 1);
            length += 1;
            if let Some(symbol) = symbol(code, length)? {
                *out.get_mut(count)? = symbol;
                count += 1;
                (code, length) = (0, 0);
            }
        }
    }
    let padding = length < 8 && code == (1 << length) - 1;
    padding.then_some(count)
}

/// The symbol of a code, `Some(None)` if it takes more bits, `None` if there is none.
fn symbol(code: u32, length: u32) -> Option<Option<u8>> {
    let (mut first, mut bits) = (0, 0);
    for (wanted, symbols) in CODES {
        first <<= wanted - bits;
        bits = wanted;
        if bits == length {
            let symbol = usize::try_from(code.checked_sub(first)?).ok()?;
            return Some(symbols.get(symbol).copied());
        }
        if bits > length {
            return Some(None);
        }
        first += u32::try_from(symbols.len()).ok()?;
    }
    None
}

/// Bytes that so many zeros take: no symbol has a shorter code.
pub(super) const fn zeros_len(count: usize) -> usize {
    (count * 5).div_ceil(8)
}

/// Writes so many times `0`, whose code is five bits of zero; `out` has [`zeros_len`] bytes.
pub(super) fn zeros(count: usize, out: &mut [u8]) {
    out.fill(0);
    let padding = out.len() * 8 - count * 5;
    if let Some(last) = out.last_mut() {
        *last = (1_u8 << padding) - 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decoded(coded: &[u8]) -> Option<Vec<u8>> {
        let mut out = [0; 64];
        let count = decode(coded, &mut out)?;
        Some(out[..count].to_vec())
    }

    #[test]
    fn the_examples_of_the_specification_are_read() {
        for (coded, text) in [
            (
                &[
                    0xf1, 0xe3, 0xc2, 0xe5, 0xf2, 0x3a, 0x6b, 0xa0, 0xab, 0x90, 0xf4, 0xff,
                ][..],
                "www.example.com",
            ),
            (&[0xa8, 0xeb, 0x10, 0x64, 0x9c, 0xbf], "no-cache"),
            (
                &[0x25, 0xa8, 0x49, 0xe9, 0x5b, 0xa9, 0x7d, 0x7f],
                "custom-key",
            ),
            (
                &[0x25, 0xa8, 0x49, 0xe9, 0x5b, 0xb8, 0xe8, 0xb4, 0xbf],
                "custom-value",
            ),
            (&[0x64, 0x02], "302"),
            (&[0xae, 0xc3, 0x77, 0x1a, 0x4b], "private"),
            (
                &[
                    0xd0, 0x7a, 0xbe, 0x94, 0x10, 0x54, 0xd4, 0x44, 0xa8, 0x20, 0x05, 0x95, 0x04,
                    0x0b, 0x81, 0x66, 0xe0, 0x82, 0xa6, 0x2d, 0x1b, 0xff,
                ],
                "Mon, 21 Oct 2013 20:13:21 GMT",
            ),
            (
                &[
                    0x9d, 0x29, 0xad, 0x17, 0x18, 0x63, 0xc7, 0x8f, 0x0b, 0x97, 0xc8, 0xe9, 0xae,
                    0x82, 0xae, 0x43, 0xd3,
                ],
                "https://www.example.com",
            ),
        ] {
            assert_eq!(decoded(coded).unwrap(), text.as_bytes(), "{text}");
        }
    }

    #[test]
    fn what_is_padded_wrongly_or_strange_is_not_read() {
        for (coded, reason) in [
            (&[0x00, 0x00][..], "padding of zeros"),
            (&[0x07, 0xff], "a whole byte of padding"),
            (&[0xff, 0xff, 0xff, 0xff], "the end of a string"),
            (&[0xff, 0xfe, 0x1f], "a backslash"),
            (&[0xff, 0xfe, 0x3f], "no character of ASCII"),
        ] {
            assert_eq!(decoded(coded), None, "{reason}");
        }
        assert_eq!(
            decode(&[0x07], &mut []),
            None,
            "more than there is room for"
        );
        assert_eq!(decoded(&[]), Some(Vec::new()), "nothing");
    }

    #[test]
    fn zeros_are_read_again_and_nothing_of_their_number_is_shorter() {
        for count in 1..64 {
            let mut coded = vec![0xaa; zeros_len(count)];
            zeros(count, &mut coded);
            assert_eq!(decoded(&coded).unwrap(), vec![b'0'; count], "{count}");
        }
    }
}
