//! From an accepted socket to a stream of known caller and version, under one deadline.
//!
//! In order: PROXY header (of listed peers only), TLS, version. No byte of a request is judged
//! here.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use rustls::ServerConfig;
use rustls::pki_types::CertificateDer;
use tokio_rustls::TlsAcceptor;

use super::accept::Accepted;
use super::proxy_protocol::{self, Announced};
use super::settings::{Protocol, Settings};
use super::sniff::{self, Version};
use super::stream::{Plain, Prefixed, Stream};
use super::tls::HTTP2;

/// Bytes asked for before TLS begins: a whole ClientHello.
const CLIENT_HELLO: usize = 4096;

/// A connection ready for HTTP.
#[derive(Debug)]
pub struct Established {
    /// What to read requests from; no byte of the first one is lost.
    pub stream: Prefixed<Stream>,
    /// Version of HTTP spoken.
    pub version: Version,
    /// The caller: the address a listed peer announced, otherwise the TCP peer's. IPv4-mapped
    /// addresses are given as IPv4. `None` on unix sockets.
    pub client: Option<IpAddr>,
    /// The TCP peer.
    pub peer: Option<SocketAddr>,
    /// The address the connection came in on.
    pub local: Option<SocketAddr>,
    /// Whether it is encrypted.
    pub tls: bool,
    /// The server it named in TLS (RFC 6066, section 3).
    pub server_name: Option<Box<str>>,
    /// The chain the caller presented, its own certificate first; empty if it presented none. It
    /// has the private key, also on a resumed session; whether the chain verifies wasn't asked.
    pub certificates: Vec<CertificateDer<'static>>,
    /// Whose process connected, on unix sockets.
    pub credentials: Option<Credentials>,
}

/// The process at the other end of a unix socket, when it connected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Credentials {
    /// Effective user.
    pub uid: u32,
    /// Effective group.
    pub gid: u32,
}

/// Why a connection never got to its first request. Few and fixed, so that they can be a label.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Refused {
    /// The TLS handshake failed.
    TlsHandshake,
    /// Nothing decisive came in time.
    HeaderTimeout,
    /// A listed peer sent a bad PROXY header.
    ProxyProtocol,
    /// The peer left before it said anything decisive: port scans, TCP probes.
    Closed,
    /// A version of HTTP that this listener doesn't speak.
    ProtocolRefused,
}

impl Refused {
    /// Every reason, so that counters can be made beforehand.
    pub const ALL: [Self; 5] = [
        Self::TlsHandshake,
        Self::HeaderTimeout,
        Self::ProxyProtocol,
        Self::Closed,
        Self::ProtocolRefused,
    ];

    /// The label's value.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::TlsHandshake => "tls_handshake",
            Self::HeaderTimeout => "header_timeout",
            Self::ProxyProtocol => "proxy_protocol",
            Self::Closed => "closed",
            Self::ProtocolRefused => "protocol_refused",
        }
    }
}

/// Settles everything that comes before the first request, within `limits.header_timeout` in
/// total. `tls` is what [`super::tls::server_config`] made of `settings.tls`; it is an argument
/// of its own because it is renewed when files change.
///
/// Must run on the thread (and runtime) that will serve the connection.
///
/// # Errors
/// The reason to count; the connection is closed by then.
pub async fn establish(
    accepted: Accepted,
    tls: Option<&Arc<ServerConfig>>,
    settings: &Settings,
) -> Result<Established, Refused> {
    let work = settle(accepted, tls, settings);
    match tokio::time::timeout(settings.limits.header_timeout, work).await {
        Ok(done) => done,
        Err(_) => Err(Refused::HeaderTimeout),
    }
}

async fn settle(
    accepted: Accepted,
    tls: Option<&Arc<ServerConfig>>,
    settings: &Settings,
) -> Result<Established, Refused> {
    let Accepted {
        socket,
        peer,
        local,
    } = accepted;
    let plain = Plain::register(socket).map_err(|error| {
        tracing::debug!(%error, "connection could not be registered");
        Refused::Closed
    })?;
    let credentials = credentials(&plain);
    let mut plain = Prefixed::new(plain);
    let client = client(&mut plain, peer, settings).await?;
    let (mut stream, negotiated) = match tls {
        Some(config) => encrypt(plain, config).await?,
        None => (plain.map(Stream::Plain), None),
    };
    let version = match negotiated {
        Some(version) => version,
        None => sniff::sniff(&mut stream)
            .await
            .map_err(|_| Refused::Closed)?,
    };
    if !speaks(settings.protocol, version) {
        return Err(Refused::ProtocolRefused);
    }
    Ok(Established {
        version,
        client,
        peer,
        local,
        tls: tls.is_some(),
        server_name: server_name(stream.get_ref()),
        certificates: certificates(stream.get_ref()),
        stream,
        credentials,
    })
}

/// Who calls, by the PROXY header if the peer may send one.
async fn client(
    stream: &mut Prefixed<Plain>,
    peer: Option<SocketAddr>,
    settings: &Settings,
) -> Result<Option<IpAddr>, Refused> {
    let own = peer.map(|peer| peer.ip().to_canonical());
    if !proxy_protocol::listed(peer, &settings.proxy_protocol) {
        return Ok(own);
    }
    match proxy_protocol::read(stream).await {
        Ok(Announced::Source(source)) => Ok(Some(source.ip())),
        Ok(Announced::Peer) => Ok(own),
        // Somebody else's connection: the peer's own address must not be taken for its.
        Ok(Announced::Nobody) => Ok(None),
        Err(fault) => {
            tracing::debug!(
                listener = &*settings.name,
                ?peer,
                ?fault,
                "bad PROXY header"
            );
            Err(Refused::ProxyProtocol)
        }
    }
}

/// Runs the handshake; the version is known if ALPN settled it.
async fn encrypt(
    mut plain: Prefixed<Plain>,
    config: &Arc<ServerConfig>,
) -> Result<(Prefixed<Stream>, Option<Version>), Refused> {
    // A peer that leaves without a byte is a probe, not a failed handshake.
    if plain.buffered().is_empty() && !matches!(plain.fill(CLIENT_HELLO).await, Ok(1..)) {
        return Err(Refused::Closed);
    }
    let accepting = TlsAcceptor::from(Arc::clone(config)).accept(plain);
    let stream = accepting.await.map_err(|error: io::Error| {
        tracing::debug!(%error, "TLS handshake failed");
        Refused::TlsHandshake
    })?;
    let version = stream.get_ref().1.alpn_protocol().map(|name| {
        if name == HTTP2 {
            Version::Http2
        } else {
            Version::Http1
        }
    });
    Ok((Prefixed::new(Stream::ServerTls(stream)), version))
}

fn server_name(stream: &Stream) -> Option<Box<str>> {
    match stream {
        Stream::ServerTls(stream) => stream.get_ref().1.server_name().map(Into::into),
        _ => None,
    }
}

fn certificates(stream: &Stream) -> Vec<CertificateDer<'static>> {
    match stream {
        Stream::ServerTls(stream) => stream.get_ref().1.peer_certificates(),
        _ => None,
    }
    .map_or_else(Vec::new, <[_]>::to_vec)
}

fn credentials(plain: &Plain) -> Option<Credentials> {
    let Plain::Unix(socket) = plain else {
        return None;
    };
    let peer = socket.peer_cred().ok()?;
    Some(Credentials {
        uid: peer.uid(),
        gid: peer.gid(),
    })
}

/// Whether a listener of this protocol takes that version.
fn speaks(protocol: Protocol, version: Version) -> bool {
    match protocol {
        Protocol::Auto => true,
        Protocol::Http1 => version == Version::Http1,
        Protocol::Http2 => version == Version::Http2,
    }
}

#[cfg(test)]
mod tests;
