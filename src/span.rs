//! Spans: the record a request leaves behind and how it reads in OpenTelemetry's conventions.

pub mod error_type;
pub mod known_rpc;
pub mod record;
pub mod redact;
pub mod semconv;
