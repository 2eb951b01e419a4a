//! Which member of an upstream a connection leads to, and what spans say of it: `server.address`,
//! `server.port`, `network.peer.address` and `network.peer.port` of the HTTP and RPC conventions.

use std::net::SocketAddr;

use crate::proxy::describe;
use crate::proxy::settings::UpstreamSettings;
use crate::span::record::{Record, text};

/// Where a connection leads.
#[derive(Clone, Copy, Debug)]
pub struct Via {
    /// Which of [`UpstreamSettings::targets`].
    pub member: usize,
    /// The address connected to; `None` on unix sockets.
    pub peer: Option<SocketAddr>,
}

/// Says in a record of an egress request how it went to its upstream; `None`: by no connection.
///
/// A request that names one of several members means the upstream: so the one that was connected to
/// is its server.
pub fn tell(via: Option<Via>, upstream: &UpstreamSettings, record: &mut Record) {
    record.peer = via.and_then(|via| via.peer);
    if upstream.further.is_empty() || upstream.host.is_some() {
        return;
    }
    let grpc = record.grpc;
    let servers = || upstream.targets().map(|at| describe::server_at(at, grpc));
    let named = servers()
        .flatten()
        .any(|(host, port)| record.host.as_deref() == Some(host.as_str()) && record.port == port);
    let member = via.map_or(0, |via| via.member);
    if let (true, Some(Some((host, port)))) = (named, servers().nth(member)) {
        (record.host, record.port) = (Some(text(&host)), port);
    }
}
