//! What has come from an upstream: the engine doesn't tell of SETTINGS.

use std::cell::Cell;
use std::rc::Rc;

use tokio::sync::Notify;

use super::State;
use crate::proxy::witness::Witness;

/// What has been seen of a connection.
#[derive(Default)]
pub(super) struct Seen {
    /// Notified after every read. Who is woken runs after the engine has dealt with what it
    /// read: both are tasks of one thread.
    pub(super) changed: Notify,
    reads: Cell<u64>,
}

impl Seen {
    /// How often bytes have come.
    pub(super) const fn reads(&self) -> u64 {
        self.reads.get()
    }
}

impl Witness for Rc<State> {
    fn read(&self, bytes: usize) {
        if bytes > 0 {
            self.seen.reads.set(self.seen.reads.get() + 1);
        }
        self.seen.changed.notify_waiters();
    }
}
