//! `tracegate demo`: everything embedded.

use std::process::ExitCode;
use std::time::Duration;

use clap::Args;
use tracegate::demo;

/// What `demo` takes.
#[derive(Args)]
pub struct Arguments {
    /// Requests per second that come by themselves
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..=1000))]
    rate: u16,
    /// End after this many requests [default: on Ctrl-C]
    #[arg(long, value_name = "N")]
    requests: Option<u64>,
    /// End after this many seconds [default: on Ctrl-C]
    #[arg(long, value_name = "SECONDS")]
    duration: Option<u32>,
}

/// Runs the demo to its end.
pub fn run(arguments: &Arguments) -> ExitCode {
    super::run::log_panics();
    let options = demo::Options {
        rate: arguments.rate,
        requests: arguments.requests,
        duration: arguments.duration.map(|s| Duration::from_secs(s.into())),
    };
    match demo::run(&options, demo::style(), &mut std::io::stdout()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("tracegate demo: {error}");
            ExitCode::from(error.exit_code())
        }
    }
}
