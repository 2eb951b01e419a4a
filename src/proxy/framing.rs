//! How long a message is, said once: what two parsers might read differently is refused, or
//! said anew where the specification says how (RFC 9112, section 6).

use http::header::{self, HeaderMap, HeaderValue};

use super::head::Head;

/// The message's length can be read in more than one way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ambiguous;

/// Checks a request as the engine hands it over. Call before hop-by-hop fields are removed.
///
/// A second `Content-Length` comes through over HTTP/2, and so do codings beside `chunked` over
/// HTTP/1: removing the field would pass the coded bytes off as plain ones.
pub fn check_request(headers: &HeaderMap) -> Result<(), Ambiguous> {
    let mut lengths = headers.lines(&header::CONTENT_LENGTH);
    let odd = lengths.next().is_some_and(|value| !is_number(value));
    if odd || lengths.next().is_some() || coded(headers) {
        return Err(Ambiguous);
    }
    Ok(())
}

/// Makes a response say its length once: `Transfer-Encoding` wins over `Content-Length`, equal
/// lengths become one.
pub fn settle_response(headers: &mut HeaderMap) -> Result<(), Ambiguous> {
    if coded(headers) {
        return Err(Ambiguous);
    }
    if headers.contains_key(header::TRANSFER_ENCODING) {
        headers.remove(header::CONTENT_LENGTH);
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
        headers.insert(header::CONTENT_LENGTH, one);
    }
    Ok(())
}

/// Whether there is another transfer coding than one `chunked`, or than none at all, which
/// used to be called `identity`.
fn coded(headers: &HeaderMap) -> bool {
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
            assert_eq!(check_request(&headers(fields)), expected, "{why}");
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
            let settled = settle_response(&mut headers);
            assert_eq!(settled, expected.map(|_| ()), "{why}");
            if let Ok(lengths) = expected {
                let left: Vec<_> = headers.get_all(LENGTH).iter().collect();
                assert_eq!(left, lengths, "{why}");
            }
        }
    }
}
