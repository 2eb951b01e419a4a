//! Why a listener could not bind.

use std::fmt;
use std::io;

/// Which address could not be bound, what was expected there, and what was found.
#[derive(Debug)]
pub struct BindError {
    address: String,
    expected: &'static str,
    reason: Reason,
}

/// What was found instead.
#[derive(Debug)]
pub enum Reason {
    /// The kernel refused.
    Io(io::Error),
    /// The path holds something that isn't a socket; it was left alone.
    NotASocket,
    /// Somebody listens there.
    InUse,
    /// The socket can't be given to its owner: that takes CAP_CHOWN, or for a group being in it.
    Owner(io::Error),
    /// Another process keeps binding in the same directory.
    Contended,
    /// No unclaimed descriptor has that name.
    NoDescriptor {
        /// Names that are unclaimed.
        unclaimed: Vec<String>,
    },
    /// The descriptor is something else.
    NotAListener {
        /// What it is.
        found: &'static str,
    },
}

impl BindError {
    pub(super) fn new(address: String, expected: &'static str, reason: Reason) -> Self {
        Self {
            address,
            expected,
            reason,
        }
    }

    /// What was found.
    pub fn reason(&self) -> &Reason {
        &self.reason
    }
}

impl fmt::Display for BindError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{}: expected {}, but {}",
            self.address, self.expected, self.reason
        )
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Io(error) => write!(f, "{error}"),
            Self::NotASocket => f.write_str("the path holds something that is not a socket"),
            Self::Owner(error) => write!(f, "it can't be given to its owner: {error}"),
            Self::InUse => f.write_str("another process listens on it"),
            Self::Contended => {
                f.write_str("another process keeps the directory locked while it binds there")
            }
            Self::NoDescriptor { unclaimed } if unclaimed.is_empty() => {
                f.write_str("no unclaimed descriptor was passed to this process")
            }
            Self::NoDescriptor { unclaimed } => {
                write!(f, "the unclaimed ones are named {}", unclaimed.join(", "))
            }
            Self::NotAListener { found } => write!(f, "it is {found}"),
        }
    }
}

impl std::error::Error for BindError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match &self.reason {
            Reason::Io(error) | Reason::Owner(error) => Some(error),
            _ => None,
        }
    }
}
