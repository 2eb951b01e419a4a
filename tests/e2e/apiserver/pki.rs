//! A cluster's authorities: for servers, for clients, for front proxies.

use std::path::PathBuf;

use rcgen::{CertificateParams, DistinguishedName, DnType};

use crate::files::{Authority, Issued, TempDir};

/// User ids in certificates of Kubernetes clients.
const UID: &[u64] = &[1, 3, 6, 1, 4, 1, 57683, 2];

/// The authorities, and files of them.
pub struct Pki {
    /// Of servers' certificates.
    pub serving: Authority,
    /// `--client-ca-file`.
    pub clients: Authority,
    /// `--requestheader-client-ca-file`.
    pub front_proxies: Authority,
    /// What of it is in files.
    pub directory: TempDir,
}

impl Pki {
    /// What servers' certificates are for.
    pub const NAME: &str = "a.example";

    /// The only name front proxies may have: `--requestheader-allowed-names`.
    pub const FRONT_PROXY: &str = "front-proxy-client";

    /// A new one.
    pub fn new() -> Self {
        let [serving, clients, front_proxies] = [(); 3].map(|()| Authority::new());
        let directory = TempDir::new();
        directory.file("serving-ca.pem", serving.pem());
        directory.file("clients-ca.pem", clients.pem());
        serving.issue(&[Self::NAME]).write(&directory, "serving");
        let pki = Self {
            serving,
            clients,
            front_proxies,
            directory,
        };
        pki.front_proxy().write(&pki.directory, "front-proxy");
        pki
    }

    /// A front proxy's certificate.
    pub fn front_proxy(&self) -> Issued {
        self.front_proxies.sign(user(Self::FRONT_PROXY, &[]))
    }

    /// A user's certificate.
    pub fn user(&self, name: &str, groups: &[&str]) -> Issued {
        self.clients.sign(user(name, groups))
    }

    /// Path of a file, as text.
    pub fn path(&self, name: &str) -> String {
        let path: PathBuf = self.directory.join(name);
        path.display().to_string()
    }
}

/// A certificate of a user in these groups, two at the most.
pub fn user(name: &str, groups: &[&str]) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    let subject = &mut params.distinguished_name;
    subject.push(DnType::CommonName, name);
    // rcgen keeps one attribute of each kind, and takes these for two kinds.
    let kinds = [
        DnType::OrganizationName,
        DnType::CustomDnType(vec![2, 5, 4, 10]),
    ];
    assert!(groups.len() <= kinds.len());
    for (kind, group) in kinds.into_iter().zip(groups) {
        subject.push(kind, *group);
    }
    params
}

/// The same with a user id.
pub fn user_with_uid(name: &str, groups: &[&str], uid: &str) -> CertificateParams {
    let mut params = user(name, groups);
    let subject = &mut params.distinguished_name;
    subject.push(DnType::CustomDnType(UID.to_vec()), uid);
    params
}
