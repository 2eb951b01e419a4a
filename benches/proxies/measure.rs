//! The run: start everything, interleave the rounds, weigh, judge, report.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use crate::Options;
use crate::contenders::{self, Contender, FORWARDER, HAPROXY, TRACEGATE};
use crate::load::Load;
use crate::process::{Cores, Role, find};
use crate::report::{Row, Table, Verdict};
use crate::{plot, report, verify};

/// One shape of traffic.
pub struct Scenario {
    /// Short name, for `--only`.
    pub key: &'static str,
    /// As it's shown.
    pub title: &'static str,
    /// The traffic.
    pub load: Load,
    /// The most tracegate may cost, as a multiple of HAProxy; none: for information.
    pub bar: Option<f64>,
}

const SCENARIOS: [Scenario; 3] = [
    Scenario {
        key: "h1",
        title: "HTTP/1.1, 32 connections",
        load: Load::Http1 { connections: 32 },
        bar: Some(1.0),
    },
    Scenario {
        key: "h2",
        title: "h2c to h2c, 8 connections x 32 streams",
        load: Load::Http2 {
            connections: 8,
            streams: 32,
        },
        bar: Some(1.2),
    },
    Scenario {
        key: "h2-wide",
        title: "h2c to h2c, 32 connections x 1 stream",
        load: Load::Http2 {
            connections: 32,
            streams: 1,
        },
        bar: None,
    },
];

/// What one run of the load cost one proxy.
#[derive(Clone, Copy)]
pub struct Sample {
    /// Microseconds of CPU per request.
    pub cost: f64,
    /// Requests per second.
    pub rate: f64,
    /// Share of the proxy's core that was used.
    pub busy: f64,
    /// 99th percentile of the response time, where the load generator tells it.
    pub p99: Option<Duration>,
    /// Requests sent.
    pub requests: u64,
    /// Requests that failed.
    pub failed: u64,
}

/// Runs the scenarios, prints the table, draws the plot.
pub fn main(options: &Options) -> Result<ExitCode, String> {
    if let Some(unknown) = options
        .only
        .iter()
        .find(|key| SCENARIOS.iter().all(|one| one.key != key.as_str()))
    {
        return Err(format!("--only: no scenario `{unknown}`"));
    }
    find("taskset").ok_or("taskset is missing (Debian: util-linux)")?;
    let cores = Cores::find()?;
    let target = target_folder();
    let folder = target.join("bench");
    fs::create_dir_all(&folder).map_err(|error| format!("{}: {error}", folder.display()))?;

    let mut upstream = Role::start(&cores.rest, "upstream", &[], folder.join("upstream.log"))?;
    let mut collector = Role::start(&cores.rest, "collector", &[], folder.join("collector.log"))?;
    let (mut running, mut notes) =
        contenders::start(&cores, &folder, upstream.address, collector.address);
    if !cores.apart() {
        notes.push("one core only: proxy and load share it, so the figures say little".to_owned());
    }
    report::introduction(&cores, options, &running);

    let mut requests = 0;
    let mut tables = Vec::new();
    for scenario in SCENARIOS
        .iter()
        .filter(|one| options.only.is_empty() || options.only.iter().any(|key| key == one.key))
    {
        let (program, package) = scenario.load.program();
        if find(program).is_none() {
            notes.push(format!(
                "{}: skipped, {program} isn't installed (Debian: {package})",
                scenario.title
            ));
            continue;
        }
        let table = run(scenario, &cores, &running, options, &folder, &mut notes)?;
        requests += table
            .rows
            .iter()
            .find(|row| row.name == TRACEGATE)
            .map_or(0, |row| row.requests);
        table.print();
        tables.push(table);
    }

    let mut verdicts: Vec<Verdict> = tables.iter().flat_map(Table::verdicts).collect();
    if let Some(at) = running.iter().position(|one| one.name == TRACEGATE) {
        verdicts.extend(verify::context(
            &cores,
            &running[at],
            &mut upstream,
            &mut requests,
        )?);
        let clean = running[at].process.stop();
        verdicts.extend(verify::spans(&mut collector, requests, clean)?);
    } else {
        verdicts.push(Verdict::missed(
            "tracegate didn't start: nothing of it was measured".to_owned(),
        ));
    }
    for note in &notes {
        println!("note: {note}");
    }
    let missed = verdicts.iter().any(|verdict| !verdict.pass);
    for verdict in &verdicts {
        println!("{verdict}");
    }
    let file = target.join("bench.svg");
    fs::write(&file, plot::draw(&tables))
        .map_err(|error| format!("{}: {error}", file.display()))?;
    println!("plot: {}", file.display());
    Ok(if missed && options.assert {
        ExitCode::FAILURE
    } else {
        ExitCode::SUCCESS
    })
}

/// `target`, wherever it is: two levels above the program under test.
fn target_folder() -> PathBuf {
    Path::new(env!("CARGO_BIN_EXE_tracegate"))
        .ancestors()
        .nth(2)
        .map_or_else(|| PathBuf::from("target"), Path::to_owned)
}

/// Measures every proxy that can play, once per round, each round starting with another one.
fn run(
    scenario: &Scenario,
    cores: &Cores,
    running: &[Contender],
    options: &Options,
    folder: &Path,
    notes: &mut Vec<String>,
) -> Result<Table, String> {
    let http2 = matches!(scenario.load, Load::Http2 { .. });
    let mut players = Vec::new();
    for contender in running {
        match if http2 {
            contender.http2
        } else {
            Some(contender.http1)
        } {
            Some(address) => players.push((contender, address, Vec::<Sample>::new())),
            None => notes.push(format!(
                "{}: not in `{}`, it can't speak HTTP/2 to an upstream",
                contender.name, scenario.title
            )),
        }
    }
    let measure = |contender: &Contender, address, span, timings: Option<&Path>| {
        let (before, start) = (contender.process.cpu()?, Instant::now());
        let outcome = scenario.load.run(cores, address, span, None, timings)?;
        let (cpu, took) = (
            contender.process.cpu()?.saturating_sub(before),
            start.elapsed(),
        );
        Ok::<_, String>(Sample {
            cost: cpu.as_secs_f64() * 1e6 / outcome.requests.max(1) as f64,
            rate: outcome.requests as f64 / span.as_secs_f64(),
            busy: cpu.as_secs_f64() / took.as_secs_f64(),
            p99: outcome.p99,
            requests: outcome.requests,
            failed: outcome.failed + u64::from(outcome.requests == 0),
        })
    };
    // Warm-up; h2load writes its timings here, where the writing disturbs nothing that counts.
    let timings = folder.join("h2load-timings.tsv");
    let mut warm = Vec::new();
    for (contender, address, _) in &players {
        warm.push(measure(
            contender,
            *address,
            Duration::from_secs(1),
            Some(&timings),
        )?);
    }
    for round in 0..options.rounds {
        eprintln!(
            "{}: round {} of {}",
            scenario.key,
            round + 1,
            options.rounds
        );
        for turn in 0..players.len() {
            let next = (turn + round) % players.len();
            let (contender, address, samples) = &mut players[next];
            samples.push(measure(contender, *address, options.span, None)?);
        }
    }
    let rows = players
        .iter()
        .zip(warm)
        .map(|((contender, _, samples), warm)| Row::new(contender, samples, warm))
        .collect();
    Ok(Table::new(scenario, rows, HAPROXY, FORWARDER))
}
