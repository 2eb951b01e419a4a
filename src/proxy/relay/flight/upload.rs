//! The request's way: what the caller sends goes to the upstream.

use std::io;
use std::task::{Context, Poll};

use super::{End, Flight, Phase, closed};
use crate::listen::stream::Stream;
use crate::proxy::relay::buffer::ROOM;
use crate::proxy::relay::chunks::Step;
use crate::proxy::relay::{Wires, parse};
use crate::proxy::trailers;

impl Flight<'_> {
    /// Caller to upstream; watches the caller once its request is complete.
    pub(super) fn send(&mut self, cx: &mut Context<'_>) -> Result<bool, End> {
        let mut moved = false;
        loop {
            self.fill_request()?;
            if !self.deaf && !self.wires.to_up.is_drained() {
                match self.wires.to_up.poll_drain(&mut self.up.io, cx) {
                    Ok(drained) => moved |= drained,
                    Err(error) => self.went_deaf(&error)?,
                }
            }
            // A caller whose body waits for a slow upstream isn't read from.
            if !self.body.0.is_done() && (self.deaf || self.wires.to_up.pending() >= ROOM) {
                return Ok(moved);
            }
            let limit = if self.body.0.is_done() {
                self.limits.bytes
            } else {
                // Trailers are read whole.
                ROOM.max(self.limits.bytes)
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
            to_up.compact();
            let step = decoder.next(input.filled(), self.limits.bytes);
            match step.map_err(|_| End::BadBody)? {
                Step::Data { skip, length } => {
                    input.consume(skip);
                    let piece = input.filled().get(..length).unwrap_or_default();
                    encoder.data(piece, &mut to_up.bytes);
                    self.reply.sent(piece);
                    input.consume(length);
                    if decoder.is_done() {
                        encoder.end(None, &mut to_up.bytes);
                    }
                }
                Step::Trailers { skip, length } => {
                    input.consume(skip);
                    let section = input.filled().get(..length).unwrap_or_default();
                    parse::trailers(section, self.limits, fields).map_err(|_| End::BadBody)?;
                    trailers::strip_request(fields, &self.listener.settings);
                    self.reply.sent_trailers();
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
    fn went_deaf(&mut self, error: &io::Error) -> Result<(), End> {
        let silent = matches!(self.phase, Phase::Head { .. })
            && self.wires.from_up.is_empty()
            && self.reply.interim == 0;
        // TLS may have sent a part of what it refuses to have taken.
        let unsent = self.wires.to_up.untouched()
            && !self.spent
            && (self.reply.repeatable || !matches!(self.up.io, Stream::ClientTls(_)));
        if self.may_repeat && silent && unsent {
            return Err(End::Again(closed(Some(error))));
        }
        self.deaf = true;
        Ok(())
    }
}
