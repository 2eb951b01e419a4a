//! The thread that writes: rings → lines → standard output.

use std::io::Write;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use super::{Entry, Status, line};
use crate::span::semconv::Anchor;

/// Pauses between two looks at the rings: a push wakes nobody, which would cost the worker a
/// system call per line.
const SHORTEST: Duration = Duration::from_millis(5);
/// Short enough that a ring takes what comes in it at 80000 requests a second.
const LONGEST: Duration = Duration::from_millis(50);

/// Text that is written at once.
const CHUNK: usize = 64 * 1024;

pub(super) struct Writer {
    rings: Vec<rtrb::Consumer<Entry>>,
    output: Box<dyn Write + Send>,
    status: Arc<Status>,
    stop: Arc<AtomicBool>,
    failing: bool,
}

impl Writer {
    pub(super) fn new(
        rings: Vec<rtrb::Consumer<Entry>>,
        output: Box<dyn Write + Send>,
        status: Arc<Status>,
        stop: Arc<AtomicBool>,
    ) -> Self {
        Self {
            rings,
            output,
            status,
            stop,
            failing: false,
        }
    }

    /// Until it is told to stop and nothing is left.
    pub(super) fn run(mut self) {
        let mut pause = SHORTEST;
        let mut text = String::with_capacity(CHUNK);
        loop {
            // Asked first: what was pushed before the order is then still found.
            let stopping = self.stop.load(Ordering::Acquire);
            let lines = self.take(&mut text);
            if lines > 0 {
                self.write(&text, lines);
                text.clear();
                pause = SHORTEST;
            } else if stopping {
                return;
            } else {
                std::thread::park_timeout(pause);
                pause = (pause * 2).min(LONGEST);
            }
        }
    }

    /// Lines from all rings in turn, until there is a chunk; how many those were.
    fn take(&mut self, text: &mut String) -> u64 {
        let anchor = Anchor::now();
        let mut lines = 0;
        let mut found = true;
        while found && text.len() < CHUNK {
            found = false;
            for ring in &mut self.rings {
                if let Ok(entry) = ring.pop() {
                    line::write(&entry, anchor, text);
                    lines += 1;
                    found = true;
                }
            }
        }
        lines
    }

    /// Writes, and counts what became of it; the first failure in a row is logged.
    fn write(&mut self, text: &str, lines: u64) {
        let written = self.output.write_all(text.as_bytes());
        match written.and_then(|()| self.output.flush()) {
            Ok(()) => {
                self.failing = false;
                self.status.written.fetch_add(lines, Ordering::Relaxed);
            }
            Err(error) => {
                if !self.failing {
                    tracing::warn!(%error, "the access log can't be written");
                }
                self.failing = true;
                self.status.failed.fetch_add(lines, Ordering::Relaxed);
            }
        }
    }
}
