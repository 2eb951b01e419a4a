//! OTLP.
//!
//! The library's HTTP exporter turns a batch into protobuf, compresses it, and hands the bytes to
//! an [`HttpClient`] of ours, once per batch. Both transports carry these bytes: OTLP/HTTP as they
//! are, OTLP/gRPC in a gRPC frame. The library's own gRPC exporter isn't used: it shows a failure
//! only as prose and a partial success not at all, and copies the batch for every attempt.
//!
//! Retries are ours, too: on the encoded bytes, each attempt under a timeout that cancels it.

use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Request, Response, Uri};
use opentelemetry_http::{HttpClient, HttpError};
use opentelemetry_otlp::{RetryPolicy, WithExportConfig, WithHttpConfig};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::trace::SpanExporter as _;

use super::BuildError;
use super::retry::{self, Retry};
use super::settings::{Compression, Otlp, Transport};
use super::sink::{Batch, Deadline, Outcome};
use super::status::SinkStatus;
use crate::span::record::Record;
use crate::span::semconv::Converter;
use answer::Answer;
use grpc::Grpc;
use http_protobuf::HttpProtobuf;

mod answer;
mod grpc;
mod http_protobuf;
mod tls;

/// A request is kept below this many bytes of text, well under the 4 MiB that gRPC servers take.
const MAX_REQUEST_TEXT: usize = 2 * 1024 * 1024;

/// What a span weighs beside its strings.
const SPAN_OVERHEAD: usize = 1024;

/// The User-Agent the specification asks exporters for.
const USER_AGENT: &str = concat!("OTel-OTLP-Exporter-Rust/", env!("CARGO_PKG_VERSION"));

/// An OTLP exporter; one export at a time.
#[derive(Debug)]
pub(super) struct Exporter {
    library: opentelemetry_otlp::SpanExporter,
    courier: Arc<Courier>,
    converter: Arc<Converter>,
}

/// Transport and endpoint without credentials.
pub(super) fn name(settings: &Otlp) -> String {
    let transport = match settings.transport {
        Transport::Grpc => "otlp/grpc",
        Transport::HttpProtobuf => "otlp/http",
    };
    format!("{transport} {}", public(&settings.endpoint))
}

/// An endpoint without userinfo and query, which may hold secrets.
fn public(endpoint: &str) -> String {
    let endpoint = endpoint.split(['?', '#']).next().unwrap_or_default();
    match endpoint.split_once("://") {
        Some((scheme, rest)) => {
            let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
            let host = authority.rsplit('@').next().unwrap_or_default();
            format!("{scheme}://{host}{path}")
        }
        None => endpoint.to_owned(),
    }
}

impl Exporter {
    /// Must be called inside the runtime that will drive it.
    pub(super) fn new(
        settings: &Otlp,
        resource: &Resource,
        converter: Arc<Converter>,
        retry: Retry,
        status: Arc<SinkStatus>,
    ) -> Result<Self, BuildError> {
        let headers = headers(&settings.headers)?;
        let wire = match settings.transport {
            Transport::Grpc => Wire::Grpc(Grpc::new(settings, headers)?),
            Transport::HttpProtobuf => Wire::Http(Box::new(HttpProtobuf::new(settings, headers)?)),
        };
        let courier = Arc::new(Courier {
            wire,
            timeout: settings.timeout,
            retry,
            status,
            errand: Mutex::new(None),
        });
        let mut builder = opentelemetry_otlp::SpanExporter::builder()
            .with_http()
            .with_http_client(Shared(Arc::clone(&courier)))
            .with_protocol(opentelemetry_otlp::Protocol::HttpBinary)
            // Never dialled: the wire knows where to go. Set, so that no environment is read.
            .with_endpoint("http://localhost/v1/traces")
            .with_timeout(settings.timeout)
            .with_retry_policy(RetryPolicy::disabled());
        match settings.compression {
            Compression::None => {}
            Compression::Gzip => {
                builder = builder.with_compression(opentelemetry_otlp::Compression::Gzip);
            }
            Compression::Zstd => {
                builder = builder.with_compression(opentelemetry_otlp::Compression::Zstd);
            }
        }
        let mut library = builder
            .build()
            .map_err(|error| BuildError::Otlp(error.to_string()))?;
        library.set_resource(resource);
        Ok(Self {
            library,
            courier,
            converter,
        })
    }

    /// Sends a batch; ends when its fate is known.
    pub(super) async fn export(
        &mut self,
        batch: &Batch,
        deadline: &Deadline,
        outcome: &mut Outcome,
    ) {
        for part in parts(&batch.records) {
            let spans = part
                .iter()
                .map(|record| self.converter.span(record, batch.anchor))
                .collect();
            let errand = Errand {
                spans: part.len() as u64,
                deadline: deadline.clone(),
                outcome: None,
            };
            self.courier.put(Some(errand));
            let result = self.library.export(spans).await;
            match self.courier.put(None).and_then(|errand| errand.outcome) {
                Some(done) => {
                    outcome.exported += done.exported;
                    outcome.rejected += done.rejected;
                    outcome.failed += done.failed;
                }
                None => {
                    // The library failed before it had anything to send.
                    let error = result.err().map(|error| error.to_string());
                    self.courier.status.failed(&error.unwrap_or_default());
                    outcome.failed += part.len() as u64;
                }
            }
        }
    }
}

/// Cuts a batch so that no request outgrows what collectors take, whatever callers put in URLs.
fn parts(records: &[Box<Record>]) -> impl Iterator<Item = &[Box<Record>]> {
    let mut weight = 0;
    records.chunk_by(move |_, next| {
        weight += weigh(next);
        let fits = weight <= MAX_REQUEST_TEXT;
        if !fits {
            weight = 0;
        }
        fits
    })
}

/// An upper estimate of a span's size: its strings, the URL's twice, and a constant.
fn weigh(record: &Record) -> usize {
    let len = |text: &Option<Box<str>>| text.as_ref().map_or(0, |text| text.len());
    let url = record.path.len() + len(&record.query) + len(&record.host);
    SPAN_OVERHEAD
        + 2 * url
        + record.method.len()
        + len(&record.user_agent)
        + len(&record.tracestate)
}

fn headers(configured: &[(String, String)]) -> Result<HeaderMap, BuildError> {
    let mut headers = HeaderMap::with_capacity(configured.len());
    for (name, value) in configured {
        let fault = || BuildError::Header { name: name.clone() };
        let header = HeaderName::from_bytes(name.as_bytes()).map_err(|_| fault())?;
        let mut value = HeaderValue::from_str(value).map_err(|_| fault())?;
        value.set_sensitive(true);
        headers.append(header, value);
    }
    Ok(headers)
}

/// Parses an endpoint; its scheme must be among `schemes`.
fn endpoint(text: &str, schemes: &[&str]) -> Result<Uri, BuildError> {
    let fault = |reason: String| BuildError::Endpoint {
        endpoint: public(text),
        reason,
    };
    let uri: Uri = text.parse().map_err(|error| fault(format!("{error}")))?;
    if !uri.scheme_str().is_some_and(|s| schemes.contains(&s)) || uri.host().is_none() {
        return Err(fault(format!(
            "expected a URL with a host and one of the schemes {}",
            schemes.join(", ")
        )));
    }
    Ok(uri)
}

#[derive(Debug)]
enum Wire {
    Grpc(Grpc),
    Http(Box<HttpProtobuf>),
}

/// Encoded spans, cheap to copy.
#[derive(Clone, Debug)]
struct Payload {
    body: Bytes,
    /// As named by both HTTP and gRPC: `gzip`, `zstd`.
    encoding: Option<HeaderValue>,
}

/// What the export in progress is about, and how it ended.
#[derive(Debug)]
struct Errand {
    spans: u64,
    deadline: Deadline,
    outcome: Option<Outcome>,
}

/// Takes encoded batches from the library and brings them to the collector.
#[derive(Debug)]
struct Courier {
    wire: Wire,
    timeout: std::time::Duration,
    retry: Retry,
    status: Arc<SinkStatus>,
    /// There is at most one export at a time.
    errand: Mutex<Option<Errand>>,
}

impl Courier {
    fn put(&self, errand: Option<Errand>) -> Option<Errand> {
        let mut slot = self.errand.lock().unwrap_or_else(PoisonError::into_inner);
        std::mem::replace(&mut *slot, errand)
    }

    async fn attempt(&self, payload: Payload) -> Answer {
        let attempt = async {
            match &self.wire {
                Wire::Grpc(grpc) => grpc.send(payload).await,
                Wire::Http(http) => http.send(payload).await,
            }
        };
        match tokio::time::timeout(self.timeout, attempt).await {
            Ok(answer) => answer,
            Err(_) => Answer::Retryable {
                error: format!("no answer within {:?}", self.timeout),
                after: None,
            },
        }
    }

    async fn deliver(&self, payload: Payload, spans: u64, deadline: &Deadline) -> Outcome {
        let mut failures = 0;
        loop {
            let (error, after) = match self.attempt(payload.clone()).await {
                Answer::Accepted { rejected } => {
                    self.status.succeeded();
                    let rejected = rejected.min(spans);
                    return Outcome {
                        exported: spans - rejected,
                        rejected,
                        ..Outcome::default()
                    };
                }
                Answer::Rejected { error } => {
                    self.status.failed(&error);
                    return Outcome {
                        rejected: spans,
                        ..Outcome::default()
                    };
                }
                Answer::Retryable { error, after } => (error, after),
            };
            self.status.failed(&error);
            failures += 1;
            // On the way out there is one second chance: the deadline is for all batches.
            let stopping = deadline.borrow().is_some();
            let wait = self.retry.after(failures, after, retry::random());
            match wait {
                Some(wait) if !stopping || failures < 2 => self.rest(wait, deadline).await,
                _ => {
                    return Outcome {
                        failed: spans,
                        ..Outcome::default()
                    };
                }
            }
        }
    }

    /// Waits before the next attempt; a stop cuts the wait short.
    async fn rest(&self, wait: std::time::Duration, deadline: &Deadline) {
        if deadline.borrow().is_some() {
            tokio::time::sleep(wait.min(self.retry.initial)).await;
            return;
        }
        let mut deadline = deadline.clone();
        tokio::select! {
            () = tokio::time::sleep(wait) => {}
            _ = deadline.wait_for(Option::is_some) => {}
        }
    }
}

/// The library wants to own its client.
#[derive(Debug)]
struct Shared(Arc<Courier>);

#[async_trait::async_trait]
impl HttpClient for Shared {
    async fn send_bytes(&self, request: Request<Bytes>) -> Result<Response<Bytes>, HttpError> {
        let courier = &self.0;
        let Some(mut errand) = courier.put(None) else {
            return Err("no export in progress".into());
        };
        let (head, body) = request.into_parts();
        let encoding = head.headers.get(http::header::CONTENT_ENCODING).cloned();
        let payload = Payload { body, encoding };
        let outcome = courier
            .deliver(payload, errand.spans, &errand.deadline)
            .await;
        errand.outcome = Some(outcome);
        courier.put(Some(errand));
        // The outcome travels beside the library, which need not judge anything.
        Ok(Response::new(Bytes::new()))
    }
}
