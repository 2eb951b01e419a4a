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

/// A collector nobody runs: these tests look at messages alone.
const NO_COLLECTOR: &str = "http://127.0.0.1:1";

/// Caller's and upstream's versions.
const PAIRINGS: [(Speaks, Speaks); 4] = [
    (Speaks::Http1, Speaks::Http1),
    (Speaks::Http1, Speaks::Http2),
    (Speaks::Http2, Speaks::Http1),
    (Speaks::Http2, Speaks::Http2),
];

/// A proxy that speaks `upstream` with the component at `url`, whatever the caller speaks.
fn towards(url: &str, upstream: Speaks) -> Proxy {
    towards_with(url, upstream, "", "")
}

/// The same, with more keys of the upstream (`, key: value`) and of the listener.
fn towards_with(url: &str, upstream: Speaks, more_upstream: &str, more: &str) -> Proxy {
    let upstream = format!(
        "{url}\", protocol: {}{more_upstream}, connectTimeout: \"5s",
        upstream.name()
    );
    Proxy::start(&proxy::ingress(&upstream, NO_COLLECTOR, more))
}
