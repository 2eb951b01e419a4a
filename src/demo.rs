//! `tracegate demo`: everything embedded, no file, no collector.
//!
//! Two sample components, a whole tracegate beside each (started as `run` starts one, on ports
//! the kernel chooses), a caller, and the spans in the terminal as they come. Spans take the way
//! they always take, through rings, batches and a sink; the sink is a reader in this process.

mod caller;
mod component;
mod line;
mod sidecar;
mod span;
mod terminal;
mod traces;
mod tree;
mod words;

use std::fmt;
use std::io::{self, Write};
use std::pin::pin;
use std::time::{Duration, Instant};

use tokio::net::TcpListener;
use tokio::runtime::Builder;
use tokio::sync::mpsc::Receiver;

pub use self::line::Style;
pub use self::terminal::style;

use self::sidecar::Sidecar;
use self::span::Span;
use self::traces::Traces;
use self::words::{Doors, Summary};
use crate::app::StartError;
use crate::config::Faults;
use crate::export::settings::{Delivery, Memory};
use crate::lifecycle::{Event, Signals};

/// How often complete traces are looked for.
const LOOK: Duration = Duration::from_millis(100);
/// Batches that may wait to be shown.
const BATCHES: usize = 64;

/// What the demo does by itself.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// Requests per second.
    pub rate: u16,
    /// It ends once so many were sent and answered; absent: never.
    pub requests: Option<u64>,
    /// It ends after this time; absent: never.
    pub duration: Option<Duration>,
}

/// Why the demo couldn't go on.
#[derive(Debug)]
pub enum Error {
    /// A proxy couldn't start.
    Start(StartError),
    /// The demo's own configuration is wrong: a fault of this program.
    Config(Faults),
    /// A socket, a thread or the terminal.
    Io(io::Error),
}

impl Error {
    /// The exit code, as `run` has it.
    pub const fn exit_code(&self) -> u8 {
        match self {
            Self::Start(error) => error.exit_code(),
            Self::Config(_) | Self::Io(_) => 1,
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Start(error) => error.fmt(f),
            Self::Config(faults) => faults.fmt(f),
            Self::Io(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for Error {}

impl From<io::Error> for Error {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

/// Runs until a signal, or until it has done what `options` say. Writes to `out`; if nobody reads
/// there any more, that is a reason to stop like any other.
///
/// # Errors
/// What couldn't be started, or written.
pub fn run(options: &Options, style: Style, out: &mut dyn Write) -> Result<(), Error> {
    let runtime = Builder::new_current_thread().enable_all().build()?;
    let mut screen = Screen {
        out,
        style,
        traces: Traces::default(),
        summary: Summary::default(),
    };
    match runtime.block_on(demo(options, &mut screen)) {
        Err(Error::Io(error)) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        ended => ended,
    }
}

async fn demo(options: &Options, screen: &mut Screen<'_>) -> Result<(), Error> {
    let mut signals = Signals::of_process()?;
    let (front, back) = (free_port().await?, free_port().await?);
    let (reader, mut deliveries) = Memory::channel(BATCHES);
    let behind = Sidecar::start(sidecar::backend(back.local_addr()?), &reader)?;
    let backend = behind.listener(0)?;
    let before = Sidecar::start(sidecar::frontend(front.local_addr()?, backend), &reader)?;
    // From here on the end of the deliveries is the end of both.
    drop(reader);
    let (public, egress) = (before.listener(0)?, before.listener(1)?);
    tokio::spawn(component::backend(back));
    tokio::spawn(component::frontend(front, egress));

    let admin = before.admin();
    screen.say(&words::intro(
        &Doors { public, admin },
        options.rate,
        screen.style,
    ))?;
    let enough = async {
        let calls = caller::steady(public, options.rate, options.requests);
        match options.duration {
            Some(limit) => drop(tokio::time::timeout(limit, calls).await),
            None => calls.await,
        }
    };
    let shown = screen.show(&mut deliveries, &mut signals, enough).await;

    // Also when the terminal is gone: spans still waiting must not hold up the proxies.
    before.drain();
    behind.drain();
    let rest = screen.rest(&mut deliveries, &mut signals, || {
        before.cut_short();
        behind.cut_short();
    });
    let rest = rest.await;
    drop(deliveries);
    screen.summary.lost = before.join()? + behind.join()?;
    shown.and(rest)?;
    screen.say(&[String::new(), screen.summary.line(screen.style)])?;
    Ok(())
}

async fn free_port() -> io::Result<TcpListener> {
    TcpListener::bind(("127.0.0.1", 0)).await
}

/// The terminal, and the traces on their way to it.
struct Screen<'a> {
    out: &'a mut dyn Write,
    style: Style,
    traces: Traces,
    summary: Summary,
}

impl Screen<'_> {
    /// Shows traces as they become complete, until somebody has had enough.
    async fn show(
        &mut self,
        deliveries: &mut Receiver<Delivery>,
        signals: &mut Signals,
        enough: impl Future<Output = ()>,
    ) -> io::Result<()> {
        let mut enough = pin!(enough);
        let mut look = tokio::time::interval(LOOK);
        loop {
            tokio::select! {
                delivery = deliveries.recv() => match delivery {
                    Some(delivery) => self.take(&delivery),
                    None => return Ok(()),
                },
                event = signals.next() => if event != Some(Event::Reload) {
                    return Ok(());
                },
                () = &mut enough => return Ok(()),
                _ = look.tick() => {
                    let due = self.traces.due(Instant::now());
                    self.draw(due)?;
                }
            }
        }
    }

    /// Takes what the proxies still have until both have ended, and shows it.
    async fn rest(
        &mut self,
        deliveries: &mut Receiver<Delivery>,
        signals: &mut Signals,
        cut_short: impl Fn(),
    ) -> io::Result<()> {
        loop {
            tokio::select! {
                delivery = deliveries.recv() => match delivery {
                    Some(delivery) => self.take(&delivery),
                    None => break,
                },
                Some(Event::Quit) = signals.next() => cut_short(),
            }
        }
        let rest = self.traces.rest();
        self.draw(rest)
    }

    fn take(&mut self, delivery: &Delivery) {
        let now = Instant::now();
        for span in Span::of(delivery) {
            self.traces.push(span, now);
        }
    }

    fn draw(&mut self, traces: Vec<Vec<Span>>) -> io::Result<()> {
        for spans in traces {
            self.summary.traces += 1;
            self.summary.spans += spans.len() as u64;
            let restarts = spans.iter().filter(|span| span.dropped.is_some()).count();
            self.summary.restarts += restarts as u64;
            let mut lines = tree::lines(&spans, self.style);
            lines.insert(0, String::new());
            self.say(&lines)?;
        }
        Ok(())
    }

    /// Writes lines in one go, so that what others write to the terminal doesn't tear them.
    fn say(&mut self, lines: &[String]) -> io::Result<()> {
        let mut text = lines.join("\n");
        text.push('\n');
        self.out.write_all(text.as_bytes())?;
        self.out.flush()
    }
}
