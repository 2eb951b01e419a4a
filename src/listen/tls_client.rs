//! TLS towards upstreams. Verification can't be turned off.

use std::path::Path;
use std::sync::Arc;

use rustls::pki_types::{CertificateDer, ServerName};
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
    roots_of(found.certs, found.errors.first())
}

/// Stores hold oddities that nobody's chain ends in; only an empty result is a fault.
fn roots_of(
    found: Vec<CertificateDer<'static>>,
    fault: Option<&impl ToString>,
) -> Result<RootCertStore, TlsError> {
    let mut roots = RootCertStore::empty();
    let (usable, _) = roots.add_parsable_certificates(found);
    if usable == 0 {
        return Err(TlsError::NoSystemRoots {
            found: fault.map_or_else(|| "none".to_owned(), ToString::to_string),
        });
    }
    Ok(roots)
}

#[cfg(test)]
mod tests {
    use super::super::testing::{Authority, TempDir};
    use super::*;

    #[test]
    fn the_preferred_alpn_name_comes_first() {
        let authority = Authority::new();
        let config =
            client_config(Some(&authority.ca_file), None, &[b"h2", b"http/1.1"]).expect("built");
        assert_eq!(config.alpn_protocols, [&b"h2"[..], b"http/1.1"]);
        assert!(!config.client_auth_cert_resolver.has_certs());
    }

    #[test]
    fn an_identity_is_presented() {
        let authority = Authority::new();
        let identity = authority.issue(&["proxy"]);
        let config = client_config(Some(&authority.ca_file), Some(&identity), &[]).expect("built");
        assert!(config.client_auth_cert_resolver.has_certs());
    }

    #[test]
    fn files_at_fault_are_named() {
        let directory = TempDir::new();
        let empty = directory.file("ca.pem", "no certificate in here\n");
        let error = client_config(Some(&empty), None, &[]).expect_err("refused");
        assert_eq!(
            error.to_string(),
            format!(
                "{}: expected trusted certificates in PEM, found no such PEM section",
                empty.display()
            )
        );

        let broken = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
        let broken = directory.file("broken.pem", broken);
        let text = client_config(Some(&broken), None, &[])
            .expect_err("refused")
            .to_string();
        let begins = format!(
            "{}: expected trusted certificates in PEM, found one that can't be used: ",
            broken.display()
        );
        assert!(text.starts_with(&begins), "{text}");

        let authority = Authority::new();
        let identity = CertificateFiles {
            key_file: directory.path().join("absent.key"),
            ..authority.issue(&["proxy"])
        };
        let text = client_config(Some(&authority.ca_file), Some(&identity), &[])
            .expect_err("refused")
            .to_string();
        assert_eq!(
            text,
            format!(
                "{}: expected an unencrypted PEM private key (PKCS#8, PKCS#1 or SEC1), \
                 found that it can't be read: No such file or directory (os error 2)",
                identity.key_file.display()
            )
        );
    }

    #[test]
    fn one_usable_certificate_of_the_system_is_enough_and_none_is_a_fault() {
        use rustls::pki_types::pem::PemObject;
        let odd = CertificateDer::from(vec![1, 2, 3]);
        let good = CertificateDer::from_pem_file(Authority::new().ca_file).expect("loaded");
        let roots = roots_of(vec![odd.clone(), good], Some(&"unreadable")).expect("one");
        assert_eq!(roots.len(), 1);
        for (fault, found) in [(None, "none"), (Some(&"unreadable"), "unreadable")] {
            let error = roots_of(vec![odd.clone()], fault).expect_err("nothing usable");
            assert_eq!(
                error.to_string(),
                format!(
                    "expected trusted certificates in the system's store, found {found}; \
                     name a file of trusted certificates instead"
                )
            );
        }
    }

    #[test]
    fn server_names_are_dns_names_or_addresses() {
        for (given, expected) in [
            ("etcd.kube-system.svc", Some("etcd.kube-system.svc")),
            ("etcd.kube-system.svc.", Some("etcd.kube-system.svc")),
            ("10.0.0.1", Some("10.0.0.1")),
            ("::1", Some("::1")),
            ("", None),
            (".", None),
            ("a..b", None),
            ("host:443", None),
            ("[::1]", None),
            ("sp ace", None),
        ] {
            let name = server_name(given).map(|name| name.to_str().into_owned());
            assert_eq!(name.as_deref().ok(), expected, "{given}");
        }
        let error = server_name("a..b").expect_err("refused");
        assert_eq!(
            error.to_string(),
            r#"expected a DNS name or an IP address, found "a..b""#
        );
    }
}
