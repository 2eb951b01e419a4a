//! Which version is spoken where: `protocol` on either side, over cleartext.

use crate::caller::{Caller, Speaks, block_on};
use crate::component::Component;
use crate::proxy::{self, Proxy};
use crate::wire::Wire;

fn start(component: &Component, listener: &str, upstream: &str) -> Proxy {
    let upstream = format!("{{url: \"{}\", protocol: {upstream}}}", component.url());
    Proxy::start(&proxy::quiet(
        &upstream,
        &format!("  protocol: {listener}\n"),
    ))
}

#[test]
fn the_upstream_is_spoken_to_as_configured_and_by_auto_as_the_caller_speaks() {
    let component = Component::start();
    let mut count = 0;
    for (configured, down, expected) in [
        ("http1", Speaks::Http1, Speaks::Http1),
        ("http1", Speaks::Http2, Speaks::Http1),
        ("http2", Speaks::Http1, Speaks::Http2),
        ("http2", Speaks::Http2, Speaks::Http2),
        ("auto", Speaks::Http1, Speaks::Http1),
        ("auto", Speaks::Http2, Speaks::Http2),
    ] {
        let proxy = start(&component, "auto", configured);
        block_on(async { Caller::tcp(proxy.at(0), down).await.get("/").await });
        count += 1;
        let seen = component.wait_for(count).pop().expect("a request");
        assert_eq!(seen.version, expected.version(), "{configured}, {down:?}");
    }
}

#[test]
fn one_listener_serves_both_versions_at_once_by_auto() {
    let component = Component::start();
    let proxy = start(&component, "auto", "auto");
    block_on(async {
        let mut first = Caller::tcp(proxy.at(0), Speaks::Http1).await;
        let mut second = Caller::tcp(proxy.at(0), Speaks::Http2).await;
        for _ in 0..3 {
            assert_eq!(first.get("/").await.status, 200);
            assert_eq!(second.get("/").await.status, 200);
        }
    });
    let versions: Vec<_> = component.wait_for(6).iter().map(|s| s.version).collect();
    let [one, two] = Speaks::BOTH.map(Speaks::version);
    assert_eq!(versions, [one, two, one, two, one, two]);
}

#[test]
fn a_listener_refuses_the_version_it_does_not_speak() {
    let component = Component::start();
    for (listener, refused, served) in [
        ("http1", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", Speaks::Http1),
        ("http2", "GET / HTTP/1.1\r\nHost: a\r\n\r\n", Speaks::Http2),
    ] {
        let proxy = start(&component, listener, "auto");
        let mut caller = Wire::connect(proxy.at(0));
        caller.send(refused);
        let answer = String::from_utf8_lossy(&caller.rest()).into_owned();
        assert_eq!(answer, "", "{listener}");
        let answer = block_on(async { Caller::tcp(proxy.at(0), served).await.get("/").await });
        assert_eq!(answer.status, 200, "{listener}");
    }
    assert_eq!(component.seen().len(), 2);
}
