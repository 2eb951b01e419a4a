//! The load generators, wrk and h2load, and what they say.

use std::fs;
use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use crate::process::{Cores, find, output, pinned};

/// What is asked of a proxy.
#[derive(Clone, Copy)]
pub enum Load {
    /// HTTP/1.1, kept alive, one request at a time on each connection.
    Http1 { connections: u32 },
    /// HTTP/2 over cleartext with prior knowledge.
    Http2 { connections: u32, streams: u32 },
}

/// What came of it.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Outcome {
    /// Requests answered.
    pub requests: u64,
    /// Requests that failed or were answered with something else than 2xx.
    pub failed: u64,
    /// 99th percentile of the time from request to the end of its response, if it was asked for.
    pub p99: Option<Duration>,
}

impl Load {
    /// The program it needs, and Debian's package.
    pub fn program(self) -> (&'static str, &'static str) {
        match self {
            Self::Http1 { .. } => ("wrk", "wrk"),
            Self::Http2 { .. } => ("h2load", "nghttp2-client"),
        }
    }

    /// Sends requests for `span`, each with `header` (`name: value`) if there is one; with
    /// `timings`, h2load also writes every request's time there (wrk has its own percentiles).
    pub fn run(
        self,
        cores: &Cores,
        to: SocketAddr,
        span: Duration,
        header: Option<&str>,
        timings: Option<&Path>,
    ) -> Result<Outcome, String> {
        let (program, _) = self.program();
        let mut command = pinned(&cores.rest, &find(program).ok_or("not installed")?);
        let seconds = span.as_secs().max(1);
        match self {
            Self::Http1 { connections } => {
                command
                    .arg("-t1")
                    .arg(format!("-c{connections}"))
                    .arg(format!("-d{seconds}s"))
                    .arg("--latency");
            }
            Self::Http2 {
                connections,
                streams,
            } => {
                command
                    .arg("-t1")
                    .arg(format!("-c{connections}"))
                    .arg(format!("-m{streams}"))
                    .arg(format!("-D{seconds}"));
                if let Some(file) = timings {
                    // h2load appends.
                    drop(fs::remove_file(file));
                    command.arg("--log-file").arg(file);
                }
            }
        }
        if let Some(header) = header {
            command.arg("-H").arg(header);
        }
        command.arg(format!("http://{to}/"));
        let text = output(command, span + Duration::from_secs(20))?;
        let parsed = match self {
            Self::Http1 { .. } => wrk(&text),
            Self::Http2 { .. } => h2load(&text),
        };
        let mut outcome =
            parsed.ok_or_else(|| format!("{program} said something unexpected:\n{text}"))?;
        if let (Self::Http2 { .. }, Some(file)) = (self, timings) {
            outcome.p99 = p99_of_log(&fs::read_to_string(file).unwrap_or_default());
            drop(fs::remove_file(file));
        }
        Ok(outcome)
    }
}

/// `  69420 requests in 1.00s, 15MB read`, `Socket errors: connect 0, …`, `    99%    1.20ms`.
fn wrk(text: &str) -> Option<Outcome> {
    let lines = || text.lines().map(str::trim);
    let requests = lines().find_map(|line| line.split_once(" requests in ")?.0.parse().ok())?;
    let numbers = |line: &str| {
        line.split([' ', ','])
            .filter_map(|word| word.parse::<u64>().ok())
            .sum::<u64>()
    };
    let failed = lines()
        .filter_map(|line| {
            line.strip_prefix("Socket errors:")
                .or(line.strip_prefix("Non-2xx or 3xx responses:"))
        })
        .map(numbers)
        .sum();
    let p99 = lines().find_map(|line| span(line.strip_prefix("99%")?.trim()));
    Some(Outcome {
        requests,
        failed,
        p99,
    })
}

/// `1.20ms`, `300.00us`, `1.05s`.
fn span(text: &str) -> Option<Duration> {
    let unit = text.find(|c: char| c.is_ascii_alphabetic())?;
    let number: f64 = text[..unit].parse().ok()?;
    let seconds = match &text[unit..] {
        "us" => 1e-6,
        "ms" => 1e-3,
        "s" => 1.0,
        "m" => 60.0,
        _ => return None,
    };
    Some(Duration::from_secs_f64(number * seconds))
}

/// `requests: 9 total, 9 started, 9 done, 9 succeeded, 0 failed, 0 errored, 0 timeout` and
/// `status codes: 9 2xx, 0 3xx, 0 4xx, 0 5xx`.
fn h2load(text: &str) -> Option<Outcome> {
    let line = |start: &str| text.lines().find_map(|line| line.strip_prefix(start));
    let count = |line: &str, what: &str| {
        line.split(',')
            .find_map(|part| part.trim().strip_suffix(what)?.trim().parse::<u64>().ok())
    };
    let (requests, codes) = (line("requests:")?, line("status codes:")?);
    let done = count(requests, "done")?;
    // `failed` holds errors of the network, resets, timeouts and most statuses beyond 2xx.
    let other = count(codes, "3xx")? + count(codes, "4xx")? + count(codes, "5xx")?;
    let failed = count(requests, "failed")?.max(other);
    Some(Outcome {
        requests: done,
        failed,
        p99: None,
    })
}

/// Lines of start time, status and duration in microseconds.
fn p99_of_log(log: &str) -> Option<Duration> {
    let mut times: Vec<u64> = log
        .lines()
        .filter_map(|line| line.split('\t').nth(2)?.trim().parse().ok())
        .collect();
    times.sort_unstable();
    times
        .get(times.len() * 99 / 100)
        .copied()
        .map(Duration::from_micros)
}
