//! Spans for tests.

use std::time::{Duration, SystemTime};

use opentelemetry::trace::SpanKind;

use super::Span;

/// A SERVER span of the backend that took 10 ms and answered 200.
pub fn server(trace: u128, id: u64, parent: Option<u64>) -> Span {
    let start = SystemTime::UNIX_EPOCH + Duration::from_secs(1);
    Span {
        trace: trace.into(),
        id: id.into(),
        parent: parent.map(Into::into),
        service: "backend".to_owned(),
        listener: "in".to_owned(),
        kind: SpanKind::Server,
        name: "GET".to_owned(),
        target: Some("/stock".to_owned()),
        start,
        end: start + Duration::from_millis(10),
        status: "200".to_owned(),
        failed: false,
        dropped: None,
        headers: None,
    }
}

/// A CLIENT span of the frontend.
pub fn client(trace: u128, id: u64, parent: Option<u64>) -> Span {
    Span {
        service: "frontend".to_owned(),
        listener: "out".to_owned(),
        kind: SpanKind::Client,
        ..server(trace, id, parent)
    }
}
