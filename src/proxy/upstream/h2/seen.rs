//! What has come from an upstream: the engine doesn't tell of SETTINGS.

use std::cell::Cell;
use std::rc::Rc;

use tokio::sync::Notify;

use crate::proxy::witness::Witness;

/// What has been seen of a stream.
#[derive(Default)]
pub(super) struct Seen {
    /// Notified after every read. Who is woken runs after the engine has dealt with what it
    /// read: both are tasks of one thread.
    pub(super) changed: Notify,
    /// Whether any byte has come.
    pub(super) came: Cell<bool>,
}

impl Witness for Rc<Seen> {
    fn read(&self, bytes: usize) {
        if bytes > 0 {
            self.came.set(true);
        }
        self.changed.notify_waiters();
    }
}
