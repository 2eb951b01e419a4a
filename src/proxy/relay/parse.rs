//! Heads from bytes, by the letter: what `httparse` forgives is refused here (RFC 9112,
//! section 2.2).

use std::mem::MaybeUninit;

use http::{Method, Uri, Version};
use httparse::{Header, ParserConfig, Status};

use super::fields::Fields;
use crate::proxy::head::Line;
use crate::proxy::upstream::connect::HeadLimits;
use crate::span::record::Fault;

/// Fields that are parsed without asking for memory.
const FEW: usize = 64;

/// A request's first line, and how long its head is.
#[derive(Debug)]
pub struct Request {
    /// Method.
    pub method: Method,
    /// Target.
    pub uri: Uri,
    /// Version: 1.0 or 1.1.
    pub version: Version,
    /// Bytes of the head.
    pub length: usize,
}

impl Request {
    /// Its first line.
    pub const fn line(&self) -> Line<'_> {
        Line {
            method: &self.method,
            uri: &self.uri,
            version: self.version,
        }
    }
}

/// A response's first line, and how long its head is.
#[derive(Debug)]
pub struct Response {
    /// Status.
    pub status: u16,
    /// Reason phrase.
    pub reason: Box<str>,
    /// Whether the upstream speaks 1.0.
    pub http10: bool,
    /// Bytes of the head.
    pub length: usize,
}

/// Empty lines before a request are read over.
pub fn leading_lines(bytes: &[u8]) -> usize {
    let mut count = 0;
    while bytes.get(count..count + 2) == Some(b"\r\n") {
        count += 2;
    }
    count
}

/// A request's head; its fields go to `fields`. `None` if it isn't complete.
///
/// # Errors
/// `BadRequest` or `HeadTooLarge`.
pub fn request(
    bytes: &[u8],
    limits: HeadLimits,
    fields: &mut Fields,
) -> Result<Option<Request>, Fault> {
    let mut few = [MaybeUninit::uninit(); FEW];
    match request_in(bytes, limits, fields, &mut few) {
        Err(httparse::Error::TooManyHeaders) if limits.fields > FEW => {
            let mut many = vec![MaybeUninit::uninit(); limits.fields];
            request_in(bytes, limits, fields, &mut many)
        }
        other => other,
    }
    .map_err(|error| match error {
        httparse::Error::TooManyHeaders => Fault::HeadTooLarge,
        _ => Fault::BadRequest,
    })
    .and_then(|found| within(found, bytes, limits, |request| request.length))
}

fn request_in<'b>(
    bytes: &'b [u8],
    limits: HeadLimits,
    fields: &mut Fields,
    room: &mut [MaybeUninit<Header<'b>>],
) -> Result<Option<Request>, httparse::Error> {
    let most = room.len().min(limits.fields);
    let mut parsed = httparse::Request::new(&mut []);
    let status =
        parsed.parse_with_uninit_headers(bytes, room.get_mut(..most).unwrap_or_default())?;
    let Status::Complete(length) = status else {
        return Ok(None);
    };
    if !strict(bytes.get(..length).unwrap_or_default()) {
        return Err(httparse::Error::NewLine);
    }
    let method = parsed.method.unwrap_or_default();
    let method = Method::from_bytes(method.as_bytes()).map_err(|_| httparse::Error::Token)?;
    let uri = Uri::try_from(parsed.path.unwrap_or_default());
    fields.load(parsed.headers);
    Ok(Some(Request {
        method,
        uri: uri.map_err(|_| httparse::Error::Token)?,
        version: if parsed.version == Some(0) {
            Version::HTTP_10
        } else {
            Version::HTTP_11
        },
        length,
    }))
}

/// A response's head; its fields go to `fields`. `None` if it isn't complete.
///
/// # Errors
/// `Protocol`.
pub fn response(
    bytes: &[u8],
    limits: HeadLimits,
    fields: &mut Fields,
) -> Result<Option<Response>, Fault> {
    let mut few = [MaybeUninit::uninit(); FEW];
    match response_in(bytes, limits, fields, &mut few) {
        Err(httparse::Error::TooManyHeaders) if limits.fields > FEW => {
            let mut many = vec![MaybeUninit::uninit(); limits.fields];
            response_in(bytes, limits, fields, &mut many)
        }
        other => other,
    }
    .map_err(|_| Fault::Protocol)
    .and_then(|found| within(found, bytes, limits, |response| response.length))
    .map_err(|_| Fault::Protocol)
}

fn response_in<'b>(
    bytes: &'b [u8],
    limits: HeadLimits,
    fields: &mut Fields,
    room: &mut [MaybeUninit<Header<'b>>],
) -> Result<Option<Response>, httparse::Error> {
    let most = room.len().min(limits.fields);
    let mut parsed = httparse::Response::new(&mut []);
    let status = ParserConfig::default().parse_response_with_uninit_headers(
        &mut parsed,
        bytes,
        room.get_mut(..most).unwrap_or_default(),
    )?;
    let Status::Complete(length) = status else {
        return Ok(None);
    };
    let code = parsed.code.unwrap_or_default();
    if !(100..1000).contains(&code) {
        return Err(httparse::Error::Status);
    }
    fields.load(parsed.headers);
    Ok(Some(Response {
        status: code,
        reason: parsed.reason.unwrap_or_default().into(),
        http10: parsed.version == Some(0),
        length,
    }))
}

/// Trailers, with the empty line behind them.
///
/// # Errors
/// When they are malformed or too many.
pub fn trailers(bytes: &[u8], limits: HeadLimits, fields: &mut Fields) -> Result<(), Malformed> {
    let mut room = vec![httparse::EMPTY_HEADER; limits.fields];
    match httparse::parse_headers(bytes, &mut room) {
        Ok(Status::Complete((length, headers))) if length == bytes.len() && strict(bytes) => {
            fields.load(headers);
            Ok(())
        }
        _ => Err(Malformed),
    }
}

/// What was read isn't HTTP/1.1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Malformed;

fn within<T>(
    found: Option<T>,
    bytes: &[u8],
    limits: HeadLimits,
    length: impl Fn(&T) -> usize,
) -> Result<Option<T>, Fault> {
    let taken = found.as_ref().map_or(bytes.len(), length);
    if taken > limits.bytes || (found.is_none() && taken >= limits.bytes) {
        return Err(Fault::HeadTooLarge);
    }
    Ok(found)
}

/// Whether every line ends with CRLF. The parser lets no CR stand alone, so counting is enough.
fn strict(head: &[u8]) -> bool {
    let (mut feeds, mut returns) = (0_usize, 0_usize);
    for byte in head {
        feeds += usize::from(*byte == b'\n');
        returns += usize::from(*byte == b'\r');
    }
    feeds == returns
}

/// Whether bytes that came after the first `seen` may have completed a head.
pub fn may_be_whole(bytes: &[u8], seen: usize) -> bool {
    let new = bytes.get(seen.saturating_sub(3)..).unwrap_or_default();
    seen == 0
        || new.windows(2).any(|pair| pair == b"\n\n")
        || new.windows(3).any(|three| three == b"\n\r\n")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const LIMITS: HeadLimits = HeadLimits {
        bytes: 1024,
        fields: 100,
    };

    fn parsed(bytes: &[u8]) -> Result<bool, Fault> {
        request(bytes, LIMITS, &mut Fields::default()).map(|found| found.is_some())
    }

    #[test]
    fn heads_are_read_by_the_letter() {
        let many = |count| format!("GET / HTTP/1.1\r\n{}\r\n", "a: b\r\n".repeat(count));
        let long = format!("GET / HTTP/1.1\r\na: {}\r\n\r\n", "b".repeat(1024));
        for (head, expected, why) in [
            ("GET / HTTP/1.1\r\nHost: a\r\n\r\n", Ok(true), "a request"),
            ("GET / HTTP/1.1\r\nHost: a\r\n", Ok(false), "not complete"),
            (
                "GET / HTTP/1.1\nHost: a\n\n",
                Err(Fault::BadRequest),
                "bare LF",
            ),
            (
                "GET / HTTP/1.1\r\nHost: a\nb: c\r\n\r\n",
                Err(Fault::BadRequest),
                "one",
            ),
            (
                "GET / HTTP/1.1\r\na: b\r\n c\r\n\r\n",
                Err(Fault::BadRequest),
                "folded",
            ),
            (
                "GET / HTTP/1.1\r\na : b\r\n\r\n",
                Err(Fault::BadRequest),
                "a space",
            ),
            (
                "GET / HTTP/1.1\r\na: b\0\r\n\r\n",
                Err(Fault::BadRequest),
                "NUL",
            ),
            (
                "GET / HTTP/1.1\r\na: b\rc\r\n\r\n",
                Err(Fault::BadRequest),
                "bare CR",
            ),
            (
                "GET  / HTTP/1.1\r\n\r\n",
                Err(Fault::BadRequest),
                "two spaces",
            ),
            (&many(100), Ok(true), "as many fields as may be"),
            (&many(101), Err(Fault::HeadTooLarge), "one more"),
            (&long, Err(Fault::HeadTooLarge), "a long field"),
            (&long[..1024], Err(Fault::HeadTooLarge), "before its end"),
        ] {
            assert_eq!(parsed(head.as_bytes()), expected, "{why}");
        }
    }

    proptest! {
        #[test]
        fn arbitrary_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            let mut fields = Fields::default();
            let _ = request(&bytes, LIMITS, &mut fields);
            let _ = response(&bytes, LIMITS, &mut fields);
            let _ = trailers(&bytes, LIMITS, &mut fields);
        }

        #[test]
        fn a_head_in_pieces_is_looked_at_again_when_it_is_whole(split in 1..38_usize) {
            let head = b"GET /path HTTP/1.1\r\nHost: abc\r\na: b\r\n\r\n";
            prop_assert_eq!(parsed(&head[..split]), Ok(false));
            prop_assert!(may_be_whole(head, split));
        }
    }
}
