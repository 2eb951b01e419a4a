//! The one field of a request's header block that is looked at: `:authority`.
//!
//! Whoever changes a block must leave the peer's and the engine's idea of the dynamic table the
//! same (RFC 7541, section 2.3.2): an entry counts by its decoded length, so a value is replaced
//! by one of the same length, and a field that makes an entry is never taken away. That way
//! nothing has to be remembered between blocks, and a later reference to the entry means what
//! was put in its place.

use std::ops::Range;

use http::uri::Authority;

use super::huffman;

/// Fields that are looked through: pseudo-header fields stand before all others (RFC 9113,
/// section 8.3), there are five, and two changes of the table's size may come before.
const FIELDS: usize = 7;

/// Symbols of a value that is judged; the path of a socket has 107 bytes, each of which may be
/// written as three.
const LONGEST: usize = 384;

/// The name, as it is and in Huffman coding.
const NAME: &[u8] = b":authority";
const CODED_NAME: [u8; 8] = [0xb8, 0x3b, 0x53, 0x39, 0xec, 0x32, 0x7d, 0x7f];

/// Makes `:authority` one that the engine can read, if it is none; how many bytes shorter the
/// block is then. What isn't well-formed stays as it is, for the engine to refuse.
pub(super) fn settle(block: &mut [u8]) -> usize {
    let Some(found) = find(block) else {
        return 0;
    };
    let value = block.get(found.value.text.clone()).unwrap_or_default();
    if value.is_empty() {
        // The table's entry couldn't be anybody else's.
        return if found.indexed {
            0
        } else {
            replace(block, found.field, &[])
        };
    }
    let Some(count) = foreign(value, found.value.huffman) else {
        return 0;
    };
    let mut out = [0; 2 + huffman::zeros_len(LONGEST)];
    let length = huffman::zeros_len(count);
    // The length as an integer with a prefix of seven bits, behind the bit that says Huffman.
    let start = match u8::try_from(length) {
        Ok(short @ ..127) => {
            out[0] = 0x80 | short;
            1
        }
        _ => {
            out[0] = 0xff;
            out[1] = u8::try_from(length - 127).unwrap_or_default();
            2
        }
    };
    let Some(text) = out.get_mut(start..start + length) else {
        return 0;
    };
    huffman::zeros(count, text);
    let with = out.get(..start + length).unwrap_or_default();
    replace(block, found.value.whole, with)
}

/// How many symbols a value has that is no authority, but could be where a socket is.
fn foreign(value: &[u8], coded: bool) -> Option<usize> {
    let mut out = [0; LONGEST];
    let text = if coded {
        let count = huffman::decode(value, &mut out)?;
        out.get(..count)?
    } else {
        value
    };
    let seen = text.len() <= LONGEST && text.iter().all(u8::is_ascii_graphic);
    (seen && Authority::try_from(text).is_err()).then_some(text.len())
}

/// Replaces a part of the block by something that isn't longer, and moves what is behind it up.
pub(super) fn replace(block: &mut [u8], part: Range<usize>, with: &[u8]) -> usize {
    let Some(lost) = part.len().checked_sub(with.len()) else {
        return 0;
    };
    let Some(tail) = block
        .get_mut(part.start..)
        .filter(|tail| part.len() <= tail.len())
    else {
        return 0;
    };
    // Neither can panic: both lie within what was found above.
    tail.copy_within(part.len().., with.len());
    if let Some(place) = tail.get_mut(..with.len()) {
        place.copy_from_slice(with);
    }
    lost
}

/// Where `:authority` stands.
struct Found {
    /// The whole field.
    field: Range<usize>,
    value: Text,
    /// It becomes an entry of the dynamic table.
    indexed: bool,
}

/// The first `:authority` that isn't a reference to an entry made before.
fn find(block: &[u8]) -> Option<Found> {
    let mut reader = Reader { block, at: 0 };
    for _ in 0..FIELDS {
        let start = reader.at;
        let first = *block.get(start)?;
        if first & 0x80 != 0 {
            // The static table's first entry: no value.
            if reader.integer(7)? == 1 {
                return Some(Found {
                    field: start..reader.at,
                    value: Text::default(),
                    indexed: false,
                });
            }
            continue;
        }
        if first & 0xe0 == 0x20 {
            reader.integer(5)?;
            continue;
        }
        let indexed = first & 0x40 != 0;
        let named = match reader.integer(if indexed { 6 } else { 4 })? {
            0 => {
                let name = reader.text()?;
                let wanted = if name.huffman { &CODED_NAME[..] } else { NAME };
                block.get(name.text)? == wanted
            }
            index => index == 1,
        };
        let value = reader.text()?;
        if named {
            return Some(Found {
                field: start..reader.at,
                value,
                indexed,
            });
        }
    }
    None
}

/// A string literal (RFC 7541, section 5.2).
#[derive(Debug, Default)]
struct Text {
    whole: Range<usize>,
    text: Range<usize>,
    huffman: bool,
}

struct Reader<'a> {
    block: &'a [u8],
    at: usize,
}

impl Reader<'_> {
    fn byte(&mut self) -> Option<u8> {
        let byte = *self.block.get(self.at)?;
        self.at += 1;
        Some(byte)
    }

    /// An integer with a prefix of so many bits (RFC 7541, section 5.1), of at most five bytes,
    /// as the engine reads them.
    fn integer(&mut self, prefix: u32) -> Option<usize> {
        let most = (1 << prefix) - 1;
        let mut value = usize::from(self.byte()?) & most;
        if value < most {
            return Some(value);
        }
        for shift in [0, 7, 14, 21] {
            let byte = usize::from(self.byte()?);
            value += (byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return Some(value);
            }
        }
        None
    }

    fn text(&mut self) -> Option<Text> {
        let start = self.at;
        let huffman = self.block.get(start)? & 0x80 != 0;
        let length = self.integer(7)?;
        let text = self.at..self.at.checked_add(length)?;
        self.block.get(text.clone())?;
        self.at = text.end;
        Some(Text {
            whole: start..text.end,
            text,
            huffman,
        })
    }
}

#[cfg(test)]
mod tests;
