//! A control plane in processes: etcd, a tracegate in front of it, a kube-apiserver that knows
//! nothing of either, and a tracegate in front of that.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::Command;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::assets::Assets;
use super::audit::Audit;
use super::commands::{self, BOT, Places};
use super::kubectl::{Kubectl, Ran, Who};
use super::pki::Pki;
use super::process::Process;
use super::receiver::{Receiver, Scratch, Speaks};

/// How long the apiserver may take until it is ready.
const START: Duration = Duration::from_secs(180);

/// How long anything else may take.
pub const PATIENCE: Duration = Duration::from_secs(60);

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
        let collector = receiver.address().expect("TCP");
        let at = Places::new(collector, pki.path(), scratch.path());
        let start = |name, mut command: Command| Process::start(name, &mut command, &at.folder);
        let mut etcd = start("etcd", commands::etcd(assets, &at));
        etcd.listens(at.etcd, PATIENCE)?;
        let template = include_str!("egress.yaml");
        let mut egress = start("egress", commands::tracegate(&at, "egress", template));
        egress.listens(at.egress, PATIENCE)?;
        let mut server = start("kube-apiserver", commands::apiserver(assets, &at, tracing));
        server.listens(at.apiserver, START)?;
        let template = include_str!("ingress.yaml");
        let mut ingress = start("ingress", commands::tracegate(&at, "ingress", template));
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
        self.succeeds(&["get", "--raw", "/readyz"], "")?;
        // The namespace is made some time after that.
        self.succeeds(&["get", "namespace", "default"], "")?;
        self.succeeds(&["apply", "-f", "-"], RIGHTS)?;
        // And rights hold some time after they are given.
        let [_, _, group] = BOT;
        let group = format!("--as-group={group}");
        let asked = [
            "auth",
            "can-i",
            "create",
            "configmaps",
            "--as=somebody",
            &group,
        ];
        self.succeeds(&asked, "")?;
        self.ended().map_or(Ok(()), Err)
    }

    /// Asks until it succeeds.
    fn succeeds(&mut self, asked: &[&str], input: &str) -> Result<(), String> {
        let end = Instant::now() + START;
        loop {
            let ran = self.direct(asked, input);
            if ran.ok {
                return Ok(());
            }
            if let Some(ended) = self.ended() {
                return Err(ended);
            }
            if Instant::now() > end {
                let logs: Vec<String> = self.processes.iter().map(Process::tail).collect();
                return Err(format!("{asked:?}: {ran:?}\n{}", logs.join("\n\n")));
            }
            std::thread::sleep(Duration::from_millis(100));
        }
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
