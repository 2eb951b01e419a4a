//! One request under way: both directions at once, on the caller's own task.
//!
//! Nothing is read while what was read before isn't written, so a slow side stops the other.

use std::future::Future as _;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::time::{Sleep, sleep};

use super::buffer::ROOM;
use super::chunks::{Decoder, Encoder, Step};
use super::reply::{Head, Reply};
use super::{Wires, parse, trailers};
use crate::listen::stream::Stream;
use crate::proxy::upstream::connect::{HeadLimits, is_tls};
use crate::span::record::Fault;

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
    Again,
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

/// A request under way.
pub struct Flight<'a> {
    /// The caller's connection and the buffers.
    pub wires: &'a mut Wires,
    /// The upstream's connection.
    pub up: Box<Stream>,
    /// What the response needs.
    pub reply: &'a mut Reply,
    /// Bounds on heads and trailers.
    pub limits: HeadLimits,
    /// The request's body: what of it is still to come, and how it goes out.
    pub body: &'a mut (Decoder, Encoder),
    /// Bounds the wait for the response's head, from when the request has left in full.
    pub patience: Option<Duration>,
    deadline: Option<Pin<Box<Sleep>>>,
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
        up: Box<Stream>,
        reply: &'a mut Reply,
        limits: HeadLimits,
        body: &'a mut (Decoder, Encoder),
        may_repeat: bool,
    ) -> Self {
        Self {
            wires,
            up,
            reply,
            limits,
            body,
            patience: None,
            deadline: None,
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
            if !moved {
                ready!(self.poll_deadline(cx));
                return Poll::Ready(End::Failed(Fault::ResponseHeaderTimeout));
            }
        }
    }

    fn poll_deadline(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let (Some(patience), Phase::Head { .. }) = (self.patience, &self.phase) else {
            return Poll::Pending;
        };
        // A slow upload isn't the upstream's delay.
        if !self.body.0.is_done() || !self.wires.to_up.is_drained() {
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

    /// Caller to upstream; watches the caller once its request is complete.
    fn send(&mut self, cx: &mut Context<'_>) -> Result<bool, End> {
        let mut moved = false;
        loop {
            self.fill_request()?;
            if !self.deaf && !self.wires.to_up.is_drained() {
                match self.wires.to_up.poll_drain(&mut self.up, cx) {
                    Ok(drained) => moved |= drained,
                    Err(_) => self.went_deaf()?,
                }
            }
            // A caller whose body waits for a slow upstream isn't read from.
            if !self.body.0.is_done() && (self.deaf || self.wires.to_up.pending() >= ROOM) {
                return Ok(moved);
            }
            let limit = if self.body.0.is_done() {
                self.limits.bytes
            } else {
                ROOM
            };
            match self.wires.poll_input(cx, limit) {
                Poll::Ready(true) => moved = true,
                Poll::Ready(false) => return Err(End::Gone),
                Poll::Pending => return Ok(moved),
            }
            if self.body.0.is_done() {
                return Ok(moved);
            }
        }
    }

    /// Takes what was read of the request's body.
    fn fill_request(&mut self) -> Result<(), End> {
        let (decoder, encoder) = &mut *self.body;
        while !decoder.is_done() && self.wires.to_up.pending() < ROOM && !self.deaf {
            let Wires {
                input,
                to_up,
                fields,
                ..
            } = &mut *self.wires;
            if to_up.pending() == 0 && !to_up.untouched() {
                to_up.clear();
                self.spent = true;
            }
            let step = decoder.next(input.filled(), self.limits.bytes);
            match step.map_err(|_| End::BadBody)? {
                Step::Data { skip, length } => {
                    input.consume(skip);
                    let piece = input.filled().get(..length).unwrap_or_default();
                    encoder.data(piece, &mut to_up.bytes);
                    self.reply.sent(length);
                    input.consume(length);
                    if decoder.is_done() {
                        encoder.end(None, &mut to_up.bytes);
                    }
                }
                Step::Trailers { skip, length } => {
                    input.consume(skip);
                    let section = input.filled().get(..length).unwrap_or_default();
                    parse::trailers(section, self.limits, fields).map_err(|_| End::BadBody)?;
                    trailers::strip_request(fields);
                    encoder.end(Some(fields), &mut to_up.bytes);
                    input.consume(length);
                }
                Step::End { skip } => {
                    input.consume(skip);
                    encoder.end(None, &mut to_up.bytes);
                }
                Step::More { skip } => {
                    input.consume(skip);
                    return Ok(());
                }
            }
        }
        Ok(())
    }

    /// The upstream stopped reading; it may have answered before.
    fn went_deaf(&mut self) -> Result<(), End> {
        if self.may_repeat && self.wires.to_up.untouched() && !self.spent {
            return Err(End::Again);
        }
        self.deaf = true;
        Ok(())
    }

    /// Upstream to caller.
    fn receive(&mut self, cx: &mut Context<'_>) -> Result<bool, End> {
        let mut moved = false;
        while self.wires.output.pending() < ROOM {
            moved |= match self.phase {
                Phase::Head { seen } => self.take_head(seen)?,
                Phase::Body(..) => self.take_body(),
                _ => false,
            };
            if !matches!(self.phase, Phase::Head { .. } | Phase::Body(..)) {
                return Ok(moved);
            }
            if self.wires.output.pending() >= ROOM {
                return Ok(moved);
            }
            let limit = self.limits.bytes.max(ROOM);
            match self.wires.from_up.poll_fill(&mut self.up, cx, limit) {
                Poll::Ready(Ok(count)) if count > 0 => moved = true,
                Poll::Ready(ended) => {
                    self.upstream_ended(ended.err())?;
                    return Ok(true);
                }
                Poll::Pending => return Ok(moved),
            }
        }
        Ok(moved)
    }

    fn upstream_ended(&mut self, error: Option<io::Error>) -> Result<(), End> {
        let fault = match &error {
            Some(error) if is_tls(error) => Fault::Tls,
            _ => Fault::ConnectionClosed,
        };
        self.reply.keep_up = false;
        match &self.phase {
            Phase::Head { .. } => {
                let repeat = self.may_repeat
                    && self.reply.repeatable
                    && self.wires.from_up.is_empty()
                    && !self.reply.interim;
                Err(if repeat {
                    End::Again
                } else {
                    End::Failed(fault)
                })
            }
            Phase::Body(decoder, encoder) if error.is_none() && decoder.ends_with_connection() => {
                encoder.end(None, &mut self.wires.output.bytes);
                self.phase = Phase::Done;
                Ok(())
            }
            _ => {
                self.phase = Phase::Broken(fault);
                Ok(())
            }
        }
    }

    /// Reads the heads that are there: interim ones and the final one.
    fn take_head(&mut self, mut seen: usize) -> Result<bool, End> {
        let mut moved = false;
        loop {
            let bytes = self.wires.from_up.filled();
            if bytes.is_empty() || bytes.len() == seen || !parse::may_be_whole(bytes, seen) {
                break;
            }
            let fields = &mut self.wires.fields;
            let found = parse::response(bytes, self.limits, fields).map_err(End::Failed)?;
            let Some(head) = found else {
                break;
            };
            seen = 0;
            moved = true;
            self.wires.from_up.consume(head.length);
            let request_done = self.body.0.is_done();
            match self.reply.head(self.wires, &head, request_done) {
                Ok(Head::Interim) => {}
                Ok(Head::Final(decoder, encoder)) => {
                    self.phase = if decoder.is_done() {
                        Phase::Done
                    } else {
                        Phase::Body(decoder, encoder)
                    };
                    self.take_body();
                    return Ok(true);
                }
                Ok(Head::Tunnel) => {
                    self.phase = Phase::Tunnel;
                    return Ok(true);
                }
                Err(fault) => return Err(End::Failed(fault)),
            }
        }
        let seen = self.wires.from_up.len();
        if seen >= self.limits.bytes {
            return Err(End::Failed(Fault::Protocol));
        }
        self.phase = Phase::Head { seen };
        Ok(moved)
    }

    /// Relays what is there of the response's body.
    fn take_body(&mut self) -> bool {
        let mut moved = false;
        while let Phase::Body(decoder, encoder) = &mut self.phase {
            let Wires {
                from_up,
                output,
                fields,
                ..
            } = &mut *self.wires;
            if output.pending() >= ROOM {
                break;
            }
            match decoder.next(from_up.filled(), self.limits.bytes) {
                Ok(Step::Data { skip, length }) => {
                    from_up.consume(skip);
                    let piece = from_up.filled().get(..length).unwrap_or_default();
                    encoder.data(piece, &mut output.bytes);
                    from_up.consume(length);
                    self.reply.received(length);
                    if decoder.is_done() {
                        encoder.end(None, &mut output.bytes);
                        self.phase = Phase::Done;
                    }
                }
                Ok(Step::Trailers { skip, length }) => {
                    from_up.consume(skip);
                    let section = from_up.filled().get(..length).unwrap_or_default();
                    if parse::trailers(section, self.limits, fields).is_ok() {
                        self.reply.trailers(fields);
                        encoder.end(Some(fields), &mut output.bytes);
                        self.phase = Phase::Done;
                    } else {
                        self.phase = Phase::Broken(Fault::Protocol);
                    }
                    from_up.consume(length);
                }
                Ok(Step::End { skip }) => {
                    from_up.consume(skip);
                    encoder.end(None, &mut output.bytes);
                    self.phase = Phase::Done;
                }
                Ok(Step::More { skip }) => {
                    from_up.consume(skip);
                    break;
                }
                Err(_) => {
                    self.reply.keep_up = false;
                    self.phase = Phase::Broken(Fault::Protocol);
                }
            }
            moved = true;
        }
        moved
    }
}
