//! Bodies that are made as they are read: the same pseudo-random bytes every time, of which
//! both ends know what stands at which offset.

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, LazyLock};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::BodyExt;
use hyper::body::{Frame, Incoming, SizeHint};
use sha2::{Digest, Sha256};

use super::MIB;
use crate::caller::Body;

/// A prime, so that no size of frame or buffer is in step with it.
const PERIOD: usize = 1_048_573;

/// Largest piece.
const PIECE: u64 = 64 * 1024;

/// Longest body that is also hashed.
const HASHED: u64 = 2 * MIB;

static PATTERN: LazyLock<Bytes> = LazyLock::new(|| {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut bytes = Vec::with_capacity(PERIOD + 8);
    while bytes.len() < PERIOD {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        bytes.extend_from_slice(&state.to_le_bytes());
    }
    bytes.truncate(PERIOD);
    bytes.into()
});

/// The bytes from `offset` on, as many as lie together and are asked for.
fn at(offset: u64, most: u64) -> Bytes {
    let start = usize::try_from(offset % PERIOD as u64).expect("below the period");
    let length = usize::try_from(most.min(PIECE)).expect("small");
    PATTERN.slice(start..PERIOD.min(start + length))
}

/// A body's bytes, piece by piece.
pub struct Pieces {
    offset: u64,
    size: u64,
}

impl Pieces {
    pub const fn new(size: u64) -> Self {
        Self { offset: 0, size }
    }
}

impl Iterator for Pieces {
    type Item = Bytes;

    fn next(&mut self) -> Option<Bytes> {
        let left = self.size - self.offset;
        if left == 0 {
            return None;
        }
        let piece = at(self.offset, left);
        self.offset += piece.len() as u64;
        Some(piece)
    }
}

struct Made {
    pieces: Pieces,
    known: bool,
    taken: Arc<AtomicU64>,
}

/// A body of that size; `known`: it says so.
pub fn made(size: u64, known: bool) -> Body {
    made_counting(size, known, Arc::default())
}

/// The same, and `taken` says how much of it has been taken.
pub fn made_counting(size: u64, known: bool, taken: Arc<AtomicU64>) -> Body {
    let pieces = Pieces::new(size);
    let made = Made {
        pieces,
        known,
        taken,
    };
    made.boxed_unsync()
}

impl hyper::body::Body for Made {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let piece = self.pieces.next();
        if let Some(piece) = &piece {
            self.taken.fetch_add(piece.len() as u64, Ordering::SeqCst);
        }
        Poll::Ready(piece.map(|piece| Ok(Frame::data(piece))))
    }

    fn is_end_stream(&self) -> bool {
        self.known && self.pieces.size == self.pieces.offset
    }

    fn size_hint(&self) -> SizeHint {
        if self.known {
            SizeHint::with_exact(self.pieces.size - self.pieces.offset)
        } else {
            SizeHint::default()
        }
    }
}

/// Compares what comes with what was made.
pub struct Check {
    count: u64,
    same: bool,
    hash: Sha256,
}

impl Default for Check {
    fn default() -> Self {
        Self {
            count: 0,
            same: true,
            hash: Sha256::new(),
        }
    }
}

impl Check {
    pub fn update(&mut self, mut bytes: &[u8]) {
        if self.count < HASHED {
            self.hash.update(bytes);
        }
        while !bytes.is_empty() {
            let expected = at(self.count, bytes.len() as u64);
            let (now, later) = bytes.split_at(expected.len());
            self.same &= *now == *expected;
            self.count += expected.len() as u64;
            bytes = later;
        }
    }

    /// How many bytes, whether they are those that were made, and their SHA-256 if they are few.
    pub fn verdict(self) -> String {
        let hash: String = match self.count {
            ..=HASHED => self
                .hash
                .finalize()
                .iter()
                .map(|b| format!("{b:02x}"))
                .collect(),
            _ => "unhashed".to_owned(),
        };
        let same = if self.same { "as made" } else { "CHANGED" };
        format!("{} bytes, {same}, {hash}", self.count)
    }
}

/// Reads a body to its end, with a pause after every MiB if wanted.
pub async fn read(mut body: Incoming, pause: Option<Duration>) -> hyper::Result<Check> {
    let mut check = Check::default();
    let mut next = MIB;
    while let Some(frame) = body.frame().await {
        if let Some(data) = frame?.data_ref() {
            check.update(data);
        }
        if let Some(pause) = pause
            && check.count >= next
        {
            next = check.count + MIB;
            tokio::time::sleep(pause).await;
        }
    }
    Ok(check)
}
