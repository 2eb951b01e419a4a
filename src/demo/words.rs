//! What the demo says before and after the traces.

use std::net::SocketAddr;

use super::caller::FORGED;
use super::line::{Line, Paint, Style, wrap};

/// Where a reader of the first lines may go.
pub struct Doors {
    /// The frontend's `in`.
    pub public: SocketAddr,
    /// The frontend's admin server.
    pub admin: Option<SocketAddr>,
}

const PICTURE: [&str; 4] = [
    "caller ──▶ tracegate ──▶ frontend ──▶ tracegate ──▶ tracegate ──▶ backend",
    "           frontend/in                frontend/out  backend/in",
    "           SERVER                     CLIENT        SERVER",
    "           restarts the trace         continues it  continues it",
];

const ABOUT: &str = "Two components that know nothing of spans, each with a tracegate beside it. \
    All the frontend does is copy traceparent and tracestate from the request it got to the \
    request it sends. Callers from outside aren't believed; the frontend's tracegate is.";

/// Columns of a path.
const PATH: usize = 12;

const ROUND: [(&str, &str); 7] = [
    ("/", "one trace through both components"),
    (
        "/",
        "again, with a forged traceparent: dropped, a link remembers it",
    ),
    ("/slow", "who took the time"),
    ("/fail", "where the error began"),
    ("Health/Check", "gRPC over HTTP/2: named after the method"),
    ("/watch", "a stream: a span that says when its answer began"),
    (
        "/forgetful",
        "a component that doesn't copy the context: two traces",
    ),
];

/// The first lines.
pub fn intro(doors: &Doors, rate: u16, style: Style) -> Vec<String> {
    let mut lines = Vec::new();
    let mut say = |parts: &[(Paint, &str)]| {
        let mut line = Line::default();
        for (paint, text) in parts {
            line.put(*paint, text);
        }
        lines.push(line.render(style));
    };
    say(&[(Paint::Bold, "tracegate demo")]);
    for words in wrap(ABOUT, style.width) {
        say(&[(Paint::Plain, &words)]);
    }
    say(&[]);
    // Half a picture would say something else.
    if PICTURE
        .iter()
        .all(|row| row.chars().count() + 2 <= style.width)
    {
        for row in PICTURE {
            say(&[(Paint::Plain, "  "), (Paint::Dim, row)]);
        }
        say(&[]);
    }
    let often = match rate {
        1 => "One request a second comes by itself, in turn:".to_owned(),
        rate => format!("{rate} requests a second come by themselves, in turn:"),
    };
    for words in wrap(&often, style.width) {
        say(&[(Paint::Plain, &words)]);
    }
    for (path, what) in ROUND {
        let mut path = path;
        for words in wrap(what, style.width.saturating_sub(PATH + 3)) {
            let column = format!("  {path:<PATH$} ");
            say(&[(Paint::Bold, &column), (Paint::Plain, &words)]);
            path = "";
        }
    }
    say(&[]);
    say(&[(Paint::Plain, "Send your own, from another terminal:")]);
    let public = doors.public;
    lines.push(format!("  curl http://{public}/slow"));
    lines.push(format!(
        "  curl -H 'traceparent: {FORGED}' http://{public}/"
    ));
    if let Some(admin) = doors.admin {
        lines.push(format!("  curl http://{admin}/metrics"));
    }
    lines.push("Ctrl-C stops.".to_owned());
    lines
}

/// What there was to see.
#[derive(Clone, Copy, Default, Debug)]
pub struct Summary {
    /// Traces shown.
    pub traces: u64,
    /// Spans in them.
    pub spans: u64,
    /// Spans that restarted a trace.
    pub restarts: u64,
    /// Spans that were lost.
    pub lost: u64,
}

impl Summary {
    /// The last line.
    pub fn line(&self, style: Style) -> String {
        let text = format!(
            "{}, {}, {}, {} lost",
            count(self.traces, "trace"),
            count(self.spans, "span"),
            count(self.restarts, "restart"),
            count(self.lost, "span"),
        );
        let mut line = Line::default();
        line.put(Paint::Bold, &text);
        line.render(style)
    }
}

fn count(number: u64, noun: &str) -> String {
    let plural = if number == 1 { "" } else { "s" };
    format!("{number} {noun}{plural}")
}

#[cfg(test)]
mod tests {
    use super::*;

    const STYLE: Style = Style {
        width: 80,
        colour: false,
    };

    #[test]
    fn the_first_lines_fit_and_say_how_to_send_a_request() {
        let doors = Doors {
            public: "127.0.0.1:40001".parse().unwrap(),
            admin: Some("127.0.0.1:40002".parse().unwrap()),
        };
        for width in [40, 72, 80, 200] {
            let lines = intro(&doors, 1, Style { width, ..STYLE });
            let fits = |line: &&String| line.chars().count() <= width || line.contains("curl");
            assert!(lines.iter().all(|line| fits(&line)), "{lines:#?}");
            assert!(!lines.concat().contains('…'), "nothing is cut: {lines:#?}");
            assert_eq!(lines.concat().contains("──▶"), width >= 80, "{lines:#?}");
        }
        let lines = intro(&doors, 1, STYLE);
        let text = lines.join("\n");
        assert!(text.contains("curl http://127.0.0.1:40001/slow"), "{text}");
        assert!(
            text.contains("curl http://127.0.0.1:40002/metrics"),
            "{text}"
        );
    }

    #[test]
    fn the_last_line_counts() {
        let summary = Summary {
            traces: 2,
            spans: 1,
            restarts: 0,
            lost: 3,
        };
        assert_eq!(
            summary.line(STYLE),
            "2 traces, 1 span, 0 restarts, 3 spans lost"
        );
    }
}
