//! What the exporter needs to know; built by `config`.

use std::path::PathBuf;
use std::time::Duration;

use opentelemetry_sdk::Resource;
use opentelemetry_sdk::trace::SpanData;
use tokio::sync::mpsc;

/// The exporter's settings.
#[derive(Clone, Debug, PartialEq)]
pub struct Settings {
    /// Where spans go; empty: nowhere (`none`).
    pub sinks: Vec<Sink>,
    /// Where metrics go, if anywhere; needs a sink, without which there is no exporter.
    pub metrics: Option<Metrics>,
    /// `service.name` and further resource attributes, in order, last value of a key wins.
    pub resource: Vec<(String, String)>,
    /// Spans that may wait, over all workers; more are dropped and counted.
    pub queue_spans: usize,
    /// Spans per batch.
    pub max_batch: usize,
    /// How long an incomplete batch waits.
    pub schedule_delay: Duration,
}

/// Metrics by OTLP.
#[derive(Clone, Debug, PartialEq)]
pub struct Metrics {
    /// The collector.
    pub otlp: Otlp,
    /// Time between two exports.
    pub interval: Duration,
}

/// Where spans go.
#[derive(Clone, Debug, PartialEq)]
pub enum Sink {
    /// OTLP to a collector.
    Otlp(Otlp),
    /// JSON lines on standard output.
    Console,
    /// A reader in this process. No file says this: whoever starts the proxy in-process does.
    Memory(Memory),
}

/// The way to a reader in this process; two are equal if it is the same reader.
#[derive(Clone, Debug)]
pub struct Memory(pub(super) mpsc::Sender<Delivery>);

/// A batch of spans and what they have in common.
#[derive(Clone, Debug)]
pub struct Delivery {
    /// Attributes of the proxy that made them.
    pub resource: Resource,
    /// At least one.
    pub spans: Vec<SpanData>,
}

impl Memory {
    /// A way that holds up to `batches` batches (at least one) the reader hasn't taken yet. The
    /// reader's end comes when every proxy that was given the way has ended.
    pub fn channel(batches: usize) -> (Self, mpsc::Receiver<Delivery>) {
        let (sender, receiver) = mpsc::channel(batches.max(1));
        (Self(sender), receiver)
    }
}

impl PartialEq for Memory {
    fn eq(&self, other: &Self) -> bool {
        self.0.same_channel(&other.0)
    }
}

/// OTLP to a collector.
#[derive(Clone, Debug, PartialEq)]
pub struct Otlp {
    /// gRPC or HTTP.
    pub transport: Transport,
    /// `http://host:port`, `https://…`, `unix:///path` or `unix-abstract:name` (gRPC); for HTTP the full URL with path.
    pub endpoint: String,
    /// Extra headers; values are secrets.
    pub headers: Vec<(String, String)>,
    /// Compression.
    pub compression: Compression,
    /// TLS material for `https` endpoints.
    pub tls: Tls,
    /// Bound on one attempt.
    pub timeout: Duration,
}

/// OTLP's transports.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Transport {
    /// `grpc`
    Grpc,
    /// `http/protobuf`
    HttpProtobuf,
}

/// Compression of exported batches.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Compression {
    /// None.
    #[default]
    None,
    /// gzip
    Gzip,
    /// zstd
    Zstd,
}

/// TLS material; the system's roots if no CA is named.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Tls {
    /// Trust anchors, PEM.
    pub ca_file: Option<PathBuf>,
    /// Client certificate and key, PEM.
    pub identity: Option<(PathBuf, PathBuf)>,
}
