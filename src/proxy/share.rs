//! Connections to the upstream that belong to one caller's connection (`upstream.share: connection`).
//!
//! What an upstream does to a connection, taking leave of it above all, is then the affair of the
//! one caller whose requests came by it; and is handed on to it.

use std::cell::RefCell;
use std::rc::Rc;

use tokio::sync::Notify;

use super::listener::Listener;
use super::settings::Share;
use super::upstream::Upstream;

/// A caller's own ways to its upstreams.
#[derive(Default)]
pub struct Own {
    /// By whose settings they are.
    twins: RefCell<Vec<(Rc<Upstream>, Rc<Upstream>)>>,
    left: Rc<Notify>,
}

impl Own {
    /// The way a request takes: a worker's `shared` one, or its own twin of that.
    pub fn way(&self, listener: &Listener, shared: &Rc<Upstream>) -> Rc<Upstream> {
        if shared.settings().share == Share::Worker {
            return Rc::clone(shared);
        }
        let mut twins = self.twins.borrow_mut();
        if let Some((_, twin)) = twins.iter().find(|(of, _)| Rc::ptr_eq(of, shared)) {
            return Rc::clone(twin);
        }
        // Those of settings that are no longer.
        twins.retain(|(of, _)| listener.upstreams().any(|known| Rc::ptr_eq(of, known)));
        let twin = shared.twin(&self.left);
        twins.push((Rc::clone(shared), Rc::clone(&twin)));
        twin
    }

    /// Resolves when an upstream has taken leave of a connection of one's own.
    pub async fn left(&self) {
        self.left.notified().await;
    }
}
