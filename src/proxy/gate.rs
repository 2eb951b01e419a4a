//! `Expect: 100-continue`: the caller's body waits for the upstream's word.
//!
//! The engine tells the caller to go on when its body is first read, so holding that read
//! back hands the upstream's answer on (RFC 9110, section 10.1.1).

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

/// How long an upstream may keep silent before the body is sent all the same.
pub const PATIENCE: Duration = Duration::from_secs(5);

/// Closed until the upstream has spoken; shared by the body and the upstream's connection.
#[derive(Clone, Debug, Default)]
pub struct Gate(Arc<Inner>);

#[derive(Debug, Default)]
struct Inner {
    open: AtomicBool,
    waker: Mutex<Option<Waker>>,
}

impl Gate {
    /// Lets the body through, for good.
    pub fn open(&self) {
        self.0.open.store(true, Ordering::Release);
        let waker = self
            .0
            .waker
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    /// Ready once open.
    pub fn poll(&self, cx: &mut Context<'_>) -> Poll<()> {
        if self.0.open.load(Ordering::Acquire) {
            return Poll::Ready(());
        }
        *self.0.waker.lock().unwrap_or_else(PoisonError::into_inner) = Some(cx.waker().clone());
        // Opened in between: the waker may have been missed.
        if self.0.open.load(Ordering::Acquire) {
            return Poll::Ready(());
        }
        Poll::Pending
    }
}
