//! Drain: unready, accept for a while, close listeners, finish what is in flight, cut the rest.

use std::future::Future;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::{self, Instant};

use super::broadcast::{Broadcast, Wait};

/// How long connections that were cut may take to end, so that their spans still leave.
const CUT_GRACE: Duration = Duration::from_secs(1);

/// The end of the proxy's life; cloned handles are the same drain.
#[derive(Clone, Default)]
pub struct Drain(Arc<Inner>);

#[derive(Default)]
struct Inner {
    requested: Broadcast,
    draining: Broadcast,
    cut: Broadcast,
    // Tokens held when the cut came; counted before anybody hears of it.
    cut_tokens: OnceLock<usize>,
    stopped: AtomicBool,
    tokens: AtomicUsize,
    idle: Notify,
}

/// How far a drain is.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Stage {
    /// Nobody asked for a drain.
    Running,
    /// Not ready any more, but still accepting.
    Unready,
    /// Listeners are closed, what is in flight finishes.
    Draining,
    /// Everything finished or was cut.
    Stopped,
}

/// Something a drain waits for: a connection, or a listener that may still hand one over.
///
/// A listener keeps a token until it is closed and takes the token of each connection before
/// that; otherwise a drain could end between accepting and serving.
#[must_use = "a drain waits until this is dropped"]
pub struct Token(Drain);

/// How a drain went.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Report {
    /// Tokens that were still held when the cut came.
    pub cut: usize,
    /// What is left of the time to drain: flushing spans may use it.
    pub remaining: Duration,
}

impl Drain {
    /// Nothing drains yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Asks for a drain; later calls do nothing.
    pub fn request(&self) {
        self.0.requested.fire();
    }

    /// Asks for the end at once: what is in flight is cut.
    pub fn cut_short(&self) {
        self.request();
        self.cut_all();
    }

    /// How far the drain is.
    pub fn stage(&self) -> Stage {
        if self.0.stopped.load(Ordering::Acquire) {
            Stage::Stopped
        } else if self.0.draining.fired() {
            Stage::Draining
        } else if self.0.requested.fired() {
            Stage::Unready
        } else {
            Stage::Running
        }
    }

    /// Resolves when a drain was asked for.
    pub fn requested(&self) -> Wait {
        self.0.requested.wait()
    }

    /// Resolves when listeners close and connections should finish.
    pub fn draining(&self) -> Wait {
        self.0.draining.wait()
    }

    /// Resolves when connections must end now.
    pub fn cut(&self) -> Wait {
        self.0.cut.wait()
    }

    /// Something the drain must wait for.
    pub fn token(&self) -> Token {
        self.0.tokens.fetch_add(1, Ordering::AcqRel);
        Token(self.clone())
    }

    /// Tokens held.
    pub fn tokens(&self) -> usize {
        self.0.tokens.load(Ordering::Acquire)
    }

    /// Drains: unready for `delay` while still accepting, then at most `timeout` for what is in
    /// flight, then the cut. [`Drain::cut_short`] ends either wait.
    pub async fn sequence(&self, delay: Duration, timeout: Duration) -> Report {
        self.request();
        if !delay.is_zero() {
            self.unless_cut(time::sleep(delay)).await;
        }
        let began = Instant::now();
        self.0.draining.fire();
        let _ = time::timeout(timeout, self.unless_cut(self.idle())).await;
        let remaining = timeout.saturating_sub(began.elapsed());
        // Also with nothing in flight: whoever comes too late must not stay.
        let cut = self.cut_all();
        let _ = time::timeout(CUT_GRACE, self.idle()).await;
        self.0.stopped.store(true, Ordering::Release);
        Report { cut, remaining }
    }

    fn cut_all(&self) -> usize {
        let cut = *self.0.cut_tokens.get_or_init(|| self.tokens());
        self.0.cut.fire();
        cut
    }

    async fn unless_cut(&self, wait: impl Future<Output = ()>) {
        tokio::select! {
            biased;
            () = wait => {}
            () = self.cut() => {}
        }
    }

    async fn idle(&self) {
        loop {
            // Made before the count is read, it hears of every token dropped after that.
            let notified = self.0.idle.notified();
            if self.tokens() == 0 {
                return;
            }
            notified.await;
        }
    }
}

impl Token {
    /// The drain this token holds up.
    pub fn drain(&self) -> &Drain {
        &self.0
    }
}

impl Drop for Token {
    fn drop(&mut self) {
        let inner = &self.0.0;
        if inner.tokens.fetch_sub(1, Ordering::AcqRel) == 1 {
            inner.idle.notify_waiters();
        }
    }
}

#[cfg(test)]
mod tests;
