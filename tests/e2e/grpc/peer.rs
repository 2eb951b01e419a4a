//! HTTP/2 peers that see and send what gRPC libraries hide: reset codes, trailers, GOAWAY.

use std::future::{Future, poll_fn};
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;
use h2::{Reason, RecvStream, SendStream};
use http::{HeaderMap, Request, Response};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Notify;

use super::super::background::{Background, listener, within};

/// One call as it reached the server.
pub struct Call {
    /// Which connection it came on, counted from 0.
    pub connection: usize,
    /// Head and body.
    pub request: Request<RecvStream>,
    /// The way back.
    pub respond: h2::server::SendResponse<Bytes>,
    /// Notified: the connection ends gracefully.
    pub goaway: Arc<Notify>,
}

impl Call {
    /// Reads the request to its end.
    pub async fn read(&mut self) -> (Vec<u8>, Option<HeaderMap>) {
        let body = self.request.body_mut();
        let bytes = read(body).await.expect("a whole body");
        (bytes, body.trailers().await.expect("an end"))
    }

    /// Sends a gRPC response's head.
    pub fn head(&mut self) -> SendStream<Bytes> {
        self.respond
            .send_response(grpc_head(), false)
            .expect("an open stream")
    }
}

/// Head of a successful gRPC response.
pub fn grpc_head() -> Response<()> {
    Response::builder()
        .header("content-type", "application/grpc")
        .body(())
        .expect("a head")
}

/// Trailers of a successful gRPC response.
pub fn grpc_ok() -> HeaderMap {
    HeaderMap::from_iter([(
        http::HeaderName::from_static("grpc-status"),
        http::HeaderValue::from_static("0"),
    )])
}

/// A server that does what a test's function does with each call; ends when dropped.
pub struct Server {
    address: SocketAddr,
    connections: Arc<AtomicUsize>,
    _running: Background,
}

impl Server {
    /// Answers calls with `answer`, as `settings` say.
    pub fn start<A, F>(settings: h2::server::Builder, answer: A) -> Self
    where
        A: Fn(Call) -> F + Clone + Send + 'static,
        F: Future<Output = ()> + Send + 'static,
    {
        let (listener, address) = listener();
        let connections = Arc::<AtomicUsize>::default();
        let counter = Arc::clone(&connections);
        let running = Background::run(move || async move {
            let listener = TcpListener::from_std(listener).expect("a usable socket");
            while let Ok((stream, _)) = listener.accept().await {
                let index = counter.fetch_add(1, Ordering::Relaxed);
                tokio::spawn(connection(stream, index, settings.clone(), answer.clone()));
            }
        });
        Self {
            address,
            connections,
            _running: running,
        }
    }

    /// Its URL.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Connections accepted so far.
    pub fn connections(&self) -> usize {
        self.connections.load(Ordering::Relaxed)
    }
}

async fn connection<A, F>(stream: TcpStream, index: usize, settings: h2::server::Builder, answer: A)
where
    A: Fn(Call) -> F,
    F: Future<Output = ()> + Send + 'static,
{
    let Ok(mut served) = settings.handshake::<_, Bytes>(stream).await else {
        return;
    };
    let goaway = Arc::new(Notify::new());
    loop {
        tokio::select! {
            accepted = served.accept() => {
                let Some(Ok((request, respond))) = accepted else {
                    return;
                };
                tokio::spawn(answer(Call {
                    connection: index,
                    request,
                    respond,
                    goaway: Arc::clone(&goaway),
                }));
            }
            () = goaway.notified() => served.graceful_shutdown(),
        }
    }
}

/// A caller's connection; closed when dropped.
pub struct Caller {
    send: h2::client::SendRequest<Bytes>,
    driver: tokio::task::JoinHandle<()>,
}

impl Drop for Caller {
    fn drop(&mut self) {
        self.driver.abort();
    }
}

/// A call under way.
pub struct Pending {
    /// The request's body.
    pub body: SendStream<Bytes>,
    /// The response to come.
    pub response: h2::client::ResponseFuture,
}

impl Caller {
    /// Connects with prior knowledge.
    pub async fn connect(address: SocketAddr) -> Self {
        let stream = within(TcpStream::connect(address))
            .await
            .expect("a connection");
        let (send, connection) = within(h2::client::handshake(stream)).await.expect("HTTP/2");
        let driver = tokio::spawn(async move {
            let _ = connection.await;
        });
        Self { send, driver }
    }

    /// Sends a gRPC request's head and leaves its body open.
    pub async fn call(&self, path: &str) -> Pending {
        let request = Request::post(format!("http://example.com{path}"))
            .header("content-type", "application/grpc")
            .header("te", "trailers")
            .body(())
            .expect("a head");
        let mut ready = within(self.send.clone().ready()).await.expect("a stream");
        let (response, body) = ready.send_request(request, false).expect("a stream");
        Pending { body, response }
    }

    /// Sends a bodyless request and waits for the answer's head.
    pub async fn get(&self, path: &str) -> Result<Response<RecvStream>, h2::Error> {
        let request = Request::get(format!("http://example.com{path}"))
            .body(())
            .expect("a head");
        let mut ready = within(self.send.clone().ready()).await.expect("a stream");
        let (response, _) = ready.send_request(request, true).expect("a stream");
        within(response).await
    }
}

impl Pending {
    /// Sends bytes and ends the request.
    pub fn finish(&mut self, bytes: &'static [u8]) {
        self.body
            .send_data(Bytes::from_static(bytes), true)
            .expect("an open stream");
    }

    /// The response's head.
    pub async fn head(&mut self) -> Result<Response<RecvStream>, h2::Error> {
        within(&mut self.response).await
    }
}

/// Reads a body up to its trailers.
pub async fn read(body: &mut RecvStream) -> Result<Vec<u8>, h2::Error> {
    let mut bytes = Vec::new();
    while let Some(chunk) = within(body.data()).await {
        let chunk = chunk?;
        let _ = body.flow_control().release_capacity(chunk.len());
        bytes.extend_from_slice(&chunk);
    }
    Ok(bytes)
}

/// The code the peer resets a stream with, once it does.
pub async fn reset(stream: &mut SendStream<Bytes>) -> Reason {
    within(poll_fn(|cx| stream.poll_reset(cx)))
        .await
        .expect("a reset")
}
