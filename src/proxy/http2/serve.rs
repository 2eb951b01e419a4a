//! A caller's HTTP/2 connection: its streams are accepted, answered each by a task of its own.

use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use h2::Reason;
use h2::server::{Builder, Connection as Engine, Handshake, SendResponse};
use http::{Method, Request, Response, header};
use http_body::Body as _;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::oneshot;

use super::authority;
use super::duplex::Duplex;
use super::frames::Frames;
use super::pump::Pump;
use crate::listen::settings::Limits;
use crate::proxy::body::{Incoming, ResponseBody};
use crate::proxy::connection::Connection;
use crate::proxy::local;
use crate::proxy::service::{self, Asked, Said, Serving};
use crate::proxy::settings::Share;
use crate::proxy::tunnel::Promise;

/// Bytes a caller may send ahead on one stream.
const STREAM_WINDOW: u32 = 512 * 1024;

/// Bytes a caller may send ahead on one connection.
const CONNECTION_WINDOW: u32 = 4 * 1024 * 1024;

/// Bytes of a response that the caller's windows take, and its socket doesn't, per stream.
const SEND_BUFFER: usize = 128 * 1024;

/// The same where a caller's connection has upstream connections of its own: a frame.
const SMALL_SEND_BUFFER: usize = 16 * 1024;

/// What small DATA frames nobody has read may cost beyond their bytes, per connection: the engine
/// keeps about 256 bytes for each, and ends the connection beyond this. Sixteen uploads of a few
/// bytes a message, as streaming calls send them, may wait for a stalled upstream.
///
/// With [`CONNECTION_WINDOW`] it bounds what a caller can pin by not being read: 20 MiB.
const FRAME_BUDGET: usize = 16 * 1024 * 1024;

/// Streams that were answered before their request had ended, and how long the engine remembers
/// them: what comes late for one of them is no fault of the caller's. About half a KiB each.
const ANSWERED_EARLY: usize = 2048;
const REMEMBERED: Duration = Duration::from_secs(2);

/// Frames for streams the engine has forgotten, or that break the protocol, in a connection's whole
/// life. Each is answered by a reset that may have to wait: so it stays bounded, but so that
/// a caller who sends late now and then gets old.
const STRAY_FRAMES: usize = 8192;

/// Serves a connection until it ends.
pub struct Served<I> {
    state: State<I>,
    connection: Rc<Connection>,
    finishing: bool,
}

enum State<I> {
    Handshake(Box<Handshake<I, Bytes>>),
    Open(Box<Engine<I, Bytes>>),
}

impl<I: AsyncRead + AsyncWrite + Unpin> Served<I> {
    /// Says hello on a byte stream.
    pub fn new(io: I, connection: Rc<Connection>, limits: &Limits) -> Self {
        let share = connection.slot.current().settings.upstream.share;
        let handshake = Builder::new()
            .initial_window_size(STREAM_WINDOW)
            .initial_connection_window_size(CONNECTION_WINDOW)
            .max_send_buffer_size(match share {
                Share::Worker => SEND_BUFFER,
                Share::Connection => SMALL_SEND_BUFFER,
            })
            .data_frame_budget(FRAME_BUDGET)
            .max_concurrent_reset_streams(ANSWERED_EARLY)
            .reset_stream_duration(REMEMBERED)
            .max_local_error_reset_streams(Some(STRAY_FRAMES))
            .max_concurrent_streams(limits.max_concurrent_streams)
            .max_header_list_size(u32::try_from(limits.max_header_bytes).unwrap_or(u32::MAX))
            .handshake(io);
        Self {
            state: State::Handshake(Box::new(handshake)),
            connection,
            finishing: false,
        }
    }

    /// Takes leave: what was begun is served to its end, and nothing else (RFC 9113, section 6.8).
    pub fn finish(&mut self) {
        match &mut self.state {
            State::Open(engine) if !self.finishing => engine.graceful_shutdown(),
            _ => {}
        }
        self.finishing = true;
    }
}

impl<I: AsyncRead + AsyncWrite + Unpin> Future for Served<I> {
    type Output = Result<(), h2::Error>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.get_mut();
        loop {
            match &mut this.state {
                State::Handshake(handshake) => {
                    let mut engine = Box::new(ready!(Pin::new(&mut **handshake).poll(cx))?);
                    if this.finishing {
                        engine.graceful_shutdown();
                    }
                    this.state = State::Open(engine);
                }
                State::Open(engine) => match ready!(engine.poll_accept(cx)) {
                    Some(Ok((request, respond))) => accept(&this.connection, request, respond),
                    Some(Err(error)) => return Poll::Ready(Err(error)),
                    None => return Poll::Ready(Ok(())),
                },
            }
        }
    }
}

/// Begins a request; what is left of it is a task.
fn accept(
    connection: &Rc<Connection>,
    request: Request<h2::RecvStream>,
    respond: SendResponse<Bytes>,
) {
    let (mut parts, stream) = request.into_parts();
    if connection.unix {
        authority::settle(&mut parts);
    }
    let (body, opening) = if parts.method == Method::CONNECT {
        (Incoming::Empty, Some(stream))
    } else if stream.is_end_stream() {
        (Incoming::Empty, None)
    } else {
        (Incoming::Http2(Frames::new(stream, &parts.headers)), None)
    };
    let (opening, tunnel) = match opening.map(|stream| (stream, oneshot::channel())) {
        Some((stream, (open, opened))) => (Some((stream, open)), Some(Promise::Http2(opened))),
        None => (None, None),
    };
    let served = service::serve(
        Rc::clone(connection),
        parts,
        body,
        Asked {
            tunnel,
            interim: true,
        },
    );
    let exchange = Exchange::Awaited(Awaited {
        served,
        respond,
        opening: opening.map(Box::new),
    });
    local::small(connection.slot.counters(), exchange);
}

/// Where the halves of a stream that became a tunnel go.
type Opening = (h2::RecvStream, oneshot::Sender<Duplex>);

/// One stream, from its head to the end of its answer. Small, and polled where it stands: there
/// is one per open stream.
enum Exchange {
    Awaited(Awaited),
    Answered(Box<Pump<ResponseBody>>),
}

/// A stream whose answer is awaited. Dropping what serves it, when the caller has reset it,
/// cancels the rest.
struct Awaited {
    served: Serving,
    respond: SendResponse<Bytes>,
    opening: Option<Box<Opening>>,
}

impl Future for Exchange {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let this = self.get_mut();
        loop {
            match this {
                Self::Awaited(awaited) => match ready!(awaited.poll(cx)) {
                    Some(pump) => *this = Self::Answered(Box::new(pump)),
                    None => return Poll::Ready(()),
                },
                Self::Answered(pump) => return Pin::new(pump).poll(cx),
            }
        }
    }
}

impl Awaited {
    /// Ready when the answer's head has been sent, with its body if there is one, or when the
    /// caller has reset the stream before. Interim responses go out as they come.
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Option<Pump<ResponseBody>>> {
        loop {
            match self.served.poll_said(cx) {
                Poll::Ready(Said::Interim(head)) => {
                    // A caller that is gone is noticed below.
                    let _ = self.respond.send_informational(head);
                }
                Poll::Ready(Said::Answer(Ok(response))) => {
                    return Poll::Ready(self.send(response));
                }
                Poll::Ready(Said::Answer(Err(error))) => {
                    let code = error.reason().unwrap_or(Reason::INTERNAL_ERROR);
                    self.respond.send_reset(code);
                    return Poll::Ready(None);
                }
                Poll::Pending => return self.respond.poll_reset(cx).map(|_| None),
            }
        }
    }

    fn send(&mut self, response: Response<ResponseBody>) -> Option<Pump<ResponseBody>> {
        let (mut parts, body) = response.into_parts();
        // Of requests only; the engine refuses to send it.
        parts.headers.remove(header::TE);
        let tunnel = matches!(body, ResponseBody::Tunnel);
        let ends = !tunnel && body.is_end_stream();
        let head = Response::from_parts(parts, ());
        let Ok(stream) = self.respond.send_response(head, ends) else {
            self.respond.send_reset(Reason::INTERNAL_ERROR);
            return None;
        };
        match self.opening.take() {
            Some(opening) if tunnel => {
                let (receive, open) = *opening;
                // Nobody takes it: both halves fall, which resets the stream.
                let _ = open.send(Duplex::new(receive, stream));
                None
            }
            _ => (!ends).then(|| Pump::new(body, stream)),
        }
    }
}
