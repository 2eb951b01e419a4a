//! OTLP/gRPC over a tonic channel.

use std::time::SystemTime;

use bytes::{BufMut, Bytes, BytesMut};
use http::{HeaderMap, HeaderValue, Request, StatusCode, Uri, Version, header};
use http_body_util::{BodyExt, Full, Limited};
use tonic::body::Body;
use tonic::client::GrpcService;
use tonic::transport::{Channel, Endpoint};
use tonic::{Code, Status};

use super::abstract_socket::Abstract;
use super::answer::Answer;
use super::courier::Payload;
use super::{Signal, USER_AGENT, endpoint, public, tls};
use crate::export::BuildError;
use crate::export::settings::Otlp;

const TRACES: &str = "/opentelemetry.proto.collector.trace.v1.TraceService/Export";
const METRICS: &str = "/opentelemetry.proto.collector.metrics.v1.MetricsService/Export";

/// An answer's message is a few bytes; more is not read.
const MAX_ANSWER: usize = 64 * 1024;

#[derive(Debug)]
pub(super) struct Grpc {
    channel: Channel,
    headers: HeaderMap,
    method: &'static str,
}

impl Grpc {
    pub(super) fn new(
        settings: &Otlp,
        mut headers: HeaderMap,
        signal: Signal,
    ) -> Result<Self, BuildError> {
        let target = &settings.endpoint;
        let unix = target.starts_with("unix:") || target.starts_with("unix-abstract:");
        let uri = if unix {
            None
        } else {
            Some(endpoint(target, &["http", "https"])?)
        };
        let fault = |error: tonic::transport::Error| BuildError::Endpoint {
            endpoint: public(target),
            reason: error.to_string(),
        };
        // No URL can hold an abstract socket's name; this one is never resolved.
        let name = target.strip_prefix("unix-abstract:");
        let url = if name.is_some() {
            "http://localhost"
        } else {
            target
        };
        let mut channel = Endpoint::from_shared(url.to_owned())
            .and_then(|endpoint| endpoint.user_agent(USER_AGENT))
            .map_err(fault)?
            .connect_timeout(settings.timeout)
            // A collector that vanished without a word is noticed while a request waits for it.
            .http2_keep_alive_interval(std::time::Duration::from_secs(30))
            .keep_alive_timeout(settings.timeout);
        if uri.as_ref().and_then(Uri::scheme_str) == Some("https") {
            channel = channel
                .tls_config(tls::for_tonic(&settings.tls)?)
                .map_err(|error| BuildError::Tls {
                    file: tls::describe(&settings.tls),
                    reason: error.to_string(),
                })?;
        }
        headers.insert(
            header::CONTENT_TYPE,
            HeaderValue::from_static("application/grpc"),
        );
        headers.insert(header::TE, HeaderValue::from_static("trailers"));
        Ok(Self {
            channel: match name {
                Some(name) => channel.connect_with_connector_lazy(Abstract::new(name)),
                None => channel.connect_lazy(),
            },
            headers,
            method: match signal {
                Signal::Traces => TRACES,
                Signal::Metrics => METRICS,
            },
        })
    }

    pub(super) async fn send(&self, payload: Payload) -> Answer {
        let mut channel = self.channel.clone();
        if let Err(error) = std::future::poll_fn(|cx| channel.poll_ready(cx)).await {
            return Answer::unreachable(&error);
        }
        let mut headers = self.headers.clone();
        if let Some(encoding) = &payload.encoding {
            headers.insert("grpc-encoding", encoding.clone());
        }
        let mut request = Request::new(Body::new(Full::new(frame(&payload))));
        *request.method_mut() = http::Method::POST;
        *request.uri_mut() = Uri::from_static(self.method);
        *request.version_mut() = Version::HTTP_2;
        *request.headers_mut() = headers;
        let response = match channel.call(request).await {
            Ok(response) => response,
            Err(error) => return Answer::unreachable(&error),
        };
        let (head, body) = response.into_parts();
        if head.status != StatusCode::OK {
            return Answer::http(head.status, &head.headers, SystemTime::now());
        }
        // A trailers-only answer has its status in the head.
        if let Some(status) = Status::from_header_map(&head.headers) {
            return judge(&status, &Bytes::new());
        }
        match Limited::new(body, MAX_ANSWER).collect().await {
            Ok(collected) => {
                let status = collected.trailers().and_then(Status::from_header_map);
                let message = collected.to_bytes();
                match status {
                    Some(status) => judge(&status, &message),
                    None => Answer::Retryable {
                        error: "an answer without a gRPC status".to_owned(),
                        after: None,
                    },
                }
            }
            Err(error) => Answer::unreachable(&*error),
        }
    }
}

fn judge(status: &Status, message: &Bytes) -> Answer {
    if status.code() == Code::Ok {
        Answer::accepted(message.get(FRAME_HEAD..).unwrap_or_default())
    } else {
        Answer::grpc(status)
    }
}

/// Compressed flag and length in front of a message.
const FRAME_HEAD: usize = 5;

/// A length-prefixed message ("gRPC over HTTP2", section "Requests").
fn frame(payload: &Payload) -> Bytes {
    let body = &payload.body;
    // Batches are cut far below 4 GiB.
    let length = u32::try_from(body.len()).unwrap_or(u32::MAX);
    let mut framed = BytesMut::with_capacity(FRAME_HEAD + body.len());
    framed.put_u8(u8::from(payload.encoding.is_some()));
    framed.put_u32(length);
    framed.put_slice(body);
    framed.freeze()
}
