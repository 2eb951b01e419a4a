//! Interim responses (1xx) on their way between two tasks: from who reads the upstream to who
//! answers a caller of HTTP/2.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Waker};

use http::Response;

/// The most that come before an answer; an upstream that sends more breaks the protocol.
pub const MOST: u8 = 64;

/// The most that wait; of more, the caller's task being slow, the rest is lost.
const MOST_WAITING: usize = 16;

/// A queue of heads, shared.
#[derive(Clone, Debug, Default)]
pub struct Interim(Arc<Mutex<Waiting>>);

#[derive(Debug, Default)]
struct Waiting {
    heads: VecDeque<Response<()>>,
    came: u8,
    waker: Option<Waker>,
}

impl Interim {
    /// An upstream's interim response.
    pub fn push(&self, head: Response<()>) {
        let mut waiting = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        waiting.came = waiting.came.saturating_add(1);
        if waiting.heads.len() < MOST_WAITING {
            waiting.heads.push_back(head);
        }
        if let Some(waker) = waiting.waker.take() {
            waker.wake();
        }
    }

    /// Whether more have come than anybody has use for.
    pub fn is_flood(&self) -> bool {
        let waiting = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        waiting.came > MOST
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
