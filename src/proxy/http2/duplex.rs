//! A stream as bytes both ways: what CONNECT makes of it (RFC 9113, section 8.5).

use std::cell::RefCell;
use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use bytes::{Buf as _, Bytes};
use h2::{Reason, RecvStream, SendStream};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// Bytes both ways over one stream; END_STREAM is the end of a direction.
pub struct Duplex {
    receive: RecvStream,
    /// Shared with who waits for its reset.
    send: Rc<RefCell<SendStream<Bytes>>>,
    read: Bytes,
}

impl Duplex {
    /// Over the halves of a stream whose heads were exchanged.
    pub fn new(receive: RecvStream, send: SendStream<Bytes>) -> Self {
        Self {
            receive,
            send: Rc::new(RefCell::new(send)),
            read: Bytes::new(),
        }
    }

    /// Resolves when the peer has reset the stream, or the connection has ended: a peer that has
    /// ended its direction before isn't read any more. To be awaited in the task that writes.
    pub fn gone(&self) -> impl Future<Output = ()> + use<> {
        let send = Rc::clone(&self.send);
        poll_fn(move |cx| send.borrow_mut().poll_reset(cx).map(|_| ()))
    }
}

fn broken(error: &h2::Error) -> io::Error {
    match error.reason() {
        Some(Reason::NO_ERROR | Reason::CANCEL) => io::ErrorKind::ConnectionReset.into(),
        _ => io::Error::other("the stream broke"),
    }
}

impl AsyncRead for Duplex {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        while this.read.is_empty() {
            match ready!(this.receive.poll_data(cx)) {
                Some(Ok(data)) => this.read = data,
                Some(Err(error)) => return Poll::Ready(Err(broken(&error))),
                None => return Poll::Ready(Ok(())),
            }
        }
        let taken = this.read.len().min(buf.remaining());
        buf.put_slice(this.read.get(..taken).unwrap_or_default());
        this.read.advance(taken);
        // Fails only for more than was received.
        let _ = this.receive.flow_control().release_capacity(taken);
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Duplex {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        if bytes.is_empty() {
            return Poll::Ready(Ok(0));
        }
        let mut send = self.send.borrow_mut();
        send.reserve_capacity(bytes.len());
        while send.capacity() == 0 {
            match ready!(send.poll_capacity(cx)) {
                Some(Ok(_)) => {}
                Some(Err(error)) => return Poll::Ready(Err(broken(&error))),
                None => return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into())),
            }
        }
        let taken = send.capacity().min(bytes.len());
        let data = Bytes::copy_from_slice(bytes.get(..taken).unwrap_or_default());
        let sent = send.send_data(data, false).map(|()| taken);
        Poll::Ready(sent.map_err(|error| broken(&error)))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        // The engine sends by itself.
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        let ended = self.send.borrow_mut().send_data(Bytes::new(), true);
        Poll::Ready(ended.map_err(|error| broken(&error)))
    }
}
