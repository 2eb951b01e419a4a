//! Directories of a test's own, and certificates in files.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair, KeyUsagePurpose,
};
use rustls::RootCertStore;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};

/// An empty directory, removed with all it holds when dropped. Its path is short enough for
/// unix sockets.
pub struct TempDir(PathBuf);

impl TempDir {
    /// A new one.
    pub fn new() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let name = format!("tracegate-e2e-{}-{number}", std::process::id());
        let path = std::env::temp_dir().join(name);
        fs::create_dir(&path).expect("a new directory");
        Self(path)
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.0
    }

    /// Path of something in it.
    pub fn join(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    /// Writes a file and returns its path.
    pub fn file(&self, name: &str, content: impl AsRef<[u8]>) -> PathBuf {
        let path = self.0.join(name);
        fs::write(&path, content).expect("a written file");
        path
    }
}

impl Drop for TempDir {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// A certificate and its key.
pub struct Issued {
    /// PEM.
    pub cert: String,
    /// PEM.
    pub key: String,
}

impl Issued {
    /// As rustls takes it.
    pub fn der(&self) -> (Vec<CertificateDer<'static>>, PrivateKeyDer<'static>) {
        let chain: Result<_, _> = CertificateDer::pem_slice_iter(self.cert.as_bytes()).collect();
        let key = PrivateKeyDer::from_pem_slice(self.key.as_bytes()).expect("a key");
        (chain.expect("certificates"), key)
    }

    /// The same with the certificate of whoever issued it beside it.
    pub fn with(mut self, issuer: &Authority) -> Self {
        self.cert.push_str(&issuer.pem());
        self
    }

    /// Writes both next to each other; returns their paths, the certificate's first.
    pub fn write(&self, directory: &TempDir, stem: &str) -> (PathBuf, PathBuf) {
        (
            directory.file(&format!("{stem}.crt"), &self.cert),
            directory.file(&format!("{stem}.key"), &self.key),
        )
    }
}

/// A certificate authority.
pub struct Authority(CertifiedIssuer<'static, KeyPair>);

impl Authority {
    /// A new one.
    pub fn new() -> Self {
        Self::of(Self::params())
    }

    /// What one's certificate says.
    pub fn params() -> CertificateParams {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
        let name = &mut params.distinguished_name;
        name.push(DnType::CommonName, "authority of a test");
        params
    }

    /// One whose own certificate says this.
    pub fn of(params: CertificateParams) -> Self {
        let key = KeyPair::generate().expect("a key");
        Self(CertifiedIssuer::self_signed(params, key).expect("a certificate"))
    }

    /// One that this one vouches for.
    pub fn between(&self, params: CertificateParams) -> Self {
        let key = KeyPair::generate().expect("a key");
        Self(CertifiedIssuer::signed_by(params, key, &self.0).expect("a certificate"))
    }

    /// A certificate of the same name and key, PEM.
    pub fn renewed(&self) -> String {
        let renewed = Self::params().self_signed(self.0.key());
        renewed.expect("a certificate").pem()
    }

    /// Its own certificate, PEM.
    pub fn pem(&self) -> String {
        self.0.pem()
    }

    /// Issues a certificate for these DNS names or addresses.
    pub fn issue(&self, names: &[&str]) -> Issued {
        let names: Vec<String> = names.iter().map(|&name| name.to_owned()).collect();
        self.sign(CertificateParams::new(names).expect("names"))
    }

    /// Issues any certificate.
    pub fn sign(&self, params: CertificateParams) -> Issued {
        let key = KeyPair::generate().expect("a key");
        let certificate = params.signed_by(&key, &self.0).expect("a certificate");
        Issued {
            cert: certificate.pem(),
            key: key.serialize_pem(),
        }
    }

    /// Who trusts it.
    pub fn roots(&self) -> RootCertStore {
        let mut roots = RootCertStore::empty();
        let own = CertificateDer::from_pem_slice(self.pem().as_bytes()).expect("a certificate");
        roots.add(own).expect("an anchor");
        roots
    }
}
