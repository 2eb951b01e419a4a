//! Header lines as they would leave, with placeholders for what is made anew each time.

use http::HeaderMap;

use crate::context::formats::Format;
use crate::context::traceparent::TraceParent;
use crate::proxy::judged::Judged;

/// A header line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    /// Lower-cased name.
    pub name: String,
    /// Value; bytes that are no text are replaced.
    pub value: String,
}

/// What of the outgoing context is made here.
#[derive(Clone, Copy)]
pub struct Made {
    /// The context that goes on.
    pub context: Option<TraceParent>,
    /// Its trace id is new.
    pub trace: bool,
    /// Its span id is new.
    pub span: bool,
    /// The randomness in `tracestate` comes from a key that each process makes.
    pub randomness: bool,
}

impl Made {
    /// From what was decided.
    pub fn of(judged: Option<&Judged>, new_key: bool) -> Self {
        let decided = judged.and_then(|judged| judged.decided);
        let context = decided.and_then(|decided| decided.outgoing);
        let trusted = judged.and_then(|judged| judged.trusted);
        let parent = trusted.map(|trusted| trusted.parent.parent_id);
        Self {
            context,
            trace: trusted.is_none(),
            span: parent != context.map(|context| context.parent_id),
            randomness: new_key,
        }
    }
}

/// The lines of a head, in the order the map has them.
pub fn lines(headers: &HeaderMap, formats: &[Format], made: Made) -> Vec<Line> {
    let mut ours = vec!["tracestate"];
    let mut written = Vec::new();
    if let Some(context) = &made.context {
        for format in formats {
            format.write(context, &mut |name, _| written.push(name));
        }
    }
    ours.extend(written.iter().map(|name| name.as_str()));
    let line = |(name, value): (&http::HeaderName, &http::HeaderValue)| {
        let text = String::from_utf8_lossy(value.as_bytes()).into_owned();
        let value = if ours.contains(&name.as_str()) {
            mask(name.as_str(), text, made)
        } else {
            text
        };
        Line {
            name: name.as_str().to_owned(),
            value,
        }
    };
    headers.iter().map(line).collect()
}

fn mask(name: &str, mut value: String, made: Made) -> String {
    let Some(context) = made.context else {
        return value;
    };
    if name == "tracestate" {
        return if made.randomness {
            mask_randomness(&value)
        } else {
            value
        };
    }
    if name == "grpc-trace-bin" && (made.trace || made.span) {
        return "<binary context>".to_owned();
    }
    if made.trace {
        let hex = context.trace_id.to_string();
        let (high, low) = hex.split_at(16);
        let (time, rest) = hex.split_at(8);
        // X-Ray's form, Datadog's halves.
        for written in [&hex, &format!("{time}-{rest}")] {
            value = value.replace(written.as_str(), "<new trace id>");
        }
        for (written, shown) in [
            (high.to_owned(), "<new trace id, upper half>"),
            (low.to_owned(), "<new trace id, lower half>"),
            (
                (context.trace_id.get() as u64).to_string(),
                "<new trace id, lower half>",
            ),
        ] {
            value = value.replace(&written, shown);
        }
    }
    if made.span {
        let id = context.parent_id;
        for written in [
            id.to_string(),
            id.get().to_string(),
            format!("{:x}", id.get()),
        ] {
            value = value.replace(&written, "<new span id>");
        }
    }
    value
}

fn mask_randomness(value: &str) -> String {
    let Some((before, after)) = value.split_once("rv:") else {
        return value.to_owned();
    };
    let rest = after.trim_start_matches(|c: char| c.is_ascii_hexdigit());
    format!("{before}rv:<hash of the trace id>{rest}")
}
