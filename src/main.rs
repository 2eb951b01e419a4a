//! The program: argv, logging, exit code.

fn main() {}
