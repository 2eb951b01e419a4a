//! Tasks of a worker: everything stays on its thread, and a panic ends one task only.

use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use tokio::task::AbortHandle;

use crate::metrics::ListenerShard;

/// Runs a task on this thread. If it panics that is counted, and nothing else ends with it.
pub fn spawn<F: Future + 'static>(counters: &Arc<ListenerShard>, future: F) {
    tokio::task::spawn_local(contained(counters, future));
}

/// The same, to be taken back.
pub fn abortable<F: Future + 'static>(counters: &Arc<ListenerShard>, future: F) -> AbortHandle {
    tokio::task::spawn_local(contained(counters, future)).abort_handle()
}

fn contained<F: Future>(counters: &Arc<ListenerShard>, future: F) -> Contained<F> {
    Contained {
        // Boxed first: the runtime moves a task several times before it comes to rest, and an
        // engine's future is large.
        future: Some(Box::pin(future)),
        counters: Arc::clone(counters),
    }
}

struct Contained<F> {
    future: Option<Pin<Box<F>>>,
    counters: Arc<ListenerShard>,
}

impl<F: Future> Future for Contained<F> {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let Some(future) = &mut self.future else {
            return Poll::Ready(());
        };
        match catch_unwind(AssertUnwindSafe(|| future.as_mut().poll(cx))) {
            Ok(Poll::Pending) => Poll::Pending,
            Ok(Poll::Ready(_)) => Poll::Ready(()),
            Err(_) => {
                self.counters.panicked();
                self.future = None;
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
