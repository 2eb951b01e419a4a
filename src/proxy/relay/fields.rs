//! Fields in the order and the case they came in.

use http::header::{HeaderName, HeaderValue};

use crate::proxy::head::Head;
use crate::proxy::place::Place;

/// The fields of one head; its memory is reused for the next.
#[derive(Debug, Default)]
pub struct Fields {
    /// Names as they came, one behind the other.
    names: String,
    /// The same in lower case, at the same places.
    lower: String,
    values: Vec<u8>,
    lines: Vec<Line>,
    /// The marks of all names: what isn't among them isn't looked for.
    marks: Marks,
}

#[derive(Debug)]
struct Line {
    name: Place,
    value: Place,
    mark: Mark,
    live: bool,
}

/// A name that is looked for.
struct Sought<'a> {
    name: &'a str,
    mark: Mark,
}

impl<'a> Sought<'a> {
    #[inline]
    fn new(name: &'a HeaderName) -> Self {
        let name = name.as_str();
        let mark = Mark::of(name);
        Self { name, mark }
    }

    /// Whether a line has that name, and is still there.
    #[inline]
    fn is_of(&self, line: &Line, lower: &str) -> bool {
        let same = || line.name.of(lower.as_bytes()) == self.name.as_bytes();
        line.mark == self.mark && line.live && same()
    }
}

/// What a name's length and first letter say of it, in either case. Most of the fields the pipeline
/// asks for aren't there, and most names are told apart by this.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Mark(u8);

impl Mark {
    #[inline]
    fn of(name: &str) -> Self {
        let bytes = name.as_bytes();
        let first = bytes.first().map_or(0, u8::to_ascii_lowercase);
        Self((bytes.len() as u8).wrapping_mul(37).wrapping_add(first))
    }
}

/// A set of marks, some of which stand for each other.
#[derive(Clone, Copy, Default, Debug)]
struct Marks(u64);

impl Marks {
    #[inline]
    const fn add(&mut self, mark: Mark) {
        self.0 |= 1 << (mark.0 % 64);
    }

    /// False only if it was never added.
    #[inline]
    const fn may_have(self, mark: Mark) -> bool {
        self.0 & (1 << (mark.0 % 64)) != 0
    }
}

impl Fields {
    /// The lines to look through for a name.
    #[inline]
    fn sought(&self, name: &Sought<'_>) -> &[Line] {
        if self.marks.may_have(name.mark) {
            &self.lines
        } else {
            &[]
        }
    }

    /// Replaces the fields by those of another head.
    pub fn load(&mut self, headers: &[httparse::Header<'_>]) {
        self.names.clear();
        self.values.clear();
        self.lines.clear();
        self.marks = Marks::default();
        for header in headers {
            let mark = Mark::of(header.name);
            self.marks.add(mark);
            let name = self.names.len();
            self.names.push_str(header.name);
            let value = self.values.len();
            self.values.extend_from_slice(header.value);
            self.lines.push(Line {
                name: Place::since(name, self.names.len()),
                value: Place::since(value, self.values.len()),
                mark,
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
            out.extend_from_slice(line.name.of(self.names.as_bytes()));
            out.extend_from_slice(b": ");
            out.extend_from_slice(self.value(line));
            out.extend_from_slice(b"\r\n");
        }
    }

    fn value(&self, line: &Line) -> &[u8] {
        line.value.of(&self.values)
    }

    fn store(&mut self, value: &HeaderValue) -> Place {
        let start = self.values.len();
        self.values.extend_from_slice(value.as_bytes());
        Place::since(start, self.values.len())
    }
}

impl Head for Fields {
    fn lines<'a>(&'a self, name: &HeaderName) -> impl Iterator<Item = &'a [u8]> {
        let sought = Sought::new(name);
        let lines = self.sought(&sought).iter();
        lines
            .filter(move |line| sought.is_of(line, &self.lower))
            .map(|line| self.value(line))
    }

    fn remove_if(&mut self, mut f: impl FnMut(&str) -> bool) -> usize {
        let mut count = 0;
        for line in self.lines.iter_mut().filter(|line| line.live) {
            if f(line.name.of_text(&self.lower)) {
                line.live = false;
                count += 1;
            }
        }
        count
    }

    fn remove(&mut self, name: &HeaderName) {
        let sought = Sought::new(name);
        if !self.sought(&sought).is_empty() {
            let same = |line: &&mut Line| sought.is_of(line, &self.lower);
            self.lines
                .iter_mut()
                .filter(same)
                .for_each(|line| line.live = false);
        }
    }

    fn set(&mut self, name: HeaderName, value: HeaderValue) {
        let sought = Sought::new(&name);
        let mut place = None;
        for (index, line) in self.lines.iter_mut().enumerate() {
            if sought.is_of(line, &self.lower) {
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
        let mark = Mark::of(name.as_str());
        self.marks.add(mark);
        self.lines.push(Line {
            name: Place::since(start, self.names.len()),
            value,
            mark,
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
    }

    #[test]
    fn names_with_the_same_mark_are_told_apart() {
        let [a, b] = ["ab", "ac"].map(HeaderName::from_static);
        assert_eq!(Mark::of("ab"), Mark::of("AC"), "else this says nothing");
        let mut map = fields(&[("AB", "1"), ("Ac", "2"), ("", "3")]);
        assert_eq!(
            [map.first(&a), map.first(&b)],
            [Some(&b"1"[..]), Some(b"2")]
        );
        map.remove(&a);
        assert_eq!([map.first(&a), map.first(&b)], [None, Some(&b"2"[..])]);
        map.set(b, HeaderValue::from_static("4"));
        map.add(a, HeaderValue::from_static("5"));
        assert_eq!(written(&map), "Ac: 4\r\n: 3\r\nab: 5\r\n");
        map.load(&[]);
        assert_eq!(map.first(&header::HOST), None);
        map.add(header::HOST, HeaderValue::from_static("6"));
        assert_eq!(map.first(&header::HOST), Some(&b"6"[..]));
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
