//! What the pipeline of one listener needs to know; built by `config`.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use http::{HeaderName, HeaderValue};

use crate::context::propagation::Propagation;
use crate::context::trust;
use crate::listen::settings::{CertificateFiles, Limits, Protocol};
use crate::span::capture::Capture;
use crate::span::record::Direction;
use crate::span::routes::Routes;

/// One listener's pipeline.
#[derive(Clone, Debug, PartialEq)]
pub struct Settings {
    /// Name of the listener.
    pub name: Arc<str>,
    /// Ingress or egress.
    pub direction: Direction,
    /// What inbound context may do.
    pub trust: trust::Policy,
    /// What happens to `X-Forwarded-*`, `Forwarded` and `X-Real-Ip`.
    pub forwarded: Forwarded,
    /// Whether CONNECT is forwarded.
    pub allow_connect: bool,
    /// Field of responses that tells trusted callers the trace id; `None`: nobody is told.
    pub trace_id_header: Option<HeaderName>,
    /// Where requests go.
    pub upstream: UpstreamSettings,
    /// Whether context leaves.
    pub propagate: Propagate,
    /// The formats that are read and written.
    pub propagation: Propagation,
    /// Fields that join egress requests without a context to open ingress requests.
    pub correlate_by: Arc<[HeaderName]>,
    /// What becomes of egress requests without a parent.
    pub orphans: Orphans,
    /// gRPC methods (`package.Service/Method`) known beyond the built-in ones.
    pub known_rpc_methods: Arc<[String]>,
    /// What paths are called on spans.
    pub routes: Arc<Routes>,
    /// Header fields that are seen on spans.
    pub capture: Arc<Capture>,
    /// What callers may speak.
    pub protocol: Protocol,
    /// Bounds.
    pub limits: Limits,
}

/// Treatment of forwarding headers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Forwarded {
    /// Replace for callers under `drop`, append for others; off on egress.
    Auto,
    /// Discard what came, say what is known here.
    Replace,
    /// Add to what came.
    Append,
    /// Don't touch.
    Off,
}

/// Whether context leaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Propagate {
    /// The span's context, in the formats of `propagation.inject` (by default W3C's).
    W3c,
    /// Nothing: every context header is stripped.
    None,
}

/// Egress requests without a parent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Orphans {
    /// Start a new root.
    Start,
    /// No span.
    Pass,
}

/// Where requests go, and how.
#[derive(Clone, Debug, PartialEq)]
pub struct UpstreamSettings {
    /// Address; the first of several.
    pub target: Target,
    /// Addresses of the further members, where `endpoints` names several.
    pub further: Box<[Target]>,
    /// TLS, if the URL said https.
    pub tls: Option<ClientTlsSettings>,
    /// Version to speak.
    pub protocol: UpstreamProtocol,
    /// Replaces Host/`:authority`.
    pub host: Option<HeaderValue>,
    /// TCP keepalive time; `None`: off.
    pub tcp_keepalive: Option<Duration>,
    /// HTTP/2 ping after this much silence; `None`: off.
    pub http2_ping: Option<Duration>,
    /// How long a ping may stay unanswered.
    pub ping_timeout: Duration,
    /// Bound on connecting, TLS handshake included.
    pub connect_timeout: Duration,
    /// Bound on waiting for a response's head; `None`: unbounded.
    pub response_header_timeout: Option<Duration>,
}

/// Address of an upstream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
    /// Name or address, and port.
    Tcp {
        /// Host name or IP address, without brackets.
        host: String,
        /// Port.
        port: u16,
    },
    /// Unix socket.
    Unix(PathBuf),
}

/// Version spoken with an upstream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UpstreamProtocol {
    /// ALPN over TLS; over cleartext what the caller spoke.
    Auto,
    /// HTTP/1.1.
    Http1,
    /// HTTP/2, by ALPN or by prior knowledge.
    Http2,
}

/// TLS towards an upstream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClientTlsSettings {
    /// Trust anchors; the system's if absent.
    pub ca_file: Option<PathBuf>,
    /// Client certificate.
    pub identity: Option<CertificateFiles>,
    /// Name to verify and to send as SNI; the URL's host if absent.
    pub server_name: Option<String>,
}
