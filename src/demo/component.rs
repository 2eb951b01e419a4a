//! The sample components: a frontend that calls a backend. Both know nothing of tracing; all the
//! frontend does is copy two header fields from the request it got to the one it sends.

use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use http::header::CONTENT_TYPE;
use http::{HeaderMap, HeaderValue, Request, Response, StatusCode};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Empty, Full};
use hyper::body::{Body, Frame, Incoming};
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::{Interval, interval, sleep};

use crate::listen::sniff::{self, Version};
use crate::listen::stream::Prefixed;

/// How long the backend takes over a slow request.
const SLOW: Duration = Duration::from_millis(250);
/// A watch sends something this often, this many times.
const EVENT: Duration = Duration::from_millis(400);
const EVENTS: u32 = 4;

type Answer = Response<UnsyncBoxBody<Bytes, hyper::Error>>;

/// Serves the frontend. It believes that the backend is at `backend`.
pub async fn frontend(listener: TcpListener, backend: SocketAddr) {
    serve(listener, move |request| front(request, backend)).await;
}

/// Serves the backend.
pub async fn backend(listener: TcpListener) {
    serve(listener, back).await;
}

async fn front(request: Request<Incoming>, backend: SocketAddr) -> Answer {
    if request
        .headers()
        .get(CONTENT_TYPE)
        .is_some_and(|v| v == "application/grpc")
    {
        return grpc_ok();
    }
    let path = match request.uri().path() {
        "/" | "/forgetful" => "/stock",
        "/slow" => "/stock/slow",
        "/fail" => "/stock/fail",
        "/watch" => "/stock/watch",
        _ => return text(StatusCode::NOT_FOUND, "nothing here: try /\n"),
    };
    let mut context = HeaderMap::new();
    if request.uri().path() != "/forgetful" {
        for name in ["traceparent", "tracestate"] {
            if let Some(value) = request.headers().get(name) {
                context.insert(name, value.clone());
            }
        }
    }
    match call(backend, path, context).await {
        // A stream is handed on as it comes.
        Ok(answer) => answer.map(BodyExt::boxed_unsync),
        Err(error) => text(StatusCode::BAD_GATEWAY, &format!("no backend: {error}\n")),
    }
}

async fn back(request: Request<Incoming>) -> Answer {
    match request.uri().path() {
        "/stock" => text(StatusCode::OK, "42 in stock\n"),
        "/stock/slow" => {
            sleep(SLOW).await;
            text(StatusCode::OK, "42 in stock, counted by hand\n")
        }
        "/stock/watch" => Response::new(Events::start().boxed_unsync()),
        "/stock/fail" => text(StatusCode::INTERNAL_SERVER_ERROR, "lost count\n"),
        _ => text(StatusCode::NOT_FOUND, "nothing here\n"),
    }
}

async fn call(
    backend: SocketAddr,
    path: &str,
    context: HeaderMap,
) -> Result<Response<Incoming>, Box<dyn std::error::Error + Send + Sync>> {
    let mut request = Request::get(path)
        .header("host", "backend")
        .body(Empty::<Bytes>::new())?;
    request.headers_mut().extend(context);
    let io = TokioIo::new(TcpStream::connect(backend).await?);
    let (mut sender, connection) = hyper::client::conn::http1::handshake(io).await?;
    // It lasts until the answer has been read.
    tokio::spawn(connection);
    Ok(sender.send_request(request).await?)
}

/// What a gRPC server answers to a call that went well: nothing, and the status in trailers.
fn grpc_ok() -> Answer {
    let mut trailers = HeaderMap::new();
    trailers.insert("grpc-status", HeaderValue::from_static("0"));
    let trailers = std::future::ready(Some(Ok(trailers)));
    // An empty message: not compressed, no bytes.
    let message = Full::from(&[0_u8; 5][..]).with_trailers(trailers);
    let mut answer = Response::new(message.map_err(never).boxed_unsync());
    let kind = HeaderValue::from_static("application/grpc");
    answer.headers_mut().insert(CONTENT_TYPE, kind);
    answer
}

fn text(status: StatusCode, text: &str) -> Answer {
    let body = Full::from(text.to_owned()).map_err(never).boxed_unsync();
    let mut answer = Response::new(body);
    *answer.status_mut() = status;
    answer
}

fn never(never: Infallible) -> hyper::Error {
    match never {}
}

/// A stream of lines, as a watch is.
struct Events {
    clock: Interval,
    left: u32,
}

impl Events {
    fn start() -> Self {
        Self {
            clock: interval(EVENT),
            left: EVENTS,
        }
    }
}

impl Body for Events {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        if self.left == 0 {
            return Poll::Ready(None);
        }
        ready!(self.clock.poll_tick(cx));
        self.left -= 1;
        Poll::Ready(Some(Ok(Frame::data(Bytes::from_static(b"one sold\n")))))
    }
}

async fn serve<H, F>(listener: TcpListener, handle: H)
where
    H: Fn(Request<Incoming>) -> F + Clone + Send + 'static,
    F: Future<Output = Answer> + Send + 'static,
{
    loop {
        match listener.accept().await {
            Ok((stream, _)) => {
                tokio::spawn(connection(stream, handle.clone()));
            }
            Err(error) => {
                tracing::warn!(%error, "a sample component can't accept");
                sleep(Duration::from_millis(100)).await;
            }
        }
    }
}

/// HTTP/1.1 or HTTP/2 by prior knowledge, whatever the other side begins with.
async fn connection<H, F>(stream: TcpStream, handle: H) -> io::Result<()>
where
    H: Fn(Request<Incoming>) -> F + Send + 'static,
    F: Future<Output = Answer> + Send + 'static,
{
    let mut stream = Prefixed::new(stream);
    let version = sniff::sniff(&mut stream).await?;
    let service = service_fn(move |request| {
        let answer = handle(request);
        async move { Ok::<_, Infallible>(answer.await) }
    });
    let io = TokioIo::new(stream);
    let served = match version {
        Version::Http1 => {
            let server = hyper::server::conn::http1::Builder::new();
            server.serve_connection(io, service).await
        }
        Version::Http2 => {
            let server = hyper::server::conn::http2::Builder::new(TokioExecutor::new());
            server.serve_connection(io, service).await
        }
    };
    served.map_err(io::Error::other)
}
