//! Fields in the order and the case they came in.

use std::ops::Range;

use http::header::{HeaderName, HeaderValue};

use crate::proxy::head::Head;

/// The fields of one head; its memory is reused for the next.
#[derive(Debug, Default)]
pub struct Fields {
    /// Names as they came, one behind the other.
    names: String,
    /// The same in lower case, at the same places.
    lower: String,
    values: Vec<u8>,
    lines: Vec<Line>,
}

#[derive(Debug)]
struct Line {
    name: Range<usize>,
    value: Range<usize>,
    live: bool,
}

impl Fields {
    /// Replaces the fields by those of another head.
    pub fn load(&mut self, headers: &[httparse::Header<'_>]) {
        self.names.clear();
        self.values.clear();
        self.lines.clear();
        for header in headers {
            let name = self.names.len();
            self.names.push_str(header.name);
            let value = self.values.len();
            self.values.extend_from_slice(header.value);
            self.lines.push(Line {
                name: name..self.names.len(),
                value: value..self.values.len(),
                live: true,
            });
        }
        self.lower.clear();
        self.lower.push_str(&self.names);
        self.lower.make_ascii_lowercase();
    }

    /// Writes every line, without the empty one behind the last.
    pub fn write(&self, out: &mut Vec<u8>) {
        for line in self.lines.iter().filter(|line| line.live) {
            let name = self.names.get(line.name.clone()).unwrap_or_default();
            out.extend_from_slice(name.as_bytes());
            out.extend_from_slice(b": ");
            out.extend_from_slice(self.value(line));
            out.extend_from_slice(b"\r\n");
        }
    }

    /// Most names have another length: those aren't read.
    #[inline]
    fn is(&self, line: &Line, name: &str) -> bool {
        let read = || self.lower.as_bytes().get(line.name.clone());
        line.name.len() == name.len() && read() == Some(name.as_bytes())
    }

    fn value(&self, line: &Line) -> &[u8] {
        self.values.get(line.value.clone()).unwrap_or_default()
    }

    fn store(&mut self, value: &HeaderValue) -> Range<usize> {
        let start = self.values.len();
        self.values.extend_from_slice(value.as_bytes());
        start..self.values.len()
    }
}

impl Head for Fields {
    fn lines<'a>(&'a self, name: &HeaderName) -> impl Iterator<Item = &'a [u8]> {
        self.lines
            .iter()
            .filter(move |line| line.live && self.is(line, name.as_str()))
            .map(|line| self.value(line))
    }

    /// In one pass.
    fn two<'a>(&'a self, one: &'a HeaderName, two: &'a HeaderName) -> [Option<&'a [u8]>; 2] {
        let (one, two) = (one.as_str().as_bytes(), two.as_str().as_bytes());
        let (mut first, mut second) = (None, None);
        let names = self.lower.as_bytes();
        for line in self.lines.iter().filter(|line| line.live) {
            // Most names have another length than either.
            let length = line.name.len();
            if length != one.len() && length != two.len() {
                continue;
            }
            let name = names.get(line.name.clone()).unwrap_or_default();
            if name == one {
                first = first.or_else(|| Some(self.value(line)));
            } else if name == two {
                second = second.or_else(|| Some(self.value(line)));
            }
        }
        [first, second]
    }

    fn remove_if(&mut self, mut f: impl FnMut(&str) -> bool) -> usize {
        let mut count = 0;
        for line in self.lines.iter_mut().filter(|line| line.live) {
            let name = self.lower.get(line.name.clone()).unwrap_or_default();
            if f(name) {
                line.live = false;
                count += 1;
            }
        }
        count
    }

    fn remove(&mut self, name: &HeaderName) {
        self.remove_if(|other| other == name.as_str());
    }

    fn set(&mut self, name: HeaderName, value: HeaderValue) {
        let mut place = None;
        for (index, line) in self.lines.iter_mut().enumerate() {
            let same = self.lower.get(line.name.clone()) == Some(name.as_str());
            if line.live && same {
                line.live = place.is_none();
                place = place.or(Some(index));
            }
        }
        let Some(place) = place else {
            self.add(name, value);
            return;
        };
        let value = self.store(&value);
        if let Some(line) = self.lines.get_mut(place) {
            line.value = value;
        }
    }

    fn add(&mut self, name: HeaderName, value: HeaderValue) {
        let start = self.names.len();
        self.names.push_str(name.as_str());
        self.lower.push_str(name.as_str());
        let value = self.store(&value);
        self.lines.push(Line {
            name: start..self.names.len(),
            value,
            live: true,
        });
    }

    fn count(&self) -> usize {
        self.lines.iter().filter(|line| line.live).count()
    }
}

#[cfg(test)]
mod tests {
    use http::header;

    use super::*;

    fn fields(lines: &[(&str, &str)]) -> Fields {
        let headers: Vec<_> = lines
            .iter()
            .map(|(name, value)| httparse::Header {
                name,
                value: value.as_bytes(),
            })
            .collect();
        let mut fields = Fields::default();
        fields.load(&headers);
        fields
    }

    fn written(fields: &Fields) -> String {
        let mut out = Vec::new();
        fields.write(&mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn order_and_case_survive_changes_of_other_fields() {
        let mut map = fields(&[("X-B", "1"), ("hOST", "a"), ("x-a", "2"), ("X-b", "3")]);
        map.set(header::HOST, HeaderValue::from_static("b"));
        map.set(header::TE, HeaderValue::from_static("trailers"));
        assert_eq!(
            written(&map),
            "X-B: 1\r\nhOST: b\r\nx-a: 2\r\nX-b: 3\r\nte: trailers\r\n"
        );
        let lines: Vec<_> = map.lines(&HeaderName::from_static("x-b")).collect();
        assert_eq!(lines, [b"1", b"3"]);
        let [one, two] = ["x-b", "x-a"].map(HeaderName::from_static);
        assert_eq!(map.two(&one, &two), [Some(&b"1"[..]), Some(b"2")]);
        assert_eq!(map.two(&header::DATE, &one), [None, Some(&b"1"[..])]);
    }

    #[test]
    fn what_is_removed_or_replaced_is_gone() {
        let mut map = fields(&[("A", "1"), ("B", "2"), ("a", "3")]);
        assert_eq!(map.remove_if(|name| name == "b"), 1);
        map.set(HeaderName::from_static("a"), HeaderValue::from_static("4"));
        assert_eq!((written(&map).as_str(), map.count()), ("A: 4\r\n", 1));
        map.remove(&HeaderName::from_static("a"));
        assert_eq!((written(&map).as_str(), map.count()), ("", 0));
        map.load(&[]);
        assert_eq!(map.count(), 0);
    }
}
