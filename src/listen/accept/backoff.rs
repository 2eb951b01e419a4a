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

#[cfg(test)]
mod tests {
    use super::*;

    fn fault(errno: Errno) -> io::Error {
        errno.into()
    }

    #[test]
    fn lack_of_descriptors_pauses_ever_longer_and_is_reported_once() {
        let mut backoff = Backoff::default();
        let steps: Vec<_> = (0..10)
            .map(|_| backoff.failed(&fault(Errno::MFILE)))
            .collect();
        let expected = [5, 10, 20, 40, 80, 160, 320, 640, 1000, 1000];
        for (at, (step, millis)) in steps.iter().zip(expected).enumerate() {
            let pause = Step::Pause {
                time: Duration::from_millis(millis),
                report: at == 0,
            };
            assert_eq!(*step, pause, "fault {at}");
        }
        assert!(backoff.recovered());
        assert!(!backoff.recovered(), "recovery is reported once, too");
    }

    #[test]
    fn faults_of_single_connections_are_passed_over_until_they_pile_up() {
        let mut backoff = Backoff::default();
        for _ in 0..MOST_AT_ONCE {
            assert_eq!(backoff.failed(&fault(Errno::CONNABORTED)), Step::Again);
        }
        let step = backoff.failed(&fault(Errno::CONNABORTED));
        assert!(matches!(step, Step::Pause { report: true, .. }));
        backoff.recovered();
        assert_eq!(backoff.failed(&fault(Errno::CONNABORTED)), Step::Again);
    }

    #[test]
    fn an_unknown_fault_is_waited_out_like_lack_of_descriptors() {
        for error in [
            fault(Errno::NOMEM),
            fault(Errno::INVAL),
            io::Error::other("?"),
        ] {
            let step = Backoff::default().failed(&error);
            assert!(matches!(step, Step::Pause { .. }), "{error}");
        }
    }
}
