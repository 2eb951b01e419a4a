//! The executor of a worker: everything stays on its thread.

use std::future::Future;

use hyper::rt::Executor;

/// Spawns onto the worker's own task set.
#[derive(Clone, Copy, Debug, Default)]
pub struct LocalExecutor;

impl<F> Executor<F> for LocalExecutor
where
    F: Future + 'static,
{
    fn execute(&self, future: F) {
        tokio::task::spawn_local(async move {
            future.await;
        });
    }
}
