//! Health and admin servers.
//!
//! Two small HTTP/1.1 servers for whoever runs the proxy. The health server shows `/livez`,
//! `/readyz` and `/metrics` to everybody who reaches it and changes nothing. The admin server
//! shows more and changes state, for callers that prove themselves (see [`access`]).

use std::future::Future;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use serde_json::Value;

use crate::lifecycle::Readiness;
use crate::metrics::Registry;

pub mod access;
mod handler;
mod reply;
mod route;
pub mod sampling;
mod server;
pub mod settings;

pub use sampling::{Change, Rates, RuleRate, Sampling};
pub use server::Listener;

/// What the servers show and change; the composition root fills it.
pub struct State {
    /// Behind `/readyz`.
    pub readiness: Arc<Readiness>,
    /// Behind `/metrics`.
    pub metrics: Arc<Registry>,
    /// Behind `/sampling`.
    pub sampling: Arc<dyn Sampling>,
    /// Behind `/config`: the configuration in effect, secrets masked.
    pub config: Box<dyn Fn() -> Value + Send + Sync>,
    /// Further lines of `/readyz?verbose`, the exporter's for example; each without newline.
    pub status: Box<dyn Fn() -> Vec<String> + Send + Sync>,
    /// Behind `POST /drain`. Must return at once.
    pub drain: Box<dyn Fn() + Send + Sync>,
    /// Behind `POST /quitquitquit`. Must return at once; the answer still leaves.
    pub quit: Box<dyn Fn() + Send + Sync>,
}

/// Serves health on a bound listener until `stop` resolves.
///
/// # Errors
/// If the listener can't be used by the runtime.
pub async fn serve_health(
    listener: Listener,
    state: Arc<State>,
    stop: impl Future<Output = ()>,
) -> io::Result<()> {
    server::serve(listener, handler::Role::Health, state, stop).await
}

/// Serves admin on a bound listener until `stop` resolves. `token_file` holds the bearer token
/// that allows changes of state; without it only a unix socket does.
///
/// # Errors
/// If the listener can't be used by the runtime.
pub async fn serve_admin(
    listener: Listener,
    token_file: Option<PathBuf>,
    state: Arc<State>,
    stop: impl Future<Output = ()>,
) -> io::Result<()> {
    server::serve(listener, handler::Role::Admin { token_file }, state, stop).await
}

#[cfg(test)]
mod tests;
