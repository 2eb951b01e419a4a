//! Signals as a stream of events: the first SIGTERM or SIGINT drains, the second ends at once.

use std::io;

use tokio::signal::unix::{self, SignalKind};
use tokio::sync::mpsc;

/// What a signal asks for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Event {
    /// Drain, then end.
    Drain,
    /// End now.
    Quit,
    /// Read files again.
    Reload,
}

/// A signal this program listens to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Signal {
    /// SIGTERM
    Terminate,
    /// SIGINT
    Interrupt,
    /// SIGHUP
    Hangup,
}

/// The stream of events.
pub struct Signals {
    source: Source,
    stopping: bool,
}

enum Source {
    Process {
        terminate: unix::Signal,
        interrupt: unix::Signal,
        hangup: unix::Signal,
    },
    Channel(mpsc::Receiver<Signal>),
}

impl Signals {
    /// The signals of this process; from now on they don't end it any more.
    ///
    /// Needs a runtime with I/O enabled.
    ///
    /// # Errors
    /// If a handler can't be installed.
    pub fn of_process() -> io::Result<Self> {
        Ok(Self::from_source(Source::Process {
            terminate: unix::signal(SignalKind::terminate())?,
            interrupt: unix::signal(SignalKind::interrupt())?,
            hangup: unix::signal(SignalKind::hangup())?,
        }))
    }

    /// Signals somebody else sends.
    pub fn of_channel(signals: mpsc::Receiver<Signal>) -> Self {
        Self::from_source(Source::Channel(signals))
    }

    /// The next event; `None` when no signal can come any more.
    pub async fn next(&mut self) -> Option<Event> {
        let signal = self.source.next().await?;
        Some(match signal {
            Signal::Hangup => Event::Reload,
            Signal::Terminate | Signal::Interrupt if self.stopping => Event::Quit,
            Signal::Terminate | Signal::Interrupt => {
                self.stopping = true;
                Event::Drain
            }
        })
    }

    fn from_source(source: Source) -> Self {
        Self {
            source,
            stopping: false,
        }
    }
}

impl Source {
    async fn next(&mut self) -> Option<Signal> {
        match self {
            Self::Process {
                terminate,
                interrupt,
                hangup,
            } => tokio::select! {
                Some(()) = terminate.recv() => Some(Signal::Terminate),
                Some(()) = interrupt.recv() => Some(Signal::Interrupt),
                Some(()) = hangup.recv() => Some(Signal::Hangup),
                else => None,
            },
            Self::Channel(signals) => signals.recv().await,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::process::Command;
    use std::time::Duration;

    use rustix::process::{Signal as Raw, getpid, kill_process};
    use tokio::time::timeout;

    use super::*;

    #[tokio::test]
    async fn the_second_request_to_stop_ends_at_once() {
        use Signal::{Hangup, Interrupt, Terminate};
        for (signals, events) in [
            (
                vec![Hangup, Terminate, Hangup, Terminate],
                vec![Event::Reload, Event::Drain, Event::Reload, Event::Quit],
            ),
            (vec![Interrupt, Terminate], vec![Event::Drain, Event::Quit]),
            (
                vec![Terminate, Interrupt, Interrupt],
                vec![Event::Drain, Event::Quit, Event::Quit],
            ),
        ] {
            let (sender, receiver) = mpsc::channel(8);
            for signal in &signals {
                sender.send(*signal).await.unwrap();
            }
            drop(sender);
            let mut stream = Signals::of_channel(receiver);
            let mut seen = Vec::new();
            while let Some(event) = stream.next().await {
                seen.push(event);
            }
            assert_eq!(seen, events, "{signals:?}");
        }
    }

    /// Runs in a process of its own: the handlers stay, and a test run must remain stoppable.
    #[test]
    fn signals_of_the_process_arrive() {
        const CHILD: &str = "TRACEGATE_TEST_SIGNALS";
        if std::env::var_os(CHILD).is_some() {
            return raise_and_hear();
        }
        let name = format!("{}::signals_of_the_process_arrive", module_path!());
        let name = name.split_once("::").unwrap().1;
        let output = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", name])
            .env(CHILD, "1")
            .output()
            .unwrap();
        let told = String::from_utf8_lossy(&output.stdout);
        assert!(output.status.success(), "{told}");
        assert!(told.contains("1 passed"), "{told}");
    }

    fn raise_and_hear() {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        runtime.block_on(async {
            let mut stream = Signals::of_process().unwrap();
            for (raw, event) in [
                (Raw::HUP, Event::Reload),
                (Raw::TERM, Event::Drain),
                (Raw::INT, Event::Quit),
            ] {
                kill_process(getpid(), raw).unwrap();
                let heard = timeout(Duration::from_secs(20), stream.next()).await;
                assert_eq!(heard.unwrap(), Some(event), "{raw:?}");
            }
        });
    }
}
