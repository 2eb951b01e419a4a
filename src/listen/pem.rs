//! Certificates and keys from PEM files, and what can be wrong with them.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::CertifiedKey;
use rustls::{InconsistentKeys, RootCertStore};

use super::authority::Authority;
use super::settings::CertificateFiles;

/// TLS that can't be set up: which file, what was expected there, what was found.
#[derive(Debug)]
pub enum TlsError {
    /// A file can't be read, or doesn't hold what it should.
    File {
        /// The file.
        file: PathBuf,
        /// What it should have held.
        expected: &'static str,
        /// What was found instead.
        found: String,
    },
    /// A key is not the one that its certificate certifies.
    KeyMismatch {
        /// Certificate chain.
        cert_file: PathBuf,
        /// Private key.
        key_file: PathBuf,
    },
    /// TLS towards callers without any certificate.
    NoCertificate,
    /// The system has no usable trust anchors.
    NoSystemRoots {
        /// What its places held.
        found: String,
    },
    /// Neither a DNS name nor an IP address.
    ServerName {
        /// What was given.
        given: String,
    },
    /// The cryptography refuses the combination asked for.
    Unsupported {
        /// Its words.
        reason: String,
    },
}

impl fmt::Display for TlsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File {
                file,
                expected,
                found,
            } => write!(f, "{}: expected {expected}, found {found}", file.display()),
            Self::KeyMismatch {
                cert_file,
                key_file,
            } => write!(
                f,
                "{}: expected the private key of the first certificate in {}, found another key",
                key_file.display(),
                cert_file.display()
            ),
            Self::NoCertificate => f.write_str("expected at least one certificate, found none"),
            Self::NoSystemRoots { found } => write!(
                f,
                "expected trusted certificates in the system's store, found {found}; \
                 name a file of trusted certificates instead"
            ),
            Self::ServerName { given } => {
                write!(f, "expected a DNS name or an IP address, found {given:?}")
            }
            Self::Unsupported { reason } => write!(f, "TLS can't be set up: {reason}"),
        }
    }
}

impl std::error::Error for TlsError {}

/// The cryptography used everywhere.
pub(super) fn provider() -> Arc<CryptoProvider> {
    Arc::new(rustls::crypto::ring::default_provider())
}

/// Loads a chain and its key, and checks that they belong together.
pub(super) fn certified_key(
    files: &CertificateFiles,
    provider: &CryptoProvider,
) -> Result<CertifiedKey, TlsError> {
    const CHAIN: &str = "a PEM certificate chain, leaf first";
    const KEY: &str = "an unencrypted PEM private key (PKCS#8, PKCS#1 or SEC1)";
    let chain = certificates(&files.cert_file, CHAIN)?;
    let key = PrivateKeyDer::from_pem_file(&files.key_file)
        .map_err(|error| unreadable(&files.key_file, KEY, error))?;
    let key = provider
        .key_provider
        .load_private_key(key)
        .map_err(|error| unusable(&files.key_file, KEY, &error))?;
    let certified = CertifiedKey::new(chain, key);
    match certified.keys_match() {
        Ok(()) | Err(rustls::Error::InconsistentKeys(InconsistentKeys::Unknown)) => Ok(certified),
        Err(rustls::Error::InconsistentKeys(_)) => Err(TlsError::KeyMismatch {
            cert_file: files.cert_file.clone(),
            key_file: files.key_file.clone(),
        }),
        Err(error) => Err(unusable(&files.cert_file, CHAIN, &error)),
    }
}

/// Loads trust anchors; every certificate of the file must be usable.
pub(super) fn trust_anchors(file: &Path) -> Result<RootCertStore, TlsError> {
    const ANCHORS: &str = "trusted certificates in PEM";
    anchors(file, ANCHORS, certificates(file, ANCHORS)?)
}

fn anchors(
    file: &Path,
    expected: &'static str,
    certificates: Vec<CertificateDer<'static>>,
) -> Result<RootCertStore, TlsError> {
    let mut roots = RootCertStore::empty();
    for certificate in certificates {
        roots
            .add(certificate)
            .map_err(|error| unusable(file, expected, &error))?;
    }
    Ok(roots)
}

/// Loads who may issue certificates to callers, and what binds each of them, in one order.
pub(super) fn authorities(file: &Path) -> Result<(RootCertStore, Vec<Authority>), TlsError> {
    const AUTHORITIES: &str = "certificates of authorities in PEM";
    let certificates = certificates(file, AUTHORITIES)?;
    let mut bounds = Vec::with_capacity(certificates.len());
    for (index, certificate) in certificates.iter().enumerate() {
        let authority = Authority::parse(certificate).map_err(|error| TlsError::File {
            file: file.to_owned(),
            expected: AUTHORITIES,
            found: format!("that certificate {} {error}", index + 1),
        })?;
        bounds.push(authority);
    }
    Ok((anchors(file, AUTHORITIES, certificates)?, bounds))
}

/// Every certificate of a file; at least one.
///
/// # Errors
/// When the file can't be read, or holds something else.
pub fn certificates(
    file: &Path,
    expected: &'static str,
) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let found: Vec<_> = CertificateDer::pem_file_iter(file)
        .and_then(Iterator::collect)
        .map_err(|error| unreadable(file, expected, error))?;
    if found.is_empty() {
        return Err(unreadable(file, expected, pem::Error::NoItemsFound));
    }
    Ok(found)
}

fn unreadable(file: &Path, expected: &'static str, error: pem::Error) -> TlsError {
    let found = match error {
        pem::Error::Io(error) => format!("that it can't be read: {error}"),
        pem::Error::NoItemsFound => "no such PEM section".to_owned(),
        other => format!("broken PEM: {other}"),
    };
    TlsError::File {
        file: file.to_owned(),
        expected,
        found,
    }
}

fn unusable(file: &Path, expected: &'static str, error: &rustls::Error) -> TlsError {
    TlsError::File {
        file: file.to_owned(),
        expected,
        found: format!("one that can't be used: {error}"),
    }
}
