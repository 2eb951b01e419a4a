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
/// At most one frame of the body waits here, and in the engine nothing but what the peer's window takes,
/// and small ends: a slow reader slows its writer.
pub struct Pump<B> {
    body: B,
    stream: SendStream<Bytes>,
    /// A frame that waits for the peer's window.
    waiting: Option<Bytes>,
    /// It is the last one.
    last: bool,
    /// Nothing at all waits in the engine.
    exact: bool,
}

/// Bytes of a last frame that need no room: asking for it costs more.
const SMALL: usize = 1024;

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

    /// The same, and what was handed over leaves, even if it is small: the engine counts the stream as
    /// open as long as something waits.
    pub const fn exact(body: B, stream: SendStream<Bytes>) -> Self {
        let mut pump = Self::new(body, stream);
        pump.exact = true;
        pump
    }

    /// Ready when a frame was dealt with.
    fn step(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Over>> {
        if let Some(frame) = &self.waiting {
            let wanted = frame.len();
            let room = ready!(self.room(wanted, cx))?;
            let mut frame = self.waiting.take().unwrap_or_default();
            if room < wanted {
                self.waiting = Some(frame.split_off(room));
                self.send(frame, false)?;
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
            Ok(data) if self.body.is_end_stream() && self.needs_no_room(&data) => {
                // Nothing can come behind it.
                let _ = self.send(data, true);
                Poll::Ready(Err(Over))
            }
            Ok(data) if data.is_empty() => Poll::Ready(Ok(())),
            Ok(data) => {
                self.last = self.body.is_end_stream();
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

    /// Whether a last frame may wait in the engine.
    fn needs_no_room(&self, data: &Bytes) -> bool {
        data.is_empty() || (!self.exact && data.len() <= SMALL)
    }

    /// Ready with how many of so many bytes the peer takes, when it takes any.
    fn room(&mut self, wanted: usize, cx: &mut Context<'_>) -> Poll<Result<usize, Over>> {
        loop {
            self.stream.reserve_capacity(wanted);
            let room = self.stream.capacity();
            if room > 0 {
                return Poll::Ready(Ok(room));
            }
            if !self.exact {
                // What is asked for is kept from the connection's other streams: so who waits asks
                // for little.
                self.stream.reserve_capacity(1);
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
