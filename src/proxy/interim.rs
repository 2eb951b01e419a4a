//! Interim responses (1xx) on their way from an upstream to a caller of HTTP/2.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Waker};

use http::Response;

use super::pipeline;
use super::trace::Traced;

/// The most that wait; an upstream that sends more before the caller's task runs loses some.
const MOST: usize = 16;

/// Handed from who reads the upstream to who answers the caller.
#[derive(Clone, Debug, Default)]
pub struct Interim(Arc<Mutex<Waiting>>);

#[derive(Debug, Default)]
struct Waiting {
    heads: Vec<Response<()>>,
    /// What was decided about the request; until then there is nothing to wait for.
    traced: Option<Traced>,
    /// Whether another task than the caller's pushes.
    elsewhere: bool,
    waker: Option<Waker>,
}

impl Interim {
    /// Says what was decided about the request: it decides what is stripped.
    pub fn judged(&self, traced: Traced) {
        self.lock().traced = Some(traced);
    }

    /// The same, for another task to push to.
    pub fn elsewhere(&self) -> Self {
        self.lock().elsewhere = true;
        self.clone()
    }

    /// An upstream's interim response.
    pub fn push(&self, mut head: Response<()>) {
        let mut waiting = self.lock();
        if let Some(traced) = waiting.traced
            && waiting.heads.len() < MOST
        {
            pipeline::interim(head.headers_mut(), &traced);
            waiting.heads.push(head);
        }
        if let Some(waker) = waiting.waker.take() {
            waker.wake();
        }
    }

    /// What has come; whoever asks is woken by the next.
    pub fn take(&self, cx: &Context<'_>) -> Vec<Response<()>> {
        let mut waiting = self.lock();
        if waiting.elsewhere {
            waiting.waker = Some(cx.waker().clone());
        }
        std::mem::take(&mut waiting.heads)
    }

    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
