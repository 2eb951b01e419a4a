//! One request to the upstream, sent anew once where that is safe.
//!
//! Sent anew are: requests no byte of which was written; bodyless requests on streams the
//! upstream declares unprocessed (RFC 9113, section 8.7); idempotent bodyless requests on a
//! reused connection that closed before any byte of a response (RFC 9112, section 9.3.1).
//!
//! `responseHeaderTimeout` runs from the moment the request has left, body included: a slow
//! upload isn't the upstream's delay.

use std::error::Error as _;
use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::time::Duration;

use http::{Request, Response, header};
use http_body::Body as _;
use hyper::body::Incoming;
use hyper::client::conn::TrySendError;

use super::heard::Ear;
use super::{Checkout, Lease, Need, Upstream, Version, connect};
use crate::proxy::body::{CutOff, RequestBody};
use crate::proxy::gate::Gate;
use crate::proxy::head::Line;
use crate::proxy::{http1, target};
use crate::span::record::Fault;

/// The upstream's answer.
pub struct Answer {
    /// Head and body.
    pub response: Response<Incoming>,
    /// The connection's hold.
    pub lease: Lease,
    /// Version spoken.
    pub version: Version,
    /// Attempts beyond the first.
    pub resends: u8,
}

/// Why there is no answer.
pub struct Failure {
    /// What went wrong.
    pub fault: Fault,
    /// The engine's error, which may carry the upstream's reset code.
    pub error: Option<hyper::Error>,
    /// Attempts beyond the first.
    pub resends: u8,
}

type Sent = Pin<Box<dyn Future<Output = Result<Response<Incoming>, Unsent>>>>;
type Unsent = TrySendError<Request<RequestBody>>;

/// A request on its way: sent, if a connection was at hand.
pub enum Begun {
    /// On a connection.
    Sent(Attempt),
    /// Waits for a connection.
    Waiting(Box<Request<RequestBody>>),
    /// Can't be sent.
    Failed(Fault),
}

/// One attempt. Small: its parts are boxed because a request's future is moved about.
pub struct Attempt {
    sent: Sent,
    /// Resolves when the answer has been waited for too long.
    late: Option<Pin<Box<dyn Future<Output = ()>>>>,
    lease: Lease,
    version: Version,
    replay: Option<Box<Replay>>,
}

/// What a second attempt needs, where one may be allowed at all.
struct Replay {
    head: Request<()>,
    /// Of an HTTP/1.1 connection: silent if no byte of a response came.
    ear: Option<Ear>,
}

/// Where a request goes and what it needs there.
#[derive(Clone)]
pub struct Route {
    /// The upstream.
    pub upstream: Rc<Upstream>,
    /// The connection it needs.
    pub need: Need,
    /// What its body waits for.
    pub gate: Option<Gate>,
}

impl Route {
    /// Sends a request, whose head is complete but for the form of its target, if a connection
    /// is at hand.
    pub fn begin(&self, request: Request<RequestBody>) -> Begun {
        match self.upstream.at_hand(self.need, false) {
            None => Begun::Waiting(Box::new(request)),
            Some(checkout) => match self.attempt(request, checkout) {
                Ok(attempt) => Begun::Sent(attempt),
                Err(fault) => Begun::Failed(fault),
            },
        }
    }

    /// Waits for the answer; sends anew once where that is safe.
    pub async fn finish(self, begun: Begun) -> Result<Answer, Failure> {
        let (request, resends) = match begun {
            Begun::Failed(fault) => return Err(Failure::of(fault, 0)),
            Begun::Waiting(request) => (request, 0),
            Begun::Sent(attempt) => match attempt.answer(0).await {
                Ok(answer) => return Ok(answer),
                Err((failure, None)) => return Err(failure),
                Err((_, Some(anew))) => {
                    self.upstream.dialer.counters().upstream_retried();
                    (anew, 1)
                }
            },
        };
        Box::pin(self.slowly(request, resends)).await
    }

    /// Connects if need be; the first of two attempts may still fail.
    async fn slowly(
        self,
        mut request: Box<Request<RequestBody>>,
        mut resends: u8,
    ) -> Result<Answer, Failure> {
        loop {
            let fail = |fault| Failure::of(fault, resends);
            let again = resends > 0;
            let checkout = match self.upstream.at_hand(self.need, again) {
                Some(checkout) => checkout,
                None => {
                    let made = self.upstream.checkout(self.need, again).await;
                    made.map_err(fail)?
                }
            };
            let attempt = self.attempt(*request, checkout).map_err(fail)?;
            match attempt.answer(resends).await {
                Ok(answer) => return Ok(answer),
                Err((_, Some(anew))) if !again => request = anew,
                Err((failure, _)) => return Err(failure),
            }
            self.upstream.dialer.counters().upstream_retried();
            resends += 1;
        }
    }

    fn attempt(
        &self,
        mut request: Request<RequestBody>,
        checkout: Checkout,
    ) -> Result<Attempt, Fault> {
        let version = match checkout {
            Checkout::Http1(_) => Version::Http1,
            Checkout::Http2(_) => Version::Http2,
        };
        if let (Some(gate), Version::Http2) = (&self.gate, version) {
            // Interim responses don't come through on HTTP/2: there is no word to wait for.
            gate.open();
            request.headers_mut().remove(header::EXPECT);
        }
        let replay = replayable(&request, &checkout);
        let mut request = rewrite(&self.upstream, request, version)?;
        let patience = self.upstream.settings.response_header_timeout;
        let late = patience.map(|patience| late(request.body_mut(), patience));
        let (sent, lease): (Sent, _) = match checkout {
            Checkout::Http1(mut checkout) => (
                Box::pin(checkout.sender.try_send_request(request)),
                Lease::Http1(Some(checkout)),
            ),
            Checkout::Http2(mut checkout) => (
                Box::pin(checkout.sender.try_send_request(request)),
                Lease::Http2 {
                    _slot: checkout.slot,
                },
            ),
        };
        Ok(Attempt {
            sent,
            late,
            lease,
            version,
            replay,
        })
    }
}

impl Failure {
    const fn of(fault: Fault, resends: u8) -> Self {
        Self {
            fault,
            error: None,
            resends,
        }
    }
}

impl Attempt {
    /// The answer, or why there is none and the request to send anew if that is safe.
    async fn answer(
        self,
        resends: u8,
    ) -> Result<Answer, (Failure, Option<Box<Request<RequestBody>>>)> {
        let sent = match self.late {
            None => self.sent.await,
            Some(late) => tokio::select! {
                biased;
                sent = self.sent => sent,
                () = late => {
                    return Err((Failure::of(Fault::ResponseHeaderTimeout, resends), None));
                }
            },
        };
        match sent {
            Ok(response) => Ok(Answer {
                response,
                lease: self.lease,
                version: self.version,
                resends,
            }),
            Err(mut unsent) => {
                let message = unsent.take_message();
                let error = unsent.into_error();
                let anew = match message {
                    Some(unsent) => Some(Box::new(unsent)),
                    None => again(&error, self.replay),
                };
                let failure = Failure {
                    fault: fault(&error),
                    error: Some(error),
                    resends,
                };
                Err((failure, anew))
            }
        }
    }
}

fn late(body: &mut RequestBody, patience: Duration) -> Pin<Box<dyn Future<Output = ()>>> {
    let left = body.left();
    Box::pin(async move {
        // An error says that the body is gone, which is what is waited for.
        let _ = left.await;
        tokio::time::sleep(patience).await;
    })
}

fn rewrite(
    upstream: &Upstream,
    request: Request<RequestBody>,
    version: Version,
) -> Result<Request<RequestBody>, Fault> {
    let (mut parts, body) = request.into_parts();
    let wire = match version {
        Version::Http1 => http::Version::HTTP_11,
        Version::Http2 => http::Version::HTTP_2,
    };
    // A second attempt starts from the form the first one left behind.
    let (line, headers) = Line::split(&mut parts);
    target::normalise(line, headers).map_err(|_| Fault::BadTarget)?;
    // HTTP/1.0 need not name anybody; the versions spoken here must.
    let nobody = !parts.headers.contains_key(header::HOST);
    let host = upstream
        .host()
        .or_else(|| nobody.then(|| upstream.authority()));
    target::rewrite(&mut parts, wire, upstream.tls(), host).map_err(|_| Fault::BadTarget)?;
    if version == Version::Http1 {
        http1::prepare(&parts.method, &mut parts.headers, body.is_end_stream());
    }
    Ok(Request::from_parts(parts, body))
}

/// A copy of the head, where a second attempt may be allowed at all.
fn replayable(request: &Request<RequestBody>, checkout: &Checkout) -> Option<Box<Replay>> {
    let (may_break, ear) = match checkout {
        Checkout::Http1(checkout) => (
            checkout.reused && request.method().is_idempotent(),
            Some(checkout.ear.clone()),
        ),
        Checkout::Http2(_) => (true, None),
    };
    if !may_break || !request.body().is_end_stream() {
        return None;
    }
    let mut copy = Request::new(());
    *copy.method_mut() = request.method().clone();
    *copy.uri_mut() = request.uri().clone();
    *copy.version_mut() = request.version();
    *copy.headers_mut() = request.headers().clone();
    *copy.extensions_mut() = request.extensions().clone();
    Some(Box::new(Replay { head: copy, ear }))
}

/// The request to send anew, if that is safe after this error.
fn again(error: &hyper::Error, replay: Option<Box<Replay>>) -> Option<Box<Request<RequestBody>>> {
    let Replay { head, ear } = *replay?;
    let safe = match (h2_error(error), ear) {
        (Some(error), _) => unprocessed(error, head.method().is_idempotent()),
        // It may have been closed or reset: a word would tell that the request was read.
        (None, Some(ear)) => !ear.heard(),
        (None, None) => false,
    };
    safe.then(|| Box::new(head.map(|()| RequestBody::empty())))
}

/// Whether the upstream declared the stream unprocessed.
///
/// A GOAWAY with a fault may reach streams below its last id too, when the connection then
/// closes: only a graceful one speaks for requests that aren't idempotent.
fn unprocessed(error: &h2::Error, idempotent: bool) -> bool {
    let refused = error.is_reset() && error.reason() == Some(h2::Reason::REFUSED_STREAM);
    let graceful = error.reason() == Some(h2::Reason::NO_ERROR);
    error.is_remote() && (refused || (error.is_go_away() && (graceful || idempotent)))
}

/// The HTTP/2 error beneath the engine's, if there is one.
pub fn h2_error(error: &hyper::Error) -> Option<&h2::Error> {
    beneath(error)
}

/// What failed was the caller's body, not the upstream.
pub enum CallerFault {
    /// It isn't HTTP.
    Malformed,
    /// It ended early, with the caller.
    Gone,
}

/// Whether a request failed for its own body.
pub fn caller_fault(error: &hyper::Error) -> Option<CallerFault> {
    // On HTTP/2 all that is left of the body's error is the reset sent for it.
    let ours = |error: &h2::Error| error.is_reset() && !error.is_remote() && !error.is_library();
    match beneath::<CutOff>(error) {
        Some(body) if body.malformed => Some(CallerFault::Malformed),
        Some(_) => Some(CallerFault::Gone),
        None => h2_error(error)
            .is_some_and(ours)
            .then_some(CallerFault::Gone),
    }
}

/// The first error of a type among the causes of the engine's.
fn beneath<E: std::error::Error + 'static>(error: &hyper::Error) -> Option<&E> {
    let mut source = error.source();
    while let Some(cause) = source {
        if let Some(found) = cause.downcast_ref() {
            return Some(found);
        }
        source = cause.source();
    }
    None
}

/// The code to reset the caller's stream with: the upstream's own, or REFUSED_STREAM if the
/// upstream took leave without having processed the request (RFC 9113, section 8.7): then the
/// caller may send it again, which is not possible here once a body has been relayed.
pub fn reset_code(error: &hyper::Error) -> Option<h2::Reason> {
    let error = h2_error(error)?;
    if error.is_reset() {
        return error.reason();
    }
    unprocessed(error, false).then_some(h2::Reason::REFUSED_STREAM)
}

/// What an engine's error says of the upstream.
pub fn fault(error: &hyper::Error) -> Fault {
    match h2_error(error) {
        Some(error) if error.is_reset() => Fault::StreamReset,
        Some(error) if error.is_library() => Fault::Protocol,
        Some(_) => Fault::ConnectionClosed,
        None if error.is_parse() => Fault::Protocol,
        None if beneath(error).is_some_and(connect::is_tls) => Fault::Tls,
        None => Fault::ConnectionClosed,
    }
}
