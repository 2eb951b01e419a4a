//! How long a message is, said once: what two parsers might read differently is refused, or
//! said anew where the specification says how (RFC 9112, section 6).

use http::Version;
use http::header::{self, HeaderValue};

use super::head::Head;

/// The message's length can be read in more than one way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ambiguous;

/// How a message's length is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Length {
    /// No body.
    None,
    /// Bytes.
    Exact(u64),
    /// In chunks.
    Chunked,
    /// Until the connection ends.
    Close,
}

/// How long a request's body is, read from fields that [`check_request`] lets through.
pub fn request_length(headers: &impl Head, version: Version) -> Result<Length, Ambiguous> {
    match coding(headers) {
        Coding::None => told(headers).map(|length| length.map_or(Length::None, Length::Exact)),
        Coding::Chunked if version == Version::HTTP_11 => Ok(Length::Chunked),
        _ => Err(Ambiguous),
    }
}

/// How long a response's body is, if it may have one: `coding` as it came, the fields settled.
pub fn response_length(headers: &impl Head, coding: Coding) -> Result<Length, Ambiguous> {
    match coding {
        Coding::Chunked => Ok(Length::Chunked),
        Coding::Other => Ok(Length::Close),
        Coding::None => told(headers).map(|length| length.map_or(Length::Close, Length::Exact)),
    }
}

/// A message's transfer coding.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Coding {
    /// None.
    None,
    /// Chunks.
    Chunked,
    /// Anything else.
    Other,
}

/// Reads a message's transfer coding.
pub fn coding(headers: &impl Head) -> Coding {
    match headers.first(&header::TRANSFER_ENCODING) {
        None => Coding::None,
        Some(value) if value.trim_ascii().eq_ignore_ascii_case(b"chunked") => Coding::Chunked,
        Some(_) => Coding::Other,
    }
}

fn told(headers: &impl Head) -> Result<Option<u64>, Ambiguous> {
    let Some(value) = headers.first(&header::CONTENT_LENGTH) else {
        return Ok(None);
    };
    let digits = std::str::from_utf8(value).map_err(|_| Ambiguous)?;
    digits.parse().map(Some).map_err(|_| Ambiguous)
}

/// Checks a request as the engine hands it over. Call before hop-by-hop fields are removed.
///
/// A second `Content-Length` comes through over HTTP/2, and so do codings beside `chunked` over
/// HTTP/1: removing the field would pass the coded bytes off as plain ones. A `plain` head has
/// no `Transfer-Encoding`.
pub fn check_request(headers: &impl Head, plain: bool) -> Result<(), Ambiguous> {
    let mut lengths = headers.lines(&header::CONTENT_LENGTH);
    let first = lengths.next();
    let odd = first.is_some_and(|value| !is_number(value));
    let both = first.is_some() && !plain && headers.has(&header::TRANSFER_ENCODING);
    if odd || both || lengths.next().is_some() || (!plain && coded(headers)) {
        return Err(Ambiguous);
    }
    Ok(())
}

/// Makes a response say its length once: `Transfer-Encoding` wins over `Content-Length`, equal
/// lengths become one. A `plain` head has no `Transfer-Encoding`.
pub fn settle_response(headers: &mut impl Head, plain: bool) -> Result<(), Ambiguous> {
    if !plain && coded(headers) {
        return Err(Ambiguous);
    }
    if !plain && headers.has(&header::TRANSFER_ENCODING) {
        headers.remove(&header::CONTENT_LENGTH);
        return Ok(());
    }
    let mut members = headers
        .lines(&header::CONTENT_LENGTH)
        .flat_map(|value| value.split(|b| *b == b','))
        .map(<[u8]>::trim_ascii);
    let Some(first) = members.next() else {
        return Ok(());
    };
    if !is_number(first) {
        return Err(Ambiguous);
    }
    let mut several = false;
    for other in members {
        if other != first {
            return Err(Ambiguous);
        }
        several = true;
    }
    if several {
        let one = HeaderValue::from_bytes(first).map_err(|_| Ambiguous)?;
        headers.set(header::CONTENT_LENGTH, one);
    }
    Ok(())
}

/// Whether there is another transfer coding than one `chunked`, or than none at all, which
/// used to be called `identity`.
fn coded(headers: &impl Head) -> bool {
    let mut codings = headers.lines(&header::TRANSFER_ENCODING);
    let plain = |value: &[u8]| {
        let value = value.trim_ascii();
        value.eq_ignore_ascii_case(b"chunked") || value.eq_ignore_ascii_case(b"identity")
    };
    codings.next().is_some_and(|value| !plain(value)) || codings.next().is_some()
}

fn is_number(value: &[u8]) -> bool {
    !value.is_empty() && value.iter().all(u8::is_ascii_digit)
}

#[cfg(test)]
mod tests {
    use http::HeaderMap;

    use super::*;

    fn headers(fields: &[(&'static str, &str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in fields {
            headers.append(*name, value.parse().unwrap());
        }
        headers
    }

    const LENGTH: &str = "content-length";
    const CODING: &str = "transfer-encoding";

    #[test]
    fn requests_with_more_than_one_reading_are_refused() {
        for (fields, expected, why) in [
            (&[][..], Ok(()), "no body"),
            (&[(LENGTH, "5")], Ok(()), "a length"),
            (&[(CODING, "chunked")], Ok(()), "chunks"),
            (&[(CODING, "Chunked")], Ok(()), "chunks in capitals"),
            (
                &[(LENGTH, "5"), (LENGTH, "5")],
                Err(Ambiguous),
                "twice the same",
            ),
            (
                &[(LENGTH, "0"), (LENGTH, "5")],
                Err(Ambiguous),
                "two lengths",
            ),
            (&[(LENGTH, "5, 5")], Err(Ambiguous), "a list"),
            (&[(LENGTH, "+5")], Err(Ambiguous), "a sign"),
            (&[(LENGTH, "")], Err(Ambiguous), "nothing"),
            (
                &[(LENGTH, "5"), (CODING, "chunked")],
                Err(Ambiguous),
                "a length and chunks",
            ),
            (&[(CODING, "gzip, chunked")], Err(Ambiguous), "coded twice"),
            (
                &[(CODING, "chunked, chunked")],
                Err(Ambiguous),
                "chunks of chunks",
            ),
            (
                &[(CODING, "chunked"), (CODING, "chunked")],
                Err(Ambiguous),
                "two lines",
            ),
        ] {
            assert_eq!(check_request(&headers(fields), false), expected, "{why}");
        }
    }

    #[test]
    fn a_requests_body_is_as_long_as_its_fields_say() {
        let rows = [
            (&[][..], Version::HTTP_11, Ok(Length::None)),
            (&[(LENGTH, "005")], Version::HTTP_11, Ok(Length::Exact(5))),
            (
                &[(LENGTH, "18446744073709551616")],
                Version::HTTP_11,
                Err(Ambiguous),
            ),
            (
                &[(CODING, "Chunked")],
                Version::HTTP_11,
                Ok(Length::Chunked),
            ),
            (&[(CODING, "chunked")], Version::HTTP_10, Err(Ambiguous)),
            (&[(CODING, "identity")], Version::HTTP_11, Err(Ambiguous)),
        ];
        for (fields, version, expected) in rows {
            let found = request_length(&headers(fields), version);
            assert_eq!(found, expected, "{fields:?} {version:?}");
        }
    }

    #[test]
    fn responses_say_their_length_once() {
        for (fields, expected, why) in [
            (&[][..], Ok(&[][..]), "until the end"),
            (&[(LENGTH, "5")], Ok(&["5"]), "a length"),
            (
                &[(LENGTH, "5"), (LENGTH, "5")],
                Ok(&["5"]),
                "twice the same",
            ),
            (&[(LENGTH, "5, 5")], Ok(&["5"]), "a list of the same"),
            (&[(LENGTH, "5"), (CODING, "chunked")], Ok(&[]), "chunks win"),
            (
                &[(LENGTH, "5"), (CODING, "identity")],
                Ok(&[]),
                "until the end",
            ),
            (
                &[(LENGTH, "5"), (LENGTH, "6")],
                Err(Ambiguous),
                "two lengths",
            ),
            (&[(LENGTH, "5, 6")], Err(Ambiguous), "a list of two"),
            (&[(LENGTH, "-5")], Err(Ambiguous), "a sign"),
            (&[(CODING, "gzip, chunked")], Err(Ambiguous), "coded twice"),
        ] {
            let mut headers = headers(fields);
            let settled = settle_response(&mut headers, false);
            assert_eq!(settled, expected.map(|_| ()), "{why}");
            if let Ok(lengths) = expected {
                let left: Vec<_> = headers.get_all(LENGTH).iter().collect();
                assert_eq!(left, lengths, "{why}");
            }
        }
    }
}
