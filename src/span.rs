//! Spans: the record a request leaves behind and how it reads in OpenTelemetry's conventions.

pub mod capture;
pub mod error_type;
pub mod events;
pub mod known_rpc;
pub mod messages;
pub mod record;
pub mod redact;
pub mod routes;
pub mod semconv;
