//! Header fields that are to be seen on spans: which may, and what is kept of them.
//!
//! Nothing is captured that isn't listed, and fields that carry credentials or say who asks can't
//! be listed. What is kept is bounded per value, per field and per record.

use http::HeaderName;

/// The most fields that can be listed for requests, and for responses.
pub const MAX_FIELDS: usize = 16;

/// The most values kept of one field.
pub const MAX_VALUES: usize = 8;

/// The longest value kept, in bytes; longer ones are cut at a character boundary.
pub const MAX_VALUE: usize = 256;

/// The most bytes of values kept in one record.
pub const MAX_CAPTURED: usize = 4096;

/// Fields that are credentials or hold them, folded (see [`forbidden`]).
const CREDENTIALS: &[&str] = &[
    "authorization",
    "cookie",
    "proxyauthorization",
    "secwebsocketprotocol",
    "setcookie",
];

/// Beginnings of names that say who asks, folded.
const IDENTITY: &[&str] = &["impersonate", "xremote"];

/// What a listener captures.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Capture {
    /// Fields of requests.
    pub request: Vec<HeaderName>,
    /// Fields of responses.
    pub response: Vec<HeaderName>,
}

/// Which message of an exchange.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// The request.
    Request,
    /// The response, its trailers included where they are metadata (gRPC).
    Response,
}

/// One field as it was captured.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Captured {
    /// Where it stood.
    pub side: Side,
    /// Its name, in lower case.
    pub name: HeaderName,
    /// At least one value, in the order they came.
    pub values: Vec<Box<str>>,
}

/// Why a field can't be captured, if it can't. Names are compared as servers fold them: without
/// case, `-`, `_` and `.`.
pub fn forbidden(name: &HeaderName) -> Option<&'static str> {
    let folded: String = name
        .as_str()
        .chars()
        .filter(|c| !matches!(c, '-' | '_' | '.'))
        .collect();
    if CREDENTIALS.contains(&&*folded) {
        Some("it carries credentials")
    } else if IDENTITY.iter().any(|start| folded.starts_with(start)) {
        Some("it says who asks")
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn credentials_and_identities_are_never_captured() {
        for (name, expected, why) in [
            ("authorization", true, "bearer tokens"),
            ("Authorization", true, "case doesn't count"),
            ("proxy-authorization", true, "credentials for a proxy"),
            ("proxy_authorization", true, "an alias"),
            ("cookie", true, "sessions"),
            ("set-cookie", true, "sessions"),
            ("set.cookie", true, "an alias"),
            ("setcookie", true, "an alias without anything"),
            (
                "sec-websocket-protocol",
                true,
                "bearer tokens of kubectl exec",
            ),
            ("sec_websocket_protocol", true, "an alias"),
            ("x-remote-user", true, "front-proxy identity"),
            ("x-remote-extra-scopes", true, "any of them"),
            ("X_Remote.Group", true, "an alias"),
            ("impersonate-user", true, "impersonation"),
            ("impersonate_extra-a", true, "an alias"),
            ("user-agent", false, "harmless"),
            ("x-request-id", false, "harmless"),
            ("x-forwarded-for", false, "addresses are on spans anyway"),
            ("cookie-consent", false, "another name"),
            ("www-authenticate", false, "a challenge"),
        ] {
            let name = HeaderName::from_bytes(name.as_bytes()).unwrap();
            assert_eq!(forbidden(&name).is_some(), expected, "{why}: {name}");
        }
    }
}
