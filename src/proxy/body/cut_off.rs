//! Bodies that end before their end.
//!
//! A stream may be closed with `NO_ERROR` before END_STREAM came: by RST_STREAM, or by GOAWAY and
//! the connection's end. Relayed as it is, a part would look like the whole.

use std::error::Error;
use std::fmt;
use std::io;

use bytes::Bytes;
use h2::Reason;
use http_body::{Body as _, Frame};

use super::Incoming;
use crate::proxy::upstream::error::EngineError;

/// A body ended early; its source tells the engine the code to reset the other stream with.
#[derive(Debug)]
pub struct CutOff {
    code: h2::Error,
    /// Whether what came wasn't HTTP; otherwise the peer went away.
    pub malformed: bool,
}

impl CutOff {
    /// The peer's code if it gave one, else `code`.
    ///
    /// `NO_ERROR` says that the rest isn't needed, not that it came: another stream must not end
    /// with it as if this were whole.
    fn of(error: &EngineError, code: Reason) -> Self {
        let given = error.reason().filter(|given| *given != Reason::NO_ERROR);
        let cause = error.source().and_then(|e| e.downcast_ref());
        Self {
            code: given.unwrap_or(code).into(),
            malformed: cause.is_some_and(is_malformed),
        }
    }

    /// The code to reset another stream with.
    pub fn reason(&self) -> Reason {
        self.code.reason().unwrap_or(Reason::INTERNAL_ERROR)
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
pub(super) fn checked(
    frame: Option<Result<Frame<Bytes>, EngineError>>,
    inner: &Incoming,
    code: Reason,
) -> Option<Result<Frame<Bytes>, CutOff>> {
    match frame {
        Some(Ok(frame)) => Some(Ok(frame)),
        Some(Err(error)) => Some(Err(CutOff::of(&error, code))),
        None if inner.framed() && !inner.is_end_stream() => Some(Err(CutOff::by(code))),
        None => None,
    }
}
