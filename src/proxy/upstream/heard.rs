//! Whether a peer has spoken.
//!
//! The engine doesn't say whether any byte of a response came before a connection broke.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

use crate::proxy::witness::Witness;

/// Whether a peer has spoken; written and read on one thread.
#[derive(Clone, Debug, Default)]
pub struct Ear(Arc<AtomicBool>);

impl Ear {
    /// From here on nothing has been heard.
    pub fn forget(&self) {
        self.0.store(false, Relaxed);
    }

    /// Whether bytes have come since.
    pub fn heard(&self) -> bool {
        self.0.load(Relaxed)
    }
}

impl Witness for Ear {
    fn read(&self, bytes: usize) {
        if bytes > 0 {
            self.0.store(true, Relaxed);
        }
    }
}
