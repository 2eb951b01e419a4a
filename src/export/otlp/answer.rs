//! What a collector's answer means (OTLP specification, sections "OTLP/gRPC Response" and
//! "OTLP/HTTP Response").

use std::time::{Duration, SystemTime};

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

    /// An answer by HTTP status, other than success, that came `now`.
    pub(super) fn http(status: StatusCode, headers: &HeaderMap, now: SystemTime) -> Self {
        let error = format!("HTTP status {}", status.as_u16());
        match status.as_u16() {
            429 | 502 | 503 | 504 => Self::Retryable {
                error,
                after: retry_after(headers, now),
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

/// Retry-After in seconds or as a date (RFC 9110, section 10.2.3); a date that has passed asks for
/// no wait. Whoever waits bounds it.
fn retry_after(headers: &HeaderMap, now: SystemTime) -> Option<Duration> {
    let value = headers.get(header::RETRY_AFTER)?.to_str().ok()?.trim();
    if let Ok(seconds) = value.parse() {
        return Some(Duration::from_secs(seconds));
    }
    let date = httpdate::parse_http_date(value).ok()?;
    Some(date.duration_since(now).unwrap_or_default())
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

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn retryable(answer: &Answer) -> bool {
        matches!(answer, Answer::Retryable { .. })
    }

    #[test]
    fn http_statuses_are_retried_as_the_specification_lists() {
        for (status, expected, why) in [
            (400, false, "bad data stays bad"),
            (401, false, "credentials don't appear by themselves"),
            (404, false, "wrong path"),
            (413, false, "too large stays too large"),
            (429, true, "asked to slow down"),
            (500, false, "not on the list"),
            (502, true, "a gateway's trouble"),
            (503, true, "unavailable"),
            (504, true, "a gateway's timeout"),
        ] {
            let status = StatusCode::from_u16(status).unwrap();
            let answer = Answer::http(status, &HeaderMap::new(), SystemTime::UNIX_EPOCH);
            assert_eq!(retryable(&answer), expected, "{status}: {why}");
        }
    }

    #[test]
    fn retry_after_is_read_in_seconds_and_as_a_date() {
        // Half a minute before 07:28.
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(1_792_567_650);
        for (value, expected, why) in [
            ("7", Some(7), "seconds"),
            (" 7 ", Some(7), "padded"),
            ("Wed, 21 Oct 2026 07:28:00 GMT", Some(30), "a date"),
            (
                "Wednesday, 21-Oct-26 07:28:00 GMT",
                Some(30),
                "its old form",
            ),
            ("Wed, 21 Oct 2026 07:27:00 GMT", Some(0), "a date gone by"),
            ("Wed, 21 Oct 2026", None, "no date"),
            ("-1", None, "negative"),
        ] {
            let headers = HeaderMap::from_iter([(header::RETRY_AFTER, value.parse().unwrap())]);
            let after = match Answer::http(StatusCode::SERVICE_UNAVAILABLE, &headers, now) {
                Answer::Retryable { after, .. } => after,
                other => panic!("{other:?}"),
            };
            assert_eq!(after, expected.map(Duration::from_secs), "{why}");
        }
    }

    #[test]
    fn grpc_codes_are_retried_as_the_specification_lists() {
        for (code, expected) in [
            (Code::Cancelled, true),
            (Code::Unknown, false),
            (Code::InvalidArgument, false),
            (Code::DeadlineExceeded, true),
            (Code::NotFound, false),
            (Code::AlreadyExists, false),
            (Code::PermissionDenied, false),
            (Code::ResourceExhausted, false),
            (Code::FailedPrecondition, false),
            (Code::Aborted, true),
            (Code::OutOfRange, true),
            (Code::Unimplemented, false),
            (Code::Internal, false),
            (Code::Unavailable, true),
            (Code::DataLoss, true),
            (Code::Unauthenticated, false),
        ] {
            let answer = Answer::grpc(&tonic::Status::new(code, ""));
            assert_eq!(retryable(&answer), expected, "{code:?}");
        }
    }

    #[test]
    fn an_exhausted_collector_is_retried_when_it_says_when() {
        let info = RetryInfo {
            retry_delay: Some(RetryDelay {
                seconds: 2,
                nanos: 500_000_000,
            }),
        };
        let details = RpcStatus {
            details: vec![Any {
                type_url: "type.googleapis.com/google.rpc.RetryInfo".to_owned(),
                value: info.encode_to_vec(),
            }],
        };
        let details = details.encode_to_vec().into();
        let status = tonic::Status::with_details(Code::ResourceExhausted, "", details);
        let expected = Answer::Retryable {
            error: "gRPC status ResourceExhausted".to_owned(),
            after: Some(Duration::from_millis(2500)),
        };
        assert_eq!(Answer::grpc(&status), expected);
    }

    #[test]
    fn what_a_collector_says_never_reaches_the_error() {
        let status = tonic::Status::new(Code::Unauthenticated, "bad token hunter2");
        let Answer::Rejected { error } = Answer::grpc(&status) else {
            panic!("must be rejected");
        };
        assert_eq!(error, "gRPC status Unauthenticated");
    }

    #[test]
    fn a_partial_success_counts_what_was_rejected() {
        let partial = |rejected_spans| {
            let response = ExportResponse {
                partial_success: Some(PartialSuccess { rejected_spans }),
            };
            Answer::accepted(&response.encode_to_vec())
        };
        assert_eq!(partial(3), Answer::Accepted { rejected: 3 });
        assert_eq!(partial(-3), Answer::Accepted { rejected: 0 }, "nonsense");
        assert_eq!(Answer::accepted(&[]), Answer::Accepted { rejected: 0 });
    }

    proptest! {
        #[test]
        fn no_answer_panics(body: Vec<u8>) {
            Answer::accepted(&body);
            retry_info(&body);
        }
    }
}
