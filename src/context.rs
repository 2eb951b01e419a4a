//! Trace context: what it is, how it is written on the wire, and who may bring it along.
//!
//! Everything here is pure: no clock, no sockets, no tokio.

pub mod baggage;
pub mod callers;
pub mod certificate;
pub mod extract;
pub mod formats;
pub mod glob;
pub mod hex;
pub mod ids;
pub mod ot;
pub mod propagation;
pub mod traceparent;
pub mod tracestate;
pub mod trust;
pub mod untrusted;
