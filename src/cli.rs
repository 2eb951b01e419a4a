//! The command line: what users type, and the exit code that answers.
//!
//! 0 clean stop, 78 configuration, 69 a listener could not bind, 1 anything else.

mod check;
mod demo;
mod explain;
mod run;

use std::process::ExitCode;

use clap::{Parser, Subcommand, ValueEnum};
use tracegate::logging;

/// The configuration is at fault (sysexits.h, EX_CONFIG).
const CONFIGURATION: u8 = 78;

/// A sidecar reverse proxy that gives unmodified components distributed traces.
#[derive(Parser)]
#[command(version, about, max_term_width = 100, arg_required_else_help = true)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
    /// How log lines look, on standard error
    #[arg(long, global = true, value_enum, default_value_t = LogFormat::Text)]
    log_format: LogFormat,
    /// What is logged, e.g. `warn` or `tracegate::export=debug`; beats RUST_LOG
    #[arg(long, global = true, value_name = "FILTER")]
    log: Option<String>,
}

#[derive(Subcommand)]
enum Command {
    /// Run the proxy, from a file or for one listener given by flags
    Run(Box<run::Arguments>),
    /// Validate a configuration and say every fault, with file, line and field
    Check(check::Arguments),
    /// Say what would happen to a request, and why, without sending one
    Explain(Box<explain::Arguments>),
    /// Show what it does: components, proxies and traffic embedded, spans in the terminal
    Demo(demo::Arguments),
}

#[derive(Clone, Copy, ValueEnum)]
enum LogFormat {
    Text,
    Json,
}

/// Parses the command line and does what it says.
pub fn run() -> ExitCode {
    let arguments = match Arguments::try_parse() {
        Ok(arguments) => arguments,
        Err(error) => {
            let code = u8::from(error.use_stderr());
            // Nobody is left to tell if this fails.
            let _ = error.print();
            return ExitCode::from(code);
        }
    };
    let log_format = arguments.log_format;
    let format = match log_format {
        LogFormat::Text => logging::Format::Text,
        LogFormat::Json => logging::Format::Json,
    };
    let filter = arguments.log.as_deref().or(match arguments.command {
        // The demo's output is its spans; what its proxies say would tear them apart.
        Command::Demo(_) if std::env::var_os("RUST_LOG").is_none() => Some("warn"),
        _ => None,
    });
    if let Err(error) = logging::init(format, filter) {
        eprintln!("tracegate: no logging: {error}");
    }
    match arguments.command {
        Command::Run(arguments) => run::run(*arguments, log_format),
        Command::Check(arguments) => check::check(&arguments),
        Command::Explain(arguments) => explain::explain(*arguments),
        Command::Demo(arguments) => demo::run(&arguments),
    }
}
