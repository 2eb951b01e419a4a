//! Certificates of callers: possession is proved in the handshake, the chain is judged later.
//!
//! A chain that verifies now may have expired by the next request, a resumed session brings the
//! chain of the session it resumes, and the file of authorities may change meanwhile. So the
//! handshake asks only whether the caller has the private key, and [`Authorities::verify`] is
//! asked about the chain when it matters, the authority it ends in included. Revocation isn't
//! looked at.

use std::sync::Arc;

use rustls::client::danger::HandshakeSignatureValid;
use rustls::crypto::WebPkiSupportedAlgorithms;
use rustls::pki_types::{CertificateDer, UnixTime};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::server::{ParsedCertificate, WebPkiClientVerifier};
use rustls::{
    CertificateError, DigitallySignedStruct, DistinguishedName, Error, RootCertStore,
    SignatureScheme,
};
use webpki::{EndEntityCert, KeyUsage, VerifiedPath};

use super::authority::{Authority, Validity};
use super::pem::{self, TlsError, provider};
use super::settings::ClientAuth;

/// The most certificates a caller may present, its own included.
const MOST_CERTIFICATES: usize = 10;

/// The most bytes they may have together: sessions to resume carry them along.
const MOST_BYTES: usize = 32 * 1024;

/// Whose certificates callers may present; made anew when files change.
#[derive(Debug)]
pub struct Authorities {
    handshake: Arc<dyn ClientCertVerifier>,
    algorithms: WebPkiSupportedAlgorithms,
    anchors: Arc<RootCertStore>,
    /// What binds them, one for each anchor.
    bounds: Box<[Authority]>,
    turns: Box<[u64]>,
    required: bool,
}

impl Authorities {
    /// Loads the authorities; `None` if callers aren't asked for certificates.
    ///
    /// # Errors
    /// When the file can't be read or holds a certificate that is no authority's. One that has
    /// expired is none: files hold them while authorities are replaced.
    pub fn load(settings: &ClientAuth) -> Result<Option<Arc<Self>>, TlsError> {
        let (ca_file, required) = match settings {
            ClientAuth::None => return Ok(None),
            ClientAuth::Request { ca_file } => (ca_file, false),
            ClientAuth::Require { ca_file } => (ca_file, true),
        };
        let (anchors, bounds) = pem::authorities(ca_file)?;
        let anchors = Arc::new(anchors);
        let provider = provider();
        let algorithms = provider.signature_verification_algorithms;
        let handshake = WebPkiClientVerifier::builder_with_provider(Arc::clone(&anchors), provider)
            .build()
            .map_err(|error| TlsError::Unsupported {
                reason: error.to_string(),
            })?;
        let validities = bounds.iter().map(|authority| authority.validity);
        Ok(Some(Arc::new(Self {
            handshake,
            algorithms,
            anchors,
            turns: validities.flat_map(Validity::turns).collect(),
            bounds: bounds.into(),
            required,
        })))
    }

    /// Seconds since the Unix epoch at which one of them begins or ceases to be valid.
    pub fn turns(&self) -> &[u64] {
        &self.turns
    }

    /// Whether callers must have a certificate that verifies.
    pub const fn required(&self) -> bool {
        self.required
    }

    /// Whether the chain, the caller's own certificate first, leads to one of the authorities, is
    /// meant for clients and is valid at that time, as that authority is. Of several with one name
    /// and key, as of a renewed one, any will do.
    ///
    /// # Errors
    /// Why not.
    pub fn verify(&self, chain: &[CertificateDer<'_>], now: UnixTime) -> Result<(), webpki::Error> {
        let (own, between) = chain.split_first().ok_or(webpki::Error::UnknownIssuer)?;
        let own = EndEntityCert::try_from(own)?;
        let verified = own.verify_for_usage(
            self.algorithms.all,
            &self.anchors.roots,
            between,
            now,
            KeyUsage::client_auth(),
            None,
            Some(&|path: &VerifiedPath<'_>| self.vouch(path, now)),
        );
        verified.map(|_| ())
    }

    /// What webpki doesn't ask: whether those who issued may, by their own certificates.
    fn vouch(&self, path: &VerifiedPath<'_>, now: UnixTime) -> Result<(), webpki::Error> {
        let mut below = 0;
        for between in path.intermediate_certificates() {
            Authority::parse(&between.der()).map_err(|_| webpki::Error::EndEntityUsedAsCa)?;
            below += 1;
        }
        let mut verdict = Err(webpki::Error::UnknownIssuer);
        for (anchor, bounds) in self.anchors.roots.iter().zip(&self.bounds) {
            if anchor == path.anchor() && verdict.is_err() {
                verdict = bounds.check(below, now);
            }
        }
        verdict
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
        self.0.handshake.root_hint_subjects()
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
        self.0
            .handshake
            .verify_tls12_signature(message, cert, signed)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.0
            .handshake
            .verify_tls13_signature(message, cert, signed)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.handshake.supported_verify_schemes()
    }
}

#[cfg(test)]
mod tests;
