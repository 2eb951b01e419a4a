//! Tunnels: after a switch of protocols, bytes go both ways until both sides have ended.

use std::rc::Rc;
use std::sync::Arc;

use hyper::upgrade::{OnUpgrade, Upgraded};
use hyper_util::rt::TokioIo;
use tokio::io::copy_bidirectional_with_sizes;

use super::activity::Open;
use super::connection::Connection;
use super::exchange::Exchange;
use super::local;
use crate::span::record::{Fault, Outcome};

/// Bytes read ahead per direction.
const BUFFER: usize = 16 * 1024;

/// One tunnel: both sides' promises, and what must live as long as it does.
pub struct Tunnel {
    /// The caller's side.
    pub caller: OnUpgrade,
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
        let outcome = tokio::select! {
            outcome = relay(caller, upstream, &mut exchange) => outcome,
            () = connection.cut() => Outcome::Cancelled,
        };
        exchange.end(outcome);
        drop((open, connection));
    }
}

async fn relay(caller: OnUpgrade, upstream: OnUpgrade, exchange: &mut Exchange) -> Outcome {
    let (caller, upstream) = match tokio::join!(caller, upstream) {
        (Ok(caller), Ok(upstream)) => (caller, upstream),
        (Err(_), _) => return Outcome::Cancelled,
        (_, Err(_)) => return Outcome::Upstream(Fault::ConnectionClosed),
    };
    match copy(caller, upstream).await {
        Ok((sent, received)) => {
            exchange.record(|record| {
                record.request_bytes = sent;
                record.response_bytes = received;
            });
            Outcome::Done
        }
        Err(_) => Outcome::Cancelled,
    }
}

async fn copy(caller: Upgraded, upstream: Upgraded) -> std::io::Result<(u64, u64)> {
    let mut caller = TokioIo::new(caller);
    let mut upstream = TokioIo::new(upstream);
    copy_bidirectional_with_sizes(&mut caller, &mut upstream, BUFFER, BUFFER).await
}
