//! Where a text is among others that stand one behind the other in the same memory.

/// A place: small, as every look at a head goes over the places of all its lines. What heads are
/// kept in is far shorter than 4 GiB.
#[derive(Clone, Copy, Debug)]
pub struct Place {
    at: u32,
    len: u32,
}

impl Place {
    /// From there to the end of what is this long now, in bytes.
    #[inline]
    pub const fn since(at: usize, end: usize) -> Self {
        Self {
            at: at as u32,
            len: end.saturating_sub(at) as u32,
        }
    }

    /// In bytes.
    #[inline]
    pub const fn len(self) -> usize {
        self.len as usize
    }

    /// The bytes there; none if it isn't a place of these.
    #[inline]
    pub fn of(self, bytes: &[u8]) -> &[u8] {
        let at = self.at as usize;
        bytes.get(at..at + self.len()).unwrap_or_default()
    }

    /// The text there; none if it isn't a place of this one.
    #[inline]
    pub fn of_text(self, text: &str) -> &str {
        let at = self.at as usize;
        text.get(at..at + self.len()).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_found_again_and_elsewhere_there_is_nothing() {
        let text = "one, zwölf";
        let place = Place::since(5, text.len());
        assert_eq!((place.of_text(text), place.len()), ("zwölf", 6));
        assert_eq!(place.of(text.as_bytes()), "zwölf".as_bytes());
        assert_eq!(Place::since(3, 2).of_text(text), "");
        for elsewhere in ["one", "one, zwöl"] {
            assert_eq!(place.of_text(elsewhere), "");
            assert_eq!(place.of(elsewhere.as_bytes()), b"");
        }
        let broken = Place::since(0, 8);
        assert_eq!(broken.of_text(text), "", "in the middle of a character");
    }
}
