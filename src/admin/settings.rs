//! What the health and admin servers need to know; built by `config`.

use std::net::SocketAddr;
use std::path::PathBuf;

/// Where a server of ours listens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Bind {
    /// `ip:port`
    Tcp(SocketAddr),
    /// `unix:///path?mode=0660`
    Unix {
        /// Path of the socket.
        path: PathBuf,
        /// Permission bits; default 0o600.
        mode: u32,
    },
}

/// The admin server: may change state.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Admin {
    /// Where it listens.
    pub bind: Bind,
    /// Bearer token that allows changes of state; without it only a unix socket does.
    pub token_file: Option<PathBuf>,
}

/// The health server: `/livez`, `/readyz`, `/metrics` and nothing else.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Health {
    /// Where it listens.
    pub bind: SocketAddr,
}
