//! TLS towards upstreams. Verification can't be turned off.

use std::path::Path;
use std::sync::Arc;

use rustls::pki_types::ServerName;
use rustls::sign::SingleCertAndKey;
use rustls::{ClientConfig, RootCertStore};

use super::pem::{TlsError, certified_key, provider, trust_anchors};
use super::settings::CertificateFiles;

/// Builds what handshakes with an upstream need: its trust anchors (the system's without
/// `ca_file`), the client certificate it may ask for, and the ALPN names to offer, the preferred
/// one first.
///
/// # Errors
/// When a file can't be read or used, a key isn't its certificate's, or the system trusts nobody.
pub fn client_config(
    ca_file: Option<&Path>,
    identity: Option<&CertificateFiles>,
    alpn: &[&[u8]],
) -> Result<Arc<ClientConfig>, TlsError> {
    let provider = provider();
    let roots = match ca_file {
        Some(file) => trust_anchors(file)?,
        None => system_roots()?,
    };
    let identity = identity
        .map(|files| certified_key(files, &provider))
        .transpose()?;
    let builder = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| TlsError::Unsupported {
            reason: error.to_string(),
        })?
        .with_root_certificates(roots);
    let mut config = match identity {
        Some(key) => builder.with_client_cert_resolver(Arc::new(SingleCertAndKey::from(key))),
        None => builder.with_no_client_auth(),
    };
    config.alpn_protocols = alpn.iter().map(|name| name.to_vec()).collect();
    Ok(Arc::new(config))
}

/// The name to verify and, unless it is an address, to send as SNI. One trailing dot, which
/// marks a DNS name as absolute, is dropped: certificates don't carry it.
///
/// # Errors
/// When it is neither a DNS name nor an IP address.
pub fn server_name(given: &str) -> Result<ServerName<'static>, TlsError> {
    let name = given.strip_suffix('.').unwrap_or(given);
    ServerName::try_from(name)
        .map(|name| name.to_owned())
        .map_err(|_| TlsError::ServerName {
            given: given.to_owned(),
        })
}

fn system_roots() -> Result<RootCertStore, TlsError> {
    let found = rustls_native_certs::load_native_certs();
    let mut roots = RootCertStore::empty();
    // Stores hold oddities that nobody's chain ends in; only an empty result is a fault.
    let (usable, _) = roots.add_parsable_certificates(found.certs);
    if usable == 0 {
        return Err(TlsError::NoSystemRoots {
            found: match found.errors.first() {
                Some(error) => error.to_string(),
                None => "none".to_owned(),
            },
        });
    }
    Ok(roots)
}
