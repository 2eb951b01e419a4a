//! `listeners[].traceIdHeader`: any name that doesn't mean something else in a response.

use http::HeaderName;

use crate::config::values::{Expected, header_name};

/// Fields about the connection, the message's framing and contents, the session or the cache: a
/// trace id there would break the response, or replace what the upstream says.
const TAKEN: &[&str] = &[
    "accept-ranges",
    "age",
    "allow",
    "alt-svc",
    "authentication-info",
    "cache-control",
    "connection",
    "date",
    "etag",
    "expires",
    "http2-settings",
    "keep-alive",
    "last-modified",
    "link",
    "location",
    "proxy-authenticate",
    "proxy-authentication-info",
    "proxy-connection",
    "refresh",
    "retry-after",
    "server",
    "server-timing",
    "set-cookie",
    "set-cookie2",
    "strict-transport-security",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
    "vary",
    "via",
    "warning",
    "www-authenticate",
];

/// Beginnings of such names. A context's field holds more than an id.
const TAKEN_PREFIXES: &[&str] = &[
    "access-control-",
    "content-",
    "grpc-",
    "sec-",
    "traceparent",
    "traceresponse",
    "tracestate",
];

pub(super) fn read(text: &str) -> Expected<HeaderName> {
    header_name(text)
        .ok()
        .filter(|name| !is_taken(name.as_str()))
        .ok_or_else(|| "a header name that means nothing else in a response".to_owned())
}

fn is_taken(name: &str) -> bool {
    TAKEN.contains(&name) || TAKEN_PREFIXES.iter().any(|start| name.starts_with(start))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_mean_something_else_are_refused() {
        for (name, allowed, why) in [
            ("X-Trace-Id", true, "the usual one"),
            ("x-request-id", true, "some call it so"),
            ("X-B3-TraceId", true, "an id and nothing else"),
            ("Connection", false, "about the connection"),
            ("transfer-encoding", false, "framing"),
            ("Content-Length", false, "framing, too"),
            ("Content-Security-Policy", false, "contents"),
            ("SET-COOKIE", false, "the session"),
            ("traceparent", false, "more than an id"),
            ("traceresponse", false, "more than an id"),
            ("grpc-status", false, "how a call ended"),
            ("Sec-WebSocket-Accept", false, "a handshake"),
            ("", false, "no name"),
            ("x trace", false, "no name, either"),
        ] {
            assert_eq!(read(name).is_ok(), allowed, "{name}: {why}");
        }
    }
}
