//! Who speaks with whom, and how: attributes that HTTP and RPC spans share.

use std::net::IpAddr;

use super::Attributes;
use crate::span::record::{Direction, Record};

pub(super) fn describe(record: &Record, attributes: &mut Attributes) {
    let peer_ip = record.peer.map(|peer| peer.ip().to_canonical());
    attributes.put("network.protocol.version", record.protocol_version);
    if let Some(peer) = record.peer {
        attributes.put("network.peer.address", peer.ip().to_canonical().to_string());
        attributes.put("network.peer.port", i64::from(peer.port()));
    }
    let (address, port) = match (host(record), record.direction) {
        (Some(host), _) => (Some(host.to_owned()), record.port),
        // An HTTP/1.0 client may name no host; a CLIENT span must name its server all the same.
        (None, Direction::Egress) => (
            peer_ip.map(|ip| ip.to_string()),
            record.port.or(record.peer.map(|peer| peer.port())),
        ),
        (None, Direction::Ingress) => (None, None),
    };
    attributes.put_some("server.address", address);
    attributes.put_some("server.port", port.map(i64::from));
    if record.direction == Direction::Ingress {
        let client = record.client.as_ref().map(IpAddr::to_canonical).or(peer_ip);
        attributes.put_some("client.address", client.map(|ip| ip.to_string()));
        if record.grpc && client.is_some() && client == peer_ip {
            attributes.put_some(
                "client.port",
                record.peer.map(|peer| i64::from(peer.port())),
            );
        }
        attributes.put_some(
            "user_agent.original",
            record.user_agent.as_deref().map(str::to_owned),
        );
    }
    if record.resends > 0 {
        attributes.put("http.request.resend_count", i64::from(record.resends));
    }
}

/// The host without userinfo and without the brackets of an IPv6 literal.
pub(super) fn host(record: &Record) -> Option<&str> {
    let host = record.host.as_deref()?;
    let host = host.rsplit('@').next().unwrap_or(host);
    let bare = host
        .strip_prefix('[')
        .and_then(|host| host.strip_suffix(']'))
        .unwrap_or(host);
    (!bare.is_empty()).then_some(bare)
}
