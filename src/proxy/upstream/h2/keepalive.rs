//! Whether an upstream still answers: PING when nothing has come for a while (RFC 9113, section 6.7).
//!
//! gRPC servers take pings in a long silence for an attack: by default more than one in five minutes, and
//! any without a call that is open. After two of them they end the connection by GOAWAY with
//! ENHANCE_YOUR_CALM and `too_many_pings`. What gRPC's clients do then is done here (gRFC A8): the
//! interval doubles.

use std::cell::Cell;
use std::future::pending;
use std::rc::Rc;
use std::time::Duration;

use h2::Reason;
use http::HeaderValue;

use super::{Ping, PingPong, State};

/// Longest interval an upstream's complaints lead to.
const MAX_INTERVAL: Duration = Duration::from_secs(600);

/// The debug data of such a GOAWAY.
const COMPLAINT: &str = "too_many_pings";

/// When an upstream is pinged: on all connections of one worker to it.
#[derive(Debug)]
pub struct Pings {
    interval: Cell<Option<Duration>>,
    timeout: Duration,
    /// The upstream's name.
    upstream: HeaderValue,
}

impl Pings {
    /// After that much silence, never if `None`; an answer is waited for as long as `timeout`.
    pub fn new(interval: Option<Duration>, timeout: Duration, upstream: HeaderValue) -> Rc<Self> {
        Rc::new(Self {
            interval: Cell::new(interval),
            timeout,
            upstream,
        })
    }

    /// A connection has ended, and was pinged after this much silence last, if at all.
    pub(super) fn ended(&self, error: &h2::Error, last: Option<Duration>) {
        let calm = error.reason() == Some(Reason::ENHANCE_YOUR_CALM);
        // The engine shows debug data in its words alone.
        if calm && error.is_remote() && error.to_string().contains(COMPLAINT) {
            self.complained(last);
        }
    }

    /// Doubles the interval, if it is the one that was complained of: of many connections that are
    /// ended together each has the same to say.
    fn complained(&self, last: Option<Duration>) {
        let current = self.interval.get();
        let (Some(interval), true) = (current, current == last) else {
            return;
        };
        let doubled = interval.saturating_mul(2).min(MAX_INTERVAL);
        if doubled <= interval {
            return;
        }
        self.interval.set(Some(doubled));
        tracing::warn!(
            upstream = self.upstream.to_str().unwrap_or_default(),
            seconds = doubled.as_secs_f64(),
            "the upstream ended a connection for its pings ({COMPLAINT}): they come half as often now; \
             keepalive.http2Ping says how often, or none",
        );
    }
}

/// Resolves when a ping wasn't answered in time; never if none are sent.
pub(super) async fn watch(schedule: Rc<Pings>, pings: Option<PingPong>, state: Rc<State>) {
    let Some(mut pings) = pings else {
        return pending().await;
    };
    loop {
        let Some(interval) = schedule.interval.get() else {
            return pending().await;
        };
        let before = state.seen.reads();
        tokio::time::sleep(interval).await;
        if state.seen.reads() != before {
            continue;
        }
        state.pinged.set(Some(interval));
        let answer = tokio::time::timeout(schedule.timeout, pings.ping(Ping::opaque())).await;
        match answer {
            Ok(Ok(_)) => {}
            // The engine itself knows that it has ended.
            Ok(Err(_)) => return pending().await,
            Err(_) => return,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn complaints_double_the_interval_they_are_about_up_to_ten_minutes() {
        let pings = |seconds| {
            let interval = Some(Duration::from_secs(seconds));
            Pings::new(interval, Duration::ZERO, HeaderValue::from_static("etcd"))
        };
        let usual = pings(30);
        let seen: Vec<_> = (0..7)
            .map(|_| {
                usual.complained(usual.interval.get());
                usual.interval.get().expect("an interval").as_secs()
            })
            .collect();
        assert_eq!(seen, [60, 120, 240, 480, 600, 600, 600]);
        for (seconds, last, expected, why) in [
            (60, Some(30), 60, "pinged before it was doubled"),
            (60, None, 60, "never pinged"),
            (
                3600,
                Some(3600),
                3600,
                "configured, and longer than any complaint leads to",
            ),
        ] {
            let pings = pings(seconds);
            pings.complained(last.map(Duration::from_secs));
            assert_eq!(
                pings.interval.get(),
                Some(Duration::from_secs(expected)),
                "{why}"
            );
        }
        let none = Pings::new(None, Duration::ZERO, HeaderValue::from_static("etcd"));
        none.complained(None);
        assert_eq!(none.interval.get(), None, "there are none");
    }
}
