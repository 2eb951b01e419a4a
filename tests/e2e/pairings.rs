//! HTTP/1.1 and HTTP/2 on either side, in all four pairings: what goes in comes out, as far as
//! both versions can say it.

mod fields;
mod framing;
mod reuse;
mod targets;
mod trailers;
mod versions;

use super::caller::Speaks;
use super::proxy::{self, Proxy};

/// Caller's and upstream's versions.
const PAIRINGS: [(Speaks, Speaks); 4] = [
    (Speaks::Http1, Speaks::Http1),
    (Speaks::Http1, Speaks::Http2),
    (Speaks::Http2, Speaks::Http1),
    (Speaks::Http2, Speaks::Http2),
];

/// A proxy that speaks `upstream` with the component at `url`, whatever the caller speaks.
fn towards(url: &str, upstream: Speaks) -> Proxy {
    towards_with(url, upstream, "")
}

/// The same, with more keys of the upstream, each with a comma before it.
fn towards_with(url: &str, upstream: Speaks, more: &str) -> Proxy {
    let upstream = format!("{{url: \"{url}\", protocol: {}{more}}}", upstream.name());
    Proxy::start(&proxy::quiet(&upstream, ""))
}
