//! Texts one behind the other, in memory that is used again.

use http::uri::PathAndQuery;

use crate::proxy::place::Place;
use crate::span::record::{MAX_TEXT, cut};

/// What may be occupied while nobody uses it, in bytes.
const ROOM: usize = 4096;
/// More of a text than a record keeps, so that it cuts where a character ends.
pub const SLACK: usize = 4;

/// Texts one behind the other.
#[derive(Default)]
pub struct Texts(Vec<u8>);

impl Texts {
    /// Adds one, cut a little behind what a record keeps.
    pub fn put(&mut self, bytes: &[u8]) -> Place {
        let bytes = bytes.get(..MAX_TEXT + SLACK).unwrap_or(bytes);
        let at = self.0.len();
        self.0.extend_from_slice(bytes);
        Place::since(at, self.0.len())
    }

    /// Adds path and query, each cut as a record cuts it.
    pub fn target(&mut self, target: &PathAndQuery) -> Place {
        let whole = target.as_str();
        if whole.len() <= MAX_TEXT {
            return self.put(whole.as_bytes());
        }
        let at = self.0.len();
        self.0
            .extend_from_slice(cut(target.path(), MAX_TEXT).as_bytes());
        if let Some(query) = target.query() {
            self.0.push(b'?');
            self.0.extend_from_slice(cut(query, MAX_TEXT).as_bytes());
        }
        Place::since(at, self.0.len())
    }

    /// Adds the lines of one field as one.
    pub fn join<'a>(&mut self, lines: impl Iterator<Item = &'a [u8]>) -> Place {
        let at = self.0.len();
        for line in lines {
            self.0.extend_from_slice(line);
            self.0.push(b',');
        }
        // Without the last comma.
        Place::since(at, self.0.len().saturating_sub(1))
    }

    /// The bytes of one.
    pub fn get(&self, place: Place) -> &[u8] {
        place.of(&self.0)
    }

    /// A text that was one when it came; a cut may have left half a character at its end.
    pub fn text(&self, place: Place) -> &str {
        let bytes = self.get(place);
        match str::from_utf8(bytes) {
            Ok(text) => text,
            Err(error) => bytes
                .get(..error.valid_up_to())
                .and_then(|valid| str::from_utf8(valid).ok())
                .unwrap_or_default(),
        }
    }

    /// Whether there are none.
    #[cfg(test)]
    pub const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Forgets them all; of much memory some is given back.
    pub fn clear(&mut self) {
        self.0.clear();
        if self.0.capacity() > ROOM {
            self.0.shrink_to(ROOM);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::span::record::text;

    #[test]
    fn texts_come_back_as_they_were_up_to_what_a_record_keeps() {
        let mut texts = Texts::default();
        let long = "ä".repeat(MAX_TEXT);
        let places = ["GET", "", &long, "/a"].map(|text| texts.put(text.as_bytes()));
        assert_eq!(texts.text(places[0]), "GET");
        assert_eq!(texts.text(places[1]), "");
        let kept = text(texts.text(places[2]));
        assert_eq!(kept, text(&long), "as if it were whole");
        assert_eq!(texts.text(places[3]), "/a");
        let odd = texts.put(b"/a\xc3");
        assert_eq!(texts.text(odd), "/a", "half a character isn't one");
    }

    #[test]
    fn a_target_keeps_its_query_however_long_its_path() {
        let mut texts = Texts::default();
        for (path, query, expected) in [
            (3, 3, 7),
            (MAX_TEXT + 9, 3, MAX_TEXT + 4),
            (3, MAX_TEXT + 9, MAX_TEXT + 4),
            (MAX_TEXT + 9, MAX_TEXT + 9, 2 * MAX_TEXT + 1),
        ] {
            let target = format!("/{}?{}", "p".repeat(path - 1), "q".repeat(query));
            let target = target.parse().unwrap();
            let place = texts.target(&target);
            let (path, query) = texts.text(place).split_once('?').unwrap();
            assert_eq!(place.len(), expected, "{target}");
            assert_eq!(text(path), text(target.path()));
            assert_eq!(text(query), text(target.query().unwrap()));
        }
    }

    #[test]
    fn lines_of_one_field_are_joined() {
        let mut texts = Texts::default();
        let none = texts.join([].into_iter());
        assert_eq!(texts.get(none), b"");
        let two = texts.join([&b"a=1"[..], b"b=2,c=3"].into_iter());
        assert_eq!(texts.get(two), b"a=1,b=2,c=3");
    }

    #[test]
    fn much_memory_is_given_back() {
        let mut texts = Texts::default();
        for _ in 0..100 {
            texts.put(&[b'a'; MAX_TEXT]);
        }
        texts.clear();
        assert!(texts.0.is_empty() && texts.0.capacity() <= ROOM);
    }
}
