//! Bodies, relayed frame by frame: nothing is buffered, so back-pressure reaches both ways.

mod cut_off;
mod hold;
mod tape;

use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use h2::Reason;
use http::HeaderMap;
use http_body::{Body, Frame, SizeHint};
use tokio::sync::oneshot;

pub use self::cut_off::CutOff;
use self::cut_off::checked;
use self::hold::Hold;
use self::tape::Playback;
pub use self::tape::Tape;
use super::activity::Open;
use super::exchange::Exchange;
use super::exchange::open::Uploaded;
use super::gate::{Gate, Word};
use super::http2::frames::Frames;
use super::listener::Listener;
use super::refuse;
use super::trace::{self, Traced};
use super::trailers;
use super::upstream::Lease;
use super::upstream::error::EngineError;
use crate::span::record::{Fault, Outcome};

/// What a peer sends, whichever engine reads it.
pub enum Incoming {
    /// Over HTTP/1.
    Http1(hyper::body::Incoming),
    /// Over HTTP/2.
    Http2(Frames),
    /// Nothing.
    Empty,
}

impl Incoming {
    /// Whether it comes in frames, where only END_STREAM is an end.
    const fn framed(&self) -> bool {
        matches!(self, Self::Http2(_))
    }
}

impl Body for Incoming {
    type Data = Bytes;
    type Error = EngineError;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, EngineError>>> {
        match self.get_mut() {
            Self::Http1(body) => Pin::new(body).poll_frame(cx).map_err(EngineError::Http1),
            Self::Http2(body) => Pin::new(body).poll_frame(cx).map_err(EngineError::Http2),
            Self::Empty => Poll::Ready(None),
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Http1(body) => body.is_end_stream(),
            Self::Http2(body) => body.is_end_stream(),
            Self::Empty => true,
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Http1(body) => body.size_hint(),
            Self::Http2(body) => body.size_hint(),
            Self::Empty => SizeHint::with_exact(0),
        }
    }
}

/// A request's body on its way to the upstream.
pub struct RequestBody {
    inner: Source,
    hold: Option<Hold>,
    count: Option<Rc<Uploaded>>,
    /// Dropped at the body's end: that is how others learn that it has left.
    leaving: Option<oneshot::Sender<()>>,
}

enum Source {
    /// Relayed as the listener's settings say that were in force when the request came.
    Caller(Incoming, Rc<Listener>),
    Tape(Playback),
    Empty,
}

impl RequestBody {
    /// Relays what the caller sends, but for context and identity in its trailers: a server that
    /// merges those into the fields would read a second one beside ours, whoever is trusted.
    const fn relay(inner: Incoming, listener: Rc<Listener>) -> Self {
        Self::of(Source::Caller(inner, listener))
    }

    /// What the caller sends, counted, and the gate it waits at if the caller `waits` for a word.
    pub fn leaving(
        inner: Incoming,
        listener: &Rc<Listener>,
        waits: bool,
        exchange: &mut Exchange,
    ) -> (Self, Option<Gate>) {
        let mut body = Self::relay(inner, Rc::clone(listener));
        body.count = exchange.leaves();
        let gate = (waits && !body.is_end_stream()).then(Gate::default);
        body.hold = gate.clone().map(Hold::new);
        (body, gate)
    }

    /// A body that was begun before, from its beginning.
    pub fn again(tape: &Tape) -> Self {
        Self::of(Source::Tape(tape.play()))
    }

    const fn of(inner: Source) -> Self {
        Self {
            inner,
            hold: None,
            count: None,
            leaving: None,
        }
    }

    /// No body.
    pub const fn empty() -> Self {
        Self::of(Source::Empty)
    }

    /// Resolves (with an error) when the body has been sent, or will never be.
    pub fn left(&mut self) -> oneshot::Receiver<()> {
        let (leaving, left) = oneshot::channel();
        self.leaving = (!self.is_end_stream()).then_some(leaving);
        left
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
        if let Some(hold) = &mut this.hold {
            let word = ready!(hold.poll(cx));
            this.hold = None;
            if word == Word::Never {
                return Poll::Ready(Some(Err(CutOff::unwanted())));
            }
        }
        let frame = match &mut this.inner {
            Source::Tape(tape) => ready!(tape.poll_frame(cx)),
            Source::Caller(caller, listener) => {
                let frame = ready!(Pin::new(&mut *caller).poll_frame(cx));
                let mut frame = checked(frame, caller, Reason::CANCEL);
                if let Some(Ok(frame)) = &mut frame {
                    relayed(frame, this.count.as_deref(), listener);
                }
                frame
            }
            Source::Empty => None,
        };
        if this.is_end_stream() || !matches!(frame, Some(Ok(_))) {
            this.leaving = None;
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        match &self.inner {
            Source::Caller(caller, _) => caller.is_end_stream(),
            Source::Tape(tape) => tape.is_end_stream(),
            Source::Empty => true,
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.inner {
            Source::Caller(caller, _) => caller.size_hint(),
            Source::Tape(tape) => tape.size_hint(),
            Source::Empty => SizeHint::with_exact(0),
        }
    }
}

/// What is done to a frame of a caller's before it goes on.
fn relayed(frame: &mut Frame<Bytes>, count: Option<&Uploaded>, listener: &Listener) {
    if let (Some(count), Some(data)) = (count, frame.data_ref()) {
        count.took(data);
    }
    if let Some(late) = frame.trailers_mut() {
        if let Some(count) = count {
            count.trailers();
        }
        trailers::strip_request(late, &listener.settings);
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
    Tunnel,
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
    /// Relays what the upstream sends. The lease goes back when the body has ended; an answer
    /// that has none may be let go before its end has come.
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
        let (fault, callers) = match &frame {
            Some(Err(error)) => (error.fault(), error.caller_fault().is_some()),
            _ => (Fault::StreamReset, false),
        };
        let mut frame = checked(frame, &self.inner, Reason::INTERNAL_ERROR);
        match &mut frame {
            Some(Ok(frame)) => {
                if let Some(data) = frame.data_ref() {
                    self.exchange.relayed(data);
                } else if let Some(trailers) = frame.trailers_mut() {
                    self.trailers(trailers);
                }
                // The engine doesn't poll again once a known length is complete.
                if self.inner.is_end_stream() {
                    self.ended();
                }
            }
            Some(Err(_)) if self.lease.upload_was_malformed() => {
                self.exchange.count_refusal(Fault::BadRequest);
                self.exchange.end(Outcome::Refused(Fault::BadRequest));
            }
            // It was reset here, as the caller's body had ended early.
            Some(Err(_)) if callers => self.exchange.end(Outcome::Cancelled),
            Some(Err(_)) => {
                let lost = matches!(fault, Fault::ConnectionClosed | Fault::Tls);
                if lost && self.exchange.by_trailers {
                    let trailers = refuse::grpc_trailers(fault);
                    self.exchange.trailers(&trailers);
                    frame = Some(Ok(Frame::trailers(trailers)));
                }
                self.exchange.end(Outcome::Upstream(fault));
            }
            None => self.ended(),
        }
        Poll::Ready(frame)
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        if self.inner.is_end_stream() {
            self.ended();
        } else if self.exchange.has_no_body() {
            self.exchange.end(Outcome::Done);
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
            Self::Tunnel => Poll::Ready(None),
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Relay(relay) => relay.inner.is_end_stream(),
            Self::Local { bytes, .. } => bytes.is_none(),
            Self::Tunnel => true,
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Relay(relay) => relay.inner.size_hint(),
            Self::Local { bytes, .. } => {
                SizeHint::with_exact(bytes.as_ref().map_or(0, |b| b.len() as u64))
            }
            Self::Tunnel => SizeHint::with_exact(0),
        }
    }
}
