//! A line for the terminal: pieces of text that may be coloured, never wider than the terminal.
//!
//! What callers wrote stands in these lines, so characters that could command a terminal or
//! reorder text are replaced.

/// How lines are shown.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Style {
    /// Columns of the terminal.
    pub width: usize,
    /// Whether colours are wanted.
    pub colour: bool,
}

/// The role of a piece of text.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Paint {
    /// As it is.
    Plain,
    /// Less important.
    Dim,
    /// A heading.
    Bold,
    /// A SERVER span.
    Server,
    /// A CLIENT span.
    Client,
    /// An error.
    Bad,
    /// A remark.
    Note,
}

impl Paint {
    /// Parameters of the control sequence that selects it (ECMA-48, SGR).
    const fn code(self) -> Option<&'static str> {
        match self {
            Self::Plain => None,
            Self::Dim => Some("2"),
            Self::Bold => Some("1"),
            Self::Server => Some("36"),
            Self::Client => Some("35"),
            Self::Bad => Some("31"),
            Self::Note => Some("33"),
        }
    }
}

/// A line under construction.
#[derive(Default)]
pub struct Line {
    parts: Vec<(Paint, String)>,
    columns: usize,
}

impl Line {
    /// Adds text.
    pub fn put(&mut self, paint: Paint, text: &str) -> &mut Self {
        let text: String = text.chars().map(harmless).collect();
        self.columns += text.chars().count();
        self.parts.push((paint, text));
        self
    }

    /// Adds spaces up to a column, or cuts the line there.
    pub fn align(&mut self, column: usize) -> &mut Self {
        if self.columns > column {
            self.cut(column);
        }
        let missing = column - self.columns;
        self.put(Paint::Plain, &" ".repeat(missing))
    }

    /// The line as it is printed, without its end.
    pub fn render(mut self, style: Style) -> String {
        self.cut(style.width);
        while let Some((_, last)) = self.parts.last_mut() {
            last.truncate(last.trim_end().len());
            if !last.is_empty() {
                break;
            }
            self.parts.pop();
        }
        let paint = |(paint, text): (Paint, String)| match paint.code() {
            Some(code) if style.colour && !text.is_empty() => {
                format!("\u{1b}[{code}m{text}\u{1b}[0m")
            }
            _ => text,
        };
        self.parts.into_iter().map(paint).collect()
    }

    /// Cuts what is too long, with an ellipsis.
    fn cut(&mut self, columns: usize) {
        if self.columns <= columns {
            return;
        }
        let mut left = columns;
        for (_, text) in &mut self.parts {
            let count = text.chars().count();
            if count < left {
                left -= count;
                continue;
            }
            // The last column of all is the ellipsis.
            let kept: String = text.chars().take(left.saturating_sub(1)).collect();
            *text = if left == 0 { kept } else { kept + "…" };
            left = 0;
        }
        self.columns = columns;
    }
}

fn harmless(c: char) -> char {
    let directs =
        matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{2069}');
    if c.is_control() || directs {
        '\u{fffd}'
    } else {
        c
    }
}

/// Breaks a text between words into lines of at most that many columns; a longer word gets a line
/// of its own.
pub fn wrap(text: &str, columns: usize) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for word in text.split_whitespace() {
        match lines.last_mut() {
            Some(line) if line.chars().count() + 1 + word.chars().count() <= columns => {
                line.push(' ');
                line.push_str(word);
            }
            _ => lines.push(word.to_owned()),
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    const PLAIN: Style = Style {
        width: 20,
        colour: false,
    };
    const COLOURED: Style = Style {
        colour: true,
        ..PLAIN
    };

    #[test]
    fn colours_appear_only_where_they_are_wanted() {
        let line = || {
            let mut line = Line::default();
            line.put(Paint::Bad, "500").put(Paint::Plain, " GET");
            line
        };
        assert_eq!(line().render(PLAIN), "500 GET");
        assert_eq!(line().render(COLOURED), "\u{1b}[31m500\u{1b}[0m GET");
    }

    #[test]
    fn a_line_is_never_wider_than_the_terminal() {
        for width in 1..30 {
            let mut line = Line::default();
            line.put(Paint::Bold, "0123456789")
                .put(Paint::Dim, "0123456789abcde");
            let text = line.render(Style { width, ..PLAIN });
            assert_eq!(text.chars().count(), width.min(25), "{text}");
            assert_eq!(text.ends_with('…'), width < 25, "{text}");
        }
    }

    #[test]
    fn columns_align_whatever_stands_before_them() {
        for text in ["", "GET", "GET /a/very/long/path"] {
            let mut line = Line::default();
            line.put(Paint::Plain, text).align(8).put(Paint::Plain, "|");
            let text = line.render(PLAIN);
            assert_eq!(text.chars().position(|c| c == '|'), Some(8), "{text}");
        }
    }

    #[test]
    fn what_a_caller_wrote_cannot_command_the_terminal() {
        let mut line = Line::default();
        line.put(Paint::Plain, "/\u{1b}[2J\r\n\u{9b}31m\u{202e}x");
        let text = line.render(COLOURED);
        assert_eq!(text, "/\u{fffd}[2J\u{fffd}\u{fffd}\u{fffd}31m\u{fffd}x");
    }

    #[test]
    fn text_breaks_between_words() {
        assert_eq!(
            wrap("a bb  ccc dddddddd e", 6),
            ["a bb", "ccc", "dddddddd", "e"]
        );
        assert_eq!(wrap("", 6), Vec::<String>::new());
    }
}
