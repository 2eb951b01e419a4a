//! The way of a request: strip, judge, decide, inject, forward, relay, end.

pub mod activity;
pub mod body;
pub mod connection;
pub mod describe;
pub mod exchange;
pub mod forwarded;
pub mod framing;
pub mod gate;
pub mod head;
pub mod hop;
pub mod http1;
pub mod listener;
pub mod local;
pub mod pipeline;
pub mod refuse;
pub mod relay;
pub mod service;
pub mod settings;
pub mod target;
pub mod trace;
pub mod trailers;
pub mod tunnel;
pub mod upstream;
pub mod values;
pub mod witness;
pub mod worker;
