//! A component that streams: HTTP/1.1 and HTTP/2 on one socket, TCP, unix or TLS, and what it
//! answers is code of the test.

use std::convert::Infallible;
use std::future::Future;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread::JoinHandle;

use http::{Request, Response};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, UnixListener};
use tokio::sync::oneshot;
use tokio_rustls::TlsAcceptor;

use super::caller::Body;

/// Where it listens.
pub enum Listen {
    /// A free port of the loopback.
    Tcp,
    /// A unix socket.
    Unix(PathBuf),
    /// TLS on a free port of the loopback.
    Tls(Arc<rustls::ServerConfig>),
}

/// What the TLS handshake told; among a request's extensions.
#[derive(Clone, Debug, Default)]
pub struct Handshake {
    /// Name the peer asked for.
    pub server_name: Option<String>,
    /// Certificates the peer presented.
    pub certificates: usize,
}

/// A running component; ends when dropped.
pub struct Server {
    url: String,
    address: Option<SocketAddr>,
    connections: Arc<AtomicUsize>,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Server {
    /// Serves as `serve` says.
    pub fn start<F, R>(listen: Listen, serve: F) -> Self
    where
        F: Fn(Request<Incoming>) -> R + Clone + Send + Sync + 'static,
        R: Future<Output = Response<Body>> + Send + 'static,
    {
        let connections = Arc::new(AtomicUsize::new(0));
        let (stop, stopped) = oneshot::channel();
        let (ready, listening) = std::sync::mpsc::channel();
        let counter = Arc::clone(&connections);
        let thread = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .expect("a runtime");
            runtime.block_on(async move {
                let accepting = async {
                    match listen {
                        Listen::Tcp => {
                            let listener = tcp(&ready).await;
                            loop {
                                let stream = listener.accept().await.expect("a connection").0;
                                let _ = stream.set_nodelay(true);
                                connection(stream, Handshake::default(), &serve, &counter);
                            }
                        }
                        Listen::Unix(path) => {
                            let listener = UnixListener::bind(path).expect("a socket");
                            ready.send(None).expect("it waits");
                            loop {
                                let stream = listener.accept().await.expect("a connection").0;
                                connection(stream, Handshake::default(), &serve, &counter);
                            }
                        }
                        Listen::Tls(config) => {
                            let (listener, tls) = (tcp(&ready).await, TlsAcceptor::from(config));
                            loop {
                                let stream = listener.accept().await.expect("a connection").0;
                                let Ok(stream) = tls.accept(stream).await else {
                                    continue;
                                };
                                let session = stream.get_ref().1;
                                let handshake = Handshake {
                                    server_name: session.server_name().map(str::to_owned),
                                    certificates: session.peer_certificates().map_or(0, <[_]>::len),
                                };
                                connection(stream, handshake, &serve, &counter);
                            }
                        }
                    }
                };
                tokio::select! {
                    () = accepting => {}
                    _ = stopped => {}
                }
            });
        });
        let address: Option<SocketAddr> = listening.recv().expect("it listens");
        Self {
            url: address.map_or_else(String::new, |address| format!("http://{address}")),
            address,
            connections,
            stop: Some(stop),
            thread: Some(thread),
        }
    }

    /// Its URL on cleartext TCP.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Its TCP port.
    pub fn port(&self) -> u16 {
        self.address.expect("TCP").port()
    }

    /// Connections it has accepted (after the TLS handshake, if there is one).
    pub fn connections(&self) -> usize {
        self.connections.load(Ordering::SeqCst)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

async fn tcp(ready: &std::sync::mpsc::Sender<Option<SocketAddr>>) -> TcpListener {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = listener.local_addr().expect("an address");
    ready.send(Some(address)).expect("it waits");
    listener
}

fn connection<S, F, R>(stream: S, handshake: Handshake, serve: &F, counter: &AtomicUsize)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    F: Fn(Request<Incoming>) -> R + Clone + Send + Sync + 'static,
    R: Future<Output = Response<Body>> + Send + 'static,
{
    counter.fetch_add(1, Ordering::SeqCst);
    let serve = serve.clone();
    tokio::spawn(async move {
        let service = service_fn(move |mut request: Request<Incoming>| {
            request.extensions_mut().insert(handshake.clone());
            let answer = serve(request);
            async move { Ok::<_, Infallible>(answer.await) }
        });
        let mut builder = auto::Builder::new(TokioExecutor::new());
        builder.http1().auto_date_header(false);
        // One stuck stream must not stop the others: that would be the component's doing.
        builder
            .http2()
            .auto_date_header(false)
            .initial_stream_window_size(1 << 20)
            .initial_connection_window_size(1 << 26);
        let _ = builder
            .serve_connection_with_upgrades(TokioIo::new(stream), service)
            .await;
    });
}
