//! HTTP/1 to HTTP/1, by itself: one task reads a request's head, puts it through the pipeline,
//! and moves bytes between the two connections until both bodies have ended.
//!
//! No task is spawned and nothing is handed over between tasks for a request; head and small
//! body go out in one write each way. Every pairing with HTTP/2 is the other engine's.

pub mod buffer;
pub mod chunks;
pub mod fields;
pub mod flight;
pub mod outgoing;
pub mod parse;
pub mod refusal;
pub mod reply;
mod rewrite;

use std::cell::Cell;
use std::future::poll_fn;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::AsyncWriteExt as _;

use self::buffer::{Buffer, Out};
use self::fields::Fields;
use super::activity::Activity;
use super::connection::Connection;
use super::listener::Listener;
use super::upstream::connect::HeadLimits;
use super::witness::Witnessed;
use crate::listen::stream::{Prefixed, Stream};
use crate::span::record::Fault;

/// A caller's byte stream.
pub type Io = Witnessed<Prefixed<Stream>, Arc<Activity>>;

/// How long a caller whose request wasn't read to its end may take to read the answer: closing
/// at once would reset the connection under it.
const LINGER: Duration = Duration::from_secs(1);

/// Bytes that are read over meanwhile.
const LINGER_BYTES: usize = 4 * 1024 * 1024;

/// The caller's connection, and the buffers its requests use one after the other.
pub struct Wires {
    caller: Io,
    input: Buffer,
    output: Out,
    to_up: Out,
    from_up: Buffer,
    fields: Fields,
}

impl Wires {
    /// Reads from the caller once, while less than `limit` waits; false at its end.
    fn poll_input(&mut self, cx: &mut Context<'_>, limit: usize) -> Poll<bool> {
        if self.input.len() >= limit {
            return Poll::Pending;
        }
        let read = self.input.poll_fill(&mut self.caller, cx, limit);
        read.map(|count| count.is_ok_and(|count| count > 0))
    }

    /// Writes what waits for the caller; false if it is gone.
    async fn flush(&mut self) -> bool {
        poll_fn(|cx| match self.output.poll_drain(&mut self.caller, cx) {
            Err(_) => Poll::Ready(false),
            Ok(_) if self.output.is_drained() => Poll::Ready(true),
            Ok(_) => Poll::Pending,
        })
        .await
    }

    fn shrink(&mut self) {
        self.input.shrink();
        self.from_up.shrink();
        self.output.shrink();
        self.to_up.shrink();
    }
}

/// What follows a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Next {
    /// The next one.
    Request,
    /// Nothing; all was read.
    Close,
    /// Nothing; the caller may still be sending.
    Linger,
    /// Nothing; the connection's end must not look like a message's.
    Drop,
}

/// One caller's connection.
pub struct Relay {
    connection: Rc<Connection>,
    /// The last settings whose upstream the relay speaks to.
    listener: Rc<Listener>,
    limits: HeadLimits,
    wires: Wires,
    finishing: Rc<Cell<bool>>,
}

impl Relay {
    /// Serves a connection; `finishing` ends it as soon as no request is under way.
    pub fn new(
        io: Io,
        connection: Rc<Connection>,
        listener: Rc<Listener>,
        finishing: Rc<Cell<bool>>,
    ) -> Self {
        let limits = HeadLimits {
            bytes: listener.listen.limits.max_header_bytes,
            fields: listener.listen.limits.max_headers,
        };
        Self {
            connection,
            listener,
            limits,
            wires: Wires {
                caller: io,
                input: Buffer::default(),
                output: Out::default(),
                to_up: Out::default(),
                from_up: Buffer::default(),
                fields: Fields::default(),
            },
            finishing,
        }
    }

    /// Until the connection ends.
    pub async fn run(mut self) {
        loop {
            let next = match self.head().await {
                Ok(Some(request)) => self.exchange(request).await,
                Ok(None) => Next::Close,
                Err(fault) => {
                    refusal::unread(&self.connection, &mut self.wires, fault);
                    Next::Linger
                }
            };
            match next {
                Next::Request if self.wires.flush().await => self.wires.shrink(),
                Next::Close => return self.close(false).await,
                Next::Linger => return self.close(true).await,
                Next::Request | Next::Drop => return,
            }
        }
    }

    /// The next request's head; `None` if there is none.
    async fn head(&mut self) -> Result<Option<parse::Request>, Fault> {
        let mut seen = 0;
        if !self.wires.input.is_empty() {
            // It was read along with the request before: its time runs from now.
            self.connection.activity.heard();
        }
        loop {
            let input = &mut self.wires.input;
            if seen == 0 {
                input.consume(parse::leading_lines(input.filled()));
            }
            if !input.is_empty() && parse::may_be_whole(input.filled(), seen) {
                let bytes = input.filled();
                if let Some(request) = parse::request(bytes, self.limits, &mut self.wires.fields)? {
                    input.consume(request.length);
                    return Ok(Some(request));
                }
            }
            seen = input.len();
            if seen >= self.limits.bytes {
                return Err(Fault::HeadTooLarge);
            }
            let Self {
                wires,
                finishing,
                limits,
                ..
            } = self;
            let more = poll_fn(|cx| {
                if wires.input.is_empty() && finishing.get() {
                    return Poll::Ready(false);
                }
                wires.poll_input(cx, limits.bytes)
            });
            if !more.await {
                return Ok(None);
            }
        }
    }

    async fn close(mut self, linger: bool) {
        let wires = &mut self.wires;
        let closing = async {
            if !wires.flush().await || wires.caller.shutdown().await.is_err() || !linger {
                return;
            }
            let mut left = LINGER_BYTES;
            while left > 0 {
                left = left.saturating_sub(wires.input.len().max(1));
                wires.input.clear();
                if !poll_fn(|cx| wires.poll_input(cx, buffer::ROOM)).await {
                    return;
                }
            }
        };
        let _ = tokio::time::timeout(LINGER, closing).await;
    }
}
