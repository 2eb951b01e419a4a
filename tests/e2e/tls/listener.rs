//! TLS towards callers: names, versions, protocols.

use super::{Hello, files, shake};
use crate::caller::{Speaks, block_on};
use crate::component::Component;
use crate::files::{Authority, TempDir};
use crate::proxy::{self, Proxy};

/// A component behind a listener with two certificates.
struct Setup {
    authority: Authority,
    certificates: [Vec<u8>; 2],
    component: Component,
    proxy: Proxy,
    _directory: TempDir,
}

impl Setup {
    /// `tls` are more keys of `tls`, `more` more keys of the listener.
    fn start(tls: &str, more: &str) -> Self {
        let (authority, directory) = (Authority::new(), TempDir::new());
        let issued = [
            authority.issue(&["a.example", "127.0.0.1"]),
            authority.issue(&["b.example", "*.b.example"]),
        ];
        let [a, b] = [&issued[0], &issued[1]];
        let (a, b) = (a.write(&directory, "a"), b.write(&directory, "b"));
        let component = Component::start();
        let upstream = format!("{{url: \"{}\"}}", component.url());
        let more = format!(
            "  tls: {{certificates: [{{{}}}, {{{}}}]{tls}}}\n{more}",
            files(&a),
            files(&b)
        );
        Self {
            certificates: issued.map(|issued| issued.der().0[0].to_vec()),
            proxy: Proxy::start(&proxy::quiet(&upstream, &more)),
            authority,
            component,
            _directory: directory,
        }
    }

    async fn shake(&self, hello: Hello) -> std::io::Result<super::Settled> {
        shake(self.proxy.at(0), &self.authority, hello).await
    }
}

#[test]
fn the_name_a_caller_asks_for_picks_the_certificate() {
    let setup = Setup::start("", "");
    block_on(async {
        for (name, expected) in [
            ("a.example", 0),
            ("b.example", 1),
            ("x.b.example", 1),
            // An address is no name to ask for: the first certificate is the default.
            ("127.0.0.1", 0),
        ] {
            let hello = Hello {
                name,
                ..Hello::USUAL
            };
            let mut settled = setup.shake(hello).await.expect("a handshake");
            let certificate = settled.certificate.to_vec();
            assert!(certificate == setup.certificates[expected], "{name}");
            assert_eq!(settled.caller.get("/").await.status, 200, "{name}");
        }
    });
    let seen = setup.component.wait_for(4);
    assert_eq!(seen[0].value("x-forwarded-proto").as_deref(), Some("https"));
}

#[test]
fn alpn_decides_the_version_and_without_it_http1_is_spoken() {
    let setup = Setup::start("", "");
    block_on(async {
        for (alpn, expected) in [
            (&["h2", "http/1.1"][..], Speaks::Http2),
            (&["http/1.1", "h2"], Speaks::Http2),
            (&["http/1.1"], Speaks::Http1),
            (&["h2"], Speaks::Http2),
            (&[], Speaks::Http1),
        ] {
            let hello = Hello {
                alpn,
                ..Hello::USUAL
            };
            let mut settled = setup.shake(hello).await.expect("a handshake");
            assert_eq!(settled.speaks, expected, "{alpn:?}");
            assert_eq!(settled.caller.get("/").await.status, 200, "{alpn:?}");
            let seen = setup.component.seen().pop().expect("a request");
            assert_eq!(seen.version, expected.version(), "{alpn:?}");
        }
    });
}

#[test]
fn a_listener_of_one_version_offers_that_one_alone() {
    for (protocol, alpn, refused) in [("http1", "http/1.1", "h2"), ("http2", "h2", "http/1.1")] {
        let setup = Setup::start("", &format!("  protocol: {protocol}\n"));
        block_on(async {
            let settled = setup.shake(Hello::USUAL).await.expect("a handshake");
            assert_eq!(settled.speaks.name(), protocol);
            let only: &[&str] = if refused == "h2" {
                &["h2"]
            } else {
                &["http/1.1"]
            };
            let hello = Hello {
                alpn: only,
                ..Hello::USUAL
            };
            assert!(setup.shake(hello).await.is_err(), "{refused} after {alpn}");
        });
    }
}

#[test]
fn tls_1_2_is_served_unless_the_minimum_is_higher() {
    const OLD: Hello = Hello {
        versions: &[&rustls::version::TLS12],
        ..Hello::USUAL
    };
    let setup = Setup::start("", "");
    block_on(async {
        let mut settled = setup.shake(OLD).await.expect("a handshake");
        assert_eq!(settled.version, rustls::ProtocolVersion::TLSv1_2);
        assert_eq!(settled.caller.get("/").await.status, 200);
        let settled = setup.shake(Hello::USUAL).await.expect("a handshake");
        assert_eq!(settled.version, rustls::ProtocolVersion::TLSv1_3);
    });
    let setup = Setup::start(", minVersion: \"1.3\"", "");
    block_on(async {
        assert!(setup.shake(OLD).await.is_err());
        let mut settled = setup.shake(Hello::USUAL).await.expect("a handshake");
        assert_eq!(settled.version, rustls::ProtocolVersion::TLSv1_3);
        assert_eq!(settled.caller.get("/").await.status, 200);
    });
}

#[test]
fn a_caller_without_tls_gets_nothing_from_a_tls_listener() {
    let setup = Setup::start("", "");
    let answer = crate::wire::exchange(
        setup.proxy.at(0),
        "GET / HTTP/1.1\r\nHost: example.com\r\nConnection: close\r\n\r\n",
    );
    assert!(!answer.contains("HTTP/1.1"), "{answer}");
    assert!(setup.component.seen().is_empty());
}
