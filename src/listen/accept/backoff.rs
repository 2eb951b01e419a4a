//! What to do when accepting fails: pure, so that it can be tested without running out of
//! anything.

use std::io;
use std::time::Duration;

use rustix::io::Errno;

const FIRST_PAUSE: Duration = Duration::from_millis(5);
const LONGEST_PAUSE: Duration = Duration::from_secs(1);
/// Faults of single connections in a row that are passed over at once; more look like a fault of
/// the listener, and must not spin.
const MOST_AT_ONCE: u32 = 16;

/// Faults since the last connection.
#[derive(Debug, Default)]
pub(super) struct Backoff {
    at_once: u32,
    pause: Option<Duration>,
}

/// What to do after a fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// Try again now.
    Again,
    /// Try again later.
    Pause {
        /// How much later.
        time: Duration,
        /// Whether this begins a spell of faults, which is worth a line.
        report: bool,
    },
}

impl Backoff {
    /// Accounts for a fault.
    pub(super) fn failed(&mut self, error: &io::Error) -> Step {
        if is_of_one_connection(error) && self.at_once < MOST_AT_ONCE {
            self.at_once += 1;
            return Step::Again;
        }
        let report = self.pause.is_none();
        let time = match self.pause {
            None => FIRST_PAUSE,
            Some(last) => (last * 2).min(LONGEST_PAUSE),
        };
        self.pause = Some(time);
        Step::Pause { time, report }
    }

    /// Accounts for a connection; whether it ends a reported spell of faults.
    pub(super) fn recovered(&mut self) -> bool {
        self.at_once = 0;
        self.pause.take().is_some()
    }
}

/// Faults that took a connection with them and say nothing about the next (`accept(2)`).
fn is_of_one_connection(error: &io::Error) -> bool {
    const ONE: [Errno; 12] = [
        Errno::INTR,
        Errno::CONNABORTED,
        Errno::CONNRESET,
        Errno::PERM,
        Errno::PROTO,
        Errno::NOPROTOOPT,
        Errno::OPNOTSUPP,
        Errno::NETDOWN,
        Errno::NETUNREACH,
        Errno::HOSTDOWN,
        Errno::HOSTUNREACH,
        Errno::NONET,
    ];
    ONE.iter()
        .any(|one| error.raw_os_error() == Some(one.raw_os_error()))
}
