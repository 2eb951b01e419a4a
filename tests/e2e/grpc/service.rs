//! A real gRPC service and its client, both tonic's. Messages are bytes as they are.

use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};

use bytes::{Buf, BufMut, Bytes};
use http::HeaderMap;
use http::uri::PathAndQuery;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tonic::codec::{Codec, DecodeBuf, Decoder, EncodeBuf, Encoder};
use tonic::codegen::Service;
use tonic::codegen::tokio_stream::wrappers::ReceiverStream;
use tonic::metadata::{KeyAndValueRef, MetadataMap};
use tonic::transport::{Channel, Endpoint};
use tonic::{Code, Request, Response, Status, Streaming};

use super::super::background::{Background, listener, within};

/// Takes and gives messages as they are.
#[derive(Clone, Copy, Debug, Default)]
pub struct Raw;

impl Codec for Raw {
    type Encode = Bytes;
    type Decode = Bytes;
    type Encoder = Self;
    type Decoder = Self;

    fn encoder(&mut self) -> Self {
        Self
    }

    fn decoder(&mut self) -> Self {
        Self
    }
}

impl Encoder for Raw {
    type Item = Bytes;
    type Error = Status;

    fn encode(&mut self, item: Bytes, out: &mut EncodeBuf<'_>) -> Result<(), Status> {
        out.put(item);
        Ok(())
    }
}

impl Decoder for Raw {
    type Item = Bytes;
    type Error = Status;

    fn decode(&mut self, input: &mut DecodeBuf<'_>) -> Result<Option<Bytes>, Status> {
        Ok(Some(input.copy_to_bytes(input.remaining())))
    }
}

/// Heads of the calls that reached the service, path first.
type Calls = Arc<Mutex<Vec<(String, HeaderMap)>>>;

/// The service `test.Echo`, running; ends when dropped.
pub struct Server {
    address: SocketAddr,
    calls: Calls,
    _running: Background,
}

impl Server {
    /// On a free loopback port.
    pub fn start() -> Self {
        let (listener, address) = listener();
        let calls = Calls::default();
        let shared = Arc::clone(&calls);
        let running = Background::run(move || async move {
            let listener = TcpListener::from_std(listener).expect("a usable socket");
            while let Ok((stream, _)) = listener.accept().await {
                let calls = Arc::clone(&shared);
                let service = service_fn(move |request: http::Request<Incoming>| {
                    let path = request.uri().path().to_owned();
                    let call = (path.clone(), request.headers().clone());
                    calls.lock().expect("no panic").push(call);
                    async move {
                        let mut grpc = tonic::server::Grpc::new(Raw);
                        let answer = grpc.streaming(Echo { path }, request).await;
                        Ok::<_, std::convert::Infallible>(answer)
                    }
                });
                let server = hyper::server::conn::http2::Builder::new(TokioExecutor::new());
                tokio::spawn(async move {
                    let _ = server.serve_connection(TokioIo::new(stream), service).await;
                });
            }
        });
        Self {
            address,
            calls,
            _running: running,
        }
    }

    /// Its URL.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Heads of the calls so far.
    pub fn calls(&self) -> Vec<(String, HeaderMap)> {
        self.calls.lock().expect("no panic").clone()
    }
}

/// What the service does is told by the path.
struct Echo {
    path: String,
}

type Messages = ReceiverStream<Result<Bytes, Status>>;
type Answer = Pin<Box<dyn Future<Output = Result<Response<Messages>, Status>> + Send>>;

impl Service<Request<Streaming<Bytes>>> for Echo {
    type Response = Response<Messages>;
    type Error = Status;
    type Future = Answer;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Status>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Streaming<Bytes>>) -> Answer {
        let method = self.path.rsplit('/').next().unwrap_or_default().to_owned();
        Box::pin(async move { answer(&method, request).await })
    }
}

async fn answer(
    method: &str,
    request: Request<Streaming<Bytes>>,
) -> Result<Response<Messages>, Status> {
    let (metadata, _, mut messages) = request.into_parts();
    let (send, receive) = mpsc::channel(16);
    match method {
        // Messages come back one by one, as soon as they came.
        "Unary" | "Bidi" => {
            tokio::spawn(async move {
                while let Ok(Some(message)) = messages.message().await {
                    let _ = send.send(Ok(message)).await;
                }
            });
        }
        // All messages come back as one.
        "ClientStream" => {
            let mut all = Vec::new();
            while let Some(message) = messages.message().await? {
                all.extend_from_slice(&message);
            }
            let _ = send.send(Ok(all.into())).await;
        }
        // As many messages as asked for.
        "ServerStream" => {
            let count = number(messages.message().await?);
            tokio::spawn(async move {
                for index in 0..count {
                    let _ = send.send(Ok(index.to_string().into())).await;
                }
            });
        }
        // The code asked for, without a message before it: trailers-only.
        "Fail" => return Err(failure(number(messages.message().await?))),
        // The code asked for, in trailers after a message.
        "FailLate" => {
            let code = number(messages.message().await?);
            let _ = send.send(Ok(Bytes::from_static(b"first"))).await;
            let _ = send.send(Err(failure(code))).await;
        }
        _ => return Err(Status::unimplemented("no such method")),
    }
    let mut response = Response::new(ReceiverStream::new(receive));
    echoes(&metadata, response.metadata_mut());
    Ok(response)
}

fn number(message: Option<Bytes>) -> i32 {
    let message = message.expect("a message");
    let text = std::str::from_utf8(&message).expect("text");
    text.parse().expect("a number")
}

fn failure(code: i32) -> Status {
    let mut status = Status::new(Code::from_i32(code), "told to");
    let detail = tonic::metadata::MetadataValue::from_bytes(&[0, 255, 7]);
    status.metadata_mut().insert_bin("detail-bin", detail);
    status
}

/// Metadata whose name begins with `echo` goes back.
fn echoes(from: &MetadataMap, to: &mut MetadataMap) {
    for pair in from.iter() {
        match pair {
            KeyAndValueRef::Ascii(key, value) if key.as_str().starts_with("echo") => {
                to.append(key, value.clone());
            }
            KeyAndValueRef::Binary(key, value) if key.as_str().starts_with("echo") => {
                to.append_bin(key, value.clone());
            }
            _ => {}
        }
    }
}

/// A client of any service.
pub struct Client(pub tonic::client::Grpc<Channel>);

impl Client {
    /// Connects at once.
    pub async fn connect(address: SocketAddr) -> Self {
        let endpoint = Endpoint::from_shared(format!("http://{address}")).expect("a URL");
        let channel = within(endpoint.connect()).await.expect("a connection");
        Self(tonic::client::Grpc::new(channel))
    }

    /// One message there, one back.
    pub async fn unary(
        &mut self,
        path: &'static str,
        request: Request<Bytes>,
    ) -> Result<Response<Bytes>, Status> {
        within(self.0.ready()).await.expect("a connection");
        within(self.0.unary(request, PathAndQuery::from_static(path), Raw)).await
    }

    /// Messages there, one back.
    pub async fn client_stream(
        &mut self,
        path: &'static str,
        messages: Vec<&'static str>,
    ) -> Result<Response<Bytes>, Status> {
        within(self.0.ready()).await.expect("a connection");
        let messages = tonic::codegen::tokio_stream::iter(messages.into_iter().map(Bytes::from));
        let path = PathAndQuery::from_static(path);
        within(self.0.client_streaming(Request::new(messages), path, Raw)).await
    }

    /// One message there, messages back.
    pub async fn server_stream(
        &mut self,
        path: &'static str,
        message: &'static str,
    ) -> Result<Response<Streaming<Bytes>>, Status> {
        within(self.0.ready()).await.expect("a connection");
        let request = Request::new(Bytes::from(message));
        let path = PathAndQuery::from_static(path);
        within(self.0.server_streaming(request, path, Raw)).await
    }

    /// Messages both ways; the sender's messages leave as they are sent.
    pub async fn bidi(
        &mut self,
        path: &'static str,
    ) -> Result<(mpsc::Sender<Bytes>, Streaming<Bytes>), Status> {
        within(self.0.ready()).await.expect("a connection");
        let (send, receive) = mpsc::channel(16);
        let request = Request::new(ReceiverStream::new(receive));
        let path = PathAndQuery::from_static(path);
        let response = within(self.0.streaming(request, path, Raw)).await?;
        Ok((send, response.into_inner()))
    }
}
