//! What went wrong with a request, if that is an error: the value of `error.type`.
//!
//! One verdict for spans, metrics and the access log, so that they never disagree ("Recording
//! errors" of the semantic conventions; statuses by those of HTTP and of gRPC).

use std::borrow::Cow;

use super::record::{Direction, Fault, Outcome, Record};

/// gRPC codes in the order of their numbers, and whether each is an error of the server.
const CODES: [(&str, bool); 17] = [
    ("OK", false),
    ("CANCELLED", false),
    ("UNKNOWN", true),
    ("INVALID_ARGUMENT", false),
    ("DEADLINE_EXCEEDED", true),
    ("NOT_FOUND", false),
    ("ALREADY_EXISTS", false),
    ("PERMISSION_DENIED", false),
    ("RESOURCE_EXHAUSTED", false),
    ("FAILED_PRECONDITION", false),
    ("ABORTED", false),
    ("OUT_OF_RANGE", false),
    ("UNIMPLEMENTED", true),
    ("INTERNAL", true),
    ("UNAVAILABLE", true),
    ("DATA_LOSS", true),
    ("UNAUTHENTICATED", false),
];

/// `CANCELLED`
const CANCELLED: u16 = 1;

/// How a request ended, as far as that makes an error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ended {
    /// Whose side: what fails a client needn't be its server's fault.
    pub direction: Direction,
    /// Whether the request is gRPC's.
    pub grpc: bool,
    /// Status of the response, if there was one.
    pub status: Option<u16>,
    /// `grpc-status`, if it came.
    pub grpc_status: Option<u16>,
    /// How it ended.
    pub outcome: Outcome,
}

/// What an error is named after.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ErrorType {
    /// What happened here or on the way to the upstream.
    Fault(Fault),
    /// The HTTP status.
    Status(u16),
    /// The gRPC code.
    Code(u16),
}

impl Ended {
    /// The end of a recorded request.
    pub const fn of(record: &Record) -> Self {
        Self {
            direction: record.direction,
            grpc: record.grpc,
            status: record.status,
            grpc_status: record.grpc_status,
            outcome: record.outcome,
        }
    }

    /// The error, if that is one.
    pub fn error(&self) -> Option<ErrorType> {
        let refusal = match self.outcome {
            Outcome::Upstream(fault) => return Some(ErrorType::Fault(fault)),
            Outcome::Refused(fault) => Some(ErrorType::Fault(fault)),
            Outcome::Done | Outcome::Cancelled => None,
        };
        let answer = match (self.grpc_status.filter(|_| self.grpc), self.status) {
            (Some(CANCELLED), _) if self.outcome == Outcome::Cancelled => None,
            (Some(code), _) => is_error_code(code, self.direction).then_some(ErrorType::Code(code)),
            (None, Some(status)) => {
                is_error_status(status, self.direction).then_some(ErrorType::Status(status))
            }
            // Refused without an answer.
            (None, None) => refusal,
        };
        // A refusal names the error its answer is, if the answer is one.
        answer.map(|answer| refusal.unwrap_or(answer))
    }
}

impl ErrorType {
    /// The value of `error.type`.
    pub fn as_str(self) -> Cow<'static, str> {
        match self {
            Self::Fault(fault) => fault.as_str().into(),
            Self::Status(status) => status.to_string().into(),
            Self::Code(code) => code_name(code),
        }
    }
}

/// Whether a status is an error: 5xx for both sides, 4xx for the client's alone.
const fn is_error_status(status: u16, direction: Direction) -> bool {
    match direction {
        Direction::Ingress => status >= 500,
        Direction::Egress => status >= 400,
    }
}

/// For clients everything but OK is an error, for servers what is listed; a code that doesn't
/// exist stands for UNKNOWN.
fn is_error_code(code: u16, direction: Direction) -> bool {
    match direction {
        Direction::Egress => code != 0,
        Direction::Ingress => CODES
            .get(usize::from(code))
            .is_none_or(|(_, servers)| *servers),
    }
}

/// The name of a gRPC code that exists.
pub fn known_code(code: u16) -> Option<&'static str> {
    CODES.get(usize::from(code)).map(|(name, _)| *name)
}

/// The name of a gRPC code; the number, if there is no such code.
pub fn code_name(code: u16) -> Cow<'static, str> {
    known_code(code).map_or_else(|| code.to_string().into(), Cow::Borrowed)
}

#[cfg(test)]
mod tests {
    use super::*;
    use Direction::{Egress, Ingress};

    #[test]
    fn an_error_is_named_after_whoever_is_at_fault() {
        let http = |direction, status, outcome| Ended {
            direction,
            grpc: false,
            status,
            grpc_status: None,
            outcome,
        };
        let grpc = |direction, status, grpc_status, outcome| Ended {
            direction,
            grpc: true,
            status,
            grpc_status,
            outcome,
        };
        let refused = Outcome::Refused(Fault::BadRequest);
        let broken = Outcome::Upstream(Fault::StreamReset);
        for (ended, expected, why) in [
            (http(Ingress, Some(200), Outcome::Done), None, "all is well"),
            (
                http(Ingress, Some(404), Outcome::Done),
                None,
                "the caller's",
            ),
            (http(Egress, Some(404), Outcome::Done), Some("404"), "ours"),
            (http(Ingress, Some(503), Outcome::Done), Some("503"), "5xx"),
            (http(Ingress, None, Outcome::Cancelled), None, "gone"),
            (http(Ingress, Some(400), refused), None, "refused a caller"),
            (
                http(Egress, Some(400), refused),
                Some("bad_request"),
                "named",
            ),
            (
                http(Ingress, None, refused),
                Some("bad_request"),
                "unanswered",
            ),
            (
                http(Ingress, Some(200), broken),
                Some("stream_reset"),
                "cut",
            ),
            (grpc(Ingress, Some(200), Some(0), Outcome::Done), None, "OK"),
            (
                grpc(Ingress, Some(200), Some(14), Outcome::Done),
                Some("UNAVAILABLE"),
                "a code",
            ),
            (
                grpc(Ingress, Some(200), Some(5), Outcome::Done),
                None,
                "caller's",
            ),
            (
                grpc(Egress, Some(200), Some(5), Outcome::Done),
                Some("NOT_FOUND"),
                "a client's",
            ),
            (
                grpc(Egress, Some(200), Some(1), Outcome::Cancelled),
                None,
                "as intended",
            ),
            (
                grpc(Ingress, Some(502), None, Outcome::Done),
                Some("502"),
                "plain HTTP",
            ),
        ] {
            let error = ended.error().map(ErrorType::as_str);
            assert_eq!(error.as_deref(), expected, "{why}: {ended:?}");
        }
    }
}
