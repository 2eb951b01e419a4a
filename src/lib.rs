//! tracegate: a sidecar reverse proxy that injects and strips trace context.
//!
//! The library exists so that tests and benchmarks can start the whole proxy in-process; the
//! program is `src/main.rs`. Module arrows point one way: `context` ← `sample`, `span` ←
//! `export` ← `proxy` ← `app` ← `main`. `tests/arrows.rs` enforces them.
#![forbid(unsafe_code)]
#![warn(missing_docs)]

pub mod access_log;
pub mod admin;
pub mod app;
pub mod config;
pub mod context;
pub mod demo;
pub mod explain;
pub mod export;
pub mod lifecycle;
pub mod listen;
pub mod logging;
pub mod metrics;
pub mod proxy;
pub mod sample;
pub mod span;
