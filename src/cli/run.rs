//! `tracegate run`: the proxy, until a signal or the admin server stops it.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Args;
use tracegate::app::App;
use tracegate::config::{self, FileText, Flags, Source, Strictness};
use tracegate::lifecycle::Signals;
use tracegate::listen::bind::Inherited;

use super::LogFormat;

/// What `run` takes. Values are validated with the rest of the configuration, so that a mistake
/// reads the same wherever it stands.
#[derive(Args)]
#[command(
    override_usage = "tracegate run --config FILE\n       tracegate run --listen ADDR --upstream URL [OPTIONS]"
)]
pub struct Arguments {
    /// Configuration file; config/reference.yaml shows every key
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Address to listen on: ip:port or unix:///path?mode=0660
    #[arg(long, value_name = "ADDR")]
    listen: Option<String>,
    /// Where requests go: http://…, https://… or unix:///path
    #[arg(long, value_name = "URL")]
    upstream: Option<String>,
    /// ingress (requests for the component) or egress (requests by it) [default: ingress]
    #[arg(long, value_name = "DIRECTION")]
    direction: Option<String>,
    /// What inbound trace context may do: drop, ids or full
    /// [default: drop on ingress, full on egress]
    #[arg(long, value_name = "TRUST")]
    trust: Option<String>,
    /// What callers may speak: auto, http1 or http2 [default: auto]
    #[arg(long, value_name = "PROTOCOL")]
    protocol: Option<String>,
    /// What is spoken with the upstream: auto, http1 or http2 [default: auto]
    #[arg(long, value_name = "PROTOCOL")]
    upstream_protocol: Option<String>,
    /// Traces per million that are sampled, 0 to 1000000 [default: 0, sampled parents only]
    #[arg(long, value_name = "N")]
    sampling_rate_per_million: Option<String>,
    /// Collector spans are sent to [default: http://localhost:4317]
    #[arg(long, value_name = "URL")]
    otlp_endpoint: Option<String>,
    /// Address of the admin server: ip:port (loopback) or unix:///path [default: none]
    #[arg(long, value_name = "ADDR")]
    admin: Option<String>,
}

impl Arguments {
    fn flags(self) -> Flags {
        Flags {
            listen: self.listen,
            upstream: self.upstream,
            direction: self.direction,
            trust: self.trust,
            protocol: self.protocol,
            upstream_protocol: self.upstream_protocol,
            sampling_rate_per_million: self.sampling_rate_per_million,
            otlp_endpoint: self.otlp_endpoint,
            admin: self.admin,
        }
    }
}

/// Runs to the end.
pub fn run(arguments: Arguments, format: LogFormat) -> ExitCode {
    log_panics();
    let source = match source(arguments.config.as_deref(), Flags::default()) {
        Ok(source) => Source {
            flags: arguments.flags(),
            ..source
        },
        Err(complaint) => return refuse(&complaint, format),
    };
    let loaded = match config::load(&source, Strictness::Run) {
        Ok(loaded) => loaded,
        Err(faults) => return refuse(&faults.to_string(), format),
    };
    for warning in &loaded.warnings {
        tracing::warn!("{warning}");
    }
    for note in &loaded.config.notes {
        tracing::info!("{note}");
    }
    let mut inherited = match Inherited::from_env() {
        Ok(inherited) => inherited,
        Err(error) => {
            tracing::error!("{error}");
            return ExitCode::FAILURE;
        }
    };
    let started = App::start(loaded.config, source, &mut inherited)
        .and_then(|app| app.run(Signals::of_process));
    match started {
        Ok(_) => ExitCode::SUCCESS,
        Err(error) => {
            tracing::error!("{error}");
            ExitCode::from(error.exit_code())
        }
    }
}

/// Says why the configuration is refused: as log lines for a machine, as they are for people.
fn refuse(complaint: &str, format: LogFormat) -> ExitCode {
    match format {
        LogFormat::Json => complaint.lines().for_each(|line| tracing::error!("{line}")),
        LogFormat::Text => eprintln!("{complaint}"),
    }
    ExitCode::from(super::CONFIGURATION)
}

/// File and environment, or what is wrong with the file.
pub fn source(file: Option<&Path>, flags: Flags) -> Result<Source, String> {
    let file = match file {
        None => None,
        Some(path) => Some(read(path)?),
    };
    let variables = std::env::vars_os();
    let text = |(name, value): (std::ffi::OsString, std::ffi::OsString)| {
        Some((name.into_string().ok()?, value.into_string().ok()?))
    };
    Ok(Source {
        file,
        environment: variables.filter_map(text).collect(),
        flags,
    })
}

fn read(path: &Path) -> Result<FileText, String> {
    match std::fs::read_to_string(path) {
        Ok(text) => Ok(FileText {
            path: path.to_owned(),
            text,
        }),
        Err(error) => Err(format!(
            "{}: expected a readable configuration file in UTF-8: {error}",
            path.display()
        )),
    }
}

/// A panic ends one task; the log says where it happened.
pub fn log_panics() {
    std::panic::set_hook(Box::new(|info| {
        let at = info.location().map(ToString::to_string).unwrap_or_default();
        let payload = info.payload_as_str().unwrap_or("no message");
        tracing::error!(at, "panic: {payload}");
    }));
}
