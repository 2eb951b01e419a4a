//! A body's wait for the upstream's word.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::time::Sleep;

use crate::proxy::gate::{Gate, PATIENCE, Word};

/// A gate, and how long to wait at it.
pub(super) struct Hold {
    gate: Gate,
    patience: Pin<Box<Sleep>>,
}

impl Hold {
    pub(super) fn new(gate: Gate) -> Self {
        let patience = Box::pin(tokio::time::sleep(PATIENCE));
        Self { gate, patience }
    }

    /// Ready when the gate is decided, or has been closed for too long.
    pub(super) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Word> {
        if let Poll::Ready(word) = self.gate.poll(cx) {
            return Poll::Ready(word);
        }
        ready!(self.patience.as_mut().poll(cx));
        self.gate.open();
        Poll::Ready(Word::Go)
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;

    use tokio::time::{Duration, Instant};

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn an_upstream_that_never_says_go_on_gets_the_body_after_the_patience() {
        let (mut hold, start) = (Hold::new(Gate::default()), Instant::now());
        assert_eq!(poll_fn(|cx| hold.poll(cx)).await, Word::Go);
        assert_eq!(start.elapsed(), PATIENCE);
    }

    #[tokio::test(start_paused = true)]
    async fn an_upstream_that_says_go_on_gets_the_body_at_once() {
        let (gate, start) = (Gate::default(), Instant::now());
        let mut hold = Hold::new(gate.clone());
        let word = async {
            tokio::time::sleep(Duration::from_secs(1)).await;
            gate.open();
        };
        let (word, ()) = tokio::join!(poll_fn(|cx| hold.poll(cx)), word);
        assert_eq!(word, Word::Go);
        assert_eq!(start.elapsed(), Duration::from_secs(1));
    }

    #[tokio::test(start_paused = true)]
    async fn a_decision_stands() {
        let (first, second) = (Gate::default(), Gate::default());
        first.shut();
        first.open();
        second.open();
        second.shut();
        assert_eq!(poll_fn(|cx| first.poll(cx)).await, Word::Never);
        assert_eq!(poll_fn(|cx| second.poll(cx)).await, Word::Go);
        assert!(second.is_open() && !first.is_open());
    }
}
