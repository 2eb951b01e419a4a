//! In front of a real kube-apiserver and between it and a real etcd.
//!
//! `KUBEBUILDER_ASSETS` names a folder that has `kube-apiserver`, `etcd` and `kubectl`, as
//! setup-envtest lays it out; without one every test here says that it is skipped, and passes.
//! Loopback alone, bounded in time, one control plane at once. `make test-kubernetes` runs it.

#[path = "support/receiver.rs"]
mod receiver;

#[path = "deploy/kubeadm.rs"]
mod kubeadm;
#[path = "deploy/tools.rs"]
mod tools;
#[path = "deploy/yaml.rs"]
mod yaml;

#[path = "kubernetes/assets.rs"]
mod assets;
#[path = "kubernetes/audit.rs"]
mod audit;
#[path = "kubernetes/callers.rs"]
mod callers;
#[path = "kubernetes/client.rs"]
mod client;
#[path = "kubernetes/cluster.rs"]
mod cluster;
#[path = "kubernetes/commands.rs"]
mod commands;
#[path = "kubernetes/kubectl.rs"]
mod kubectl;
#[path = "kubernetes/manifests.rs"]
mod manifests;
#[path = "kubernetes/pki.rs"]
mod pki;
#[path = "kubernetes/process.rs"]
mod process;
#[path = "kubernetes/traces.rs"]
mod traces;
#[path = "kubernetes/watches.rs"]
mod watches;
#[path = "kubernetes/websockets.rs"]
mod websockets;
