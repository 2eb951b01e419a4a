//! TLS towards collectors: a configured CA or the system's, and a client certificate if given.

use std::path::Path;
use std::sync::Arc;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ClientConfig, RootCertStore};
use tonic::transport::{Certificate, ClientTlsConfig, Identity};

use crate::export::BuildError;
use crate::export::settings::Tls;

/// The files in question, for messages.
pub(super) fn describe(tls: &Tls) -> String {
    let ca = tls.ca_file.as_deref();
    let identity = tls.identity.iter().flat_map(|(cert, key)| [cert, key]);
    let files: Vec<_> = ca
        .into_iter()
        .chain(identity.map(AsRef::as_ref))
        .map(|path| path.display().to_string())
        .collect();
    if files.is_empty() {
        "system roots".to_owned()
    } else {
        files.join(", ")
    }
}

fn fault(path: &Path, reason: impl ToString) -> BuildError {
    BuildError::Tls {
        file: path.display().to_string(),
        reason: reason.to_string(),
    }
}

fn read(path: &Path) -> Result<Vec<u8>, BuildError> {
    std::fs::read(path).map_err(|error| fault(path, error))
}

/// Certificates of a PEM file, at least one.
fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, BuildError> {
    let certificates = CertificateDer::pem_slice_iter(&read(path)?)
        .collect::<Result<Vec<_>, _>>()
        .map_err(|error| fault(path, error))?;
    if certificates.is_empty() {
        return Err(fault(path, "expected at least one PEM certificate"));
    }
    Ok(certificates)
}

/// For a tonic channel. The files are checked here, so that faults name them.
pub(super) fn for_tonic(tls: &Tls) -> Result<ClientTlsConfig, BuildError> {
    // Verifies everything the same way, with messages that name the file.
    for_rustls(tls, true)?;
    let mut config = ClientTlsConfig::new();
    config = match &tls.ca_file {
        Some(path) => config.ca_certificate(Certificate::from_pem(read(path)?)),
        None => config.with_native_roots(),
    };
    if let Some((cert, key)) = &tls.identity {
        config = config.identity(Identity::from_pem(read(cert)?, read(key)?));
    }
    Ok(config)
}

/// For the HTTP client; without `needed` nothing is read, and nothing trusted.
pub(super) fn for_rustls(tls: &Tls, needed: bool) -> Result<ClientConfig, BuildError> {
    let roots = if needed {
        roots(tls)?
    } else {
        RootCertStore::empty()
    };
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| BuildError::Tls {
            file: describe(tls),
            reason: error.to_string(),
        })?
        .with_root_certificates(roots);
    match &tls.identity {
        Some((cert, key)) if needed => {
            let chain = certificates(cert)?;
            let secret =
                PrivateKeyDer::from_pem_slice(&read(key)?).map_err(|error| fault(key, error))?;
            builder
                .with_client_auth_cert(chain, secret)
                .map_err(|error| fault(cert, error))
        }
        _ => Ok(builder.with_no_client_auth()),
    }
}

fn roots(tls: &Tls) -> Result<RootCertStore, BuildError> {
    let mut roots = RootCertStore::empty();
    if let Some(path) = &tls.ca_file {
        for certificate in certificates(path)? {
            roots.add(certificate).map_err(|error| fault(path, error))?;
        }
    } else {
        roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    }
    if roots.is_empty() {
        return Err(BuildError::Tls {
            file: describe(tls),
            reason: "no trust anchors found; name a CA file".to_owned(),
        });
    }
    Ok(roots)
}
