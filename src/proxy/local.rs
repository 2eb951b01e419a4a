//! Tasks of a worker: everything stays on its thread, and a panic ends one task only.

use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll};

use hyper::rt::Executor;
use pin_project_lite::pin_project;

use crate::metrics::ListenerShard;

/// Spawns onto the worker's own tasks; panics are counted.
#[derive(Clone)]
pub struct LocalExecutor(Rc<Arc<ListenerShard>>);

impl LocalExecutor {
    /// Counts panics there.
    pub fn new(counters: &Arc<ListenerShard>) -> Self {
        Self(Rc::new(Arc::clone(counters)))
    }
}

impl<F> Executor<F> for LocalExecutor
where
    F: Future + 'static,
{
    fn execute(&self, future: F) {
        spawn(self.0.as_ref(), future);
    }
}

/// Runs a task on this thread. If it panics that is counted, and nothing else ends with it.
pub fn spawn<F: Future + 'static>(counters: &Arc<ListenerShard>, future: F) {
    tokio::task::spawn_local(Contained {
        future: Some(future),
        counters: Arc::clone(counters),
    });
}

pin_project! {
    struct Contained<F> {
        #[pin]
        future: Option<F>,
        counters: Arc<ListenerShard>,
    }
}

impl<F: Future> Future for Contained<F> {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let mut this = self.project();
        let Some(future) = this.future.as_mut().as_pin_mut() else {
            return Poll::Ready(());
        };
        match catch_unwind(AssertUnwindSafe(|| future.poll(cx))) {
            Ok(Poll::Pending) => Poll::Pending,
            Ok(Poll::Ready(_)) => Poll::Ready(()),
            Err(_) => {
                this.counters.panicked();
                this.future.set(None);
                Poll::Ready(())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::runtime::{Builder, LocalOptions};

    use super::*;
    use crate::metrics::{Format, Registry};
    use crate::span::record::Direction;

    #[test]
    fn a_panic_ends_its_own_task_only_and_is_counted() {
        let registry = Registry::new(&[("public".into(), Direction::Ingress)], 1);
        let counters = registry.shard(0).listener(0);
        let runtime = Builder::new_current_thread()
            .build_local(LocalOptions::default())
            .unwrap();
        let survivor = runtime.block_on(async {
            let (done, survivor) = tokio::sync::oneshot::channel();
            spawn(&counters, async { panic!("expected by this test") });
            spawn(&counters, async move { done.send("alive") });
            survivor.await
        });
        assert_eq!(survivor, Ok("alive"));
        let text = registry.render(Format::Text);
        assert!(
            text.contains("tracegate_panics_total{listener=\"public\"} 1"),
            "{text}"
        );
    }
}
