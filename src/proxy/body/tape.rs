//! A request's body, kept for a second attempt while it is short.
//!
//! An upstream that takes leave may declare a request unprocessed whose body is under way. The
//! frames that were sent are kept, not copied, until the answer begins or they are too many.

use std::cell::RefCell;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http::HeaderMap;
use http_body::{Body as _, Frame, SizeHint};

use super::{CutOff, RequestBody};

/// Bytes of a body that are kept.
const MOST: usize = 64 * 1024;

/// Frames that are kept, whatever their size.
const MOST_FRAMES: usize = 64;

/// A body, and what has been read of it.
#[derive(Clone)]
pub struct Tape(Rc<RefCell<Inner>>);

struct Inner {
    body: RequestBody,
    kept: Vec<Kept>,
    bytes: usize,
    /// More was read than is kept.
    lost: bool,
    /// What came wasn't HTTP.
    malformed: bool,
}

enum Kept {
    Data(Bytes),
    Trailers(HeaderMap),
}

/// Reads a tape from its beginning.
pub struct Playback {
    tape: Rc<RefCell<Inner>>,
    at: usize,
}

impl Tape {
    /// Keeps what is read of a body.
    pub fn of(body: RequestBody) -> Self {
        Self(Rc::new(RefCell::new(Inner {
            body,
            kept: Vec::new(),
            bytes: 0,
            lost: false,
            malformed: false,
        })))
    }

    /// The body from its beginning; one that is under way already must not go on.
    pub fn play(&self) -> Playback {
        Playback {
            tape: Rc::clone(&self.0),
            at: 0,
        }
    }

    /// Whether the beginning is still there.
    pub fn is_whole(&self) -> bool {
        !self.0.borrow().lost
    }

    /// Whether it broke off because what came wasn't HTTP.
    pub fn is_malformed(&self) -> bool {
        self.0.borrow().malformed
    }

    /// There is no second attempt: nothing is kept any more.
    pub fn forget(&self) {
        self.0.borrow_mut().lose();
    }
}

impl Inner {
    fn lose(&mut self) {
        self.lost = true;
        self.kept = Vec::new();
    }

    fn keep(&mut self, frame: &Frame<Bytes>) {
        if self.lost {
            return;
        }
        let kept = match (frame.data_ref(), frame.trailers_ref()) {
            (Some(data), _) => Kept::Data(data.clone()),
            (None, Some(trailers)) => Kept::Trailers(trailers.clone()),
            (None, None) => return,
        };
        if let Kept::Data(data) = &kept {
            self.bytes += data.len();
        }
        if self.bytes > MOST || self.kept.len() == MOST_FRAMES {
            self.lose();
        } else {
            self.kept.push(kept);
        }
    }
}

impl Playback {
    pub(super) fn poll_frame(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, CutOff>>> {
        let inner = &mut *self.tape.borrow_mut();
        let frame = match inner.kept.get(self.at) {
            Some(Kept::Data(data)) => Some(Ok(Frame::data(data.clone()))),
            Some(Kept::Trailers(trailers)) => Some(Ok(Frame::trailers(trailers.clone()))),
            None => {
                let frame = ready!(Pin::new(&mut inner.body).poll_frame(cx));
                match &frame {
                    Some(Ok(frame)) => inner.keep(frame),
                    Some(Err(cut)) => inner.malformed = cut.malformed,
                    None => {}
                }
                frame
            }
        };
        self.at += 1;
        Poll::Ready(frame)
    }

    pub(super) fn is_end_stream(&self) -> bool {
        let inner = self.tape.borrow();
        self.at >= inner.kept.len() && inner.body.is_end_stream()
    }

    pub(super) fn size_hint(&self) -> SizeHint {
        if self.at == 0 && !self.tape.borrow().kept.is_empty() {
            // Part of it was read before: only its head tells its length.
            return SizeHint::new();
        }
        self.tape.borrow().body.size_hint()
    }
}
