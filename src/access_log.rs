//! The access log: one line of JSON per request on standard output, written at the request's end.
//!
//! Workers push entries into a bounded ring each, which never waits; one thread writes them out.
//! If nobody reads what it writes, rings fill and entries are dropped and counted: a log that
//! stands still costs no request. The program's own messages go to standard error.
//!
//! The rings are there from the start, the thread from the first moment the log is on, so that a
//! reload can switch it.

use std::io::{self, Write};
use std::net::IpAddr;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::Thread;
use std::time::{Duration, Instant};

use crate::context::traceparent::TraceParent;
use crate::span::record::Record;

mod date;
mod line;
mod writer;

/// Entries a worker's ring holds.
const RING: usize = 4096;

/// Which requests are logged.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Mode {
    /// None.
    #[default]
    Off,
    /// Those that hand on that they are sampled.
    Sampled,
    /// Every one whose head could be read.
    All,
}

/// What is logged of a request.
#[derive(Clone, Debug)]
pub struct Entry {
    /// The request as it ended; its ids only count if it was recorded.
    pub record: Box<Record>,
    /// When the request's head had been read; the record's own beginning is its last attempt's.
    pub start: Instant,
    /// The span it was recorded as, or else what was handed on to the upstream.
    pub context: Option<TraceParent>,
    /// Who called.
    pub client: Option<IpAddr>,
    /// What the caller spoke.
    pub protocol: &'static str,
}

/// Why a line was lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    /// Lines came faster than they were read.
    QueueFull,
    /// Standard output couldn't be written to.
    WriteFailed,
}

impl Reason {
    /// Every reason.
    pub const ALL: [Self; 2] = [Self::QueueFull, Self::WriteFailed];

    /// The value of the label `reason`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::QueueFull => "queue_full",
            Self::WriteFailed => "write_failed",
        }
    }
}

/// What became of the lines.
#[derive(Debug, Default)]
pub struct Status {
    rings: Box<[Arc<Dropped>]>,
    written: AtomicU64,
    failed: AtomicU64,
}

/// What one worker's ring couldn't take. Aligned, so that workers share no cache line.
#[derive(Debug, Default)]
#[repr(align(128))]
struct Dropped(AtomicU64);

impl Status {
    /// Lines written.
    pub fn written(&self) -> u64 {
        self.written.load(Ordering::Relaxed)
    }

    /// Lines lost.
    pub fn dropped(&self, reason: Reason) -> u64 {
        match reason {
            Reason::QueueFull => self.rings.iter().map(|r| r.0.load(Ordering::Relaxed)).sum(),
            Reason::WriteFailed => self.failed.load(Ordering::Relaxed),
        }
    }
}

/// A worker's end of its ring.
#[derive(Debug)]
pub struct Producer {
    ring: rtrb::Producer<Entry>,
    dropped: Arc<Dropped>,
}

impl Producer {
    /// A producer nobody reads from, to rehearse with.
    pub fn unread() -> Self {
        Self {
            ring: rtrb::RingBuffer::new(1).0,
            dropped: Arc::default(),
        }
    }

    /// Hands an entry over; a full ring drops and counts it.
    pub fn push(&mut self, entry: Entry) {
        if self.ring.push(entry).is_err() {
            self.dropped.0.fetch_add(1, Ordering::Relaxed);
        }
    }
}

/// The log, seen from the rest of the process.
pub struct Handle {
    status: Arc<Status>,
    stop: Arc<AtomicBool>,
    thread: Mutex<State>,
}

enum State {
    /// It was never on.
    Idle(Vec<rtrb::Consumer<Entry>>, Box<dyn Write + Send>),
    Running(Thread, Receiver<()>),
    /// Between the two, or the thread couldn't be made.
    Gone,
}

/// A ring for each of `workers`, and the log on standard output, which is off.
pub fn stdout(workers: usize) -> (Vec<Producer>, Handle) {
    new(workers, RING, Box::new(io::stdout()))
}

fn new(workers: usize, slots: usize, output: Box<dyn Write + Send>) -> (Vec<Producer>, Handle) {
    let mut producers = Vec::with_capacity(workers);
    let mut consumers = Vec::with_capacity(workers);
    for _ in 0..workers {
        let (producer, consumer) = rtrb::RingBuffer::new(slots);
        producers.push(Producer {
            ring: producer,
            dropped: Arc::default(),
        });
        consumers.push(consumer);
    }
    let status = Status {
        rings: producers.iter().map(|p| Arc::clone(&p.dropped)).collect(),
        ..Status::default()
    };
    let handle = Handle {
        status: Arc::new(status),
        stop: Arc::default(),
        thread: Mutex::new(State::Idle(consumers, output)),
    };
    (producers, handle)
}

impl Handle {
    /// Counters.
    pub fn status(&self) -> Arc<Status> {
        Arc::clone(&self.status)
    }

    /// Makes sure that somebody writes what workers log in that mode.
    ///
    /// # Errors
    /// When there is no thread to be had.
    pub fn prepare(&self, mode: Mode) -> io::Result<()> {
        let mut state = self.thread.lock().unwrap_or_else(PoisonError::into_inner);
        if mode == Mode::Off || !matches!(*state, State::Idle(..)) {
            return Ok(());
        }
        let State::Idle(rings, output) = std::mem::replace(&mut *state, State::Gone) else {
            return Ok(());
        };
        let (ended, end) = sync_channel(1);
        let writer = writer::Writer::new(
            rings,
            output,
            Arc::clone(&self.status),
            Arc::clone(&self.stop),
        );
        let thread = std::thread::Builder::new()
            .name("tracegate-log".to_owned())
            .spawn(move || {
                writer.run();
                let _ = ended.send(());
            })?;
        *state = State::Running(thread.thread().clone(), end);
        Ok(())
    }

    /// Writes what is left, for at most so long. Blocks; call it after the workers have stopped.
    pub fn shutdown(self, deadline: Duration) {
        let state = self.thread.into_inner();
        if let State::Running(thread, end) = state.unwrap_or_else(PoisonError::into_inner) {
            self.stop.store(true, Ordering::Release);
            thread.unpark();
            if end.recv_timeout(deadline).is_err() {
                // A write to a pipe nobody reads can't be taken back.
                tracing::warn!("nobody reads the access log: its last lines are lost");
            }
        }
    }
}

#[cfg(test)]
mod tests;
