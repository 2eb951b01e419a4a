//! Bodies that end before their end.
//!
//! The engine takes a stream closed with `NO_ERROR` for one that ended, also if END_STREAM never
//! came: by RST_STREAM, or by GOAWAY and the connection's end. Relayed as it is, a part would
//! look like the whole.

use std::error::Error;
use std::fmt;
use std::io;

use bytes::Bytes;
use h2::Reason;
use http_body::{Body as _, Frame};
use hyper::body::Incoming;

use crate::proxy::upstream::forward;

/// A body ended early; its source tells the engine the code to reset the other stream with.
#[derive(Debug)]
pub struct CutOff {
    code: h2::Error,
    /// Whether what came wasn't HTTP; otherwise the peer went away.
    pub malformed: bool,
}

impl CutOff {
    /// The peer's code if it gave one, else `code`.
    fn of(error: &hyper::Error, code: Reason) -> Self {
        let given = forward::h2_error(error).and_then(h2::Error::reason);
        let cause = error.source().and_then(|e| e.downcast_ref());
        Self {
            code: given.unwrap_or(code).into(),
            malformed: cause.is_some_and(is_malformed),
        }
    }

    /// A body that nobody waits for any more.
    pub(super) fn unwanted() -> Self {
        Self::by(Reason::CANCEL)
    }

    fn by(code: Reason) -> Self {
        Self {
            code: code.into(),
            malformed: false,
        }
    }
}

impl fmt::Display for CutOff {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the body ended before its end")
    }
}

impl Error for CutOff {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        Some(&self.code)
    }
}

/// The engine's word for chunks that aren't, not for a connection that broke.
fn is_malformed(error: &io::Error) -> bool {
    let kind = error.kind();
    kind == io::ErrorKind::InvalidInput || kind == io::ErrorKind::InvalidData
}

/// What to relay of what the engine read; `code` is what stands for no code and for `NO_ERROR`.
///
/// `framed` says that the body came on HTTP/2, where only END_STREAM is an end.
pub(super) fn checked(
    frame: Option<Result<Frame<Bytes>, hyper::Error>>,
    inner: &Incoming,
    framed: bool,
    code: Reason,
) -> Option<Result<Frame<Bytes>, CutOff>> {
    match frame {
        Some(Ok(frame)) => Some(Ok(frame)),
        Some(Err(error)) => Some(Err(CutOff::of(&error, code))),
        None if framed && !inner.is_end_stream() => Some(Err(CutOff::by(code))),
        None => None,
    }
}
