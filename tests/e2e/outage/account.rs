//! Where every span is: read from `/metrics`, as an operator does.

use std::time::{Duration, Instant};

use super::super::component::PATIENCE;
use super::super::proxy::Proxy;
use super::super::wire;

/// Sums over the exporter's series.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Account {
    /// Spans made.
    pub recorded: u64,
    /// Spans a collector took.
    pub exported: u64,
    /// Spans lost, anywhere and for any reason.
    pub dropped: u64,
    /// Spans on their way.
    pub waiting: u64,
}

impl Account {
    /// As it is now.
    pub fn of(proxy: &Proxy) -> Self {
        let request = "GET /metrics HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
        let text = wire::exchange(proxy.health(), request);
        assert!(text.starts_with("HTTP/1.1 200 OK\r\n"), "{text}");
        let sum = |name: &str| {
            let series: Vec<u64> = text
                .lines()
                .filter_map(|line| line.strip_prefix(name))
                .filter(|rest| rest.starts_with(['{', ' ']))
                .map(|rest| rest.rsplit(' ').next().unwrap_or_default())
                .map(|value| value.parse().expect("a whole number"))
                .collect();
            assert!(!series.is_empty(), "no {name} in {text}");
            series.iter().sum()
        };
        Self {
            recorded: sum("tracegate_spans_recorded_total"),
            exported: sum("tracegate_spans_exported_total"),
            dropped: sum("tracegate_spans_dropped_total"),
            waiting: sum("tracegate_spans_waiting"),
        }
    }

    /// Whether every span is in exactly one place.
    pub const fn adds_up(&self) -> bool {
        self.recorded == self.exported + self.dropped + self.waiting
    }

    /// Waits for a moment at which something holds: the counters aren't read at one instant.
    pub fn until(proxy: &Proxy, what: &str, holds: impl Fn(&Self) -> bool) -> Self {
        let end = Instant::now() + PATIENCE;
        loop {
            let account = Self::of(proxy);
            if holds(&account) {
                return account;
            }
            assert!(Instant::now() < end, "never {what}: {account:?}");
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}
