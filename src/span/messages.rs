//! Messages of a gRPC stream, counted by their prefixes ("gRPC over HTTP/2",
//! Length-Prefixed-Message: a byte of flags and the length in four, big-endian).

/// Bytes of a prefix.
const PREFIX: u8 = 5;

/// Counts the messages that went through in full. What isn't gRPC only gives a wrong number.
#[derive(Clone, Copy, Debug, Default)]
pub struct Counter {
    /// Bytes of a prefix that have been read.
    prefix: u8,
    /// Its length as far as it has been read.
    length: u32,
    /// Bytes that are left of a message.
    left: u32,
    messages: u64,
}

impl Counter {
    /// Reads on, from wherever the last piece ended.
    pub fn read(&mut self, mut data: &[u8]) {
        while let Some((first, rest)) = data.split_first() {
            if self.left > 0 {
                let most = usize::try_from(self.left).unwrap_or(usize::MAX);
                let (taken, behind) = data.split_at(data.len().min(most));
                // No more than what is left.
                self.left -= u32::try_from(taken.len()).unwrap_or(self.left);
                self.ended();
                data = behind;
                continue;
            }
            if self.prefix > 0 {
                self.length = self.length << 8 | u32::from(*first);
            }
            self.prefix += 1;
            data = rest;
            if self.prefix == PREFIX {
                (self.prefix, self.left) = (0, std::mem::take(&mut self.length));
                self.ended();
            }
        }
    }

    fn ended(&mut self) {
        self.messages += u64::from(self.left == 0);
    }

    /// How many since they were last taken.
    pub const fn take(&mut self) -> u64 {
        std::mem::replace(&mut self.messages, 0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn count(pieces: &[&[u8]]) -> u64 {
        let mut counter = Counter::default();
        pieces.iter().for_each(|piece| counter.read(piece));
        counter.take()
    }

    #[test]
    fn messages_are_counted_when_they_are_whole() {
        let long = [&[1, 0, 0, 1, 0][..], &[7; 256]].concat();
        for (bytes, expected, why) in [
            (&b""[..], 0, "nothing"),
            (b"\0\0\0\0", 0, "a part of a prefix"),
            (b"\0\0\0\0\0", 1, "an empty message"),
            (b"\0\0\0\0\0\0\0\0\0\0", 2, "two of them"),
            (b"\0\0\0\0\x02a", 0, "a part of a message"),
            (b"\0\0\0\0\x02ab\0", 1, "and the next one begins"),
            (&long, 1, "a compressed one of more than a byte's length"),
            (b"\xff\xff\xff\xff\xffabc", 0, "the longest there is"),
        ] {
            assert_eq!(count(&[bytes]), expected, "{why}");
        }
    }

    #[test]
    fn wherever_frames_end_the_count_is_the_same() {
        let bytes = b"\0\0\0\0\x03abc\x01\0\0\0\0\0\0\0\0\x01x";
        for first in 0..=bytes.len() {
            for second in first..=bytes.len() {
                let pieces = [&bytes[..first], &bytes[first..second], &bytes[second..]];
                assert_eq!(count(&pieces), 3, "cut at {first} and {second}");
            }
        }
    }

    #[test]
    fn what_was_taken_is_not_counted_again() {
        let mut counter = Counter::default();
        counter.read(b"\0\0\0\0\0\0\0");
        assert_eq!(counter.take(), 1);
        counter.read(b"\0\0\0");
        assert_eq!(counter.take(), 1);
    }
}
