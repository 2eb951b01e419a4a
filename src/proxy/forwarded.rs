//! `X-Forwarded-*`, `Forwarded` (RFC 7239) and `X-Real-Ip`: who called, said once and truly.

use std::net::IpAddr;

use http::header::{self, HeaderName, HeaderValue};

use super::head::{Head, Line};
use super::settings::Forwarded;
use crate::context::trust::Trust;
use crate::span::record::Direction;

const FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
const HOST: HeaderName = HeaderName::from_static("x-forwarded-host");
const PORT: HeaderName = HeaderName::from_static("x-forwarded-port");
const REAL_IP: HeaderName = HeaderName::from_static("x-real-ip");

/// What is said of one connection's caller; made once per connection.
#[derive(Clone, Debug)]
pub struct Teller {
    address: Option<HeaderValue>,
    node: Option<String>,
    proto: HeaderValue,
}

impl Teller {
    /// `address` is the client's (the TCP peer or the announced one), absent on unix sockets.
    pub fn new(address: Option<IpAddr>, tls: bool) -> Self {
        let address = address.map(|a| a.to_canonical());
        Self {
            address: address.and_then(|a| HeaderValue::from_str(&a.to_string()).ok()),
            node: address.map(|a| match a {
                IpAddr::V4(a) => a.to_string(),
                IpAddr::V6(a) => format!("\"[{a}]\""),
            }),
            proto: HeaderValue::from_static(if tls { "https" } else { "http" }),
        }
    }

    /// Rewrites the fields of one request.
    ///
    /// `X-Forwarded-For` and `X-Forwarded-Proto` are always told; the others are corrected
    /// only where the caller sent them.
    pub fn tell(
        &self,
        line: Line<'_>,
        headers: &mut impl Head,
        mode: Forwarded,
        direction: Direction,
        trust: Trust,
    ) {
        match (mode, direction, trust) {
            (Forwarded::Off, ..) | (Forwarded::Auto, Direction::Egress, _) => {}
            (Forwarded::Replace, ..) | (Forwarded::Auto, _, Trust::Drop) => {
                self.replace(line, headers)
            }
            (Forwarded::Append | Forwarded::Auto, ..) => self.append(headers),
        }
    }

    fn replace(&self, line: Line<'_>, headers: &mut impl Head) {
        // A server that folds names would read the caller's claim beside ours.
        headers.remove_if(is_alias);
        headers.remove(&PORT);
        self.set_or_remove(headers, FOR);
        headers.set(PROTO, self.proto.clone());
        if headers.has(&REAL_IP) {
            self.set_or_remove(headers, REAL_IP);
        }
        if headers.has(&HOST) {
            let host = line.host(headers);
            match host.and_then(|host| HeaderValue::from_bytes(host).ok()) {
                Some(host) => headers.set(HOST, host),
                None => headers.remove(&HOST),
            }
        }
        if headers.has(&header::FORWARDED) {
            match self.element() {
                Some(element) => headers.set(header::FORWARDED, element),
                None => headers.remove(&header::FORWARDED),
            }
        }
    }

    fn append(&self, headers: &mut impl Head) {
        if let Some(address) = &self.address {
            append_member(headers, FOR, address);
        }
        if !headers.has(&PROTO) {
            headers.set(PROTO, self.proto.clone());
        }
        if headers.has(&header::FORWARDED)
            && let Some(element) = self.element()
        {
            append_member(headers, header::FORWARDED, &element);
        }
    }

    fn set_or_remove(&self, headers: &mut impl Head, name: HeaderName) {
        match &self.address {
            Some(address) => headers.set(name, address.clone()),
            None => headers.remove(&name),
        }
    }

    fn element(&self) -> Option<HeaderValue> {
        let node = self.node.as_ref()?;
        let proto = self.proto.to_str().ok()?;
        HeaderValue::try_from(format!("for={node};proto={proto}")).ok()
    }
}

/// Whether a name is one of ours but for `_` or `.` in place of `-`.
fn is_alias(name: &str) -> bool {
    const OURS: [HeaderName; 5] = [FOR, PROTO, HOST, PORT, REAL_IP];
    let fold = |byte: u8| {
        if matches!(byte, b'_' | b'.') {
            b'-'
        } else {
            byte
        }
    };
    name.contains(['_', '.'])
        && OURS
            .iter()
            .any(|ours| name.bytes().map(fold).eq(ours.as_str().bytes()))
}

/// Adds a member to a list field, on one line: some servers read only the first.
fn append_member(headers: &mut impl Head, name: HeaderName, member: &HeaderValue) {
    if !headers.has(&name) {
        headers.set(name, member.clone());
        return;
    }
    let mut joined: Vec<u8> = Vec::new();
    for value in headers.lines(&name) {
        joined.extend_from_slice(value);
        joined.extend_from_slice(b", ");
    }
    joined.extend_from_slice(member.as_bytes());
    if let Ok(joined) = HeaderValue::from_bytes(&joined) {
        headers.set(name, joined);
    }
}
