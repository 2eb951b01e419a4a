//! Byte streams as one type: TCP or unix, plain or under TLS of either side.
//!
//! Everything is dispatched by `match`; nothing is boxed, so that a read on a plain socket costs
//! two predictable branches.

use std::io::{self, IoSlice};
use std::net::TcpStream as StdTcpStream;
use std::os::unix::net::UnixStream as StdUnixStream;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::{Buf, BytesMut};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, ReadBuf};
use tokio::net::{TcpStream, UnixStream};
use tokio_rustls::{client, server};

/// A connected, non-blocking socket that belongs to no reactor yet, so that it can be handed to
/// another thread.
#[derive(Debug)]
pub enum Socket {
    /// TCP.
    Tcp(StdTcpStream),
    /// Unix.
    Unix(StdUnixStream),
}

/// A socket registered with the current thread's reactor.
#[derive(Debug)]
pub enum Plain {
    /// TCP.
    Tcp(TcpStream),
    /// Unix.
    Unix(UnixStream),
}

impl Plain {
    /// Registers `socket` with the reactor of the runtime this is called on.
    ///
    /// # Errors
    /// When the reactor can't take another descriptor.
    pub fn register(socket: Socket) -> io::Result<Self> {
        Ok(match socket {
            Socket::Tcp(socket) => Self::Tcp(TcpStream::from_std(socket)?),
            Socket::Unix(socket) => Self::Unix(UnixStream::from_std(socket)?),
        })
    }
}

/// What a connection is read from and written to. As large as a TLS session: a box would cost
/// such connections an indirection per read.
#[derive(Debug)]
pub enum Stream {
    /// No encryption.
    Plain(Plain),
    /// TLS; the peer is a caller.
    ServerTls(server::TlsStream<Prefixed<Plain>>),
    /// TLS; the peer is an upstream.
    ClientTls(client::TlsStream<Plain>),
}

impl From<Plain> for Stream {
    fn from(plain: Plain) -> Self {
        Self::Plain(plain)
    }
}

/// Calls one poll method on whichever stream `$self` holds.
macro_rules! each {
    ($self:ident, [$($variant:ident),+], $method:ident $arguments:tt) => {
        match $self.get_mut() {
            $(Self::$variant(inner) => Pin::new(inner).$method $arguments,)+
        }
    };
}

/// Implements tokio's I/O traits for an enum whose every variant holds a stream.
macro_rules! dispatch {
    ($type:ty, $variants:tt, [$($variant:ident),+]) => {
        impl AsyncRead for $type {
            fn poll_read(
                self: Pin<&mut Self>,
                cx: &mut Context<'_>,
                buf: &mut ReadBuf<'_>,
            ) -> Poll<io::Result<()>> {
                each!(self, $variants, poll_read(cx, buf))
            }
        }

        impl AsyncWrite for $type {
            fn poll_write(
                self: Pin<&mut Self>,
                cx: &mut Context<'_>,
                buf: &[u8],
            ) -> Poll<io::Result<usize>> {
                each!(self, $variants, poll_write(cx, buf))
            }

            fn poll_write_vectored(
                self: Pin<&mut Self>,
                cx: &mut Context<'_>,
                bufs: &[IoSlice<'_>],
            ) -> Poll<io::Result<usize>> {
                each!(self, $variants, poll_write_vectored(cx, bufs))
            }

            fn is_write_vectored(&self) -> bool {
                match self {
                    $(Self::$variant(inner) => inner.is_write_vectored(),)+
                }
            }

            fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
                each!(self, $variants, poll_flush(cx))
            }

            fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
                each!(self, $variants, poll_shutdown(cx))
            }
        }
    };
}

dispatch!(Plain, [Tcp, Unix], [Tcp, Unix]);
dispatch!(
    Stream,
    [Plain, ServerTls, ClientTls],
    [Plain, ServerTls, ClientTls]
);

/// Implements `AsyncWrite` for a type that reads in a way of its own, and writes to `inner`.
macro_rules! write_to_inner {
    ($type:ident<$stream:ident $(, $other:ident)*>) => {
        impl<$stream, $($other),*> ::tokio::io::AsyncWrite for $type<$stream, $($other),*>
        where
            $stream: ::tokio::io::AsyncWrite + Unpin,
            $($other: Unpin,)*
        {
            fn poll_write(
                self: ::std::pin::Pin<&mut Self>,
                cx: &mut ::std::task::Context<'_>,
                buf: &[u8],
            ) -> ::std::task::Poll<::std::io::Result<usize>> {
                ::std::pin::Pin::new(&mut self.get_mut().inner).poll_write(cx, buf)
            }

            fn poll_write_vectored(
                self: ::std::pin::Pin<&mut Self>,
                cx: &mut ::std::task::Context<'_>,
                bufs: &[::std::io::IoSlice<'_>],
            ) -> ::std::task::Poll<::std::io::Result<usize>> {
                ::std::pin::Pin::new(&mut self.get_mut().inner).poll_write_vectored(cx, bufs)
            }

            fn is_write_vectored(&self) -> bool {
                self.inner.is_write_vectored()
            }

            fn poll_flush(
                self: ::std::pin::Pin<&mut Self>,
                cx: &mut ::std::task::Context<'_>,
            ) -> ::std::task::Poll<::std::io::Result<()>> {
                ::std::pin::Pin::new(&mut self.get_mut().inner).poll_flush(cx)
            }

            fn poll_shutdown(
                self: ::std::pin::Pin<&mut Self>,
                cx: &mut ::std::task::Context<'_>,
            ) -> ::std::task::Poll<::std::io::Result<()>> {
                ::std::pin::Pin::new(&mut self.get_mut().inner).poll_shutdown(cx)
            }
        }
    };
}
pub(crate) use write_to_inner;

/// A stream of which some bytes were read already: they are read again first, then the stream
/// itself. Once they are gone their buffer is freed and a read costs one more branch.
#[derive(Debug)]
pub struct Prefixed<S> {
    prefix: BytesMut,
    inner: S,
}

impl<S> Prefixed<S> {
    /// Nothing was read yet.
    pub fn new(inner: S) -> Self {
        Self {
            prefix: BytesMut::new(),
            inner,
        }
    }

    /// Bytes that were read already, and the stream behind them.
    pub const fn with(prefix: BytesMut, inner: S) -> Self {
        Self { prefix, inner }
    }

    /// The bytes that were read and will be read again.
    pub fn buffered(&self) -> &[u8] {
        &self.prefix
    }

    /// Drops the first `count` buffered bytes (all of them, if there are fewer).
    pub fn consume(&mut self, count: usize) {
        self.prefix.advance(count.min(self.prefix.len()));
        self.free_if_empty();
    }

    /// The same bytes in front of another view of the stream.
    pub fn map<T>(self, convert: impl FnOnce(S) -> T) -> Prefixed<T> {
        Prefixed {
            prefix: self.prefix,
            inner: convert(self.inner),
        }
    }

    /// The buffered bytes and the stream behind them.
    pub fn into_parts(self) -> (BytesMut, S) {
        (self.prefix, self.inner)
    }

    /// The stream behind the buffered bytes.
    pub fn get_ref(&self) -> &S {
        &self.inner
    }

    fn free_if_empty(&mut self) {
        if self.prefix.is_empty() {
            self.prefix = BytesMut::new();
        }
    }
}

impl<S: AsyncRead + Unpin> Prefixed<S> {
    /// Reads once more from the stream, at most `limit` bytes, and buffers what came. Returns
    /// how much that was; 0 is the end of the stream. Nothing is lost when it is cancelled.
    ///
    /// # Errors
    /// Those of the stream.
    pub async fn fill(&mut self, limit: usize) -> io::Result<usize> {
        self.prefix.reserve(limit);
        let mut bounded = bytes::BufMut::limit(&mut self.prefix, limit);
        self.inner.read_buf(&mut bounded).await
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Prefixed<S> {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if this.prefix.is_empty() {
            return Pin::new(&mut this.inner).poll_read(cx, buf);
        }
        let count = this.prefix.len().min(buf.remaining());
        buf.put_slice(&this.prefix.split_to(count));
        this.free_if_empty();
        Poll::Ready(Ok(()))
    }
}

write_to_inner!(Prefixed<S>);

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncWriteExt, duplex};

    use super::*;

    #[tokio::test]
    async fn buffered_bytes_are_read_first_and_their_buffer_is_freed() {
        let (mut peer, ours) = duplex(64);
        let mut stream = Prefixed::new(ours);
        peer.write_all(b"headbody").await.expect("written");
        assert_eq!(stream.fill(4).await.expect("read"), 4);
        assert_eq!(stream.buffered(), b"head");
        stream.consume(1);

        let mut small = [0; 2];
        stream.read_exact(&mut small).await.expect("read");
        assert_eq!(&small, b"ea");
        assert_eq!(stream.buffered(), b"d");
        let mut rest = [0; 5];
        stream.read_exact(&mut rest).await.expect("read");
        assert_eq!(&rest, b"dbody");
        assert_eq!(stream.into_parts().0.capacity(), 0);
    }

    #[tokio::test]
    async fn a_fill_adds_to_what_is_buffered_and_tells_the_end() {
        let (mut peer, ours) = duplex(64);
        let mut stream = Prefixed::new(ours);
        for piece in [&b"one"[..], b"two"] {
            peer.write_all(piece).await.expect("written");
            stream.fill(64).await.expect("read");
        }
        drop(peer);
        assert_eq!(stream.fill(64).await.expect("an end"), 0);
        assert_eq!(stream.buffered(), b"onetwo");
        stream.consume(100);
        assert_eq!(stream.buffered(), b"");
    }

    #[tokio::test]
    async fn both_kinds_of_socket_write_vectored_and_close_half() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a listener");
        let address = listener.local_addr().expect("an address");
        let tcp = StdTcpStream::connect(address).expect("connected");
        let tcp_peer = listener.accept().expect("accepted").0;
        let (unix, unix_peer) = StdUnixStream::pair().expect("a pair");
        let pairs = [
            (Socket::Tcp(tcp), Socket::Tcp(tcp_peer)),
            (Socket::Unix(unix), Socket::Unix(unix_peer)),
        ];
        for (ours, theirs) in pairs {
            let [mut ours, mut theirs] = [ours, theirs].map(|socket| {
                match &socket {
                    Socket::Tcp(socket) => socket.set_nonblocking(true),
                    Socket::Unix(socket) => socket.set_nonblocking(true),
                }
                .expect("non-blocking");
                Prefixed::new(Stream::from(Plain::register(socket).expect("registered")))
            });
            assert!(ours.is_write_vectored());
            let pieces = [IoSlice::new(b"two "), IoSlice::new(b"pieces")];
            assert_eq!(ours.write_vectored(&pieces).await.expect("written"), 10);
            ours.shutdown().await.expect("closed");
            let mut text = String::new();
            theirs.read_to_string(&mut text).await.expect("read");
            assert_eq!(text, "two pieces");
            theirs.write_all(b"answer").await.expect("written");
            let mut answer = [0; 6];
            ours.read_exact(&mut answer).await.expect("still readable");
            assert_eq!(&answer, b"answer");
        }
    }
}
