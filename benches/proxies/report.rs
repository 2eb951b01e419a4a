//! The table on standard output and the verdicts.

use std::fmt;
use std::fs;
use std::time::Duration;

use crate::Options;
use crate::contenders::{Contender, SAMPLING_PER_MILLION, TRACEGATE};
use crate::measure::{Sample, Scenario};
use crate::process::Cores;

/// One proxy in one scenario.
pub struct Row {
    /// The proxy.
    pub name: &'static str,
    /// Microseconds of CPU per request: median, least, most.
    pub cost: [f64; 3],
    /// Requests sent, warm-up included.
    pub requests: u64,
    rate: f64,
    busy: f64,
    p99: Option<Duration>,
    resident: u64,
    failed: u64,
}

/// One scenario.
pub struct Table {
    /// As it's shown.
    pub title: &'static str,
    /// In the order they were started.
    pub rows: Vec<Row>,
    /// Cost of HAProxy, if it took part.
    pub haproxy: Option<f64>,
    /// Cost of the byte forwarder.
    pub forwarder: Option<f64>,
    /// The most tracegate may cost, as a multiple of HAProxy.
    pub bar: Option<f64>,
}

/// Whether something that must hold holds.
pub struct Verdict {
    /// It does.
    pub pass: bool,
    /// What.
    pub text: String,
}

impl Verdict {
    /// Something that doesn't hold.
    pub fn missed(text: String) -> Self {
        Self { pass: false, text }
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} {}",
            if self.pass { "PASS" } else { "MISS" },
            self.text
        )
    }
}

/// Says what is about to run, and on what.
pub fn introduction(cores: &Cores, options: &Options, running: &[Contender]) {
    let cpu = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = cpu
        .lines()
        .find_map(|line| line.strip_prefix("model name")?.split_once(": "))
        .map_or("unknown CPU", |(_, name)| name);
    let names: Vec<&str> = running.iter().map(|one| one.name).collect();
    println!(
        "{model}; proxies one at a time on core {}, load, upstream and span receiver on {}",
        cores.proxy, cores.rest
    );
    println!(
        "{} rounds of {} s, interleaved; median (least-most) of CPU time per request",
        options.rounds,
        options.span.as_secs()
    );
    println!(
        "proxies: {}; tracegate samples {SAMPLING_PER_MILLION} per million and exports over OTLP/gRPC",
        names.join(", ")
    );
}

impl Row {
    /// Sums up a proxy's samples; the warm-up counts for failures and requests alone, and for
    /// the response time where no other run has it.
    pub fn new(contender: &Contender, samples: &[Sample], warm: Sample) -> Self {
        let of = |field: fn(&Sample) -> f64| sorted(samples.iter().map(field));
        let cost = of(|sample| sample.cost);
        let p99 = sorted(
            samples
                .iter()
                .filter_map(|sample| sample.p99)
                .map(|p99| p99.as_secs_f64()),
        );
        Self {
            name: contender.name,
            cost: [median(&cost), cost[0], cost[cost.len() - 1]],
            requests: warm.requests + samples.iter().map(|sample| sample.requests).sum::<u64>(),
            rate: median(&of(|sample| sample.rate)),
            busy: median(&of(|sample| sample.busy)),
            p99: if p99.is_empty() {
                warm.p99
            } else {
                Some(Duration::from_secs_f64(median(&p99)))
            },
            resident: contender.process.resident(),
            failed: warm.failed + samples.iter().map(|sample| sample.failed).sum::<u64>(),
        }
    }
}

fn sorted(values: impl Iterator<Item = f64>) -> Vec<f64> {
    let mut values: Vec<f64> = values.collect();
    values.sort_by(f64::total_cmp);
    values
}

fn median(sorted: &[f64]) -> f64 {
    let middle = sorted.len() / 2;
    if sorted.len() % 2 == 1 {
        sorted[middle]
    } else {
        (sorted[middle - 1] + sorted[middle]) / 2.0
    }
}

impl Table {
    /// Finds what the ratios refer to.
    pub fn new(scenario: &Scenario, rows: Vec<Row>, haproxy: &str, forwarder: &str) -> Self {
        let cost = |name: &str| {
            rows.iter()
                .find(|row| row.name == name)
                .map(|row| row.cost[0])
        };
        let (haproxy, forwarder) = (cost(haproxy), cost(forwarder));
        Self {
            title: scenario.title,
            rows,
            haproxy,
            forwarder,
            bar: scenario.bar,
        }
    }

    /// The table as text.
    pub fn print(&self) {
        println!("\n{}", self.title);
        println!(
            "  {:<16}{:>8}  {:<15}{:>10}{:>12}{:>10}{:>7}{:>9}{:>9}{:>8}",
            "",
            "us/req",
            "(least-most)",
            "x haproxy",
            "x forwarder",
            "req/s",
            "core",
            "p99 ms",
            "RSS MiB",
            "failed"
        );
        for row in &self.rows {
            let ratio = |to: Option<f64>| {
                to.map_or("-".to_owned(), |to| format!("{:.2}", row.cost[0] / to))
            };
            let spread = format!("({:.2}-{:.2})", row.cost[1], row.cost[2]);
            let p99 = row.p99.map_or("-".to_owned(), |p99| {
                format!("{:.2}", p99.as_secs_f64() * 1e3)
            });
            println!(
                "  {:<16}{:>8.2}  {spread:<15}{:>10}{:>12}{:>10.0}{:>6.0}%{p99:>9}{:>9.1}{:>8}",
                row.name,
                row.cost[0],
                ratio(self.haproxy),
                ratio(self.forwarder),
                row.rate,
                row.busy * 100.0,
                row.resident as f64 / 1024.0,
                row.failed
            );
        }
        println!();
    }

    /// Failed requests of tracegate, and the bar.
    pub fn verdicts(&self) -> Vec<Verdict> {
        let Some(row) = self.rows.iter().find(|row| row.name == TRACEGATE) else {
            return Vec::new();
        };
        let mut verdicts = vec![Verdict {
            pass: row.failed == 0,
            text: format!(
                "{}: {} of {} requests failed",
                self.title, row.failed, row.requests
            ),
        }];
        if let (Some(bar), Some(haproxy)) = (self.bar, self.haproxy) {
            let ratio = row.cost[0] / haproxy;
            verdicts.push(Verdict {
                pass: ratio <= bar,
                text: format!("{}: {ratio:.2} x haproxy, {bar:.1} at most", self.title),
            });
        } else if self.bar.is_some() {
            verdicts.push(Verdict::missed(format!(
                "{}: no haproxy to compare with",
                self.title
            )));
        }
        verdicts
    }
}
