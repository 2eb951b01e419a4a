//! CPU time per request of tracegate beside nginx, HAProxy and a plain byte forwarder.
//!
//! `benches/README.md` says what is measured and how to read it. The same program plays the
//! upstream, the forwarder and the span receiver, each in a process of its own.
#![forbid(unsafe_code)]

#[path = "proxies/collector.rs"]
mod collector;
#[path = "proxies/contenders.rs"]
mod contenders;
#[path = "proxies/control.rs"]
mod control;
#[path = "proxies/forwarder.rs"]
mod forwarder;
#[path = "proxies/load.rs"]
mod load;
#[path = "proxies/measure.rs"]
mod measure;
#[path = "proxies/plot.rs"]
mod plot;
#[path = "proxies/process.rs"]
mod process;
#[path = "proxies/report.rs"]
mod report;
#[path = "proxies/upstream.rs"]
mod upstream;
#[path = "proxies/verify.rs"]
mod verify;

use std::process::ExitCode;
use std::time::Duration;

/// What the command line and the environment ask for.
pub struct Options {
    /// Rounds per scenario; a round measures every proxy once.
    pub rounds: usize,
    /// How long one measurement lasts.
    pub span: Duration,
    /// Whether a missed bar fails the run.
    pub assert: bool,
    /// Scenarios to run; empty: all.
    pub only: Vec<String>,
}

const USAGE: &str = "usage: proxies [--rounds N] [--seconds N] [--assert] [--only h1|h2|h2-wide]…";

fn main() -> ExitCode {
    let mut arguments = std::env::args()
        .skip(1)
        .filter(|argument| argument != "--bench");
    let outcome = match arguments.next().as_deref() {
        Some("role-upstream") => upstream::main(),
        Some("role-forwarder") => forwarder::main(arguments.next()),
        Some("role-collector") => collector::main(),
        first => options(first.map(str::to_owned).into_iter().chain(arguments))
            .and_then(|options| measure::main(&options)),
    };
    match outcome {
        Ok(code) => code,
        Err(message) => {
            eprintln!("proxies: {message}");
            ExitCode::FAILURE
        }
    }
}

/// Flags beat environment.
fn options(arguments: impl Iterator<Item = String>) -> Result<Options, String> {
    let number = |name: &str, text: &str| match text.parse::<u64>() {
        Ok(number @ 1..=600) => Ok(number),
        _ => Err(format!(
            "{name}: expected a whole number from 1 to 600, got `{text}`"
        )),
    };
    let from_environment = |name: &str, default| match std::env::var(name) {
        Ok(text) => number(name, &text),
        Err(_) => Ok(default),
    };
    let mut rounds = from_environment("ROUNDS", 5)?;
    let mut seconds = from_environment("SECONDS", 2)?;
    let (mut assert, mut only) = (false, Vec::new());
    let mut arguments = arguments;
    while let Some(argument) = arguments.next() {
        let mut value = || {
            arguments
                .next()
                .ok_or(format!("{argument}: a value is missing\n{USAGE}"))
        };
        match argument.as_str() {
            "--rounds" => rounds = number("--rounds", &value()?)?,
            "--seconds" => seconds = number("--seconds", &value()?)?,
            "--only" => only.push(value()?),
            "--assert" => assert = true,
            _ => return Err(format!("unknown argument `{argument}`\n{USAGE}")),
        }
    }
    Ok(Options {
        rounds: rounds as usize,
        span: Duration::from_secs(seconds),
        assert,
        only,
    })
}
