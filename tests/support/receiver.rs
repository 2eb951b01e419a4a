//! An OTLP collector for tests: OTLP/gRPC (tonic) or OTLP/HTTP (hyper), on TCP or a unix socket,
//! with or without TLS, on a thread of its own. It behaves as it is told, counts calls and keeps
//! what it was sent; tests wait for events, not for time.
#![allow(
    dead_code,
    reason = "every test binary uses another part of what tests share"
)]

use std::convert::Infallible;
use std::io::Read;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::{TokioExecutor, TokioIo};
use opentelemetry_proto::tonic::collector::metrics::v1::metrics_service_server::{
    MetricsService, MetricsServiceServer,
};
use opentelemetry_proto::tonic::collector::metrics::v1::{
    ExportMetricsPartialSuccess, ExportMetricsServiceRequest, ExportMetricsServiceResponse,
};
use opentelemetry_proto::tonic::collector::trace::v1::trace_service_server::{
    TraceService, TraceServiceServer,
};
use opentelemetry_proto::tonic::collector::trace::v1::{
    ExportTracePartialSuccess, ExportTraceServiceRequest, ExportTraceServiceResponse,
};
use opentelemetry_proto::tonic::common::v1::{KeyValue, any_value::Value};
use opentelemetry_proto::tonic::trace::v1::Span;
use prost::Message;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, UnixListener};
use tokio::sync::{oneshot, watch};
use tokio_rustls::TlsAcceptor;
use tonic::codec::CompressionEncoding;
use tonic::codegen::Service;

/// How long a test waits for an event before it fails.
const PATIENCE: Duration = Duration::from_secs(20);

/// What the receiver does with a call.
#[derive(Clone, Debug)]
pub enum Behaviour {
    /// Takes everything.
    Accept,
    /// Answers only once told to behave otherwise.
    Hang,
    /// gRPC: refuses with this code.
    Code(tonic::Code),
    /// HTTP: refuses with this status and these headers.
    Status(u16, Vec<(&'static str, &'static str)>),
    /// Takes everything, but says that so many spans were rejected.
    Partial(i64),
}

/// Protocol of the receiver.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Speaks {
    /// OTLP/gRPC
    Grpc,
    /// OTLP/HTTP, binary protobuf
    Http,
}

/// Where it listens.
#[derive(Clone, Debug)]
pub enum At {
    /// Loopback, a free port.
    AnyPort,
    /// This address.
    Tcp(SocketAddr),
    /// A unix socket.
    Unix(PathBuf),
}

/// A call as it came, whatever it was answered.
#[derive(Clone, Debug)]
pub struct Call {
    /// Path of the request.
    pub path: String,
    /// Metadata or headers.
    pub headers: http::HeaderMap,
}

#[derive(Debug, Default)]
struct Seen {
    calls: Vec<Call>,
    requests: Vec<ExportTraceServiceRequest>,
    metrics: Vec<ExportMetricsServiceRequest>,
}

impl Seen {
    fn spans(&self) -> Vec<Span> {
        self.requests
            .iter()
            .flat_map(|request| &request.resource_spans)
            .flat_map(|resource| &resource.scope_spans)
            .flat_map(|scope| scope.spans.clone())
            .collect()
    }
}

#[derive(Debug)]
struct Shared {
    speaks: Speaks,
    behaviour: watch::Sender<Behaviour>,
    seen: Mutex<Seen>,
    changed: Condvar,
}

/// A running collector; ends when dropped.
#[derive(Debug)]
pub struct Receiver {
    shared: Arc<Shared>,
    endpoint: String,
    address: Option<SocketAddr>,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Receiver {
    /// Cleartext on a free loopback port.
    pub fn start(speaks: Speaks) -> Self {
        Self::start_at(speaks, At::AnyPort, None)
    }

    /// Anywhere, with TLS if asked for. It listens when this returns.
    pub fn start_at(speaks: Speaks, at: At, tls: Option<rustls::ServerConfig>) -> Self {
        let shared = Arc::new(Shared {
            speaks,
            behaviour: watch::Sender::new(Behaviour::Accept),
            seen: Mutex::default(),
            changed: Condvar::new(),
        });
        let scheme = if tls.is_some() { "https" } else { "http" };
        let acceptor = tls.map(|mut config| {
            let protocol: &[u8] = match speaks {
                Speaks::Grpc => b"h2",
                Speaks::Http => b"http/1.1",
            };
            config.alpn_protocols = vec![protocol.to_vec()];
            TlsAcceptor::from(Arc::new(config))
        });
        let (stop, stopped) = oneshot::channel();
        let (listening, listens) = std::sync::mpsc::channel();
        let service = Arc::clone(&shared);
        let thread = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .unwrap();
            runtime.block_on(async {
                let listener = Listener::bind(&at).await;
                listening.send(listener.address()).unwrap();
                tokio::select! {
                    () = listener.serve(service, acceptor) => {}
                    _ = stopped => {}
                }
            });
        });
        let address: Result<SocketAddr, PathBuf> = listens.recv().unwrap();
        let endpoint = match (&address, speaks) {
            (Ok(address), Speaks::Grpc) => format!("{scheme}://localhost:{}", address.port()),
            (Ok(address), Speaks::Http) => {
                format!("{scheme}://localhost:{}/v1/traces", address.port())
            }
            (Err(path), _) => format!("unix://{}", path.display()),
        };
        Self {
            shared,
            endpoint,
            address: address.ok(),
            stop: Some(stop),
            thread: Some(thread),
        }
    }

    /// The URL an exporter needs.
    pub fn endpoint(&self) -> &str {
        &self.endpoint
    }

    /// The TCP address, to come back at.
    pub fn address(&self) -> Option<SocketAddr> {
        self.address
    }

    /// From now on; also for calls that hang.
    pub fn behave(&self, behaviour: Behaviour) {
        self.shared.behaviour.send_replace(behaviour);
    }

    /// Calls so far.
    pub fn calls(&self) -> Vec<Call> {
        self.shared.seen.lock().unwrap().calls.clone()
    }

    /// Spans taken so far.
    pub fn spans(&self) -> Vec<Span> {
        self.shared.seen.lock().unwrap().spans()
    }

    /// Requests taken so far.
    pub fn requests(&self) -> Vec<ExportTraceServiceRequest> {
        self.shared.seen.lock().unwrap().requests.clone()
    }

    /// Waits for a request with metrics that satisfies; blocks the thread.
    pub fn wait_for_metrics(
        &self,
        wanted: impl Fn(&ExportMetricsServiceRequest) -> bool,
    ) -> ExportMetricsServiceRequest {
        let seen = self.wait(|seen| seen.metrics.iter().any(&wanted), "metrics");
        let found = seen.metrics.iter().find(|request| wanted(request));
        found.expect("it was waited for").clone()
    }

    /// Waits for at least that many spans; blocks the thread.
    pub fn wait_for_spans(&self, count: usize) -> Vec<Span> {
        self.wait(|seen| seen.spans().len() >= count, "spans")
            .spans()
    }

    /// Waits for at least that many calls, whatever they were answered; blocks the thread.
    pub fn wait_for_calls(&self, count: usize) -> Vec<Call> {
        self.wait(|seen| seen.calls.len() >= count, "calls")
            .calls
            .clone()
    }

    fn wait(&self, enough: impl Fn(&Seen) -> bool, what: &str) -> std::sync::MutexGuard<'_, Seen> {
        let end = Instant::now() + PATIENCE;
        let mut seen = self.shared.seen.lock().unwrap();
        while !enough(&seen) {
            let left = end.saturating_duration_since(Instant::now());
            assert!(!left.is_zero(), "not enough {what} arrived: {seen:?}");
            seen = self.shared.changed.wait_timeout(seen, left).unwrap().0;
        }
        seen
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// The value of a span's (or resource's) attribute as text.
pub fn attribute(attributes: &[KeyValue], key: &str) -> Option<String> {
    let value = attributes.iter().find(|pair| pair.key == key)?;
    Some(match value.value.as_ref()?.value.as_ref()? {
        Value::StringValue(value) => value.clone(),
        Value::BoolValue(value) => value.to_string(),
        Value::IntValue(value) => value.to_string(),
        Value::DoubleValue(value) => value.to_string(),
        other => format!("{other:?}"),
    })
}

impl Shared {
    fn note(&self, path: &str, headers: &http::HeaderMap) {
        self.seen.lock().unwrap().calls.push(Call {
            path: path.to_owned(),
            headers: headers.clone(),
        });
        self.changed.notify_all();
    }

    fn keep_metrics(&self, request: ExportMetricsServiceRequest) {
        self.seen.lock().unwrap().metrics.push(request);
        self.changed.notify_all();
    }

    fn keep(&self, request: ExportTraceServiceRequest) {
        self.seen.lock().unwrap().requests.push(request);
        self.changed.notify_all();
    }

    /// The behaviour to follow, once it isn't to hang.
    async fn behaviour(&self) -> Behaviour {
        let mut behaviour = self.behaviour.subscribe();
        let told = behaviour
            .wait_for(|behaviour| !matches!(behaviour, Behaviour::Hang))
            .await;
        told.map(|behaviour| behaviour.clone()).unwrap()
    }
}

fn response(rejected: i64) -> ExportTraceServiceResponse {
    ExportTraceServiceResponse {
        partial_success: (rejected != 0).then(|| ExportTracePartialSuccess {
            rejected_spans: rejected,
            error_message: "told to".to_owned(),
        }),
    }
}

/// The gRPC half.
#[derive(Clone)]
struct Traces(Arc<Shared>);

#[tonic::async_trait]
impl TraceService for Traces {
    async fn export(
        &self,
        request: tonic::Request<ExportTraceServiceRequest>,
    ) -> Result<tonic::Response<ExportTraceServiceResponse>, tonic::Status> {
        match self.0.behaviour().await {
            Behaviour::Code(code) => Err(tonic::Status::new(code, "told to")),
            Behaviour::Partial(rejected) => {
                self.0.keep(request.into_inner());
                Ok(tonic::Response::new(response(rejected)))
            }
            _ => {
                self.0.keep(request.into_inner());
                Ok(tonic::Response::new(response(0)))
            }
        }
    }
}

/// The gRPC half of metrics.
#[derive(Clone)]
struct Metrics(Arc<Shared>);

fn metrics_response(rejected: i64) -> ExportMetricsServiceResponse {
    ExportMetricsServiceResponse {
        partial_success: (rejected != 0).then(|| ExportMetricsPartialSuccess {
            rejected_data_points: rejected,
            error_message: "told to".to_owned(),
        }),
    }
}

#[tonic::async_trait]
impl MetricsService for Metrics {
    async fn export(
        &self,
        request: tonic::Request<ExportMetricsServiceRequest>,
    ) -> Result<tonic::Response<ExportMetricsServiceResponse>, tonic::Status> {
        let rejected = match self.0.behaviour().await {
            Behaviour::Code(code) => return Err(tonic::Status::new(code, "told to")),
            Behaviour::Partial(rejected) => rejected,
            _ => 0,
        };
        self.0.keep_metrics(request.into_inner());
        Ok(tonic::Response::new(metrics_response(rejected)))
    }
}

/// The HTTP half.
async fn traces_over_http(
    shared: Arc<Shared>,
    request: Request<Incoming>,
) -> Result<Response<Full<Bytes>>, Infallible> {
    let (head, body) = request.into_parts();
    shared.note(head.uri.path(), &head.headers);
    let body = body.collect().await.map(|body| body.to_bytes());
    let behaviour = shared.behaviour().await;
    if let Behaviour::Status(status, headers) = behaviour {
        let mut response = Response::builder().status(status);
        for (name, value) in headers {
            response = response.header(name, value);
        }
        return Ok(response.body(Full::default()).unwrap());
    }
    let encoding = head.headers.get("content-encoding");
    let body = decode(
        &body.unwrap(),
        encoding.and_then(|value| value.to_str().ok()),
    );
    let rejected = match behaviour {
        Behaviour::Partial(rejected) => rejected,
        _ => 0,
    };
    let body = if head.uri.path().ends_with("/v1/metrics") {
        shared.keep_metrics(ExportMetricsServiceRequest::decode(&*body).unwrap());
        metrics_response(rejected).encode_to_vec()
    } else {
        shared.keep(ExportTraceServiceRequest::decode(&*body).unwrap());
        response(rejected).encode_to_vec()
    };
    Ok(Response::new(Full::new(body.into())))
}

fn decode(body: &[u8], encoding: Option<&str>) -> Vec<u8> {
    let mut out = Vec::new();
    match encoding {
        Some("gzip") => {
            flate2::read::GzDecoder::new(body)
                .read_to_end(&mut out)
                .unwrap();
        }
        Some("zstd") => out = zstd::decode_all(body).unwrap(),
        Some(other) => panic!("unexpected content-encoding {other}"),
        None => out.extend_from_slice(body),
    }
    out
}

enum Listener {
    Tcp(TcpListener),
    Unix(UnixListener, PathBuf),
}

impl Listener {
    async fn bind(at: &At) -> Self {
        match at {
            At::AnyPort => Self::Tcp(TcpListener::bind("127.0.0.1:0").await.unwrap()),
            At::Tcp(address) => Self::Tcp(TcpListener::bind(address).await.unwrap()),
            At::Unix(path) => Self::Unix(UnixListener::bind(path).unwrap(), path.clone()),
        }
    }

    fn address(&self) -> Result<SocketAddr, PathBuf> {
        match self {
            Self::Tcp(listener) => Ok(listener.local_addr().unwrap()),
            Self::Unix(_, path) => Err(path.clone()),
        }
    }

    async fn serve(self, shared: Arc<Shared>, tls: Option<TlsAcceptor>) {
        loop {
            match &self {
                Self::Tcp(listener) => {
                    let (stream, _) = listener.accept().await.unwrap();
                    tokio::spawn(connection(stream, Arc::clone(&shared), tls.clone()));
                }
                Self::Unix(listener, _) => {
                    let (stream, _) = listener.accept().await.unwrap();
                    tokio::spawn(connection(stream, Arc::clone(&shared), tls.clone()));
                }
            }
        }
    }
}

async fn connection<S>(stream: S, shared: Arc<Shared>, tls: Option<TlsAcceptor>)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    match tls {
        // A failed handshake is the caller's business.
        Some(tls) => {
            if let Ok(stream) = tls.accept(stream).await {
                speak(stream, shared).await;
            }
        }
        None => speak(stream, shared).await,
    }
}

/// A connection that breaks off ends its task; tests see that by what didn't arrive.
async fn speak<S>(stream: S, shared: Arc<Shared>)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let io = TokioIo::new(stream);
    match shared.speaks {
        Speaks::Http => {
            let service = service_fn(|request| traces_over_http(Arc::clone(&shared), request));
            let server = hyper::server::conn::http1::Builder::new();
            let _ = server.serve_connection(io, service).await;
        }
        Speaks::Grpc => {
            let traces = TraceServiceServer::new(Traces(Arc::clone(&shared)))
                .accept_compressed(CompressionEncoding::Gzip)
                .accept_compressed(CompressionEncoding::Zstd);
            let metrics = MetricsServiceServer::new(Metrics(Arc::clone(&shared)))
                .accept_compressed(CompressionEncoding::Gzip)
                .accept_compressed(CompressionEncoding::Zstd);
            let service = service_fn(|request: Request<Incoming>| {
                shared.note(request.uri().path(), request.headers());
                if request.uri().path().contains("MetricsService") {
                    metrics.clone().call(request)
                } else {
                    traces.clone().call(request)
                }
            });
            let server = hyper::server::conn::http2::Builder::new(TokioExecutor::new());
            let _ = server.serve_connection(io, service).await;
        }
    }
}

/// A directory that goes away with the test.
#[derive(Debug)]
pub struct Scratch(PathBuf);

impl Scratch {
    /// A fresh directory, named after the test.
    pub fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("tracegate-{}-{name}", std::process::id()));
        let _ = std::fs::remove_dir_all(&path);
        std::fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    /// A path in it.
    pub fn join(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    /// The directory.
    pub fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}
