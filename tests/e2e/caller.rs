//! A caller that speaks HTTP/1.1 or HTTP/2 on any byte stream.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::future::Future;
use std::net::SocketAddr;
use std::path::Path;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::{HeaderMap, Method, Request, Response, request};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Empty, Full};
use hyper::body::{Body as _, Frame, Incoming};
use hyper::client::conn::{http1, http2};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpStream, UnixStream};

use super::component::PATIENCE;

/// A body of either side.
pub type Body = UnsyncBoxBody<Bytes, Infallible>;

/// No body.
pub fn empty() -> Body {
    Empty::new().boxed_unsync()
}

/// A body of known length.
pub fn full(bytes: impl Into<Bytes>) -> Body {
    Full::new(bytes.into()).boxed_unsync()
}

/// A body of these pieces, of unknown length, and trailers.
pub fn trailed(pieces: &[&'static str], trailers: HeaderMap) -> Body {
    let pieces = pieces.iter().map(|piece| Frame::data(Bytes::from(*piece)));
    Frames(pieces.chain([Frame::trailers(trailers)]).collect()).boxed_unsync()
}

/// Frames that are there already.
struct Frames(VecDeque<Frame<Bytes>>);

impl hyper::body::Body for Frames {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        Poll::Ready(self.0.pop_front().map(Ok))
    }
}

/// HTTP's version.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Speaks {
    Http1,
    Http2,
}

impl Speaks {
    pub const BOTH: [Self; 2] = [Self::Http1, Self::Http2];

    /// As the configuration names it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Http1 => "http1",
            Self::Http2 => "http2",
        }
    }

    /// As messages name it.
    pub const fn version(self) -> http::Version {
        match self {
            Self::Http1 => http::Version::HTTP_11,
            Self::Http2 => http::Version::HTTP_2,
        }
    }
}

/// A connection.
pub enum Caller {
    Http1(http1::SendRequest<Body>),
    Http2(http2::SendRequest<Body>),
}

impl Caller {
    /// Over TCP.
    pub async fn tcp(address: SocketAddr, speaks: Speaks) -> Self {
        let stream = TcpStream::connect(address).await.expect("a connection");
        stream.set_nodelay(true).expect("a socket");
        Self::over(stream, speaks).await
    }

    /// Over a unix socket.
    pub async fn unix(path: &Path, speaks: Speaks) -> Self {
        Self::over(
            UnixStream::connect(path).await.expect("a connection"),
            speaks,
        )
        .await
    }

    /// Over anything.
    pub async fn over<S>(stream: S, speaks: Speaks) -> Self
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let io = TokioIo::new(stream);
        match speaks {
            Speaks::Http1 => {
                let (sender, connection) = http1::handshake(io).await.expect("HTTP/1.1");
                tokio::spawn(connection);
                Self::Http1(sender)
            }
            Speaks::Http2 => {
                let (sender, connection) = http2::handshake(TokioExecutor::new(), io)
                    .await
                    .expect("HTTP/2");
                tokio::spawn(connection);
                Self::Http2(sender)
            }
        }
    }

    /// A request for this path of `example.com`, in the form the version wants.
    pub fn request(&self, method: Method, path: &str) -> request::Builder {
        let builder = Request::builder().method(method);
        match self {
            Self::Http1(_) => builder.uri(path).header("host", "example.com"),
            Self::Http2(_) => builder.uri(format!("http://example.com{path}")),
        }
    }

    /// Sends a request; the answer's head.
    pub async fn try_send(&mut self, request: Request<Body>) -> hyper::Result<Response<Incoming>> {
        match self {
            Self::Http1(sender) => {
                sender.ready().await?;
                sender.send_request(request).await
            }
            Self::Http2(sender) => {
                sender.ready().await?;
                sender.send_request(request).await
            }
        }
    }

    /// Sends a request that must be answered.
    pub async fn send(&mut self, request: Request<Body>) -> Response<Incoming> {
        self.try_send(request).await.expect("an answer")
    }

    /// Sends a request and reads the whole answer.
    pub async fn exchange(&mut self, request: Request<Body>) -> Answer {
        let (parts, body) = self.send(request).await.into_parts();
        let length = body.size_hint().exact();
        let body = body.collect().await.expect("a whole body");
        Answer {
            status: parts.status.as_u16(),
            headers: parts.headers,
            length,
            trailers: body.trailers().cloned(),
            body: body.to_bytes(),
        }
    }

    /// GET, to the end.
    pub async fn get(&mut self, path: &str) -> Answer {
        let request = self.request(Method::GET, path);
        self.exchange(request.body(empty()).expect("a request"))
            .await
    }
}

/// A whole answer.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub headers: HeaderMap,
    /// Length as announced.
    pub length: Option<u64>,
    pub body: Bytes,
    pub trailers: Option<HeaderMap>,
}

impl Answer {
    /// The body as text.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// A field's values, joined.
    pub fn field(&self, name: &str) -> Option<String> {
        let values = self.headers.get_all(name).iter();
        let values: Vec<_> = values
            .map(|v| String::from_utf8_lossy(v.as_bytes()))
            .collect();
        (!values.is_empty()).then(|| values.join(" | "))
    }
}

/// Runs a test's asynchronous part, for as long as tests are patient.
pub fn block_on<T>(work: impl Future<Output = T>) -> T {
    block_on_for(PATIENCE, work)
}

/// The same with another bound.
pub fn block_on_for<T>(bound: std::time::Duration, work: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime");
    runtime
        .block_on(async { tokio::time::timeout(bound, work).await })
        .expect("it ends in time")
}
