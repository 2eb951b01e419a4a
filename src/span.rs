//! Spans: the record a request leaves behind and how it reads in OpenTelemetry's conventions.

pub mod record;
