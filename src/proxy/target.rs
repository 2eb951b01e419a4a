//! The request's target, from what the caller wrote to what the upstream must read.
//!
//! HTTP/1 upstreams get origin-form and `Host`, HTTP/2 upstreams get `:scheme`, `:authority`
//! and no `Host` (RFC 9112, section 3.2; RFC 9113, section 8.3.1).

use http::header::{self, HeaderValue};
use http::request::Parts;
use http::uri::{Authority, PathAndQuery, Scheme, Uri};
use http::{Method, Version};

use super::head::{Head, Line};

/// What is wrong with a target.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BadTarget {
    /// HTTP/1.1 without `Host`, or with more than one (RFC 9112, section 3.2).
    Host,
    /// Not a form that can be forwarded.
    Form,
}

impl BadTarget {
    /// What the caller is told.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Host => "expected exactly one valid Host",
            Self::Form => "expected a target in origin-form, absolute-form or asterisk-form",
        }
    }
}

/// Makes sure that one place says who is asked, whatever form the target came in.
///
/// An absolute-form target's authority replaces `Host` (RFC 9112, section 3.2.2), and HTTP/2's
/// `:authority` replaces a `Host` that stands beside it.
pub fn normalise(line: Line<'_>, headers: &mut impl Head) -> Result<(), BadTarget> {
    let (host, several) = {
        let mut hosts = headers.lines(&header::HOST);
        (hosts.next(), hosts.next().is_some())
    };
    if several {
        return Err(BadTarget::Host);
    }
    let named = match (line.uri.authority(), host) {
        (Some(authority), None) if line.version == Version::HTTP_2 => {
            is_host(authority.as_str().as_bytes())
        }
        (Some(authority), _) => {
            let authority = authority.as_str();
            if host != Some(authority.as_bytes()) {
                let value = HeaderValue::from_str(authority).map_err(|_| BadTarget::Host)?;
                headers.set(header::HOST, value);
            }
            is_host(authority.as_bytes())
        }
        (None, Some(host)) => is_host(host),
        (None, None) => line.version == Version::HTTP_10,
    };
    if !named {
        return Err(BadTarget::Host);
    }
    let well_formed = if *line.method == Method::CONNECT {
        // Without a port it is nobody's to choose (RFC 9110, section 9.3.6).
        line.uri.port_u16().is_some_and(|port| port > 0)
    } else {
        line.uri.path_and_query().is_some()
    };
    if !well_formed {
        return Err(BadTarget::Form);
    }
    Ok(())
}

/// The bytes of a `reg-name` (RFC 3986, section 3.2.2); looked up, for every request asks.
const NAME: [bool; 256] = {
    let mut allowed = [false; 256];
    let mut byte = 0_u8;
    while byte < 128 {
        allowed[byte as usize] = byte.is_ascii_alphanumeric();
        byte += 1;
    }
    let others = b"-._~%!$&'()*+,;=";
    let mut at = 0;
    while at < others.len() {
        allowed[others[at] as usize] = true;
        at += 1;
    }
    allowed
};

/// Whether a value is `[ uri-host [ ":" port ] ]` (RFC 9112, section 3.2): servers disagree on
/// who is asked by anything else, user information included.
fn is_host(value: &[u8]) -> bool {
    let name = |byte: &u8| NAME[usize::from(*byte)];
    let address = |byte: &u8| byte.is_ascii_hexdigit() || matches!(byte, b':' | b'.');
    let (host, port) = match value {
        [b'[', rest @ ..] => {
            let Some(end) = rest.iter().position(|b| *b == b']') else {
                return false;
            };
            let (host, behind) = rest.split_at(end);
            if host.is_empty() || !host.iter().all(address) {
                return false;
            }
            (&b""[..], behind.get(1..).unwrap_or_default())
        }
        _ => {
            let end = value.iter().position(|b| *b == b':');
            value.split_at(end.unwrap_or(value.len()))
        }
    };
    let port = match port {
        [] => port,
        [b':', digits @ ..] => digits,
        _ => return false,
    };
    host.iter().all(name) && port.iter().all(u8::is_ascii_digit)
}

/// Puts the target into the form the upstream's version reads. Call after [`normalise`].
pub fn rewrite(
    parts: &mut Parts,
    version: Version,
    tls: bool,
    host: Option<&HeaderValue>,
) -> Result<(), BadTarget> {
    if let Some(host) = host {
        parts.headers.insert(header::HOST, host.clone());
    }
    parts.version = version;
    if version == Version::HTTP_2 {
        to_http2(parts, tls)
    } else {
        to_http1(parts)
    }
}

fn to_http1(parts: &mut Parts) -> Result<(), BadTarget> {
    let Some(authority) = parts.uri.authority() else {
        return Ok(());
    };
    if !parts.headers.contains_key(header::HOST) {
        let value = HeaderValue::from_str(authority.as_str()).map_err(|_| BadTarget::Host)?;
        parts.headers.insert(header::HOST, value);
    }
    if parts.method == Method::CONNECT {
        return Ok(());
    }
    let path = path_of(parts)?;
    parts.uri = Uri::from(path);
    Ok(())
}

fn to_http2(parts: &mut Parts, tls: bool) -> Result<(), BadTarget> {
    let scheme = if tls { Scheme::HTTPS } else { Scheme::HTTP };
    let host = match parts.headers.remove(header::HOST) {
        Some(host) => host,
        // As it came over HTTP/2.
        None if parts.uri.scheme() == Some(&scheme) => return Ok(()),
        None => {
            let authority = parts.uri.authority().ok_or(BadTarget::Host)?;
            HeaderValue::from_str(authority.as_str()).map_err(|_| BadTarget::Host)?
        }
    };
    let path = path_of(parts)?;
    let authority = Authority::from_maybe_shared(bytes::Bytes::from_owner(host))
        .map_err(|_| BadTarget::Host)?;
    let mut uri = http::uri::Parts::default();
    uri.scheme = Some(scheme);
    uri.authority = Some(authority);
    uri.path_and_query = Some(path);
    parts.uri = Uri::from_parts(uri).map_err(|_| BadTarget::Form)?;
    Ok(())
}

fn path_of(parts: &Parts) -> Result<PathAndQuery, BadTarget> {
    parts.uri.path_and_query().cloned().ok_or(BadTarget::Form)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parts(method: &str, uri: &str, hosts: &[&str]) -> Parts {
        let mut request = http::Request::builder().method(method).uri(uri);
        for host in hosts {
            request = request.header(header::HOST, *host);
        }
        request.body(()).unwrap().into_parts().0
    }

    fn normalised(parts: &mut Parts) -> Result<(), BadTarget> {
        let (line, headers) = Line::split(parts);
        normalise(line, headers)
    }

    #[test]
    fn host_says_who_is_asked_whatever_form_the_target_came_in() {
        type Row<'a> = (&'a str, &'a [&'a str], Result<&'a str, BadTarget>, &'a str);
        let rows: &[Row<'_>] = &[
            ("/a", &["x"], Ok("x"), "origin-form"),
            (
                "http://x/a",
                &["y"],
                Ok("x"),
                "absolute-form wins over Host",
            ),
            ("http://x:80/a", &[], Ok("x:80"), "HTTP/2 without Host"),
            ("/a", &[], Err(BadTarget::Host), "HTTP/1.1 needs Host"),
            (
                "/a",
                &["x", "x"],
                Err(BadTarget::Host),
                "two, even if the same",
            ),
            (
                "http://x/a",
                &["x", "y"],
                Err(BadTarget::Host),
                "two, also beside an authority",
            ),
        ];
        for (uri, hosts, expected, reason) in rows {
            let mut parts = parts("GET", uri, hosts);
            let outcome = normalised(&mut parts);
            match expected {
                Ok(host) => {
                    assert_eq!(outcome, Ok(()), "{reason}");
                    assert_eq!(parts.headers[header::HOST], *host, "{reason}");
                }
                Err(error) => assert_eq!(outcome, Err(*error), "{reason}"),
            }
        }
    }

    #[test]
    fn a_tunnel_needs_a_port() {
        for (target, expected, reason) in [
            ("example.com:443", Ok(()), "as it should be"),
            ("[::1]:443", Ok(()), "an address"),
            ("example.com", Err(BadTarget::Form), "none"),
            ("example.com:", Err(BadTarget::Form), "an empty one"),
            ("example.com:0", Err(BadTarget::Form), "nobody's"),
            ("example.com:65536", Err(BadTarget::Form), "too large"),
        ] {
            let mut parts = parts("CONNECT", target, &["example.com"]);
            assert_eq!(normalised(&mut parts), expected, "{reason}");
        }
    }

    #[test]
    fn a_host_is_a_name_or_an_address_and_perhaps_a_port() {
        for host in [
            "",
            "x",
            "x:80",
            "x:",
            "a_b.example",
            "127.0.0.1:1",
            "[::1]",
            "[::1]:443",
            "%2Frun",
        ] {
            assert!(is_host(host.as_bytes()), "{host}");
        }
        for host in [
            "a b", "a/b", "a@b", "a:b", "a:1:2", "::1", "[::1", "[]", "[::1]x", "[x]", "a?b",
            "a#b", "a\\b", "é",
        ] {
            assert!(!is_host(host.as_bytes()), "{host}");
        }
    }

    #[test]
    fn http1_upstreams_get_origin_form() {
        let mut parts = parts("GET", "http://x/a?b=c", &[]);
        normalised(&mut parts).unwrap();
        rewrite(&mut parts, Version::HTTP_11, false, None).unwrap();
        assert_eq!(parts.uri, "/a?b=c");
        assert_eq!(parts.headers[header::HOST], "x");
    }

    #[test]
    fn http2_upstreams_get_an_authority_and_no_host() {
        let mut parts = parts("GET", "/a", &["x:8080"]);
        normalised(&mut parts).unwrap();
        rewrite(&mut parts, Version::HTTP_2, true, None).unwrap();
        assert_eq!(parts.uri, "https://x:8080/a");
        assert!(!parts.headers.contains_key(header::HOST));
    }

    #[test]
    fn a_configured_host_replaces_the_callers() {
        let mut parts = parts("GET", "/a", &["x"]);
        let host = HeaderValue::from_static("etcd.internal");
        rewrite(&mut parts, Version::HTTP_11, false, Some(&host)).unwrap();
        assert_eq!(parts.headers[header::HOST], "etcd.internal");
    }

    #[test]
    fn a_second_attempt_can_change_the_version() {
        let mut parts = parts("GET", "/a", &["x"]);
        rewrite(&mut parts, Version::HTTP_2, false, None).unwrap();
        normalised(&mut parts).unwrap();
        rewrite(&mut parts, Version::HTTP_11, false, None).unwrap();
        assert_eq!(parts.uri, "/a");
        assert_eq!(parts.headers[header::HOST], "x");
    }
}
