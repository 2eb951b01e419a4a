//! One request to the upstream, sent anew once where that is safe.
//!
//! Sent anew are: requests no byte of which was written; requests on streams the upstream
//! declares unprocessed (RFC 9113, section 8.7), if all that was sent of the body is still there;
//! idempotent bodyless requests on a reused connection that closed before any byte of a response
//! (RFC 9112, section 9.3.1).
//!
//! `responseHeaderTimeout` runs from the moment the request has left, body included: a slow
//! upload isn't the upstream's delay.

use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use http::Response;
use http::request::Parts;

use super::attempt::{Attempt, Step, Unanswered};
use super::error::EngineError;
use super::{Lease, Need, Upstream, Version};
use crate::proxy::body::{Incoming, RequestBody};
use crate::proxy::gate::Gate;
use crate::proxy::interim::Interim;
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
    pub error: Option<EngineError>,
    /// Attempts beyond the first.
    pub resends: u8,
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
    /// Whether the caller is told of interim responses.
    pub tells: bool,
}

/// A request on its way. Small, and polled where it stands: there is
/// one per open stream.
pub struct Flight(State);

enum State {
    /// On a connection that was at hand.
    Sent(Route, Attempt),
    /// Waits for a connection, or for the answer to a second attempt.
    Slow(
        Pin<Box<dyn Future<Output = Result<Answer, Failure>>>>,
        Interim,
    ),
    /// Can't be sent.
    Failed(Fault),
}

/// What has come of a request.
pub enum Arrived {
    /// An interim response; more comes.
    Interim(Response<()>),
    /// The answer.
    Answer(Answer),
    /// There is none.
    Failure(Failure),
}

impl Route {
    /// Sends a request, whose head is complete but for the form of its target, if a connection
    /// is at hand.
    pub fn begin(self, head: Parts, body: RequestBody) -> Flight {
        Flight(match self.upstream.at_hand(self.need, false) {
            None => self.later(Box::new((head, body)), 0),
            Some(checkout) => match Attempt::begin(&self, head, body, checkout) {
                Ok(attempt) => State::Sent(self, attempt),
                Err(fault) => State::Failed(fault),
            },
        })
    }

    fn later(self, request: Box<(Parts, RequestBody)>, resends: u8) -> State {
        let interim = Interim::default();
        State::Slow(
            Box::pin(self.slowly(request, resends, interim.clone())),
            interim,
        )
    }

    fn retried(&self) {
        self.upstream.dialer.counters().upstream_retried();
    }

    /// Connects if need be; the first of two attempts may still fail.
    async fn slowly(
        self,
        mut request: Box<(Parts, RequestBody)>,
        mut resends: u8,
        interim: Interim,
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
            let (head, body) = *request;
            let mut attempt = Attempt::begin(&self, head, body, checkout).map_err(fail)?;
            request = loop {
                match poll_fn(|cx| attempt.poll(self.tells, cx)).await {
                    Step::Interim(head) => interim.push(head),
                    Step::Answer(response) => return Ok(attempt.answered(response, resends)),
                    Step::None(Unanswered {
                        anew: Some(anew), ..
                    }) if !again => break anew,
                    Step::None(unanswered) => return Err(unanswered.failure(resends)),
                }
            };
            self.retried();
            resends += 1;
        }
    }
}

impl Flight {
    /// Ready with an interim response, if the caller is told of them, or with the answer.
    pub fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Arrived> {
        loop {
            match &mut self.0 {
                State::Sent(route, attempt) => match ready!(attempt.poll(route.tells, cx)) {
                    Step::Interim(head) => return Poll::Ready(Arrived::Interim(head)),
                    Step::Answer(response) => {
                        return Poll::Ready(Arrived::Answer(attempt.answered(response, 0)));
                    }
                    Step::None(Unanswered {
                        anew: Some(anew), ..
                    }) => {
                        route.retried();
                        let route = route.clone();
                        self.0 = route.later(anew, 1);
                    }
                    Step::None(unanswered) => {
                        return Poll::Ready(Arrived::Failure(unanswered.failure(0)));
                    }
                },
                State::Slow(slow, interim) => {
                    if let Some(head) = interim.poll(cx) {
                        return Poll::Ready(Arrived::Interim(head));
                    }
                    return slow.as_mut().poll(cx).map(|outcome| match outcome {
                        Ok(answer) => Arrived::Answer(answer),
                        Err(failure) => Arrived::Failure(failure),
                    });
                }
                State::Failed(fault) => {
                    return Poll::Ready(Arrived::Failure(Failure::of(*fault, 0)));
                }
            }
        }
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

impl Unanswered {
    fn failure(self, resends: u8) -> Failure {
        Failure {
            fault: self.fault,
            error: self.error,
            resends,
        }
    }
}
