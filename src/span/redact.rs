//! What of a query may be seen.
//!
//! A query carries tokens, signatures and names of secrets, so every value is replaced unless its
//! key is listed here *and* the value looks as harmless as the key promises.

use super::record::MAX_TEXT;

/// What stands for a value.
pub const REDACTED: &str = "REDACTED";

/// Keys whose values may stay: switches, numbers and enumerations of the Kubernetes API. Keys that
/// can hold names or opaque tokens (`labelSelector`, `fieldSelector`, `continue`, `command`,
/// `fieldManager`) stay redacted.
const ALLOWED: &[&str] = &[
    "allowWatchBookmarks",
    "dryRun",
    "fieldValidation",
    "follow",
    "gracePeriodSeconds",
    "limit",
    "limitBytes",
    "pretty",
    "previous",
    "propagationPolicy",
    "resourceVersion",
    "resourceVersionMatch",
    "sendInitialEvents",
    "sinceSeconds",
    "stderr",
    "stdin",
    "stdout",
    "tailLines",
    "timeout",
    "timeoutSeconds",
    "timestamps",
    "tty",
    "watch",
];

/// The longest value an allowed key may show, in bytes.
const MAX_VALUE: usize = 24;

/// The query with every value redacted that isn't known to be harmless; at most [`MAX_TEXT`]
/// bytes, cut between pairs.
pub fn query(query: &str) -> String {
    let mut out = String::with_capacity(query.len().min(MAX_TEXT));
    for (index, pair) in query.split('&').enumerate() {
        let before = out.len();
        if index > 0 {
            out.push('&');
        }
        push_pair(&mut out, pair);
        if out.len() > MAX_TEXT {
            out.truncate(before);
            break;
        }
    }
    out
}

fn push_pair(out: &mut String, pair: &str) {
    let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
    if pair.is_empty() || (allowed(key) && harmless(value)) {
        out.push_str(pair);
    } else if is_padding(value) {
        // No value: a switch that isn't known, or a bare token in Base64, whose padding looks like one.
        out.push_str(REDACTED);
    } else {
        out.push_str(key);
        out.push('=');
        out.push_str(REDACTED);
    }
}

/// Whether nothing stands there but what Base64 may end in (RFC 4648, section 4), encoded or not.
fn is_padding(value: &str) -> bool {
    let mut rest = value;
    while let Some(next) = ["=", "%3D", "%3d"]
        .iter()
        .find_map(|p| rest.strip_prefix(p))
    {
        rest = next;
    }
    rest.is_empty()
}

/// Compared as written: an encoded spelling of a key is not on the list, and so is redacted.
fn allowed(key: &str) -> bool {
    ALLOWED.contains(&key)
}

fn harmless(value: &str) -> bool {
    value.len() <= MAX_VALUE && value.bytes().all(|byte| byte.is_ascii_alphanumeric())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn values_are_redacted_unless_known_to_be_harmless() {
        for (raw, expected, why) in [
            (
                "sig=abc&X-Amz-Signature=d",
                "sig=REDACTED&X-Amz-Signature=REDACTED",
                "signatures",
            ),
            (
                "watch=true&limit=500",
                "watch=true&limit=500",
                "Kubernetes switches and numbers",
            ),
            ("watch", "watch", "a switch without a value"),
            ("eyJhbGciOi", "REDACTED", "a bare token"),
            ("Watch=true", "Watch=REDACTED", "keys are case-sensitive"),
            (
                "w%61tch=1",
                "w%61tch=REDACTED",
                "an encoded spelling isn't on the list",
            ),
            (
                "limit=a%20b",
                "limit=REDACTED",
                "an allowed key with an odd value",
            ),
            (
                "limit=1234567890123456789012345",
                "limit=REDACTED",
                "an allowed key, too long",
            ),
            (
                "fieldSelector=metadata.name%3Dpw",
                "fieldSelector=REDACTED",
                "names of objects",
            ),
            (
                "token=a=b",
                "token=REDACTED",
                "the first equals sign ends the key",
            ),
            ("a=1;b=2", "a=REDACTED", "a semicolon separates nothing"),
            ("watch=&limit=", "watch=&limit=", "known, and nothing said"),
            ("pretty", "pretty", "another switch"),
            ("a=", "REDACTED", "a token that was padded, or a key"),
            ("c2VjcmV0LXRva2Vu=", "REDACTED", "a bare token in Base64"),
            ("c2VjcmV0LXRva2Vu==", "REDACTED", "with more padding"),
            ("c2VjcmV0LXRva2Vu===", "REDACTED", "and too much"),
            ("c2VjcmV0LXRva2Vu%3D%3d", "REDACTED", "encoded padding"),
            ("c2VjcmV0LXRva2Vu=%3D", "REDACTED", "half encoded"),
            (
                "watch=1&c2VjcmV0==&limit=5",
                "watch=1&REDACTED&limit=5",
                "among others",
            ),
            ("watch==", "REDACTED", "no switch has padding"),
            ("==", "REDACTED", "padding alone"),
            ("", "", "nothing at all"),
            ("&&", "&&", "empty pairs"),
            ("=secret", "=REDACTED", "a value without a key"),
        ] {
            assert_eq!(query(raw), expected, "{why}: {raw}");
        }
    }

    #[test]
    fn a_long_query_is_cut_between_pairs() {
        let raw = vec!["k=v"; 1000].join("&");
        let out = query(&raw);
        assert!(out.len() <= MAX_TEXT);
        assert!(out.len() > MAX_TEXT - 20, "cut no earlier than needed");
        assert!(out.ends_with("k=REDACTED"));
    }

    proptest! {
        #[test]
        fn no_input_outgrows_the_bound_or_shows_a_secret(
            pairs in proptest::collection::vec(("[^&=]{0,8}", any::<String>()), 0..40),
        ) {
            let raw: Vec<_> = pairs.iter().map(|(key, value)| format!("{key}={value}S3CRET!")).collect();
            let out = query(&raw.join("&"));
            prop_assert!(out.len() <= MAX_TEXT);
            prop_assert!(!out.contains("S3CRET!"));
        }

        #[test]
        fn no_bare_token_is_shown_however_it_is_padded(
            pairs in proptest::collection::vec(
                ("[A-Za-z0-9+/_.~-]{0,20}", "(=|%3D|%3d){0,4}", any::<bool>()),
                1..10,
            ),
        ) {
            let raw: Vec<_> = pairs
                .iter()
                .map(|(token, padding, switch)| match switch {
                    true => format!("watch=true&{token}S3CRET{padding}"),
                    false => format!("{token}S3CRET{padding}"),
                })
                .collect();
            let out = query(&raw.join("&"));
            prop_assert!(!out.contains("S3CRET"), "{}", out);
        }
    }
}
