//! `tracegate check`: every fault in one go.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;
use tracegate::config::{self, Flags, Strictness};

/// What `check` takes.
#[derive(Args)]
pub struct Arguments {
    /// Configuration file to validate, together with the OTEL_* variables that are set
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
}

/// Validates; 0 for a good configuration, 78 for a bad one.
pub fn check(arguments: &Arguments) -> ExitCode {
    let source = match super::run::source(Some(&arguments.config), Flags::default()) {
        Ok(source) => source,
        Err(complaint) => {
            eprintln!("{complaint}");
            return ExitCode::from(super::CONFIGURATION);
        }
    };
    match config::load(&source, Strictness::Check) {
        Ok(loaded) => {
            for warning in &loaded.warnings {
                println!("warning: {warning}");
            }
            for note in &loaded.config.notes {
                println!("note: {note}");
            }
            let listeners = loaded.config.listeners.len();
            println!(
                "{}: good, {listeners} listener(s)",
                arguments.config.display()
            );
            ExitCode::SUCCESS
        }
        Err(faults) => {
            eprintln!("{faults}");
            ExitCode::from(super::CONFIGURATION)
        }
    }
}
