//! TLS towards the upstream: whom to trust, what to call it, who we are, which version.

use std::sync::Arc;

use http::{Request, Response};
use hyper::body::Incoming;
use rustls::ServerConfig;
use rustls::server::WebPkiClientVerifier;

use super::{files, provider};
use crate::caller::{Body, Caller, Speaks, block_on, full};
use crate::files::{Authority, TempDir};
use crate::proxy::{self, Proxy};
use crate::receiver::{self, Receiver};
use crate::server::{Handshake, Listen, Server};

/// A component that speaks TLS as `component.example`, and what it takes to reach it.
pub struct Secured {
    pub authority: Authority,
    pub server: Server,
    pub directory: TempDir,
}

impl Secured {
    /// Offers these protocols; asks for a certificate of `callers` if there are any.
    pub fn start(alpn: &[&str], callers: Option<&Authority>) -> Self {
        Self::serving(alpn, callers, tell)
    }

    /// The same, answering as `serve` does.
    pub fn serving<F, R>(alpn: &[&str], callers: Option<&Authority>, serve: F) -> Self
    where
        F: Fn(Request<Incoming>) -> R + Clone + Send + Sync + 'static,
        R: Future<Output = Response<Body>> + Send + 'static,
    {
        let (authority, directory) = (Authority::new(), TempDir::new());
        directory.file("ca.pem", authority.pem());
        let (chain, key) = authority.issue(&["component.example"]).der();
        let builder = ServerConfig::builder_with_provider(provider())
            .with_safe_default_protocol_versions()
            .expect("versions");
        let builder = match callers {
            None => builder.with_no_client_auth(),
            Some(callers) => {
                let roots = Arc::new(callers.roots());
                let verifier = WebPkiClientVerifier::builder_with_provider(roots, provider());
                builder.with_client_cert_verifier(verifier.build().expect("a verifier"))
            }
        };
        let mut config = builder.with_single_cert(chain, key).expect("a certificate");
        config.alpn_protocols = alpn.iter().map(|name| name.as_bytes().to_vec()).collect();
        Self {
            server: Server::start(Listen::Tls(Arc::new(config)), serve),
            authority,
            directory,
        }
    }

    /// The upstream's settings, `more` added to them and `tls` to those of TLS.
    pub fn upstream(&self, more: &str, tls: &str) -> String {
        let (port, root) = (self.server.port(), self.directory.path().display());
        format!(
            "{{url: \"https://127.0.0.1:{port}\"{more}, tls: {{caFile: \"{root}/ca.pem\"{tls}}}}}"
        )
    }
}

/// Tells what it has seen of its peer.
async fn tell(request: Request<Incoming>) -> Response<Body> {
    let shaken = request.extensions().get::<Handshake>().cloned();
    let shaken = shaken.unwrap_or_default();
    let name = shaken.server_name.unwrap_or_else(|| "nobody".to_owned());
    let (version, count) = (request.version(), shaken.certificates);
    Response::new(full(format!(
        "{version:?} for {name}, {count} certificates"
    )))
}

const NAMED: &str = ", serverName: component.example";

/// Asks through a proxy with this upstream; status, and `error.type` of the span.
fn fail(upstream: &str, down: Speaks) -> (u16, Option<String>) {
    let receiver = Receiver::start(receiver::Speaks::Grpc);
    let yaml = proxy::ingress("http://replaced", receiver.endpoint(), "");
    let proxy = Proxy::start(&yaml.replace("{url: \"http://replaced\"}", upstream));
    let answer = block_on(async { Caller::tcp(proxy.at(0), down).await.get("/").await });
    proxy.stop();
    let span = receiver.wait_for_spans(1).remove(0);
    let error = receiver::attribute(&span.attributes, "error.type");
    (answer.status, error)
}

/// What [`fail`] says of an upstream that TLS can't be agreed on with.
fn no_tls() -> (u16, Option<String>) {
    (502, Some("tls_error".to_owned()))
}

/// Asks through a proxy with this upstream; status and text.
fn ask(upstream: &str, down: Speaks) -> (u16, String) {
    let proxy = Proxy::start(&proxy::quiet(upstream, ""));
    let answer = block_on(async { Caller::tcp(proxy.at(0), down).await.get("/").await });
    (answer.status, answer.text())
}

#[test]
fn the_configured_name_is_asked_for_and_verified() {
    let secured = Secured::start(&["http/1.1"], None);
    let (status, text) = ask(&secured.upstream("", NAMED), Speaks::Http1);
    assert_eq!(status, 200, "{text}");
    assert_eq!(text, "HTTP/1.1 for component.example, 0 certificates");
    // Its certificate isn't for its address, nor for any other name.
    for tls in ["", ", serverName: other.example"] {
        let (status, text) = ask(&secured.upstream("", tls), Speaks::Http1);
        assert_eq!(status, 502, "{tls}: {text}");
    }
}

#[test]
fn an_upstream_of_an_unknown_authority_gets_no_request_and_the_span_says_why() {
    let secured = Secured::start(&["h2", "http/1.1"], None);
    secured.directory.file("ca.pem", Authority::new().pem());
    for down in Speaks::BOTH {
        for protocol in ["auto", "http1", "http2"] {
            let upstream = secured.upstream(&format!(", protocol: {protocol}"), NAMED);
            assert_eq!(fail(&upstream, down), no_tls(), "{protocol}, {down:?}");
        }
    }
    assert_eq!(secured.server.connections(), 0);
}

#[test]
fn a_client_certificate_is_presented_to_an_upstream_that_requires_one() {
    let callers = Authority::new();
    for alpn in ["http/1.1", "h2"] {
        let secured = Secured::start(&[alpn], Some(&callers));
        let identity = callers.issue(&["proxy"]).write(&secured.directory, "proxy");
        let tls = format!("{NAMED}, {}", files(&identity));
        let (status, text) = ask(&secured.upstream("", &tls), Speaks::Http1);
        assert_eq!(status, 200, "{text}");
        assert!(
            text.ends_with("for component.example, 1 certificates"),
            "{text}"
        );

        let stranger = Authority::new().issue(&["proxy"]);
        let stranger = stranger.write(&secured.directory, "stranger");
        let tls = format!("{NAMED}, {}", files(&stranger));
        for (tls, what) in [(NAMED, "none"), (&tls, "a stranger's")] {
            for protocol in ["auto", if alpn == "h2" { "http2" } else { "http1" }] {
                let upstream = secured.upstream(&format!(", protocol: {protocol}"), tls);
                let failed = fail(&upstream, Speaks::Http1);
                assert_eq!(failed, no_tls(), "{what}, {alpn} by {protocol}");
            }
        }
    }
}

#[test]
fn alpn_decides_the_upstreams_version_unless_it_is_configured() {
    let [one, two] = [&["http/1.1"][..], &["h2"]];
    let both = &["h2", "http/1.1"][..];
    for (offers, protocol, expected) in [
        (one, "auto", Some("HTTP/1.1")),
        (two, "auto", Some("HTTP/2.0")),
        (both, "auto", Some("HTTP/2.0")),
        (&[], "auto", Some("HTTP/1.1")),
        (both, "http1", Some("HTTP/1.1")),
        (both, "http2", Some("HTTP/2.0")),
        (one, "http2", None),
        (two, "http1", None),
    ] {
        let secured = Secured::start(offers, None);
        for down in Speaks::BOTH {
            let upstream = secured.upstream(&format!(", protocol: {protocol}"), NAMED);
            let (status, text) = ask(&upstream, down);
            let case = format!("{offers:?} under {protocol} for {down:?}: {text}");
            match expected {
                Some(version) => {
                    assert_eq!(status, 200, "{case}");
                    assert!(text.starts_with(version), "{case}");
                }
                None => assert_eq!(status, 502, "{case}"),
            }
        }
    }
}

#[test]
fn one_connection_serves_many_requests_of_both_versions_under_auto() {
    for alpn in ["http/1.1", "h2"] {
        let secured = Secured::start(&[alpn], None);
        let proxy = Proxy::start(&proxy::quiet(&secured.upstream("", NAMED), ""));
        block_on(async {
            for down in [Speaks::Http1, Speaks::Http2, Speaks::Http1] {
                let mut caller = Caller::tcp(proxy.at(0), down).await;
                for _ in 0..3 {
                    assert_eq!(caller.get("/").await.status, 200);
                }
            }
        });
        assert_eq!(secured.server.connections(), 1, "{alpn}");
    }
}

#[test]
fn a_burst_of_first_requests_makes_one_connection_under_auto() {
    let secured = Secured::start(&["h2", "http/1.1"], None);
    let proxy = Proxy::start(&proxy::quiet(&secured.upstream("", NAMED), ""));
    block_on(async {
        let mut a = Caller::tcp(proxy.at(0), Speaks::Http1).await;
        let mut b = Caller::tcp(proxy.at(0), Speaks::Http1).await;
        let mut c = Caller::tcp(proxy.at(0), Speaks::Http2).await;
        let (a, b, c) = tokio::join!(a.get("/"), b.get("/"), c.get("/"));
        assert_eq!([a.status, b.status, c.status], [200; 3]);
    });
    assert_eq!(secured.server.connections(), 1);
}
