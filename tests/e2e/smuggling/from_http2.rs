//! HTTP/2 carries bytes that HTTP/1 would read as structure: none of them may cross over.

use super::{HIDDEN, Rig};
use crate::frames::{Answered, Field, Frames, pseudo};
use crate::strict::Raw;

/// PROTOCOL_ERROR (RFC 9113, section 7).
const PROTOCOL_ERROR: u32 = 1;

/// Why it is one, its fields, its body.
type Attack<'a> = (&'a str, Vec<Field<'a>>, Option<&'a [u8]>);

/// Its fields, its body; the request line and the body that arrive.
type Crossing<'a> = (Vec<Field<'a>>, Option<&'a [u8]>, &'a str, &'a str);

impl Rig {
    /// Sends one request; says how it was answered and what the component saw.
    fn stream(&self, fields: &[Field<'_>], body: Option<&[u8]>) -> (Answered, Vec<Raw>) {
        let mut frames = Frames::connect(self.proxy.at(0));
        frames.head(1, fields, body.is_none());
        if let Some(body) = body {
            frames.last_data(1, body);
        }
        (frames.answered(1), self.component.take())
    }
}

/// A request's fields with one more.
fn with<'a>(name: &'a [u8], value: &'a [u8]) -> Vec<Field<'a>> {
    let mut fields = pseudo("POST", "/a");
    fields.push((name, value));
    fields
}

/// The same with two.
fn with_two<'a>(one: Field<'a>, two: Field<'a>) -> Vec<Field<'a>> {
    let mut fields = pseudo("POST", "/a");
    fields.extend([one, two]);
    fields
}

/// A request with another value of one pseudo-header field, or without it.
fn but<'a>(name: &[u8], value: Option<&'a [u8]>) -> Vec<Field<'a>> {
    let mut fields = pseudo("GET", "/a");
    match value {
        Some(value) => {
            let field = fields.iter_mut().find(|(n, _)| *n == name);
            field.expect("a pseudo-header field").1 = value;
        }
        None => fields.retain(|(n, _)| *n != name),
    }
    fields
}

#[test]
fn heads_that_http1_would_read_otherwise_are_refused() {
    let hidden = format!("b\r\n\r\n{HIDDEN}");
    let coding = b"transfer-encoding";
    let length = b"content-length";
    let regular: Field<'_> = (b"x-a", b"b");
    let mut behind = pseudo("GET", "/a");
    behind.insert(0, regular);
    let mut twice = pseudo("GET", "/a");
    twice.push((b":path", b"/b"));
    let mut unknown = pseudo("GET", "/a");
    unknown.push((b":hidden", b"b"));
    let mut response = pseudo("GET", "/a");
    response.push((b":status", b"200"));

    let rows: Vec<Attack<'_>> = vec![
        ("CR LF in a value", with(b"x-a", b"b\r\nx-b: c"), None),
        (
            "a whole request in a value",
            with(b"x-a", hidden.as_bytes()),
            None,
        ),
        ("LF in a value", with(b"x-a", b"b\nx-b: c"), None),
        ("CR in a value", with(b"x-a", b"b\rx-b: c"), None),
        ("NUL in a value", with(b"x-a", b"b\0c"), None),
        ("CR LF in a name", with(b"x-a: b\r\nx-b", b"c"), None),
        ("a colon in a name", with(b"x-a: b", b"c"), None),
        ("a space in a name", with(b"x a", b"b"), None),
        ("capitals in a name", with(b"X-A", b"b"), None),
        ("an empty name", with(b"", b"b"), None),
        ("a NUL in a name", with(b"x\0a", b"b"), None),
        ("obs-text in a name", with(b"x\xe9", b"b"), None),
        ("chunked", with(coding, b"chunked"), Some(b"0\r\n\r\n")),
        ("a connection", with(b"connection", b"close"), None),
        ("a nomination", with(b"connection", b"traceparent"), None),
        ("keep-alive", with(b"keep-alive", b"timeout=5"), None),
        (
            "proxy-connection",
            with(b"proxy-connection", b"close"),
            None,
        ),
        ("an upgrade", with(b"upgrade", b"websocket"), None),
        ("te beyond trailers", with(b"te", b"gzip"), None),
        ("a length without body", with(length, b"5"), None),
        ("a length too long", with(length, b"9"), Some(b"hello")),
        ("a length too short", with(length, b"2"), Some(b"hello")),
        ("a signed length", with(length, b"+5"), Some(b"hello")),
        ("a list of lengths", with(length, b"5, 5"), Some(b"hello")),
        ("an empty length", with(length, b""), Some(b"hello")),
        (
            "no length, then one",
            with_two((length, b"0"), (length, b"50")),
            None,
        ),
        (
            "two lengths",
            with_two((length, b"5"), (length, b"2")),
            Some(b"hello"),
        ),
        (
            "twice the same length",
            with_two((length, b"5"), (length, b"5")),
            Some(b"hello"),
        ),
        (
            "a space in the path",
            but(b":path", Some(b"/a HTTP/1.1")),
            None,
        ),
        (
            "CR LF in the path",
            but(b":path", Some(b"/a HTTP/1.1\r\nx-a: b")),
            None,
        ),
        ("NUL in the path", but(b":path", Some(b"/a\0b")), None),
        ("a tab in the path", but(b":path", Some(b"/a\tb")), None),
        ("an empty path", but(b":path", Some(b"")), None),
        ("no path", but(b":path", None), None),
        ("a path without slash", but(b":path", Some(b"a")), None),
        ("an absolute path", but(b":path", Some(b"http://b/a")), None),
        ("an authority as path", but(b":path", Some(b"b:80")), None),
        (
            "a space in the method",
            but(b":method", Some(b"GET /b HTTP/1.1")),
            None,
        ),
        (
            "CR LF in the method",
            but(b":method", Some(b"GET /b HTTP/1.1\r\nx: ")),
            None,
        ),
        ("an empty method", but(b":method", Some(b"")), None),
        ("no method", but(b":method", None), None),
        ("no scheme", but(b":scheme", None), None),
        (
            "CR LF in the scheme",
            but(b":scheme", Some(b"http\r\nx: y")),
            None,
        ),
        (
            "CR LF in the authority",
            but(b":authority", Some(b"a\r\nx-a: b")),
            None,
        ),
        (
            "a path in the authority",
            but(b":authority", Some(b"a/b")),
            None,
        ),
        (
            "a user in the authority",
            but(b":authority", Some(b"u@a")),
            None,
        ),
        (
            "a space in the authority",
            but(b":authority", Some(b"a b")),
            None,
        ),
        ("no authority, no host", but(b":authority", None), None),
        (
            "two hosts",
            with_two((b"host", b"a"), (b"host", b"b")),
            None,
        ),
        ("a pseudo-header field behind", behind, None),
        ("two paths", twice, None),
        ("an unknown pseudo-header field", unknown, None),
        ("a response's pseudo-header field", response, None),
    ];
    let rig = Rig::start();
    for (why, fields, body) in rows {
        let (answered, seen) = rig.stream(&fields, body);
        match answered {
            Answered::Status(400) | Answered::Reset(_) | Answered::GoAway(_) | Answered::Closed => {
            }
            other => panic!("{why}: {other:?} {seen:#?}"),
        }
        assert!(seen.is_empty(), "{why}: {seen:#?}");
    }
}

#[test]
fn requests_that_http1_can_carry_arrive_in_one_reading() {
    let rig = Rig::start();
    let rows: Vec<Crossing<'_>> = vec![
        (pseudo("GET", "/a?b=c"), None, "GET /a?b=c HTTP/1.1", ""),
        (
            pseudo("POST", "/a"),
            Some(b"hello"),
            "POST /a HTTP/1.1",
            "hello",
        ),
        (
            pseudo("POST", "/a"),
            Some(b"0\r\n\r\n"),
            "POST /a HTTP/1.1",
            "0\r\n\r\n",
        ),
        (
            with(b"content-length", b"5"),
            Some(b"hello"),
            "POST /a HTTP/1.1",
            "hello",
        ),
        (with(b"host", b"b"), None, "POST /a HTTP/1.1", ""),
        (with(b"te", b"trailers"), None, "POST /a HTTP/1.1", ""),
        (pseudo("PURGE", "/a"), None, "PURGE /a HTTP/1.1", ""),
        (pseudo("OPTIONS", "*"), None, "OPTIONS * HTTP/1.1", ""),
    ];
    for (fields, body, line, arrived) in rows {
        let (answered, seen) = rig.stream(&fields, body);
        assert_eq!(answered, Answered::Status(200), "{line}");
        assert_eq!(seen.len(), 1, "{seen:#?}");
        assert_eq!(seen[0].line(), line);
        // `:authority` wins over a host beside it.
        assert_eq!(seen[0].values("host"), ["example.com"], "{line}");
        assert_eq!(seen[0].body, arrived.as_bytes(), "{line}");
    }
}

#[test]
fn cookie_crumbs_arrive_as_one_cookie() {
    let rig = Rig::start();
    let fields = with_two((b"cookie", b"a=1"), (b"cookie", b"b=2"));
    let (answered, seen) = rig.stream(&fields, None);
    assert_eq!(answered, Answered::Status(200));
    assert_eq!(seen[0].values("cookie"), ["a=1; b=2"]);
}

#[test]
fn a_request_refused_on_one_stream_leaves_the_others_alone() {
    let rig = Rig::start();
    let mut frames = Frames::connect(rig.proxy.at(0));
    frames.head(
        1,
        &with_two((b"content-length", b"0"), (b"content-length", b"9")),
        true,
    );
    frames.head(3, &with(b"x-a", b"b"), true);
    assert_eq!(frames.answered(1), Answered::Reset(PROTOCOL_ERROR));
    assert_eq!(frames.answered(3), Answered::Status(200));
    assert_eq!(rig.component.take().len(), 1);
}
