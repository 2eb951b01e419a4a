//! A sampled request's record as it begins: who asked whom for what.

use std::time::Instant;

use http::header::{self, HeaderMap};
use http::request::Parts;
use http::{HeaderName, Version};

use super::connection::Connection;
use super::listener::Listener;
use super::settings::Target;
use crate::context::traceparent::TraceParent;
use crate::span::record::{Direction, Outcome, Record, text};

/// A record of a request that has just begun; `span` is the context handed on.
pub fn begin(
    connection: &Connection,
    listener: &Listener,
    parts: &Parts,
    span: TraceParent,
    start: Instant,
) -> Box<Record> {
    let settings = &listener.settings;
    let upstream = &settings.upstream;
    let (tls, port) = match settings.direction {
        Direction::Ingress => (connection.tls, connection.local.map(|a| a.port())),
        Direction::Egress => (upstream.tls.is_some(), upstream_port(&upstream.target)),
    };
    let scheme = if tls { "https" } else { "http" };
    let authority = authority(parts, listener);
    let (host, named_port) = split(&authority);
    let ingress = settings.direction == Direction::Ingress;
    Box::new(Record {
        trace_id: span.trace_id,
        span_id: span.parent_id,
        parent: None,
        flags: span.flags,
        tracestate: None,
        link: None,
        direction: settings.direction,
        listener: settings.name.clone(),
        start,
        headers: None,
        end: start,
        method: text(parts.method.as_str()),
        scheme,
        host: (!host.is_empty()).then(|| text(host)),
        port: named_port.or(port),
        path: text(parts.uri.path()),
        query: parts.uri.query().map(text),
        user_agent: field(&parts.headers, &header::USER_AGENT),
        peer: connection.peer.filter(|_| ingress),
        client: connection.caller.address.filter(|_| ingress),
        protocol_version: match parts.version {
            Version::HTTP_10 => "1.0",
            Version::HTTP_2 => "2",
            _ => "1.1",
        },
        grpc: super::service::is_grpc(parts),
        status: None,
        grpc_status: None,
        outcome: Outcome::Done,
        resends: 0,
        request_bytes: 0,
        response_bytes: 0,
        upgraded: false,
    })
}

/// One field's value as text, if it is.
pub fn field(headers: &HeaderMap, name: &HeaderName) -> Option<Box<str>> {
    headers.get(name)?.to_str().ok().map(text)
}

/// The host the request names, or the one that replaces it.
fn authority(parts: &Parts, listener: &Listener) -> String {
    let replaced = match listener.settings.direction {
        Direction::Egress => listener.settings.upstream.host.as_ref(),
        Direction::Ingress => None,
    };
    replaced
        .or_else(|| parts.headers.get(header::HOST))
        .and_then(|value| value.to_str().ok())
        .unwrap_or_default()
        .to_owned()
}

/// `host:port` apart; the brackets of an IPv6 address go.
fn split(authority: &str) -> (&str, Option<u16>) {
    let (host, port) = match authority.rsplit_once(':') {
        Some((host, port)) if !host.contains(':') || host.ends_with(']') => {
            (host, port.parse().ok())
        }
        _ => (authority, None),
    };
    let host = host
        .strip_prefix('[')
        .and_then(|h| h.strip_suffix(']'))
        .unwrap_or(host);
    (host, port)
}

const fn upstream_port(target: &Target) -> Option<u16> {
    match target {
        Target::Tcp { port, .. } => Some(*port),
        Target::Unix(_) => None,
    }
}
