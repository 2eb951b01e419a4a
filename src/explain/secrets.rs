//! What an answer doesn't show, for answers are pasted into tickets.

use http::HeaderName;

use super::masked::Line;
use crate::span::capture;
use crate::span::redact::{self, REDACTED};

/// Stands for a value that is there and isn't shown.
const NOT_SHOWN: &str = "<not shown>";

/// What names of fields have in them that carry credentials of somebody's own making; without
/// `-`, `_` and `.`.
const TELLING: &[&str] = &[
    "auth",
    "credential",
    "key",
    "passw",
    "secret",
    "session",
    "signature",
    "token",
];

/// Header lines, without the values of those that carry credentials or say who asks.
pub fn lines(lines: Vec<Line>) -> Vec<Line> {
    let shown = |mut line: Line| {
        if is_secret(&line.name) {
            line.value = NOT_SHOWN.to_owned();
        }
        line
    };
    lines.into_iter().map(shown).collect()
}

/// `method target version`, without user information and the values of the query that may not be
/// seen on spans either.
pub fn request_line(line: &str) -> String {
    let (line, version) = line.rsplit_once(' ').unwrap_or((line, ""));
    let (before, query) = match line.split_once('?') {
        Some((before, query)) => (before, Some(query)),
        None => (line, None),
    };
    let mut shown = without_user(before);
    if let Some(query) = query {
        let redacted = redact::query(query);
        shown.push('?');
        shown.push_str(&redacted.replace(REDACTED, NOT_SHOWN));
        if redacted.matches('&').count() < query.matches('&').count() {
            shown.push_str("&…");
        }
    }
    format!("{shown} {version}")
}

fn without_user(target: &str) -> String {
    let found = target.split_once("://").and_then(|(scheme, rest)| {
        let end = rest.find('/').unwrap_or(rest.len());
        let (authority, path) = rest.split_at(end);
        let (_, host) = authority.rsplit_once('@')?;
        Some(format!("{scheme}://{NOT_SHOWN}@{host}{path}"))
    });
    found.unwrap_or_else(|| target.to_owned())
}

fn is_secret(name: &str) -> bool {
    let folded = name.replace(['-', '_', '.'], "");
    let listed = HeaderName::from_bytes(name.as_bytes())
        .is_ok_and(|name| capture::forbidden(&name).is_some());
    listed || TELLING.iter().any(|part| folded.contains(part))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::context::formats::Format;
    use crate::context::traceparent::TraceParent;

    #[test]
    fn credentials_are_known_by_their_names() {
        for (name, expected, why) in [
            ("authorization", true, "never captured either"),
            ("cookie", true, "never captured either"),
            ("x-remote-user", true, "says who asks"),
            ("x-api-key", true, "a key"),
            ("api_key", true, "an alias"),
            ("x-auth-token", true, "a token"),
            ("x-amz-security-token", true, "a token"),
            ("x.session.id", true, "a session"),
            ("x-hub-signature-256", true, "a signature"),
            ("x-db-password", true, "a password"),
            ("host", false, "whom the request is for"),
            ("accept", false, "harmless"),
            ("user-agent", false, "harmless"),
            ("x-forwarded-for", false, "an address"),
            ("tracestate", false, "what it is all about"),
            ("baggage", false, "what it is all about"),
        ] {
            assert_eq!(is_secret(name), expected, "{why}: {name}");
        }
    }

    #[test]
    fn no_context_is_taken_for_a_secret() {
        let context = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
        let context = TraceParent::parse(context.as_bytes()).unwrap();
        for format in Format::ALL {
            format.write(&context, &mut |name, _| {
                assert!(!is_secret(name.as_str()), "{name}");
            });
        }
    }

    #[test]
    fn a_request_line_has_no_credentials() {
        let long = format!("GET /a?{} HTTP/1.1", ["k=v"; 1000].join("&"));
        for (line, expected, why) in [
            ("GET /a HTTP/1.1", "GET /a HTTP/1.1", "nothing to hide"),
            (
                "GET /a?access_token=planted&limit=5 HTTP/1.1",
                "GET /a?access_token=<not shown>&limit=5 HTTP/1.1",
                "a token in the query",
            ),
            (
                "GET https://me:planted@x/a@b HTTP/2",
                "GET https://<not shown>@x/a@b HTTP/2",
                "user information",
            ),
            (
                "GET https://x/a@b HTTP/2",
                "GET https://x/a@b HTTP/2",
                "no user",
            ),
            (
                "CONNECT a:443 HTTP/1.1",
                "CONNECT a:443 HTTP/1.1",
                "an authority",
            ),
        ] {
            assert_eq!(request_line(line), expected, "{why}");
        }
        let shown = request_line(&long);
        assert!(
            shown.ends_with("&… HTTP/1.1"),
            "a cut is to be seen: {shown}"
        );
    }
}
