use std::slice;

use rustls::client::ClientConnection;
use rustls::{ClientConfig, HandshakeKind};
use tokio::io::duplex;
use tokio_rustls::{TlsAcceptor, TlsConnector, client};

use super::super::testing::{Authority, TempDir};
use super::super::tls_client::{client_config, server_name};
use super::*;
use crate::listen::settings::{CertificateFiles, ClientAuth};

fn settings(certificates: &[CertificateFiles]) -> TlsSettings {
    TlsSettings {
        min_version: TlsVersion::V1_2,
        certificates: certificates.to_vec(),
        client_auth: ClientAuth::None,
    }
}

type Caller = client::TlsStream<tokio::io::DuplexStream>;

/// A handshake in memory, and a byte from the server so that tickets arrive.
async fn handshake(
    server: &Arc<ServerConfig>,
    client: &Arc<ClientConfig>,
    name: &str,
) -> std::io::Result<Caller> {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let (theirs, ours) = duplex(64 * 1024);
    let accept = async {
        let mut stream = TlsAcceptor::from(Arc::clone(server)).accept(ours).await?;
        stream.write_all(b"x").await?;
        Ok::<_, std::io::Error>(stream)
    };
    let connect = async {
        let name = server_name(name).expect("a name");
        let mut stream = TlsConnector::from(Arc::clone(client))
            .connect(name, theirs)
            .await?;
        stream.read_u8().await?;
        Ok(stream)
    };
    let (accepted, connected) = tokio::join!(accept, connect);
    connected.and_then(|stream| accepted.map(|_| stream))
}

fn session(caller: &Caller) -> &ClientConnection {
    caller.get_ref().1
}

fn leaf(files: &CertificateFiles) -> Vec<u8> {
    use rustls::pki_types::CertificateDer;
    use rustls::pki_types::pem::PemObject;
    CertificateDer::from_pem_file(&files.cert_file)
        .expect("a certificate")
        .to_vec()
}

/// Trusts whatever comes: these tests look at which certificate does.
mod trusting {
    use rustls::DigitallySignedStruct;
    use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
    use rustls::pki_types::{CertificateDer, UnixTime};

    use super::*;

    #[derive(Debug)]
    pub(super) struct Anything(pub(super) Vec<SignatureScheme>);

    impl ServerCertVerifier for Anything {
        fn verify_server_cert(
            &self,
            _leaf: &CertificateDer<'_>,
            _chain: &[CertificateDer<'_>],
            _name: &ServerName<'_>,
            _ocsp: &[u8],
            _now: UnixTime,
        ) -> Result<ServerCertVerified, rustls::Error> {
            Ok(ServerCertVerified::assertion())
        }

        fn verify_tls12_signature(
            &self,
            _message: &[u8],
            _cert: &CertificateDer<'_>,
            _signed: &DigitallySignedStruct,
        ) -> Result<HandshakeSignatureValid, rustls::Error> {
            Ok(HandshakeSignatureValid::assertion())
        }

        fn verify_tls13_signature(
            &self,
            _message: &[u8],
            _cert: &CertificateDer<'_>,
            _signed: &DigitallySignedStruct,
        ) -> Result<HandshakeSignatureValid, rustls::Error> {
            Ok(HandshakeSignatureValid::assertion())
        }

        fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
            self.0.clone()
        }
    }
}

/// A client that trusts anything signed by one of these schemes.
fn trusting(schemes: &[SignatureScheme]) -> Arc<ClientConfig> {
    let config = ClientConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()
        .expect("versions")
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(trusting::Anything(schemes.to_vec())))
        .with_no_client_auth();
    Arc::new(config)
}

#[tokio::test]
async fn sni_picks_the_certificate_and_the_first_is_the_default() {
    let authority = Authority::new();
    let default = authority.issue(&["default.test"]);
    let exact = authority.issue(&["api.example.test", "other.test"]);
    let wildcard = authority.issue(&["*.example.test"]);
    let all = [default.clone(), exact.clone(), wildcard.clone()];
    let server = server_config(&settings(&all), Protocol::Auto, None).expect("built");
    let client = trusting(&[SignatureScheme::ECDSA_NISTP256_SHA256]);
    for (name, expected) in [
        ("default.test", &default),
        ("api.example.test", &exact),
        ("API.Example.TEST", &exact),
        ("other.test", &exact),
        ("web.example.test", &wildcard),
        ("a.b.example.test", &default),
        ("example.test", &default),
        ("unknown.test", &default),
        ("127.0.0.1", &default),
    ] {
        let caller = handshake(&server, &client, name).await.expect(name);
        let presented = session(&caller).peer_certificates().expect("a chain");
        let presented = presented.first().expect("a leaf");
        assert_eq!(presented.as_ref(), leaf(expected), "{name}");
    }
}

#[test]
fn a_caller_gets_a_certificate_whose_signature_it_can_verify() {
    let authority = Authority::new();
    let name = "api.test";
    let p384 = {
        let key = rcgen::KeyPair::generate_for(&rcgen::PKCS_ECDSA_P384_SHA384).expect("a key");
        let params = rcgen::CertificateParams::new(vec![name.to_owned()]).expect("parameters");
        let certificate = params.self_signed(&key).expect("a certificate");
        let directory = TempDir::new();
        let files = CertificateFiles {
            cert_file: directory.file("c", certificate.pem()),
            key_file: directory.file("k", key.serialize_pem()),
        };
        Arc::new(certified_key(&files, &provider()).expect("loaded"))
    };
    let p256 = Arc::new(certified_key(&authority.issue(&[name]), &provider()).expect("loaded"));
    let resolver = BySni {
        certificates: vec![Arc::clone(&p256), Arc::clone(&p384)],
    };
    for (scheme, expected) in [
        (SignatureScheme::ECDSA_NISTP256_SHA256, &p256),
        (SignatureScheme::ECDSA_NISTP384_SHA384, &p384),
        (SignatureScheme::RSA_PSS_SHA256, &p256),
    ] {
        for asked in [Some(name), Some("unknown.test"), None] {
            let picked = resolver.pick(asked, &[scheme]).expect("one");
            assert!(Arc::ptr_eq(picked, expected), "{scheme:?}, {asked:?}");
        }
    }
}

#[tokio::test]
async fn alpn_follows_the_listeners_protocol() {
    let authority = Authority::new();
    let files = [authority.issue(&["localhost"])];
    for (protocol, offered, expected) in [
        (Protocol::Auto, &[HTTP2, HTTP1][..], Ok(Some(HTTP2))),
        (Protocol::Auto, &[HTTP1, HTTP2], Ok(Some(HTTP2))),
        (Protocol::Auto, &[HTTP1], Ok(Some(HTTP1))),
        (Protocol::Auto, &[], Ok(None)),
        (Protocol::Auto, &[b"h3"], Err(())),
        (Protocol::Http1, &[HTTP2, HTTP1], Ok(Some(HTTP1))),
        (Protocol::Http1, &[HTTP2], Err(())),
        (Protocol::Http2, &[HTTP2, HTTP1], Ok(Some(HTTP2))),
        (Protocol::Http2, &[HTTP1], Err(())),
    ] {
        let server = server_config(&settings(&files), protocol, None).expect("built");
        let client = client_config(Some(&authority.ca_file), None, offered).expect("built");
        let caller = handshake(&server, &client, "localhost").await;
        let agreed = caller
            .as_ref()
            .map(|caller| session(caller).alpn_protocol());
        assert_eq!(agreed.map_err(|_| ()), expected, "{protocol:?} {offered:?}");
    }
}

#[tokio::test]
async fn the_lowest_version_is_kept() {
    let authority = Authority::new();
    let files = [authority.issue(&["localhost"])];
    let old = {
        let mut roots = rustls::RootCertStore::empty();
        roots.roots.extend(
            super::super::pem::trust_anchors(&authority.ca_file)
                .expect("loaded")
                .roots,
        );
        Arc::new(
            ClientConfig::builder_with_provider(provider())
                .with_protocol_versions(&[&rustls::version::TLS12])
                .expect("versions")
                .with_root_certificates(roots)
                .with_no_client_auth(),
        )
    };
    let new = client_config(Some(&authority.ca_file), None, &[]).expect("built");
    for (min_version, client, expected) in [
        (TlsVersion::V1_2, &old, true),
        (TlsVersion::V1_2, &new, true),
        (TlsVersion::V1_3, &old, false),
        (TlsVersion::V1_3, &new, true),
    ] {
        let settings = TlsSettings {
            min_version,
            ..settings(&files)
        };
        let server = server_config(&settings, Protocol::Auto, None).expect("built");
        let done = handshake(&server, client, "localhost").await;
        assert_eq!(done.is_ok(), expected, "{min_version:?}");
    }
}

#[tokio::test]
async fn a_session_is_resumed() {
    let authority = Authority::new();
    let files = [authority.issue(&["localhost"])];
    let server = server_config(&settings(&files), Protocol::Auto, None).expect("built");
    let client = client_config(Some(&authority.ca_file), None, &[]).expect("built");
    for expected in [HandshakeKind::Full, HandshakeKind::Resumed] {
        let caller = handshake(&server, &client, "localhost").await;
        let kind = session(&caller.expect("connected")).handshake_kind();
        assert_eq!(kind, Some(expected));
    }
}

#[tokio::test]
async fn clients_verify_issuer_and_name() {
    let (ours, other) = (Authority::new(), Authority::new());
    let files = [ours.issue(&["localhost", "127.0.0.1"])];
    let server = server_config(&settings(&files), Protocol::Auto, None).expect("built");
    for (authority, name, expected) in [
        (&ours, "localhost", true),
        (&ours, "127.0.0.1", true),
        (&ours, "elsewhere", false),
        (&other, "localhost", false),
    ] {
        let client = client_config(Some(&authority.ca_file), None, &[]).expect("built");
        let done = handshake(&server, &client, name).await;
        assert_eq!(done.is_ok(), expected, "{name}");
    }
}

#[test]
fn a_key_of_another_certificate_is_found_at_load() {
    let authority = Authority::new();
    let files = CertificateFiles {
        key_file: authority.issue(&["other"]).key_file,
        ..authority.issue(&["localhost"])
    };
    let error = server_config(&settings(slice::from_ref(&files)), Protocol::Auto, None)
        .expect_err("refused");
    assert_eq!(
        error.to_string(),
        format!(
            "{}: expected the private key of the first certificate in {}, found another key",
            files.key_file.display(),
            files.cert_file.display()
        )
    );
}

#[test]
fn files_at_fault_are_named() {
    let authority = Authority::new();
    let good = authority.issue(&["localhost"]);
    let absent = CertificateFiles {
        cert_file: "/nonexistent.crt".into(),
        ..good.clone()
    };
    let swapped = CertificateFiles {
        cert_file: good.key_file.clone(),
        key_file: good.cert_file.clone(),
    };
    let keyless = CertificateFiles {
        key_file: good.cert_file.clone(),
        ..good.clone()
    };
    for (files, expected) in [
        (
            absent,
            "/nonexistent.crt: expected a PEM certificate chain, leaf first, found that it \
             can't be read: No such file or directory (os error 2)"
                .to_owned(),
        ),
        (
            swapped,
            format!(
                "{}: expected a PEM certificate chain, leaf first, found no such PEM section",
                good.key_file.display()
            ),
        ),
        (
            keyless,
            format!(
                "{}: expected an unencrypted PEM private key (PKCS#8, PKCS#1 or SEC1), found \
                 no such PEM section",
                good.cert_file.display()
            ),
        ),
    ] {
        let error = server_config(&settings(&[good.clone(), files]), Protocol::Auto, None);
        assert_eq!(error.expect_err("refused").to_string(), expected);
    }
    let none = server_config(&settings(&[]), Protocol::Auto, None).expect_err("refused");
    assert!(matches!(none, TlsError::NoCertificate));
}
