//! HTTP/2 connections to an upstream, shared by the requests of one worker.
//!
//! A connection takes as many streams as the upstream allows and `MAX_STREAMS` at the most;
//! when all are full another is opened, so no request waits behind somebody's watch.

mod seen;

use std::cell::{Cell, RefCell};
use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::rc::Rc;
use std::task::Poll;

use hyper::client::conn::http2::{Builder, SendRequest};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::sync::Notify;

use self::seen::Seen;

use super::Version;
use super::connect::{Connected, Dialer};
use crate::listen::stream::Stream;
use crate::proxy::body::RequestBody;
use crate::proxy::local::{self, LocalExecutor};
use crate::proxy::witness::Witnessed;
use crate::span::record::Fault;

/// Streams per connection, whatever the upstream allows.
const MAX_STREAMS: usize = 128;

/// Bytes an upstream may send ahead on one stream.
const STREAM_WINDOW: u32 = 512 * 1024;

/// Bytes an upstream may send ahead on one connection: every stream's share, so that slow
/// readers don't starve the others.
const CONNECTION_WINDOW: u32 = STREAM_WINDOW * MAX_STREAMS as u32;

/// Connections of one worker to one upstream.
pub struct Pool {
    dialer: Rc<Dialer>,
    connections: RefCell<Vec<Shared>>,
    connecting: RefCell<Option<Rc<Attempt>>>,
}

type Io = Witnessed<Stream, Rc<Seen>>;
type Engine = hyper::client::conn::http2::Connection<TokioIo<Io>, RequestBody, LocalExecutor>;

/// A connection in the pool. It ends when the last sender is gone: the pool's and those of
/// requests.
struct Shared {
    sender: SendRequest<RequestBody>,
    connection: Rc<Connection>,
}

/// What is known of a connection.
struct Connection {
    /// Gone once the connection has ended.
    engine: RefCell<Option<Engine>>,
    streams: Cell<usize>,
    closed: Cell<bool>,
    /// Its change is also notified when the connection has closed.
    seen: Rc<Seen>,
}

/// One connection being made, awaited by everybody who needs it.
#[derive(Default)]
struct Attempt {
    outcome: Cell<Option<Result<(), TakeError>>>,
    done: Notify,
}

/// Why there is no stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TakeError {
    /// The way to the upstream failed.
    Fault(Fault),
    /// ALPN chose HTTP/1.1 where HTTP/2 was spoken before.
    SpeaksHttp1,
}

/// A stream's place on a connection.
pub struct Checkout {
    /// Sends one request.
    pub sender: SendRequest<RequestBody>,
    /// Counts the stream until dropped.
    pub slot: Slot,
}

/// Counts a stream until dropped.
pub struct Slot(Rc<Connection>);

impl Drop for Slot {
    fn drop(&mut self) {
        self.0.streams.set(self.0.streams.get() - 1);
    }
}

impl Pool {
    /// An empty pool.
    pub fn new(dialer: Rc<Dialer>) -> Rc<Self> {
        Rc::new(Self {
            dialer,
            connections: RefCell::default(),
            connecting: RefCell::new(None),
        })
    }

    /// A place on an open connection, or on a new one.
    pub async fn take(self: &Rc<Self>) -> Result<Checkout, TakeError> {
        loop {
            if let Some(checkout) = self.free() {
                return Ok(checkout);
            }
            let attempt = self.attempt();
            let done = attempt.done.notified();
            if attempt.outcome.get().is_none() {
                done.await;
            }
            // Success may have been used up by others already: look again.
            if let Some(Err(error)) = attempt.outcome.get() {
                return Err(error);
            }
        }
    }

    /// Starts HTTP/2 on a connection that is already there.
    pub async fn open(self: &Rc<Self>, io: Stream) -> Result<Checkout, Fault> {
        let shared = self.handshake(io).await?;
        let checkout = shared.checkout();
        self.connections.borrow_mut().push(shared);
        Ok(checkout)
    }

    /// A place on an open connection.
    pub fn free(&self) -> Option<Checkout> {
        let mut connections = self.connections.borrow_mut();
        connections.retain(|c| !c.connection.closed.get() && !c.sender.is_closed());
        connections
            .iter()
            .find(|c| c.connection.streams.get() < c.connection.allowed().min(MAX_STREAMS))
            .map(Shared::checkout)
    }

    /// The attempt under way, or a new one: a burst of requests makes one connection.
    fn attempt(self: &Rc<Self>) -> Rc<Attempt> {
        let mut connecting = self.connecting.borrow_mut();
        if let Some(attempt) = &*connecting {
            return Rc::clone(attempt);
        }
        let attempt = Rc::new(Attempt::default());
        *connecting = Some(Rc::clone(&attempt));
        let (pool, promise) = (Rc::clone(self), Rc::clone(&attempt));
        // Its own task: the request that asked for it may be cancelled, others still wait.
        local::spawn(self.dialer.counters(), async move {
            let outcome = pool.connect().await;
            pool.connecting.borrow_mut().take();
            promise.outcome.set(Some(outcome));
            promise.done.notify_waiters();
        });
        attempt
    }

    async fn connect(self: &Rc<Self>) -> Result<(), TakeError> {
        let Connected { io, version } = self
            .dialer
            .dial(Some(Version::Http2))
            .await
            .map_err(TakeError::Fault)?;
        if version == Version::Http1 {
            return Err(TakeError::SpeaksHttp1);
        }
        let shared = self.handshake(io).await.map_err(TakeError::Fault)?;
        self.connections.borrow_mut().push(shared);
        Ok(())
    }

    /// Ends when the upstream's SETTINGS have come: only they say how many streams it takes.
    async fn handshake(&self, io: Stream) -> Result<Shared, Fault> {
        let tls = matches!(io, Stream::ClientTls(_));
        let seen = Rc::new(Seen::default());
        let io = TokioIo::new(Witnessed::new(io, Rc::clone(&seen)));
        let (sender, engine) = self
            .builder()
            .handshake(io)
            .await
            .map_err(|_| Fault::Connect)?;
        let connection = Rc::new(Connection {
            engine: RefCell::new(Some(engine)),
            streams: Cell::new(0),
            closed: Cell::new(false),
            seen,
        });
        local::spawn(self.dialer.counters(), drive(Rc::clone(&connection)));
        tokio::time::timeout(self.dialer.connect_timeout(), connection.settled())
            .await
            .map_err(|_| Fault::ConnectTimeout)?;
        if connection.closed.get() {
            return Err(match (connection.seen.came.get(), tls) {
                (true, _) => Fault::Protocol,
                // Under TLS 1.3 a peer refuses our certificate, or its lack, after the handshake.
                (false, true) => Fault::Tls,
                (false, false) => Fault::ConnectionClosed,
            });
        }
        Ok(Shared { sender, connection })
    }

    fn builder(&self) -> Builder<LocalExecutor> {
        let mut builder = Builder::new(LocalExecutor::new(self.dialer.counters()));
        builder
            .timer(TokioTimer::new())
            .initial_max_send_streams(0)
            .initial_stream_window_size(STREAM_WINDOW)
            .initial_connection_window_size(CONNECTION_WINDOW)
            .max_header_list_size(self.dialer.head_limits().bytes_u32())
            .keep_alive_interval(self.dialer.http2_ping())
            .keep_alive_timeout(self.dialer.ping_timeout())
            .keep_alive_while_idle(true);
        builder
    }
}

impl Shared {
    fn checkout(&self) -> Checkout {
        let connection = &self.connection;
        connection.streams.set(connection.streams.get() + 1);
        Checkout {
            sender: self.sender.clone(),
            slot: Slot(Rc::clone(connection)),
        }
    }
}

impl Connection {
    /// Streams the upstream allows; 0 until its SETTINGS have come.
    fn allowed(&self) -> usize {
        let Ok(engine) = self.engine.try_borrow() else {
            return 0;
        };
        engine.as_ref().map_or(0, Engine::current_max_send_streams)
    }

    /// Resolves when the upstream's SETTINGS have come, or nothing can come any more.
    async fn settled(&self) {
        while self.allowed() == 0 && !self.closed.get() {
            self.seen.changed.notified().await;
        }
    }
}

/// Ends what is known of a connection when dropped: what is still queued in its engine goes
/// back to the requests that wait for it.
struct Driver(Rc<Connection>);

impl Drop for Driver {
    fn drop(&mut self) {
        self.0.closed.set(true);
        let engine = self.0.engine.take();
        drop(engine);
        self.0.seen.changed.notify_waiters();
    }
}

/// Runs a connection to its end.
async fn drive(connection: Rc<Connection>) {
    let driver = Driver(connection);
    // How it ended is told to the requests that were under way.
    poll_fn(|cx| match &mut *driver.0.engine.borrow_mut() {
        Some(engine) => Pin::new(engine).poll(cx).map(|_| ()),
        None => Poll::Ready(()),
    })
    .await;
}
