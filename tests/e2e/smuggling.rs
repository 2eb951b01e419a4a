//! Requests that two servers might read differently: what leaves has one reading only, or
//! nothing leaves. The component behind is strict to the byte.

mod chunks;
mod floods;
mod from_http2;
mod responses;
mod upgrades;

use super::proxy::{self, Proxy};
use super::strict::{Raw, Strict};
use super::wire::{self, Wire};

/// A request that hides inside another one; it must never be seen by the component.
const HIDDEN: &str = "GET /hidden HTTP/1.1\r\nHost: a\r\n\r\n";

struct Rig {
    /// Ends first: the component waits for its connections.
    proxy: Proxy,
    component: Strict,
}

impl Rig {
    fn start() -> Self {
        Self::with(Strict::start(), "")
    }

    /// HTTP/1.1 towards the component, whatever callers speak.
    fn with(component: Strict, more: &str) -> Self {
        let listeners = format!(
            "- name: a\n  bind: 127.0.0.1:0\n  upstream: {{url: \"{}\", protocol: http1}}\n{more}",
            component.url()
        );
        let yaml = proxy::custom("  export: {protocol: none}", &listeners);
        let proxy = Proxy::start(&yaml);
        Self { component, proxy }
    }

    /// Sends bytes and reads to the end of the connection, which has to come: what followed
    /// an ambiguous request must not become one. Says with which status it was answered and
    /// what the component saw of it.
    fn attack(&self, bytes: &[u8]) -> (u16, Vec<Raw>) {
        let mut wire = Wire::connect(self.proxy.at(0));
        wire.send(bytes);
        let answer = String::from_utf8_lossy(&wire.rest()).into_owned();
        (wire::status(&answer), self.component.take())
    }
}

#[test]
fn requests_with_two_readings_are_refused() {
    let host = "Host: a\r\n";
    let rows: Vec<(&str, String)> = vec![
        (
            "both, length first",
            format!(
                "POST /a HTTP/1.1\r\n{host}Content-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n\r\n{HIDDEN}"
            ),
        ),
        (
            "both, coding first",
            format!(
                "POST /a HTTP/1.1\r\n{host}Transfer-Encoding: chunked\r\nContent-Length: 4\r\n\r\n2\r\nhi\r\n0\r\n\r\n{HIDDEN}"
            ),
        ),
        (
            "coding and a bad length",
            format!(
                "POST /a HTTP/1.1\r\n{host}Transfer-Encoding: chunked\r\nContent-Length: x\r\n\r\n2\r\nhi\r\n0\r\n\r\n{HIDDEN}"
            ),
        ),
        (
            "the same length twice",
            format!("POST /a HTTP/1.1\r\n{host}Content-Length: 2\r\nContent-Length: 2\r\n\r\nhi"),
        ),
        (
            "bare line feeds",
            "POST /a HTTP/1.1\nHost: a\nContent-Length: 2\n\nhi".to_owned(),
        ),
        (
            "one bare line feed",
            "GET /a HTTP/1.1\r\nHost: a\nX-A: b\r\n\r\n".to_owned(),
        ),
        (
            "two lengths",
            format!(
                "POST /a HTTP/1.1\r\n{host}Content-Length: 0\r\nContent-Length: {}\r\n\r\n{HIDDEN}",
                HIDDEN.len()
            ),
        ),
        (
            "a signed length",
            format!("POST /a HTTP/1.1\r\n{host}Content-Length: +5\r\n\r\nhello"),
        ),
        (
            "a negative length",
            format!("POST /a HTTP/1.1\r\n{host}Content-Length: -1\r\n\r\n"),
        ),
        (
            "a list of lengths",
            format!("POST /a HTTP/1.1\r\n{host}Content-Length: 5, 5\r\n\r\nhello"),
        ),
        (
            "a length with a space",
            format!("POST /a HTTP/1.1\r\n{host}Content-Length: 5 5\r\n\r\nhello"),
        ),
        (
            "an empty length",
            format!("POST /a HTTP/1.1\r\n{host}Content-Length:\r\n\r\n{HIDDEN}"),
        ),
        (
            "a hexadecimal length",
            format!("POST /a HTTP/1.1\r\n{host}Content-Length: 0x5\r\n\r\nhello"),
        ),
        (
            "a length beyond 64 bits",
            format!("POST /a HTTP/1.1\r\n{host}Content-Length: 18446744073709551617\r\n\r\nhello"),
        ),
        (
            "chunked twice",
            format!(
                "POST /a HTTP/1.1\r\n{host}Transfer-Encoding: chunked, chunked\r\n\r\n0\r\n\r\n{HIDDEN}"
            ),
        ),
        (
            "chunked on two lines",
            format!(
                "POST /a HTTP/1.1\r\n{host}Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n{HIDDEN}"
            ),
        ),
        (
            "chunked, identity",
            format!(
                "POST /a HTTP/1.1\r\n{host}Transfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n{HIDDEN}"
            ),
        ),
        (
            "identity, chunked",
            format!(
                "POST /a HTTP/1.1\r\n{host}Transfer-Encoding: identity, chunked\r\n\r\n0\r\n\r\n{HIDDEN}"
            ),
        ),
        (
            "gzip, chunked",
            format!(
                "POST /a HTTP/1.1\r\n{host}Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n{HIDDEN}"
            ),
        ),
        (
            "xchunked",
            format!(
                "POST /a HTTP/1.1\r\n{host}Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n{HIDDEN}"
            ),
        ),
        (
            "identity",
            format!("POST /a HTTP/1.1\r\n{host}Transfer-Encoding: identity\r\n\r\n{HIDDEN}"),
        ),
        (
            "quoted chunked",
            format!(
                "POST /a HTTP/1.1\r\n{host}Transfer-Encoding: \"chunked\"\r\n\r\n0\r\n\r\n{HIDDEN}"
            ),
        ),
        (
            "chunked with a parameter",
            format!(
                "POST /a HTTP/1.1\r\n{host}Transfer-Encoding: chunked;q=1\r\n\r\n0\r\n\r\n{HIDDEN}"
            ),
        ),
        (
            "chunked behind a vertical tab",
            format!(
                "POST /a HTTP/1.1\r\n{host}Transfer-Encoding: \x0bchunked\r\n\r\n0\r\n\r\n{HIDDEN}"
            ),
        ),
        (
            "chunks in HTTP/1.0",
            format!(
                "POST /a HTTP/1.0\r\n{host}Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n{HIDDEN}"
            ),
        ),
        (
            "xchunked beside a length",
            format!(
                "POST /a HTTP/1.1\r\n{host}Content-Length: 5\r\nTransfer-Encoding: xchunked\r\n\r\nhello"
            ),
        ),
        (
            "a folded line",
            format!(
                "POST /a HTTP/1.1\r\n{host}X-A: b\r\n Transfer-Encoding: chunked\r\n\r\n{HIDDEN}"
            ),
        ),
        (
            "a folded coding",
            format!(
                "POST /a HTTP/1.1\r\n{host}Transfer-Encoding:\r\n chunked\r\n\r\n0\r\n\r\n{HIDDEN}"
            ),
        ),
        (
            "a folded first line",
            format!("GET /a HTTP/1.1\r\n X-A: b\r\n{host}\r\n"),
        ),
        (
            "a space before the colon",
            format!(
                "POST /a HTTP/1.1\r\n{host}Transfer-Encoding : chunked\r\n\r\n0\r\n\r\n{HIDDEN}"
            ),
        ),
        (
            "a tab before the colon",
            format!("POST /a HTTP/1.1\r\n{host}Content-Length\t: 5\r\n\r\nhello"),
        ),
        (
            "a NUL in a name",
            format!("GET /a HTTP/1.1\r\n{host}X-\0A: b\r\n\r\n"),
        ),
        (
            "a NUL in a value",
            format!("GET /a HTTP/1.1\r\n{host}X-A: b\0c\r\n\r\n"),
        ),
        (
            "a bare CR in a value",
            format!("GET /a HTTP/1.1\r\n{host}X-A: b\rX-B: c\r\n\r\n"),
        ),
        (
            "a bare CR ends a line",
            format!("GET /a HTTP/1.1\r{host}\r\n\r\n"),
        ),
        (
            "a line without colon",
            format!("GET /a HTTP/1.1\r\n{host}X-A\r\n\r\n"),
        ),
        (
            "an empty name",
            format!("GET /a HTTP/1.1\r\n{host}: b\r\n\r\n"),
        ),
        (
            "a name with a space",
            format!("GET /a HTTP/1.1\r\n{host}X A: b\r\n\r\n"),
        ),
        (
            "a control character",
            format!("GET /a HTTP/1.1\r\n{host}X-A: b\x01\r\n\r\n"),
        ),
        (
            "two spaces in the line",
            format!("GET  /a HTTP/1.1\r\n{host}\r\n"),
        ),
        (
            "a tab in the line",
            format!("GET\t/a\tHTTP/1.1\r\n{host}\r\n"),
        ),
        (
            "a space in the target",
            format!("GET /a b HTTP/1.1\r\n{host}\r\n"),
        ),
        (
            "two versions",
            format!("GET /a HTTP/1.1 HTTP/1.1\r\n{host}\r\n"),
        ),
        ("no version", format!("GET /a\r\n{host}\r\n")),
        ("another version", format!("GET /a HTTP/1.2\r\n{host}\r\n")),
        (
            "version 2 by word",
            format!("GET /a HTTP/2.0\r\n{host}\r\n"),
        ),
        (
            "version in small letters",
            format!("GET /a http/1.1\r\n{host}\r\n"),
        ),
        (
            "a target without slash",
            format!("GET a HTTP/1.1\r\n{host}\r\n"),
        ),
        (
            "an authority as target",
            format!("GET a:80 HTTP/1.1\r\n{host}\r\n"),
        ),
        (
            "a NUL in the target",
            format!("GET /a\0 HTTP/1.1\r\n{host}\r\n"),
        ),
        ("an odd method", format!("G@T /a HTTP/1.1\r\n{host}\r\n")),
        ("no Host", "GET /a HTTP/1.1\r\n\r\n".to_owned()),
        (
            "two Hosts",
            format!("GET /a HTTP/1.1\r\n{host}Host: b\r\n\r\n"),
        ),
        (
            "twice the same Host",
            format!("GET /a HTTP/1.1\r\n{host}{host}\r\n"),
        ),
        (
            "two Hosts beside absolute-form",
            format!("GET http://a/a HTTP/1.1\r\n{host}Host: b\r\n\r\n"),
        ),
        (
            "a Host with a path",
            "GET /a HTTP/1.1\r\nHost: a/b\r\n\r\n".to_owned(),
        ),
        (
            "a Host with a user",
            "GET /a HTTP/1.1\r\nHost: a@b\r\n\r\n".to_owned(),
        ),
        (
            "a list of Hosts",
            "GET /a HTTP/1.1\r\nHost: a, b\r\n\r\n".to_owned(),
        ),
        (
            "a Host with a word as port",
            "GET /a HTTP/1.1\r\nHost: a:b\r\n\r\n".to_owned(),
        ),
        (
            "absolute-form with a user",
            format!("GET http://u:p@a/a HTTP/1.1\r\n{host}\r\n"),
        ),
        (
            "CONNECT",
            format!("CONNECT a:80 HTTP/1.1\r\n{host}\r\n{HIDDEN}"),
        ),
    ];
    let rig = Rig::start();
    for (why, bytes) in rows {
        // What isn't refused ends its connection, too: a failing row must not hang.
        let (status, seen) = rig.attack(bytes.as_bytes());
        let expected = if why == "CONNECT" { 405 } else { 400 };
        assert_eq!(status, expected, "{why}: {seen:#?}");
        assert!(seen.is_empty(), "{why}: {seen:#?}");
    }
}

#[test]
fn requests_that_can_be_said_clearly_are_said_clearly() {
    let rows: Vec<(&str, String, &str, &str)> = vec![
        ("a length with zeros", "POST /a HTTP/1.1\r\nHost: a\r\nConnection: close\r\nContent-Length: 0002\r\n\r\nhi".to_owned(), "POST /a HTTP/1.1", "hi"),
        ("leading empty lines", "\r\n\r\nGET /a HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n".to_owned(), "GET /a HTTP/1.1", ""),
        ("a chunk extension", "POST /a HTTP/1.1\r\nHost: a\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n2;a=\"b;\"\r\nhi\r\n0;c\r\n\r\n".to_owned(), "POST /a HTTP/1.1", "hi"),
        ("zeros before a size", "POST /a HTTP/1.1\r\nHost: a\r\nConnection: close\r\nTransfer-Encoding: CHUNKED\r\n\r\n0002\r\nhi\r\n000\r\n\r\n".to_owned(), "POST /a HTTP/1.1", "hi"),
        ("absolute-form and another Host", "GET http://a:80/a?b HTTP/1.1\r\nHost: b\r\nConnection: close\r\n\r\n".to_owned(), "GET /a?b HTTP/1.1", ""),
        ("absolute-form without path", "GET http://a:80 HTTP/1.1\r\nHost: b\r\nConnection: close\r\n\r\n".to_owned(), "GET / HTTP/1.1", ""),
        ("HTTP/1.0 with Host", "GET /a HTTP/1.0\r\nHost: a\r\n\r\n".to_owned(), "GET /a HTTP/1.1", ""),
        ("HTTP/1.0 without Host", "GET /a HTTP/1.0\r\n\r\n".to_owned(), "GET /a HTTP/1.1", ""),
        ("an empty Host", "GET /a HTTP/1.1\r\nHost:\r\nConnection: close\r\n\r\n".to_owned(), "GET /a HTTP/1.1", ""),
        ("trailers", "POST /a HTTP/1.1\r\nHost: a\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\nContent-Length: 50\r\nHost: b\r\nTransfer-Encoding: x\r\n\r\n".to_owned(), "POST /a HTTP/1.1", "hi"),
    ];
    let rig = Rig::start();
    let url = rig.component.url();
    for (why, bytes, line, body) in rows {
        let (status, seen) = rig.attack(bytes.as_bytes());
        assert_eq!((status, seen.len()), (200, 1), "{why}: {seen:#?}");
        assert_eq!(seen[0].line(), line, "{why}");
        assert_eq!(seen[0].body, body.as_bytes(), "{why}");
        let host = match why {
            _ if why.starts_with("absolute") => "a:80",
            "an empty Host" => "",
            // It is asked by the address it has.
            "HTTP/1.0 without Host" => &url["http://".len()..],
            _ => "a",
        };
        assert_eq!(seen[0].values("host"), [host], "{why}");
    }
}
