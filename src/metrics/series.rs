//! Which series a finished request counts into: its labels, packed into a number.
//!
//! The labels are those of the HTTP and RPC metrics of the semantic conventions, from closed
//! sets; `server.address` isn't among them, for callers choose it.

use std::borrow::Cow;

use super::labels::{Label, MethodClass, Version};
use crate::span::error_type::{Ended, ErrorType, known_code};
use crate::span::known_rpc::KnownMethods;
use crate::span::record::Fault;

/// What stands for anything not known in advance.
const OTHER: &str = "_OTHER";

/// What a request's series is chosen by.
#[derive(Clone, Copy, Debug)]
pub struct Call {
    /// `http.request.method`
    pub method: MethodClass,
    /// Whether `url.scheme` is `https`.
    pub https: bool,
    /// `network.protocol.version`
    pub version: Version,
    /// The known gRPC method, see [`KnownMethods::index`]; only a gRPC request has one.
    pub rpc_method: Option<u16>,
    /// How it ended.
    pub ended: Ended,
}

/// A series' labels as a number, never 0: HTTP or RPC in the two lowest bits, then the labels.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) struct Key(u64);

const HTTP: u64 = 1;
const RPC: u64 = 2;

// Fields: where they begin, and the bits they have.
const ERROR: (u32, u32) = (2, 6);
const METHOD: (u32, u32) = (8, 17);
const STATUS: (u32, u32) = (25, 10);
const HTTPS: (u32, u32) = (35, 1);
const VERSION: (u32, u32) = (36, 2);

/// Kinds of error beside the faults, which are numbered from 3 on.
const BY_STATUS: u64 = 1;
const BY_CODE: u64 = 2;

/// The label set of one series, in OpenTelemetry's names.
pub(super) type Labels<'a> = Vec<(&'static str, Cow<'a, str>)>;

impl Key {
    /// The series of a request.
    pub(super) fn of(call: &Call) -> Self {
        let error = put(ERROR, error_number(call.ended.error()));
        let bits = if call.ended.grpc {
            // What isn't known is 0, and a code that doesn't exist is one beyond those that do.
            let method = call.rpc_method.map_or(0, |index| u64::from(index) + 1);
            let code = call.ended.grpc_status;
            let code = code.map_or(0, |code| u64::from(code.min(UNKNOWN_CODE)) + 1);
            // Without a code the error is an HTTP status.
            let http = match (call.ended.grpc_status, call.ended.error()) {
                (None, Some(ErrorType::Status(status))) => known_status(Some(status)),
                _ => 0,
            };
            let status = if code == 0 { http } else { code };
            RPC | put(METHOD, method) | put(STATUS, status)
        } else {
            HTTP | put(METHOD, call.method.index() as u64)
                | put(STATUS, known_status(call.ended.status))
                | put(HTTPS, u64::from(call.https))
                | put(VERSION, call.version.index() as u64)
        };
        Self(bits | error)
    }

    /// A key that was stored as a number.
    pub(super) const fn from_bits(bits: u64) -> Option<Self> {
        if bits == 0 { None } else { Some(Self(bits)) }
    }

    pub(super) const fn bits(self) -> u64 {
        self.0
    }

    /// Whether it is a gRPC method's.
    pub(super) const fn is_rpc(self) -> bool {
        self.bits() & (HTTP | RPC) == RPC
    }

    /// Its labels.
    pub(super) fn labels(self, known: &KnownMethods) -> Labels<'_> {
        if self.is_rpc() {
            self.rpc_labels(known)
        } else {
            self.http_labels()
        }
    }

    fn http_labels<'a>(self) -> Labels<'a> {
        let status = self.get(STATUS);
        let mut labels: Labels<'_> = vec![
            (
                "http.request.method",
                label::<MethodClass>(self.get(METHOD)),
            ),
            (
                "url.scheme",
                if self.get(HTTPS) == 1 {
                    "https"
                } else {
                    "http"
                }
                .into(),
            ),
            (
                "network.protocol.version",
                label::<Version>(self.get(VERSION)),
            ),
        ];
        if status != 0 && status != UNKNOWN_STATUS {
            labels.push(("http.response.status_code", status.to_string().into()));
        }
        self.error_label(status_text(status), &mut labels);
        labels
    }

    fn rpc_labels(self, known: &KnownMethods) -> Labels<'_> {
        let method = u16::try_from(self.get(METHOD).wrapping_sub(1)).ok();
        let method = method.and_then(|index| known.name(index)).unwrap_or(OTHER);
        let mut labels: Labels<'_> = vec![
            ("rpc.system.name", "grpc".into()),
            ("rpc.method", method.into()),
        ];
        let status = self.get(STATUS);
        let by_status = self.get(ERROR) == BY_STATUS;
        if status != 0 && !by_status {
            labels.push(("rpc.response.status_code", code_text(status).into()));
        }
        let named = if by_status {
            status_text(status)
        } else {
            code_text(status).into()
        };
        self.error_label(named, &mut labels);
        labels
    }

    /// `error.type`; an answer's own name is used if the error is named after it.
    fn error_label<'a>(self, answer: Cow<'a, str>, labels: &mut Labels<'a>) {
        let error = match self.get(ERROR) {
            0 => return,
            BY_STATUS | BY_CODE => answer,
            fault => usize::try_from(fault - 3)
                .ok()
                .and_then(|at| Fault::ALL.get(at))
                .map_or(OTHER, |fault| fault.as_str())
                .into(),
        };
        labels.push(("error.type", error));
    }

    const fn get(self, (shift, bits): (u32, u32)) -> u64 {
        (self.bits() >> shift) & ((1 << bits) - 1)
    }
}

/// `grpc-status` beyond the codes there are.
const UNKNOWN_CODE: u16 = 17;

/// Status outside of what HTTP knows.
const UNKNOWN_STATUS: u64 = 1;

/// 0 for none; 1 stands for all that HTTP doesn't know.
fn known_status(status: Option<u16>) -> u64 {
    match status {
        None => 0,
        Some(status @ 100..600) => u64::from(status),
        Some(_) => UNKNOWN_STATUS,
    }
}

fn status_text<'a>(status: u64) -> Cow<'a, str> {
    if status == UNKNOWN_STATUS {
        OTHER.into()
    } else {
        status.to_string().into()
    }
}

/// The name of a code as it is stored: one more than its number.
fn code_text(stored: u64) -> &'static str {
    let code = u16::try_from(stored.saturating_sub(1)).unwrap_or(UNKNOWN_CODE);
    known_code(code).unwrap_or(OTHER)
}

fn error_number(error: Option<ErrorType>) -> u64 {
    match error {
        None => 0,
        Some(ErrorType::Status(_)) => BY_STATUS,
        Some(ErrorType::Code(_)) => BY_CODE,
        Some(ErrorType::Fault(fault)) => 3 + fault as u64,
    }
}

fn label<'a, L: Label>(index: u64) -> Cow<'a, str> {
    let at = usize::try_from(index).unwrap_or(usize::MAX);
    L::ALL.get(at).map_or(OTHER, |label| label.as_str()).into()
}

const fn put((shift, bits): (u32, u32), value: u64) -> u64 {
    (value & ((1 << bits) - 1)) << shift
}
