//! A body written to a stream, frame by frame, as fast as the peer takes it.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use h2::{Reason, SendStream};
use http_body::Body;

use crate::proxy::body::CutOff;

/// Resolves when the body has been handed over to its end, or one of both sides broke.
///
/// At most one frame of the body waits here, and one that ends the stream waits in the engine: a
/// slow reader slows its writer.
pub struct Pump<B> {
    body: B,
    stream: SendStream<Bytes>,
    /// A frame that waits for the peer's window.
    waiting: Option<Bytes>,
}

/// Nothing more is to be sent.
struct Over;

impl<B> Pump<B>
where
    B: Body<Data = Bytes, Error = CutOff> + Unpin,
{
    /// Starts with nothing sent.
    pub const fn new(body: B, stream: SendStream<Bytes>) -> Self {
        Self {
            body,
            stream,
            waiting: None,
        }
    }

    /// Ready when a frame was dealt with.
    fn step(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Over>> {
        if self.waiting.is_some() {
            ready!(self.room(cx))?;
            let frame = self.waiting.take().unwrap_or_default();
            return Poll::Ready(self.send(frame, false));
        }
        let frame = match ready!(Pin::new(&mut self.body).poll_frame(cx)) {
            Some(Ok(frame)) => frame,
            Some(Err(cut)) => {
                self.stream.send_reset(cut.reason());
                return Poll::Ready(Err(Over));
            }
            None => {
                let _ = self.send(Bytes::new(), true);
                return Poll::Ready(Err(Over));
            }
        };
        match frame.into_data() {
            Ok(data) if self.body.is_end_stream() => {
                // The last one needs no room: nothing can come behind it.
                let _ = self.send(data, true);
                Poll::Ready(Err(Over))
            }
            Ok(data) if data.is_empty() => Poll::Ready(Ok(())),
            Ok(data) => {
                // Asks for little: what is asked for is kept from the connection's other streams.
                self.stream.reserve_capacity(1);
                self.waiting = Some(data);
                Poll::Ready(Ok(()))
            }
            Err(frame) => {
                if let Ok(trailers) = frame.into_trailers() {
                    self.stream.reserve_capacity(0);
                    let _ = self.stream.send_trailers(trailers);
                }
                Poll::Ready(Err(Over))
            }
        }
    }

    /// Ready when the peer takes a byte.
    fn room(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Over>> {
        while self.stream.capacity() == 0 {
            match ready!(self.stream.poll_capacity(cx)) {
                Some(Ok(_)) => {}
                Some(Err(_)) | None => return Poll::Ready(Err(Over)),
            }
        }
        Poll::Ready(Ok(()))
    }

    fn send(&mut self, data: Bytes, last: bool) -> Result<(), Over> {
        self.stream.send_data(data, last).map_err(|_| Over)
    }
}

impl<B> Future for Pump<B>
where
    B: Body<Data = Bytes, Error = CutOff> + Unpin,
{
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let this = self.get_mut();
        loop {
            match this.step(cx) {
                Poll::Ready(Ok(())) => {}
                Poll::Ready(Err(Over)) => return Poll::Ready(()),
                // What is waited for may never come: the peer may take leave meanwhile.
                Poll::Pending => return this.stream.poll_reset(cx).map(|_: Result<Reason, _>| ()),
            }
        }
    }
}
