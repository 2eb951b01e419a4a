//! What a cluster's certificates are made of, in files: `{name}.crt` and `{name}.key`.

use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DistinguishedName, DnType,
    ExtendedKeyUsagePurpose, IsCa, KeyPair, KeyUsagePurpose, date_time_ymd,
};

/// The name a front proxy has to have.
pub const FRONT_PROXY: &str = "front-proxy-client";

/// Kubernetes' own attribute for a user's id, and alice's.
const UID_ATTRIBUTE: &[u64] = &[1, 3, 6, 1, 4, 1, 57683, 2];
pub const UID: &str = "a-uid/of alice's";

/// A cluster's authorities and what they have issued.
pub struct Pki {
    folder: PathBuf,
}

impl Pki {
    /// Makes everything: the apiserver's certificate, a front proxy's, users', the key for service
    /// accounts.
    pub fn new(folder: PathBuf) -> Self {
        std::fs::create_dir_all(&folder).expect("a folder");
        let pki = Self { folder };
        let cluster = authority("kubernetes");
        let front_proxies = authority("front-proxy-ca");
        pki.write("ca.crt", &cluster.pem());
        pki.write("front-proxy-ca.crt", &front_proxies.pem());
        pki.issue("apiserver", &cluster, server());
        pki.issue(
            "front-proxy-client",
            &front_proxies,
            client(FRONT_PROXY, None),
        );
        pki.issue(
            "admin",
            &cluster,
            client("kubernetes-admin", Some("system:masters")),
        );
        for (stem, uid) in [("alice", UID), ("empty-uid", "")] {
            let mut alice = client("alice", Some("dev"));
            let attribute = DnType::CustomDnType(UID_ATTRIBUTE.to_vec());
            alice.distinguished_name.push(attribute, uid);
            pki.issue(stem, &cluster, alice);
        }
        pki.issue("zoë", &cluster, client("zoë", Some("dev, and more")));
        pki.issue("carol", &cluster, client("carol", Some("guests")));
        let mut expired = client("alice", Some("dev"));
        let end = SystemTime::now() - Duration::from_secs(3600);
        let end = end.duration_since(SystemTime::UNIX_EPOCH).expect("later");
        expired.not_after = date_time_ymd(1970, 1, 1) + Duration::from_secs(end.as_secs());
        pki.issue("expired", &cluster, expired);
        let accounts = KeyPair::generate().expect("a key");
        pki.write("service-accounts.key", &accounts.serialize_pem());
        pki.write("service-accounts.pub", &accounts.public_key_pem());
        pki
    }

    /// The folder.
    pub fn path(&self) -> &Path {
        &self.folder
    }

    /// A file in it.
    pub fn file(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    fn write(&self, name: &str, text: &str) {
        std::fs::write(self.file(name), text).expect("a written file");
    }

    fn issue(&self, stem: &str, by: &CertifiedIssuer<'_, KeyPair>, params: CertificateParams) {
        let key = KeyPair::generate().expect("a key");
        let certificate = params.signed_by(&key, by).expect("a certificate");
        self.write(&format!("{stem}.crt"), &certificate.pem());
        self.write(&format!("{stem}.key"), &key.serialize_pem());
    }
}

fn authority(name: &str) -> CertifiedIssuer<'static, KeyPair> {
    let mut params = named(name, None);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![
        KeyUsagePurpose::KeyCertSign,
        KeyUsagePurpose::DigitalSignature,
    ];
    let key = KeyPair::generate().expect("a key");
    CertifiedIssuer::self_signed(params, key).expect("a certificate")
}

/// Of the apiserver, and of whoever stands in front of it.
fn server() -> CertificateParams {
    let names = [
        "127.0.0.1",
        "10.0.0.1",
        "localhost",
        "kubernetes.default.svc",
    ];
    let names = names.map(str::to_owned).to_vec();
    let mut params = CertificateParams::new(names).expect("names");
    params.distinguished_name = named("kube-apiserver", None).distinguished_name;
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    params
}

fn client(name: &str, group: Option<&str>) -> CertificateParams {
    let mut params = named(name, group);
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
    params
}

fn named(name: &str, group: Option<&str>) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, name);
    if let Some(group) = group {
        let subject = &mut params.distinguished_name;
        subject.push(DnType::OrganizationName, group);
    }
    params
}
