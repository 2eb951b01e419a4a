//! How long an answer is waited for: from the moment the request has left.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::sync::oneshot;
use tokio::time::{Instant, Sleep, sleep};

/// A wait for an answer that is bounded, over all attempts together.
pub struct Patience {
    left: oneshot::Receiver<()>,
    bound: Duration,
    /// Since the request has left.
    waiting: Option<Pin<Box<Sleep>>>,
}

impl Patience {
    /// `left` resolves when the request has left.
    pub const fn new(left: oneshot::Receiver<()>, bound: Duration) -> Self {
        Self {
            left,
            bound,
            waiting: None,
        }
    }

    /// Ready when the answer has been waited for too long.
    pub fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let waiting = match &mut self.waiting {
            Some(waiting) => waiting,
            waiting => {
                // An error says that the body is gone, which is what is waited for.
                let _ = ready!(Pin::new(&mut self.left).poll(cx));
                waiting.insert(Box::pin(sleep(self.bound)))
            }
        };
        waiting.as_mut().poll(cx)
    }

    /// What of the bound is left for another attempt.
    pub fn rest(&self) -> Duration {
        let until = self.waiting.as_ref().map(|waiting| waiting.deadline());
        until.map_or(self.bound, |until| {
            until.saturating_duration_since(Instant::now())
        })
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;

    use super::*;

    const BOUND: Duration = Duration::from_secs(10);

    #[tokio::test(start_paused = true)]
    async fn the_wait_begins_when_the_request_has_left_and_goes_on_in_the_next_attempt() {
        let (leaving, left) = oneshot::channel();
        let mut first = Patience::new(left, BOUND);
        let begun = Instant::now();
        let early = tokio::time::timeout(BOUND * 2, poll_fn(|cx| first.poll(cx))).await;
        assert!(early.is_err(), "a slow upload isn't the upstream's delay");
        assert_eq!(first.rest(), BOUND);
        drop(leaving);
        let asked = tokio::time::timeout(BOUND * 3 / 4, poll_fn(|cx| first.poll(cx))).await;
        assert!(asked.is_err(), "not yet");
        let (_, left) = oneshot::channel();
        let mut second = Patience::new(left, first.rest());
        poll_fn(|cx| second.poll(cx)).await;
        assert_eq!(begun.elapsed(), BOUND * 3);
    }
}
