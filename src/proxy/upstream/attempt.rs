//! One attempt to have a request answered: sent, and its answer awaited.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use h2::client::ResponseFuture;
use http::request::Parts;
use http::{Request, Response, StatusCode, header};
use http_body::Body as _;
use hyper::client::conn::TrySendError;
use tokio::task::AbortHandle;

use super::error::EngineError;
use super::forward::{Answer, Route};
use super::heard::Ear;
use super::patience::Patience;
use super::saved::Saved;
use super::via::Via;
use super::{Checkout, Lease, Upstream, Version};
use crate::proxy::body::{Incoming, RequestBody, Tape};
use crate::proxy::http2::frames::Frames;
use crate::proxy::http2::pump::Pump;
use crate::proxy::interim::{Interim, MOST};
use crate::proxy::{http1, local, target};
use crate::span::record::Fault;

/// A request that was sent. What few requests need is boxed.
pub struct Attempt {
    sent: Sent,
    /// Resolves when the answer has been waited for too long.
    late: Option<Box<Patience>>,
    lease: Lease,
    replay: Option<Box<Replay>>,
}

type Http1Answer = Result<Response<hyper::body::Incoming>, TrySendError<Request<RequestBody>>>;

/// An answer that is awaited.
enum Sent {
    Http1(Pin<Box<dyn Future<Output = Http1Answer>>>, Option<Interim>),
    /// With the number of interim responses that have come.
    Http2(ResponseFuture, Option<Sending>, u8),
}

/// A request's body on its way over HTTP/2; taken back when dropped before there is an answer.
struct Sending(Option<AbortHandle>);

impl Sending {
    /// There is an answer: what is left of the body goes on being sent.
    fn goes_on(&mut self) {
        self.0 = None;
    }
}

impl Drop for Sending {
    fn drop(&mut self) {
        if let Some(task) = &self.0 {
            task.abort();
        }
    }
}

/// What a second attempt needs, where one may be allowed at all.
struct Replay {
    head: Head,
    /// The body, if there is one.
    tape: Option<Tape>,
    /// Of an HTTP/1.1 connection: silent if no byte of a response came.
    ear: Option<Ear>,
    /// The connection has carried a request before.
    reused: bool,
}

enum Head {
    /// With what an engine of HTTP/1 hangs on to it.
    Whole(Box<Parts>),
    Saved(Saved),
}

/// What an engine has to say of a request.
enum Arrived {
    Interim(Response<()>),
    Answer(Response<Incoming>),
    /// And the request, if nothing of it was sent.
    Error(EngineError, Option<Request<RequestBody>>),
    /// More interim responses than anybody has use for.
    Flood,
}

/// What has come of an attempt.
pub enum Step {
    /// An interim response; more comes.
    Interim(Response<()>),
    /// The answer.
    Answer(Response<Incoming>),
    /// There is none.
    None(Unanswered),
}

/// Why there is no answer.
pub struct Unanswered {
    /// What went wrong.
    pub fault: Fault,
    /// The engine's error.
    pub error: Option<EngineError>,
    /// The request to send anew, if that is safe.
    pub anew: Option<Box<(Parts, RequestBody)>>,
}

impl Unanswered {
    const fn of(fault: Fault) -> Self {
        Self {
            fault,
            error: None,
            anew: None,
        }
    }
}

impl Attempt {
    /// Sends a request on a connection.
    pub fn begin(
        route: &Route,
        mut head: Parts,
        mut body: RequestBody,
        checkout: Checkout,
    ) -> Result<Self, Fault> {
        let version = match checkout {
            Checkout::Http1(_) => Version::Http1,
            Checkout::Http2(_) => Version::Http2,
        };
        if let (Some(gate), Version::Http2) = (&route.gate, version) {
            // This caller's engine says when the body is read, not when the upstream wants it.
            gate.open();
            head.headers.remove(header::EXPECT);
        }
        let mut replay = replayable(&head, &body, &checkout);
        rewrite(&route.upstream, &mut head, &body, version)?;
        let late = route
            .patience
            .map(|patience| Box::new(Patience::new(body.left(), patience)));
        let (sent, lease) = match checkout {
            Checkout::Http1(mut checkout) => {
                let mut request = Request::from_parts(head, body);
                if let Some(gate) = &route.gate {
                    http1::open_on_continue(&mut request, gate.clone());
                }
                let interim = route.tells.then(Interim::default);
                if let Some(interim) = &interim {
                    http1::relay_interim(&mut request, interim.clone());
                }
                let sent = Box::pin(checkout.sender.try_send_request(request));
                (Sent::Http1(sent, interim), Lease::Http1(Some(checkout)))
            }
            Checkout::Http2(mut slot) => {
                let ends = body.is_end_stream();
                let sent = slot.send(Request::from_parts(head, ()), ends);
                let (answer, stream) = sent.map_err(|error| EngineError::Http2(error).fault())?;
                let sending = (!ends).then(|| {
                    let tape = Tape::of(body);
                    let body = RequestBody::again(&tape);
                    if let Some(replay) = &mut replay {
                        replay.tape = Some(tape.clone());
                    }
                    let counters = route.upstream.dialer.counters();
                    let place = slot.upload();
                    let pump = async move {
                        Pump::exact(body, stream).await;
                        place.ended(tape.is_malformed());
                    };
                    Sending(Some(local::abortable(counters, pump)))
                });
                (Sent::Http2(answer, sending, 0), Lease::Http2 { slot })
            }
        };
        Ok(Self {
            sent,
            late,
            lease,
            replay,
        })
    }

    /// Ready with the answer, or with why there is none; if asked `interim`, with what comes
    /// before it, too.
    pub fn poll(&mut self, interim: bool, cx: &mut Context<'_>) -> Poll<Step> {
        match self.sent.poll(interim, cx) {
            Poll::Ready(Arrived::Interim(head)) => Poll::Ready(Step::Interim(head)),
            Poll::Ready(Arrived::Answer(response)) => Poll::Ready(Step::Answer(response)),
            Poll::Ready(Arrived::Error(..)) if self.lease.upload_was_malformed() => {
                Poll::Ready(Step::None(Unanswered::of(Fault::BadRequest)))
            }
            Poll::Ready(Arrived::Flood) => Poll::Ready(Step::None(Unanswered::of(Fault::Protocol))),
            Poll::Ready(Arrived::Error(error, unsent)) => {
                let anew = match unsent {
                    Some(unsent) => Some(Box::new(unsent.into_parts())),
                    None => again(&error, self.replay.take()),
                };
                Poll::Ready(Step::None(Unanswered {
                    fault: error.fault(),
                    error: Some(error),
                    anew,
                }))
            }
            Poll::Pending => match &mut self.late {
                Some(late) => late
                    .poll(cx)
                    .map(|()| Step::None(Unanswered::of(Fault::ResponseHeaderTimeout))),
                None => Poll::Pending,
            },
        }
    }

    /// Where its connection leads.
    pub fn via(&self) -> Option<Via> {
        self.lease.via()
    }

    /// What is left of the time to wait for an answer.
    pub fn patience(&self) -> Option<Duration> {
        self.late.as_ref().map(|late| late.rest())
    }

    /// There is an answer, and so no second attempt.
    pub fn answered(&mut self, response: Response<Incoming>) -> Answer {
        if let Some(tape) = self.replay.take().and_then(|replay| replay.tape) {
            tape.forget();
        }
        let lease = std::mem::replace(&mut self.lease, Lease::Tunnel);
        Answer {
            response,
            version: match lease {
                Lease::Http2 { .. } => Version::Http2,
                Lease::Http1(_) | Lease::Tunnel => Version::Http1,
            },
            lease,
        }
    }
}

impl Sent {
    fn poll(&mut self, interim: bool, cx: &mut Context<'_>) -> Poll<Arrived> {
        match self {
            Self::Http1(sent, heads) => {
                if let Some(head) = heads.as_ref().and_then(|heads| heads.poll(cx)) {
                    return Poll::Ready(Arrived::Interim(head));
                }
                if heads.as_ref().is_some_and(Interim::is_flood) {
                    return Poll::Ready(Arrived::Flood);
                }
                sent.as_mut().poll(cx).map(|sent| match sent {
                    Ok(response) => Arrived::Answer(response.map(Incoming::Http1)),
                    Err(mut unsent) => {
                        let message = unsent.take_message();
                        Arrived::Error(EngineError::Http1(unsent.into_error()), message)
                    }
                })
            }
            Self::Http2(sent, sending, heads) => {
                // Asked first: what isn't asked for waits in the engine, and before the answer it
                // is lost.
                while let Some(Ok(head)) = ready!(sent.poll_informational(cx)) {
                    *heads += 1;
                    if *heads > MOST {
                        return Poll::Ready(Arrived::Flood);
                    }
                    // HTTP/2 knows no switch of protocols (RFC 9113, section 8.6).
                    if interim && head.status() != StatusCode::SWITCHING_PROTOCOLS {
                        return Poll::Ready(Arrived::Interim(head));
                    }
                }
                Pin::new(sent).poll(cx).map(|answered| match answered {
                    Ok(response) => {
                        if let Some(sending) = sending {
                            sending.goes_on();
                        }
                        let (parts, stream) = response.into_parts();
                        let frames = Frames::new(stream, &parts.headers);
                        Arrived::Answer(Response::from_parts(parts, Incoming::Http2(frames)))
                    }
                    Err(error) => Arrived::Error(EngineError::Http2(error), None),
                })
            }
        }
    }
}

fn rewrite(
    upstream: &Upstream,
    head: &mut Parts,
    body: &RequestBody,
    version: Version,
) -> Result<(), Fault> {
    let wire = match version {
        Version::Http1 => http::Version::HTTP_11,
        Version::Http2 => http::Version::HTTP_2,
    };
    // HTTP/1.0 need not name anybody; the versions spoken here must.
    let nobody = head.uri.authority().is_none() && !head.headers.contains_key(header::HOST);
    let host = upstream
        .host()
        .or_else(|| nobody.then(|| upstream.authority()));
    target::rewrite(head, wire, upstream.tls(), host).map_err(|_| Fault::BadTarget)?;
    if version == Version::Http1 {
        http1::prepare(&head.method, &mut head.headers, body.is_end_stream());
    }
    Ok(())
}

/// What a second attempt needs, where one may be allowed at all.
fn replayable(head: &Parts, body: &RequestBody, checkout: &Checkout) -> Option<Box<Replay>> {
    let (head, ear, reused) = match checkout {
        Checkout::Http1(checkout) => {
            let bodyless = body.is_end_stream();
            if !(checkout.reused && bodyless && head.method.is_idempotent()) {
                return None;
            }
            (
                Head::Whole(Box::new(head.clone())),
                Some(checkout.ear.clone()),
                true,
            )
        }
        Checkout::Http2(slot) => (Head::Saved(Saved::of(head)), None, slot.reused),
    };
    Some(Box::new(Replay {
        head,
        tape: None,
        ear,
        reused,
    }))
}

/// The request to send anew, if that is safe after this error.
fn again(error: &EngineError, replay: Option<Box<Replay>>) -> Option<Box<(Parts, RequestBody)>> {
    let replay = *replay?;
    let idempotent = match &replay.head {
        Head::Whole(head) => head.method.is_idempotent(),
        Head::Saved(head) => head.method().is_idempotent(),
    };
    let safe = match error {
        // It may have been closed or reset: a word would tell that the request was read.
        EngineError::Http1(_) => replay.ear.is_some_and(|ear| !ear.heard()),
        // The same: a connection that ended without a word for this stream.
        EngineError::Http2(error) if error.is_io() => {
            replay.reused && idempotent && replay.tape.is_none()
        }
        EngineError::Http2(_) => error.unprocessed(idempotent),
    };
    if !safe {
        return None;
    }
    let body = match replay.tape {
        None => RequestBody::empty(),
        Some(tape) if tape.is_whole() => RequestBody::again(&tape),
        Some(_) => return None,
    };
    let head = match replay.head {
        Head::Whole(head) => *head,
        Head::Saved(head) => head.restore(),
    };
    Some(Box::new((head, body)))
}
