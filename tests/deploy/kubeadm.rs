//! What kubeadm makes of its apiserver by the patches.

use super::tools::{CONTROL_PLANE, Directory, read, run};

/// kubeadm's manifest of an apiserver, as far as the patches touch it, after them; `None`, noted,
/// where there is no kubectl.
pub fn patched_apiserver() -> Option<String> {
    let directory = Directory::new();
    let probe = |path: &str| {
        format!("{{httpGet: {{host: 192.0.2.10, path: {path}, port: 6443, scheme: HTTPS}}}}")
    };
    directory.write(
        "kube-apiserver.yaml",
        &format!(
            "apiVersion: v1\nkind: Pod\nmetadata: {{name: kube-apiserver, namespace: kube-system}}\n\
             spec:\n  containers:\n  - name: kube-apiserver\n    image: kube-apiserver\n    \
             command: [kube-apiserver, --advertise-address=192.0.2.10, --secure-port=6443]\n    \
             livenessProbe: {}\n    readinessProbe: {}\n    startupProbe: {}\n",
            probe("/livez"),
            probe("/readyz"),
            probe("/livez")
        ),
    );
    let mut kustomization = "resources: [kube-apiserver.yaml]\npatches:\n".to_owned();
    for name in [
        "kube-apiserver0+json.yaml",
        "kube-apiserver1+strategic.yaml",
    ] {
        directory.write(
            name,
            &read(&format!("{CONTROL_PLANE}/kubeadm/patches/{name}")),
        );
        kustomization += &format!("- {{path: {name}, target: {{kind: Pod}}}}\n");
    }
    directory.write("kustomization.yaml", &kustomization);
    let (built, _) = run("kubectl", &["kustomize", &directory.path()])?;
    Some(built)
}
