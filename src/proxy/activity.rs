//! When a connection is idle, and when its caller dawdles over a head.
//!
//! The engine's own head timer runs on idle keep-alive too and so would override a longer idle
//! limit. Here a connection is looked at a few times per limit instead; a request costs it two
//! relaxed stores.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use tokio::time::Instant;

use super::witness::Witness;
use crate::listen::settings::Limits;

/// What a connection is doing; written on its own thread only.
#[derive(Debug, Default)]
pub struct Activity {
    /// Requests, streams and tunnels that are open.
    open: AtomicU32,
    /// Requests begun, ever.
    begun: AtomicU64,
    /// Bytes have come since the last request was answered.
    reading: AtomicBool,
    /// Bytes may be frames that belong to no request: they don't begin a head.
    multiplexed: bool,
}

/// An open request; not any more when dropped.
#[derive(Debug)]
pub struct Open(Arc<Activity>);

impl Activity {
    /// A connection whose first head is awaited.
    ///
    /// On HTTP/2 (`multiplexed`) a caller may connect ahead of its first request and ping
    /// between two of them, so only the idle limit bounds it.
    pub fn new(multiplexed: bool) -> Arc<Self> {
        Arc::new(Self {
            reading: AtomicBool::new(!multiplexed),
            multiplexed,
            ..Self::default()
        })
    }

    /// The caller has sent something that isn't part of a request under way.
    pub fn heard(&self) {
        if !self.multiplexed && self.open.load(Relaxed) == 0 {
            self.reading.store(true, Relaxed);
        }
    }

    /// A request's head is complete.
    pub fn begin(self: &Arc<Self>) -> Open {
        self.open.fetch_add(1, Relaxed);
        self.begun.fetch_add(1, Relaxed);
        self.reading.store(false, Relaxed);
        Open(Arc::clone(self))
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.0.open.fetch_sub(1, Relaxed);
    }
}

/// Why a connection should end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Overdue {
    /// A head is not complete in time.
    Head,
    /// Nothing has been open for too long.
    Idle,
}

/// Looks at a connection until one of its limits is over.
///
/// It looks four times per limit, so that a limit is overrun by a quarter at the most.
pub async fn overdue(activity: &Activity, limits: &Limits) -> Overdue {
    let shortest = limits.header_timeout.min(limits.idle_timeout);
    let tick = (shortest / 4).clamp(Duration::from_millis(5), Duration::from_secs(10));
    let mut watch = Watch {
        since: Instant::now(),
        seen: Seen::of(activity),
    };
    loop {
        tokio::time::sleep(tick).await;
        if let Some(overdue) = watch.look(activity, limits, Instant::now()) {
            return overdue;
        }
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
struct Seen {
    begun: u64,
    reading: bool,
}

struct Watch {
    since: Instant,
    seen: Seen,
}

impl Seen {
    fn of(activity: &Activity) -> Self {
        Self {
            begun: activity.begun.load(Relaxed),
            reading: activity.reading.load(Relaxed),
        }
    }
}

impl Watch {
    fn look(&mut self, activity: &Activity, limits: &Limits, now: Instant) -> Option<Overdue> {
        let seen = Seen::of(activity);
        if activity.open.load(Relaxed) > 0 || seen != self.seen {
            self.seen = seen;
            self.since = now;
            return None;
        }
        let quiet = now.duration_since(self.since);
        if seen.reading && quiet >= limits.header_timeout {
            Some(Overdue::Head)
        } else if !seen.reading && quiet >= limits.idle_timeout {
            Some(Overdue::Idle)
        } else {
            None
        }
    }
}

impl Witness for Arc<Activity> {
    fn read(&self, bytes: usize) {
        if bytes > 0 {
            self.heard();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: Limits = Limits {
        max_header_bytes: 65_536,
        max_headers: 256,
        header_timeout: Duration::from_secs(4),
        idle_timeout: Duration::from_secs(40),
        max_connections: 1,
        max_concurrent_streams: 1,
    };

    #[tokio::test(start_paused = true)]
    async fn a_caller_that_never_completes_a_head_is_overdue_after_the_header_timeout() {
        let (activity, start) = (Activity::new(false), Instant::now());
        assert_eq!(overdue(&activity, &LIMITS).await, Overdue::Head);
        assert!(start.elapsed() >= LIMITS.header_timeout);
        assert!(start.elapsed() <= LIMITS.header_timeout * 5 / 4);
    }

    #[tokio::test(start_paused = true)]
    async fn an_idle_connection_outlives_the_header_timeout() {
        let (activity, start) = (Activity::new(false), Instant::now());
        drop(activity.begin());
        assert_eq!(overdue(&activity, &LIMITS).await, Overdue::Idle);
        assert!(start.elapsed() >= LIMITS.idle_timeout);
    }

    #[tokio::test(start_paused = true)]
    async fn pings_between_http2_requests_begin_no_head() {
        let (activity, start) = (Activity::new(true), Instant::now());
        let ping = async {
            loop {
                tokio::time::sleep(LIMITS.header_timeout / 2).await;
                activity.heard();
            }
        };
        let over = tokio::select! {
            over = overdue(&activity, &LIMITS) => over,
            () = ping => unreachable!(),
        };
        assert_eq!(over, Overdue::Idle);
        assert!(start.elapsed() >= LIMITS.idle_timeout);
    }

    #[tokio::test(start_paused = true)]
    async fn an_open_request_is_never_overdue() {
        let activity = Activity::new(false);
        let _open = activity.begin();
        let waited = tokio::time::timeout(LIMITS.idle_timeout * 10, overdue(&activity, &LIMITS));
        assert!(waited.await.is_err());
    }

    #[tokio::test(start_paused = true)]
    async fn idle_time_counts_from_the_end_of_the_last_request() {
        let (activity, start) = (Activity::new(false), Instant::now());
        let open = activity.begin();
        let wait = overdue(&activity, &LIMITS);
        let end = async {
            tokio::time::sleep(LIMITS.idle_timeout * 2).await;
            drop(open);
        };
        let (overdue, ()) = tokio::join!(wait, end);
        assert_eq!(overdue, Overdue::Idle);
        assert!(start.elapsed() >= LIMITS.idle_timeout * 3 - LIMITS.header_timeout);
    }
}
