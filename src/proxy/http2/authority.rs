//! What callers on unix sockets say for `:authority`.
//!
//! A socket has no name that an authority could be made of, so gRPC libraries send what they
//! have: its path, as it is or percent-encoded, nothing at all, or `localhost`. The engine resets
//! streams whose authority isn't one (RFC 3986, section 3.2) before anybody sees the request.
//! So on these sockets bytes pass [`Lenient`] first: there an authority that can't be one becomes
//! as many zeros, and an empty one is taken out. Then [`settle`] makes both `localhost`, which is
//! what such servers expect, and all that is told of it: what the caller wrote names nothing.
//!
//! Bodies and all other frames pass as they are; nothing is decoded that isn't needed, nothing
//! remembered but the frame that is being read. What isn't well-formed passes, too: the engine
//! refuses it as it does elsewhere.

mod block;
mod huffman;
mod sift;

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Buf as _, BytesMut};
use http::Method;
use http::header;
use http::request::Parts;
use http::uri::{Authority, Scheme, Uri};
use tokio::io::{AsyncRead, ReadBuf};

use crate::listen::stream::write_to_inner;
use sift::{Frames, Next};

/// Names whom a request is for that says nobody, or nobody that could be.
pub fn settle(parts: &mut Parts) {
    let unnamed = match parts.uri.authority() {
        Some(authority) => authority.as_str().bytes().all(|byte| byte == b'0'),
        None => parts.method != Method::CONNECT && !parts.headers.contains_key(header::HOST),
    };
    if !unnamed {
        return;
    }
    let mut uri = std::mem::take(&mut parts.uri).into_parts();
    if uri.path_and_query.is_some() {
        uri.scheme = Some(Scheme::HTTP);
    }
    uri.authority = Some(Authority::from_static("localhost"));
    // With all parts there nothing is missing.
    parts.uri = Uri::from_parts(uri).unwrap_or_default();
}

/// A byte stream whose reader gets authorities it can read. The preface comes first.
pub struct Lenient<S> {
    inner: S,
    frames: Frames,
    held: Held,
}

/// What was read and not given on.
enum Held {
    Nothing,
    /// A frame's beginning.
    Beginning(BytesMut),
    /// A frame, or what is left of the stream.
    Whole(BytesMut),
}

impl<S> Lenient<S> {
    /// Reads from a stream of which nothing was read.
    pub const fn new(inner: S) -> Self {
        Self {
            inner,
            frames: Frames::new(),
            held: Held::Nothing,
        }
    }
}

impl<S: AsyncRead + Unpin> Lenient<S> {
    /// Reads into the caller's own memory; ready without a byte if all that came is held.
    fn read_into(&mut self, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<Read>> {
        let before = buf.filled().len();
        ready!(Pin::new(&mut self.inner).poll_read(cx, buf))?;
        let fresh = buf.filled_mut().get_mut(before..).unwrap_or_default();
        if fresh.is_empty() {
            return Poll::Ready(Ok(Read::Done));
        }
        let sifted = self.frames.sift(fresh);
        if let Some(rest @ [_, ..]) = fresh.get(sifted.rest..) {
            self.held = Held::Beginning(BytesMut::from(rest));
        }
        buf.set_filled(before + sifted.ready);
        Poll::Ready(Ok(if sifted.ready > 0 {
            Read::Done
        } else {
            Read::Held
        }))
    }

    /// Reads what a frame that has begun needs, and nothing behind it.
    fn read_on(&mut self, cx: &mut Context<'_>, needed: usize) -> Poll<io::Result<()>> {
        let Held::Beginning(bytes) = &mut self.held else {
            return Poll::Ready(Ok(()));
        };
        let before = bytes.len();
        bytes.resize(before + needed, 0);
        let mut room = ReadBuf::new(bytes.get_mut(before..).unwrap_or_default());
        let read = Pin::new(&mut self.inner).poll_read(cx, &mut room);
        let count = room.filled().len();
        bytes.truncate(before + count);
        ready!(read)?;
        if count == 0 {
            // The stream's end: what is there is for the engine to judge.
            self.held = Held::Whole(std::mem::take(bytes));
        }
        Poll::Ready(Ok(()))
    }
}

/// What a read came to.
enum Read {
    /// There are bytes, or it is the end.
    Done,
    /// There is only what is held.
    Held,
}

impl<S: AsyncRead + Unpin> AsyncRead for Lenient<S> {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        loop {
            match &mut this.held {
                Held::Nothing => {
                    if let Read::Done = ready!(this.read_into(cx, buf))? {
                        return Poll::Ready(Ok(()));
                    }
                }
                Held::Beginning(bytes) => match Next::of(bytes) {
                    Next::Unclear(needed) => ready!(this.read_on(cx, needed))?,
                    Next::Any(_) | Next::Head(_) => {
                        let sifted = this.frames.sift(bytes);
                        bytes.truncate(sifted.ready);
                        this.held = Held::Whole(std::mem::take(bytes));
                    }
                },
                Held::Whole(bytes) => {
                    let count = bytes.len().min(buf.remaining());
                    buf.put_slice(bytes.get(..count).unwrap_or_default());
                    bytes.advance(count);
                    if bytes.is_empty() {
                        this.held = Held::Nothing;
                    }
                    return Poll::Ready(Ok(()));
                }
            }
        }
    }
}

write_to_inner!(Lenient<S>);

#[cfg(test)]
mod tests;
