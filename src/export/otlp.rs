//! OTLP.
//!
//! The library's HTTP exporter turns a batch into protobuf, compresses it, and hands the bytes to
//! an `HttpClient` of ours, once per batch. Both transports carry these bytes: OTLP/HTTP as they
//! are, OTLP/gRPC in a gRPC frame. The library's own gRPC exporter isn't used: it shows a failure
//! only as prose and a partial success not at all, and copies the batch for every attempt.
//!
//! Retries are ours, too: on the encoded bytes, each attempt under a timeout that cancels it.

use std::sync::Arc;

use http::{HeaderMap, HeaderName, HeaderValue, Uri};
use opentelemetry_otlp::{RetryPolicy, WithExportConfig, WithHttpConfig};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::trace::SpanExporter as _;

use super::BuildError;
use super::retry::Retry;
use super::settings::{Compression, Otlp, Transport};
use super::sink::{Batch, Deadline, Outcome};
use super::status::SinkStatus;
use crate::span::record::Record;
use crate::span::semconv::Converter;
use courier::{Courier, Errand, Shared, Wire};
use grpc::Grpc;
use http_protobuf::HttpProtobuf;

mod abstract_socket;
mod answer;
mod courier;
mod grpc;
mod http_protobuf;
mod metrics;
mod tls;

pub(super) use metrics::Pusher;

/// A request is kept below this many bytes of text, well under the 4 MiB that gRPC servers take.
const MAX_REQUEST_TEXT: usize = 2 * 1024 * 1024;

/// What a span weighs beside its strings.
const SPAN_OVERHEAD: usize = 1024;

/// What a value of a list weighs beside its text.
const VALUE_OVERHEAD: usize = 16;

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
        let wire = wire(settings, Signal::Traces)?;
        let courier = Arc::new(Courier::new(wire, settings.timeout, retry, status));
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
                    self.courier.status().failed(&error.unwrap_or_default());
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
    let captured = record.captured.iter().map(|field| {
        let values = field
            .values
            .iter()
            .map(|value| VALUE_OVERHEAD + value.len());
        SPAN_OVERHEAD / 8 + field.name.as_str().len() + values.sum::<usize>()
    });
    // A path may be an attribute, part of one, and in pieces once more.
    SPAN_OVERHEAD
        + 3 * url
        + captured.sum::<usize>()
        + record.method.len()
        + len(&record.user_agent)
        + len(&record.tracestate)
}

/// What is exported.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Signal {
    Traces,
    Metrics,
}

fn wire(settings: &Otlp, signal: Signal) -> Result<Wire, BuildError> {
    let headers = headers(&settings.headers)?;
    Ok(match settings.transport {
        Transport::Grpc => Wire::Grpc(Grpc::new(settings, headers, signal)?),
        Transport::HttpProtobuf => Wire::Http(Box::new(HttpProtobuf::new(settings, headers)?)),
    })
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::span::record::{MAX_TEXT, fixture, text};

    #[test]
    fn a_sinks_name_holds_no_secrets() {
        for (endpoint, expected, why) in [
            ("http://localhost:4317", "http://localhost:4317", "plain"),
            (
                "https://user:pw@c:4318/v1/traces",
                "https://c:4318/v1/traces",
                "userinfo",
            ),
            (
                "https://c/v1/traces?key=s#f",
                "https://c/v1/traces",
                "query and fragment",
            ),
            ("https://a@b@c/", "https://c/", "more than one at sign"),
            (
                "unix:///run/otel@1.sock",
                "unix:///run/otel@1.sock",
                "an at sign in a path",
            ),
        ] {
            assert_eq!(public(endpoint), expected, "{why}");
        }
    }

    #[test]
    fn an_endpoint_needs_a_host_and_a_known_scheme() {
        for (text, good, why) in [
            ("http://localhost:4317", true, "plain"),
            ("https://c:4318/v1/traces", true, "TLS"),
            ("localhost:4317", false, "no scheme"),
            ("ftp://localhost", false, "another scheme"),
            ("http://", false, "no host"),
            ("", false, "nothing"),
        ] {
            let result = endpoint(text, &["http", "https"]);
            assert_eq!(result.is_ok(), good, "{why}: {result:?}");
        }
    }

    #[test]
    fn a_bad_header_is_named_but_its_value_is_not_shown() {
        let bad = [("authorization".to_owned(), "secret\nvalue".to_owned())];
        let error = headers(&bad).unwrap_err().to_string();
        assert!(error.contains("authorization"), "{error}");
        assert!(!error.contains("secret"), "{error}");
    }

    #[test]
    fn batches_of_long_urls_are_cut_into_requests_collectors_take() {
        let mut long = fixture();
        long.path = text(&"x".repeat(MAX_TEXT));
        long.query = Some(text(&"y".repeat(MAX_TEXT)));
        let records = vec![long; 2000];
        let parts: Vec<_> = parts(&records).collect();
        assert!(parts.len() > 1, "one request would be too large");
        assert_eq!(parts.iter().map(|part| part.len()).sum::<usize>(), 2000);
        for part in parts {
            let weight: usize = part.iter().map(|record| weigh(record)).sum();
            assert!(weight <= MAX_REQUEST_TEXT + weigh(&records[0]));
        }
    }

    #[test]
    fn an_ordinary_batch_is_one_request() {
        let records = vec![fixture(); 512];
        assert_eq!(parts(&records).count(), 1);
        assert_eq!(parts(&[]).count(), 0);
    }
}
