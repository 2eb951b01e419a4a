//! HTTP/2 as streams: reset codes, GOAWAY and windows as they are on the wire.

use std::future::Future;
use std::net::SocketAddr;
use std::thread::JoinHandle;
use std::time::Duration;

use bytes::Bytes;
use h2::client::SendRequest;
use http::{HeaderMap, Method, Request};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::oneshot;

use super::component::PATIENCE;

/// A stream on which requests are sent.
pub type Streams = SendRequest<Bytes>;

/// The connection's end.
pub type Ended = tokio::task::JoinHandle<Result<(), h2::Error>>;

/// Runs a test's own part, bounded in time.
pub fn run<T>(test: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime");
    runtime.block_on(async {
        tokio::time::timeout(PATIENCE * 2, test)
            .await
            .expect("the test ends in time")
    })
}

/// Waits for something that must come.
pub async fn soon<T>(event: impl Future<Output = T>) -> T {
    tokio::time::timeout(PATIENCE, event)
        .await
        .expect("it happens in time")
}

/// Waits until a condition holds.
pub async fn until(mut holds: impl FnMut() -> bool) {
    soon(async {
        while !holds() {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    })
    .await;
}

/// Connects with prior knowledge.
pub async fn connect(address: SocketAddr) -> (Streams, Ended) {
    let socket = TcpStream::connect(address).await.expect("a connection");
    let (streams, connection) = h2::client::handshake(socket).await.expect("HTTP/2");
    let ended = tokio::spawn(connection);
    (soon(streams.ready()).await.expect("SETTINGS"), ended)
}

/// A request.
pub fn request(method: Method, address: SocketAddr, path: &str) -> Request<()> {
    Request::builder()
        .method(method)
        .uri(format!("http://{address}{path}"))
        .body(())
        .expect("a request")
}

/// Reads a body to its end.
pub async fn collect(body: &mut h2::RecvStream) -> Result<(Vec<u8>, Option<HeaderMap>), h2::Error> {
    let mut bytes = Vec::new();
    while let Some(data) = body.data().await {
        let data = data?;
        let _ = body.flow_control().release_capacity(data.len());
        bytes.extend_from_slice(&data);
    }
    Ok((bytes, body.trailers().await?))
}

/// A component written as streams, on a thread of its own; cut off when dropped.
pub struct Upstream {
    address: SocketAddr,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Upstream {
    /// `script` accepts and serves; tasks it spawns end with it.
    pub fn start<F>(script: impl FnOnce(TcpListener) -> F + Send + 'static) -> Self
    where
        F: Future<Output = ()>,
    {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
        listener.set_nonblocking(true).expect("a usable socket");
        let address = listener.local_addr().expect("an address");
        let (stop, stopped) = oneshot::channel::<()>();
        let thread = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .expect("a runtime");
            runtime.block_on(async move {
                let listener = TcpListener::from_std(listener).expect("a usable socket");
                tokio::select! {
                    () = script(listener) => {}
                    _ = stopped => {}
                }
            });
        });
        Self {
            address,
            stop: Some(stop),
            thread: Some(thread),
        }
    }

    /// Its URL.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }
}

impl Drop for Upstream {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
            && !std::thread::panicking()
        {
            panic!("the component's script failed");
        }
    }
}

/// Accepts one connection as HTTP/2.
pub async fn accept(listener: &TcpListener) -> h2::server::Connection<TcpStream, Bytes> {
    let (socket, _) = listener.accept().await.expect("a connection");
    h2::server::handshake(socket).await.expect("HTTP/2")
}
