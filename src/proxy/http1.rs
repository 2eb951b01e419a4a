//! What a request needs beyond its target to leave as HTTP/1.1.

use http::header::{self, HeaderValue};
use http::{Method, Request, Response, StatusCode};

use super::gate::Gate;
use super::head::Head;
use super::interim::Interim;

/// hyper's own buffer, in bytes: no head larger than it is read whole, whatever its limit.
const BUFFER: usize = 8192 + 4096 * 100;

/// The buffer, in bytes, in which hyper reads a head as large as `most` bytes.
pub const fn buffer(most: usize) -> usize {
    if most > BUFFER { most } else { BUFFER }
}

/// Makes fields and framing say in HTTP/1.1 what the caller said in its own version.
pub fn prepare(method: &Method, headers: &mut impl Head, bodyless: bool) {
    join_cookies(headers);
    frame(method, headers, bodyless);
}

/// Opens a gate when the upstream says that the body may come.
pub fn open_on_continue<B>(request: &mut Request<B>, gate: Gate) {
    hyper::ext::on_informational(request, move |head| {
        if head.status() == StatusCode::CONTINUE {
            gate.open();
        }
    });
}

/// Hands interim responses on as they come.
pub fn relay_interim<B>(request: &mut Request<B>, interim: Interim) {
    hyper::ext::on_informational(request, move |head| {
        let mut copy = Response::new(());
        *copy.status_mut() = head.status();
        *copy.headers_mut() = head.headers().clone();
        interim.push(copy);
    });
}

/// HTTP/2 may split `Cookie`; HTTP/1.1 knows one (RFC 9113, section 8.2.3).
fn join_cookies(headers: &mut impl Head) {
    if headers.lines(&header::COOKIE).nth(1).is_none() {
        return;
    }
    let crumbs: Vec<&[u8]> = headers.lines(&header::COOKIE).collect();
    if let Ok(cookie) = HeaderValue::from_bytes(&crumbs.join(&b"; "[..])) {
        headers.set(header::COOKIE, cookie);
    }
}

/// Says how long the body is where HTTP/2 needn't. Of unknown length: chunked, for all methods,
/// as the engine would drop it for some. None where one is usual: zero (RFC 9110, section 8.6).
fn frame(method: &Method, headers: &mut impl Head, bodyless: bool) {
    if *method == Method::CONNECT || headers.has(&header::CONTENT_LENGTH) {
        return;
    }
    if !bodyless {
        let chunked = HeaderValue::from_static("chunked");
        headers.set(header::TRANSFER_ENCODING, chunked);
    } else if [Method::POST, Method::PUT, Method::PATCH].contains(method) {
        let zero = HeaderValue::from_static("0");
        headers.set(header::CONTENT_LENGTH, zero);
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use http::Request;
    use http::request::{Builder, Parts};
    use http_body::Body;
    use http_body_util::{BodyExt, Empty, Full};

    use super::*;

    fn prepared(builder: Builder, body: &impl Body) -> Parts {
        let (mut parts, ()) = builder.body(()).expect("a request").into_parts();
        prepare(&parts.method, &mut parts.headers, body.is_end_stream());
        parts
    }

    #[test]
    fn crumbs_become_one_cookie_and_one_cookie_stays_as_it_is() {
        let none = Empty::<Bytes>::new();
        let crumbs = Request::builder()
            .header("cookie", "a=1")
            .header("cookie", "b=2; c");
        let parts = prepared(crumbs, &none);
        let cookies: Vec<_> = parts.headers.lines(&header::COOKIE).collect();
        assert_eq!(cookies, [b"a=1; b=2; c"]);
        let parts = prepared(Request::builder().header("cookie", "a=1;b=2,"), &none);
        assert_eq!(parts.headers["cookie"], "a=1;b=2,");
    }

    #[test]
    fn bodies_of_unknown_length_are_chunked_and_missing_ones_have_none() {
        let body = Full::<Bytes>::from("x").map_frame(|frame| frame);
        for (method, length, chunked) in [
            ("GET", None, true),
            ("POST", None, true),
            ("GET", Some("1"), false),
            ("CONNECT", None, false),
        ] {
            let mut builder = Request::builder().method(method);
            if let Some(length) = length {
                builder = builder.header("content-length", length);
            }
            let parts = prepared(builder, &body);
            let found = parts.headers.contains_key("transfer-encoding");
            assert_eq!(found, chunked, "{method}, {length:?}");
        }
        let none = Empty::<Bytes>::new();
        assert!(prepared(Request::builder(), &none).headers.is_empty());
        let parts = prepared(Request::builder().method("PUT"), &none);
        assert_eq!(parts.headers["content-length"], "0");
    }
}
