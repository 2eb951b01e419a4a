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
/// At most one frame of the body waits here, and, unless [`Pump::exact`], one in the engine: a slow
/// reader slows its writer.
pub struct Pump<B> {
    body: B,
    stream: SendStream<Bytes>,
    /// A frame that waits for the peer's window.
    waiting: Option<Bytes>,
    /// It is the last one.
    last: bool,
    /// No more is handed over than the peer's window takes.
    exact: bool,
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
            last: false,
            exact: false,
        }
    }

    /// The same, and what was handed over leaves: nothing is left to wait in the engine, which
    /// counts the stream as open as long as something does.
    pub const fn exact(body: B, stream: SendStream<Bytes>) -> Self {
        let mut pump = Self::new(body, stream);
        pump.exact = true;
        pump
    }

    /// Ready when a frame was dealt with.
    fn step(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Over>> {
        if self.waiting.is_some() {
            let room = ready!(self.room(cx))?;
            let mut frame = self.waiting.take().unwrap_or_default();
            if self.exact && room < frame.len() {
                let rest = frame.split_off(room);
                self.send(frame, false)?;
                self.hold(rest);
                return Poll::Ready(Ok(()));
            }
            self.send(frame, self.last)?;
            return Poll::Ready(if self.last { Err(Over) } else { Ok(()) });
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
            Ok(data) if self.body.is_end_stream() && (data.is_empty() || !self.exact) => {
                // The last one needs no room: nothing can come behind it.
                let _ = self.send(data, true);
                Poll::Ready(Err(Over))
            }
            Ok(data) if data.is_empty() => Poll::Ready(Ok(())),
            Ok(data) => {
                self.last = self.body.is_end_stream();
                self.hold(data);
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

    /// Has a frame wait for the peer's window.
    fn hold(&mut self, data: Bytes) {
        // What is asked for is kept from the connection's other streams: so if the rest of the
        // frame may wait in the engine, this asks for little.
        let ask = if self.exact { data.len() } else { 1 };
        self.stream.reserve_capacity(ask);
        self.waiting = Some(data);
    }

    /// Ready with the bytes the peer takes, when it takes any.
    fn room(&mut self, cx: &mut Context<'_>) -> Poll<Result<usize, Over>> {
        loop {
            let room = self.stream.capacity();
            if room > 0 {
                return Poll::Ready(Ok(room));
            }
            match ready!(self.stream.poll_capacity(cx)) {
                Some(Ok(_)) => {}
                Some(Err(_)) | None => return Poll::Ready(Err(Over)),
            }
        }
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
