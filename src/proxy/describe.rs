//! A sampled request's record as it begins: who asked whom for what.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Instant;

use http::header;
use http::{HeaderName, HeaderValue, Version};

use super::capture;
use super::connection::Connection;
use super::head::{Head, Line};
use super::listener::Listener;
use super::settings::{Settings, Target};
use crate::context::traceparent::TraceParent;
use crate::span::record::{Direction, Outcome, Record, text};

/// Who is at the ends of a connection.
#[derive(Clone, Copy, Debug, Default)]
pub struct Ends {
    peer: Option<SocketAddr>,
    local: Option<SocketAddr>,
    client: Option<IpAddr>,
    tls: bool,
    /// The request's destination.
    to: u16,
}

impl Ends {
    /// Those of this one.
    pub const fn of(connection: &Connection, to: u16) -> Self {
        Self {
            peer: connection.peer,
            local: connection.local,
            client: connection.caller.address,
            tls: connection.tls,
            to,
        }
    }

    /// The request's destination.
    pub const fn to(&self) -> u16 {
        self.to
    }
}

/// What a caller asked for, as far as every record says it.
#[derive(Clone, Copy, Debug)]
pub struct Asked<'a> {
    /// Method.
    pub method: &'a str,
    /// Path.
    pub path: &'a str,
    /// Query without `?`.
    pub query: Option<&'a str>,
    /// Whom the request is for.
    pub host: Option<&'a [u8]>,
    /// `user-agent`.
    pub user_agent: Option<&'a [u8]>,
    /// Version the caller speaks.
    pub version: Version,
    /// Whether it is gRPC.
    pub grpc: bool,
}

impl<'a> Asked<'a> {
    /// What a head asks for.
    pub fn of(line: Line<'a>, headers: &'a impl Head, grpc: bool) -> Self {
        Self {
            method: line.method.as_str(),
            path: line.uri.path(),
            query: line.uri.query(),
            host: line.host(headers),
            user_agent: headers.first(&header::USER_AGENT),
            version: line.version,
            grpc,
        }
    }
}

/// A record of a request that has just begun; `span` is the context handed on.
pub fn begin(
    ends: &Ends,
    listener: &Listener,
    line: Line<'_>,
    headers: &impl Head,
    span: TraceParent,
    start: Instant,
) -> Box<Record> {
    let asked = Asked::of(line, headers, line.is_grpc(headers));
    let settings = &listener.settings;
    let mut record = record(ends, settings, &asked, span, start);
    capture::request(settings, headers, &mut record);
    record
}

/// A record of what was asked, without captured fields.
pub fn record(
    ends: &Ends,
    settings: &Settings,
    asked: &Asked<'_>,
    span: TraceParent,
    start: Instant,
) -> Box<Record> {
    let https = over_tls(ends.tls, settings, ends.to);
    let scheme = if https { "https" } else { "http" };
    let (host, port) = server(ends, settings, asked);
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
        method: text(asked.method),
        scheme,
        host: (!host.is_empty()).then(|| text(&host)),
        port,
        path: text(asked.path),
        query: asked.query.map(text),
        user_agent: asked.user_agent.and_then(visible).map(text),
        peer: ends.peer.filter(|_| ingress),
        client: ends.client.filter(|_| ingress),
        protocol_version: match asked.version {
            Version::HTTP_10 => "1.0",
            Version::HTTP_2 => "2",
            _ => "1.1",
        },
        grpc: asked.grpc,
        status: None,
        grpc_status: None,
        outcome: Outcome::Done,
        resends: 0,
        request_bytes: 0,
        response_bytes: 0,
        request_messages: 0,
        response_messages: 0,
        moments: Default::default(),
        segment: 0,
        continued: false,
        upgraded: false,
        routes: Arc::clone(&settings.routes),
        captured: Vec::new(),
        audit_id: None,
        kept: None,
        capped: 0,
    })
}

/// Whether the request's scheme is `https`, as the caller (ingress) or the upstream (egress) sees
/// it.
pub fn is_https(connection: &Connection, listener: &Listener, to: u16) -> bool {
    over_tls(connection.tls, &listener.settings, to)
}

fn over_tls(caller: bool, settings: &Settings, to: u16) -> bool {
    match settings.direction {
        Direction::Ingress => caller,
        Direction::Egress => settings.upstream_at(to).tls.is_some(),
    }
}

/// One field's value as text, if it is.
pub fn field(headers: &impl Head, name: &HeaderName) -> Option<Box<str>> {
    visible(headers.lines(name).next()?).map(text)
}

/// A value of visible ASCII characters, spaces and tabs as text.
pub fn visible(value: &[u8]) -> Option<&str> {
    let plain = |byte: &u8| *byte == b'\t' || (b' '..0x7f).contains(byte);
    let text = std::str::from_utf8(value).ok()?;
    text.as_bytes().iter().all(plain).then_some(text)
}

/// Host and port the request is for: as named, or what replaces the name.
///
/// A component pointed at an egress listener names the listener; what it means is the upstream.
fn server(ends: &Ends, settings: &Settings, asked: &Asked<'_>) -> (String, Option<u16>) {
    let (named, grpc) = (asked.host, asked.grpc);
    let upstream = settings.upstream_at(ends.to);
    let (value, default) = match settings.direction {
        Direction::Ingress => (named, ends.local.map(|a| a.port())),
        Direction::Egress => (
            upstream.host.as_ref().map(HeaderValue::as_bytes).or(named),
            upstream_port(&upstream.target),
        ),
    };
    let (host, port) = split(value.and_then(visible).unwrap_or_default());
    let replaceable = settings.direction == Direction::Egress && upstream.host.is_none();
    if replaceable
        && names_listener(host, port, ends.local, grpc)
        && let Some(server) = server_at(&upstream.target, grpc)
    {
        return server;
    }
    (host.to_owned(), port.or(default))
}

/// Host and port of an upstream's member, as spans say them.
pub fn server_at(target: &Target, grpc: bool) -> Option<(String, Option<u16>)> {
    match target {
        Target::Tcp { host, port } => Some((host.clone(), Some(*port))),
        // An HTTP URL has no place for a socket's path.
        Target::Unix(path) => grpc.then(|| (path.display().to_string(), None)),
    }
}

/// Whether an authority is nothing but the address the caller connected to.
///
/// gRPC libraries make up a name where they connect to a unix socket.
fn names_listener(host: &str, port: Option<u16>, local: Option<SocketAddr>, grpc: bool) -> bool {
    let Some(local) = local else {
        return grpc || host.is_empty();
    };
    let ip = local.ip().to_canonical();
    let same = host.parse().is_ok_and(|named: IpAddr| named == ip)
        || (ip.is_loopback() && host.eq_ignore_ascii_case("localhost"));
    host.is_empty() || (same && port == Some(local.port()))
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_listeners_own_address_is_no_servers_name() {
        let at = |text: &str| Some(text.parse().unwrap());
        for (host, port, local, grpc, expected, why) in [
            (
                "127.0.0.1",
                Some(2379),
                at("127.0.0.1:2379"),
                true,
                true,
                "the address",
            ),
            (
                "localhost",
                Some(2379),
                at("127.0.0.1:2379"),
                true,
                true,
                "its name",
            ),
            (
                "localhost",
                Some(2379),
                at("[::1]:2379"),
                false,
                true,
                "of the other family",
            ),
            (
                "10.0.0.1",
                Some(80),
                at("[::ffff:10.0.0.1]:80"),
                false,
                true,
                "mapped",
            ),
            (
                "",
                None,
                at("127.0.0.1:2379"),
                false,
                true,
                "no name at all",
            ),
            (
                "etcd",
                Some(2379),
                at("127.0.0.1:2379"),
                true,
                false,
                "a name of its own",
            ),
            (
                "127.0.0.1",
                Some(80),
                at("127.0.0.1:2379"),
                true,
                false,
                "another port",
            ),
            (
                "127.0.0.1",
                None,
                at("127.0.0.1:2379"),
                true,
                false,
                "the default port",
            ),
            (
                "localhost",
                Some(80),
                at("10.0.0.1:80"),
                false,
                false,
                "another address",
            ),
            ("localhost", None, None, true, true, "made up for a socket"),
            ("docker", None, None, false, false, "a name over a socket"),
        ] {
            assert_eq!(names_listener(host, port, local, grpc), expected, "{why}");
        }
    }
}
