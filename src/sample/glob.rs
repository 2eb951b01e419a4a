//! Matching of [`Glob`]s.

use super::settings::Glob;
use crate::context::glob::matches;

impl Glob {
    /// Whether the whole text matches, byte for byte.
    ///
    /// Two pointers and one place to come back to: time at most text × pattern whatever the
    /// caller sends, never exponential, and no memory. Patterns come from the configuration.
    pub fn matches(&self, text: &[u8]) -> bool {
        matches(self.as_str().as_bytes(), text, |pattern, byte| {
            pattern == byte
        })
    }

    /// The same, with ASCII letters of either case equal.
    pub fn matches_ignore_case(&self, text: &[u8]) -> bool {
        matches(self.as_str().as_bytes(), text, |pattern, byte| {
            pattern.eq_ignore_ascii_case(byte)
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_star_stands_for_any_run() {
        for (pattern, text, expected) in [
            ("", "", true),
            ("", "a", false),
            ("*", "", true),
            ("*", "anything/at all", true),
            ("/livez*", "/livez", true),
            ("/livez*", "/livez/ping", true),
            ("/livez*", "/live", false),
            ("/livez", "/livez/", false),
            ("*.svc", "a.b.svc", true),
            ("*.svc", ".svc", true),
            ("*.svc", "svc", false),
            ("a*b*c", "a--b--b--c", true),
            ("a*b*c", "a--c--b", false),
            ("a**b", "ab", true),
            ("*ab", "aab", true),
            ("*a*a*", "a", false),
            ("a?c", "abc", false),
            ("a?c", "a?c", true),
        ] {
            assert_eq!(
                Glob::new(pattern).matches(text.as_bytes()),
                expected,
                "{pattern} {text}"
            );
        }
    }

    #[test]
    fn case_counts_unless_asked_not_to() {
        let glob = Glob::new("*.Example");
        assert!(!glob.matches(b"a.example"));
        assert!(glob.matches_ignore_case(b"A.EXAMPLE"));
    }

    #[test]
    fn bytes_that_are_no_text_match_too() {
        assert!(Glob::new("a*").matches(b"a\xff\x00"));
    }

    #[test]
    fn hostile_text_costs_no_more_than_text_times_pattern() {
        let text = vec![b'a'; 64 * 1024];
        let pattern = format!("{}b", "*a".repeat(100));
        assert!(!Glob::new(&pattern).matches(&text));
    }

    /// The definition, exponential and plain.
    fn plainly(pattern: &[u8], text: &[u8]) -> bool {
        match pattern.split_first() {
            None => text.is_empty(),
            Some((b'*', rest)) => (0..=text.len()).any(|skip| plainly(rest, &text[skip..])),
            Some((byte, rest)) => text.first() == Some(byte) && plainly(rest, &text[1..]),
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2000))]
        #[test]
        fn matching_agrees_with_its_definition(pattern in "[ab*]{0,7}", text in "[ab]{0,9}") {
            let got = Glob::new(&pattern).matches(text.as_bytes());
            prop_assert_eq!(got, plainly(pattern.as_bytes(), text.as_bytes()));
        }
    }
}
