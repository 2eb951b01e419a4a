//! What comes on a stream, as a body.

use std::cell::Cell;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use h2::RecvStream;
use http::HeaderMap;
use http::header;
use http_body::{Body, Frame, SizeHint};

/// A stream's data and trailers. Flow control follows the reader: data counts against the peer's window
/// until what comes behind it is asked for, so that nothing, not even what the reader hasn't passed
/// on yet, is held beyond a window (RFC 9113, section 5.2).
pub struct Frames {
    stream: RecvStream,
    /// Bytes the reader has, and may not have passed on.
    held: usize,
    /// `content-length`, which the engine holds the peer to.
    length: Option<u64>,
    data_done: bool,
    /// The end was seen: asking the engine takes its lock, and an end stays one.
    ended: Cell<bool>,
}

impl Frames {
    /// The body behind a head with these fields.
    pub fn new(stream: RecvStream, headers: &HeaderMap) -> Self {
        let ended = stream.is_end_stream();
        let length = if ended {
            Some(0)
        } else {
            headers.get(header::CONTENT_LENGTH).and_then(parsed)
        };
        Self {
            stream,
            held: 0,
            length,
            data_done: false,
            ended: Cell::new(ended),
        }
    }

    /// The stream itself, whose frames mean something else from here on.
    pub fn into_inner(mut self) -> RecvStream {
        self.release();
        self.stream
    }

    fn release(&mut self) {
        let held = std::mem::take(&mut self.held);
        if held > 0 {
            // Fails only for more than was received.
            let _ = self.stream.flow_control().release_capacity(held);
        }
    }
}

fn parsed(value: &header::HeaderValue) -> Option<u64> {
    std::str::from_utf8(value.as_bytes()).ok()?.parse().ok()
}

impl Body for Frames {
    type Data = Bytes;
    type Error = h2::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, h2::Error>>> {
        let this = self.get_mut();
        this.release();
        if !this.data_done {
            match ready!(this.stream.poll_data(cx)) {
                Some(Ok(data)) => {
                    this.held = data.len();
                    if let Some(length) = &mut this.length {
                        *length = length.saturating_sub(data.len() as u64);
                    }
                    return Poll::Ready(Some(Ok(Frame::data(data))));
                }
                Some(Err(error)) => return Poll::Ready(Some(Err(error))),
                None => this.data_done = true,
            }
        }
        let trailers = ready!(this.stream.poll_trailers(cx));
        Poll::Ready(match trailers {
            Ok(Some(trailers)) => Some(Ok(Frame::trailers(trailers))),
            Ok(None) => None,
            Err(error) => Some(Err(error)),
        })
    }

    fn is_end_stream(&self) -> bool {
        if !self.ended.get() {
            self.ended.set(self.stream.is_end_stream());
        }
        self.ended.get()
    }

    fn size_hint(&self) -> SizeHint {
        self.length.map_or_else(SizeHint::new, SizeHint::with_exact)
    }
}
