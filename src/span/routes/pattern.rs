//! One pattern of paths: `/users/{id}`, `/files/{name}.json`, `/static/*`.

/// The longest pattern, in bytes: it becomes part of names.
pub const MAX_PATTERN: usize = 256;

/// A pattern, taken apart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pattern {
    /// As it was written; this is the route.
    pub text: Box<str>,
    /// What stands between the slashes.
    pub segments: Vec<Segment>,
    /// Whether a final `*` takes whatever follows.
    pub rest: bool,
}

/// What stands between two slashes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Segment {
    /// Text, compared byte by byte.
    Literal(Box<str>),
    /// Parameters with text around them.
    Mixed(Mixed),
    /// A parameter alone.
    Any,
}

/// A segment of at least one parameter and some text.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Mixed {
    first: Box<str>,
    /// Texts between parameters, none of them empty.
    middle: Box<[Box<str>]>,
    last: Box<str>,
}

impl Pattern {
    /// Reads a pattern.
    ///
    /// A segment is text, `{name}` (one or more characters, no slash) or both mixed; the last one
    /// may be `*`, which takes everything that follows its slash.
    ///
    /// # Errors
    /// What was expected.
    pub fn parse(text: &str) -> Result<Self, String> {
        let form = "a path like /users/{id} or /static/*, of printable ASCII, without query";
        let visible = |byte: u8| byte.is_ascii_graphic() && !matches!(byte, b'?' | b'#');
        let inner = text.strip_prefix('/').ok_or(form)?;
        if !text.bytes().all(visible) {
            return Err(form.to_owned());
        }
        if text.len() > MAX_PATTERN {
            return Err(format!("a path of at most {MAX_PATTERN} bytes"));
        }
        let (inner, rest) = match inner.strip_suffix('*') {
            Some("") => ("", true),
            Some(inner) => match inner.strip_suffix('/') {
                Some(inner) => (inner, true),
                None => return Err("* only as the whole last segment".to_owned()),
            },
            None => (inner, false),
        };
        let mut segments = Vec::new();
        if !(rest && text.len() == 2) {
            let mut left = inner.split('/').peekable();
            while let Some(segment) = left.next() {
                let last = left.peek().is_none() && !rest;
                segments.push(Segment::parse(segment, last)?);
            }
        }
        Ok(Self {
            text: text.into(),
            segments,
            rest,
        })
    }
}

impl Segment {
    fn parse(text: &str, last: bool) -> Result<Self, String> {
        match text {
            "" if !last => return Err("a path without empty segments".to_owned()),
            "." | ".." => return Err("a path without dot segments".to_owned()),
            _ if text.contains('*') => return Err("* only as the whole last segment".to_owned()),
            _ => {}
        }
        let mut pieces: Vec<Box<str>> = Vec::new();
        let mut left = text;
        while let Some((piece, behind)) = left.split_once('{') {
            let (name, behind) = behind.split_once('}').ok_or("{ and } in pairs")?;
            if piece.contains('}') || name.contains('{') {
                return Err("{ and } in pairs".to_owned());
            }
            if name.is_empty() {
                return Err("a name between { and }".to_owned());
            }
            if piece.is_empty() && !pieces.is_empty() {
                return Err("text between two parameters of a segment".to_owned());
            }
            pieces.push(piece.into());
            left = behind;
        }
        if left.contains('}') {
            return Err("{ and } in pairs".to_owned());
        }
        let mut pieces = pieces.into_iter();
        Ok(match pieces.next() {
            None => Self::Literal(left.into()),
            Some(first) => {
                let mixed = Mixed {
                    first,
                    middle: pieces.collect(),
                    last: left.into(),
                };
                if mixed.weight() == 0 {
                    Self::Any
                } else {
                    Self::Mixed(mixed)
                }
            }
        })
    }
}

impl Mixed {
    /// Bytes of text: the more, the more specific.
    pub fn weight(&self) -> usize {
        let middle: usize = self.middle.iter().map(|piece| piece.len()).sum();
        self.first.len() + middle + self.last.len()
    }

    /// Whether a segment has this form; a parameter takes at least one character.
    pub fn matches(&self, segment: &str) -> bool {
        let Some(mut left) = segment.strip_prefix(&*self.first) else {
            return false;
        };
        for piece in &self.middle {
            // The leftmost place leaves the most for what follows.
            let Some((start, _)) = left.char_indices().nth(1) else {
                return false;
            };
            let (_, behind) = left.split_at(start);
            let Some((_, behind)) = behind.split_once(&**piece) else {
                return false;
            };
            left = behind;
        }
        left.len() > self.last.len() && left.ends_with(&*self.last)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_pattern_is_refused() {
        for (text, why) in [
            ("", "empty"),
            ("users", "no slash"),
            ("/users?x", "query"),
            ("/users#x", "fragment"),
            ("/us ers", "space"),
            ("/ü", "not ASCII"),
            ("/a//b", "empty segment"),
            ("/a//*", "empty segment before the rest"),
            ("//", "nothing but slashes"),
            ("/a/../b", "dot segments"),
            ("/.", "dot segment"),
            ("/a*", "* beside text"),
            ("/*/a", "* not last"),
            ("/**", "two stars"),
            ("/{}", "no name"),
            ("/{a", "no end"),
            ("/a}", "no beginning"),
            ("/{a{b}}", "nested"),
            ("/{a}{b}", "nothing tells where one parameter ends"),
            ("/{a/b}", "a slash in a name"),
        ] {
            assert!(Pattern::parse(text).is_err(), "{why}: {text}");
        }
        let long = format!("/{}", "a".repeat(MAX_PATTERN));
        assert!(Pattern::parse(&long).is_err(), "too long");
    }

    #[test]
    fn parameters_mix_with_text() {
        for (pattern, segment, expected, why) in [
            ("/{a}.json", "x.json", true, "text behind"),
            ("/{a}.json", ".json", false, "a parameter isn't empty"),
            ("/{a}.json", "x.yaml", false, "other text"),
            ("/v{a}", "v1", true, "text before"),
            ("/v{a}", "v", false, "a parameter isn't empty"),
            ("/{a}-{b}", "x-y", true, "text between"),
            ("/{a}-{b}", "x-y-z", true, "text between, twice"),
            ("/{a}-{b}", "-y", false, "the first is empty"),
            ("/{a}-{b}", "--y", true, "the first is a dash"),
            ("/{a}-{b}", "x-", false, "the second is empty"),
            ("/{a}-{b}:c", "x-y:c", true, "everything"),
            ("/{a}-{b}", "ä-ö", true, "characters of several bytes"),
        ] {
            let parsed = Pattern::parse(pattern).unwrap();
            let [Segment::Mixed(mixed)] = &parsed.segments[..] else {
                panic!("{pattern}");
            };
            assert_eq!(mixed.matches(segment), expected, "{why}: {segment}");
        }
    }
}
