//! How etcd and the kube-apiserver are started.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::assets::Assets;
use super::pki::{FRONT_PROXY, Pki};
use super::process::free;

/// A bearer token, and its user's name, uid and group.
pub const TOKEN: &str = "a-token-of-a-test";
pub const BOT: [&str; 3] = ["bot", "7", "dev"];

/// Everything but what only says that it came.
const POLICY: &str = "apiVersion: audit.k8s.io/v1
kind: Policy
omitStages: [RequestReceived]
rules:
- level: Metadata
";

/// Where everything listens.
pub struct Addresses {
    pub ingress: SocketAddr,
    pub apiserver: SocketAddr,
    pub egress: SocketAddr,
    pub etcd: SocketAddr,
}

/// Writes a file; where it is.
pub fn write(folder: &Path, name: &str, text: &str) -> PathBuf {
    let file = folder.join(name);
    std::fs::write(&file, text).expect("a written file");
    file
}

/// An etcd of one member.
pub fn etcd(assets: &Assets, at: &Addresses) -> Command {
    let client = format!("http://{}", at.etcd);
    let peer = format!("http://{}", free());
    let mut command = Command::new(&assets.etcd);
    command
        .args([
            "--name",
            "e",
            "--data-dir",
            "etcd-data",
            "--log-level",
            "warn",
        ])
        .args(["--logger", "zap", "--unsafe-no-fsync"])
        .args(["--listen-client-urls", &client])
        .args(["--advertise-client-urls", &client])
        .args(["--listen-peer-urls", &peer])
        .args(["--initial-advertise-peer-urls", &peer])
        .args(["--initial-cluster", &format!("e={peer}")]);
    command
}

/// A kube-apiserver whose etcd is the egress. Flags that versions from 1.32 to 1.36 have; what came later is passed where it is known.
pub fn apiserver(assets: &Assets, at: &Addresses, pki: &Pki, folder: &Path) -> Command {
    let [name, uid, group] = BOT;
    let tokens = write(
        folder,
        "tokens.csv",
        &format!("{TOKEN},{name},{uid},{group}\n"),
    );
    let policy = write(folder, "audit-policy.yaml", POLICY);
    let file = |name: &str| pki.file(name).display().to_string();
    let mut flags = vec![
        ("etcd-servers", format!("http://{}", at.egress)),
        ("bind-address", at.apiserver.ip().to_string()),
        ("secure-port", at.apiserver.port().to_string()),
        ("advertise-address", at.apiserver.ip().to_string()),
        // The addresses of a test's loopback are no service's endpoints.
        ("endpoint-reconciler-type", "none".to_owned()),
        ("service-cluster-ip-range", "10.0.0.0/24".to_owned()),
        (
            "cert-dir",
            folder.join("certificates").display().to_string(),
        ),
        ("tls-cert-file", file("apiserver.crt")),
        ("tls-private-key-file", file("apiserver.key")),
        ("client-ca-file", file("ca.crt")),
        ("requestheader-client-ca-file", file("front-proxy-ca.crt")),
        ("requestheader-allowed-names", FRONT_PROXY.to_owned()),
        ("requestheader-username-headers", "X-Remote-User".to_owned()),
        ("requestheader-group-headers", "X-Remote-Group".to_owned()),
        (
            "requestheader-extra-headers-prefix",
            "X-Remote-Extra-".to_owned(),
        ),
        ("proxy-client-cert-file", file("front-proxy-client.crt")),
        ("proxy-client-key-file", file("front-proxy-client.key")),
        ("token-auth-file", tokens.display().to_string()),
        ("anonymous-auth", "true".to_owned()),
        ("authorization-mode", "RBAC".to_owned()),
        (
            "service-account-issuer",
            "https://kubernetes.default.svc".to_owned(),
        ),
        ("service-account-key-file", file("service-accounts.pub")),
        (
            "service-account-signing-key-file",
            file("service-accounts.key"),
        ),
        // No controller makes the accounts it asks for.
        ("disable-admission-plugins", "ServiceAccount".to_owned()),
        ("audit-policy-file", policy.display().to_string()),
        (
            "audit-log-path",
            folder.join("audit.log").display().to_string(),
        ),
    ];
    if assets.has("requestheader-uid-headers") {
        flags.push(("requestheader-uid-headers", "X-Remote-Uid".to_owned()));
    }
    let mut command = Command::new(&assets.apiserver);
    command.args(
        flags
            .iter()
            .map(|(flag, value)| format!("--{flag}={value}")),
    );
    command
}
