//! Interim responses (1xx) on their way between two tasks: from who reads the upstream to who
//! answers a caller of HTTP/2.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Waker};

use http::Response;

/// The most that wait; of more, the caller's task being slow, the rest is lost.
const MOST: usize = 16;

/// A queue of heads, shared.
#[derive(Clone, Debug, Default)]
pub struct Interim(Arc<Mutex<Waiting>>);

#[derive(Debug, Default)]
struct Waiting {
    heads: VecDeque<Response<()>>,
    waker: Option<Waker>,
}

impl Interim {
    /// An upstream's interim response.
    pub fn push(&self, head: Response<()>) {
        let mut waiting = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if waiting.heads.len() < MOST {
            waiting.heads.push_back(head);
        }
        if let Some(waker) = waiting.waker.take() {
            waker.wake();
        }
    }

    /// The next one, if it has come; else whoever asks is woken when it does.
    pub fn poll(&self, cx: &Context<'_>) -> Option<Response<()>> {
        let mut waiting = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let next = waiting.heads.pop_front();
        if next.is_none() {
            waiting.waker = Some(cx.waker().clone());
        }
        next
    }
}
