//! Configuration: a file, the environment and the command line become each module's settings.
//!
//! Precedence, setting by setting: **flags** beat the **environment** (`OTEL_*`), the environment
//! beats the **file**, the file beats the Kubernetes file it names (`tracing.kubernetesFile`), and
//! that beats the **defaults**. All four are laid over one tree of nodes that remember where they
//! came from, which is then read once; so a fault says the same words wherever a value stood.
//!
//! The file has to be valid by itself: what an override hides is checked too. Every fault is
//! reported, not the first alone. Relative paths in a file are relative to that file's directory;
//! those in the environment and on the command line to the working directory.
//!
//! Only `app` sees a whole [`Config`]; every other module sees its own settings.

mod address;
pub mod fault;
mod files;
pub mod flags;
mod kubernetes;
mod openapi;
mod otel_env;
mod raw;
mod reader;
mod resolve;
mod values;
mod words;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use self::fault::{Origin, Report};
use self::raw::Node;

pub use self::fault::{Fault, Faults};
pub use self::flags::Flags;

/// Everything the program was told, validated.
#[derive(Clone, Debug, PartialEq)]
pub struct Config {
    /// Where spans go.
    pub export: crate::export::settings::Settings,
    /// Which requests are sampled.
    pub sampling: crate::sample::settings::Settings,
    /// Which requests are logged.
    pub access_log: crate::access_log::Mode,
    /// The admin server, if there is one.
    pub admin: Option<crate::admin::settings::Admin>,
    /// The health server, if there is one.
    pub health: Option<crate::admin::settings::Health>,
    /// Worker threads, at least one.
    pub workers: usize,
    /// How long a draining process keeps accepting.
    pub drain_delay: Duration,
    /// How long requests in flight may take to finish after that.
    pub drain_timeout: Duration,
    /// At least one, with unique names and addresses.
    pub listeners: Vec<Listener>,
    /// The whole effective configuration, keys as in the file, secrets masked.
    pub effective: serde_json::Value,
    /// Every file the configuration depends on, itself included: a change of contents is a reload.
    pub files: Vec<PathBuf>,
    /// What an operator should know about how the settings came about.
    pub notes: Vec<String>,
}

/// One listener: its socket and its pipeline.
#[derive(Clone, Debug, PartialEq)]
pub struct Listener {
    /// The socket's side.
    pub listen: crate::listen::settings::Settings,
    /// The pipeline's side.
    pub proxy: crate::proxy::settings::Settings,
}

/// What a configuration is made from. Nothing else is consulted but the files it refers to.
#[derive(Clone, Debug, Default)]
pub struct Source {
    /// The configuration file, already read; absent when flags describe one listener.
    pub file: Option<FileText>,
    /// The environment; only `OTEL_*` variables are looked at.
    pub environment: BTreeMap<String, String>,
    /// The command line.
    pub flags: Flags,
}

/// A file's name and contents.
#[derive(Clone, Debug)]
pub struct FileText {
    /// As the user wrote it: faults repeat it.
    pub path: PathBuf,
    /// Contents.
    pub text: String,
}

/// What a bad value in the environment is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Strictness {
    /// A fault, as anywhere else.
    Check,
    /// A warning, and the variable counts as unset: a stray one must not stop a proxy.
    Run,
}

/// A configuration that can run.
#[derive(Clone, Debug, PartialEq)]
pub struct Loaded {
    /// The settings.
    pub config: Config,
    /// One line each; for the log in `run`, for the terminal in `check`.
    pub warnings: Vec<String>,
}

/// Reads and validates everything.
///
/// # Errors
/// Every fault there is, in the order of the file's lines.
pub fn load(source: &Source, strictness: Strictness) -> Result<Loaded, Faults> {
    let (base, mut faults) = base(source);
    let Some(base) = base else {
        return Err(Faults::new(faults));
    };
    let alone = faults.is_empty();
    let mut environment = source.environment.clone();
    let mut warnings = Vec::new();
    loop {
        let mut reading = read(&base, &environment, &source.flags);
        let (theirs, ours): (Vec<_>, Vec<_>) = reading
            .faults
            .drain(..)
            .partition(|fault| fault.at.variable().is_some());
        if strictness == Strictness::Check || (theirs.is_empty() && (ours.is_empty() || !alone)) {
            faults.extend(theirs);
            faults.extend(ours);
            reading.warnings.splice(0..0, warnings);
            return reading.finish(faults);
        }
        if theirs.is_empty() {
            // The file is right by itself. Is it the environment that doesn't fit it?
            let without = read(&base, &BTreeMap::new(), &source.flags);
            if !without.faults.is_empty() {
                return Err(Faults::new(ours));
            }
            let problems = ours.iter().map(Fault::to_string).collect::<Vec<_>>();
            let problems = problems.join("; ");
            warnings.push(format!(
                "OTEL_* variables are ignored: with them, {problems}"
            ));
            environment.clear();
        }
        for fault in theirs {
            // A bad variable counts as unset, and everything is read again without it.
            environment.retain(|name, _| Some(name.as_str()) != fault.at.variable());
            warnings.push(format!("{fault}; ignored"));
        }
    }
}

/// One reading of everything.
struct Reading {
    config: Option<Config>,
    faults: Vec<Fault>,
    warnings: Vec<String>,
    notes: Vec<String>,
    files: Vec<PathBuf>,
}

impl Reading {
    fn finish(self, faults: Vec<Fault>) -> Result<Loaded, Faults> {
        match self.config {
            Some(mut config) if faults.is_empty() => {
                config.notes = self.notes;
                config.files = self.files;
                Ok(Loaded {
                    config,
                    warnings: self.warnings,
                })
            }
            _ => Err(Faults::new(faults)),
        }
    }
}

/// The tree before any override, and what is wrong with it. Flags describe it without a file.
fn base(source: &Source) -> (Option<Node>, Vec<Fault>) {
    let report = Report::default();
    let tree = match &source.file {
        None => source.flags.tree(&report),
        Some(file) => {
            source.flags.refuse_beside_file(&report);
            let origin = Arc::new(Origin::File(file.path.clone()));
            let tree = raw::parse(&file.text, &origin, &report);
            if let Some(tree) = &tree {
                let alone = read(tree, &BTreeMap::new(), &Flags::default());
                let mut faults = report.finish().faults;
                faults.extend(alone.faults);
                return (Some(tree.clone()), faults);
            }
            tree
        }
    };
    (tree, report.finish().faults)
}

fn read(base: &Node, environment: &BTreeMap<String, String>, flags: &Flags) -> Reading {
    let report = Report::default();
    if let Origin::File(path) = &*base.at.origin {
        report.file(path.clone());
    }
    let mut tree = base.clone();
    kubernetes::underlay(&mut tree, &report);
    let batching = otel_env::overlay(environment, &mut tree, &report);
    flags.overlay(&mut tree, &report);
    let config = resolve::resolve(&tree, &batching, &report);
    let findings = report.finish();
    Reading {
        config,
        faults: findings.faults,
        warnings: findings.warnings,
        notes: findings.notes,
        files: findings.files,
    }
}
