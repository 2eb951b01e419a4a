//! Taking leave over HTTP/2 as Go's server does: one GOAWAY with `NO_ERROR` and the highest stream
//! so far, at once. Streams up to that one are answered, later ones are ignored, and when none is
//! open any more the connection ends after a second.
//!
//! The `h2` crate takes leave in two steps, which is kinder than what callers of a kube-apiserver
//! meet; so the frame is written here, between two of its own.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicUsize, Ordering::SeqCst};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::sync::Notify;

/// Length, type, flags, stream.
const HEAD: usize = 9;

/// How long a connection without streams lingers.
const LINGERS: Duration = Duration::from_secs(1);

/// A connection's leave.
#[derive(Default)]
pub struct Leave {
    taken: AtomicBool,
    /// The highest stream of the caller's.
    highest: AtomicU32,
    open: AtomicUsize,
    answered: AtomicUsize,
    changed: Notify,
}

impl Leave {
    /// A stream of the caller's: `None` if it is too late for it.
    pub fn open(self: &Arc<Self>, stream: u32) -> Option<Open> {
        if self.taken.load(SeqCst) {
            return None;
        }
        self.highest.fetch_max(stream, SeqCst);
        self.open.fetch_add(1, SeqCst);
        Some(Open(Arc::clone(self)))
    }

    /// Counts an answer; how many there were.
    pub fn answered(&self) -> usize {
        self.answered.fetch_add(1, SeqCst) + 1
    }

    /// Takes leave.
    pub fn take(&self) {
        self.taken.store(true, SeqCst);
        self.changed.notify_one();
    }

    /// Resolves when something has changed.
    pub async fn changed(&self) {
        self.changed.notified().await;
    }

    /// Whether nothing is left to be done on the connection.
    pub fn is_over(&self) -> bool {
        self.taken.load(SeqCst) && self.open.load(SeqCst) == 0
    }

    /// How long it lingers then.
    pub async fn lingers(&self) {
        tokio::time::sleep(LINGERS).await;
    }

    fn frame(&self) -> Vec<u8> {
        let mut frame = vec![0, 0, 8, 7, 0, 0, 0, 0, 0];
        frame.extend(self.highest.load(SeqCst).to_be_bytes());
        frame.extend([0; 4]);
        frame
    }
}

/// A stream that is open.
pub struct Open(Arc<Leave>);

impl Open {
    /// Its connection's leave.
    pub fn leave(&self) -> &Leave {
        &self.0
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.0.open.fetch_sub(1, SeqCst);
        self.0.changed.notify_one();
    }
}

/// A connection between whose outgoing frames the leave is written.
pub struct Leaving<S> {
    inner: S,
    leave: Arc<Leave>,
    /// The head of the frame that is being written, as far as it has been.
    head: Vec<u8>,
    /// What is left of that frame's payload.
    payload: usize,
    /// What is left of the leave; `None` before it is taken.
    goodbye: Option<Vec<u8>>,
}

impl<S: AsyncWrite + Unpin> Leaving<S> {
    pub fn new(inner: S, leave: Arc<Leave>) -> Self {
        Self {
            inner,
            leave,
            head: Vec::new(),
            payload: 0,
            goodbye: None,
        }
    }

    fn is_between_frames(&self) -> bool {
        self.head.is_empty() && self.payload == 0
    }

    fn is_due(&self) -> bool {
        match &self.goodbye {
            None => self.leave.taken.load(SeqCst),
            Some(left) => !left.is_empty(),
        }
    }

    /// Writes the leave if it is due; call between frames.
    fn poll_goodbye(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while self.is_due() {
            let left = self.goodbye.get_or_insert_with(|| self.leave.frame());
            let written = ready!(Pin::new(&mut self.inner).poll_write(cx, left))?;
            left.drain(..written);
        }
        Poll::Ready(Ok(()))
    }

    /// Follows what has been written.
    fn follow(&mut self, mut written: &[u8]) {
        while !written.is_empty() {
            if self.payload > 0 {
                let part = self.payload.min(written.len());
                self.payload -= part;
                written = &written[part..];
                continue;
            }
            let part = (HEAD - self.head.len()).min(written.len());
            self.head.extend(&written[..part]);
            written = &written[part..];
            if self.head.len() == HEAD {
                let length = [0, self.head[0], self.head[1], self.head[2]];
                self.payload = u32::from_be_bytes(length) as usize;
                self.head.clear();
            }
        }
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Leaving<S> {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        if this.is_between_frames() {
            ready!(this.poll_goodbye(cx))?;
        }
        let most = match (this.is_due(), this.payload) {
            (false, _) => bytes.len(),
            (true, 0) => HEAD - this.head.len(),
            (true, payload) => payload,
        };
        let bytes = &bytes[..most.min(bytes.len())];
        let written = ready!(Pin::new(&mut this.inner).poll_write(cx, bytes))?;
        this.follow(&bytes[..written]);
        Poll::Ready(Ok(written))
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if this.is_between_frames() {
            ready!(this.poll_goodbye(cx))?;
        }
        Pin::new(&mut this.inner).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().inner).poll_shutdown(cx)
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Leaving<S> {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().inner).poll_read(cx, into)
    }
}
