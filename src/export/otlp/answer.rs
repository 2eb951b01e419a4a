//! What a collector's answer means (OTLP specification, sections "OTLP/gRPC Response" and
//! "OTLP/HTTP Response").

use std::time::Duration;

use http::{HeaderMap, StatusCode, header};
use prost::Message;
use tonic::Code;

/// A collector's answer to one attempt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Answer {
    /// Taken, but for `rejected` spans.
    Accepted { rejected: u64 },
    /// Another attempt may succeed.
    Retryable {
        error: String,
        /// The collector's wish.
        after: Option<Duration>,
    },
    /// No attempt will succeed.
    Rejected { error: String },
}

/// `ExportTraceServiceResponse`.
#[derive(Clone, PartialEq, Message)]
struct ExportResponse {
    #[prost(message, optional, tag = "1")]
    partial_success: Option<PartialSuccess>,
}

/// `ExportTracePartialSuccess`, but for the message, which may echo anything.
#[derive(Clone, PartialEq, Message)]
struct PartialSuccess {
    #[prost(int64, tag = "1")]
    rejected_spans: i64,
}

/// `google.rpc.Status`, the value of `grpc-status-details-bin`.
#[derive(Clone, PartialEq, Message)]
struct RpcStatus {
    #[prost(message, repeated, tag = "3")]
    details: Vec<Any>,
}

/// `google.protobuf.Any`.
#[derive(Clone, PartialEq, Message)]
struct Any {
    #[prost(string, tag = "1")]
    type_url: String,
    #[prost(bytes = "vec", tag = "2")]
    value: Vec<u8>,
}

/// `google.rpc.RetryInfo`.
#[derive(Clone, PartialEq, Message)]
struct RetryInfo {
    #[prost(message, optional, tag = "1")]
    retry_delay: Option<RetryDelay>,
}

/// `google.protobuf.Duration`.
#[derive(Clone, PartialEq, Message)]
struct RetryDelay {
    #[prost(int64, tag = "1")]
    seconds: i64,
    #[prost(int32, tag = "2")]
    nanos: i32,
}

impl Answer {
    /// A success; a body that can't be read counts as full success.
    pub(super) fn accepted(body: &[u8]) -> Self {
        let rejected = ExportResponse::decode(body)
            .ok()
            .and_then(|response| response.partial_success)
            .map_or(0, |partial| partial.rejected_spans);
        Self::Accepted {
            rejected: u64::try_from(rejected).unwrap_or(0),
        }
    }

    /// The request never got an answer.
    pub(super) fn unreachable(error: &(dyn std::error::Error + 'static)) -> Self {
        Self::Retryable {
            error: chain(error),
            after: None,
        }
    }

    /// An answer by HTTP status, other than success.
    pub(super) fn http(status: StatusCode, headers: &HeaderMap) -> Self {
        let error = format!("HTTP status {}", status.as_u16());
        match status.as_u16() {
            429 | 502 | 503 | 504 => Self::Retryable {
                error,
                after: retry_after(headers),
            },
            _ => Self::Rejected { error },
        }
    }

    /// An answer by gRPC status, other than OK.
    pub(super) fn grpc(status: &tonic::Status) -> Self {
        let error = format!("gRPC status {:?}", status.code());
        let after = retry_info(status.details());
        match status.code() {
            Code::Cancelled
            | Code::DeadlineExceeded
            | Code::Aborted
            | Code::OutOfRange
            | Code::Unavailable
            | Code::DataLoss => Self::Retryable { error, after },
            // Without a wish for when to come back this is a "never".
            Code::ResourceExhausted if after.is_some() => Self::Retryable { error, after },
            _ => Self::Rejected { error },
        }
    }
}

/// Retry-After in seconds (RFC 9110, section 10.2.3); a date is left to our own backoff.
fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let seconds = headers.get(header::RETRY_AFTER)?.to_str().ok()?;
    seconds.trim().parse().ok().map(Duration::from_secs)
}

fn retry_info(details: &[u8]) -> Option<Duration> {
    let status = RpcStatus::decode(details).ok()?;
    let info = status
        .details
        .iter()
        .find(|any| any.type_url.ends_with("/google.rpc.RetryInfo"))?;
    let delay = RetryInfo::decode(&*info.value).ok()?.retry_delay?;
    let seconds = u64::try_from(delay.seconds).ok()?;
    let nanos = u32::try_from(delay.nanos)
        .ok()
        .filter(|n| *n < 1_000_000_000)?;
    Some(Duration::new(seconds, nanos))
}

/// An error and what caused it, on one line; only errors made on this side are shown like this.
fn chain(error: &(dyn std::error::Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let cause_text = cause.to_string();
        // Wrappers often repeat what they wrap.
        if !text.ends_with(&cause_text) {
            text.push_str(": ");
            text.push_str(&cause_text);
        }
        source = cause.source();
    }
    text
}
