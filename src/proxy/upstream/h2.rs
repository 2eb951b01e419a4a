//! HTTP/2 connections to an upstream, shared by the requests of one worker.
//!
//! A connection takes as many streams as the upstream allows and [`MAX_STREAMS`] at the most;
//! when all are full another is opened, so no request waits behind somebody's watch.

use std::cell::{Cell, RefCell};
use std::future::{Future, poll_fn};
use std::pin::pin;
use std::rc::Rc;
use std::task::Poll;

use hyper::client::conn::http2::{Builder, Connection, SendRequest};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::sync::Notify;

use super::Version;
use super::connect::{Connected, Dialer};
use crate::listen::stream::Stream;
use crate::proxy::body::RequestBody;
use crate::proxy::local::{self, LocalExecutor};
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
    connections: RefCell<Vec<Rc<Shared>>>,
    connecting: RefCell<Option<Rc<Attempt>>>,
}

struct Shared {
    sender: SendRequest<RequestBody>,
    streams: Cell<usize>,
    /// What the upstream allows; 0 until its SETTINGS have come.
    allowed: Cell<usize>,
    closed: Cell<bool>,
    changed: Notify,
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
pub struct Slot(Rc<Shared>);

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
            connections: RefCell::new(Vec::new()),
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
        Ok(Shared::checkout(&shared))
    }

    /// A place on an open connection.
    pub fn free(&self) -> Option<Checkout> {
        let mut connections = self.connections.borrow_mut();
        connections.retain(|c| !c.closed.get() && !c.sender.is_closed());
        connections
            .iter()
            .find(|c| c.streams.get() < c.allowed.get().min(MAX_STREAMS))
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
        self.handshake(io).await.map_err(TakeError::Fault)?;
        Ok(())
    }

    /// Ends when the upstream's SETTINGS have come: only they say how many streams it takes.
    async fn handshake(self: &Rc<Self>, io: Stream) -> Result<Rc<Shared>, Fault> {
        let (sender, connection) = self
            .builder()
            .handshake(TokioIo::new(io))
            .await
            .map_err(|_| Fault::Connect)?;
        let shared = Rc::new(Shared {
            sender,
            streams: Cell::new(0),
            allowed: Cell::new(0),
            closed: Cell::new(false),
            changed: Notify::new(),
        });
        local::spawn(
            self.dialer.counters(),
            drive(connection, Rc::clone(&shared)),
        );
        let settled = async {
            while shared.allowed.get() == 0 && !shared.closed.get() {
                shared.changed.notified().await;
            }
        };
        tokio::time::timeout(self.dialer.connect_timeout(), settled)
            .await
            .map_err(|_| Fault::ConnectTimeout)?;
        if shared.closed.get() {
            return Err(Fault::Protocol);
        }
        self.connections.borrow_mut().push(Rc::clone(&shared));
        Ok(shared)
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
    fn checkout(shared: &Rc<Self>) -> Checkout {
        shared.streams.set(shared.streams.get() + 1);
        Checkout {
            sender: shared.sender.clone(),
            slot: Slot(Rc::clone(shared)),
        }
    }
}

/// Runs a connection to its end and keeps what is known of it current.
async fn drive(
    connection: Connection<TokioIo<Stream>, RequestBody, LocalExecutor>,
    shared: Rc<Shared>,
) {
    {
        let mut connection = pin!(connection);
        poll_fn(|cx| {
            let polled = connection.as_mut().poll(cx);
            let allowed = connection.current_max_send_streams();
            if shared.allowed.replace(allowed) != allowed {
                shared.changed.notify_waiters();
            }
            match polled {
                Poll::Ready(_) => Poll::Ready(()),
                Poll::Pending => Poll::Pending,
            }
        })
        .await;
    }
    shared.closed.set(true);
    shared.changed.notify_waiters();
}
