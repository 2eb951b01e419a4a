//! HTTP/1.1 connections to an upstream: one request at a time, kept while healthy.

use std::cell::RefCell;
use std::rc::{Rc, Weak};
use std::time::Duration;

use hyper::client::conn::http1::{Builder, SendRequest};
use hyper_util::rt::TokioIo;
use tokio::time::Instant;

use super::connect::{Connected, Dialer};
use super::heard::Ear;
use super::{IDLE_TIMEOUT, MAX_IDLE};
use crate::proxy::body::RequestBody;
use crate::proxy::http1::buffer;
use crate::proxy::local;
use crate::proxy::witness::Witnessed;
use crate::span::record::Fault;

/// How long a connection may need to become ready again after a response has ended: longer
/// means that its request is still being sent.
const SETTLE: Duration = Duration::from_secs(1);

/// Idle connections, the last used first.
pub struct Pool {
    idle: RefCell<Vec<Idle>>,
}

struct Idle {
    sender: SendRequest<RequestBody>,
    ear: Ear,
    since: Instant,
    used: bool,
}

/// A connection taken from the pool, or a new one.
pub struct Checkout {
    /// Sends one request.
    pub sender: SendRequest<RequestBody>,
    /// Whether it has carried a request before.
    pub reused: bool,
    /// Whether the upstream has said anything since this was taken, and which member it is.
    pub ear: Ear,
    pool: Weak<Pool>,
}

impl Pool {
    /// An empty pool.
    pub fn new() -> Rc<Self> {
        Rc::new(Self {
            idle: RefCell::new(Vec::new()),
        })
    }

    /// The last used connection that can carry a request at once.
    pub fn ready(self: &Rc<Self>) -> Option<Checkout> {
        let mut idle = self.idle.borrow_mut();
        while let Some(last) = idle.last() {
            if last.sender.is_closed() {
                idle.pop();
                continue;
            }
            if !last.sender.is_ready() {
                return None;
            }
            return idle.pop().map(|kept| self.checkout(kept));
        }
        None
    }

    /// The last used connection that can carry a request after a moment.
    pub async fn settled(self: &Rc<Self>) -> Option<Checkout> {
        loop {
            let mut kept = self.idle.borrow_mut().pop()?;
            if kept.sender.is_ready() || ready(&mut kept.sender).await {
                return Some(self.checkout(kept));
            }
        }
    }

    fn checkout(self: &Rc<Self>, kept: Idle) -> Checkout {
        kept.ear.forget();
        Checkout {
            sender: kept.sender,
            ear: kept.ear,
            reused: kept.used,
            pool: Rc::downgrade(self),
        }
    }

    /// Starts HTTP/1.1 on a new connection.
    pub async fn open(
        self: &Rc<Self>,
        dialer: &Dialer,
        connected: Connected,
    ) -> Result<Checkout, Fault> {
        let Connected { io, via, .. } = connected;
        let limits = dialer.head_limits();
        let ear = Ear::new(via);
        let (sender, connection) = Builder::new()
            .preserve_header_case(true)
            .max_headers(limits.fields)
            .max_header_size(limits.bytes)
            .max_buf_size(buffer(limits.bytes))
            .handshake(TokioIo::new(Witnessed::new(io, ear.clone())))
            .await
            .map_err(|_| Fault::Connect)?;
        local::spawn(dialer.counters(), async move {
            // The request that was under way learns of the error through its own future.
            let _ = connection.with_upgrades().await;
        });
        Ok(Checkout {
            sender,
            ear,
            reused: false,
            pool: Rc::downgrade(self),
        })
    }

    /// Closes connections that have been idle too long, or were closed by the upstream.
    pub fn sweep(&self) {
        self.idle
            .borrow_mut()
            .retain(|idle| !idle.sender.is_closed() && idle.since.elapsed() < IDLE_TIMEOUT);
    }

    /// Keeps a new connection for whoever comes next.
    pub fn keep(&self, new: Checkout) {
        self.put(new.sender, new.ear, new.reused);
    }

    fn put(&self, sender: SendRequest<RequestBody>, ear: Ear, used: bool) {
        let mut idle = self.idle.borrow_mut();
        if idle.len() < MAX_IDLE {
            idle.push(Idle {
                sender,
                ear,
                since: Instant::now(),
                used,
            });
        }
    }
}

impl Checkout {
    /// The response has ended: the connection is kept if it can carry another request.
    pub fn give_back(mut self) {
        let Some(pool) = self.pool.upgrade() else {
            return;
        };
        if self.sender.is_ready() {
            pool.put(self.sender, self.ear, true);
        } else if !self.sender.is_closed() {
            tokio::task::spawn_local(async move {
                if ready(&mut self.sender).await {
                    pool.put(self.sender, self.ear, true);
                }
            });
        }
    }
}

async fn ready(sender: &mut SendRequest<RequestBody>) -> bool {
    matches!(
        tokio::time::timeout(SETTLE, sender.ready()).await,
        Ok(Ok(()))
    )
}

#[cfg(test)]
mod tests {
    use tokio::io::{DuplexStream, duplex};
    use tokio::task::LocalSet;

    use super::super::via::Via;
    use super::*;

    /// A pool that keeps one connection, and the upstream's end of it.
    async fn keeping() -> (Rc<Pool>, DuplexStream) {
        let (ours, theirs) = duplex(64);
        let (mut sender, connection) = Builder::new()
            .handshake(TokioIo::new(ours))
            .await
            .expect("nothing is exchanged");
        tokio::task::spawn_local(connection);
        sender.ready().await.expect("an open connection");
        let pool = Pool::new();
        let via = Via {
            member: 0,
            peer: None,
        };
        pool.put(sender, Ear::new(via), true);
        (pool, theirs)
    }

    fn kept(pool: &Pool) -> usize {
        pool.sweep();
        pool.idle.borrow().len()
    }

    #[tokio::test(start_paused = true)]
    async fn a_connection_idle_for_too_long_is_closed() {
        let test = async {
            let (pool, _theirs) = keeping().await;
            tokio::time::advance(IDLE_TIMEOUT - Duration::from_millis(1)).await;
            assert_eq!(kept(&pool), 1);
            tokio::time::advance(Duration::from_millis(1)).await;
            assert_eq!(kept(&pool), 0);
        };
        LocalSet::new().run_until(test).await;
    }

    #[tokio::test(start_paused = true)]
    async fn a_connection_the_upstream_closed_is_forgotten() {
        let test = async {
            let (pool, theirs) = keeping().await;
            assert_eq!(kept(&pool), 1);
            drop(theirs);
            tokio::time::sleep(Duration::from_millis(1)).await;
            assert_eq!(kept(&pool), 0);
        };
        LocalSet::new().run_until(test).await;
    }
}
