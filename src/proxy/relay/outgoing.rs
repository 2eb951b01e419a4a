//! One request: through the pipeline, to the upstream, and its answer back.

use std::future::{Future, poll_fn};
use std::rc::Rc;
use std::task::Poll;
use std::time::Instant;

use http::header::{self, HeaderValue};
use http::{Method, Version};

use super::chunks::{Decoder, Encoder};
use super::fields::Fields;
use super::flight::{End, Flight};
use super::reply::{self, Reply};
use super::{Next, Relay, Wires, parse, refusal, rewrite};
use crate::listen::stream::{Prefixed, Stream};
use crate::proxy::exchange::Exchange;
use crate::proxy::framing::{self, Length};
use crate::proxy::head::{Head as _, Line};
use crate::proxy::http1;
use crate::proxy::listener::Listener;
use crate::proxy::pipeline::{self, Passed, Wanted};
use crate::proxy::tunnel;
use crate::proxy::upstream::{Upstream, raw};
use crate::span::record::{Fault, Outcome};

impl Relay {
    /// Serves one request, whose head was read.
    pub(super) async fn exchange(&mut self, request: parse::Request) -> Next {
        let start = Instant::now();
        let open = self.connection.activity.begin();
        // Never the settings of before: whom they trusted may not be trusted any more.
        self.listener = self.connection.slot.current();
        if !self.listener.speaks_http1() {
            // The next one is for the other engine, on another connection.
            self.finishing.set(true);
        }
        let listener = Rc::clone(&self.listener);
        let mut exchange = Exchange::begin(
            &self.connection.worker,
            &listener.counters,
            &request.method,
            start,
        );
        let line = request.line();
        let fields = &mut self.wires.fields;
        let http10 = request.version == Version::HTTP_10;
        let grpc = line.is_grpc(fields);
        let keep = reply::keeps(fields, http10);
        let waits = !http10
            && fields
                .first(&header::EXPECT)
                .is_some_and(|value| value.eq_ignore_ascii_case(b"100-continue"));
        let length = framing::request_length(fields, request.version);
        let passed = pipeline::request(&self.connection, &listener, line, fields, &mut exchange);
        let bare = matches!(length, Ok(Length::None));
        let (passed, length) = match framed(passed, length, line, &exchange) {
            Ok(framed) => framed,
            Err(fault) => {
                // Whoever isn't known goes on with another credential, if nothing is left unread.
                let goes_on = fault == Fault::Unauthorized && bare && keep && !self.finishing.get();
                let to = refusal::To {
                    http10,
                    grpc,
                    head: request.method == Method::HEAD,
                    close: !goes_on,
                };
                refusal::answer(&mut self.wires, fault, to, &mut exchange);
                exchange.end(Outcome::Refused(fault));
                drop(open);
                return if goes_on { Next::Request } else { Next::Linger };
            }
        };
        let Passed {
            wanted,
            traced,
            upstream,
        } = passed;
        self.wires.to_up.clear();
        write_head(line, fields, &upstream, length, &mut self.wires.to_up.bytes);
        let counter = exchange.leaves();
        let reply = Reply {
            exchange,
            open,
            traced,
            counter,
            to_head: request.method == Method::HEAD,
            http10,
            grpc,
            waits: waits && length != Length::None,
            repeatable: request.method.is_idempotent() && length == Length::None,
            keep: keep && matches!(wanted, Wanted::Response),
            keep_up: false,
            interim: 0,
            finishing: Rc::clone(&self.finishing),
            wanted,
        };
        self.carry(reply, length, &listener, &upstream).await
    }

    /// Sends the request, anew once where that is safe, and relays the answer.
    async fn carry(
        &mut self,
        mut reply: Reply,
        length: Length,
        listener: &Listener,
        upstream: &Upstream,
    ) -> Next {
        let encoder = match length {
            Length::Chunked => Encoder::Chunked,
            _ => Encoder::Plain,
        };
        let mut body = (Decoder::new(length), encoder);
        let mut again = false;
        let mut deadline = None;
        loop {
            let kept = if again { None } else { upstream.raw().take() };
            let may_repeat = kept.is_some();
            let watch = body.0.is_done().then_some(self.limits.bytes);
            let up = match kept {
                Some(kept) => Ok(kept),
                None => dial(upstream, &mut self.wires, watch).await,
            };
            let via = up.as_ref().ok().map(|up| up.via);
            reply.exchange.reached(via, &listener.settings);
            let up = match up {
                Ok(up) => up,
                Err(end) => return self.failed(end, reply, body.0.is_done(), false),
            };
            self.wires.from_up.clear();
            let limits = upstream.head_limits();
            let mut flight = Flight::new(
                &mut self.wires,
                up,
                &mut reply,
                listener,
                limits,
                &mut body,
                may_repeat,
            );
            flight.patience = upstream.settings().response_header_timeout;
            flight.deadline = deadline.take();
            let end = poll_fn(|cx| flight.poll(cx)).await;
            let sent = flight.request_done();
            match end {
                End::Again(fault) => {
                    again = true;
                    // It bounds both attempts.
                    deadline = flight.deadline.take();
                    listener.counters.upstream_retried();
                    self.renew(&mut reply.exchange, listener, fault);
                }
                End::Done => {
                    if flight.reusable() {
                        upstream.raw().put(flight.up);
                    }
                    return match (reply.keep, sent) {
                        (true, true) => Next::Request,
                        (false, true) => Next::Close,
                        _ => Next::Linger,
                    };
                }
                End::Tunnel => {
                    let up = flight.up.io;
                    self.tunnel(up, reply).await;
                    return Next::Drop;
                }
                _ => {
                    let answered = flight.answered();
                    return self.failed(end, reply, sent, answered);
                }
            }
        }
    }

    /// What was written goes once more, in the context of the next attempt.
    fn renew(&mut self, exchange: &mut Exchange, listener: &Listener, fault: Fault) {
        let to_up = &mut self.wires.to_up;
        to_up.rewind();
        if let Some(context) = pipeline::next_attempt(exchange, listener, fault) {
            for format in listener.settings.propagation.inject() {
                format.write(&context, &mut |name, value| {
                    rewrite::field(&mut to_up.bytes, name.as_str(), value);
                });
            }
        }
    }

    /// There is no response, or not all of it.
    fn failed(&mut self, end: End, mut reply: Reply, sent: bool, answered: bool) -> Next {
        let (fault, outcome) = match end {
            End::Failed(fault) => (fault, Outcome::Upstream(fault)),
            End::BadBody => (Fault::BadRequest, Outcome::Refused(Fault::BadRequest)),
            End::Broken(fault) => {
                reply.exchange.end(Outcome::Upstream(fault));
                return Next::Drop;
            }
            _ => {
                reply.exchange.end(Outcome::Cancelled);
                return Next::Drop;
            }
        };
        if end == End::BadBody {
            reply.exchange.count_refusal(fault);
        }
        if answered {
            reply.exchange.end(outcome);
            return Next::Drop;
        }
        // Behind a malformed body nobody knows where the next request begins.
        let keep = reply.keep && sent && end != End::BadBody && !self.finishing.get();
        let to = refusal::To {
            http10: reply.http10,
            grpc: reply.grpc,
            head: reply.to_head,
            close: !keep,
        };
        refusal::answer(&mut self.wires, fault, to, &mut reply.exchange);
        reply.exchange.end(outcome);
        if keep { Next::Request } else { Next::Linger }
    }

    /// Bytes go both ways until both sides have ended; either may end its own first.
    async fn tunnel(&mut self, up: Stream, reply: Reply) {
        let mut exchange = reply.exchange;
        exchange.upgraded();
        let wires = &mut self.wires;
        let mut up = Prefixed::with(wires.from_up.take(), up);
        let mut caller = Prefixed::with(wires.input.take(), &mut wires.caller);
        tunnel::copy(&mut caller, &mut up, &mut exchange).await;
        drop(reply.open);
    }
}

/// What the pipeline let through, if it also says clearly how long it is.
fn framed(
    passed: Result<Passed, Fault>,
    length: Result<Length, framing::Ambiguous>,
    line: Line<'_>,
    exchange: &Exchange,
) -> Result<(Passed, Length), Fault> {
    let passed = passed?;
    let fault = match length {
        Err(_) => Fault::BadRequest,
        Ok(length) if *line.method == Method::CONNECT && length != Length::None => {
            Fault::BadRequest
        }
        Ok(_) if *line.method == Method::CONNECT && line.uri.authority().is_none() => {
            Fault::BadTarget
        }
        Ok(length) => return Ok((passed, length)),
    };
    exchange.count_refusal(fault);
    Err(fault)
}

/// Writes the head as the upstream gets it.
fn write_head(
    line: Line<'_>,
    fields: &mut Fields,
    upstream: &Upstream,
    length: Length,
    out: &mut Vec<u8>,
) {
    let nobody = !fields.has(&header::HOST);
    let host: Option<&HeaderValue> = upstream.host();
    if let Some(host) = host.or_else(|| nobody.then(|| upstream.authority())) {
        fields.set(header::HOST, host.clone());
    }
    http1::prepare(line.method, fields, length == Length::None);
    out.extend_from_slice(line.method.as_str().as_bytes());
    out.push(b' ');
    let target = match (line.uri.authority(), line.uri.path_and_query()) {
        (Some(authority), _) if *line.method == Method::CONNECT => authority.as_str(),
        (_, Some(path)) => path.as_str(),
        _ => "/",
    };
    if target.starts_with('?') {
        out.push(b'/');
    }
    out.extend_from_slice(target.as_bytes());
    out.extend_from_slice(b" HTTP/1.1\r\n");
    fields.write(out);
    out.extend_from_slice(b"\r\n");
}

/// Connects, while the caller stays; it is watched where its request is complete.
async fn dial(
    upstream: &Upstream,
    wires: &mut Wires,
    watch: Option<usize>,
) -> Result<Box<raw::Connection>, End> {
    let mut dialing = Box::pin(upstream.dial_raw());
    poll_fn(|cx| {
        loop {
            if let Poll::Ready(dialed) = dialing.as_mut().poll(cx) {
                return Poll::Ready(dialed.map_err(End::Failed));
            }
            let Some(limit) = watch else {
                return Poll::Pending;
            };
            match wires.poll_input(cx, limit) {
                Poll::Ready(true) => {}
                Poll::Ready(false) => return Poll::Ready(Err(End::Gone)),
                Poll::Pending => return Poll::Pending,
            }
        }
    })
    .await
}
