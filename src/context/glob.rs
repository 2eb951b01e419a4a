//! Matching of names: in a pattern `*` stands for any run of characters.

/// Whether the whole text matches the pattern, where bytes that are the `same` are equal.
///
/// Two pointers and one place to come back to: time at most text × pattern whatever the caller
/// sends, never exponential, and no memory.
pub fn matches(pattern: &[u8], text: &[u8], same: impl Fn(&u8, &u8) -> bool) -> bool {
    let (mut at, mut seen) = (0, 0);
    // Behind the last `*`, and how much text that star has swallowed up to now. An earlier star
    // never needs another try: the shortest it can take leaves the most for the later ones.
    let mut star = None;
    while let Some(byte) = text.get(seen) {
        match pattern.get(at) {
            Some(b'*') => {
                at += 1;
                star = Some((at, seen));
                if at == pattern.len() {
                    return true;
                }
            }
            Some(wanted) if same(wanted, byte) => {
                at += 1;
                seen += 1;
            }
            _ => {
                let Some((behind, swallowed)) = star else {
                    return false;
                };
                at = behind;
                seen = swallowed + 1;
                star = Some((behind, seen));
            }
        }
    }
    pattern.iter().skip(at).all(|byte| *byte == b'*')
}

/// The same where `separator` divides pattern and text into parts and `*` stays within one: both
/// need as many parts. A part that is empty, `.` or `..` is matched by itself alone, for no
/// pattern means a place that isn't there or that leads elsewhere.
pub fn matches_parts(
    pattern: &[u8],
    text: &[u8],
    separator: u8,
    same: impl Fn(&u8, &u8) -> bool + Copy,
) -> bool {
    let mut patterns = pattern.split(|byte| *byte == separator);
    let mut parts = text.split(|byte| *byte == separator);
    loop {
        match (patterns.next(), parts.next()) {
            (None, None) => return true,
            (Some(pattern), Some(part @ (b"" | b"." | b".."))) if pattern == part => {}
            (Some(_), Some(b"" | b"." | b"..")) => return false,
            (Some(pattern), Some(part)) if matches(pattern, part, same) => {}
            _ => return false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_star_stays_within_its_part() {
        const GATEWAY: &str = "spiffe://prod/ns/*/sa/gateway";
        for (pattern, text, expected, why) in [
            (GATEWAY, "spiffe://prod/ns/a/sa/gateway", true, "one part"),
            (
                GATEWAY,
                "spiffe://prod/ns/a/b/sa/gateway",
                false,
                "two parts",
            ),
            (
                GATEWAY,
                "spiffe://prod/ns//sa/gateway",
                false,
                "an empty part",
            ),
            (GATEWAY, "spiffe://prod/ns/../sa/gateway", false, "a way up"),
            (
                GATEWAY,
                "spiffe://prod/ns/./sa/gateway",
                false,
                "no way at all",
            ),
            (
                GATEWAY,
                "spiffe://prod/ns/a/sa/gateway/x",
                false,
                "more behind",
            ),
            (
                GATEWAY,
                "spiffe://prod/ns/a/sa/gateways",
                false,
                "a longer end",
            ),
            (GATEWAY, "spiffe://prod/ns/sa/gateway", false, "a part less"),
            (
                GATEWAY,
                "spiffe://test/ns/a/sa/gateway",
                false,
                "another domain",
            ),
            (
                GATEWAY,
                "spiffe://prod/ns/a%2Fb/sa/gateway",
                true,
                "escapes aren't resolved",
            ),
            (GATEWAY, "", false, "nothing"),
            (
                "spiffe://prod/*",
                "spiffe://prod/a/b",
                false,
                "the end is one part, too",
            ),
            ("*", "spiffe://prod/a", false, "a star is no path"),
            ("*/*/*/*", "spiffe://prod/a", false, "nor an empty part"),
            (
                "*//*/*",
                "spiffe://prod/a",
                true,
                "an empty part is written out",
            ),
            ("a-*-c/d", "a-b-c/d", true, "within a part"),
            ("a*c/d", "ab/c/d", false, "not out of it"),
            ("..", "..", true, "itself"),
            (".*", "..", false, "not by a star"),
        ] {
            let got = matches_parts(pattern.as_bytes(), text.as_bytes(), b'/', u8::eq);
            assert_eq!(got, expected, "{pattern} {text}: {why}");
        }
    }
}
