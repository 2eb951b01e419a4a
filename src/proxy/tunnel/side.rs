//! One side of a tunnel: what came from it, and whether it was the one that broke.

use std::cell::Cell;
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// What is known of a side, also when the copying ended with an error.
#[derive(Debug, Default)]
pub struct Tally {
    bytes: Cell<u64>,
    failed: Cell<bool>,
}

impl Tally {
    /// Bytes that came from it.
    pub const fn bytes(&self) -> u64 {
        self.bytes.get()
    }

    /// Bytes that came since they were last taken.
    pub const fn take(&self) -> u64 {
        self.bytes.replace(0)
    }

    /// Whether reading from it or writing to it failed.
    pub const fn failed(&self) -> bool {
        self.failed.get()
    }

    fn noted<T>(&self, polled: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        if matches!(polled, Poll::Ready(Err(_))) {
            self.failed.set(true);
        }
        polled
    }
}

/// A byte stream that is tallied.
pub struct Side<S> {
    inner: S,
    tally: Rc<Tally>,
}

impl<S> Side<S> {
    /// Tallies there.
    pub const fn new(inner: S, tally: Rc<Tally>) -> Self {
        Self { inner, tally }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Side<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        let polled = Pin::new(&mut self.inner).poll_read(cx, buf);
        let read = buf.filled().len() - before;
        self.tally.bytes.set(self.tally.bytes() + read as u64);
        self.tally.noted(polled)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Side<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        let polled = Pin::new(&mut self.inner).poll_write(cx, buf);
        self.tally.noted(polled)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let polled = Pin::new(&mut self.inner).poll_flush(cx);
        self.tally.noted(polled)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let polled = Pin::new(&mut self.inner).poll_shutdown(cx);
        self.tally.noted(polled)
    }
}
