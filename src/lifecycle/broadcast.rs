//! Something that happens once and is told to everybody, on any thread.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Waker};

use pin_project_lite::pin_project;
use tokio::sync::Notify;
use tokio::sync::futures::OwnedNotified;
use tokio::task::coop::{Unconstrained, unconstrained};

/// Happens once; cloned handles are the same broadcast.
#[derive(Clone, Default)]
pub struct Broadcast(Arc<Inner>);

#[derive(Default)]
struct Inner {
    fired: AtomicBool,
    notify: Arc<Notify>,
}

pin_project! {
    /// Resolves when the broadcast has fired, at once if it had before.
    ///
    /// Cheap to poll together with other work: until it fires, only the first poll of a task
    /// touches anything other threads write.
    #[must_use = "futures do nothing unless polled"]
    pub struct Wait {
        broadcast: Broadcast,
        #[pin]
        notified: Unconstrained<OwnedNotified>,
        registered: Option<Waker>,
    }
}

impl Broadcast {
    /// Tells everybody; later calls do nothing.
    pub fn fire(&self) {
        // The flag comes first: a waiter made after `notify_waiters` must find it set.
        if !self.0.fired.swap(true, Ordering::AcqRel) {
            self.0.notify.notify_waiters();
        }
    }

    /// Whether it has fired.
    pub fn fired(&self) -> bool {
        self.0.fired.load(Ordering::Acquire)
    }

    /// Waits until it fires.
    pub fn wait(&self) -> Wait {
        Wait {
            broadcast: self.clone(),
            // Unconstrained: a poll that is pending has registered, whatever the task's budget.
            notified: unconstrained(Arc::clone(&self.0.notify).notified_owned()),
            registered: None,
        }
    }
}

impl Future for Wait {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let this = self.project();
        if this.broadcast.fired() {
            return Poll::Ready(());
        }
        // Polling `Notified` takes a lock all workers share; it wakes nobody before the flag is
        // set, so a waker that is registered stays registered.
        if this
            .registered
            .as_ref()
            .is_some_and(|waker| waker.will_wake(cx.waker()))
        {
            return Poll::Pending;
        }
        *this.registered = Some(cx.waker().clone());
        this.notified.poll(cx)
    }
}

#[cfg(test)]
mod tests {
    use std::pin::pin;
    use std::sync::atomic::AtomicUsize;
    use std::task::Wake;
    use std::time::Duration;

    use tokio::time::timeout;

    use super::*;

    const LIMIT: Duration = Duration::from_secs(20);

    #[derive(Default)]
    struct Count(AtomicUsize);

    impl Wake for Count {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::SeqCst);
        }
    }

    #[test]
    fn a_waiter_polled_many_times_is_woken_once_it_fires() {
        let broadcast = Broadcast::default();
        let count = Arc::new(Count::default());
        let waker = Waker::from(Arc::clone(&count));
        let mut cx = Context::from_waker(&waker);
        let mut wait = pin!(broadcast.wait());
        for _ in 0..3 {
            assert!(wait.as_mut().poll(&mut cx).is_pending());
        }
        broadcast.fire();
        assert_eq!(count.0.load(Ordering::SeqCst), 1);
        assert!(wait.as_mut().poll(&mut cx).is_ready());
    }

    #[test]
    fn a_waiter_that_moved_to_another_task_is_woken_there() {
        let broadcast = Broadcast::default();
        let (first, second) = (Arc::new(Count::default()), Arc::new(Count::default()));
        let mut wait = pin!(broadcast.wait());
        for count in [&first, &second] {
            let waker = Waker::from(Arc::clone(count));
            let mut cx = Context::from_waker(&waker);
            assert!(wait.as_mut().poll(&mut cx).is_pending());
        }
        broadcast.fire();
        assert_eq!(first.0.load(Ordering::SeqCst), 0);
        assert_eq!(second.0.load(Ordering::SeqCst), 1);
    }

    #[test]
    fn a_waiter_made_afterwards_does_not_wait() {
        let broadcast = Broadcast::default();
        broadcast.fire();
        let mut wait = pin!(broadcast.wait());
        assert!(
            wait.as_mut()
                .poll(&mut Context::from_waker(Waker::noop()))
                .is_ready()
        );
    }

    #[test]
    fn other_threads_hear_it() {
        let broadcast = Broadcast::default();
        let waiters: Vec<_> = (0..4)
            .map(|_| {
                let wait = broadcast.wait();
                std::thread::spawn(move || {
                    tokio::runtime::Builder::new_current_thread()
                        .enable_time()
                        .build()
                        .unwrap()
                        .block_on(async { timeout(LIMIT, wait).await.unwrap() });
                })
            })
            .collect();
        broadcast.fire();
        for waiter in waiters {
            waiter.join().unwrap();
        }
    }
}
