//! What an engine's error says: of the upstream, of the caller's body, of what may be done anew.

use std::error::Error;
use std::fmt;

use super::connect;
use crate::proxy::body::CutOff;
use crate::span::record::Fault;

/// An error of either engine.
#[derive(Debug)]
pub enum EngineError {
    /// HTTP/1's.
    Http1(hyper::Error),
    /// HTTP/2's.
    Http2(h2::Error),
}

/// What failed was the caller's body, not the upstream.
pub enum CallerFault {
    /// It isn't HTTP.
    Malformed,
    /// It ended early, with the caller.
    Gone,
}

impl EngineError {
    /// What it says of the upstream.
    pub fn fault(&self) -> Fault {
        match self {
            // Also if it is for us to reset the stream for it.
            Self::Http2(error) if error.is_library() => Fault::Protocol,
            Self::Http2(error) if error.is_reset() => Fault::StreamReset,
            Self::Http2(error) if error.get_io().is_some_and(connect::is_tls) => Fault::Tls,
            Self::Http2(_) => Fault::ConnectionClosed,
            Self::Http1(error) if error.is_parse() => Fault::Protocol,
            Self::Http1(error) if beneath(error).is_some_and(connect::is_tls) => Fault::Tls,
            Self::Http1(_) => Fault::ConnectionClosed,
        }
    }

    /// The code the peer gave with it (RFC 9113, section 7). The code the engine here has for a
    /// peer's fault isn't one: told to the other side, it would be put down to that.
    pub fn reason(&self) -> Option<h2::Reason> {
        match self {
            Self::Http2(error) if error.is_remote() => error.reason(),
            _ => None,
        }
    }

    /// Whether a request failed for its own body.
    pub fn caller_fault(&self) -> Option<CallerFault> {
        match self {
            Self::Http1(error) => beneath::<CutOff>(error).map(|body| match body.malformed {
                true => CallerFault::Malformed,
                false => CallerFault::Gone,
            }),
            // All that is left of the body's error is the reset sent for it.
            Self::Http2(error) => {
                let ours = error.is_reset() && !error.is_remote() && !error.is_library();
                ours.then_some(CallerFault::Gone)
            }
        }
    }

    /// Whether the upstream declared the stream unprocessed.
    ///
    /// A GOAWAY with a fault may reach streams below its last id too, when the connection then
    /// closes: only a graceful one speaks for requests that aren't idempotent.
    pub fn unprocessed(&self, idempotent: bool) -> bool {
        let Self::Http2(error) = self else {
            return false;
        };
        let refused = error.is_reset() && error.reason() == Some(h2::Reason::REFUSED_STREAM);
        let graceful = error.reason() == Some(h2::Reason::NO_ERROR);
        error.is_remote() && (refused || (error.is_go_away() && (graceful || idempotent)))
    }

    /// The code to reset the caller's stream with: the upstream's own, or REFUSED_STREAM if the
    /// upstream took leave without having processed the request (RFC 9113, section 8.7): then the
    /// caller may send it again, which is not possible here once a body has been relayed.
    pub fn reset_code(&self) -> Option<h2::Reason> {
        match self {
            Self::Http2(error) if error.is_reset() && error.is_remote() => error.reason(),
            _ => self
                .unprocessed(false)
                .then_some(h2::Reason::REFUSED_STREAM),
        }
    }
}

impl fmt::Display for EngineError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Http1(error) => error.fmt(f),
            Self::Http2(error) => error.fmt(f),
        }
    }
}

impl Error for EngineError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::Http1(error) => error.source(),
            Self::Http2(error) => error.source(),
        }
    }
}

/// The first error of a type among the causes of the engine's.
fn beneath<E: Error + 'static>(error: &hyper::Error) -> Option<&E> {
    let mut source = error.source();
    while let Some(cause) = source {
        if let Some(found) = cause.downcast_ref() {
            return Some(found);
        }
        source = cause.source();
    }
    None
}
