//! Bodies of every size, byte for byte, in both directions and all four pairings of versions;
//! nothing piles up in between.

mod large;
mod made;
mod nginx;
mod pressure;
mod sizes;

use std::time::Duration;

use http::{Method, Request, Response};
use hyper::body::Incoming;

use super::caller::{self, Body, Speaks};
use super::server::{Listen, Server};
use made::{Check, made, read};

const KIB: u64 = 1 << 10;
const MIB: u64 = 1 << 20;

/// Caller's and upstream's versions.
const PAIRINGS: [(Speaks, Speaks); 4] = [
    (Speaks::Http1, Speaks::Http1),
    (Speaks::Http1, Speaks::Http2),
    (Speaks::Http2, Speaks::Http1),
    (Speaks::Http2, Speaks::Http2),
];

/// A component that makes bodies and checks them.
///
/// GET `/N` answers N bytes, `/N?unknown` without saying how many. PUT `/` answers what came,
/// see [`Check::verdict`]; `/?slow` takes its time over every MiB.
fn component(listen: Listen) -> Server {
    Server::start(listen, answer)
}

async fn answer(request: Request<Incoming>) -> Response<Body> {
    let (parts, body) = request.into_parts();
    if parts.method == Method::GET {
        let size = parts.uri.path()[1..].parse().expect("a size");
        return Response::new(made(size, parts.uri.query() != Some("unknown")));
    }
    let pause = (parts.uri.query() == Some("slow")).then_some(PAUSE);
    let check = read(body, pause).await.expect("a whole body");
    Response::new(caller::full(check.verdict()))
}

/// What a slow reader does after every MiB.
const PAUSE: Duration = Duration::from_millis(8);

/// The verdict over a body that came as it was made.
fn as_made(size: u64) -> String {
    let mut check = Check::default();
    for piece in made::Pieces::new(size) {
        check.update(&piece);
    }
    check.verdict()
}
