//! A byte stream that notes when its peer has spoken.
//!
//! The engine doesn't say whether any byte of a response came before a connection broke.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::listen::stream::Stream;

/// Whether a peer has spoken; written and read on one thread.
#[derive(Clone, Debug, Default)]
pub struct Ear(Arc<AtomicBool>);

impl Ear {
    /// From here on nothing has been heard.
    pub fn forget(&self) {
        self.0.store(false, Relaxed);
    }

    /// Whether bytes have come since.
    pub fn heard(&self) -> bool {
        self.0.load(Relaxed)
    }
}

/// Notes what is read from the stream within.
pub(super) struct Heard {
    inner: Stream,
    ear: Ear,
}

impl Heard {
    /// Notes it there.
    pub(super) const fn new(inner: Stream, ear: Ear) -> Self {
        Self { inner, ear }
    }
}

impl AsyncRead for Heard {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        ready!(Pin::new(&mut self.inner).poll_read(cx, buf))?;
        if buf.filled().len() > before {
            self.ear.0.store(true, Relaxed);
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Heard {
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
