//! Just enough of Rust's lexical structure to tell code from comments and strings.

/// One token, with the line it starts on (from 1).
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Token {
    /// Identifier or keyword, `::`, a single punctuation character, or `""` for any literal.
    pub text: String,
    /// Line, from 1.
    pub line: usize,
}

/// Splits source text into tokens; comments vanish, literals become `""`.
pub fn tokens(source: &str) -> Vec<Token> {
    let mut lexer = Lexer {
        rest: source,
        line: 1,
        found: Vec::new(),
    };
    while lexer.step() {}
    lexer.found
}

/// The tokens outside of items marked `#[cfg(test)]`, and how many lines those items take.
pub fn without_tests(all: &[Token]) -> (Vec<Token>, usize) {
    const MARK: [&str; 7] = ["#", "[", "cfg", "(", "test", ")", "]"];
    let (mut kept, mut lines, mut at) = (Vec::new(), 0, 0);
    while at < all.len() {
        let marked = all.len() - at >= MARK.len()
            && all[at..]
                .iter()
                .zip(MARK)
                .all(|(token, mark)| token.text == mark);
        if !marked {
            kept.push(all[at].clone());
            at += 1;
            continue;
        }
        let first = all[at].line;
        at = end_of_item(all, at + MARK.len());
        lines += all[at - 1].line - first + 1;
    }
    (kept, lines)
}

/// Index after the item that starts at `at`: after its closing brace or its `;`, or (a field, a
/// statement) before the bracket that closes what holds it.
fn end_of_item(all: &[Token], mut at: usize) -> usize {
    let mut depth = 0usize;
    while at < all.len() {
        match all[at].text.as_str() {
            "{" | "(" | "[" => depth += 1,
            close @ ("}" | ")" | "]") => {
                if depth == 0 {
                    return at;
                }
                depth -= 1;
                if depth == 0 && close == "}" {
                    return at + 1;
                }
            }
            ";" if depth == 0 => return at + 1,
            _ => {}
        }
        at += 1;
    }
    at
}

struct Lexer<'a> {
    rest: &'a str,
    line: usize,
    found: Vec<Token>,
}

impl Lexer<'_> {
    fn step(&mut self) -> bool {
        let Some(first) = self.rest.chars().next() else {
            return false;
        };
        if self.rest.starts_with("//") {
            self.skip(self.rest.find('\n').unwrap_or(self.rest.len()));
        } else if self.rest.starts_with("/*") {
            self.skip(block_comment(self.rest));
        } else if let Some(length) = literal(self.rest) {
            self.take(length, Some("\"\""));
        } else if first == '_' || first.is_alphanumeric() {
            let end = self.rest.find(|c: char| c != '_' && !c.is_alphanumeric());
            self.take(end.unwrap_or(self.rest.len()), None);
        } else if self.rest.starts_with("::") {
            self.take(2, None);
        } else if first.is_whitespace() {
            self.skip(first.len_utf8());
        } else {
            self.take(first.len_utf8(), None);
        }
        true
    }

    fn take(&mut self, length: usize, stand_in: Option<&str>) {
        self.found.push(Token {
            text: stand_in.unwrap_or(&self.rest[..length]).to_owned(),
            line: self.line,
        });
        self.skip(length);
    }

    fn skip(&mut self, length: usize) {
        self.line += self.rest[..length].matches('\n').count();
        self.rest = &self.rest[length..];
    }
}

/// Length of the block comment `text` starts with; they nest.
fn block_comment(text: &str) -> usize {
    let (mut depth, mut at) = (0usize, 0);
    while at < text.len() {
        if text[at..].starts_with("/*") {
            depth += 1;
            at += 2;
        } else if text[at..].starts_with("*/") {
            depth -= 1;
            at += 2;
            if depth == 0 {
                break;
            }
        } else {
            at += text[at..].chars().next().map_or(1, char::len_utf8);
        }
    }
    at
}

/// Length of the string, byte string, raw string or character `text` starts with.
fn literal(text: &str) -> Option<usize> {
    let body = text.trim_start_matches(['b', 'c']);
    let prefix = text.len() - body.len();
    if prefix > 1 {
        return None;
    }
    if let Some(raw) = body.strip_prefix('r') {
        let inner = raw.trim_start_matches('#');
        let hashes = raw.len() - inner.len();
        if let Some(inner) = inner.strip_prefix('"') {
            let close = format!("\"{}", "#".repeat(hashes));
            let end = inner
                .find(&close)
                .map_or(inner.len(), |at| at + close.len());
            return Some(prefix + 1 + hashes + 1 + end);
        }
        return None;
    }
    match body.chars().next()? {
        '"' => Some(prefix + quoted(body, '"')),
        // A lifetime is a quote and a name that no quote follows.
        '\'' => {
            let mut inner = body[1..].chars();
            let (first, second) = (inner.next()?, inner.next());
            (first == '\\' || second == Some('\'')).then(|| prefix + quoted(body, '\''))
        }
        _ => None,
    }
}

/// Length of the literal up to the closing quote; a backslash protects what follows.
fn quoted(text: &str, quote: char) -> usize {
    let mut escaped = true; // the opening quote
    for (at, c) in text.char_indices() {
        if !escaped && c == quote {
            return at + c.len_utf8();
        }
        escaped = !escaped && c == '\\';
    }
    text.len()
}

#[test]
fn comments_strings_and_characters_hide_what_they_hold() {
    let source = "a /* crate /* nested */ crate */ \"crate \\\" crate\" r#\"crate \" crate\"# \
                  b'x' '\\'' 'c' // crate\n b";
    let words: Vec<String> = tokens(source).into_iter().map(|t| t.text).collect();
    assert_eq!(words, ["a", "\"\"", "\"\"", "\"\"", "\"\"", "\"\"", "b"]);
}

#[test]
fn lifetimes_are_not_taken_for_characters() {
    let words: Vec<String> = tokens("fn f<'a>(x: &'a crate::T)")
        .into_iter()
        .map(|t| t.text)
        .collect();
    assert!(
        words.windows(2).any(|pair| pair == ["crate", "::"]),
        "{words:?}"
    );
}

#[test]
fn test_items_are_cut_out_with_their_lines() {
    let source = "fn a() {}\n#[cfg(test)]\nmod tests {\n  fn b() {}\n}\nfn c() {}\n";
    let (kept, lines) = without_tests(&tokens(source));
    assert_eq!(lines, 4);
    let (kept_fields, _) = without_tests(&tokens("struct A { #[cfg(test)] x: u8 } struct B;"));
    assert!(kept_fields.iter().any(|t| t.text == "B"));
    assert!(kept.iter().any(|t| t.text == "c") && kept.iter().all(|t| t.text != "b"));
}
