//! One caller's connection: from the socket to its last request.

use std::cell::Cell;
use std::future::Future;
use std::net::SocketAddr;
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use socket2::{SockRef, TcpKeepalive};
use tokio::io::{AsyncRead, AsyncWrite};

use super::activity::{Activity, Overdue, overdue};
use super::body::Incoming;
use super::caller::Caller;
use super::forwarded::Teller;
use super::http1::buffer;
use super::http2::authority::Lenient;
use super::http2::serve::Served;
use super::listener::{Listener, Slot};
use super::relay::{self, Relay};
use super::service::{self, Asked};
use super::share::Own;
use super::witness::Witnessed;
use super::worker::{Admission, Guards, Worker};
use crate::lifecycle::{Drain, Wait};
use crate::listen::accept::{Accepted, Socket};
use crate::listen::handshake::{self, Established, Refused};
use crate::listen::settings::Limits;
use crate::listen::sniff;
use crate::listen::stream::{Plain, Stream};
use crate::metrics::labels::{Refusal, RequestRefusal};

/// Silent callers are asked for a sign of life this often, by the kernel: a caller that vanished
/// during a watch must not hold it forever.
const KEEPALIVE: Duration = Duration::from_secs(60);

type Io = TokioIo<relay::Io>;

/// What the requests of one connection have in common.
pub struct Connection {
    /// The worker that serves it.
    pub worker: Rc<Worker>,
    /// Where its listener's current settings are found.
    pub slot: Rc<Slot>,
    /// Who calls.
    pub caller: Caller,
    /// The TCP peer.
    pub peer: Option<SocketAddr>,
    /// The address the caller connected to.
    pub local: Option<SocketAddr>,
    /// Whether the caller speaks TLS.
    pub tls: bool,
    /// Whether the caller speaks HTTP/2.
    pub http2: bool,
    /// Whether it came to a unix socket, in cleartext: nobody has a name there.
    pub unix: bool,
    /// What is said of the caller.
    pub teller: Teller,
    /// What the connection is doing.
    pub activity: Arc<Activity>,
    /// The server its TLS named (RFC 6066, section 3).
    pub server_name: Option<Box<str>>,
    /// Its own ways to the upstream, if it has any.
    pub own: Own,
    guards: Guards,
}

impl Connection {
    /// A connection without a socket, to rehearse with; over TLS and HTTP/2 if said so.
    pub fn unconnected(
        worker: Rc<Worker>,
        slot: Rc<Slot>,
        caller: Caller,
        (tls, http2): (bool, bool),
    ) -> Self {
        let gauge = slot.counters().connection();
        let guards = Guards::new(Drain::new().token(), Admission::new(Vec::new()), gauge);
        Self {
            worker,
            slot,
            peer: caller.address.map(|address| SocketAddr::new(address, 0)),
            local: None,
            tls,
            http2,
            unix: false,
            teller: Teller::new(caller.address, tls),
            caller,
            activity: Activity::new(http2),
            server_name: None,
            own: Own::default(),
            guards,
        }
    }

    /// Resolves when what is in flight must end now.
    pub fn cut(&self) -> Wait {
        self.guards.token.drain().cut()
    }
}

/// Serves one accepted socket to its end.
pub async fn serve(worker: Rc<Worker>, slot: Rc<Slot>, accepted: Accepted, guards: Guards) {
    let listener = slot.current();
    let cut = guards.token.drain().cut();
    if let Socket::Tcp(socket) = &accepted.socket {
        let keepalive = TcpKeepalive::new().with_time(KEEPALIVE);
        // Best effort: without it the connection works all the same.
        let _ = SockRef::from(socket).set_tcp_keepalive(&keepalive);
    }
    let establishing = handshake::establish(accepted, listener.tls.as_ref(), &listener.listen);
    let established = tokio::select! {
        established = establishing => established,
        () = cut => return,
    };
    match established {
        Ok(established) => run(worker, slot, &listener, established, guards).await,
        Err(refused) => count(&listener, refused),
    }
}

async fn run(
    worker: Rc<Worker>,
    slot: Rc<Slot>,
    listener: &Rc<Listener>,
    mut established: Established,
    guards: Guards,
) {
    let http2 = established.version == sniff::Version::Http2;
    let unix = matches!(established.stream.get_ref(), Stream::Plain(Plain::Unix(_)));
    let activity = Activity::new(http2);
    let connection = Rc::new(Connection {
        worker,
        slot,
        caller: Caller::of(&mut established),
        peer: established.peer,
        local: established.local,
        tls: established.tls,
        http2,
        unix,
        teller: Teller::new(established.client, established.tls),
        activity: Arc::clone(&activity),
        server_name: established.server_name,
        own: Own::default(),
        guards,
    });
    let io = Witnessed::new(established.stream, activity);
    let limits = &listener.listen.limits;
    if http2 && unix {
        serve_http2(Lenient::new(io), connection, limits).await;
    } else if http2 {
        serve_http2(io, connection, limits).await;
    } else if listener.speaks_http1() {
        relay_http1(io, connection, listener).await;
    } else {
        serve_http1(TokioIo::new(io), connection, limits).await;
    }
}

async fn relay_http1(io: relay::Io, connection: Rc<Connection>, listener: &Rc<Listener>) {
    let finishing = Rc::new(Cell::new(false));
    let served = Relay::new(
        io,
        Rc::clone(&connection),
        Rc::clone(listener),
        Rc::clone(&finishing),
    )
    .run();
    let finish = |_: Pin<&mut _>| finishing.set(true);
    drive(
        served,
        finish,
        |()| {},
        &connection,
        &listener.listen.limits,
    )
    .await;
}

async fn serve_http1(io: Io, connection: Rc<Connection>, limits: &Limits) {
    let shared = Rc::clone(&connection);
    let served = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(None)
        .preserve_header_case(true)
        .auto_date_header(false)
        .max_headers(limits.max_headers)
        .max_header_size(limits.max_header_bytes)
        .max_buf_size(buffer(limits.max_header_bytes))
        .serve_connection(
            io,
            service_fn(move |mut request| {
                let asked = Asked::over_http1(&mut request);
                let (head, body) = request.into_parts();
                service::serve(Rc::clone(&shared), head, Incoming::Http1(body), asked)
            }),
        )
        .with_upgrades();
    drive(
        served,
        |c| c.graceful_shutdown(),
        |ended| note(&connection, ended),
        &connection,
        limits,
    )
    .await;
}

async fn serve_http2<I>(io: I, connection: Rc<Connection>, limits: &Limits)
where
    I: AsyncRead + AsyncWrite + Unpin,
{
    let served = Served::new(io, Rc::clone(&connection), limits);
    drive(
        served,
        |served| served.get_mut().finish(),
        |_| {},
        &connection,
        limits,
    )
    .await;
}

/// Runs the engine until the connection ends, by itself or for one of our reasons.
async fn drive<C>(
    served: C,
    finish: impl Fn(Pin<&mut C>),
    note: impl FnOnce(C::Output),
    connection: &Rc<Connection>,
    limits: &Limits,
) where
    C: Future,
{
    let mut served = pin!(served);
    let mut watch = pin!(overdue(&connection.activity, limits));
    let mut draining = pin!(connection.guards.token.drain().draining());
    let mut finishing = false;
    loop {
        tokio::select! {
            biased;
            // First: an answer that is ready at the same time is the connection's last one.
            () = &mut draining, if !finishing => {
                finish(served.as_mut());
                finishing = true;
            }
            ended = &mut served => {
                note(ended);
                return;
            }
            over = &mut watch => {
                if over == Overdue::Head {
                    connection.slot.counters().request_refused(RequestRefusal::HeaderTimeout);
                    return;
                }
                // Asked to finish before, and still nothing but silence.
                if finishing {
                    return;
                }
                finish(served.as_mut());
                finishing = true;
                watch.set(overdue(&connection.activity, limits));
            }
            // HTTP/1 has no word for it, and need not know.
            () = connection.own.left(), if connection.http2 && !finishing => {
                finish(served.as_mut());
                finishing = true;
            }
            () = connection.cut() => return,
        }
    }
}

/// What the engine refused by itself, it has answered by itself: count it.
fn note(connection: &Connection, ended: hyper::Result<()>) {
    let Err(error) = ended else {
        return;
    };
    let reason = if error.is_parse_too_large() {
        RequestRefusal::HeadTooLarge
    } else if error.is_parse() {
        RequestRefusal::BadRequest
    } else {
        return;
    };
    connection.slot.counters().request_refused(reason);
}

fn count(listener: &Listener, refused: Refused) {
    let reason = match refused {
        Refused::TlsHandshake => Refusal::TlsHandshake,
        Refused::HeaderTimeout => Refusal::Timeout,
        Refused::ProxyProtocol => Refusal::ProxyProtocol,
        Refused::ProtocolRefused => Refusal::Protocol,
        // A port scan or a TCP probe: nothing was refused.
        Refused::Closed => return,
    };
    listener.counters.connection_refused(reason);
}
