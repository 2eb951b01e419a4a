//! The way of a request, top to bottom.
//!
//! strip → judge → decide → inject → forward → relay; the record ends with the body.

use std::rc::Rc;
use std::time::Instant;

use bytes::Bytes;
use http::header::{self, HeaderValue};
use http::request::Parts;
use http::{Method, Request, Response, StatusCode, Version};
use http_body::Body as _;
use hyper::body::Incoming;
use hyper::upgrade::OnUpgrade;

use super::activity::Open;
use super::body::{Relay, RequestBody, ResponseBody};
use super::connection::Connection;
use super::exchange::Exchange;
use super::framing;
use super::gate::Gate;
use super::hop::{self, Upgrade};
use super::listener::Listener;
use super::trace::{self, Traced};
use super::tunnel::Tunnel;
use super::upstream::forward::{self, Answer, Begun, CallerFault, Failure, Route};
use super::upstream::{Lease, Need, Version as Spoken};
use super::{refuse, target};
use crate::span::record::{Direction, Fault, Outcome};

/// Serves one request. An error resets the caller's stream with its code.
///
/// Everything up to the first byte to the upstream happens in the call, so that the future that
/// waits for the answer is small: engines move it about.
pub fn serve(
    connection: Rc<Connection>,
    request: Request<Incoming>,
) -> impl Future<Output = Result<Response<ResponseBody>, h2::Error>> {
    let begun = begin(connection, request);
    async move {
        match begun {
            Ok(underway) => underway.finish().await,
            Err(refused) => Ok(*refused),
        }
    }
}

/// A request on its way to the upstream.
struct Underway {
    reply: Reply,
    route: Route,
    begun: Begun,
}

/// strip → judge → decide → inject → send; or the answer to a request that isn't forwarded.
fn begin(
    connection: Rc<Connection>,
    mut request: Request<Incoming>,
) -> Result<Underway, Box<Response<ResponseBody>>> {
    let start = Instant::now();
    let open = connection.activity.begin();
    let listener = connection.slot.current();
    let tunnel = tunnel_promise(&mut request);
    let (mut parts, body) = request.into_parts();
    let mut exchange =
        Exchange::begin(&connection.worker, &listener.counters, &parts.method, start);
    let grpc = is_grpc(&parts);
    let http10 = parts.version == Version::HTTP_10;

    let admitted = admit(&mut parts, &listener, connection.http2);
    let traced = trace::judge(&connection, &listener, &mut parts, &mut exchange);
    let wanted = match admitted {
        Ok(wanted) => wanted,
        Err(fault) => {
            exchange.count_refusal(fault);
            let refused = Outcome::Refused(fault);
            let mut answer = local(fault, refused, grpc, exchange, open);
            if !connection.http2 {
                close(&mut answer);
            }
            return Err(Box::new(answer));
        }
    };
    connection.teller.tell(
        &mut parts.headers,
        listener.settings.forwarded,
        listener.settings.direction,
        traced.trust,
    );
    let (request, gate) = outgoing(parts, body, &wanted, &mut exchange);
    let route = Route {
        upstream: Rc::clone(&listener.upstream),
        need: need(&wanted, connection.http2),
        gate: gate.clone(),
    };
    Ok(Underway {
        begun: route.begin(request),
        route,
        reply: Reply {
            connection,
            exchange,
            open,
            traced,
            wanted,
            tunnel,
            gate,
            grpc,
            http10,
        },
    })
}

impl Underway {
    async fn finish(self) -> Result<Response<ResponseBody>, h2::Error> {
        match self.route.finish(self.begun).await {
            Ok(answer) => Ok(self.reply.relay(answer)),
            Err(failure) => self.reply.fail(failure),
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

/// What the caller wants the exchange to become.
enum Wanted {
    Response,
    Upgrade(HeaderValue),
    Connect,
}

/// Takes hop-by-hop fields off and checks that head and target can be forwarded.
fn admit(parts: &mut Parts, listener: &Listener, http2: bool) -> Result<Wanted, Fault> {
    let connect = parts.method == Method::CONNECT;
    if connect && !listener.settings.allow_connect {
        return Err(Fault::MethodNotAllowed);
    }
    // The engine counts fields of HTTP/1 only; bytes it counts of both.
    if parts.headers.len() > listener.settings.limits.max_headers {
        return Err(Fault::HeadTooLarge);
    }
    framing::check_request(&parts.headers).map_err(|_| Fault::BadRequest)?;
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
    exchange: &mut Exchange,
) -> (Request<RequestBody>, Option<Gate>) {
    if let Wanted::Upgrade(protocol) = wanted {
        hop::ask(&mut parts.headers, protocol.clone());
    }
    let expects = parts
        .headers
        .get(header::EXPECT)
        .is_some_and(|value| value.as_bytes().eq_ignore_ascii_case(b"100-continue"));
    let mut body = RequestBody::relay(body);
    if parts.version == Version::HTTP_2 {
        body.framed();
    }
    if let Some(counter) = exchange.request_counter() {
        body.count(counter);
    }
    let gate = (expects && !body.is_end_stream()).then(Gate::default);
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
    gate: Option<Gate>,
    grpc: bool,
    /// The caller speaks HTTP/1.0.
    http10: bool,
}

impl Reply {
    /// No answer came: the caller gets one made here, or the upstream's reset code.
    fn fail(mut self, failure: Failure) -> Result<Response<ResponseBody>, h2::Error> {
        self.exchange
            .record(|record| record.resends = failure.resends);
        if let Some(fault) = failure.error.as_ref().and_then(forward::caller_fault) {
            return Ok(self.interrupted(&fault));
        }
        let outcome = Outcome::Upstream(failure.fault);
        match failure.error.as_ref().and_then(forward::reset_code) {
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

    /// The caller's body failed: not the upstream's doing, though noticed on the way to it.
    fn interrupted(self, fault: &CallerFault) -> Response<ResponseBody> {
        let outcome = match fault {
            CallerFault::Malformed => {
                self.exchange.count_refusal(Fault::BadRequest);
                Outcome::Refused(Fault::BadRequest)
            }
            CallerFault::Gone => Outcome::Cancelled,
        };
        let fault = Fault::BadRequest;
        let mut answer = local(fault, outcome, self.grpc, self.exchange, self.open);
        if !self.connection.http2 {
            close(&mut answer);
        }
        answer
    }

    fn relay(mut self, answer: Answer) -> Response<ResponseBody> {
        let Answer {
            response,
            lease,
            version,
            resends,
        } = answer;
        let (mut parts, body) = response.into_parts();
        let settled = framing::settle_response(&mut parts.headers);
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
        } else if self.http10 && body.size_hint().exact().is_none() {
            // Only the connection's end can end this body: the engine must not promise to keep it.
            Version::HTTP_10
        } else {
            Version::HTTP_11
        };
        let response = Response::from_parts(parts, body);
        if settled.is_err() {
            return self.broken();
        }
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
        let fault = Fault::Protocol;
        let outcome = Outcome::Upstream(fault);
        local(fault, outcome, false, self.exchange, self.open)
    }

    fn http(self, response: Response<Incoming>, lease: Lease) -> Response<ResponseBody> {
        // A body the caller was told to hold back may come or not.
        let unclear = !matches!(self.wanted, Wanted::Response)
            || self.gate.as_ref().is_some_and(|gate| !gate.is_open());
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

#[cfg(test)]
mod tests {
    use super::*;

    fn future_of<A, B, R>(_: fn(A, B) -> R) -> usize {
        std::mem::size_of::<R>()
    }

    #[test]
    fn a_requests_future_is_small_because_engines_move_it_about() {
        let bytes = future_of(serve);
        assert!(bytes <= 1536, "{bytes} bytes");
    }
}
