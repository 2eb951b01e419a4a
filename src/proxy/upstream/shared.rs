//! One thing being made, awaited by everybody who needs it.

use std::cell::{Cell, RefCell};
use std::future::Future;
use std::rc::Rc;
use std::sync::Arc;

use tokio::sync::Notify;

use crate::metrics::shard::ListenerShard;
use crate::proxy::local;

/// What is being made, if anything is: its outcome is everybody's who asked meanwhile.
pub struct Shared<T>(Rc<RefCell<Option<Rc<Making<T>>>>>);

struct Making<T> {
    outcome: Cell<Option<T>>,
    done: Notify,
}

/// Tells the outcome when dropped, also by a panic: whoever waits must not wait for ever.
struct Promise<T: Copy> {
    current: Rc<RefCell<Option<Rc<Making<T>>>>>,
    making: Rc<Making<T>>,
    outcome: T,
}

impl<T> Default for Shared<T> {
    fn default() -> Self {
        Self(Rc::default())
    }
}

impl<T: Copy + 'static> Shared<T> {
    /// What comes of the attempt under way, or else of a new one; `broken` if that panics.
    pub async fn join<F>(
        &self,
        counters: &Arc<ListenerShard>,
        broken: T,
        make: impl FnOnce() -> F,
    ) -> T
    where
        F: Future<Output = T> + 'static,
    {
        let under_way = self.0.borrow().clone();
        let making = under_way.unwrap_or_else(|| self.begin(counters, broken, make()));
        let done = making.done.notified();
        if making.outcome.get().is_none() {
            done.await;
        }
        making.outcome.get().unwrap_or(broken)
    }

    fn begin<F>(&self, counters: &Arc<ListenerShard>, broken: T, make: F) -> Rc<Making<T>>
    where
        F: Future<Output = T> + 'static,
    {
        let making = Rc::new(Making {
            outcome: Cell::new(None),
            done: Notify::new(),
        });
        self.0.replace(Some(Rc::clone(&making)));
        let promise = Promise {
            current: Rc::clone(&self.0),
            making: Rc::clone(&making),
            outcome: broken,
        };
        // Its own task: the request that asked for it may be cancelled, others still wait.
        local::spawn(counters, async move {
            let mut promise = promise;
            promise.outcome = make.await;
        });
        making
    }
}

impl<T: Copy> Drop for Promise<T> {
    fn drop(&mut self) {
        self.current.borrow_mut().take();
        self.making.outcome.set(Some(self.outcome));
        self.making.done.notify_waiters();
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::task::LocalSet;

    use super::*;
    use crate::metrics::Registry;
    use crate::span::record::Direction;

    fn counters() -> Arc<ListenerShard> {
        Registry::new(&[("public".into(), Direction::Ingress)], 1)
            .shard(0)
            .listener(0)
    }

    #[tokio::test(start_paused = true)]
    async fn everybody_who_asks_meanwhile_gets_the_one_outcome_and_whoever_comes_later_a_new_one() {
        let test = async {
            let (shared, counters, made) = (Shared::default(), counters(), Rc::new(Cell::new(0)));
            let make = || {
                let made = Rc::clone(&made);
                async move {
                    tokio::time::sleep(Duration::from_secs(1)).await;
                    made.set(made.get() + 1);
                    made.get()
                }
            };
            let join = || shared.join(&counters, 0, make);
            assert_eq!(tokio::join!(join(), join(), join()), (1, 1, 1));
            assert_eq!(join().await, 2);
        };
        LocalSet::new().run_until(test).await;
    }

    #[tokio::test(start_paused = true)]
    async fn whoever_asked_first_may_go_and_a_panic_leaves_nobody_waiting() {
        let test = async {
            let (shared, counters) = (Shared::default(), counters());
            let slow = || async {
                tokio::time::sleep(Duration::from_secs(2)).await;
                7
            };
            let gone = shared.join(&counters, 0, slow);
            let gone = tokio::time::timeout(Duration::from_secs(1), gone).await;
            assert!(gone.is_err());
            assert_eq!(shared.join(&counters, 0, || async { 8 }).await, 7);
            let panics = || async { panic!("expected by this test") };
            let broken = shared.join(&counters, 0, panics);
            let broken = tokio::time::timeout(Duration::from_secs(1), broken).await;
            assert_eq!(broken, Ok(0));
            assert_eq!(shared.join(&counters, 0, || async { 9 }).await, 9);
        };
        LocalSet::new().run_until(test).await;
    }
}
