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
    let (filter, warnings) = choose([("log filter", filter), (VARIABLE, variable.as_deref())]);
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

#[cfg(test)]
mod tests {
    use std::process::Command;
    use std::sync::{Arc, Mutex};

    use tracing::subscriber::with_default;

    use super::*;

    #[derive(Clone, Default)]
    struct Lines(Arc<Mutex<Vec<u8>>>);

    impl io::Write for Lines {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn log(format: Format, filter: &str) -> String {
        let lines = Lines::default();
        let writer = lines.clone();
        let subscriber = subscriber(format, EnvFilter::new(filter), move || writer.clone());
        with_default(subscriber, || {
            tracing::info!(listener = "public", "bound");
            tracing::debug!("hidden");
        });
        let bytes = lines.0.lock().unwrap().clone();
        String::from_utf8(bytes).unwrap()
    }

    #[test]
    fn json_lines_hold_their_fields_at_the_top() {
        let line = log(Format::Json, "info");
        let value: serde_json::Value = serde_json::from_str(&line).unwrap();
        assert_eq!(value["message"], "bound");
        assert_eq!(value["listener"], "public");
        assert_eq!(value["level"], "INFO");
    }

    #[test]
    fn text_lines_have_no_colours() {
        let line = log(Format::Text, "info");
        assert!(line.contains("bound listener=\"public\""), "{line}");
        assert!(!line.contains('\u{1b}'), "{line}");
        assert_eq!(line.lines().count(), 1);
    }

    #[test]
    fn the_first_readable_filter_counts_and_unreadable_ones_are_told() {
        for (flag, variable, chosen, warnings) in [
            (None, None, "info", 0),
            (None, Some("debug"), "debug", 0),
            (Some("warn"), Some("debug"), "warn", 0),
            (Some(""), Some(" "), "info", 0),
            (Some("a=b=c"), Some("debug"), "debug", 1),
            (None, Some("tracegate=loud"), "info", 1),
        ] {
            let (filter, told) = choose([("log filter", flag), ("RUST_LOG", variable)]);
            assert_eq!(filter.to_string(), chosen, "{flag:?} {variable:?}");
            assert_eq!(told.len(), warnings, "{told:?}");
        }
    }

    /// Runs in a process of its own, whose standard error nobody reads.
    #[test]
    fn a_broken_standard_error_loses_the_line_and_nothing_else() {
        const CHILD: &str = "TRACEGATE_TEST_LOGGING";
        if std::env::var_os(CHILD).is_some() {
            init(Format::Text, Some("info")).unwrap();
            tracing::info!("lost");
            assert!(init(Format::Text, None).is_err(), "once a process");
            return;
        }
        let name = format!(
            "{}::a_broken_standard_error_loses_the_line_and_nothing_else",
            module_path!()
        );
        let (reader, writer) = io::pipe().unwrap();
        drop(reader);
        let output = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", name.split_once("::").unwrap().1, "--nocapture"])
            .env(CHILD, "1")
            .stderr(writer)
            .output()
            .unwrap();
        let told = String::from_utf8_lossy(&output.stdout);
        assert!(output.status.success(), "{told}");
        assert!(told.contains("1 passed"), "{told}");
    }
}
