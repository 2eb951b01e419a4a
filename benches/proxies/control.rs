//! How the rig talks to its own roles: the role prints the address it serves on the first line of
//! its standard output, then answers every line on its standard input with one line. It ends when
//! its standard input does, so no role outlives the rig.

use std::io::{BufRead, Write};
use std::net::SocketAddr;

/// A current-thread runtime, as every worker here has one.
pub fn runtime() -> Result<tokio::runtime::Runtime, String> {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| format!("no runtime: {error}"))
}

/// Says where the role serves and answers questions from a thread of its own; ends the process
/// when nobody is left to ask.
pub fn serve(address: SocketAddr, mut answer: impl FnMut(&str) -> String + Send + 'static) {
    say(&address.to_string());
    std::thread::spawn(move || {
        for line in std::io::stdin().lock().lines().map_while(Result::ok) {
            say(&answer(line.trim()));
        }
        std::process::exit(0);
    });
}

fn say(line: &str) {
    let mut out = std::io::stdout().lock();
    if writeln!(out, "{line}").and_then(|()| out.flush()).is_err() {
        std::process::exit(0);
    }
}
