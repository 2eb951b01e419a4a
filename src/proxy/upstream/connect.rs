//! Making connections: name, address, TCP or unix socket, TLS.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::rc::{Rc, Weak};
use std::sync::Arc;
use std::time::{Duration, Instant};

use http::HeaderValue;
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use socket2::{SockRef, TcpKeepalive};
use tokio::net::{TcpStream, UnixStream};
use tokio_rustls::TlsConnector;

use super::Version;
use super::endpoints::Endpoints;
use super::h2::keepalive::Pings;
use super::via::Via;
use crate::listen::pem::TlsError;
use crate::listen::stream::{Plain, Stream};
use crate::listen::tls_client;
use crate::metrics::shard::ListenerShard;
use crate::proxy::local;
use crate::proxy::settings::{Target, UpstreamProtocol, UpstreamSettings};
use crate::span::record::Fault;

const H2: &[u8] = b"h2";
const HTTP_1_1: &[u8] = b"http/1.1";

/// Bounds on a response's head.
#[derive(Clone, Copy, Debug)]
pub struct HeadLimits {
    /// Bytes.
    pub bytes: usize,
    /// Fields.
    pub fields: usize,
}

impl HeadLimits {
    /// Bytes, as HTTP/2 counts them.
    pub fn bytes_u32(&self) -> u32 {
        u32::try_from(self.bytes).unwrap_or(u32::MAX)
    }
}

/// A connection and what is spoken on it.
pub struct Connected {
    /// The byte stream.
    pub io: Stream,
    /// As asked for, or as ALPN chose.
    pub version: Version,
    /// Where it leads.
    pub via: Via,
}

/// Makes connections to one upstream.
pub struct Dialer {
    settings: UpstreamSettings,
    tls: Option<Arc<UpstreamTls>>,
    limits: HeadLimits,
    counters: Arc<ListenerShard>,
    endpoints: Endpoints,
    pings: Rc<Pings>,
    /// For the tasks that look after members: they end with it.
    me: Weak<Self>,
}

/// TLS towards an upstream: one configuration per set of versions offered, as ALPN is part of it.
#[derive(Debug)]
pub struct UpstreamTls {
    /// By member.
    names: Box<[ServerName<'static>]>,
    any: Arc<ClientConfig>,
    http1: Arc<ClientConfig>,
    http2: Arc<ClientConfig>,
}

impl UpstreamTls {
    /// Loads certificates and keys, if the upstream is reached over TLS.
    ///
    /// # Errors
    /// When a file can't be read or used, or the name to verify is none.
    pub fn load(settings: &UpstreamSettings) -> Result<Option<Arc<Self>>, TlsError> {
        let Some(tls) = &settings.tls else {
            return Ok(None);
        };
        let offering = |alpn: &[&[u8]]| {
            tls_client::client_config(tls.ca_file.as_deref(), tls.identity.as_ref(), alpn)
        };
        Ok(Some(Arc::new(Self {
            names: settings
                .targets()
                .map(|target| tls_client::server_name(name(settings, target)))
                .collect::<Result<_, _>>()?,
            any: offering(&[H2, HTTP_1_1])?,
            http1: offering(&[HTTP_1_1])?,
            http2: offering(&[H2])?,
        })))
    }
}

impl Dialer {
    /// Connects to nothing yet.
    pub fn new(
        settings: &UpstreamSettings,
        limits: HeadLimits,
        tls: Option<Arc<UpstreamTls>>,
        counters: &Arc<ListenerShard>,
    ) -> Rc<Self> {
        Rc::new_cyclic(|me| Self {
            settings: settings.clone(),
            tls,
            limits,
            counters: Arc::clone(counters),
            endpoints: Endpoints::shuffled(settings.targets().count()),
            pings: Pings::new(
                settings.http2_ping,
                settings.ping_timeout,
                authority(settings),
            ),
            me: Weak::clone(me),
        })
    }

    /// TLS towards the upstream.
    pub const fn tls(&self) -> Option<&Arc<UpstreamTls>> {
        self.tls.as_ref()
    }

    /// This worker's counters.
    pub const fn counters(&self) -> &Arc<ListenerShard> {
        &self.counters
    }

    /// Bounds on a response's head.
    pub const fn head_limits(&self) -> HeadLimits {
        self.limits
    }

    /// Bound on connecting.
    pub const fn connect_timeout(&self) -> Duration {
        self.settings.connect_timeout
    }

    /// When connections over HTTP/2 are pinged.
    pub const fn pings(&self) -> &Rc<Pings> {
        &self.pings
    }

    /// Connects, TLS handshake included; `None` lets ALPN choose the version.
    ///
    /// Every member is tried once, each within the bound on connecting, before it fails as the
    /// last one did.
    pub async fn dial(&self, version: Option<Version>) -> Result<Connected, Fault> {
        let mut last = Fault::Connect;
        for index in self.endpoints.order() {
            match self.dial_member(index, version).await {
                Ok(connected) => return Ok(connected),
                Err(fault) => last = fault,
            }
        }
        Err(last)
    }

    async fn dial_member(
        &self,
        index: usize,
        version: Option<Version>,
    ) -> Result<Connected, Fault> {
        let attempt = self.attempt(index, version);
        let outcome = tokio::time::timeout(self.settings.connect_timeout, attempt)
            .await
            .unwrap_or(Err(Fault::ConnectTimeout));
        match &outcome {
            Ok(_) => {
                self.counters.upstream_connected();
                self.endpoints.connected(index);
            }
            Err(_) => {
                self.counters.upstream_connect_failed();
                if self.endpoints.failed(index, Instant::now()) {
                    local::spawn(&self.counters, watch(Weak::clone(&self.me), index));
                }
            }
        }
        outcome
    }

    async fn attempt(&self, index: usize, version: Option<Version>) -> Result<Connected, Fault> {
        let socket = self.socket(index).await?;
        let peer = match &socket {
            Plain::Tcp(socket) => socket.peer_addr().ok(),
            Plain::Unix(_) => None,
        };
        let via = Via {
            member: index,
            peer,
        };
        let Some(tls) = &self.tls else {
            return Ok(Connected {
                io: Stream::Plain(socket),
                version: version.unwrap_or(Version::Http1),
                via,
            });
        };
        let config = match (version, self.settings.protocol) {
            (Some(Version::Http1), _) => &tls.http1,
            (Some(Version::Http2), UpstreamProtocol::Http2) => &tls.http2,
            _ => &tls.any,
        };
        let name = tls.names.get(index).ok_or(Fault::Internal)?;
        let stream = TlsConnector::from(Arc::clone(config))
            .connect(name.clone(), socket)
            .await
            .map_err(|_| Fault::Tls)?;
        let chosen = match stream.get_ref().1.alpn_protocol() {
            Some(H2) => Version::Http2,
            Some(_) => Version::Http1,
            // A peer without ALPN speaks what was asked for; HTTP/1.1 if nothing was.
            None => version.unwrap_or(Version::Http1),
        };
        Ok(Connected {
            version: chosen,
            io: Stream::ClientTls(stream),
            via,
        })
    }

    async fn socket(&self, index: usize) -> Result<Plain, Fault> {
        let target = self.settings.targets().nth(index).ok_or(Fault::Internal)?;
        match target {
            Target::Unix(path) => UnixStream::connect(path)
                .await
                .map(Plain::Unix)
                .map_err(|_| Fault::Connect),
            Target::Tcp { host, port } => {
                let socket = tcp(host, *port).await?;
                self.tune(&socket);
                Ok(Plain::Tcp(socket))
            }
        }
    }

    /// Best effort: a connection without these options still works.
    fn tune(&self, socket: &TcpStream) {
        let _ = socket.set_nodelay(true);
        if let Some(time) = self.settings.tcp_keepalive {
            let keepalive = TcpKeepalive::new().with_time(time).with_interval(time);
            let _ = SockRef::from(socket).set_tcp_keepalive(&keepalive);
        }
    }
}

/// Tries a member whenever its cooldown is over, until it answers or the upstream is gone: what
/// comes back is used without a request having to find out.
async fn watch(dialer: Weak<Dialer>, index: usize) {
    while let Some(until) = dialer
        .upgrade()
        .and_then(|dialer| dialer.endpoints.until(index))
    {
        tokio::time::sleep_until(until.into()).await;
        let Some(dialer) = dialer.upgrade() else {
            return;
        };
        // A request may have tried it meanwhile.
        let due = dialer.endpoints.until(index);
        if due.is_some_and(|until| until <= Instant::now()) {
            let _ = dialer.dial_member(index, None).await;
        }
    }
    if let Some(dialer) = dialer.upgrade() {
        dialer.endpoints.unwatch(index);
    }
}

/// Every address of a name in turn; the bound on the whole is the caller's.
async fn tcp(host: &str, port: u16) -> Result<TcpStream, Fault> {
    if let Ok(address) = host.parse::<IpAddr>() {
        return TcpStream::connect(SocketAddr::new(address, port))
            .await
            .map_err(|_| Fault::Connect);
    }
    let addresses = tokio::net::lookup_host((host, port))
        .await
        .map_err(|_| Fault::Connect)?;
    for address in addresses {
        if let Ok(socket) = TcpStream::connect(address).await {
            return Ok(socket);
        }
    }
    Err(Fault::Connect)
}

/// The name to verify: as configured, else the host of the member's URL.
fn name<'a>(settings: &'a UpstreamSettings, target: &'a Target) -> &'a str {
    let configured = settings.tls.as_ref().and_then(|t| t.server_name.as_deref());
    match (configured, target) {
        (Some(name), _) => name,
        (None, Target::Tcp { host, .. }) => host,
        (None, Target::Unix(_)) => "localhost",
    }
}

/// Whether a stream failed for a reason of TLS: a certificate that was refused, for one.
pub fn is_tls(error: &io::Error) -> bool {
    error
        .get_ref()
        .is_some_and(|inner| inner.is::<rustls::Error>())
}

/// The upstream's address as `Host` says it; `localhost` for unix sockets.
pub fn authority(settings: &UpstreamSettings) -> HeaderValue {
    let standard = if settings.tls.is_some() { 443 } else { 80 };
    let text = match &settings.target {
        Target::Unix(_) => "localhost".to_owned(),
        Target::Tcp { host, port } => {
            let brackets = host.contains(':') && !host.starts_with('[');
            let host = if brackets {
                format!("[{host}]")
            } else {
                host.clone()
            };
            if *port == standard {
                host
            } else {
                format!("{host}:{port}")
            }
        }
    };
    HeaderValue::try_from(text).unwrap_or(HeaderValue::from_static("localhost"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proxy::settings::ClientTlsSettings;

    #[test]
    fn an_upstream_is_named_by_its_address_without_the_schemes_own_port() {
        let tcp = |host: &str, port| Target::Tcp {
            host: host.to_owned(),
            port,
        };
        for (target, tls, expected) in [
            (tcp("etcd.svc", 2379), true, "etcd.svc:2379"),
            (tcp("etcd.svc", 443), true, "etcd.svc"),
            (tcp("etcd.svc", 443), false, "etcd.svc:443"),
            (tcp("::1", 80), false, "[::1]"),
            (tcp("::1", 8080), false, "[::1]:8080"),
            (Target::Unix("/run/a.sock".into()), false, "localhost"),
        ] {
            let settings = UpstreamSettings {
                tls: tls.then_some(ClientTlsSettings {
                    ca_file: None,
                    identity: None,
                    server_name: None,
                }),
                ..UpstreamSettings::bare(target)
            };
            assert_eq!(authority(&settings), expected);
        }
    }
}
