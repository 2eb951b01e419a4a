//! Where a body ends: a decoder without sockets, and the encoder that says it anew (RFC 9112,
//! sections 6 and 7).

use super::fields::Fields;
use super::parse::Malformed;
use crate::proxy::framing::Length;

/// Bytes of chunk extensions a body may carry in all: they are read over, not kept.
const EXTENSIONS: usize = 16 * 1024;

/// Finds the body in what is read.
#[derive(Debug)]
pub struct Decoder {
    state: State,
    extensions: usize,
}

#[derive(Clone, Copy, Debug)]
enum State {
    Exact(u64),
    Close,
    Size { value: u64, digits: u8 },
    Pad(u64),
    Extension(u64),
    SizeFeed(u64),
    Data(u64),
    DataReturn,
    DataFeed,
    Trailers,
    Done,
}

/// What stands at the front of the input, behind `skip` bytes of framing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// That many bytes of the body.
    Data {
        /// Framing before it.
        skip: usize,
        /// Bytes.
        length: usize,
    },
    /// Nothing yet.
    More {
        /// Framing that was read.
        skip: usize,
    },
    /// The trailers, with the empty line behind them; then the end.
    Trailers {
        /// Framing before them.
        skip: usize,
        /// Bytes.
        length: usize,
    },
    /// The end.
    End {
        /// Framing before it.
        skip: usize,
    },
}

impl Decoder {
    /// For a body of this length.
    pub const fn new(length: Length) -> Self {
        let state = match length {
            Length::None | Length::Exact(0) => State::Done,
            Length::Exact(count) => State::Exact(count),
            Length::Chunked => State::Size {
                value: 0,
                digits: 0,
            },
            Length::Close => State::Close,
        };
        Self {
            state,
            extensions: 0,
        }
    }

    /// Whether the body has ended.
    pub const fn is_done(&self) -> bool {
        matches!(self.state, State::Done)
    }

    /// Whether the connection's end is the body's.
    pub const fn ends_with_connection(&self) -> bool {
        matches!(self.state, State::Close)
    }

    /// The next piece of the input; `limit` bounds the trailers.
    ///
    /// # Errors
    /// When the chunks are malformed.
    pub fn next(&mut self, input: &[u8], limit: usize) -> Result<Step, Malformed> {
        let mut skip = 0;
        loop {
            let rest = input.get(skip..).unwrap_or_default();
            match self.state {
                State::Done => return Ok(Step::End { skip }),
                State::Trailers => return self.trailers(rest, skip, limit),
                _ => {}
            }
            let Some(&byte) = rest.first() else {
                return Ok(Step::More { skip });
            };
            match self.state {
                State::Exact(left) | State::Data(left) => {
                    let length = usize::try_from(left).map_or(rest.len(), |n| n.min(rest.len()));
                    self.took(left - length as u64);
                    return Ok(Step::Data { skip, length });
                }
                State::Close => {
                    return Ok(Step::Data {
                        skip,
                        length: rest.len(),
                    });
                }
                _ => self.framing(byte)?,
            }
            skip += 1;
        }
    }

    fn took(&mut self, left: u64) {
        self.state = match (self.state, left) {
            (State::Exact(_), 0) => State::Done,
            (State::Exact(_), left) => State::Exact(left),
            (_, 0) => State::DataReturn,
            (_, left) => State::Data(left),
        };
    }

    fn framing(&mut self, byte: u8) -> Result<(), Malformed> {
        self.state = match (self.state, byte) {
            (State::Size { value, digits }, _) if byte.is_ascii_hexdigit() => {
                if digits >= 16 {
                    return Err(Malformed);
                }
                let digit = char::from(byte).to_digit(16).unwrap_or_default();
                State::Size {
                    value: (value << 4) | u64::from(digit),
                    digits: digits + 1,
                }
            }
            (State::Size { digits: 0, .. }, _) => return Err(Malformed),
            (State::Size { value, .. } | State::Pad(value), b' ' | b'\t') => {
                self.padded()?;
                State::Pad(value)
            }
            (State::Size { value, .. } | State::Pad(value), b';') => State::Extension(value),
            (State::Size { value, .. } | State::Pad(value) | State::Extension(value), b'\r') => {
                State::SizeFeed(value)
            }
            (State::Extension(value), b'\t' | b' '..=b'~' | 0x80..) => {
                self.padded()?;
                State::Extension(value)
            }
            (State::SizeFeed(0), b'\n') => State::Trailers,
            (State::SizeFeed(value), b'\n') => State::Data(value),
            (State::DataReturn, b'\r') => State::DataFeed,
            (State::DataFeed, b'\n') => State::Size {
                value: 0,
                digits: 0,
            },
            _ => return Err(Malformed),
        };
        Ok(())
    }

    const fn padded(&mut self) -> Result<(), Malformed> {
        self.extensions += 1;
        if self.extensions > EXTENSIONS {
            return Err(Malformed);
        }
        Ok(())
    }

    fn trailers(&mut self, rest: &[u8], skip: usize, limit: usize) -> Result<Step, Malformed> {
        match rest {
            [] | [b'\r'] => return Ok(Step::More { skip }),
            [b'\r', b'\n', ..] => {
                self.state = State::Done;
                return Ok(Step::End { skip: skip + 2 });
            }
            _ => {}
        }
        let end = rest.windows(4).position(|four| four == b"\r\n\r\n");
        match end {
            Some(end) if end + 4 <= limit => {
                self.state = State::Done;
                Ok(Step::Trailers {
                    skip,
                    length: end + 4,
                })
            }
            None if rest.len() < limit => Ok(Step::More { skip }),
            _ => Err(Malformed),
        }
    }
}

/// Says a body anew.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Encoder {
    /// As it is: its length was told, or the connection's end tells it.
    Plain,
    /// In chunks.
    Chunked,
}

impl Encoder {
    /// A piece of the body.
    pub fn data(self, piece: &[u8], out: &mut Vec<u8>) {
        if piece.is_empty() {
            return;
        }
        match self {
            Self::Plain => out.extend_from_slice(piece),
            Self::Chunked => {
                size(piece.len(), out);
                out.extend_from_slice(piece);
                out.extend_from_slice(b"\r\n");
            }
        }
    }

    /// The end; trailers go where chunks do.
    pub fn end(self, trailers: Option<&Fields>, out: &mut Vec<u8>) {
        if self == Self::Chunked {
            out.extend_from_slice(b"0\r\n");
            if let Some(trailers) = trailers {
                trailers.write(out);
            }
            out.extend_from_slice(b"\r\n");
        }
    }
}

fn size(mut count: usize, out: &mut Vec<u8>) {
    let mut digits = [0; 16];
    let mut at = digits.len();
    while let Some(slot) = at.checked_sub(1).and_then(|next| {
        at = next;
        digits.get_mut(next)
    }) {
        *slot = *b"0123456789abcdef".get(count & 15).unwrap_or(&b'0');
        count >>= 4;
        if count == 0 {
            break;
        }
    }
    out.extend_from_slice(digits.get(at..).unwrap_or_default());
    out.extend_from_slice(b"\r\n");
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Feeds the input in pieces; the body, the trailers, and what was left over.
    fn decode(
        length: Length,
        pieces: &[&[u8]],
    ) -> Result<(Vec<u8>, Vec<u8>, bool, Vec<u8>), Malformed> {
        let mut decoder = Decoder::new(length);
        let (mut input, mut body, mut trailers) = (Vec::new(), Vec::new(), Vec::new());
        for piece in pieces {
            input.extend_from_slice(piece);
            while !decoder.is_done() {
                match decoder.next(&input, 1000)? {
                    Step::Data { skip, length } => {
                        input.drain(..skip);
                        body.extend(input.drain(..length));
                    }
                    Step::Trailers { skip, length } => {
                        input.drain(..skip);
                        trailers.extend(input.drain(..length));
                    }
                    Step::End { skip } => drop(input.drain(..skip)),
                    Step::More { skip } => {
                        input.drain(..skip);
                        break;
                    }
                }
            }
        }
        Ok((body, trailers, decoder.is_done(), input))
    }

    #[test]
    fn bodies_end_where_their_length_says() {
        let rows: [(Length, &[u8], &[u8], bool, &[u8]); 5] = [
            (Length::None, b"GET", b"", true, b"GET"),
            (Length::Exact(3), b"abcGET", b"abc", true, b"GET"),
            (Length::Exact(3), b"ab", b"ab", false, b""),
            (Length::Close, b"abc", b"abc", false, b""),
            (
                Length::Chunked,
                b"1;x=\"y\"\r\na\r\n02 \r\nbc\r\n0\r\n\r\nGET",
                b"abc",
                true,
                b"GET",
            ),
        ];
        for (length, input, body, done, left) in rows {
            let found = decode(length, &[input]).unwrap();
            assert_eq!(found, (body.to_vec(), Vec::new(), done, left.to_vec()));
        }
    }

    #[test]
    fn malformed_chunks_are_refused() {
        for chunks in [
            "\r\n",
            "+1\r\na\r\n",
            "0x1\r\na\r\n",
            "g\r\n",
            "1\na\r\n",
            "1\ra\r\n",
            "1;\n",
            "1 1\r\n",
            "1\r\nab\r\n",
            "1\r\na\n",
            "11111111111111111\r\n",
            ";\r\n",
            "1;\0\r\n",
        ] {
            assert_eq!(
                decode(Length::Chunked, &[chunks.as_bytes()]),
                Err(Malformed),
                "{chunks:?}"
            );
        }
        let endless = format!("1;{}", "a".repeat(EXTENSIONS + 1));
        assert!(decode(Length::Chunked, &[endless.as_bytes()]).is_err());
        let endless = format!("0\r\na: {}", "a".repeat(1000));
        assert!(decode(Length::Chunked, &[endless.as_bytes()]).is_err());
    }

    proptest! {
        #[test]
        fn arbitrary_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = decode(Length::Chunked, &[&bytes]);
        }

        #[test]
        fn chunks_split_anywhere_give_the_same(
            bodies in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..40), 0..6),
            trailer in any::<bool>(),
            cuts in proptest::collection::vec(0..400_usize, 0..8),
        ) {
            let mut wire = Vec::new();
            for body in &bodies {
                Encoder::Chunked.data(body, &mut wire);
            }
            let mut fields = Fields::default();
            if trailer {
                fields.load(&[httparse::Header { name: "a", value: b"b" }]);
            }
            Encoder::Chunked.end(trailer.then_some(&fields), &mut wire);
            wire.extend_from_slice(b"rest");
            let mut cuts: Vec<_> = cuts.into_iter().map(|cut| cut.min(wire.len())).collect();
            cuts.extend([0, wire.len()]);
            cuts.sort_unstable();
            let pieces: Vec<&[u8]> = cuts.windows(2).map(|w| &wire[w[0]..w[1]]).collect();
            let (body, trailers, done, left) = decode(Length::Chunked, &pieces).unwrap();
            prop_assert_eq!(body, bodies.concat());
            prop_assert_eq!(trailers, if trailer { b"a: b\r\n\r\n".to_vec() } else { Vec::new() });
            prop_assert!(done);
            prop_assert_eq!(left, b"rest");
        }
    }
}
