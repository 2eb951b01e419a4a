//! The program: argv, logging, exit code.
#![forbid(unsafe_code)]

mod cli;

use std::process::ExitCode;

/// Chosen by measurement, see benches/README.md.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    cli::run()
}
