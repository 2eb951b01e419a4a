//! One request to the upstream, sent anew once where that is safe.
//!
//! Sent anew are: requests no byte of which was written; bodyless requests on streams the
//! upstream declares unprocessed (RFC 9113, section 8.7); idempotent bodyless requests on a
//! reused connection that closed before any byte of a response (RFC 9112, section 9.3.1).

use std::error::Error as _;
use std::rc::Rc;

use http::{Request, Response, header};
use http_body::Body as _;
use hyper::body::Incoming;

use super::{Checkout, Lease, Need, Upstream, Version, connect};
use crate::proxy::body::RequestBody;
use crate::proxy::gate::Gate;
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

struct Broken {
    error: hyper::Error,
    unsent: Option<Request<RequestBody>>,
}

/// Sends a request whose head is complete but for the form of its target.
pub async fn forward(
    upstream: &Rc<Upstream>,
    mut request: Request<RequestBody>,
    need: Need,
    gate: Option<&Gate>,
) -> Result<Answer, Failure> {
    let mut resends = 0;
    loop {
        let fail = |fault| Failure {
            fault,
            error: None,
            resends,
        };
        let checkout = upstream.checkout(need, resends > 0).await.map_err(fail)?;
        let replay = replayable(&request, &checkout);
        let version = match checkout {
            Checkout::Http1(_) => Version::Http1,
            Checkout::Http2(_) => Version::Http2,
        };
        if let (Some(gate), Version::Http2) = (gate, version) {
            // Interim responses don't come through on HTTP/2: there is no word to wait for.
            gate.open();
            request.headers_mut().remove(header::EXPECT);
        }
        let sent = rewrite(upstream, request, version).map_err(fail)?;
        match attempt(sent, checkout).await {
            Ok((response, lease)) => {
                return Ok(Answer {
                    response,
                    lease,
                    version,
                    resends,
                });
            }
            Err(mut broken) => match again(&mut broken, replay) {
                Some(anew) if resends == 0 => request = anew,
                _ => {
                    return Err(Failure {
                        fault: fault(&broken.error),
                        error: Some(broken.error),
                        resends,
                    });
                }
            },
        }
        resends += 1;
    }
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
    target::normalise(&mut parts).map_err(|_| Fault::BadTarget)?;
    // HTTP/1.0 need not name anybody; the versions spoken here must.
    let nobody = !parts.headers.contains_key(header::HOST);
    let host = upstream
        .host()
        .or_else(|| nobody.then(|| upstream.authority()));
    target::rewrite(&mut parts, wire, upstream.tls(), host).map_err(|_| Fault::BadTarget)?;
    if version == Version::Http1 {
        http1::prepare(&mut parts, &body);
    }
    Ok(Request::from_parts(parts, body))
}

async fn attempt(
    request: Request<RequestBody>,
    checkout: Checkout,
) -> Result<(Response<Incoming>, Lease), Broken> {
    let (sent, lease) = match checkout {
        Checkout::Http1(mut checkout) => {
            let sent = checkout.sender.try_send_request(request).await;
            (sent, Lease::Http1(Some(checkout)))
        }
        Checkout::Http2(mut checkout) => {
            let sent = checkout.sender.try_send_request(request).await;
            (
                sent,
                Lease::Http2 {
                    _slot: checkout.slot,
                },
            )
        }
    };
    match sent {
        Ok(response) => Ok((response, lease)),
        Err(mut error) => Err(Broken {
            unsent: error.take_message(),
            error: error.into_error(),
        }),
    }
}

/// A copy of the head, where a second attempt may be allowed at all.
fn replayable(request: &Request<RequestBody>, checkout: &Checkout) -> Option<Request<()>> {
    let may_break = match checkout {
        Checkout::Http1(checkout) => checkout.reused && request.method().is_idempotent(),
        Checkout::Http2(_) => true,
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
    Some(copy)
}

/// The request to send anew, if that is safe.
fn again(broken: &mut Broken, copy: Option<Request<()>>) -> Option<Request<RequestBody>> {
    if let Some(unsent) = broken.unsent.take() {
        return Some(unsent);
    }
    let copy = copy?;
    let safe = match h2_error(&broken.error) {
        Some(error) => unprocessed(error, copy.method().is_idempotent()),
        None => broken.error.is_incomplete_message() && copy.method().is_idempotent(),
    };
    safe.then(|| copy.map(|()| RequestBody::empty()))
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
