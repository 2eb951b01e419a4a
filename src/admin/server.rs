//! The servers' connections: few, short, and the newest wins.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::future::Future;
use std::io;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream, UnixListener, UnixStream};
use tokio::task::{AbortHandle, JoinSet};
use tokio::time;

use super::State;
use super::access::Via;
use super::handler::{self, Role};

/// Connections at once.
const MAX_CONNECTIONS: usize = 64;
/// From a connection's first moment to its complete head.
const HEADER_TIMEOUT: Duration = Duration::from_secs(5);
/// A connection carries one request and must be over by then.
const CONNECTION_TIMEOUT: Duration = Duration::from_secs(30);
/// Bytes of a head.
const MAX_HEAD: usize = 16 * 1024;
/// Pause after a failed accept, out of descriptors for example.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
/// How long answers on their way may take when the server stops.
const STOP_GRACE: Duration = Duration::from_secs(1);

/// A bound, listening socket.
pub enum Listener {
    /// TCP.
    Tcp(std::net::TcpListener),
    /// A unix socket; its file's permissions say who may change state.
    Unix(std::os::unix::net::UnixListener),
}

enum Socket {
    Tcp(TcpListener),
    Unix(UnixListener),
}

enum Stream {
    Tcp(TcpStream, Via),
    Unix(UnixStream),
}

struct Server {
    role: Role,
    state: Arc<State>,
}

/// Connections being served, oldest first.
#[derive(Default)]
struct Connections {
    tasks: JoinSet<()>,
    order: VecDeque<AbortHandle>,
}

/// Serves until `stop` resolves; answers on their way get a moment to leave.
pub(super) async fn serve(
    listener: Listener,
    role: Role,
    state: Arc<State>,
    stop: impl Future<Output = ()>,
) -> io::Result<()> {
    let socket = Socket::new(listener)?;
    let server = Arc::new(Server { role, state });
    let mut connections = Connections::default();
    let mut stop = pin!(stop);
    loop {
        let accepted = tokio::select! {
            biased;
            () = &mut stop => break,
            Some(_) = connections.tasks.join_next() => continue,
            accepted = socket.accept() => accepted,
        };
        match accepted {
            Ok(Stream::Tcp(stream, via)) => {
                connections.spawn(Arc::clone(&server).connection(stream, via));
            }
            Ok(Stream::Unix(stream)) => {
                connections.spawn(Arc::clone(&server).connection(stream, Via::Unix));
            }
            Err(error) => {
                tracing::warn!(%error, "health or admin server can't accept");
                time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
    drop(socket);
    let rest = async { while connections.tasks.join_next().await.is_some() {} };
    let _ = time::timeout(STOP_GRACE, rest).await;
    Ok(())
}

impl Socket {
    fn new(listener: Listener) -> io::Result<Self> {
        Ok(match listener {
            Listener::Tcp(listener) => {
                listener.set_nonblocking(true)?;
                Self::Tcp(TcpListener::from_std(listener)?)
            }
            Listener::Unix(listener) => {
                listener.set_nonblocking(true)?;
                Self::Unix(UnixListener::from_std(listener)?)
            }
        })
    }

    async fn accept(&self) -> io::Result<Stream> {
        match self {
            Self::Tcp(listener) => {
                let (stream, _) = listener.accept().await?;
                let via = Via::Tcp(stream.local_addr()?);
                Ok(Stream::Tcp(stream, via))
            }
            Self::Unix(listener) => Ok(Stream::Unix(listener.accept().await?.0)),
        }
    }
}

impl Connections {
    /// Whoever holds connections open must not keep a kubelet's probe out, so the oldest goes.
    fn spawn(&mut self, connection: impl Future<Output = ()> + Send + 'static) {
        self.order.retain(|task| !task.is_finished());
        if self.order.len() >= MAX_CONNECTIONS
            && let Some(oldest) = self.order.pop_front()
        {
            oldest.abort();
        }
        self.order.push_back(self.tasks.spawn(connection));
    }
}

impl Server {
    async fn connection(
        self: Arc<Self>,
        stream: impl AsyncRead + AsyncWrite + Send + Unpin + 'static,
        via: Via,
    ) {
        let service = service_fn(|request| {
            let server = Arc::clone(&self);
            async move { Ok::<_, Infallible>(server.answer(via, request).await) }
        });
        let connection = http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(HEADER_TIMEOUT)
            .keep_alive(false)
            .max_buf_size(MAX_HEAD)
            .serve_connection(TokioIo::new(stream), service);
        // Whatever went wrong, the caller is at fault and already gone.
        let _ = time::timeout(CONNECTION_TIMEOUT, connection).await;
    }

    async fn answer(
        &self,
        via: Via,
        request: http::Request<hyper::body::Incoming>,
    ) -> super::reply::Reply {
        handler::handle(&self.role, &self.state, via, request).await
    }
}
