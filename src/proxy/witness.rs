//! A byte stream of which somebody is told when something was read.
//!
//! The engines don't say when bytes come, and several concerns need to know.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// Is told of every read that was done.
pub trait Witness {
    /// That many bytes came; none at the stream's end, or if it failed.
    fn read(&self, bytes: usize);
}

/// A stream and who is told of its reads.
pub struct Witnessed<S, W> {
    inner: S,
    witness: W,
}

impl<S, W> Witnessed<S, W> {
    /// Tells `witness` of what is read from `inner`.
    pub const fn new(inner: S, witness: W) -> Self {
        Self { inner, witness }
    }
}

impl<S: AsyncRead + Unpin, W: Witness + Unpin> AsyncRead for Witnessed<S, W> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        let read = ready!(Pin::new(&mut self.inner).poll_read(cx, buf));
        self.witness.read(buf.filled().len().saturating_sub(before));
        Poll::Ready(read)
    }
}

impl<S: AsyncWrite + Unpin, W: Unpin> AsyncWrite for Witnessed<S, W> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.inner).poll_write(cx, buf)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.inner).poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        self.inner.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_shutdown(cx)
    }
}
