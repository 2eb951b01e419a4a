//! A byte stream of which somebody is told when something was read.
//!
//! The engines don't say when bytes come, and several concerns need to know.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, ReadBuf};

use crate::listen::stream::write_to_inner;

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

write_to_inner!(Witnessed<S, W>);
