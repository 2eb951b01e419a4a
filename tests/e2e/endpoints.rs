//! An upstream of several members: connections go round, and past those that can't be reached.

use std::net::{SocketAddr, TcpListener};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::Full;

use super::caller::{Caller, Speaks, block_on, empty};
use super::component::{Component, PATIENCE, Seen};
use super::metrics::Scrape;
use super::proxy::{self, Proxy};
use super::receiver::{self, Receiver};
use super::span_view::View;
use super::wire::Wire;

/// Every answer is the last on its connection, so that every request needs a new one.
fn closing() -> Component {
    Component::answering(|_| {
        let mut response = Response::new(Full::new(Bytes::from_static(b"ok")));
        let close = http::HeaderValue::from_static("close");
        response.headers_mut().insert("connection", close);
        response
    })
}

fn in_front_of(members: &[SocketAddr]) -> Proxy {
    let urls: Vec<_> = members.iter().map(|a| format!("\"http://{a}\"")).collect();
    let upstream = format!("{{endpoints: [{}]}}", urls.join(", "));
    let yaml = proxy::quiet(&upstream, "");
    Proxy::start(&proxy::with_top(&yaml, "admin: {bind: 127.0.0.1:0}"))
}

fn status(caller: &mut Wire) -> String {
    caller.send("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 4\r\n\r\nbody");
    let (head, _) = caller.message();
    head.get(9..12).unwrap_or_default().to_owned()
}

fn failed(proxy: &Proxy) -> u64 {
    let name = "tracegate_upstream_connect_errors_total";
    Scrape::of(proxy.admin()).get(name, &[("listener", "quiet")])
}

#[test]
fn a_member_that_is_lost_costs_no_request_and_is_used_again_when_it_is_back() {
    let (a, b) = (closing(), closing());
    let proxy = in_front_of(&[a.address(), b.address()]);
    let mut caller = Wire::connect(proxy.at(0));
    for _ in 0..10 {
        assert_eq!(status(&mut caller), "200");
    }
    assert_eq!((a.seen().len(), b.seen().len()), (5, 5), "they go round");
    assert_eq!(failed(&proxy), 0);

    let address = a.address();
    drop(a);
    for round in 0..10 {
        assert_eq!(status(&mut caller), "200", "round {round}");
    }
    assert_eq!(b.seen().len(), 15);
    let before = failed(&proxy);
    assert!(
        (1..=2).contains(&before),
        "{before} attempts for ten requests"
    );

    let a = Component::start_at(address);
    let until = Instant::now() + PATIENCE;
    while a.seen().is_empty() {
        assert!(Instant::now() < until, "it is never used again");
        assert_eq!(status(&mut caller), "200");
        std::thread::sleep(Duration::from_millis(20));
    }
    assert!(failed(&proxy) <= before + 1, "no request had to find out");
    proxy.stop();
}

#[test]
fn every_member_is_tried_once_before_a_request_is_refused() {
    let free = || TcpListener::bind("127.0.0.1:0").expect("a free port");
    let listeners = [free(), free(), free()];
    let members = listeners
        .each_ref()
        .map(|l| l.local_addr().expect("an address"));
    drop(listeners);
    let proxy = in_front_of(&members);
    let mut caller = Wire::connect(proxy.at(0));
    assert_eq!(status(&mut caller), "503");
    assert_eq!(failed(&proxy), 3);

    // All of them are in cooldown now: that is no reason to refuse.
    let _component = Component::start_at(members[1]);
    assert_eq!(status(&mut Wire::connect(proxy.at(0))), "200");
    proxy.stop();
}

/// Whatever the engine, and also for a request nobody sampled.
#[test]
fn spans_name_the_member_that_was_connected_to() {
    const CALLS: usize = 4;
    let sampled = "  samplingRatePerMillion: 1000000";
    let kept = "  samplingRatePerMillion: 0\n  keep: {errors: true, maxPerSecond: 1000}";
    for (tracing, upstream, speaks) in [
        (sampled, "", Speaks::Http1),
        (sampled, "share: connection,", Speaks::Http2),
        (
            sampled,
            "protocol: http2, share: connection,",
            Speaks::Http1,
        ),
        (kept, "", Speaks::Http1),
    ] {
        let why = format!("{tracing} {upstream} {speaks:?}");
        let (receiver, a, b) = (
            Receiver::start(receiver::Speaks::Grpc),
            missing(),
            missing(),
        );
        let ports = [a.address().port(), b.address().port()];
        let listener = format!(
            "- name: out\n  bind: 127.0.0.1:0\n  direction: egress\n  upstream: {{{upstream} \
             endpoints: [\"http://127.0.0.1:{}\", \"http://localhost:{}\"]}}\n",
            ports[0], ports[1]
        );
        let tracing = format!(
            "{tracing}\n  export: {{endpoint: \"{}\"}}",
            receiver.endpoint()
        );
        let proxy = Proxy::start(&proxy::custom(&tracing, &listener));
        let at = proxy.at(0);
        block_on(async {
            for call in 0..CALLS {
                let mut caller = Caller::tcp(at, speaks).await;
                let request = match speaks {
                    Speaks::Http1 => {
                        Request::get(format!("/{call}")).header("host", at.to_string())
                    }
                    Speaks::Http2 => Request::get(format!("http://{at}/{call}")),
                };
                let request = request.body(empty()).expect("a request");
                assert_eq!(caller.exchange(request).await.status, 404, "{why}");
            }
        });
        let spans = proxy.spans(&receiver, CALLS);
        let members = [(&a, "127.0.0.1", ports[0]), (&b, "localhost", ports[1])];
        for (member, ..) in members {
            assert_eq!(member.seen().len(), CALLS / 2, "{why}");
        }
        for span in spans.into_iter().map(View) {
            let url = span.text("url.full");
            let of = |seen: &Seen| url.ends_with(seen.uri.path());
            let asked = |(member, ..): &(&Component, _, _)| member.seen().iter().any(of);
            let member = members.into_iter().find(asked);
            let (_, host, port) = member.expect("it was asked");
            assert_eq!(span.text("server.address"), host, "{why}");
            assert_eq!(span.text("server.port"), port.to_string(), "{why}");
            assert!(
                url.starts_with(&format!("http://{host}:{port}/")),
                "{url}, {why}"
            );
            assert_eq!(span.text("network.peer.address"), "127.0.0.1", "{why}");
            assert_eq!(span.text("network.peer.port"), port.to_string(), "{why}");
        }
    }
}

/// A component that has nothing, and closes each of its connections.
fn missing() -> Component {
    Component::answering(|seen| {
        let mut response = Response::new(Full::default());
        *response.status_mut() = http::StatusCode::NOT_FOUND;
        if seen.version == http::Version::HTTP_11 {
            let close = http::HeaderValue::from_static("close");
            response.headers_mut().insert("connection", close);
        }
        response
    })
}
