//! What `deploy/` holds, sent to a real apiserver, which reads and admits it without storing it.

use std::collections::BTreeSet;

use serde_json::Value;

use super::assets::Assets;
use super::cluster::{Cluster, PATIENCE};
use super::kubeadm;
use super::kubectl::Who;
use super::process::until;
use super::tools::{CONTROL_PLANE, root, run};
use super::yaml::documents;

/// As `kubectl apply` is told to try alone.
const TRY: [&str; 4] = ["apply", "--dry-run=server", "-f", "-"];

/// Everything kustomize builds, and what kubeadm makes of its apiserver.
fn built() -> Option<Vec<Value>> {
    let folder = root().join(CONTROL_PLANE);
    let (text, _) = run("kubectl", &["kustomize", folder.to_str().expect("a path")])?;
    let mut all = documents(&text);
    assert!(all.len() > 4, "pods and rights: {text}");
    all.extend(documents(&kubeadm::patched_apiserver()?));
    Some(all)
}

fn text<'a>(object: &'a Value, pointer: &str) -> &'a str {
    object
        .pointer(pointer)
        .and_then(Value::as_str)
        .unwrap_or("")
}

/// Makes the namespaces that objects are in; some the server makes itself, a moment after its start.
fn make_namespaces(cluster: &Cluster, objects: &[Value]) {
    let admin = cluster.kubectl(Who::Certificate("admin"));
    let named = objects
        .iter()
        .map(|object| text(object, "/metadata/namespace"));
    let named: BTreeSet<_> = named.filter(|name| !name.is_empty()).collect();
    for name in named {
        if !name.starts_with("kube-") {
            admin.run(&["create", "namespace", name]);
        }
        until("a namespace", PATIENCE, || {
            let there = admin.run(&["get", "namespace", name]);
            there.ok.then_some(())
        });
    }
    until("the class of the pods' priority", PATIENCE, || {
        let there = admin.run(&["get", "priorityclass", "system-node-critical"]);
        there.ok.then_some(())
    });
}

#[test]
fn every_object_that_is_deployed_is_accepted_by_the_apiserver() {
    let Some(assets) = Assets::find() else { return };
    let Some(objects) = built() else { return };
    let mut cluster = Cluster::start(&assets, "manifests", false);
    make_namespaces(&cluster, &objects);
    let admin = cluster.kubectl(Who::Certificate("admin"));
    let known = admin.prints(&["api-versions"], "");
    for object in &objects {
        let (kind, name) = (text(object, "/kind"), text(object, "/metadata/name"));
        let version = text(object, "/apiVersion");
        if !known.lines().any(|line| line == version) {
            println!("skipped: {kind} {name}: this server has no {version}");
            continue;
        }
        let said = admin.prints(&TRY, &object.to_string());
        assert!(
            said.contains(name) && said.contains("(server dry run)"),
            "{said}"
        );
    }
    // It would say so: of a field that doesn't exist, and of a value that can't be.
    let pod = objects.iter().find(|object| object["kind"] == "Pod");
    for (pointer, key, value, why) in [
        ("/spec", "hostNetwrok", Value::from(true), "no such field"),
        ("/spec/containers/0", "name", "A_B".into(), "no such name"),
        ("/spec", "priority", 7.into(), "not what the class means"),
    ] {
        let mut pod = pod.expect("a pod").clone();
        pod.pointer_mut(pointer).expect("a part")[key] = value;
        let ran = admin.run_with(&TRY, &pod.to_string());
        assert!(!ran.ok, "{why}: {ran:?}");
    }
    cluster.assert_runs();
}
