//! What must be true besides speed: every request got its own context, and spans arrived.

use std::time::{Duration, Instant};

use crate::contenders::{Contender, SAMPLING_PER_MILLION};
use crate::load::Load;
use crate::process::{Cores, Role, find};
use crate::report::Verdict;
use crate::upstream::FORGED;

/// Sends forged context through the proxy and has the upstream look at what arrives.
pub fn context(
    cores: &Cores,
    proxy: &Contender,
    upstream: &mut Role,
    requests: &mut u64,
) -> Result<Vec<Verdict>, String> {
    let loads = [
        (
            "HTTP/1.1",
            Load::Http1 { connections: 32 },
            Some(proxy.http1),
        ),
        (
            "h2c",
            Load::Http2 {
                connections: 8,
                streams: 32,
            },
            proxy.http2,
        ),
    ];
    let mut verdicts = Vec::new();
    for (name, load, address) in loads {
        let (Some(address), Some(_)) = (address, find(load.program().0)) else {
            continue;
        };
        upstream.ask("watch")?;
        let header = format!("traceparent: {FORGED}");
        let outcome = load.run(cores, address, Duration::from_secs(1), Some(&header), None)?;
        *requests += outcome.requests;
        let answer = upstream.ask("report")?;
        let numbers: Vec<u64> = answer
            .split(' ')
            .filter_map(|word| word.parse().ok())
            .collect();
        let [seen, malformed, forged, repeated] = numbers[..] else {
            return Err(format!("the upstream reported `{answer}`"));
        };
        verdicts.push(Verdict {
            pass: seen > 0 && malformed + forged + repeated + outcome.failed == 0,
            text: format!(
                "{name}: {seen} traceparents at the upstream: {malformed} missing, doubled or malformed, \
                 {forged} with the caller's forged ids, {repeated} not distinct; {} requests failed",
                outcome.failed
            ),
        });
    }
    Ok(verdicts)
}

/// Compares the spans that arrived with the sampling rate.
pub fn spans(
    collector: &mut Role,
    requests: u64,
    clean_stop: bool,
) -> Result<Vec<Verdict>, String> {
    let expected = requests as f64 * f64::from(SAMPLING_PER_MILLION) / 1e6;
    // Five standard deviations of a binomial count, and two for what a broken-off load leaves.
    let slack = 5.0 * expected.sqrt() + 2.0;
    let near = |received: f64| (received - expected).abs() <= slack;
    let deadline = Instant::now() + Duration::from_secs(3);
    let received = loop {
        let answer = collector.ask("spans")?;
        let received: u64 = answer
            .parse()
            .map_err(|_| format!("the span receiver answered `{answer}`"))?;
        if near(received as f64) || Instant::now() > deadline {
            break received;
        }
        std::thread::sleep(Duration::from_millis(50));
    };
    let stop = if clean_stop {
        "stopped when asked"
    } else {
        "did not stop when asked"
    };
    Ok(vec![Verdict {
        pass: near(received as f64) && clean_stop,
        text: format!(
            "{received} spans received of {requests} requests ({expected:.0} ± {slack:.0} expected); tracegate {stop}"
        ),
    }])
}
