//! The way of a request: strip, judge, decide, inject, forward, relay, end.

pub mod settings;
