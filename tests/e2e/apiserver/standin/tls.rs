//! The server's handshakes: any certificate is asked for and none fails, as with Go's
//! `tls.RequestClientCert`.

use std::sync::Arc;

use rustls::client::danger::HandshakeSignatureValid;
use rustls::crypto::{self, CryptoProvider};
use rustls::pki_types::{CertificateDer, UnixTime};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::{
    DigitallySignedStruct, DistinguishedName, Error, ServerConfig, ServerConnection,
    SignatureScheme,
};

use super::super::pki::Pki;
use crate::tls::provider;

/// Its side of handshakes.
pub fn config(pki: &Pki) -> Arc<ServerConfig> {
    let (chain, key) = pki.serving.issue(&[Pki::NAME]).der();
    let mut hints = pki.clients.roots().subjects();
    hints.extend(pki.front_proxies.roots().subjects());
    let asks = Arc::new(Asks {
        provider: provider(),
        hints,
    });
    let mut config = ServerConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_client_cert_verifier(asks)
        .with_single_cert(chain, key)
        .expect("a certificate");
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Arc::new(config)
}

/// What the peer has presented.
pub fn presented(session: &ServerConnection) -> Arc<[CertificateDer<'static>]> {
    let presented = session.peer_certificates().unwrap_or_default();
    presented.iter().cloned().collect()
}

/// Asks for a certificate, and for nothing but the proof that the peer has its key.
#[derive(Debug)]
struct Asks {
    provider: Arc<CryptoProvider>,
    /// Names of the authorities for clients and of that for front proxies.
    hints: Vec<DistinguishedName>,
}

impl ClientCertVerifier for Asks {
    fn client_auth_mandatory(&self) -> bool {
        false
    }

    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &self.hints
    }

    fn verify_client_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        Ok(ClientCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let known = &self.provider.signature_verification_algorithms;
        crypto::verify_tls12_signature(message, certificate, signed, known)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let known = &self.provider.signature_verification_algorithms;
        crypto::verify_tls13_signature(message, certificate, signed, known)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        let known = &self.provider.signature_verification_algorithms;
        known.supported_schemes()
    }
}
