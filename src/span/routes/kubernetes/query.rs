//! What a path and a query say once they are decoded.

use std::borrow::Cow;

use percent_encoding::percent_decode_str;

/// A path without percent-encoding; `None` if it is malformed, for then no server has a route for
/// it either. Of a path that was `cut` an escape may be left incomplete.
pub(super) fn decode_path(path: &str, cut: bool) -> Option<Cow<'_, str>> {
    let path = if cut { without_stump(path) } else { path };
    let mut escapes = path.split('%').skip(1);
    let good = |escape: &str| {
        let digits = escape.as_bytes().get(..2);
        digits.is_some_and(|digits| digits.iter().all(u8::is_ascii_hexdigit))
    };
    if !escapes.all(good) {
        return None;
    }
    percent_decode_str(path).decode_utf8().ok()
}

/// The path without an escape that lacks its end.
fn without_stump(path: &str) -> &str {
    match path.rfind('%') {
        Some(start) if path.len() - start < 3 => path.get(..start).unwrap_or(path),
        _ => path,
    }
}

/// Whether a query asks for a watch: by the first `watch`, whatever its value but `0` and `false`.
pub(super) fn watches(query: &str) -> bool {
    let decode = |text: &str| {
        let spaced = text.replace('+', " ");
        percent_decode_str(&spaced).decode_utf8_lossy().into_owned()
    };
    let mut pairs = query.split('&').map(|pair| {
        let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
        (decode(key), decode(value))
    });
    pairs
        .find(|(key, _)| key == "watch")
        .is_some_and(|(_, value)| value != "0" && !value.eq_ignore_ascii_case("false"))
}
