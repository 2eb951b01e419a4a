//! Header values made here, cut from one buffer: no allocation per request.

use bytes::BytesMut;
use http::HeaderValue;

/// Bytes taken from the allocator at a time; reused once nobody holds a value any more.
const CHUNK: usize = 4096;

/// A worker's supply of header values.
#[derive(Debug, Default)]
pub struct Values {
    buffer: BytesMut,
}

impl Values {
    /// A value of these bytes; `None` if they can't stand in a header.
    pub fn header(&mut self, bytes: &[u8]) -> Option<HeaderValue> {
        if self.buffer.capacity() < bytes.len() {
            self.buffer.reserve(CHUNK.max(bytes.len()));
        }
        self.buffer.extend_from_slice(bytes);
        HeaderValue::from_maybe_shared(self.buffer.split().freeze()).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_say_what_they_were_made_of() {
        let mut values = Values::default();
        let made: Vec<_> = (0..500)
            .map(|n| (n, values.header(format!("value-{n}").as_bytes())))
            .collect();
        for (n, value) in made {
            assert_eq!(value.unwrap(), format!("value-{n}").as_str());
        }
    }

    #[test]
    fn bytes_that_would_split_a_header_are_no_value() {
        assert!(Values::default().header(b"a\r\nb: c").is_none());
    }
}
