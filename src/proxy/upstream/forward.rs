//! One request to the upstream, sent anew once where that is safe.
//!
//! Sent anew are: requests no byte of which was written; requests on streams the upstream
//! declares unprocessed (RFC 9113, section 8.7), if all that was sent of the body is still there;
//! idempotent bodyless requests on a reused connection that closed before any byte of a response
//! (RFC 9112, section 9.3.1).
//!
//! `responseHeaderTimeout` runs from the moment the request has left, body included: a slow
//! upload isn't the upstream's delay. A second attempt has what the first one left of it.

use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use http::Response;
use http::request::Parts;

use super::attempt::{Attempt, Step, Unanswered};
use super::error::{CallerFault, EngineError};
use super::via::Via;
use super::{Lease, Need, Upstream, Version};
use crate::proxy::body::{Incoming, RequestBody};
use crate::proxy::gate::Gate;
use crate::proxy::interim::Interim;
use crate::span::record::{Fault, Outcome};

/// The upstream's answer.
pub struct Answer {
    /// Head and body.
    pub response: Response<Incoming>,
    /// The connection's hold.
    pub lease: Lease,
    /// Version spoken.
    pub version: Version,
}

/// Why there is no answer.
pub struct Failure {
    /// What went wrong.
    pub fault: Fault,
    /// The engine's error, which may carry the upstream's reset code.
    pub error: Option<EngineError>,
    /// Where the connection leads on which it was sent.
    pub via: Option<Via>,
}

impl Failure {
    const fn unsent(fault: Fault) -> Self {
        Self {
            fault,
            error: None,
            via: None,
        }
    }

    /// Whether it is the caller's doing: what that is answered, and how the request ends.
    pub fn callers(&self) -> Option<(Fault, Outcome)> {
        let malformed = (Fault::BadRequest, Outcome::Refused(Fault::BadRequest));
        let fault = self.error.as_ref().and_then(EngineError::caller_fault);
        match (fault, self.fault) {
            (Some(CallerFault::Gone), _) => Some((Fault::BadRequest, Outcome::Cancelled)),
            (Some(CallerFault::Malformed), _) | (None, Fault::BadRequest) => Some(malformed),
            (None, Fault::BadTarget) => Some((self.fault, Outcome::Refused(self.fault))),
            (None, _) => None,
        }
    }
}

/// A request whose first attempt failed, to be sent anew: by [`Flight::resend`].
pub struct Again {
    /// What went wrong.
    pub fault: Fault,
    /// Where the connection leads on which it was sent.
    pub via: Option<Via>,
    /// Its head as it left, and its body.
    pub request: Box<(Parts, RequestBody)>,
    route: Route,
}

/// Where a request goes and what it needs there.
pub struct Route {
    /// The upstream.
    pub upstream: Rc<Upstream>,
    /// The connection it needs.
    pub need: Need,
    /// What its body waits for.
    pub gate: Option<Gate>,
    /// Whether the caller is told of interim responses.
    pub tells: bool,
    /// How long the answer may be waited for, over both attempts.
    pub patience: Option<Duration>,
}

/// A request on its way. Small, and polled where it stands: there is
/// one per open stream.
pub struct Flight {
    state: State,
    /// The first attempt failed.
    resent: bool,
}

enum State {
    /// On a connection that was at hand.
    Sent(Route, Attempt),
    /// Waits for a connection, or for the answer to a request that did.
    Slow(Pin<Box<dyn Future<Output = Arrived>>>, Interim),
    /// Can't be sent.
    Failed(Fault),
    /// Handed back as [`Arrived::Again`].
    Returned,
}

/// What has come of a request.
pub enum Arrived {
    /// An interim response; more comes.
    Interim(Response<()>),
    /// The answer.
    Answer(Answer),
    /// Nothing, and it may be sent anew.
    Again(Again),
    /// There is none.
    Failure(Failure),
}

impl Route {
    /// Sends a request, whose head is complete but for the form of its target, if a connection
    /// is at hand.
    pub fn begin(self, head: Parts, body: RequestBody) -> Flight {
        let state = match self.upstream.at_hand(self.need, false) {
            None => self.later(Box::new((head, body)), false),
            Some(checkout) => match Attempt::begin(&self, head, body, checkout) {
                Ok(attempt) => State::Sent(self, attempt),
                Err(fault) => State::Failed(fault),
            },
        };
        Flight {
            state,
            resent: false,
        }
    }

    fn later(self, request: Box<(Parts, RequestBody)>, resent: bool) -> State {
        let interim = Interim::default();
        State::Slow(
            Box::pin(self.slowly(request, resent, interim.clone())),
            interim,
        )
    }

    /// Connects if need be.
    async fn slowly(
        mut self,
        request: Box<(Parts, RequestBody)>,
        resent: bool,
        interim: Interim,
    ) -> Arrived {
        let checkout = match self.upstream.at_hand(self.need, resent) {
            Some(checkout) => Ok(checkout),
            None => self.upstream.checkout(self.need, resent).await,
        };
        let (head, body) = *request;
        let attempt = checkout.and_then(|checkout| Attempt::begin(&self, head, body, checkout));
        let mut attempt = match attempt {
            Ok(attempt) => attempt,
            Err(fault) => return Arrived::Failure(Failure::unsent(fault)),
        };
        loop {
            match poll_fn(|cx| attempt.poll(self.tells, cx)).await {
                Step::Interim(head) => {
                    interim.push(head);
                    // Said before the answer is: that one may be there already.
                    tokio::task::yield_now().await;
                }
                Step::Answer(response) => return Arrived::Answer(attempt.answered(response)),
                Step::None(unanswered) => {
                    self.patience = attempt.patience();
                    let via = attempt.via();
                    drop(attempt);
                    return self.unanswered(unanswered, via, resent);
                }
            }
        }
    }

    /// What follows where there is no answer: the first of two attempts may fail.
    fn unanswered(self, unanswered: Unanswered, via: Option<Via>, resent: bool) -> Arrived {
        let Unanswered { fault, error, anew } = unanswered;
        match anew {
            Some(request) if !resent => {
                self.upstream.dialer.counters().upstream_retried();
                Arrived::Again(Again {
                    fault,
                    via,
                    request,
                    route: self,
                })
            }
            _ => Arrived::Failure(Failure { fault, error, via }),
        }
    }
}

impl Flight {
    /// Ready with an interim response, if the caller is told of them, with the answer, or with
    /// the request itself, if it may be sent anew.
    pub fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Arrived> {
        match &mut self.state {
            State::Sent(route, attempt) => match ready!(attempt.poll(route.tells, cx)) {
                Step::Interim(head) => Poll::Ready(Arrived::Interim(head)),
                Step::Answer(response) => Poll::Ready(Arrived::Answer(attempt.answered(response))),
                Step::None(unanswered) => {
                    match std::mem::replace(&mut self.state, State::Returned) {
                        State::Sent(mut route, attempt) => {
                            route.patience = attempt.patience();
                            let via = attempt.via();
                            drop(attempt);
                            Poll::Ready(route.unanswered(unanswered, via, self.resent))
                        }
                        _ => Poll::Pending,
                    }
                }
            },
            State::Slow(slow, interim) => match interim.poll(cx) {
                Some(head) => Poll::Ready(Arrived::Interim(head)),
                None => slow.as_mut().poll(cx),
            },
            State::Failed(fault) => Poll::Ready(Arrived::Failure(Failure::unsent(*fault))),
            State::Returned => Poll::Pending,
        }
    }

    /// Sends a request anew.
    pub fn resend(&mut self, again: Again) {
        self.resent = true;
        self.state = again.route.later(again.request, true);
    }
}
