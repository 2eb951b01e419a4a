//! Why a proxy could not start, and the exit code that tells.

use std::fmt;
use std::io;

use crate::export::BuildError;
use crate::listen::bind::BindError;
use crate::listen::pem::TlsError;

/// Why a proxy could not start.
#[derive(Debug)]
pub enum StartError {
    /// An address could not be bound.
    Bind(BindError),
    /// Certificates or keys of a listener or of its upstream can't be used.
    Tls {
        /// The listener.
        listener: String,
        /// What is wrong.
        error: TlsError,
    },
    /// The exporter can't be made from its settings.
    Export(BuildError),
    /// A thread or its runtime can't be made.
    Runtime(io::Error),
    /// The system has no randomness to give.
    Random(io::Error),
}

impl StartError {
    /// The exit code: 69 an address, 78 the configuration, 1 anything else.
    pub const fn exit_code(&self) -> u8 {
        match self {
            Self::Bind(_) => 69,
            Self::Tls { .. } | Self::Export(_) => 78,
            Self::Runtime(_) | Self::Random(_) => 1,
        }
    }
}

impl fmt::Display for StartError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Bind(error) => error.fmt(f),
            Self::Tls { listener, error } => write!(f, "listener {listener:?}: {error}"),
            Self::Export(error) => error.fmt(f),
            Self::Runtime(error) => write!(f, "could not start a runtime: {error}"),
            Self::Random(error) => write!(f, "could not get random bytes: {error}"),
        }
    }
}

impl std::error::Error for StartError {}

impl From<BindError> for StartError {
    fn from(error: BindError) -> Self {
        Self::Bind(error)
    }
}

impl From<BuildError> for StartError {
    fn from(error: BuildError) -> Self {
        Self::Export(error)
    }
}
