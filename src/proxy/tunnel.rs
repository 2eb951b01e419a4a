//! Tunnels: after a switch of protocols, bytes go both ways until both sides have ended.

mod side;

use std::rc::Rc;
use std::sync::Arc;

use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;
use tokio::io::copy_bidirectional_with_sizes;

use self::side::{Side, Tally};

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
        let (from_caller, from_upstream) = (Rc::default(), Rc::default());
        let outcome = tokio::select! {
            outcome = relay(caller, upstream, &from_caller, &from_upstream) => outcome,
            () = connection.cut() => Outcome::Cancelled,
        };
        exchange.record(|record| {
            record.request_bytes = from_caller.bytes();
            record.response_bytes = from_upstream.bytes();
        });
        exchange.end(outcome);
        drop((open, connection));
    }
}

async fn relay(
    caller: OnUpgrade,
    upstream: OnUpgrade,
    from_caller: &Rc<Tally>,
    from_upstream: &Rc<Tally>,
) -> Outcome {
    let (caller, upstream) = match tokio::join!(caller, upstream) {
        (Ok(caller), Ok(upstream)) => (caller, upstream),
        (Err(_), _) => return Outcome::Cancelled,
        (_, Err(_)) => return Outcome::Upstream(Fault::ConnectionClosed),
    };
    let mut caller = Side::new(TokioIo::new(caller), Rc::clone(from_caller));
    let mut upstream = Side::new(TokioIo::new(upstream), Rc::clone(from_upstream));
    match copy_bidirectional_with_sizes(&mut caller, &mut upstream, BUFFER, BUFFER).await {
        Ok(_) => Outcome::Done,
        Err(_) if from_upstream.failed() => Outcome::Upstream(Fault::ConnectionClosed),
        Err(_) => Outcome::Cancelled,
    }
}
