//! Bodies, relayed frame by frame: nothing is buffered, so back-pressure reaches both ways.

mod cut_off;
mod hold;

use std::cell::Cell;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use h2::Reason;
use http::HeaderMap;
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;
use tokio::sync::oneshot;

pub use self::cut_off::CutOff;
use self::cut_off::checked;
use self::hold::Hold;
use super::activity::Open;
use super::exchange::Exchange;
use super::gate::{Gate, Word};
use super::trace::{self, Traced};
use super::trailers;
use super::upstream::{Lease, forward};
use crate::span::record::{Fault, Outcome};

/// A request's body on its way to the upstream.
pub struct RequestBody {
    inner: Option<Incoming>,
    hold: Option<Hold>,
    count: Option<Rc<Cell<u64>>>,
    framed: bool,
    /// Dropped with the body: that is how others learn that it has left.
    leaving: Option<oneshot::Sender<()>>,
}

impl RequestBody {
    /// Relays what the caller sends, but for context in its trailers: a server that merges
    /// those into the fields would read a second one beside ours, whoever is trusted.
    pub fn relay(inner: Incoming) -> Self {
        Self {
            inner: Some(inner),
            hold: None,
            count: None,
            framed: false,
            leaving: None,
        }
    }

    /// No body.
    pub const fn empty() -> Self {
        Self {
            inner: None,
            hold: None,
            count: None,
            framed: false,
            leaving: None,
        }
    }

    /// Holds the body back until the gate opens.
    pub fn hold(&mut self, gate: Gate) {
        self.hold = Some(Hold::new(gate));
    }

    /// Resolves (with an error) when the body has been sent, or will never be.
    pub fn left(&mut self) -> oneshot::Receiver<()> {
        let (leaving, left) = oneshot::channel();
        self.leaving = Some(leaving);
        left
    }

    /// It comes on HTTP/2, where only END_STREAM is an end.
    pub const fn framed(&mut self) {
        self.framed = true;
    }

    /// Counts the bytes relayed.
    pub fn count(&mut self, count: Rc<Cell<u64>>) {
        self.count = Some(count);
    }
}

impl Body for RequestBody {
    type Data = Bytes;
    type Error = CutOff;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, CutOff>>> {
        let this = self.get_mut();
        let Some(inner) = &mut this.inner else {
            return Poll::Ready(None);
        };
        if let Some(hold) = &mut this.hold {
            let word = ready!(hold.poll(cx));
            this.hold = None;
            if word == Word::Never {
                return Poll::Ready(Some(Err(CutOff::unwanted())));
            }
        }
        let frame = ready!(Pin::new(&mut *inner).poll_frame(cx));
        let mut frame = checked(frame, inner, this.framed, Reason::CANCEL);
        if let Some(Ok(frame)) = &mut frame {
            if let (Some(count), Some(data)) = (&this.count, frame.data_ref()) {
                count.set(count.get() + data.len() as u64);
            }
            if let Some(late) = frame.trailers_mut() {
                trailers::strip_request(late);
            }
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.inner.as_ref().is_none_or(Body::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        self.inner
            .as_ref()
            .map_or_else(|| SizeHint::with_exact(0), Body::size_hint)
    }
}

/// A response's body on its way to the caller.
pub enum ResponseBody {
    /// Relayed from the upstream; the exchange ends with it, exactly once.
    Relay(Relay),
    /// Made here; the exchange has ended already.
    Local {
        /// The whole body.
        bytes: Option<Bytes>,
        /// The request is open until the answer has been taken.
        _open: Open,
    },
    /// None: the connection becomes a tunnel.
    Empty,
}

/// A relayed response's body.
pub struct Relay {
    inner: Incoming,
    exchange: Exchange,
    lease: Lease,
    gate: Option<Gate>,
    traced: Traced,
    _open: Open,
}

impl Relay {
    /// Relays what the upstream sends. The lease goes back when the body has ended.
    pub fn new(
        inner: Incoming,
        exchange: Exchange,
        lease: Lease,
        gate: Option<Gate>,
        traced: Traced,
        open: Open,
    ) -> Self {
        Self {
            inner,
            exchange,
            lease,
            gate,
            traced,
            _open: open,
        }
    }

    fn trailers(&mut self, trailers: &mut HeaderMap) {
        self.exchange.trailers(trailers);
        trace::trailed(&self.traced, trailers);
    }

    fn ended(&mut self) {
        self.exchange.end(Outcome::Done);
        // A request that will never be whole blocks its connection: this ends both.
        if let Some(gate) = self.gate.take() {
            gate.shut();
        }
        self.lease.give_back();
    }

    fn poll_frame(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, CutOff>>> {
        let frame = ready!(Pin::new(&mut self.inner).poll_frame(cx));
        let fault = match &frame {
            Some(Err(error)) => forward::fault(error),
            _ => Fault::StreamReset,
        };
        let framed = matches!(self.lease, Lease::Http2 { .. });
        let mut frame = checked(frame, &self.inner, framed, Reason::INTERNAL_ERROR);
        match &mut frame {
            Some(Ok(frame)) => {
                if let Some(data) = frame.data_ref() {
                    self.exchange.relayed(data.len());
                } else if let Some(trailers) = frame.trailers_mut() {
                    self.trailers(trailers);
                }
                // The engine doesn't poll again once a known length is complete.
                if self.inner.is_end_stream() {
                    self.ended();
                }
            }
            Some(Err(_)) => self.exchange.end(Outcome::Upstream(fault)),
            None => self.ended(),
        }
        Poll::Ready(frame)
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        if self.inner.is_end_stream() {
            self.ended();
        } else {
            self.exchange.end(Outcome::Cancelled);
        }
    }
}

impl Body for ResponseBody {
    type Data = Bytes;
    type Error = CutOff;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, CutOff>>> {
        match self.get_mut() {
            Self::Relay(relay) => relay.poll_frame(cx),
            Self::Local { bytes, .. } => Poll::Ready(bytes.take().map(|b| Ok(Frame::data(b)))),
            Self::Empty => Poll::Ready(None),
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Relay(relay) => relay.inner.is_end_stream(),
            Self::Local { bytes, .. } => bytes.is_none(),
            Self::Empty => true,
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Relay(relay) => relay.inner.size_hint(),
            Self::Local { bytes, .. } => {
                SizeHint::with_exact(bytes.as_ref().map_or(0, |b| b.len() as u64))
            }
            Self::Empty => SizeHint::with_exact(0),
        }
    }
}
