//! The way of a request, top to bottom.
//!
//! strip → judge → decide → inject → forward → relay; the record ends with the body.

use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};
use std::time::Instant;

use bytes::Bytes;
use http::header::{self, HeaderValue};
use http::request::Parts;
use http::{Method, Request, Response, StatusCode, Version};
use http_body::Body as _;

use super::activity::Open;
use super::body::{Incoming, Relay, RequestBody, ResponseBody};
use super::connection::Connection;
use super::exchange::Exchange;
use super::gate::Gate;
use super::head::Line;
use super::hop::{self, Upgrade};
use super::listener::Listener;
use super::pipeline::{self, Passed, Wanted};
use super::refuse;
use super::trace::Traced;
use super::tunnel::{Promise, Tunnel};
use super::upstream::error::EngineError;
use super::upstream::forward::{Answer, Arrived, Failure, Flight, Route};
use super::upstream::{Lease, Need, Version as Spoken};
use crate::span::record::{Fault, Outcome};

/// What the caller's engine can do for a request beyond answering it.
pub struct Asked {
    /// Its raw bytes, if it may become a tunnel.
    pub tunnel: Option<Promise>,
    /// Whether it relays interim responses ([`Said::Interim`]).
    pub interim: bool,
}

impl Asked {
    /// Over HTTP/1, where the engine sends interim responses of its own accord only.
    pub fn over_http1(request: &mut Request<hyper::body::Incoming>) -> Self {
        let may =
            request.method() == Method::CONNECT || request.headers().contains_key(header::UPGRADE);
        Self {
            tunnel: may.then(|| Promise::Http1(hyper::upgrade::on(request))),
            interim: false,
        }
    }
}

/// Serves one request. An error resets the caller's stream with its code.
///
/// Everything up to the first byte to the upstream happens in the call, so that what waits for
/// the answer is small: engines move it about, and there is one per open stream.
pub fn serve(connection: Rc<Connection>, head: Parts, body: Incoming, asked: Asked) -> Serving {
    match begin(connection, head, body, asked) {
        Ok(underway) => Serving::Underway(underway),
        Err(refused) => Serving::Refused(Some(refused)),
    }
}

/// A request being served; resolves with its answer.
pub enum Serving {
    /// On its way to the upstream.
    Underway(Box<Underway>),
    /// Isn't forwarded.
    Refused(Option<Box<Response<ResponseBody>>>),
}

/// A request on its way to the upstream, and what its answer is relayed with.
pub struct Underway {
    flight: Flight,
    reply: Option<Reply>,
}

/// strip → judge → decide → inject → send; or the answer to a request that isn't forwarded.
fn begin(
    connection: Rc<Connection>,
    mut parts: Parts,
    body: Incoming,
    asked: Asked,
) -> Result<Box<Underway>, Box<Response<ResponseBody>>> {
    let start = Instant::now();
    let open = connection.activity.begin();
    let listener = connection.slot.current();
    let mut exchange =
        Exchange::begin(&connection.worker, &listener.counters, &parts.method, start);
    let http10 = parts.version == Version::HTTP_10;
    let (line, headers) = Line::split(&mut parts);
    let grpc = line.is_grpc(headers);

    let passed = pipeline::request(&connection, &listener, line, headers, &mut exchange);
    let Passed {
        wanted,
        traced,
        upstream,
    } = match passed {
        Ok(passed) => passed,
        Err(fault) => {
            let mut answer = local(fault, Outcome::Refused(fault), grpc, exchange, open);
            // Whoever isn't known goes on with another credential, if nothing is left unread.
            let goes_on = fault == Fault::Unauthorized && body.is_end_stream();
            if !connection.http2 && !goes_on {
                close(&mut answer);
            }
            return Err(Box::new(answer));
        }
    };
    // A caller of HTTP/2 hears the upstream's word itself.
    let waits = !connection.http2 && expects(&parts);
    let (body, gate) = RequestBody::leaving(body, &listener, waits, &mut exchange);
    let route = Route {
        patience: upstream.settings().response_header_timeout,
        upstream,
        need: need(&wanted, connection.http2),
        gate: gate.clone(),
        tells: asked.interim,
    };
    Ok(Box::new(Underway {
        flight: route.begin(parts, body),
        reply: Some(Reply {
            connection,
            listener,
            exchange,
            open,
            traced,
            wanted,
            tunnel: asked.tunnel,
            gate,
            grpc,
            http10,
        }),
    }))
}

/// What there is to say to the caller.
#[expect(clippy::large_enum_variant, reason = "handed on at once, never kept")]
pub enum Said {
    /// An interim response; more comes.
    Interim(Response<()>),
    /// The answer; an error resets the caller's stream with its code.
    Answer(Result<Response<ResponseBody>, h2::Error>),
}

impl Serving {
    /// Ready with the answer, or with what comes before it if [`Asked::interim`] says so.
    pub fn poll_said(&mut self, cx: &mut Context<'_>) -> Poll<Said> {
        let Underway { flight, reply } = match self {
            Self::Underway(underway) => &mut **underway,
            Self::Refused(refused) => {
                return match refused.take() {
                    Some(refused) => Poll::Ready(Said::Answer(Ok(*refused))),
                    None => Poll::Pending,
                };
            }
        };
        let Some(waiting) = reply else {
            return Poll::Pending;
        };
        loop {
            match ready!(flight.poll(cx)) {
                Arrived::Interim(mut head) => {
                    waiting.exchange.interim(head.status().as_u16());
                    pipeline::interim(head.headers_mut(), &waiting.traced);
                    return Poll::Ready(Said::Interim(head));
                }
                Arrived::Again(mut again) => {
                    let headers = &mut again.request.0.headers;
                    let (connection, listener) = (&waiting.connection, &waiting.listener);
                    waiting.exchange.reached(again.via, &listener.settings);
                    let exchange = &mut waiting.exchange;
                    pipeline::resend(connection, listener, headers, again.fault, exchange);
                    flight.resend(again);
                }
                Arrived::Answer(answer) => {
                    return match reply.take() {
                        Some(reply) => Poll::Ready(Said::Answer(Ok(reply.relay(answer)))),
                        None => Poll::Pending,
                    };
                }
                Arrived::Failure(failure) => {
                    return match reply.take() {
                        Some(reply) => Poll::Ready(Said::Answer(reply.fail(failure))),
                        None => Poll::Pending,
                    };
                }
            }
        }
    }
}

impl Future for Serving {
    type Output = Result<Response<ResponseBody>, h2::Error>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.get_mut();
        loop {
            if let Said::Answer(answer) = ready!(this.poll_said(cx)) {
                return Poll::Ready(answer);
            }
        }
    }
}

/// Upgrades need HTTP/1.1; anything else goes out as it came, unless configured otherwise.
const fn need(wanted: &Wanted, http2: bool) -> Need {
    match (wanted, http2) {
        (Wanted::Upgrade(_) | Wanted::Connect, _) => Need::Http1,
        (Wanted::Response, true) => Need::Like(Spoken::Http2),
        (Wanted::Response, false) => Need::Like(Spoken::Http1),
    }
}

/// Whether the caller waits for a word before it sends its body.
fn expects(head: &Parts) -> bool {
    head.headers
        .get(header::EXPECT)
        .is_some_and(|value| value.as_bytes().eq_ignore_ascii_case(b"100-continue"))
}

/// What an answer is relayed with.
struct Reply {
    connection: Rc<Connection>,
    /// As it was when the request came.
    listener: Rc<Listener>,
    exchange: Exchange,
    open: Open,
    traced: Traced,
    wanted: Wanted,
    tunnel: Option<Promise>,
    gate: Option<Gate>,
    grpc: bool,
    /// The caller speaks HTTP/1.0.
    http10: bool,
}

impl Reply {
    /// No answer came: the caller gets one made here, or the upstream's reset code.
    fn fail(mut self, failure: Failure) -> Result<Response<ResponseBody>, h2::Error> {
        self.exchange.reached(failure.via, &self.listener.settings);
        if let Some((fault, outcome)) = failure.callers() {
            return Ok(self.interrupted(fault, outcome));
        }
        let outcome = Outcome::Upstream(failure.fault);
        match failure.error.as_ref().and_then(EngineError::reset_code) {
            Some(code) if self.connection.http2 => {
                self.exchange.end(outcome);
                Err(code.into())
            }
            _ => Ok(local(
                failure.fault,
                outcome,
                self.grpc,
                self.exchange,
                self.open,
            )),
        }
    }

    /// Not the upstream's doing, though noticed on the way to it.
    fn interrupted(self, fault: Fault, outcome: Outcome) -> Response<ResponseBody> {
        if matches!(outcome, Outcome::Refused(_)) {
            self.exchange.count_refusal(fault);
        }
        let mut answer = local(fault, outcome, self.grpc, self.exchange, self.open);
        if !self.connection.http2 {
            close(&mut answer);
        }
        answer
    }

    fn relay(mut self, answer: Answer) -> Response<ResponseBody> {
        let lease = answer.lease;
        self.exchange.reached(lease.via(), &self.listener.settings);
        let version = answer.version;
        let (mut parts, body) = answer.response.into_parts();
        let settled = pipeline::response(
            parts.status.as_u16(),
            &mut parts.headers,
            &self.traced,
            version,
            &mut self.exchange,
        );
        parts.version = if self.connection.http2 {
            Version::HTTP_2
        } else if self.http10 && body.size_hint().exact().is_none() {
            // Only the connection's end can end this body: the engine must not promise to keep it.
            Version::HTTP_10
        } else {
            Version::HTTP_11
        };
        let response = Response::from_parts(parts, body);
        let Ok(switched) = settled else {
            return self.broken();
        };
        match (&self.wanted, response.status()) {
            (Wanted::Upgrade(_), StatusCode::SWITCHING_PROTOCOLS) => {
                self.tunnel(response, switched)
            }
            (Wanted::Connect, status) if status.is_success() => {
                self.tunnel(response, Upgrade::None)
            }
            (_, StatusCode::SWITCHING_PROTOCOLS) => {
                // Nobody asked.
                self.broken()
            }
            _ => self.http(response, lease),
        }
    }

    /// The upstream broke the protocol; its connection is lost.
    fn broken(self) -> Response<ResponseBody> {
        let outcome = Outcome::Upstream(Fault::Protocol);
        local(Fault::Protocol, outcome, false, self.exchange, self.open)
    }

    fn http(mut self, response: Response<Incoming>, lease: Lease) -> Response<ResponseBody> {
        // A body the caller was told to hold back may come or not.
        let unclear = !matches!(self.wanted, Wanted::Response)
            || self.gate.as_ref().is_some_and(|gate| !gate.is_open());
        self.exchange.by_trailers =
            self.grpc && self.connection.http2 && refuse::ends_by_grpc_trailers(response.headers());
        let mut response = response.map(|body| {
            ResponseBody::Relay(Relay::new(
                body,
                self.exchange,
                lease,
                self.gate,
                self.traced,
                self.open,
            ))
        });
        if unclear && !self.connection.http2 {
            close(&mut response);
        }
        response
    }

    fn tunnel(self, mut response: Response<Incoming>, switched: Upgrade) -> Response<ResponseBody> {
        let upstream = hyper::upgrade::on(&mut response);
        let mut exchange = self.exchange;
        exchange.upgraded();
        let Some(caller) = self.tunnel else {
            let fault = Fault::Internal;
            return local(fault, Outcome::Refused(fault), false, exchange, self.open);
        };
        Tunnel {
            caller,
            upstream,
            exchange,
            connection: self.connection,
            open: self.open,
        }
        .spawn();
        let mut response = response.map(|_| ResponseBody::Tunnel);
        if let Upgrade::To(protocol) = switched {
            hop::ask(response.headers_mut(), protocol);
        }
        response
    }
}

/// Makes an answer the connection's last one: what the caller sent behind a request that was
/// refused, or meant for another protocol, must not become a request.
fn close(response: &mut Response<ResponseBody>) {
    let close = HeaderValue::from_static("close");
    response.headers_mut().insert(header::CONNECTION, close);
}

/// An answer made here.
fn local(
    fault: Fault,
    outcome: Outcome,
    grpc: bool,
    mut exchange: Exchange,
    open: Open,
) -> Response<ResponseBody> {
    let response: Response<Option<Bytes>> = refuse::answer(fault, grpc, refuse::text(fault));
    exchange.answered(response.status().as_u16(), response.headers());
    exchange.end(outcome);
    response.map(|bytes| ResponseBody::Local { bytes, _open: open })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_waits_for_an_answer_is_small_because_there_is_one_per_open_stream() {
        let bytes = std::mem::size_of::<Underway>();
        assert!(bytes <= 384, "{bytes} bytes");
    }
}
