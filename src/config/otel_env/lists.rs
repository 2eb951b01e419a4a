//! Lists of `key=value`, percent-encoded, as resource attributes and headers are written.

use crate::config::values::Expected;

/// `key=value,…` with keys and values percent-encoded.
pub(super) fn attributes(text: &str) -> Expected<Vec<(String, String)>> {
    let expected = || "key=value pairs, separated by commas, percent-encoded".to_owned();
    pairs(text)
        .map(|(key, value)| {
            let (key, value) = (decode(key)?, decode(value)?);
            (!key.is_empty()).then_some((key, value))
        })
        .collect::<Option<_>>()
        .ok_or_else(expected)
}

/// `name=value,…` with values percent-encoded; a value may hold further `=`.
pub(super) fn headers(text: &str) -> Expected<Vec<(String, String)>> {
    let expected = || "name=value pairs, separated by commas, values percent-encoded".to_owned();
    pairs(text)
        .map(|(name, value)| Some((name.to_ascii_lowercase(), decode(value)?)))
        .collect::<Option<_>>()
        .ok_or_else(expected)
}

/// The pairs; one without `=` comes out with an empty key, which no list allows.
fn pairs(text: &str) -> impl Iterator<Item = (&str, &str)> {
    text.split(',')
        .filter(|member| !member.trim().is_empty())
        .map(|member| {
            let (key, value) = member.split_once('=').unwrap_or(("", member));
            (key.trim(), value.trim())
        })
}

/// `None` if a `%` isn't followed by two hexadecimal digits, or the result isn't UTF-8.
fn decode(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        if byte != b'%' {
            bytes.push(byte);
            continue;
        }
        let mut digit = || char::from(rest.next()?).to_digit(16);
        let value = digit()? * 16 + digit()?;
        bytes.push(u8::try_from(value).ok()?);
    }
    String::from_utf8(bytes).ok()
}

#[cfg(test)]
mod tests {
    use super::{attributes, headers};

    fn pair(key: &str, value: &str) -> (String, String) {
        (key.to_owned(), value.to_owned())
    }

    #[test]
    fn keys_and_values_of_attributes_are_percent_decoded() {
        let read = attributes(" k8s.pod.name = a%2Cb ,x%3Dy=%C3%A9,").unwrap();
        assert_eq!(read, [pair("k8s.pod.name", "a,b"), pair("x=y", "é")]);
    }

    #[test]
    fn a_header_value_keeps_its_further_equals_signs() {
        let read = headers("Authorization=Basic%20dTpw==").unwrap();
        assert_eq!(read, [pair("authorization", "Basic dTpw==")]);
    }

    #[test]
    fn one_bad_member_discards_the_whole_list() {
        for (text, why) in [
            ("a=b,c", "no equals sign"),
            ("a=%zz", "no hexadecimal digits"),
            ("a=%2", "cut off"),
            ("a=%ff", "not UTF-8"),
            ("=b", "no key"),
        ] {
            assert!(attributes(text).is_err(), "{why}");
        }
    }
}
