//! A head that was written already, changed in place: what stands behind it may be the beginning
//! of a body, and the fields it was made of may be gone.

/// Replaces a field's value; nothing happens where there is no such field. Names are compared
/// without case.
pub fn field(bytes: &mut Vec<u8>, name: &str, value: &[u8]) {
    let mut start = 0;
    while let Some(line) = bytes.get(start..).and_then(line) {
        if line.is_empty() {
            // The head's end.
            return;
        }
        let (length, end) = (line.len(), start + line.len());
        let named = line
            .split_at_checked(name.len())
            .is_some_and(|(named, rest)| {
                named.eq_ignore_ascii_case(name.as_bytes()) && rest.starts_with(b": ")
            });
        if named {
            let from = start + name.len() + 2;
            bytes.splice(from..end, value.iter().copied());
            return;
        }
        start += length + 2;
    }
}

/// The first line, without its end.
fn line(bytes: &[u8]) -> Option<&[u8]> {
    let end = bytes.windows(2).position(|pair| pair == b"\r\n")?;
    bytes.get(..end)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_fields_value_is_replaced_and_nothing_else() {
        const HEAD: &str = "GET /b3: 1 HTTP/1.1\r\nx-b3: 1\r\nB3: 1\r\nc: b3: 1\r\n\r\n";
        for (before, name, value, after, why) in [
            (
                HEAD,
                "b3",
                "22",
                "GET /b3: 1 HTTP/1.1\r\nx-b3: 1\r\nB3: 22\r\nc: b3: 1\r\n\r\n",
                "longer, in another case",
            ),
            (
                "GET / HTTP/1.1\r\na: 22\r\nb: 3\r\n\r\nbody",
                "a",
                "",
                "GET / HTTP/1.1\r\na: \r\nb: 3\r\n\r\nbody",
                "shorter, before a body",
            ),
            (
                "POST / HTTP/1.1\r\nb: 3\r\n\r\na: 1\r\n\r\n",
                "a",
                "2",
                "POST / HTTP/1.1\r\nb: 3\r\n\r\na: 1\r\n\r\n",
                "a body isn't the head's",
            ),
            (HEAD, "b", "2", HEAD, "a name's beginning is no name"),
            ("", "b", "2", "", "nothing"),
            ("b: 1", "b", "2", "b: 1", "no line"),
        ] {
            let mut bytes = before.as_bytes().to_vec();
            field(&mut bytes, name, value.as_bytes());
            assert_eq!(String::from_utf8_lossy(&bytes), after, "{why}");
        }
    }
}
