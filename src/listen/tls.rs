//! TLS towards callers.

use std::sync::Arc;

use rustls::client::verify_server_name;
use rustls::crypto::ring::Ticketer;
use rustls::pki_types::ServerName;
use rustls::server::{ClientHello, NoServerSessionStorage, ParsedCertificate, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use rustls::version::TLS13;
use rustls::{ServerConfig, SignatureScheme, SupportedProtocolVersion};

use super::client_auth::{Authorities, Possession};
pub use super::pem::TlsError;
use super::pem::{certified_key, provider};
use super::settings::{Protocol, TlsSettings, TlsVersion};

/// ALPN name of HTTP/2.
pub const HTTP2: &[u8] = b"h2";
/// ALPN name of HTTP/1.1.
pub const HTTP1: &[u8] = b"http/1.1";

/// Builds what a listener's handshakes need; call it again when files change. `clients` is what
/// [`Authorities::load`] made of `settings.client_auth`.
///
/// Sessions are resumed by tickets alone: their keys live in the returned value and rotate, and
/// no cache grows with callers or is locked by them.
///
/// # Errors
/// When a file can't be read or used, or a key isn't its certificate's.
pub fn server_config(
    settings: &TlsSettings,
    protocol: Protocol,
    clients: Option<&Arc<Authorities>>,
) -> Result<Arc<ServerConfig>, TlsError> {
    let provider = provider();
    let certificates = settings
        .certificates
        .iter()
        .map(|files| certified_key(files, &provider).map(Arc::new))
        .collect::<Result<Vec<_>, _>>()?;
    if certificates.is_empty() {
        return Err(TlsError::NoCertificate);
    }
    let builder = ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(versions(settings.min_version))
        .map_err(|error| unsupported(&error))?;
    let builder = match clients {
        Some(authorities) => {
            builder.with_client_cert_verifier(Arc::new(Possession(Arc::clone(authorities))))
        }
        None => builder.with_no_client_auth(),
    };
    let mut config = builder.with_cert_resolver(Arc::new(BySni { certificates }));
    config.alpn_protocols = alpn(protocol).iter().map(|name| name.to_vec()).collect();
    config.ticketer = Ticketer::new().map_err(|error| unsupported(&error))?;
    config.session_storage = Arc::new(NoServerSessionStorage {});
    Ok(Arc::new(config))
}

/// ALPN names a listener offers, the one it prefers first.
fn alpn(protocol: Protocol) -> &'static [&'static [u8]] {
    match protocol {
        Protocol::Auto => &[HTTP2, HTTP1],
        Protocol::Http1 => &[HTTP1],
        Protocol::Http2 => &[HTTP2],
    }
}

fn versions(lowest: TlsVersion) -> &'static [&'static SupportedProtocolVersion] {
    static ONLY_1_3: [&SupportedProtocolVersion; 1] = [&TLS13];
    match lowest {
        TlsVersion::V1_2 => rustls::ALL_VERSIONS,
        TlsVersion::V1_3 => &ONLY_1_3,
    }
}

fn unsupported(error: &rustls::Error) -> TlsError {
    TlsError::Unsupported {
        reason: error.to_string(),
    }
}

/// Picks the first certificate that is valid for the name asked for (wildcards by the rules that
/// clients apply) and whose key the caller can verify; if there is none, the first certificate.
#[derive(Debug)]
struct BySni {
    certificates: Vec<Arc<CertifiedKey>>,
}

impl BySni {
    fn pick(&self, name: Option<&str>, schemes: &[SignatureScheme]) -> Option<&Arc<CertifiedKey>> {
        let usable = || {
            self.certificates
                .iter()
                .filter(|candidate| candidate.key.choose_scheme(schemes).is_some())
        };
        let named = name
            .and_then(|name| ServerName::try_from(name).ok())
            .and_then(|name| usable().find(|candidate| is_for(candidate, &name)));
        named
            .or_else(|| usable().next())
            .or_else(|| self.certificates.first())
    }
}

impl ResolvesServerCert for BySni {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        self.pick(hello.server_name(), hello.signature_schemes())
            .cloned()
    }
}

fn is_for(candidate: &CertifiedKey, name: &ServerName<'_>) -> bool {
    candidate
        .end_entity_cert()
        .and_then(ParsedCertificate::try_from)
        .and_then(|certificate| verify_server_name(&certificate, name))
        .is_ok()
}

#[cfg(test)]
mod tests;
