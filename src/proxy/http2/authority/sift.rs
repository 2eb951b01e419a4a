//! Finds the heads of requests in a stream of frames, in the reader's own memory.

use super::block;
use crate::listen::sniff::PREFACE;

/// Bytes of a frame's head (RFC 9113, section 4.1).
const HEAD: usize = 9;

/// Bytes behind it at most: the engine announces no other SETTINGS_MAX_FRAME_SIZE.
const LONGEST: usize = 16_384;

const HEADERS: u8 = 1;
const PADDED: u8 = 0x8;
const PRIORITY: u8 = 0x20;

/// Where in a stream of frames one stands.
pub(super) struct Frames {
    /// Bytes that pass unseen before the next frame begins.
    passing: usize,
}

/// Of a chunk that was gone through.
pub(super) struct Sifted {
    /// Bytes that can be given on, from the start.
    pub ready: usize,
    /// Where the frame begins that doesn't end here; what is before that and behind `ready` is
    /// nothing any more.
    pub rest: usize,
}

impl Frames {
    /// At a connection's very beginning, where the preface stands.
    pub(super) const fn new() -> Self {
        Self {
            passing: PREFACE.len(),
        }
    }

    /// Goes through what came; bytes move to the front as heads become shorter.
    pub(super) fn sift(&mut self, chunk: &mut [u8]) -> Sifted {
        let (mut ready, mut at) = (0, 0);
        while let Some(left) = chunk.get_mut(at..).filter(|left| !left.is_empty()) {
            let (length, kept) = if self.passing > 0 {
                let length = self.passing.min(left.len());
                self.passing -= length;
                (length, length)
            } else {
                match Next::of(left) {
                    Next::Any(length) => {
                        self.passing = length;
                        continue;
                    }
                    Next::Unclear(_) => break,
                    Next::Head(length) => {
                        let Some(frame) = left.get_mut(..length) else {
                            break;
                        };
                        (length, length - shorten(frame))
                    }
                }
            };
            if ready != at {
                // Both ends lie within the chunk, for `ready` is behind `at`.
                chunk.copy_within(at..at + kept, ready);
            }
            ready += kept;
            at += length;
        }
        Sifted { ready, rest: at }
    }
}

/// What the next frame is.
pub(super) enum Next {
    /// A request's head, or its trailers, of so many bytes; all are there.
    Head(usize),
    /// Anything else, of so many bytes.
    Any(usize),
    /// So many bytes more are needed.
    Unclear(usize),
}

impl Next {
    pub(super) fn of(bytes: &[u8]) -> Self {
        let Some(&[a, b, c, kind, ..]) = bytes.first_chunk::<HEAD>() else {
            return Self::Unclear(HEAD.saturating_sub(bytes.len()));
        };
        let length = u32::from_be_bytes([0, a, b, c]) as usize;
        let whole = HEAD + length;
        if kind != HEADERS || length > LONGEST {
            Self::Any(whole)
        } else if whole > bytes.len() {
            Self::Unclear(whole - bytes.len())
        } else {
            Self::Head(whole)
        }
    }
}

/// Settles the authority in a HEADERS frame (RFC 9113, section 6.2); how many bytes fewer it has
/// then. A block that goes on in other frames is read as far as it goes: the authority comes first.
fn shorten(frame: &mut [u8]) -> usize {
    let Some((head, payload)) = frame.split_first_chunk_mut::<HEAD>() else {
        return 0;
    };
    let flags = head[4];
    let mut start = 0;
    let mut padding = 0;
    if flags & PADDED != 0 {
        start += 1;
        padding = payload.first().copied().map_or(0, usize::from);
    }
    if flags & PRIORITY != 0 {
        start += 5;
    }
    let Some(end) = payload.len().checked_sub(padding) else {
        return 0;
    };
    let Some(lost) = payload.get_mut(start..end).map(block::settle) else {
        return 0;
    };
    if lost > 0 {
        block::replace(payload, end - lost..end, &[]);
        let length = u32::try_from(payload.len() - lost).unwrap_or_default();
        let [_, a, b, c] = length.to_be_bytes();
        [head[0], head[1], head[2]] = [a, b, c];
    }
    lost
}
