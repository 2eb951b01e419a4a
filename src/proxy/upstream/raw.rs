//! HTTP/1.1 connections of the relay that wait for their next request.

use std::cell::RefCell;
use std::future::{Future as _, poll_fn};
use std::pin::{Pin, pin};
use std::task::{Context, Waker};

use tokio::io::{AsyncRead, ReadBuf};
use tokio::task::unconstrained;
use tokio::time::Instant;

use super::via::Via;
use super::{IDLE_TIMEOUT, MAX_IDLE};
use crate::listen::stream::Stream;

/// Idle connections, the last used first.
#[derive(Default)]
pub struct Pool {
    idle: RefCell<Vec<Idle>>,
}

/// A connection.
pub struct Connection {
    /// The byte stream.
    pub io: Stream,
    /// Where it leads.
    pub via: Via,
}

struct Idle {
    /// Boxed, as a stream is as large as a TLS session and is moved per request.
    kept: Box<Connection>,
    since: Instant,
}

impl Pool {
    /// The last used connection that is open and silent.
    pub fn take(&self) -> Option<Box<Connection>> {
        loop {
            let mut idle = self.idle.borrow_mut().pop()?;
            if is_silent(&mut idle.kept.io) {
                return Some(idle.kept);
            }
        }
    }

    /// Keeps a connection whose response was read to its end.
    pub fn put(&self, kept: Box<Connection>) {
        let mut idle = self.idle.borrow_mut();
        if idle.len() < MAX_IDLE {
            idle.push(Idle {
                kept,
                since: Instant::now(),
            });
        }
    }

    /// Closes connections that have been idle too long, or were closed by the upstream.
    pub fn sweep(&self) {
        self.idle
            .borrow_mut()
            .retain_mut(|idle| idle.since.elapsed() < IDLE_TIMEOUT && is_silent(&mut idle.kept.io));
    }
}

/// Whether nothing came on an idle connection: its end and unasked bytes both make it useless.
fn is_silent(io: &mut Stream) -> bool {
    let mut byte = [0];
    let mut buf = ReadBuf::new(&mut byte);
    // Out of its budget, a task would find every connection silent.
    let read = unconstrained(poll_fn(|cx| Pin::new(&mut *io).poll_read(cx, &mut buf)));
    pin!(read)
        .poll(&mut Context::from_waker(Waker::noop()))
        .is_pending()
}
