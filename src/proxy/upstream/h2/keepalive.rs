//! Whether an upstream still answers: PING when nothing has come for a while (RFC 9113, section 6.7).

use std::future::{Future, pending};
use std::rc::Rc;

use super::{Dialer, Ping, PingPong, State};

/// Resolves when a ping wasn't answered in time; never if none are configured.
pub(super) fn watch(
    dialer: &Dialer,
    pings: Option<PingPong>,
    state: Rc<State>,
) -> impl Future<Output = ()> + use<> {
    let (interval, timeout) = (dialer.http2_ping(), dialer.ping_timeout());
    async move {
        let (Some(interval), Some(mut pings)) = (interval, pings) else {
            return pending().await;
        };
        loop {
            let before = state.seen.reads();
            tokio::time::sleep(interval).await;
            if state.seen.reads() != before {
                continue;
            }
            let answer = tokio::time::timeout(timeout, pings.ping(Ping::opaque())).await;
            match answer {
                Ok(Ok(_)) => {}
                // The engine itself knows that it has ended.
                Ok(Err(_)) => return pending().await,
                Err(_) => return,
            }
        }
    }
}
