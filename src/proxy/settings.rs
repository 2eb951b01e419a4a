//! What the pipeline of one listener needs to know; built by `config`.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use http::{HeaderName, HeaderValue};

use super::destination::Destination;
use crate::context::callers::Callers;
use crate::context::propagation::Propagation;
use crate::context::trust;
use crate::context::untrusted::{self, Stripper};
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
    /// What is taken off where context is.
    pub stripper: Stripper,
    /// What happens to `X-Forwarded-*`, `Forwarded` and `X-Real-Ip`.
    pub forwarded: Forwarded,
    /// Whether and how the upstream is told whom a certificate proved to ask.
    pub identity: Option<Identity>,
    /// Whether CONNECT is forwarded.
    pub allow_connect: bool,
    /// Field of responses that tells trusted callers the trace id; `None`: nobody is told.
    pub trace_id_header: Option<HeaderName>,
    /// Where requests go.
    pub upstream: UpstreamSettings,
    /// Where some of them go instead; the first that picks a request.
    pub destinations: Arc<[Destination]>,
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

impl Settings {
    /// Ways to the upstream and to each of the destinations: the plain one, then one per
    /// certificate that is presented for others.
    pub fn ways(&self) -> Vec<UpstreamSettings> {
        let others = self.destinations.iter().map(|one| &one.upstream);
        let mut ways = Vec::new();
        for upstream in std::iter::once(&self.upstream).chain(others) {
            ways.push(upstream.clone());
            for certificate in self.identity.iter().flat_map(Identity::certificates) {
                let mut way = upstream.clone();
                if let Some(tls) = &mut way.tls {
                    tls.identity = Some(certificate.clone());
                }
                ways.push(way);
            }
        }
        ways
    }

    /// The place of one of [`Settings::ways`]: to a destination, presenting a certificate or none.
    pub fn way(&self, destination: u16, presents: Option<usize>) -> usize {
        let identity = self.identity.as_ref();
        let each = 1 + identity.map_or(0, |identity| identity.certificates().count());
        usize::from(destination) * each + presents.map_or(0, |at| at + 1)
    }
}

/// How a verified certificate's holder is made known to the upstream.
#[derive(Clone, Debug, PartialEq)]
pub enum Identity {
    /// In fields, which the upstream believes because of the certificate beside them.
    RequestHeader(RequestHeader),
    /// By another certificate that stands for the holder; the first that picks it.
    Reoriginate(Box<[Reoriginate]>),
}

/// Fields of an authenticating proxy, as Kubernetes calls it.
#[derive(Clone, Debug, PartialEq)]
pub struct RequestHeader {
    /// The user: the certificate's common name.
    pub username: HeaderName,
    /// The user's id.
    pub uid: HeaderName,
    /// One line for each organization.
    pub group: HeaderName,
    /// Beginning of the name of what else is known, in lower case.
    pub extra_prefix: Box<str>,
    /// Beginnings of names no caller's field may have, in lower case without `-`, `_` and `.`.
    pub folded: Box<[Box<str>]>,
    /// Presented for verified callers.
    pub certificate: CertificateFiles,
}

/// A certificate that stands for callers.
#[derive(Clone, Debug, PartialEq)]
pub struct Reoriginate {
    /// For whom.
    pub from: Callers,
    /// Presented for them.
    pub certificate: CertificateFiles,
}

impl Identity {
    /// Certificates that are presented for others.
    pub fn certificates(&self) -> impl Iterator<Item = &CertificateFiles> {
        let (one, many) = match self {
            Self::RequestHeader(fields) => (Some(&fields.certificate), &[][..]),
            Self::Reoriginate(mapped) => (None, &mapped[..]),
        };
        one.into_iter()
            .chain(many.iter().map(|one| &one.certificate))
    }

    /// Whether a field of this name, however it is spelt, could say who asks: none of a caller's may.
    pub fn claims(&self, name: &str) -> bool {
        self.names().any(|own| untrusted::starts_folded(name, own))
    }

    fn names(&self) -> impl Iterator<Item = &str> {
        let own = match self {
            Self::RequestHeader(fields) => &fields.folded[..],
            Self::Reoriginate(_) => &[],
        };
        std::iter::once("xremote").chain(own.iter().map(|name| &**name))
    }
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
    /// Whose requests go by one connection.
    pub share: Share,
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

impl UpstreamSettings {
    /// Of one member, with nothing else set.
    #[cfg(test)]
    pub fn bare(target: Target) -> Self {
        Self {
            target,
            further: Box::default(),
            tls: None,
            share: Share::Worker,
            protocol: UpstreamProtocol::Auto,
            host: None,
            tcp_keepalive: None,
            http2_ping: None,
            ping_timeout: Duration::ZERO,
            connect_timeout: Duration::ZERO,
            response_header_timeout: None,
        }
    }

    /// The addresses of all members.
    pub fn targets(&self) -> impl Iterator<Item = &Target> {
        std::iter::once(&self.target).chain(&self.further)
    }
}

/// Whose requests go by one connection to the upstream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Share {
    /// Those of all callers a worker serves.
    Worker,
    /// Those of one caller's connection.
    Connection,
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
