//! A trace as an indented tree: spans in, lines out. Pure.

use std::time::{Duration, SystemTime};

use opentelemetry::trace::SpanKind;

use super::line::{Line, Paint, Style, wrap};
use super::span::{Span, since};

/// Columns of service and listener, of a duration, of a status, and one space before each of them
/// and before the bar.
const WHERE: usize = 12;
const DURATION: usize = 8;
const STATUS: usize = 11;
const GAPS: usize = 4;

/// The lines of one trace, a headline first.
pub fn lines(spans: &[Span], style: Style) -> Vec<String> {
    let Some(frame) = Frame::of(spans, style) else {
        return Vec::new();
    };
    let mut lines = vec![frame.headline(spans)];
    let mut shown = vec![false; spans.len()];
    let is_root = |span: &Span| {
        let parent = span.parent;
        parent.is_none_or(|parent| spans.iter().all(|other| other.id != parent))
    };
    for (index, _) in in_order(spans, is_root) {
        frame.branch(spans, index, &Place::root(), &mut shown, &mut lines);
    }
    lines
}

/// Spans that are meant, by their start, with their places in the list.
fn in_order(spans: &[Span], meant: impl Fn(&Span) -> bool) -> Vec<(usize, &Span)> {
    let mut found: Vec<_> = spans.iter().enumerate().filter(|(_, s)| meant(s)).collect();
    found.sort_by_key(|(_, span)| span.start);
    found
}

/// Where a span stands in the tree.
struct Place {
    /// What stands before the span's own line.
    own: String,
    /// What stands before the lines below it.
    below: String,
    /// Whether the parent has a remark on its stream already.
    streams: bool,
}

impl Place {
    fn root() -> Self {
        Self {
            own: "  ".to_owned(),
            below: "  ".to_owned(),
            streams: false,
        }
    }

    fn child(&self, last: bool, streams: bool) -> Self {
        let (branch, guide) = if last {
            ("└─ ", "   ")
        } else {
            ("├─ ", "│  ")
        };
        Self {
            own: format!("{}{branch}", self.below),
            below: format!("{}{guide}", self.below),
            streams,
        }
    }
}

/// What all lines of one trace share: the time they cover and the columns they have.
struct Frame {
    start: SystemTime,
    length: Duration,
    label: usize,
    bar: usize,
    style: Style,
}

impl Frame {
    fn of(spans: &[Span], style: Style) -> Option<Self> {
        let start = spans.iter().map(|span| span.start).min()?;
        let end = spans.iter().map(|span| span.end).max()?;
        let room = style.width.saturating_sub(WHERE + DURATION + STATUS + GAPS);
        // The words come first, then the bar, then what is left goes to both.
        let label = (room * 3 / 4).clamp(room.min(34), 60);
        Some(Self {
            start,
            length: since(end, start),
            label,
            bar: (room - label).min(40),
            style,
        })
    }

    fn headline(&self, spans: &[Span]) -> String {
        let mut line = Line::default();
        if let Some(first) = spans.first() {
            line.put(Paint::Bold, &format!("trace {}", first.trace));
        }
        let noun = if spans.len() == 1 { "span" } else { "spans" };
        let rest = format!("  {}, {} {noun}", duration(self.length), spans.len());
        line.put(Paint::Dim, &rest);
        line.render(self.style)
    }

    /// A span, its remarks and everything below it.
    fn branch(
        &self,
        spans: &[Span],
        index: usize,
        place: &Place,
        shown: &mut [bool],
        lines: &mut Vec<String>,
    ) {
        // Whoever is trusted chooses ids, and could choose them in a circle.
        let Some(span) = spans.get(index).filter(|_| !shown[index]) else {
            return;
        };
        shown[index] = true;
        let children = in_order(spans, |other| other.parent == Some(span.id));
        lines.push(self.line(span, &place.own));
        let guide = if children.is_empty() { "  " } else { "│ " };
        for remark in remarks(span, place.streams) {
            self.remark(&remark, &format!("{}{guide}", place.below), lines);
        }
        let streams = place.streams || span.headers.is_some();
        let last = children.len().saturating_sub(1);
        for (nth, (child, _)) in children.into_iter().enumerate() {
            let place = place.child(nth == last, streams);
            self.branch(spans, child, &place, shown, lines);
        }
    }

    fn line(&self, span: &Span, prefix: &str) -> String {
        let (kind, paint) = match span.kind {
            SpanKind::Client => ("CLIENT", Paint::Client),
            _ => ("SERVER", Paint::Server),
        };
        let judged = if span.failed { Paint::Bad } else { paint };
        let mut line = Line::default();
        line.put(Paint::Dim, prefix)
            .put(paint, kind)
            .put(Paint::Plain, &format!(" {}", span.name));
        if let Some(target) = &span.target {
            line.put(Paint::Plain, &format!(" {target}"));
        }
        let place = format!("{}/{}", span.service, span.listener);
        line.align(self.label)
            .put(Paint::Plain, " ")
            .put(Paint::Dim, &place)
            .align(self.label + 1 + WHERE)
            .put(Paint::Plain, " ")
            .put(judged, &self.bar(span))
            .put(
                Paint::Plain,
                &format!(" {:>DURATION$}", duration(span.took())),
            )
            .put(Paint::Plain, " ")
            .put(
                if span.failed {
                    Paint::Bad
                } else {
                    Paint::Plain
                },
                &span.status,
            );
        line.render(self.style)
    }

    /// When, within the whole trace, a span was open; a cell at the least.
    fn bar(&self, span: &Span) -> String {
        let cell = |moment| {
            let part = since(moment, self.start).as_secs_f64() / self.length.as_secs_f64();
            // Not a number if the whole trace took no time.
            if part.is_finite() {
                part.min(1.0) * self.bar as f64
            } else {
                0.0
            }
        };
        let from = (cell(span.start).floor() as usize).min(self.bar.saturating_sub(1));
        let to = (cell(span.end).ceil() as usize).clamp(from, self.bar);
        let to = to.max((from + 1).min(self.bar));
        let (before, open, after) = (from, to - from, self.bar - to);
        format!(
            "{}{}{}",
            " ".repeat(before),
            "━".repeat(open),
            " ".repeat(after)
        )
    }

    fn remark(&self, text: &str, prefix: &str, lines: &mut Vec<String>) {
        let room = self.style.width.saturating_sub(prefix.chars().count() + 2);
        for (nth, words) in wrap(text, room).iter().enumerate() {
            let mut line = Line::default();
            let bullet = if nth == 0 { "↳ " } else { "  " };
            line.put(Paint::Dim, prefix)
                .put(Paint::Note, bullet)
                .put(Paint::Note, words);
            lines.push(line.render(self.style));
        }
    }
}

/// What is worth a remark about a span.
fn remarks(span: &Span, streams: bool) -> Vec<String> {
    let mut remarks = Vec::new();
    if let Some((trace, sampled)) = span.dropped {
        let wish = if sampled { "sampled" } else { "not sampled" };
        remarks.push(format!(
            "untrusted context of the caller was dropped (trace {trace}, {wish}): \
             the trace restarts here, a link remembers the old one"
        ));
    }
    if span.kind == SpanKind::Client && span.parent.is_none() {
        remarks.push(
            "the component handed on no context: this call can't be joined to the request \
             it belongs to, a trace of its own starts"
                .to_owned(),
        );
    }
    if let Some(headers) = span.headers.filter(|_| !streams) {
        remarks.push(format!(
            "a stream: the head of the answer came after {}",
            duration(headers)
        ));
    }
    remarks
}

/// Three digits or so, with the unit that suits.
fn duration(length: Duration) -> String {
    let millis = length.as_secs_f64() * 1e3;
    match millis {
        ..9.995 => format!("{millis:.2} ms"),
        ..99.95 => format!("{millis:.1} ms"),
        ..999.5 => format!("{millis:.0} ms"),
        _ => format!("{:.2} s", millis / 1e3),
    }
}

#[cfg(test)]
pub mod sample;
#[cfg(test)]
mod tests;
