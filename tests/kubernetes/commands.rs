//! How etcd and the kube-apiserver are started.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::assets::Assets;
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

/// Flags of a kube-apiserver, as versions from 1.33 to 1.36 have them. Its etcd is the egress.
const APISERVER: &str = "--etcd-servers=http://$EGRESS
--bind-address=127.0.0.1
--secure-port=$PORT
--advertise-address=127.0.0.1
--endpoint-reconciler-type=none
--service-cluster-ip-range=10.0.0.0/24
--cert-dir=$FOLDER/certificates
--tls-cert-file=$PKI/apiserver.crt
--tls-private-key-file=$PKI/apiserver.key
--client-ca-file=$PKI/ca.crt
--requestheader-client-ca-file=$PKI/front-proxy-ca.crt
--requestheader-allowed-names=front-proxy-client
--requestheader-username-headers=X-Remote-User
--requestheader-uid-headers=X-Remote-Uid
--requestheader-group-headers=X-Remote-Group
--requestheader-extra-headers-prefix=X-Remote-Extra-
--proxy-client-cert-file=$PKI/front-proxy-client.crt
--proxy-client-key-file=$PKI/front-proxy-client.key
--token-auth-file=$FOLDER/tokens.csv
--anonymous-auth=true
--authorization-mode=RBAC
--service-account-issuer=https://kubernetes.default.svc
--service-account-key-file=$PKI/service-accounts.pub
--service-account-signing-key-file=$PKI/service-accounts.key
--disable-admission-plugins=ServiceAccount
--audit-policy-file=$FOLDER/audit-policy.yaml
--audit-log-path=$FOLDER/audit.log";

/// Configuration of its own spans. Version v1 came later; all of them are read.
const TRACING: &str = "apiVersion: apiserver.config.k8s.io/v1beta1
kind: TracingConfiguration
endpoint: $COLLECTOR
samplingRatePerMillion: 1000000
";

/// Where everything is.
pub struct Places {
    pub ingress: SocketAddr,
    pub apiserver: SocketAddr,
    pub egress: SocketAddr,
    pub etcd: SocketAddr,
    pub collector: SocketAddr,
    pub pki: PathBuf,
    pub folder: PathBuf,
}

impl Places {
    /// Ports that are free, and folders.
    pub fn new(collector: SocketAddr, pki: &Path, folder: &Path) -> Self {
        let [ingress, apiserver, egress, etcd] = [(); 4].map(|()| free());
        Self {
            ingress,
            apiserver,
            egress,
            etcd,
            collector,
            pki: pki.to_owned(),
            folder: folder.to_owned(),
        }
    }

    /// Puts them into a template.
    fn fill(&self, template: &str) -> String {
        template
            .replace("$COLLECTOR", &self.collector.to_string())
            .replace("$PKI", &self.pki.display().to_string())
            .replace("$FOLDER", &self.folder.display().to_string())
            .replace("$PORT", &self.apiserver.port().to_string())
            .replace("$INGRESS", &self.ingress.to_string())
            .replace("$APISERVER", &self.apiserver.to_string())
            .replace("$EGRESS", &self.egress.to_string())
            .replace("$ETCD", &self.etcd.to_string())
    }

    /// Writes a filled template; where it is.
    fn write(&self, name: &str, template: &str) -> PathBuf {
        let file = self.folder.join(name);
        std::fs::write(&file, self.fill(template)).expect("a written file");
        file
    }
}

/// An etcd of one member.
pub fn etcd(assets: &Assets, at: &Places) -> Command {
    let client = format!("http://{}", at.etcd);
    let peer = format!("http://{}", free());
    let mut command = Command::new(&assets.etcd);
    command
        .args(["--name", "e", "--data-dir", "etcd-data"])
        .args(["--listen-client-urls", &client])
        .args(["--advertise-client-urls", &client])
        .args(["--listen-peer-urls", &peer])
        .args(["--initial-advertise-peer-urls", &peer])
        .args(["--initial-cluster", &format!("e={peer}")]);
    command
}

/// A tracegate with a configuration of that name.
pub fn tracegate(at: &Places, name: &str, template: &str) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_tracegate"));
    command.args(["run", "--log-format", "json", "--config"]);
    command.arg(at.write(&format!("{name}.yaml"), template));
    command
}

/// A kube-apiserver, with `tracing` one that makes spans.
pub fn apiserver(assets: &Assets, at: &Places, tracing: bool) -> Command {
    let [name, uid, group] = BOT;
    at.write("tokens.csv", &format!("{TOKEN},{name},{uid},{group}\n"));
    at.write("audit-policy.yaml", POLICY);
    let mut command = Command::new(&assets.apiserver);
    command.args(at.fill(APISERVER).lines());
    if tracing {
        let file = at.write("tracing.yaml", TRACING);
        command.arg(format!("--tracing-config-file={}", file.display()));
    }
    command
}
