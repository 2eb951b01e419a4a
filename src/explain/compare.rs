//! A head before and after: what left it, and how it reads.

use http::request::Parts;
use http::{HeaderMap, Uri, Version};

use super::chance::Way;

/// Fields whose lines are gone one way or the other. A list that grew keeps what it had.
pub fn stripped(before: &HeaderMap, ways: &[Way]) -> Vec<String> {
    let goes = |name: &http::HeaderName, after: &HeaderMap| {
        let text = |headers: &HeaderMap| {
            let lines: Vec<&[u8]> = headers.get_all(name).iter().map(|v| v.as_bytes()).collect();
            lines.join(&b", "[..])
        };
        !after.contains_key(name) || !text(after).starts_with(&text(before))
    };
    let gone = before.keys().filter(|name| {
        let mut ways = ways.iter();
        ways.any(|way| goes(name, &way.rehearsed.head.headers))
    });
    gone.map(|name| name.as_str().to_owned()).collect()
}

/// Names in the one that the other hasn't.
pub fn missing(one: &HeaderMap, other: &HeaderMap) -> Vec<String> {
    let names = one.keys().filter(|name| !other.contains_key(*name));
    names.map(|name| name.as_str().to_owned()).collect()
}

/// `method target version`, as the upstream reads it.
pub fn first_line(head: &Parts) -> String {
    let path = head.uri.path_and_query().map(|path| path.as_str());
    let (target, version): (String, _) = match head.version {
        Version::HTTP_2 => (Uri::to_string(&head.uri), "HTTP/2"),
        _ => {
            let whole = head.uri.to_string();
            (path.map_or(whole, str::to_owned), "HTTP/1.1")
        }
    };
    format!("{} {target} {version}", head.method)
}
