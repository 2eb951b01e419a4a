//! HTTP/2 connections to an upstream, shared by the requests of one worker.
//!
//! A connection takes as many streams as the upstream allows and `MAX_STREAMS` at the most;
//! when all are full another is opened, so no request waits behind somebody's watch.

pub mod keepalive;
mod leave;
mod seen;
#[cfg(test)]
mod tests;
mod windows;

use std::cell::{Cell, RefCell};
use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use bytes::Bytes;
use h2::client::{Builder, Connection as Engine, ResponseFuture, SendRequest};
use h2::{Ping, PingPong, SendStream};
use http::Request;
use tokio::sync::Notify;
use tokio::time::Instant;

use self::keepalive::Pings;
use self::leave::Leave;
use self::seen::Seen;
use self::windows::{OWN, SHARED, Windows};

use super::connect::{Connected, Dialer};
use super::shared::Shared;
use super::via::Via;
use super::{IDLE_TIMEOUT, Version};
use crate::listen::stream::Stream;
use crate::proxy::local;
use crate::proxy::witness::Witnessed;
use crate::span::record::Fault;

/// Streams per connection, whatever the upstream allows.
const MAX_STREAMS: usize = 128;

/// Bytes of a request that may wait for a slow upstream, per stream.
const SEND_BUFFER: usize = 1024 * 1024;

/// Connections of one worker to one upstream.
pub struct Pool {
    dialer: Rc<Dialer>,
    connections: RefCell<Vec<Rc<Connection>>>,
    /// A burst of requests makes one connection.
    connecting: Shared<Result<(), TakeError>>,
    /// Told when the upstream has taken leave of a connection: of one caller's own.
    left: Option<Rc<Notify>>,
    windows: &'static Windows,
}

/// A connection: the pool and the requests on it hold it. When all have let go it ends.
struct Connection {
    sender: SendRequest<Bytes>,
    via: Via,
    streams: Cell<usize>,
    /// Whether it has carried a request.
    used: Cell<bool>,
    /// Since when it is known to carry no stream.
    idle: Cell<Option<Instant>>,
    state: Rc<State>,
}

/// What whoever drives a connection tells of it.
#[derive(Default)]
struct State {
    closed: Cell<bool>,
    /// Its change is also notified when the connection has closed.
    seen: Seen,
    /// The silence after which it was pinged last.
    pinged: Cell<Option<Duration>>,
    /// Nobody holds the connection any more.
    abandoned: Notify,
}

/// Why there is no stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TakeError {
    /// The way to the upstream failed.
    Fault(Fault),
    /// ALPN chose HTTP/1.1 where HTTP/2 was spoken before.
    SpeaksHttp1,
}

/// A stream's place on a connection, held until dropped.
pub struct Slot {
    connection: Rc<Connection>,
    sender: SendRequest<Bytes>,
    /// Whether the connection has carried a request before.
    pub reused: bool,
    /// Held by the request's body, too, while that is on its way; says whether it broke off
    /// because it wasn't HTTP: the reset sent for it doesn't tell.
    shared: Option<Rc<Cell<bool>>>,
}

/// The place of a stream whose answer may end before the request's body does: whichever ends
/// last frees it.
pub struct Upload {
    connection: Rc<Connection>,
    shared: Rc<Cell<bool>>,
}

impl Slot {
    /// Sends a request's head; with `ends` there is nothing behind it.
    ///
    /// # Errors
    /// When the engine refuses the head, or the connection has just failed.
    pub fn send(
        &mut self,
        head: Request<()>,
        ends: bool,
    ) -> Result<(ResponseFuture, SendStream<Bytes>), h2::Error> {
        self.sender.send_request(head, ends)
    }

    /// Where the connection leads.
    pub fn via(&self) -> Via {
        self.connection.via
    }

    /// The same place, for the request's body to hold.
    pub fn upload(&mut self) -> Upload {
        let shared = self.shared.get_or_insert_default();
        Upload {
            connection: Rc::clone(&self.connection),
            shared: Rc::clone(shared),
        }
    }

    /// Whether the request's body broke off because it wasn't HTTP.
    pub fn upload_was_malformed(&self) -> bool {
        self.shared.as_ref().is_some_and(|shared| shared.get())
    }
}

impl Upload {
    /// The body has left, or broken off; `malformed`: because it wasn't HTTP.
    pub fn ended(self, malformed: bool) {
        self.shared.set(malformed);
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        let last = |shared| Rc::strong_count(shared) == 1;
        if self.shared.as_ref().is_none_or(last) {
            self.connection.ended();
        }
    }
}

impl Drop for Upload {
    fn drop(&mut self) {
        if Rc::strong_count(&self.shared) == 1 {
            self.connection.ended();
        }
    }
}

impl Pool {
    /// An empty pool.
    pub fn new(dialer: Rc<Dialer>, left: Option<Rc<Notify>>) -> Rc<Self> {
        Rc::new(Self {
            dialer,
            windows: if left.is_some() { &OWN } else { &SHARED },
            left,
            connections: RefCell::default(),
            connecting: Shared::default(),
        })
    }

    /// A place on an open connection, or on a new one.
    pub async fn take(self: &Rc<Self>) -> Result<Slot, TakeError> {
        loop {
            if let Some(slot) = self.free() {
                return Ok(slot);
            }
            let broken = Err(TakeError::Fault(Fault::Internal));
            let connect = || {
                let pool = Rc::clone(self);
                async move { pool.connect().await }
            };
            let counters = self.dialer.counters();
            self.connecting.join(counters, broken, connect).await?;
            // It may have been used up by others already: look again.
        }
    }

    /// Starts HTTP/2 on a connection that is already there.
    pub async fn open(&self, connected: Connected) -> Result<(), Fault> {
        let connection = self.handshake(connected.io, connected.via).await?;
        self.connections.borrow_mut().push(connection);
        Ok(())
    }

    /// Lets connections go that have been idle too long, or have ended.
    pub fn sweep(&self) {
        self.connections
            .borrow_mut()
            .retain(|connection| connection.is_wanted());
    }

    /// A place on an open connection.
    pub fn free(&self) -> Option<Slot> {
        let mut connections = self.connections.borrow_mut();
        let mut at = 0;
        while let Some(connection) = connections.get(at) {
            if connection.state.closed.get() {
                connections.swap_remove(at);
                self.tell_left();
            } else if connection.is_full() {
                at += 1;
            } else if let Some(slot) = connection.slot() {
                return Some(slot);
            } else {
                // It takes leave: the streams it has are served to their end.
                connections.swap_remove(at);
                self.tell_left();
            }
        }
        None
    }

    fn tell_left(&self) {
        if let Some(left) = &self.left {
            left.notify_one();
        }
    }

    async fn connect(&self) -> Result<(), TakeError> {
        let connected = self
            .dialer
            .dial(Some(Version::Http2))
            .await
            .map_err(TakeError::Fault)?;
        if connected.version == Version::Http1 {
            return Err(TakeError::SpeaksHttp1);
        }
        self.open(connected).await.map_err(TakeError::Fault)
    }

    /// Ends when the upstream's SETTINGS have come: only they say how many streams it takes.
    async fn handshake(&self, io: Stream, via: Via) -> Result<Rc<Connection>, Fault> {
        let tls = matches!(io, Stream::ClientTls(_));
        let state = Rc::new(State::default());
        let io = Witnessed::new(io, Rc::clone(&state));
        let (sender, mut engine) = Builder::new()
            .initial_max_send_streams(0)
            .initial_window_size(self.windows.stream)
            .initial_connection_window_size(self.windows.connection)
            .max_send_buffer_size(SEND_BUFFER)
            .data_frame_budget(self.windows.frames)
            .max_header_list_size(self.dialer.head_limits().bytes_u32())
            // Frames that come late for a cancelled stream are counted as faults for a connection's
            // whole life: callers that cancel must not end it for those that don't.
            .max_local_error_reset_streams(None)
            .enable_push(false)
            .handshake(io)
            .await
            .map_err(|_| Fault::Connect)?;
        let pings = self.dialer.pings();
        let alive = keepalive::watch(Rc::clone(pings), engine.ping_pong(), Rc::clone(&state));
        let leave = Leave::new(&sender, self.left.as_ref());
        local::spawn(
            self.dialer.counters(),
            drive(engine, alive, Rc::clone(pings), leave, Rc::clone(&state)),
        );
        let connection = Rc::new(Connection {
            sender,
            via,
            streams: Cell::new(0),
            used: Cell::new(false),
            idle: Cell::new(None),
            state,
        });
        tokio::time::timeout(self.dialer.connect_timeout(), connection.settled())
            .await
            .map_err(|_| Fault::ConnectTimeout)?;
        let state = &connection.state;
        if state.closed.get() {
            return Err(match (state.seen.reads() > 0, tls) {
                (true, _) => Fault::Protocol,
                // Under TLS 1.3 a peer refuses our certificate, or its lack, after the handshake.
                (false, true) => Fault::Tls,
                (false, false) => Fault::ConnectionClosed,
            });
        }
        Ok(connection)
    }
}

impl Connection {
    /// Streams the upstream allows; 0 until its SETTINGS have come.
    fn allowed(&self) -> usize {
        self.sender.current_max_send_streams()
    }

    fn is_full(&self) -> bool {
        let streams = self.streams.get();
        streams >= MAX_STREAMS || streams >= self.allowed()
    }

    /// A place for a stream; `None` once the upstream has taken leave.
    fn slot(self: &Rc<Self>) -> Option<Slot> {
        // Each request sends by a handle of its own: one that was used may be waiting.
        let mut sender = self.sender.clone();
        let ready = sender.poll_ready(&mut Context::from_waker(Waker::noop()));
        if !matches!(ready, Poll::Ready(Ok(()))) {
            return None;
        }
        self.streams.set(self.streams.get() + 1);
        self.idle.set(None);
        Some(Slot {
            connection: Rc::clone(self),
            sender,
            reused: self.used.replace(true),
            shared: None,
        })
    }

    /// A stream has.
    fn ended(&self) {
        self.streams.set(self.streams.get() - 1);
    }

    /// Whether it is worth keeping. Idle time counts from the first look that found it so: a
    /// request need not ask the clock.
    fn is_wanted(&self) -> bool {
        let idle = self.streams.get() == 0;
        let since = idle.then(|| self.idle.get().unwrap_or_else(Instant::now));
        self.idle.set(since);
        !self.state.closed.get() && since.is_none_or(|since| since.elapsed() < IDLE_TIMEOUT)
    }

    /// Resolves when the upstream's SETTINGS have come, or nothing can come any more.
    async fn settled(&self) {
        while self.allowed() == 0 && !self.state.closed.get() {
            self.state.seen.changed.notified().await;
        }
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.state.abandoned.notify_one();
    }
}

/// Tells that a connection has ended when dropped.
struct Driver(Rc<State>);

impl Drop for Driver {
    fn drop(&mut self) {
        self.0.closed.set(true);
        self.0.seen.changed.notify_waiters();
    }
}

/// Runs a connection to its end: the upstream's, ours when nobody holds it, or its health's.
async fn drive(
    mut engine: Engine<Witnessed<Stream, Rc<State>>, Bytes>,
    alive: impl Future<Output = ()>,
    pings: Rc<Pings>,
    mut leave: Leave,
    state: Rc<State>,
) {
    let driver = Driver(state);
    let mut alive = pin!(alive);
    let mut abandoned = pin!(driver.0.abandoned.notified());
    let mut let_go = false;
    // How it ended is told to the requests that were under way.
    poll_fn(|cx| {
        // The engine says goodbye when it is polled after the last handle has gone.
        if !let_go && abandoned.as_mut().poll(cx).is_ready() {
            let_go = true;
            leave.forget();
        }
        if alive.as_mut().poll(cx).is_ready() {
            return Poll::Ready(());
        }
        let ended = Pin::new(&mut engine).poll(cx);
        leave.look(&driver.0);
        ended.map(|ended| {
            if let Err(error) = ended {
                pings.ended(&error, driver.0.pinged.get());
            }
        })
    })
    .await;
}
