//! Tunnels: after a switch of protocols, bytes go both ways until both sides have ended.

pub mod side;

use std::future::ready;
use std::rc::Rc;
use std::sync::Arc;

use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite, copy_bidirectional_with_sizes};
use tokio::sync::oneshot;

use self::side::{Side, Tally};

use super::activity::Open;
use super::connection::Connection;
use super::exchange::Exchange;
use super::http2::duplex::Duplex;
use super::local;
use crate::span::record::{Fault, Outcome};

/// Bytes read ahead per direction.
const BUFFER: usize = 16 * 1024;

/// A promise of a caller's raw bytes, kept when its answer has been sent.
pub enum Promise {
    /// A connection of HTTP/1.
    Http1(OnUpgrade),
    /// A stream of HTTP/2.
    Http2(oneshot::Receiver<Duplex>),
}

/// One tunnel: both sides' promises, and what must live as long as it does.
pub struct Tunnel {
    /// The caller's side.
    pub caller: Promise,
    /// The upstream's side.
    pub upstream: OnUpgrade,
    /// Ends with the tunnel.
    pub exchange: Exchange,
    /// Keeps the connection's guards.
    pub connection: Rc<Connection>,
    /// Keeps it from being idle.
    pub open: Open,
}

impl Tunnel {
    /// Relays until both sides have ended; either may end its own direction first.
    pub fn spawn(self) {
        let counters = Arc::clone(self.connection.slot.counters());
        local::spawn(&counters, self.run());
    }

    async fn run(self) {
        let Self {
            caller,
            upstream,
            mut exchange,
            connection,
            open,
        } = self;
        tokio::select! {
            () = relay(caller, upstream, &mut exchange) => {}
            () = connection.cut() => exchange.end(Outcome::Cancelled),
        }
        drop((open, connection));
    }
}

async fn relay(caller: Promise, upstream: OnUpgrade, exchange: &mut Exchange) {
    match caller {
        Promise::Http1(caller) => {
            let caller = async { caller.await.map(TokioIo::new) };
            join(caller, upstream, exchange).await;
        }
        Promise::Http2(caller) => {
            // Without one the exchange is cancelled, as it is by whatever is dropped amid it.
            let Ok(caller) = caller.await else { return };
            let gone = caller.gone();
            tokio::select! {
                biased;
                () = join(ready(Ok::<_, ()>(caller)), upstream, exchange) => {}
                () = gone => {}
            }
        }
    }
}

async fn join<C, E>(
    caller: impl Future<Output = Result<C, E>>,
    upstream: OnUpgrade,
    exchange: &mut Exchange,
) where
    C: AsyncRead + AsyncWrite + Unpin,
{
    match tokio::join!(caller, upstream) {
        (Ok(caller), Ok(upstream)) => copy(caller, TokioIo::new(upstream), exchange).await,
        (Err(_), _) => exchange.end(Outcome::Cancelled),
        (_, Err(_)) => exchange.end(Outcome::Upstream(Fault::ConnectionClosed)),
    }
}

/// Relays until both sides have ended, and ends the exchange; also when it is dropped amid it.
pub async fn copy<C, U>(caller: C, upstream: U, exchange: &mut Exchange)
where
    C: AsyncRead + AsyncWrite + Unpin,
    U: AsyncRead + AsyncWrite + Unpin,
{
    let (from_caller, from_upstream) = (Rc::<Tally>::default(), Rc::<Tally>::default());
    let mut caller = Side::new(caller, Rc::clone(&from_caller));
    let mut upstream = Side::new(upstream, Rc::clone(&from_upstream));
    exchange.tunnels([&from_caller, &from_upstream].map(Rc::clone));
    let mut tallied = Tallied {
        exchange,
        from_caller,
        from_upstream,
        outcome: Outcome::Cancelled,
    };
    let copied = copy_bidirectional_with_sizes(&mut caller, &mut upstream, BUFFER, BUFFER).await;
    tallied.outcome = match copied {
        Ok(_) => Outcome::Done,
        Err(_) if tallied.from_upstream.failed() => Outcome::Upstream(Fault::ConnectionClosed),
        Err(_) => Outcome::Cancelled,
    };
}

/// Ends the exchange with the bytes that went through, whatever ended the tunnel.
struct Tallied<'a> {
    exchange: &'a mut Exchange,
    from_caller: Rc<Tally>,
    from_upstream: Rc<Tally>,
    outcome: Outcome,
}

impl Drop for Tallied<'_> {
    fn drop(&mut self) {
        let (sent, received) = (self.from_caller.bytes(), self.from_upstream.bytes());
        self.exchange.tunnelled(sent, received);
        self.exchange.end(self.outcome);
    }
}
