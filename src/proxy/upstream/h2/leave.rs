//! Whether an upstream has taken leave of a connection (GOAWAY: RFC 9113, section 6.8), noticed when
//! it does: the engine tells nobody before a new stream is asked for, and who has nothing but watches
//! asks for none.

use std::rc::Rc;
use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use h2::client::SendRequest;
use tokio::sync::Notify;

use super::State;

/// Waits for the leave of a connection that belongs to one caller.
pub(super) struct Leave(Option<Awaited>);

struct Awaited {
    /// Asked whether there could be a stream; never sends one.
    probe: SendRequest<Bytes>,
    /// Reads before the last look.
    reads: u64,
    left: Rc<Notify>,
}

impl Leave {
    /// Tells `left` once; nobody if that is `None`.
    pub(super) fn new(sender: &SendRequest<Bytes>, left: Option<&Rc<Notify>>) -> Self {
        Self(left.map(|left| Awaited {
            probe: sender.clone(),
            reads: 0,
            left: Rc::clone(left),
        }))
    }

    /// Looks, if something has come since it last did.
    pub(super) fn look(&mut self, state: &State) {
        let Some(awaited) = &mut self.0 else { return };
        let reads = state.seen.reads();
        // Before its SETTINGS it is no connection yet, and what becomes of it the request's affair.
        if reads == awaited.reads || awaited.probe.current_max_send_streams() == 0 {
            return;
        }
        awaited.reads = reads;
        let ready = (awaited.probe).poll_ready(&mut Context::from_waker(Waker::noop()));
        if matches!(ready, Poll::Ready(Err(_))) {
            awaited.left.notify_one();
            self.forget();
        }
    }

    /// The connection isn't wanted any more: the engine ends it when no handle is left.
    pub(super) fn forget(&mut self) {
        self.0 = None;
    }
}
