//! HTTP spans ("Semantic conventions for HTTP spans", stable).

use std::borrow::Cow;

use super::{Attributes, network, route};
use crate::span::record::{Direction, Record};
use crate::span::redact;

/// Methods the conventions call known: RFC 9110, PATCH (RFC 5789) and QUERY.
const METHODS: [&str; 10] = [
    "GET", "POST", "PUT", "DELETE", "HEAD", "PATCH", "OPTIONS", "CONNECT", "TRACE", "QUERY",
];

/// What stands for anything not known in advance.
pub(super) const OTHER: &str = "_OTHER";

pub(super) fn describe(record: &Record, attributes: &mut Attributes) -> Cow<'static, str> {
    let method = METHODS.into_iter().find(|known| *known == &*record.method);
    attributes.put("http.request.method", method.unwrap_or(OTHER));
    if method.is_none() {
        attributes.put("http.request.method_original", record.method.to_string());
    }
    let query = record.query.as_deref().map(redact::query);
    match record.direction {
        Direction::Ingress => {
            attributes.put("url.scheme", record.scheme);
            attributes.put("url.path", record.path.to_string());
            attributes.put_some("url.query", query);
        }
        Direction::Egress => attributes.put("url.full", full(record, query.as_deref())),
    }
    let status = record.status.map(i64::from);
    attributes.put_some("http.response.status_code", status);
    let method = method.unwrap_or("HTTP");
    match route::describe(record, attributes) {
        Some(route) => Cow::Owned(format!("{method} {route}")),
        None => Cow::Borrowed(method),
    }
}

/// The URL as the client means it, without userinfo and with its query redacted.
fn full(record: &Record, query: Option<&str>) -> String {
    let mut url = format!("{}://", record.scheme);
    let peer = record.peer.map(|peer| peer.ip().to_canonical().to_string());
    let host = network::host(record)
        .or(peer.as_deref())
        .unwrap_or_default();
    if host.contains(':') {
        url.push_str(&format!("[{host}]"));
    } else {
        url.push_str(host);
    }
    let default = if record.scheme == "https" { 443 } else { 80 };
    if let Some(port) = record.port.filter(|port| *port != default) {
        url.push_str(&format!(":{port}"));
    }
    // Neither `*` (OPTIONS) nor an authority (CONNECT) is part of a URL.
    if record.path.starts_with('/') {
        url.push_str(&record.path);
    }
    if let Some(query) = query {
        url.push('?');
        url.push_str(query);
    }
    url
}
