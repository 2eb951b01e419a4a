//! Certificates of callers: possession is proved in the handshake, the chain is judged later.
//!
//! A chain that verifies now may have expired by the next request, a resumed session brings the
//! chain of the session it resumes, and the file of authorities may change meanwhile. So the
//! handshake asks only whether the caller has the private key, and [`Authorities::verify`] is
//! asked about the chain when it matters. Revocation isn't looked at.

use std::sync::Arc;

use rustls::client::danger::HandshakeSignatureValid;
use rustls::pki_types::{CertificateDer, UnixTime};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::server::{ParsedCertificate, WebPkiClientVerifier};
use rustls::{CertificateError, DigitallySignedStruct, DistinguishedName, Error, SignatureScheme};

use super::pem::{TlsError, provider, trust_anchors};
use super::settings::ClientAuth;

/// The most certificates a caller may present, its own included.
const MOST_CERTIFICATES: usize = 10;

/// The most bytes they may have together: sessions to resume carry them along.
const MOST_BYTES: usize = 32 * 1024;

/// Whose certificates callers may present; made anew when files change.
#[derive(Debug)]
pub struct Authorities {
    chain: Arc<dyn ClientCertVerifier>,
    required: bool,
}

impl Authorities {
    /// Loads the authorities; `None` if callers aren't asked for certificates.
    ///
    /// # Errors
    /// When the file can't be read or holds a certificate that can't be used.
    pub fn load(settings: &ClientAuth) -> Result<Option<Arc<Self>>, TlsError> {
        let (ca_file, required) = match settings {
            ClientAuth::None => return Ok(None),
            ClientAuth::Request { ca_file } => (ca_file, false),
            ClientAuth::Require { ca_file } => (ca_file, true),
        };
        let anchors = Arc::new(trust_anchors(ca_file)?);
        let chain = WebPkiClientVerifier::builder_with_provider(anchors, provider())
            .build()
            .map_err(|error| TlsError::Unsupported {
                reason: error.to_string(),
            })?;
        Ok(Some(Arc::new(Self { chain, required })))
    }

    /// Whether callers must have a certificate that verifies.
    pub const fn required(&self) -> bool {
        self.required
    }

    /// Whether the chain, the caller's own certificate first, leads to one of the authorities, is
    /// meant for clients and is valid at that time.
    ///
    /// # Errors
    /// Why not.
    pub fn verify(&self, chain: &[CertificateDer<'_>], now: UnixTime) -> Result<(), Error> {
        let (own, intermediates) = chain.split_first().ok_or(Error::NoCertificatesPresented)?;
        let verified = self.chain.verify_client_cert(own, intermediates, now);
        verified.map(|_| ())
    }
}

/// What a handshake asks of a caller's certificate.
#[derive(Debug)]
pub(super) struct Possession(pub(super) Arc<Authorities>);

impl ClientCertVerifier for Possession {
    fn client_auth_mandatory(&self) -> bool {
        self.0.required
    }

    /// Callers withhold certificates of other authorities (RFC 8446, section 4.2.4).
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        self.0.chain.root_hint_subjects()
    }

    /// Any certificate that can be read will do, from anybody and at any time.
    fn verify_client_cert(
        &self,
        own: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        _now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        let bytes: usize = intermediates.iter().map(|c| c.len()).sum();
        if intermediates.len() >= MOST_CERTIFICATES || bytes + own.len() > MOST_BYTES {
            return Err(CertificateError::BadEncoding.into());
        }
        ParsedCertificate::try_from(own)?;
        Ok(ClientCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.0.chain.verify_tls12_signature(message, cert, signed)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.0.chain.verify_tls13_signature(message, cert, signed)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.chain.supported_verify_schemes()
    }
}

#[cfg(test)]
mod tests;
