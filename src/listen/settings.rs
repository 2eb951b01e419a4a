//! What a listener needs to know; built by `config`.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use ipnet::IpNet;

/// One bound address.
#[derive(Clone, Debug, PartialEq)]
pub struct Settings {
    /// Name, unique among listeners.
    pub name: Arc<str>,
    /// Where to listen.
    pub bind: Bind,
    /// What may be spoken.
    pub protocol: Protocol,
    /// Peers that may announce another address by PROXY v1/v2; empty: nobody.
    pub proxy_protocol: Vec<IpNet>,
    /// TLS, if this listener terminates it.
    pub tls: Option<TlsSettings>,
    /// Bounds.
    pub limits: Limits,
}

/// Where to listen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Bind {
    /// `ip:port`
    Tcp(SocketAddr),
    /// `unix:///path?mode=0660&uid=0&gid=0`
    Unix {
        /// Path of the socket.
        path: PathBuf,
        /// Permission bits; default 0o660.
        mode: u32,
        /// Whom the file belongs to.
        owner: Owner,
    },
    /// `fd:NAME`: a socket handed over by systemd's protocol.
    Fd(String),
}

/// Whom a file belongs to; what is absent is this process's.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Owner {
    /// User.
    pub uid: Option<u32>,
    /// Group.
    pub gid: Option<u32>,
}

/// What a listener speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol {
    /// HTTP/1.1 or HTTP/2, by ALPN or by prior knowledge.
    Auto,
    /// HTTP/1.1 alone.
    Http1,
    /// HTTP/2 alone.
    Http2,
}

/// TLS towards callers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsSettings {
    /// Lowest version accepted.
    pub min_version: TlsVersion,
    /// Certificates; SNI picks, the first is the default.
    pub certificates: Vec<CertificateFiles>,
    /// Whether callers are asked for certificates.
    pub client_auth: ClientAuth,
}

/// Whether callers are asked for certificates, and the file of the authorities that issue them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ClientAuth {
    /// They aren't.
    None,
    /// They may present one.
    Request {
        /// Trusted certificates in PEM.
        ca_file: PathBuf,
    },
    /// They must present one, and it must verify.
    Require {
        /// Trusted certificates in PEM.
        ca_file: PathBuf,
    },
}

/// TLS versions offered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TlsVersion {
    /// TLS 1.2 and 1.3.
    V1_2,
    /// TLS 1.3 alone.
    V1_3,
}

/// A certificate chain and its key, both PEM.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CertificateFiles {
    /// Chain, leaf first.
    pub cert_file: PathBuf,
    /// Private key.
    pub key_file: PathBuf,
}

/// Bounds of a listener; every one has a default.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of a request's (or response's) head.
    pub max_header_bytes: usize,
    /// Fields of a head.
    pub max_headers: usize,
    /// From a connection's (or request's) first moment to its complete head.
    pub header_timeout: Duration,
    /// How long a connection may sit with no request, stream or tunnel open.
    pub idle_timeout: Duration,
    /// Connections at once.
    pub max_connections: usize,
    /// HTTP/2 streams at once per connection.
    pub max_concurrent_streams: u32,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            max_header_bytes: 64 * 1024,
            max_headers: 256,
            header_timeout: Duration::from_secs(30),
            idle_timeout: Duration::from_secs(300),
            max_connections: 65_536,
            max_concurrent_streams: 1000,
        }
    }
}
