//! Bytes between two sockets: read into [`Buffer`], written from [`Out`]. Both are reused from
//! request to request and shrink when a large body has passed.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::BytesMut;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// Room a buffer begins with: most heads, and small bodies with them.
const FIRST: usize = 4 * 1024;

/// Room a buffer may keep while nothing passes.
const KEPT: usize = 16 * 1024;

/// Bytes of a body under way per direction: what back-pressure allows.
pub const ROOM: usize = 64 * 1024;

/// Bytes read and not yet consumed.
#[derive(Debug, Default)]
pub struct Buffer {
    bytes: Vec<u8>,
    start: usize,
    end: usize,
    /// The last read took all the room there was.
    filled_up: bool,
}

impl Buffer {
    /// What was read.
    pub fn filled(&self) -> &[u8] {
        self.bytes.get(self.start..self.end).unwrap_or_default()
    }

    /// How much that is.
    pub const fn len(&self) -> usize {
        self.end - self.start
    }

    /// Whether that is nothing.
    pub const fn is_empty(&self) -> bool {
        self.start == self.end
    }

    /// Drops everything.
    pub const fn clear(&mut self) {
        (self.start, self.end) = (0, 0);
    }

    /// Drops the first bytes.
    pub fn consume(&mut self, count: usize) {
        self.start = self.start.saturating_add(count).min(self.end);
        if self.start == self.end {
            (self.start, self.end) = (0, 0);
        }
    }

    /// Reads once; never holds more than `limit` bytes, of which there must be room for one.
    /// Zero is the end of the stream.
    pub fn poll_fill<R: AsyncRead + Unpin>(
        &mut self,
        io: &mut R,
        cx: &mut Context<'_>,
        limit: usize,
    ) -> Poll<io::Result<usize>> {
        self.make_room(limit);
        let spare = self.bytes.get_mut(self.end..).unwrap_or_default();
        let mut buf = ReadBuf::new(spare);
        ready!(Pin::new(io).poll_read(cx, &mut buf))?;
        let count = buf.filled().len();
        self.filled_up = buf.remaining() == 0;
        self.end += count;
        Poll::Ready(Ok(count))
    }

    fn make_room(&mut self, limit: usize) {
        if self.end == self.bytes.len() && self.start > 0 {
            self.bytes.copy_within(self.start..self.end, 0);
            (self.start, self.end) = (0, self.end - self.start);
        }
        let grow = self.end == self.bytes.len() || (self.filled_up && self.is_empty());
        if grow {
            let size = (self.bytes.len() * 2).clamp(FIRST, limit.max(FIRST));
            self.bytes.resize(size.max(self.end + 1), 0);
            self.filled_up = false;
        }
    }

    /// Gives room back that a large message took.
    pub fn shrink(&mut self) {
        if self.is_empty() && self.bytes.len() > KEPT {
            *self = Self::default();
        }
    }

    /// Takes all that was read.
    pub fn take(&mut self) -> BytesMut {
        let bytes = BytesMut::from(self.filled());
        *self = Self::default();
        bytes
    }
}

/// Bytes to write.
#[derive(Debug, Default)]
pub struct Out {
    /// What is written, in order.
    pub bytes: Vec<u8>,
    sent: usize,
    unflushed: bool,
    /// Bytes that were sent are forgotten: nothing can be sent once more.
    forgotten: bool,
}

impl Out {
    /// Bytes not yet written.
    pub const fn pending(&self) -> usize {
        self.bytes.len() - self.sent
    }

    /// Whether nothing was written yet.
    pub const fn untouched(&self) -> bool {
        self.sent == 0 && !self.forgotten
    }

    /// Whether all is written and flushed.
    pub const fn is_drained(&self) -> bool {
        self.pending() == 0 && !self.unflushed
    }

    /// Forgets what was written.
    pub fn clear(&mut self) {
        self.bytes.clear();
        if self.bytes.capacity() > ROOM * 2 {
            self.bytes = Vec::new();
        }
        self.sent = 0;
        self.forgotten = false;
    }

    /// Forgets what was sent of a body: a slow reader may never take all that waits at once, and
    /// the buffer would grow with the body.
    pub fn compact(&mut self) {
        if self.sent >= ROOM {
            self.bytes.drain(..self.sent);
            self.sent = 0;
            self.forgotten = true;
        }
    }

    /// Everything is to be written once more; only for what was never compacted: heads.
    pub fn rewind(&mut self) {
        debug_assert!(!self.forgotten, "a head is written whole");
        self.sent = 0;
        self.unflushed = false;
    }

    /// Gives room back that a large message took.
    pub fn shrink(&mut self) {
        self.clear();
        if self.bytes.capacity() > KEPT {
            self.bytes = Vec::new();
        }
    }

    /// Writes as much as is taken; says whether anything moved.
    pub fn poll_drain<W: AsyncWrite + Unpin>(
        &mut self,
        io: &mut W,
        cx: &mut Context<'_>,
    ) -> io::Result<bool> {
        let mut moved = false;
        while self.pending() > 0 {
            let rest = self.bytes.get(self.sent..).unwrap_or_default();
            match Pin::new(&mut *io).poll_write(cx, rest) {
                Poll::Ready(Ok(0)) => return Err(io::ErrorKind::WriteZero.into()),
                Poll::Ready(Ok(count)) => self.sent += count,
                Poll::Ready(Err(error)) => return Err(error),
                Poll::Pending => break,
            }
            moved = true;
            self.unflushed = true;
        }
        if self.unflushed
            && let Poll::Ready(flushed) = Pin::new(io).poll_flush(cx)
        {
            flushed?;
            self.unflushed = self.pending() > 0;
        }
        Ok(moved)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Takes a few bytes, then nothing until asked again.
    struct Slow(usize);

    impl AsyncWrite for Slow {
        fn poll_write(
            mut self: Pin<&mut Self>,
            _: &mut Context<'_>,
            bytes: &[u8],
        ) -> Poll<io::Result<usize>> {
            if self.0 == 0 {
                return Poll::Pending;
            }
            let taken = bytes.len().min(self.0);
            self.0 = 0;
            Poll::Ready(Ok(taken))
        }

        fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }

        fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }
    }

    #[test]
    fn a_slow_reader_that_never_takes_all_keeps_the_buffer_bounded() {
        let (mut out, mut slow) = (Out::default(), Slow(0));
        let mut cx = Context::from_waker(std::task::Waker::noop());
        for _ in 0..1000 {
            if out.pending() < ROOM {
                out.compact();
                out.bytes.extend_from_slice(&[0; ROOM / 2]);
            }
            slow.0 = ROOM / 4;
            out.poll_drain(&mut slow, &mut cx).unwrap();
            assert!(out.bytes.len() <= 4 * ROOM, "{} bytes", out.bytes.len());
            assert!(!out.untouched());
        }
    }
}
