//! Sizes around the borders of frames and buffers, known and unknown beforehand.

use http::Method;

use super::made::{made, read};
use super::{KIB, MIB, PAIRINGS, as_made, component};
use crate::caller::{Caller, block_on, empty};
use crate::proxy::{self, Proxy};
use crate::server::Listen;

pub const SIZES: [u64; 9] = [
    0,
    1,
    16 * KIB - 1,
    16 * KIB,
    16 * KIB + 1,
    64 * KIB - 1,
    64 * KIB,
    64 * KIB + 1,
    MIB,
];

#[test]
fn bodies_of_every_size_arrive_byte_for_byte_in_every_pairing() {
    let server = component(Listen::Tcp);
    for (down, up) in PAIRINGS {
        let upstream = format!("{{url: \"{}\", protocol: {}}}", server.url(), up.name());
        let proxy = Proxy::start(&proxy::quiet(&upstream, ""));
        block_on(async {
            let mut caller = Caller::tcp(proxy.at(0), down).await;
            for size in SIZES {
                for known in [true, false] {
                    let case = format!("{size} bytes, known: {known}, {down:?} to {up:?}");
                    let query = if known { "" } else { "?unknown" };
                    let request = caller.request(Method::GET, &format!("/{size}{query}"));
                    let request = request.body(empty()).expect("a request");
                    let response = caller.send(request).await;
                    let length = response.headers().get("content-length");
                    let length = length.map(|l| l.to_str().expect("text").to_owned());
                    if size > 0 {
                        assert_eq!(length, known.then(|| size.to_string()), "{case}");
                    }
                    let check = read(response.into_body(), None).await.expect("a body");
                    assert_eq!(check.verdict(), as_made(size), "down, {case}");

                    let request = caller.request(Method::PUT, "/");
                    let request = request.body(made(size, known)).expect("a request");
                    let answer = caller.exchange(request).await;
                    assert_eq!(answer.text(), as_made(size), "up, {case}");
                }
            }
        });
    }
}
