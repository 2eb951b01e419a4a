//! One listener's door: every connection goes to the worker that has the fewest.

use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::lifecycle::Token;
use crate::listen::accept::{Accepted, Acceptor};
use crate::metrics::{ListenerShard, Refusal};
use crate::proxy::worker::{Admission, Handle, Job};

/// What a listener needs to hand connections over.
pub struct Door {
    /// Position of the listener.
    pub index: usize,
    /// Connections at once.
    pub limit: usize,
    /// Who serves.
    pub workers: Rc<Vec<Handle>>,
    /// Where refusals are counted.
    pub counters: Arc<ListenerShard>,
    /// Held until the door is closed.
    pub token: Token,
}

impl Door {
    /// Hands connections over until the drain closes the listener.
    pub async fn keep(self, mut acceptor: Acceptor) {
        let open = Arc::new(AtomicUsize::new(0));
        let draining = self.token.drain().draining();
        tokio::pin!(draining);
        loop {
            let accepted = tokio::select! {
                biased;
                () = &mut draining => return,
                accepted = acceptor.accept() => accepted,
            };
            if open.load(Ordering::Relaxed) >= self.limit {
                self.counters.connection_refused(Refusal::MaxConnections);
                continue;
            }
            self.hand_over(accepted, &open);
        }
    }

    fn hand_over(&self, accepted: Accepted, open: &Arc<AtomicUsize>) {
        let least = self
            .workers
            .iter()
            .min_by_key(|worker| worker.load().load(Ordering::Relaxed));
        let Some(worker) = least else {
            return;
        };
        let counters = vec![Arc::clone(open), Arc::clone(worker.load())];
        worker.tell(Job::Connection {
            listener: self.index,
            accepted,
            admission: Admission::new(counters),
            token: self.token.drain().token(),
        });
    }
}
