//! Spans become traces: nobody says when a trace is complete, so it is taken for complete when
//! nothing has been added for a while. Pure: time comes in as arguments.

use std::time::{Duration, Instant};

use super::span::Span;

/// Quiet time after which a trace with a root is complete: longer than two exporters' spans can
/// be apart. A root ends last.
pub const SETTLED: Duration = Duration::from_millis(800);
/// The same for a trace whose root hasn't come, and perhaps never will.
pub const GIVEN_UP: Duration = Duration::from_secs(5);
/// Traces that may be open at once; more, and the oldest is taken for complete.
const MOST: usize = 256;

/// Traces that may still grow, oldest first.
#[derive(Default)]
pub struct Traces(Vec<Open>);

struct Open {
    spans: Vec<Span>,
    last: Instant,
}

impl Open {
    fn is_due(&self, now: Instant) -> bool {
        let rooted = self.spans.iter().any(|span| span.parent.is_none());
        let patience = if rooted { SETTLED } else { GIVEN_UP };
        now.saturating_duration_since(self.last) >= patience
    }
}

impl Traces {
    /// Adds a span that came at `now`.
    pub fn push(&mut self, span: Span, now: Instant) {
        let same = |open: &&mut Open| open.spans.iter().any(|other| other.trace == span.trace);
        if let Some(open) = self.0.iter_mut().find(same) {
            open.spans.push(span);
            open.last = now;
        } else {
            self.0.push(Open {
                spans: vec![span],
                last: now,
            });
        }
    }

    /// The traces that are complete at `now`.
    pub fn due(&mut self, now: Instant) -> Vec<Vec<Span>> {
        let mut excess = self.0.len().saturating_sub(MOST);
        let due = self.0.extract_if(.., |open| {
            let forced = excess > 0;
            excess = excess.saturating_sub(1);
            forced || open.is_due(now)
        });
        due.map(|open| open.spans).collect()
    }

    /// Every trace there is.
    pub fn rest(&mut self) -> Vec<Vec<Span>> {
        self.0.drain(..).map(|open| open.spans).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::super::tree::sample::{client, server};
    use super::*;

    #[test]
    fn a_trace_is_complete_once_its_root_is_there_and_nothing_more_comes() {
        let (start, mut traces) = (Instant::now(), Traces::default());
        traces.push(client(1, 2, Some(1)), start);
        traces.push(server(1, 1, None), start + SETTLED / 2);
        assert!(traces.due(start + SETTLED).is_empty(), "it may still grow");
        let due = traces.due(start + SETTLED / 2 + SETTLED);
        assert_eq!(due.len(), 1);
        assert_eq!(due[0].len(), 2);
        assert!(traces.rest().is_empty(), "it is shown once");
    }

    #[test]
    fn a_trace_without_a_root_waits_longer_but_not_for_ever() {
        let (start, mut traces) = (Instant::now(), Traces::default());
        traces.push(client(1, 2, Some(1)), start);
        assert!(traces.due(start + SETTLED).is_empty());
        assert_eq!(traces.due(start + GIVEN_UP).len(), 1);
    }

    #[test]
    fn traces_do_not_mix() {
        let (start, mut traces) = (Instant::now(), Traces::default());
        for trace in [1, 2, 1] {
            traces.push(server(trace, 1, None), start);
        }
        let lengths: Vec<_> = traces.rest().iter().map(Vec::len).collect();
        assert_eq!(lengths, [2, 1]);
    }

    #[test]
    fn the_oldest_make_room_when_there_are_too_many() {
        let (start, mut traces) = (Instant::now(), Traces::default());
        for trace in 1..=(MOST as u128 + 2) {
            traces.push(server(trace, 1, None), start);
        }
        let due = traces.due(start);
        let ids: Vec<_> = due.iter().map(|spans| spans[0].trace).collect();
        assert_eq!(ids, [1_u128, 2].map(Into::into));
    }
}
