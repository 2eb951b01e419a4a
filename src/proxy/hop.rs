//! Hop-by-hop fields end here (RFC 9110, section 7.6.1), and `Connection` can't be turned
//! against what this proxy adds or the component relies on.

use http::header::{self, HeaderName, HeaderValue};

use super::head::{Head, has_token, tokens};
use crate::context::untrusted;

/// Fields that describe one connection and never travel on.
const HOP_BY_HOP: &[&str] = &[
    "connection",
    "http2-settings",
    "keep-alive",
    "proxy-connection",
    "transfer-encoding",
    "upgrade",
];

/// Fields a nomination leaves alone: removing them would change who the caller is, what it
/// asks for, or how the message is framed.
const PROTECTED: &[&str] = &[
    "authorization",
    "content-encoding",
    "content-length",
    "content-type",
    "cookie",
    "expect",
    "forwarded",
    "host",
    "proxy-authorization",
    "te",
    "trailer",
    "x-real-ip",
];

/// Beginnings of field names a nomination leaves alone.
const PROTECTED_PREFIXES: &[&str] = &["impersonate-", "x-remote-", "x-forwarded-"];

/// What the caller asked the connection to become.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Upgrade {
    /// Nothing.
    None,
    /// Another protocol, by `Upgrade`.
    To(HeaderValue),
}

impl Upgrade {
    fn to(protocol: &[u8]) -> Self {
        HeaderValue::from_bytes(protocol).map_or(Self::None, Self::To)
    }
}

/// What a head holds that speaks of one connection: one look at the names instead of one for each.
#[derive(Clone, Copy, Debug)]
pub struct Look {
    /// Nothing but `TE`, as over HTTP/2 nothing may (RFC 9113, section 8.2.2).
    pub plain: bool,
    te: bool,
}

/// Looks over a head's names.
pub fn look(headers: &mut impl Head) -> Look {
    let mut look = Look {
        plain: true,
        te: false,
    };
    headers.remove_if(|name| {
        look.plain &= !HOP_BY_HOP.contains(&name);
        look.te |= name == "te";
        false
    });
    look
}

/// Removes hop-by-hop fields and the fields `Connection` nominates; `te: trailers` stays.
///
/// An upgrade to anything but `h2c` is handed back, to be asked of the upstream anew; `http1` says
/// whether the caller may ask for one: HTTP/1.0 and HTTP/2 may not (RFC 9110, section 7.8).
pub fn strip_request(headers: &mut impl Head, look: Look, http1: bool) -> Upgrade {
    if look.plain {
        if look.te {
            keep_te_trailers(headers);
        }
        return Upgrade::None;
    }
    let upgrade = if http1 {
        wanted(headers)
    } else {
        Upgrade::None
    };
    strip(headers);
    keep_te_trailers(headers);
    upgrade
}

/// The same for a response; says whether it switches protocols.
pub fn strip_response(headers: &mut impl Head, look: Look) -> Upgrade {
    if look.plain {
        return Upgrade::None;
    }
    let upgrade = headers
        .first(&header::UPGRADE)
        .map_or(Upgrade::None, Upgrade::to);
    strip(headers);
    upgrade
}

/// Asks the next hop for the upgrade.
pub fn ask(headers: &mut impl Head, protocol: HeaderValue) {
    headers.set(header::CONNECTION, HeaderValue::from_static("Upgrade"));
    headers.set(header::UPGRADE, protocol);
}

fn wanted(headers: &impl Head) -> Upgrade {
    let Some(protocol) = headers.first(&header::UPGRADE) else {
        return Upgrade::None;
    };
    let nominated = headers
        .lines(&header::CONNECTION)
        .any(|value| has_token(value, "upgrade"));
    let several = headers.lines(&header::UPGRADE).nth(1).is_some();
    if !nominated || several || is_h2c(protocol) {
        return Upgrade::None;
    }
    Upgrade::to(protocol)
}

/// Whether a list of protocols holds `h2c`, of whatever version (RFC 9110, section 7.8).
fn is_h2c(protocols: &[u8]) -> bool {
    tokens(protocols).any(|protocol| {
        let name = protocol.split(|b| *b == b'/').next().unwrap_or(protocol);
        name.trim_ascii().eq_ignore_ascii_case(b"h2c")
    })
}

fn strip(headers: &mut impl Head) {
    if headers.has(&header::CONNECTION) {
        remove_nominated(headers);
    }
    headers.remove_if(|name| HOP_BY_HOP.contains(&name));
}

fn remove_nominated(headers: &mut impl Head) {
    let mut nominated: Vec<HeaderName> = headers
        .lines(&header::CONNECTION)
        .flat_map(tokens)
        .filter_map(|token| HeaderName::from_bytes(token).ok())
        .filter(|name| !protected(name.as_str()))
        .collect();
    // A head may hold thousands of tokens and hundreds of fields: looked up, not compared in pairs.
    nominated.sort_unstable_by(|a, b| a.as_str().cmp(b.as_str()));
    headers.remove_if(|name| {
        let found = nominated.binary_search_by(|other| other.as_str().cmp(name));
        found.is_ok()
    });
}

fn protected(name: &str) -> bool {
    PROTECTED.contains(&name)
        || PROTECTED_PREFIXES.iter().any(|p| name.starts_with(p))
        || untrusted::is_context(name)
}

fn keep_te_trailers(headers: &mut impl Head) {
    if !headers.has(&header::TE) {
        return;
    }
    let trailers = headers
        .lines(&header::TE)
        .any(|value| has_token(value, "trailers"));
    if trailers {
        headers.set(header::TE, HeaderValue::from_static("trailers"));
    } else {
        headers.remove(&header::TE);
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderMap;

    use super::*;

    fn strip(headers: &mut HeaderMap, http1: bool) -> Upgrade {
        let look = look(headers);
        strip_request(headers, look, http1)
    }

    fn headers(lines: &[(&'static str, &str)]) -> HeaderMap {
        lines
            .iter()
            .map(|(name, value)| {
                let value = HeaderValue::from_str(value).unwrap();
                (HeaderName::from_static(name), value)
            })
            .collect()
    }

    #[test]
    fn nominated_fields_end_here_but_not_what_the_component_relies_on() {
        let rows = [
            ("x-foo", "x-foo", true, "a nominated field is hop-by-hop"),
            (
                "x-foo",
                "close, X-Foo ",
                true,
                "case and space don't matter",
            ),
            (
                "impersonate-user",
                "impersonate-user",
                false,
                "else the caller acts as itself",
            ),
            (
                "x-remote-user",
                "X-Remote-User",
                false,
                "identity is set behind the caller's back",
            ),
            (
                "authorization",
                "authorization",
                false,
                "else the caller becomes anonymous",
            ),
            ("host", "host", false, "else another site is asked"),
            (
                "content-length",
                "content-length",
                false,
                "framing isn't the caller's to hide",
            ),
            (
                "x-forwarded-for",
                "x-forwarded-for",
                false,
                "who called is told by the proxy",
            ),
            (
                "traceparent",
                "traceparent",
                false,
                "context is judged, not nominated away",
            ),
            (
                "x-b3-traceid",
                "x-b3-traceid",
                false,
                "context is judged, not nominated away",
            ),
        ];
        for (field, connection, goes, reason) in rows {
            let mut map = headers(&[(field, "v"), ("connection", connection)]);
            strip(&mut map, true);
            assert_eq!(!map.contains_key(field), goes, "{field}: {reason}");
            assert!(!map.contains_key("connection"), "{field}");
        }
    }

    #[test]
    fn every_connection_line_is_read() {
        let mut map = headers(&[("connection", "close"), ("x-a", "1"), ("x-b", "2")]);
        map.append("connection", HeaderValue::from_static("x-a, ,x-b"));
        strip(&mut map, true);
        assert!(map.is_empty(), "{map:?}");
    }

    #[test]
    fn only_te_trailers_travels_on() {
        for (te, kept) in [
            ("trailers", true),
            ("gzip, Trailers", true),
            ("gzip", false),
        ] {
            let mut map = headers(&[("te", te)]);
            strip(&mut map, false);
            assert_eq!(
                map.get("te").map(|v| v == "trailers"),
                kept.then_some(true),
                "{te}"
            );
        }
    }

    #[test]
    fn an_upgrade_is_asked_for_only_as_the_specification_says() {
        let rows = [
            (
                &[("connection", "Upgrade"), ("upgrade", "websocket")][..],
                true,
                true,
                "asked",
            ),
            (&[("upgrade", "websocket")], true, false, "not nominated"),
            (
                &[("connection", "upgrade"), ("upgrade", "h2c")],
                true,
                false,
                "h2c never",
            ),
            (
                &[("connection", "upgrade"), ("upgrade", "x, h2c")],
                true,
                false,
                "nor in a list",
            ),
            (
                &[("connection", "upgrade"), ("upgrade", "websocket")],
                false,
                false,
                "HTTP/2",
            ),
        ];
        for (lines, http1, asked, reason) in rows {
            let mut map = headers(lines);
            let upgrade = strip(&mut map, http1);
            assert_eq!(upgrade != Upgrade::None, asked, "{reason}");
            assert!(map.is_empty(), "{reason}: {map:?}");
        }
    }
}
