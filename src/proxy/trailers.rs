//! Trailers: fields that come too late to say certain things (RFC 9110, section 6.5.1).

use crate::context::untrusted;
use crate::proxy::head::Head;
use crate::proxy::settings::Settings;

/// Fields that frame or route a message, or say who asks: of no use behind a body but to
/// servers that merge trailers into the fields, and there of harm.
const FORBIDDEN: &[&str] = &[
    "authorization",
    "cache-control",
    "connection",
    "content-encoding",
    "content-length",
    "content-range",
    "content-type",
    "cookie",
    "expect",
    "host",
    "keep-alive",
    "max-forwards",
    "proxy-authorization",
    "proxy-connection",
    "set-cookie",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
];

/// Beginnings of names that say who asks, folded as servers fold names; a listener may have others.
const IDENTITY: &[&str] = &[
    "forwarded",
    "impersonate",
    "xforwarded",
    "xrealip",
    "xremote",
];

/// Takes off a request's trailers what its fields say, and context, whoever is trusted.
pub fn strip_request(trailers: &mut impl Head, settings: &Settings) {
    let identity = settings.identity.as_ref();
    trailers.remove_if(|name| {
        settings.stripper.is_context(name)
            || FORBIDDEN.contains(&name)
            || IDENTITY
                .iter()
                .any(|start| untrusted::starts_folded(name, start))
            || identity.is_some_and(|identity| identity.claims(name))
    });
}

/// Takes off a response's trailers what its fields say.
pub fn strip_response(trailers: &mut impl Head) {
    trailers.remove_if(|name| FORBIDDEN.contains(&name));
}
