//! What one request leaves behind: filled on the worker, read once by the exporter thread.
//!
//! A record exists only for requests that are sampled, kept or logged, so it may own small bounded strings.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Instant;

use super::capture::Captured;
use super::events::Moments;
use super::routes::Routes;
use crate::context::ids::{Flags, SpanId, TraceId};

/// The longest string a record keeps, in bytes; longer ones are cut at a character boundary.
pub const MAX_TEXT: usize = 1024;

/// Which side of the component a listener stands on.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Direction {
    /// Requests for the component: SERVER spans.
    Ingress,
    /// Requests by the component: CLIENT spans.
    Egress,
}

/// One finished request.
#[derive(Clone, Debug)]
pub struct Record {
    /// The trace this span belongs to.
    pub trace_id: TraceId,
    /// This span.
    pub span_id: SpanId,
    /// The caller's span, absent on a root.
    pub parent: Option<SpanId>,
    /// Flags as they were handed on.
    pub flags: Flags,
    /// `tracestate` as it was handed on.
    pub tracestate: Option<Box<str>>,
    /// The untrusted context a restart left behind.
    pub link: Option<(TraceId, SpanId, Flags)>,
    /// Ingress or egress.
    pub direction: Direction,
    /// Name of the listener.
    pub listener: Arc<str>,
    /// When the request's head had been read.
    pub start: Instant,
    /// When the response's head arrived from the upstream.
    pub headers: Option<Instant>,
    /// When the request ended.
    pub end: Instant,
    /// Method as the caller wrote it.
    pub method: Box<str>,
    /// `http` or `https`, as the caller (ingress) or the upstream (egress) sees it.
    pub scheme: &'static str,
    /// Host the caller named, without port.
    pub host: Option<Box<str>>,
    /// Port the caller named, or the scheme's.
    pub port: Option<u16>,
    /// Path, unredacted as received, cut at [`MAX_TEXT`].
    pub path: Box<str>,
    /// Query without `?`, as received; redaction happens when the span is built.
    pub query: Option<Box<str>>,
    /// `user-agent`.
    pub user_agent: Option<Box<str>>,
    /// Address of the TCP peer: the caller on ingress, the upstream on egress.
    pub peer: Option<SocketAddr>,
    /// Address of the client as announced by a listed PROXY peer, else the peer's.
    pub client: Option<IpAddr>,
    /// `1.0`, `1.1` or `2`, as spoken with the caller (ingress) or the upstream (egress).
    pub protocol_version: &'static str,
    /// Whether the request's content type is `application/grpc`.
    pub grpc: bool,
    /// Status of the response, if one arrived or was made here.
    pub status: Option<u16>,
    /// `grpc-status`, from trailers or from a trailers-only answer.
    pub grpc_status: Option<u16>,
    /// How the request ended.
    pub outcome: Outcome,
    /// Attempts beyond the first.
    pub resends: u8,
    /// Bytes of the request's body that were relayed.
    pub request_bytes: u64,
    /// Bytes of the response's body that were relayed.
    pub response_bytes: u64,
    /// gRPC messages of the request that went through in full.
    pub request_messages: u64,
    /// gRPC messages of the response that went through in full.
    pub response_messages: u64,
    /// What happened on the way, besides the head's arrival.
    pub moments: Moments,
    /// Which part of a request that lasts this is, counted from 1; 0: it is all of it.
    pub segment: u32,
    /// Another segment follows: how the request ends isn't known yet.
    pub continued: bool,
    /// Whether the connection became a tunnel.
    pub upgraded: bool,
    /// What the listener's paths are called.
    pub routes: Arc<Routes>,
    /// Values of header fields that are to be seen.
    pub captured: Vec<Captured>,
    /// `Audit-ID` of the Kubernetes API, if the listener stands before one.
    pub audit_id: Option<Box<str>>,
    /// Why an unsampled request was kept: the value of `tracegate.kept`.
    pub kept: Option<&'static str>,
    /// Sampled requests of trusted callers that a cap has stopped since the last one it didn't.
    pub capped: u32,
}

/// How a request ended, and who is at fault.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Outcome {
    /// The response was relayed to its end.
    Done,
    /// The caller went away or reset the stream; no fault of the upstream.
    Cancelled,
    /// The upstream or the way to it failed.
    Upstream(Fault),
    /// The request was refused here.
    Refused(Fault),
}

/// A low-cardinality name for what went wrong: the value of `error.type`.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Hash)]
pub enum Fault {
    /// Connection to the upstream could not be made.
    Connect,
    /// It wasn't made within `connectTimeout`.
    ConnectTimeout,
    /// TLS with the upstream failed.
    Tls,
    /// No response head within `responseHeaderTimeout`.
    ResponseHeaderTimeout,
    /// The upstream closed or broke the connection.
    ConnectionClosed,
    /// The upstream reset the stream.
    StreamReset,
    /// The upstream sent something that isn't HTTP.
    Protocol,
    /// The caller's request was malformed.
    BadRequest,
    /// The caller's request has more fields than allowed.
    HeadTooLarge,
    /// CONNECT where it isn't allowed.
    MethodNotAllowed,
    /// Request refused: the target can't be forwarded.
    BadTarget,
    /// The caller's certificate, which is required, doesn't verify.
    ClientCertificate,
    /// The caller's certificate makes it nobody, and it showed no other credential.
    Unauthorized,
    /// A fault of our own.
    Internal,
}

impl Fault {
    /// Every fault, in the order of their numbers.
    pub const ALL: [Self; 14] = [
        Self::Connect,
        Self::ConnectTimeout,
        Self::Tls,
        Self::ResponseHeaderTimeout,
        Self::ConnectionClosed,
        Self::StreamReset,
        Self::Protocol,
        Self::BadRequest,
        Self::HeadTooLarge,
        Self::MethodNotAllowed,
        Self::BadTarget,
        Self::ClientCertificate,
        Self::Unauthorized,
        Self::Internal,
    ];

    /// The value of `error.type`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Connect => "connect_error",
            Self::ConnectTimeout => "connect_timeout",
            Self::Tls => "tls_error",
            Self::ResponseHeaderTimeout => "response_header_timeout",
            Self::ConnectionClosed => "connection_closed",
            Self::StreamReset => "stream_reset",
            Self::Protocol => "protocol_error",
            Self::BadRequest => "bad_request",
            Self::HeadTooLarge => "head_too_large",
            Self::MethodNotAllowed => "method_not_allowed",
            Self::BadTarget => "bad_target",
            Self::ClientCertificate => "client_certificate",
            Self::Unauthorized => "unauthorized",
            Self::Internal => "internal_error",
        }
    }
}

/// Cuts a string at [`MAX_TEXT`] bytes, on a character boundary.
pub fn text(value: &str) -> Box<str> {
    cut(value, MAX_TEXT).into()
}

/// Cuts a string at that many bytes, on a character boundary.
pub fn cut(value: &str, most: usize) -> &str {
    let mut end = value.len().min(most);
    while !value.is_char_boundary(end) {
        end -= 1;
    }
    &value[..end]
}

/// Whether a record's text may have been longer than what is left of it.
pub const fn may_be_cut(text: &str) -> bool {
    // A cut moves back to the last boundary: by three bytes at most.
    text.len() + 3 >= MAX_TEXT
}

/// A small finished request for tests.
#[cfg(test)]
pub(crate) fn fixture() -> Box<Record> {
    let now = Instant::now();
    Box::new(Record {
        trace_id: TraceId::new(0x4bf9_2f35_77b3_4da6_a3ce_929d_0e0e_4736).unwrap(),
        span_id: SpanId::new(0x00f0_67aa_0ba9_02b7).unwrap(),
        parent: None,
        flags: Flags::SAMPLED,
        tracestate: None,
        link: None,
        direction: Direction::Ingress,
        listener: Arc::from("public"),
        start: now,
        headers: None,
        end: now,
        method: "GET".into(),
        scheme: "http",
        host: None,
        port: None,
        path: "/".into(),
        query: None,
        user_agent: None,
        peer: None,
        client: None,
        protocol_version: "1.1",
        grpc: false,
        status: Some(200),
        grpc_status: None,
        outcome: Outcome::Done,
        resends: 0,
        request_bytes: 0,
        response_bytes: 0,
        request_messages: 0,
        response_messages: 0,
        moments: Moments::default(),
        segment: 0,
        continued: false,
        upgraded: false,
        routes: Arc::default(),
        captured: Vec::new(),
        audit_id: None,
        kept: None,
        capped: 0,
    })
}
