//! Logs: structured, to standard error. A log line that can't be written is lost, nothing else.

use std::io;

use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::{self, MakeWriter};
use tracing_subscriber::util::{SubscriberInitExt as _, TryInitError};

/// How a log line looks.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Format {
    /// For people.
    #[default]
    Text,
    /// One JSON object a line, its fields at the top level.
    Json,
}

/// What is logged if nobody says otherwise.
const DEFAULT: &str = "info";

/// The variable that says what is logged.
const VARIABLE: &str = "RUST_LOG";

/// Logs to standard error from now on. `filter` beats `RUST_LOG`, which beats `info`; one that
/// can't be read is skipped with a warning, for a stray variable must not stop the proxy.
///
/// # Errors
/// If somebody in this process set up logging before.
pub fn init(format: Format, filter: Option<&str>) -> Result<(), TryInitError> {
    let variable = std::env::var(VARIABLE).ok();
    let (filter, warnings) = choose([("--log", filter), (VARIABLE, variable.as_deref())]);
    subscriber(format, filter, io::stderr).try_init()?;
    for warning in warnings {
        tracing::warn!("{warning}");
    }
    Ok(())
}

/// The first filter that can be read, and what is wrong with those before it.
fn choose<'a>(
    sources: impl IntoIterator<Item = (&'a str, Option<&'a str>)>,
) -> (EnvFilter, Vec<String>) {
    let mut warnings = Vec::new();
    for (name, text) in sources {
        let Some(text) = text.filter(|text| !text.trim().is_empty()) else {
            continue;
        };
        match EnvFilter::try_new(text) {
            Ok(filter) => return (filter, warnings),
            Err(error) => warnings.push(format!(
                "{name}: expected a log filter such as `info,tracegate=debug`: {error}"
            )),
        }
    }
    (EnvFilter::new(DEFAULT), warnings)
}

fn subscriber<W>(
    format: Format,
    filter: EnvFilter,
    writer: W,
) -> Box<dyn tracing::Subscriber + Send + Sync>
where
    W: for<'w> MakeWriter<'w> + Send + Sync + 'static,
{
    let builder = fmt::Subscriber::builder()
        .with_env_filter(filter)
        .with_writer(writer)
        // No colours, on a terminal neither: logs are read by collectors.
        .with_ansi(false)
        // Otherwise a line that can't be written is reported on standard error, which panics
        // when that is what broke.
        .log_internal_errors(false);
    match format {
        Format::Text => Box::new(builder.finish()),
        Format::Json => Box::new(builder.json().flatten_event(true).finish()),
    }
}
