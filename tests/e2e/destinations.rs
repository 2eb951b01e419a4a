//! `routes`: requests that go elsewhere, by host, by the name in TLS, by path; and what the span says.

use std::sync::Arc;

use http::Method;
use rustls::pki_types::ServerName;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use super::caller::{Caller, Speaks, block_on, empty};
use super::component::Component;
use super::files::{Authority, TempDir};
use super::proxy::{self, Proxy};
use super::receiver::{Receiver, Speaks as Otlp};
use super::span_view;
use super::trust::Dialer;
use super::wire::{self, Wire};

/// Two upstreams beside the usual one, and a way to see which of them was asked.
struct Upstreams([Component; 3]);

impl Upstreams {
    fn start() -> Self {
        Self([Component::start(), Component::start(), Component::start()])
    }

    fn url(&self, index: usize) -> String {
        self.0[index].url()
    }

    /// Which one was asked since, if exactly one was, and once.
    fn asked(&self, before: &[usize]) -> Option<usize> {
        let more: Vec<usize> = self
            .counts()
            .iter()
            .zip(before)
            .map(|(a, b)| a - b)
            .collect();
        (more.iter().sum::<usize>() == 1).then(|| more.iter().position(|one| *one == 1))?
    }

    fn counts(&self) -> Vec<usize> {
        self.0.iter().map(|one| one.seen().len()).collect()
    }
}

#[test]
fn the_first_route_that_picks_a_request_says_where_it_goes_and_the_span_says_so() {
    let (upstreams, receiver) = (Upstreams::start(), Receiver::start(Otlp::Grpc));
    let routes = format!(
        "  routes:\n\
         \x20 - match: {{host: \"*.webhooks.svc\"}}\n    upstream: {{url: \"{}\"}}\n\
         \x20 - match: {{path: /b*}}\n    upstream: {{url: \"{}\", host: renamed.example}}\n",
        upstreams.url(1),
        upstreams.url(2),
    );
    let proxy = Proxy::start(&proxy::egress(
        &upstreams.url(0),
        receiver.endpoint(),
        &routes,
    ));
    let port = |index: usize| i64::from(upstreams.0[index].address().port());
    let rows = [
        ("example.com", "/", 0, "example.com", "nothing picks it"),
        ("a.webhooks.svc", "/", 1, "a.webhooks.svc", "by host"),
        (
            "A.Webhooks.SVC:443",
            "/",
            1,
            "A.Webhooks.SVC",
            "case and port don't count",
        ),
        (
            "a.webhooks.svc",
            "/b",
            1,
            "a.webhooks.svc",
            "the first that picks it",
        ),
        ("example.com", "/b/c?d", 2, "renamed.example", "by path"),
        ("webhooks.svc", "/a/b", 0, "webhooks.svc", "neither"),
    ];
    for (host, path, expected, _, why) in rows {
        let before = upstreams.counts();
        let request = format!("GET {path} HTTP/1.1\r\nHost: {host}\r\n\r\n");
        let (head, _) = Wire::connect(proxy.at(0)).ask(request);
        assert_eq!(wire::status(&head), 200, "{why}");
        assert_eq!(upstreams.asked(&before), Some(expected), "{why}");
    }
    proxy.stop();
    receiver.wait_for_spans(rows.len());
    let spans = span_view::views(&receiver);
    for (view, (.., expected, server, why)) in spans.iter().zip(rows) {
        assert_eq!(view.text("server.address"), server, "{why}");
        if !why.contains("port") {
            assert_eq!(
                view.text("server.port"),
                port(expected).to_string(),
                "{why}"
            );
        }
    }
}

#[test]
fn the_name_a_callers_tls_asked_for_picks_too_over_both_versions() {
    let (upstreams, directory, authority) = (Upstreams::start(), TempDir::new(), Authority::new());
    authority
        .issue(&["one.example", "two.example"])
        .write(&directory, "server");
    let tls = format!(
        "  tls: {{certificates: [{{certFile: {0}/server.crt, keyFile: {0}/server.key}}]}}\n\
         \x20 routes:\n  - match: {{sni: two.*}}\n    upstream: {{url: \"{1}\", protocol: http1}}\n",
        directory.path().display(),
        upstreams.url(1),
    );
    let usual = format!("{{url: \"{}\", protocol: http1}}", upstreams.url(0));
    let proxy = Proxy::start(&proxy::quiet(&usual, &tls));
    block_on(async {
        for speaks in Speaks::BOTH {
            for (name, expected) in [("one.example", 0), ("two.example", 1)] {
                let before = upstreams.counts();
                let mut config = Dialer::new(&authority, None, rustls::ALL_VERSIONS).config;
                config.alpn_protocols = match speaks {
                    Speaks::Http1 => vec![b"http/1.1".to_vec()],
                    Speaks::Http2 => vec![b"h2".to_vec()],
                };
                let stream = TcpStream::connect(proxy.at(0)).await.expect("a connection");
                let server = ServerName::try_from(name).expect("a name");
                let connector = TlsConnector::from(Arc::new(config));
                let stream = connector.connect(server, stream).await.expect("TLS");
                let mut caller = Caller::over(stream, speaks).await;
                let request = caller.request(Method::GET, "/").body(empty());
                let answer = caller.exchange(request.expect("a request")).await;
                assert_eq!(answer.status, 200);
                assert_eq!(
                    upstreams.asked(&before),
                    Some(expected),
                    "{name}, {speaks:?}"
                );
            }
        }
    });
}
