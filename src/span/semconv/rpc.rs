//! gRPC spans ("Semantic conventions for gRPC").

use std::borrow::Cow;

use super::http::{self, OTHER};
use super::{Attributes, ErrorType, refusal, upstream_fault};
use crate::span::known_rpc::KnownMethods;
use crate::span::record::{Direction, Outcome, Record};

/// The system's name; also the name of spans whose method isn't known.
const GRPC: &str = "grpc";

/// Codes in the order of their numbers, and whether each is an error of the server.
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

pub(super) fn describe(
    record: &Record,
    known: &KnownMethods,
    attributes: &mut Attributes,
) -> (Cow<'static, str>, Option<ErrorType>) {
    attributes.put("rpc.system.name", GRPC);
    let name = if let Some(method) = known.method(&record.path) {
        attributes.put("rpc.method", method.to_owned());
        Cow::Owned(method.to_owned())
    } else {
        attributes.put("rpc.method", OTHER);
        let original = record.path.strip_prefix('/').unwrap_or(&record.path);
        attributes.put("rpc.method_original", original.to_owned());
        Cow::Borrowed(GRPC)
    };
    attributes.put("network.protocol.name", "http");
    if record.peer.is_some() {
        attributes.put("network.transport", "tcp");
    }
    match (record.grpc_status, record.status) {
        (Some(code), _) => attributes.put("rpc.response.status_code", code_name(code)),
        // Something on the way answered in plain HTTP.
        (None, Some(status)) if status != 200 => {
            attributes.put("http.response.status_code", i64::from(status));
        }
        (None, _) => {}
    }
    (name, error(record))
}

fn error(record: &Record) -> Option<ErrorType> {
    if let Some(fault) = upstream_fault(record) {
        return Some(fault.as_str().into());
    }
    let by_answer: Option<ErrorType> = match (record.grpc_status, record.status) {
        (Some(CANCELLED), _) if record.outcome == Outcome::Cancelled => None,
        (Some(code), _) => is_error(code, record.direction).then(|| code_name(code)),
        (None, Some(status)) => {
            http::is_error(status, record.direction).then(|| status.to_string().into())
        }
        (None, None) => refusal(record).map(|fault| fault.as_str().into()),
    };
    let by_answer = by_answer?;
    Some(refusal(record).map_or(by_answer, |fault| fault.as_str().into()))
}

/// For clients everything but OK is an error, for servers what is listed; a code that doesn't
/// exist stands for UNKNOWN.
fn is_error(code: u16, direction: Direction) -> bool {
    match direction {
        Direction::Egress => code != 0,
        Direction::Ingress => CODES
            .get(usize::from(code))
            .is_none_or(|(_, servers)| *servers),
    }
}

fn code_name(code: u16) -> Cow<'static, str> {
    match CODES.get(usize::from(code)) {
        Some((name, _)) => Cow::Borrowed(name),
        None => Cow::Owned(code.to_string()),
    }
}
