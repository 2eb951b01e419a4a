//! The way of a request, top to bottom.
//!
//! strip → judge → decide → inject → forward → relay; the record ends with the body.

use std::rc::Rc;
use std::time::Instant;

use bytes::Bytes;
use http::header::{self, HeaderValue};
use http::request::Parts;
use http::{Method, Request, Response, StatusCode, Version};
use hyper::body::Incoming;
use hyper::upgrade::OnUpgrade;

use super::activity::Open;
use super::body::{Relay, RequestBody, ResponseBody};
use super::connection::Connection;
use super::exchange::Exchange;
use super::gate::Gate;
use super::hop::{self, Upgrade};
use super::listener::Listener;
use super::trace::{self, Traced};
use super::tunnel::Tunnel;
use super::upstream::forward::{self, Answer, Failure};
use super::upstream::{Lease, Need, Version as Spoken};
use super::{refuse, target};
use crate::span::record::{Direction, Fault, Outcome};

/// Serves one request. An error resets the caller's stream with its code.
pub async fn serve(
    connection: Rc<Connection>,
    mut request: Request<Incoming>,
) -> Result<Response<ResponseBody>, h2::Error> {
    let start = Instant::now();
    let open = connection.activity.begin();
    let listener = connection.slot.current();
    let tunnel = tunnel_promise(&mut request);
    let (mut parts, body) = request.into_parts();
    let mut exchange =
        Exchange::begin(&connection.worker, &listener.counters, &parts.method, start);
    let grpc = is_grpc(&parts);

    let admitted = admit(&mut parts, &listener, connection.http2);
    let traced = trace::judge(&connection, &listener, &mut parts, &mut exchange);
    let wanted = match admitted {
        Ok(wanted) => wanted,
        Err(fault) => {
            exchange.count_refusal(fault);
            return Ok(local(fault, Outcome::Refused(fault), grpc, exchange, open));
        }
    };
    connection.teller.tell(
        &mut parts.headers,
        listener.settings.forwarded,
        listener.settings.direction,
        traced.trust,
    );
    let (request, gate) = outgoing(parts, body, &wanted, &traced, &mut exchange);
    let need = match (&wanted, connection.http2) {
        (Wanted::Upgrade(_) | Wanted::Connect, _) => Need::Http1,
        (Wanted::Response, true) => Need::Like(Spoken::Http2),
        (Wanted::Response, false) => Need::Like(Spoken::Http1),
    };
    let forwarded = forward::forward(&listener.upstream, request, need, gate.as_ref()).await;
    match forwarded {
        Ok(answer) => Ok(Reply {
            connection,
            exchange,
            open,
            traced,
            wanted,
            tunnel,
        }
        .relay(answer)),
        Err(failure) => fail(failure, grpc, connection.http2, exchange, open),
    }
}

/// What the caller wants the exchange to become.
enum Wanted {
    Response,
    Upgrade(HeaderValue),
    Connect,
}

/// Takes hop-by-hop fields off and checks that the target can be forwarded.
fn admit(parts: &mut Parts, listener: &Listener, http2: bool) -> Result<Wanted, Fault> {
    let connect = parts.method == Method::CONNECT;
    if connect && !listener.settings.allow_connect {
        return Err(Fault::MethodNotAllowed);
    }
    target::normalise(parts).map_err(|_| Fault::BadTarget)?;
    Ok(match hop::strip_request(&mut parts.headers, !http2) {
        _ if connect => Wanted::Connect,
        Upgrade::To(protocol) => Wanted::Upgrade(protocol),
        Upgrade::None => Wanted::Response,
    })
}

/// The engine's promise of the raw connection, if this request may become a tunnel.
fn tunnel_promise(request: &mut Request<Incoming>) -> Option<OnUpgrade> {
    let may =
        request.method() == Method::CONNECT || request.headers().contains_key(header::UPGRADE);
    may.then(|| hyper::upgrade::on(request))
}

/// The request as it leaves, and the gate its body waits at if the caller expects a word.
fn outgoing(
    mut parts: Parts,
    body: Incoming,
    wanted: &Wanted,
    traced: &Traced,
    exchange: &mut Exchange,
) -> (Request<RequestBody>, Option<Gate>) {
    if let Wanted::Upgrade(protocol) = wanted {
        hop::ask(&mut parts.headers, protocol.clone());
    }
    let expects = parts
        .headers
        .get(header::EXPECT)
        .is_some_and(|value| value.as_bytes().eq_ignore_ascii_case(b"100-continue"));
    let mut body = RequestBody::relay(body, traced.strip_trailers);
    if parts.version == Version::HTTP_2 {
        body.framed();
    }
    if let Some(counter) = exchange.request_counter() {
        body.count(counter);
    }
    let gate = expects.then(Gate::default);
    if let Some(gate) = &gate {
        body.hold(gate.clone());
    }
    let mut request = Request::from_parts(parts, body);
    if let Some(gate) = &gate {
        let gate = gate.clone();
        hyper::ext::on_informational(&mut request, move |response| {
            if response.status() == StatusCode::CONTINUE {
                gate.open();
            }
        });
    }
    (request, gate)
}

/// What an answer is relayed with.
struct Reply {
    connection: Rc<Connection>,
    exchange: Exchange,
    open: Open,
    traced: Traced,
    wanted: Wanted,
    tunnel: Option<OnUpgrade>,
}

impl Reply {
    fn relay(mut self, answer: Answer) -> Response<ResponseBody> {
        let Answer {
            response,
            lease,
            version,
            resends,
        } = answer;
        let (mut parts, body) = response.into_parts();
        let switched = hop::strip_response(&mut parts.headers);
        trace::answered(&self.traced, &mut parts.headers);
        self.exchange
            .answered(parts.status.as_u16(), &parts.headers);
        self.exchange.record(|record| {
            record.resends = resends;
            if record.direction == Direction::Egress {
                record.protocol_version = match version {
                    Spoken::Http1 => "1.1",
                    Spoken::Http2 => "2",
                };
            }
        });
        parts.version = if self.connection.http2 {
            Version::HTTP_2
        } else {
            Version::HTTP_11
        };
        let response = Response::from_parts(parts, body);
        match (&self.wanted, response.status()) {
            (Wanted::Upgrade(_), StatusCode::SWITCHING_PROTOCOLS) => {
                self.tunnel(response, switched)
            }
            (Wanted::Connect, status) if status.is_success() => {
                self.tunnel(response, Upgrade::None)
            }
            (_, StatusCode::SWITCHING_PROTOCOLS) => {
                // Nobody asked: the upstream broke the protocol, its connection is lost.
                let fault = Fault::Protocol;
                local(
                    fault,
                    Outcome::Upstream(fault),
                    false,
                    self.exchange,
                    self.open,
                )
            }
            _ => self.http(response, lease),
        }
    }

    fn http(self, response: Response<Incoming>, lease: Lease) -> Response<ResponseBody> {
        let strip = self.traced.strip_trailers;
        let mut response = response.map(|body| {
            ResponseBody::Relay(Relay::new(body, self.exchange, lease, strip, self.open))
        });
        if !matches!(self.wanted, Wanted::Response) && !self.connection.http2 {
            // Bytes the caller may have sent for the other protocol must not become a request.
            let close = HeaderValue::from_static("close");
            response.headers_mut().insert(header::CONNECTION, close);
        }
        response
    }

    fn tunnel(self, mut response: Response<Incoming>, switched: Upgrade) -> Response<ResponseBody> {
        let upstream = hyper::upgrade::on(&mut response);
        let mut exchange = self.exchange;
        exchange.record(|record| record.upgraded = true);
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
        let mut response = response.map(|_| ResponseBody::Empty);
        if let Upgrade::To(protocol) = switched {
            hop::ask(response.headers_mut(), protocol);
        }
        response
    }
}

/// No answer came: the caller gets one made here, or the upstream's reset code.
fn fail(
    failure: Failure,
    grpc: bool,
    http2: bool,
    mut exchange: Exchange,
    open: Open,
) -> Result<Response<ResponseBody>, h2::Error> {
    exchange.record(|record| record.resends = failure.resends);
    let outcome = Outcome::Upstream(failure.fault);
    let code = failure.error.as_ref().and_then(forward::reset_code);
    match code {
        Some(code) if http2 => {
            exchange.end(outcome);
            Err(code.into())
        }
        _ => Ok(local(failure.fault, outcome, grpc, exchange, open)),
    }
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

/// Whether a request is gRPC's: POST with its content type.
pub fn is_grpc(parts: &Parts) -> bool {
    const TYPE: &[u8] = b"application/grpc";
    parts.method == Method::POST
        && parts
            .headers
            .get(header::CONTENT_TYPE)
            .and_then(|value| value.as_bytes().get(..TYPE.len()))
            .is_some_and(|start| start.eq_ignore_ascii_case(TYPE))
}
