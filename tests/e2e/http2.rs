//! A plain HTTP/2 caller: one connection by prior knowledge, one request at a time.

use std::convert::Infallible;
use std::net::SocketAddr;

use bytes::Bytes;
use http::{HeaderMap, Request, Response};
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http2::{SendRequest, handshake};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::net::TcpStream;
use tokio::runtime::{Builder, Runtime};

use super::component::PATIENCE;

/// A connection; closed when dropped.
pub struct Caller {
    runtime: Runtime,
    sender: SendRequest<BoxBody<Bytes, Infallible>>,
}

impl Caller {
    /// Connects.
    pub fn connect(address: SocketAddr) -> Self {
        let runtime = Builder::new_current_thread()
            .enable_all()
            .build()
            .expect("a runtime");
        let sender = runtime.block_on(async {
            let stream = TcpStream::connect(address).await.expect("a connection");
            let (sender, connection) = handshake(TokioExecutor::new(), TokioIo::new(stream))
                .await
                .expect("HTTP/2");
            tokio::spawn(connection);
            sender
        });
        Self { runtime, sender }
    }

    /// A request to be filled and sent.
    pub fn get(path: &str) -> Request<Bytes> {
        let uri = format!("http://example.com{path}");
        Request::get(uri).body(Bytes::new()).expect("a request")
    }

    /// Sends a request and reads the whole answer: the head, the body, the trailers.
    pub fn send(&mut self, request: Request<Bytes>) -> (Response<Bytes>, HeaderMap) {
        self.try_send(request, None).expect("an answer")
    }

    /// The same with trailers.
    pub fn send_with_trailers(
        &mut self,
        request: Request<Bytes>,
        trailers: HeaderMap,
    ) -> (Response<Bytes>, HeaderMap) {
        self.try_send(request, Some(trailers)).expect("an answer")
    }

    /// The same; the error if there is no whole answer.
    pub fn try_send(
        &mut self,
        request: Request<Bytes>,
        trailers: Option<HeaderMap>,
    ) -> hyper::Result<(Response<Bytes>, HeaderMap)> {
        let request = request.map(|bytes| {
            let body = Full::new(bytes);
            match trailers {
                Some(trailers) => body
                    .with_trailers(std::future::ready(Some(Ok(trailers))))
                    .boxed(),
                None => body.boxed(),
            }
        });
        self.runtime.block_on(async {
            let exchange = async {
                self.sender.ready().await?;
                let (parts, body) = self.sender.send_request(request).await?.into_parts();
                let body = body.collect().await?;
                let trailers = body.trailers().cloned().unwrap_or_default();
                Ok((Response::from_parts(parts, body.to_bytes()), trailers))
            };
            tokio::time::timeout(PATIENCE, exchange)
                .await
                .expect("an answer in time")
        })
    }
}
