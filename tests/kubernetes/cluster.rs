//! A control plane in processes: etcd, a tracegate in front of it, a kube-apiserver that knows
//! nothing of either, and a tracegate in front of that.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::assets::Assets;
use super::audit::Audit;
use super::kubectl::{Kubectl, Ran, Who};
use super::pki::{FRONT_PROXY, Pki};
use super::process::{Process, free};
use super::receiver::{Receiver, Scratch, Speaks};

/// A bearer token, and its user's name, uid and group.
pub const TOKEN: &str = "a-token-of-a-test";
pub const BOT: [&str; 3] = ["bot", "7", "dev"];

/// How long the apiserver may take until it is ready.
const START: Duration = Duration::from_secs(180);

/// How long anything else may take.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// Everything but what only says that it came.
const POLICY: &str = "apiVersion: audit.k8s.io/v1
kind: Policy
omitStages: [RequestReceived]
rules:
- level: Metadata
";

/// What the group of the test's users may do.
const RIGHTS: &str = r#"apiVersion: rbac.authorization.k8s.io/v1
kind: Role
metadata: {name: configmaps, namespace: default}
rules:
- apiGroups: [""]
  resources: [configmaps]
  verbs: [get, list, watch, create, update, patch, delete]
---
apiVersion: rbac.authorization.k8s.io/v1
kind: RoleBinding
metadata: {name: configmaps, namespace: default}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: Role, name: configmaps}
subjects:
- {apiGroup: rbac.authorization.k8s.io, kind: Group, name: dev}
"#;

/// Clusters are heavy: one at a time.
static ONE: Mutex<()> = Mutex::new(());

/// A running control plane; everything ends when dropped.
pub struct Cluster {
    /// Where callers go.
    pub ingress: SocketAddr,
    /// Where the apiserver itself listens.
    pub apiserver: SocketAddr,
    /// Where etcd does.
    pub etcd: SocketAddr,
    pub pki: Pki,
    pub receiver: Receiver,
    pub audit: Audit,
    kubectl: PathBuf,
    /// In the order they are stopped.
    processes: Vec<Process>,
    scratch: Scratch,
    _one: MutexGuard<'static, ()>,
}

/// Where everything listens.
struct Addresses {
    ingress: SocketAddr,
    apiserver: SocketAddr,
    egress: SocketAddr,
    etcd: SocketAddr,
}

impl Cluster {
    /// Starts one and waits until it is ready; with `tracing` the apiserver makes spans, too.
    pub fn start(assets: &Assets, name: &str, tracing: bool) -> Self {
        let mut why = String::new();
        // A free port may be gone by the time it is bound.
        for attempt in 0..3 {
            let one = ONE.lock().unwrap_or_else(PoisonError::into_inner);
            match Self::attempt(assets, &format!("{name}-{attempt}"), tracing, one) {
                Ok(cluster) => return cluster,
                Err(error) => why = error,
            }
        }
        panic!("no control plane: {why}");
    }

    fn attempt(
        assets: &Assets,
        name: &str,
        tracing: bool,
        one: MutexGuard<'static, ()>,
    ) -> Result<Self, String> {
        let scratch = Scratch::new(&format!("kubernetes-{name}"));
        let (pki, receiver) = (Pki::new(scratch.join("pki")), Receiver::start(Speaks::Grpc));
        let [ingress, apiserver, egress, etcd] = [(); 4].map(|()| free());
        let at = Addresses {
            ingress,
            apiserver,
            egress,
            etcd,
        };
        let folder = scratch.path();
        let fill = |template: &str| {
            let collector = receiver.endpoint();
            let pki = pki.path().display().to_string();
            template
                .replace("$COLLECTOR", collector)
                .replace("$PKI", &pki)
                .replace("$INGRESS", &at.ingress.to_string())
                .replace("$APISERVER", &at.apiserver.to_string())
                .replace("$EGRESS", &at.egress.to_string())
                .replace("$ETCD", &at.etcd.to_string())
        };
        let tracegate = |name: &'static str, template: &str| {
            let file = write(folder, &format!("{name}.yaml"), &fill(template));
            let mut command = Command::new(env!("CARGO_BIN_EXE_tracegate"));
            command.args(["run", "--log-format", "json", "--config"]);
            Process::start(name, command.arg(file), folder)
        };
        let mut etcd = Process::start("etcd", &mut etcd_command(assets, &at), folder);
        etcd.listens(at.etcd, PATIENCE)?;
        let mut egress = tracegate("egress", include_str!("egress.yaml"));
        egress.listens(at.egress, PATIENCE)?;
        let mut command = apiserver_command(assets, &at, &pki, folder);
        if tracing {
            let collector = receiver.address().expect("TCP");
            // Version v1 of it came later; all of them are read.
            let text = format!(
                "apiVersion: apiserver.config.k8s.io/v1beta1\nkind: TracingConfiguration\n\
                 endpoint: {collector}\nsamplingRatePerMillion: 1000000\n"
            );
            let file = write(folder, "tracing.yaml", &text);
            command.arg(format!("--tracing-config-file={}", file.display()));
        }
        let mut server = Process::start("kube-apiserver", &mut command, folder);
        server.listens(at.apiserver, START)?;
        let mut ingress = tracegate("ingress", include_str!("ingress.yaml"));
        ingress.listens(at.ingress, PATIENCE)?;
        let mut cluster = Self {
            ingress: at.ingress,
            apiserver: at.apiserver,
            etcd: at.etcd,
            audit: Audit::new(scratch.join("audit.log")),
            kubectl: assets.kubectl.clone(),
            processes: vec![ingress, server, egress, etcd],
            pki,
            receiver,
            scratch,
            _one: one,
        };
        cluster.settle()?;
        Ok(cluster)
    }

    /// Waits until it is ready, and gives the test's users their rights.
    fn settle(&mut self) -> Result<(), String> {
        let end = Instant::now() + START;
        // The namespace is made some time after it is ready.
        for asked in [
            &["get", "--raw", "/readyz"][..],
            &["get", "namespace", "default"],
        ] {
            while !self.direct(asked, "").ok {
                if let Some(ended) = self.ended() {
                    return Err(ended);
                }
                if Instant::now() > end {
                    let logs = self.processes.iter().map(Process::tail);
                    let logs: Vec<String> = logs.collect();
                    return Err(format!("{asked:?} fails:\n{}", logs.join("\n\n")));
                }
                std::thread::sleep(Duration::from_millis(100));
            }
        }
        let granted = self.direct(&["apply", "-f", "-"], RIGHTS);
        if !granted.ok {
            return Err(format!("no rights: {granted:?}"));
        }
        self.ended().map_or(Ok(()), Err)
    }

    /// kubectl as an administrator, without the proxy.
    fn direct(&self, arguments: &[&str], input: &str) -> Ran {
        let kubectl = self.kubectl(Who::Certificate("admin"));
        kubectl.at(self.apiserver).run_with(arguments, input)
    }

    /// What has ended that shouldn't have.
    fn ended(&mut self) -> Option<String> {
        self.processes.iter_mut().find_map(Process::ended)
    }

    /// kubectl as somebody, through tracegate.
    pub fn kubectl<'a>(&'a self, who: Who<'a>) -> Kubectl<'a> {
        Kubectl {
            program: &self.kubectl,
            pki: &self.pki,
            home: self.scratch.path(),
            at: self.ingress,
            who,
        }
    }

    /// Whatever runs still does; what it wrote last otherwise.
    pub fn assert_runs(&mut self) {
        if let Some(ended) = self.ended() {
            panic!("{ended}");
        }
    }
}

fn write(folder: &Path, name: &str, text: &str) -> PathBuf {
    let file = folder.join(name);
    std::fs::write(&file, text).expect("a written file");
    file
}

fn etcd_command(assets: &Assets, at: &Addresses) -> Command {
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

/// Flags that versions from 1.32 to 1.36 have; what came later is passed where it is known.
fn apiserver_command(assets: &Assets, at: &Addresses, pki: &Pki, folder: &Path) -> Command {
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
