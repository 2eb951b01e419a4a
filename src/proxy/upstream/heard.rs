//! Whether a peer has spoken, and which.
//!
//! The engine doesn't say whether any byte of a response came before a connection broke.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

use super::via::Via;
use crate::proxy::witness::Witness;

/// Whether a peer has spoken; written and read on one thread.
#[derive(Clone, Debug)]
pub struct Ear(Arc<Peer>);

#[derive(Debug)]
struct Peer {
    spoke: AtomicBool,
    via: Via,
}

impl Ear {
    /// Nothing has been heard on a new connection that leads there.
    pub fn new(via: Via) -> Self {
        Self(Arc::new(Peer {
            spoke: AtomicBool::new(false),
            via,
        }))
    }

    /// Where the connection leads.
    pub fn via(&self) -> Via {
        self.0.via
    }

    /// From here on nothing has been heard.
    pub fn forget(&self) {
        self.0.spoke.store(false, Relaxed);
    }

    /// Whether bytes have come since.
    pub fn heard(&self) -> bool {
        self.0.spoke.load(Relaxed)
    }
}

impl Witness for Ear {
    fn read(&self, bytes: usize) {
        if bytes > 0 {
            self.0.spoke.store(true, Relaxed);
        }
    }
}
