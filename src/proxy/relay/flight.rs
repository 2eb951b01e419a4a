//! One request under way: both directions at once, on the caller's own task.
//!
//! Nothing is read while what was read before isn't written, so a slow side stops the other.

mod download;
mod upload;

use std::future::Future as _;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::time::{Sleep, sleep};

use super::Wires;
use super::chunks::{Decoder, Encoder};
use super::reply::Reply;
use crate::proxy::listener::Listener;
use crate::proxy::upstream::connect::{HeadLimits, is_tls};
use crate::proxy::upstream::raw;
use crate::span::record::Fault;

/// How long a caller that was answered may pause amid its body.
const LAG: Duration = Duration::from_secs(30);

/// How a request ended, as far as the two connections go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// The response was relayed.
    Done,
    /// The caller went away.
    Gone,
    /// The upstream ended amid the response.
    Broken(Fault),
    /// No byte of a response came and the request can be sent once more.
    Again(Fault),
    /// No response came.
    Failed(Fault),
    /// The caller's body is malformed.
    BadBody,
    /// The connections are a tunnel now.
    Tunnel,
}

/// How far the response is.
enum Phase {
    Head { seen: usize },
    Body(Decoder, Encoder),
    Done,
    Broken(Fault),
    Tunnel,
}

/// What it means that the upstream's connection ended.
fn closed(error: Option<&io::Error>) -> Fault {
    match error {
        Some(error) if is_tls(error) => Fault::Tls,
        _ => Fault::ConnectionClosed,
    }
}

/// A request under way.
pub struct Flight<'a> {
    /// The caller's connection and the buffers.
    pub wires: &'a mut Wires,
    /// The upstream's connection.
    pub up: Box<raw::Connection>,
    /// What the response needs.
    pub reply: &'a mut Reply,
    /// Whose trailers they are.
    listener: &'a Listener,
    /// Bounds on heads and trailers.
    pub limits: HeadLimits,
    /// The request's body: what of it is still to come, and how it goes out.
    pub body: &'a mut (Decoder, Encoder),
    /// Bounds the wait for the response's head, from when the request has left in full.
    pub patience: Option<Duration>,
    /// Its end, once the request has left.
    pub deadline: Option<Pin<Box<Sleep>>>,
    lag: Option<Pin<Box<Sleep>>>,
    phase: Phase,
    /// The upstream takes no more bytes.
    deaf: bool,
    /// Bytes of the request's body were taken that can't be sent once more.
    spent: bool,
    may_repeat: bool,
}

impl<'a> Flight<'a> {
    /// A request whose head waits in `to_up`. `may_repeat`: this connection may have been
    /// closed before the request reached it, and nothing else failed yet.
    pub fn new(
        wires: &'a mut Wires,
        up: Box<raw::Connection>,
        reply: &'a mut Reply,
        listener: &'a Listener,
        limits: HeadLimits,
        body: &'a mut (Decoder, Encoder),
        may_repeat: bool,
    ) -> Self {
        Self {
            wires,
            up,
            reply,
            listener,
            limits,
            body,
            patience: None,
            deadline: None,
            lag: None,
            phase: Phase::Head { seen: 0 },
            deaf: false,
            spent: false,
            may_repeat,
        }
    }

    /// Whether the upstream's connection can carry another request.
    pub fn reusable(&self) -> bool {
        self.reply.keep_up
            && !self.deaf
            && self.body.0.is_done()
            && self.wires.to_up.is_drained()
            && self.wires.from_up.is_empty()
    }

    /// Whether the request was sent in full.
    pub fn request_done(&self) -> bool {
        self.body.0.is_done()
    }

    /// Whether the response's head was relayed.
    pub const fn answered(&self) -> bool {
        !matches!(self.phase, Phase::Head { .. })
    }

    /// Moves bytes until the request has ended.
    pub fn poll(&mut self, cx: &mut Context<'_>) -> Poll<End> {
        loop {
            let moved = match self.turn(cx) {
                Ok(moved) => moved,
                Err(end) => return Poll::Ready(end),
            };
            if let Some(end) = self.ended() {
                return Poll::Ready(end);
            }
            if moved {
                self.lag = None;
                continue;
            }
            if matches!(self.phase, Phase::Done) && self.wires.output.is_drained() {
                ready!(self.poll_lag(cx));
                return Poll::Ready(End::Done);
            }
            ready!(self.poll_deadline(cx));
            return Poll::Ready(End::Failed(Fault::ResponseHeaderTimeout));
        }
    }

    /// A caller that was answered and stops sending must not hold two connections.
    fn poll_lag(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let lag = self.lag.get_or_insert_with(|| Box::pin(sleep(LAG)));
        ready!(lag.as_mut().poll(cx));
        (self.reply.keep, self.reply.keep_up) = (false, false);
        Poll::Ready(())
    }

    fn poll_deadline(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let (Some(patience), Phase::Head { .. }) = (self.patience, &self.phase) else {
            return Poll::Pending;
        };
        // A slow upload isn't the upstream's delay.
        let left = self.body.0.is_done() && self.wires.to_up.is_drained();
        if !left && !self.deaf {
            return Poll::Pending;
        }
        let deadline = self
            .deadline
            .get_or_insert_with(|| Box::pin(sleep(patience)));
        deadline.as_mut().poll(cx)
    }

    fn turn(&mut self, cx: &mut Context<'_>) -> Result<bool, End> {
        let mut moved = self.send(cx)?;
        moved |= self.receive(cx)?;
        let Wires { output, caller, .. } = &mut *self.wires;
        moved |= output.poll_drain(caller, cx).map_err(|_| End::Gone)?;
        if output.pending() == 0 {
            output.clear();
        }
        Ok(moved)
    }

    fn ended(&mut self) -> Option<End> {
        if !self.wires.output.is_drained() {
            return None;
        }
        match self.phase {
            Phase::Done => {
                self.reply.done();
                let sent = self.body.0.is_done() && self.wires.to_up.is_drained();
                let over = sent || self.deaf || !self.reply.keep_up || !self.reply.keep;
                over.then_some(End::Done)
            }
            Phase::Broken(fault) => Some(End::Broken(fault)),
            Phase::Tunnel => Some(End::Tunnel),
            _ => None,
        }
    }
}
