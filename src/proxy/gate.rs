//! `Expect: 100-continue`: the caller's body waits for the upstream's word.
//!
//! The engine tells the caller to go on when its body is first read, so holding that read
//! back hands the upstream's answer on (RFC 9110, section 10.1.1).

use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

/// How long an upstream may keep silent before the body is sent all the same.
pub const PATIENCE: Duration = Duration::from_secs(5);

const CLOSED: u8 = 0;
const OPEN: u8 = 1;
const SHUT: u8 = 2;

/// Closed until the upstream has spoken; shared by the body and the upstream's connection.
#[derive(Clone, Debug, Default)]
pub struct Gate(Arc<Inner>);

#[derive(Debug, Default)]
struct Inner {
    state: AtomicU8,
    waker: Mutex<Option<Waker>>,
}

/// How the waiting ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Word {
    /// The body may go.
    Go,
    /// The upstream has answered without it: it never goes.
    Never,
}

impl Gate {
    /// Lets the body through, for good.
    pub fn open(&self) {
        self.decide(OPEN);
    }

    /// Keeps the body back for good, unless it was let through before.
    pub fn shut(&self) {
        self.decide(SHUT);
    }

    /// Whether the body was let through.
    pub fn is_open(&self) -> bool {
        self.0.state.load(Ordering::Acquire) == OPEN
    }

    /// Ready once decided.
    pub fn poll(&self, cx: &mut Context<'_>) -> Poll<Word> {
        if let Some(word) = self.word() {
            return Poll::Ready(word);
        }
        *self.0.waker.lock().unwrap_or_else(PoisonError::into_inner) = Some(cx.waker().clone());
        // Decided in between: the waker may have been missed.
        self.word().map_or(Poll::Pending, Poll::Ready)
    }

    fn word(&self) -> Option<Word> {
        match self.0.state.load(Ordering::Acquire) {
            OPEN => Some(Word::Go),
            SHUT => Some(Word::Never),
            _ => None,
        }
    }

    fn decide(&self, state: u8) {
        let (success, failure) = (Ordering::Release, Ordering::Relaxed);
        let decided = self
            .0
            .state
            .compare_exchange(CLOSED, state, success, failure);
        let mut waker = self.0.waker.lock().unwrap_or_else(PoisonError::into_inner);
        if decided.is_ok()
            && let Some(waker) = waker.take()
        {
            waker.wake();
        }
    }
}
