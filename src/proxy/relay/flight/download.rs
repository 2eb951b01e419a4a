//! The response's way: what the upstream sends goes to the caller.

use std::io;
use std::task::{Context, Poll};

use super::{End, Flight, Phase, closed};
use crate::proxy::relay::buffer::ROOM;
use crate::proxy::relay::chunks::Step;
use crate::proxy::relay::reply::Head;
use crate::proxy::relay::{Wires, parse};
use crate::span::record::Fault;

impl Flight<'_> {
    /// Upstream to caller.
    pub(super) fn receive(&mut self, cx: &mut Context<'_>) -> Result<bool, End> {
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
            match self.wires.from_up.poll_fill(&mut self.up.io, cx, limit) {
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
        let fault = closed(error.as_ref());
        self.reply.keep_up = false;
        match &self.phase {
            Phase::Head { .. } => {
                let repeat = self.may_repeat
                    && self.reply.repeatable
                    && self.wires.from_up.is_empty()
                    && self.reply.interim == 0;
                Err(if repeat {
                    End::Again(fault)
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
            output.compact();
            match decoder.next(from_up.filled(), self.limits.bytes) {
                Ok(Step::Data { skip, length }) => {
                    from_up.consume(skip);
                    let piece = from_up.filled().get(..length).unwrap_or_default();
                    encoder.data(piece, &mut output.bytes);
                    self.reply.received(piece);
                    from_up.consume(length);
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
