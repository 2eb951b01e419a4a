//! What `deploy/` holds is what Kubernetes, kubeadm and systemd read, and fits the configurations.

#[path = "deploy/kubeadm.rs"]
mod kubeadm;
#[path = "deploy/tools.rs"]
mod tools;
#[path = "deploy/yaml.rs"]
mod yaml;

use std::collections::BTreeSet;
use std::fs;

use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::api::rbac::v1::{ClusterRole, ClusterRoleBinding};
use k8s_openapi::serde::{Serialize, de::DeserializeOwned};
use serde_json::Value;
use tools::{CONTROL_PLANE, Directory, read, root, run};
use tracegate::config::{self, FileText, Source, Strictness};

/// Fronts that run as static pods; each has the configuration of its name.
const PODS: [&str; 3] = ["apiserver", "etcd", "webhooks"];
/// Fronts that systemd runs, likewise.
const UNITS: [&str; 2] = ["kubelet", "cri"];

fn build(folder: &str) -> Option<Vec<Value>> {
    let path = root().join(CONTROL_PLANE).join(folder);
    let (text, _) = run("kubectl", &["kustomize", path.to_str().expect("a path")])?;
    Some(yaml::documents(&text))
}

fn pod(front: &str) -> Option<Value> {
    let mut built = build(front)?;
    assert_eq!(built.len(), 1, "the kubelet reads one pod from a file");
    built.pop()
}

fn configuration(front: &str) -> (String, Value) {
    let text = read(&format!("config/{front}.yaml"));
    let document = yaml::documents(&text).remove(0);
    (text, document)
}

fn list<'a>(value: &'a Value, pointer: &str) -> &'a [Value] {
    let found = value.pointer(pointer).and_then(Value::as_array);
    found.unwrap_or_else(|| panic!("no list {pointer} in {value:#}"))
}

fn text<'a>(value: &'a Value, pointer: &str) -> &'a str {
    let found = value.pointer(pointer).and_then(Value::as_str);
    found.unwrap_or_else(|| panic!("no text {pointer} in {value:#}"))
}

/// Values of all keys that name files, at any depth.
fn files<'a>(value: &'a Value, found: &mut BTreeSet<&'a str>) {
    match value {
        Value::Array(list) => list.iter().for_each(|item| files(item, found)),
        Value::Object(map) => {
            for (key, value) in map {
                match value.as_str() {
                    Some(file) if key.ends_with("File") => {
                        found.insert(file);
                    }
                    _ => files(value, found),
                }
            }
        }
        _ => {}
    }
}

/// Whether all that `written` says is in `understood`, which may say more.
fn lost(at: &str, written: &Value, understood: &Value, found: &mut Vec<String>) {
    match (written, understood) {
        (Value::Object(written), Value::Object(understood)) => {
            for (key, value) in written {
                let understood = understood.get(key).unwrap_or(&Value::Null);
                lost(&format!("{at}.{key}"), value, understood, found);
            }
        }
        (Value::Array(written), Value::Array(understood)) if written.len() == understood.len() => {
            for (index, pair) in written.iter().zip(understood).enumerate() {
                lost(&format!("{at}[{index}]"), pair.0, pair.1, found);
            }
        }
        _ if written == understood => {}
        _ => found.push(format!("{at}: {written} became {understood}")),
    }
}

/// Fails for what the API's type doesn't know, or knows as something else.
fn fits<T: Serialize + DeserializeOwned>(document: &Value) {
    let typed: T = serde_json::from_value(document.clone())
        .unwrap_or_else(|error| panic!("{error}\n{document:#}"));
    let mut found = Vec::new();
    let understood = serde_json::to_value(typed).expect("a value");
    lost("", document, &understood, &mut found);
    assert!(found.is_empty(), "{found:#?}");
}

#[test]
fn every_manifest_that_is_built_fits_the_api() {
    let Some(built) = build("") else { return };
    assert_eq!(built.len(), PODS.len() + 2);
    for document in &built {
        match (text(document, "/apiVersion"), text(document, "/kind")) {
            ("v1", "Pod") => fits::<Pod>(document),
            ("rbac.authorization.k8s.io/v1", "ClusterRole") => fits::<ClusterRole>(document),
            ("rbac.authorization.k8s.io/v1", "ClusterRoleBinding") => {
                fits::<ClusterRoleBinding>(document);
            }
            other => panic!("nobody expects a {other:?}"),
        }
    }
}

#[test]
fn a_field_that_the_api_lacks_is_found() {
    let pod = r#"{"apiVersion": "v1", "kind": "Pod", "metadata": {}, "spec": {"containers": [{"name": "a", "comand": []}]}}"#;
    let pod: Value = serde_json::from_str(pod).expect("JSON");
    let typed: Pod = serde_json::from_value(pod.clone()).expect("a pod");
    let mut found = Vec::new();
    let understood = serde_json::to_value(typed).expect("a value");
    lost("", &pod, &understood, &mut found);
    assert_eq!(found, [".spec.containers[0].comand: [] became null"]);
}

#[test]
fn a_pod_mounts_what_its_configuration_names_and_nothing_else() {
    for front in PODS {
        let Some(pod) = pod(front) else { return };
        let volumes = list(&pod, "/spec/volumes");
        let mut mounted = BTreeSet::new();
        for mount in list(&pod, "/spec/containers/0/volumeMounts") {
            assert_eq!(mount["readOnly"], true, "{mount}");
            let volume = volumes
                .iter()
                .find(|volume| volume["name"] == mount["name"]);
            let host = &volume.unwrap_or_else(|| panic!("no volume for {mount}"))["hostPath"];
            match text(mount, "/mountPath") {
                "/etc/tracegate" => {
                    assert_eq!(text(host, "/path"), format!("/etc/tracegate/{front}"));
                    assert_eq!(host["type"], "Directory");
                }
                file => {
                    assert_eq!((text(host, "/path"), text(host, "/type")), (file, "File"));
                    mounted.insert(file);
                }
            }
        }
        assert_eq!(
            mounted.len() + 1,
            volumes.len(),
            "{front}: a volume is unused"
        );
        let (_, configuration) = configuration(front);
        let mut named = BTreeSet::new();
        files(&configuration, &mut named);
        named.retain(|file| !file.starts_with("/etc/tracegate/"));
        assert_eq!(mounted, named, "{front}");
    }
}

#[test]
fn a_pod_is_asked_where_its_configuration_answers_and_may_drain() {
    for front in PODS {
        let Some(pod) = pod(front) else { return };
        let (_, configuration) = configuration(front);
        let arguments = list(&pod, "/spec/containers/0/args");
        assert_eq!(arguments[2], format!("/etc/tracegate/{front}.yaml"));
        for (probe, path) in [("livenessProbe", "/livez"), ("readinessProbe", "/readyz")] {
            let asked = &pod["spec"]["containers"][0][probe]["httpGet"];
            let address = format!("{}:{}", text(asked, "/host"), asked["port"]);
            assert_eq!(address, text(&configuration, "/health/bind"), "{front}");
            assert_eq!(asked["path"], path);
        }
        let seconds = |key: &str, default: u64| match configuration.get(key) {
            None => default,
            Some(value) => {
                let number = value.as_str().and_then(|text| text.strip_suffix('s'));
                number.expect("seconds").parse().expect("a number")
            }
        };
        let needed = seconds("drainDelay", 0) + seconds("drainTimeout", 30);
        let grace = pod["spec"]["terminationGracePeriodSeconds"].as_u64();
        assert!(grace > Some(needed), "{front}: {grace:?} for {needed}s");
    }
}

#[test]
fn a_pod_has_the_hosts_network_and_no_rights_beyond_its_user() {
    for front in PODS {
        let Some(pod) = pod(front) else { return };
        let (spec, container) = (&pod["spec"], &pod["spec"]["containers"][0]);
        let rights = &container["securityContext"];
        for (value, expected, why) in [
            (
                &spec["hostNetwork"],
                Value::from(true),
                "it binds the node's address",
            ),
            (
                &spec["priorityClassName"],
                "system-node-critical".into(),
                "evicted last",
            ),
            (
                &spec["automountServiceAccountToken"],
                false.into(),
                "static pods have none",
            ),
            (
                &spec["securityContext"]["seccompProfile"]["type"],
                "RuntimeDefault".into(),
                "fewer system calls",
            ),
            (&rights["runAsUser"], 0.into(), "kubeadm's keys are root's"),
            (
                &rights["readOnlyRootFilesystem"],
                true.into(),
                "it writes nothing",
            ),
            (
                &rights["allowPrivilegeEscalation"],
                false.into(),
                "nothing is setuid",
            ),
            (
                &rights["capabilities"]["drop"],
                vec!["ALL"].into(),
                "its ports are above 1023",
            ),
            (
                &rights["capabilities"]["add"],
                Value::Null,
                "its ports are above 1023",
            ),
        ] {
            assert_eq!(*value, expected, "{front}: {why}");
        }
        assert!(container["resources"]["requests"].is_object(), "{front}");
    }
}

#[test]
fn every_process_of_a_node_answers_at_a_port_of_its_own() {
    let mut taken = BTreeSet::new();
    for front in PODS.iter().chain(&UNITS) {
        let (_, configuration) = configuration(front);
        let health = text(&configuration, "/health/bind").to_owned();
        assert!(
            taken.insert(health),
            "{front}: somebody has its health's port"
        );
        for listener in list(&configuration, "/listeners") {
            let bind = text(listener, "/bind").to_owned();
            assert!(
                !bind.starts_with("0.0.0.0:"),
                "{front} takes loopback as well"
            );
            assert!(taken.insert(bind), "{front}: somebody has its address");
        }
    }
}

/// Keys of these files may be known and not be supported yet; nothing else may be wrong with them.
#[test]
fn the_configurations_pass_the_check_where_their_files_are() {
    let directory = Directory::new();
    let key = rcgen::KeyPair::generate().expect("a key");
    let mut params = rcgen::CertificateParams::default();
    // Among the files are those of authorities.
    params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    let issued = params.self_signed(&key).expect("a certificate");
    let cert = directory.write("cert.pem", &issued.pem());
    let key = directory.write("key.pem", &key.serialize_pem());
    for front in PODS.iter().chain(&UNITS) {
        let (mut written, configuration) = configuration(front);
        let mut named = BTreeSet::new();
        files(&configuration, &mut named);
        for file in named {
            let there = if file.ends_with(".key") { &key } else { &cert };
            written = written.replace(&format!("File: {file}"), &format!("File: {there}"));
        }
        let source = Source {
            file: Some(FileText {
                path: root().join(format!("config/{front}.yaml")),
                text: written,
            }),
            ..Source::default()
        };
        if let Err(faults) = config::load(&source, Strictness::Check) {
            panic!("{faults}");
        }
    }
}

#[test]
fn kubeadms_patches_move_the_apiserver_by_address_alone() {
    let Some(built) = kubeadm::patched_apiserver() else {
        return;
    };
    let pod = yaml::documents(&built).remove(0);
    fits::<Pod>(&pod);
    let container = &pod["spec"]["containers"][0];
    let command = list(container, "/command");
    assert!(
        command.contains(&"--secure-port=6443".into()),
        "its port is published"
    );
    assert_eq!(command.last(), Some(&"--bind-address=127.0.0.1".into()));
    for probe in ["livenessProbe", "readinessProbe", "startupProbe"] {
        let asked = &container[probe]["httpGet"];
        assert_eq!(
            (text(asked, "/host"), &asked["port"]),
            ("127.0.0.1", &6443.into())
        );
    }
    let (_, configuration) = configuration("apiserver");
    assert_eq!(text(&configuration, "/listeners/0/bind"), "192.0.2.10:6443");
    assert_eq!(
        text(&configuration, "/listeners/0/upstream/url"),
        "https://127.0.0.1:6443"
    );
}

#[test]
fn what_kubeadm_is_given_leads_to_the_fronts() {
    let (_, etcd) = configuration("etcd");
    let cluster = yaml::documents(&read(&format!("{CONTROL_PLANE}/kubeadm/etcd-servers.yaml")));
    let servers = &list(&cluster[0], "/apiServer/extraArgs")[0];
    assert_eq!(servers["name"], "etcd-servers");
    assert_eq!(
        text(servers, "/value"),
        format!("http://{}", text(&etcd, "/listeners/0/bind"))
    );
    let name = "kubeadm/patches/kubeletconfiguration0+strategic.yaml";
    let kubelet = &yaml::documents(&read(&format!("{CONTROL_PLANE}/{name}")))[0];
    let (_, front) = configuration("kubelet");
    let address = format!("https://{}:{}", text(kubelet, "/address"), kubelet["port"]);
    assert_eq!(text(&front, "/listeners/0/upstream/url"), address);
}

/// The addresses that the page gives webhooks, each as host and port.
fn webhook_urls(page: &str) -> BTreeSet<(&str, &str)> {
    let section = page.split("\n### webhooks\n").nth(1).expect("a section");
    let section = section.split("\n### ").next().unwrap_or(section);
    let urls = section.split("https://").skip(1);
    urls.map(|rest| {
        let end = rest.find(|c: char| c == '/' || c == '`' || c.is_whitespace());
        let authority = &rest[..end.unwrap_or(rest.len())];
        authority.rsplit_once(':').unwrap_or((authority, "443"))
    })
    .collect()
}

#[test]
fn every_webhook_url_of_the_page_leads_to_the_listener_by_a_route_of_its_name() {
    let page = read(&format!("{CONTROL_PLANE}/README.md"));
    let urls = webhook_urls(&page);
    let (written, front) = configuration("webhooks");
    let listener = &front["listeners"][0];
    let hosts = page.split("the line `").nth(1).expect("a line of hosts");
    let mut hosts = hosts.split('`').next().unwrap_or_default().split(' ');
    let bind = format!("{}:8444", hosts.next().expect("an address"));
    assert_eq!(text(listener, "/bind"), bind);
    let named: BTreeSet<_> = hosts.collect();
    let routed: BTreeSet<_> = list(listener, "/routes")
        .iter()
        .map(|route| text(route, "/match/host"))
        .collect();
    for (host, port) in &urls {
        assert_eq!(*port, "8444", "{host}");
        assert!(named.contains(host), "/etc/hosts of the page lacks {host}");
        // What has no route is the upstream's, and the file's own comment names that webhook.
        let by_default =
            listener["upstream"].is_object() && written.contains(&format!("https://{host}:{port}"));
        assert!(routed.contains(host) || by_default, "no route for {host}");
    }
    for host in routed {
        assert!(urls.contains(&(host, "8444")), "the page has no {host}");
    }
}

#[test]
fn the_certificate_that_the_page_makes_has_the_name_of_every_webhook_url() {
    let page = read(&format!("{CONTROL_PLANE}/README.md"));
    let commands = page
        .split("```")
        .find(|block| block.contains("webhook.crt"));
    let commands = commands.expect("how the certificate is made");
    if run("openssl", &["version"]).is_none() {
        return;
    }
    let directory = Directory::new();
    let at = format!("cd {}\n", directory.path());
    if run("bash", &["-ec", &format!("{at}{commands}")]).is_none() {
        return;
    }
    let (_, front) = configuration("webhooks");
    let certificate = text(&front, "/listeners/0/tls/certificates/0/certFile");
    let name = certificate.rsplit('/').next().expect("a file");
    for (host, _) in webhook_urls(&page) {
        let verify = [
            "-ec",
            &format!(
                "{at}openssl verify -CAfile webhooks-ca.crt -verify_hostname {host} -purpose sslserver {name}"
            ),
        ];
        run("bash", &verify);
    }
}

#[test]
fn systemd_reads_the_units() {
    let directory = Directory::new();
    let mut units = vec!["verify".to_owned(), "--man=no".to_owned()];
    for entry in fs::read_dir(root().join(CONTROL_PLANE).join("systemd")).expect("units") {
        let name = entry.expect("a unit").file_name();
        let name = name.to_str().expect("a name");
        let unit = read(&format!("{CONTROL_PLANE}/systemd/{name}"));
        let unit = unit.replace("/usr/local/bin/tracegate", "/bin/true");
        units.push(directory.write(name, &unit));
    }
    assert_eq!(units.len(), 2 + 2 * UNITS.len());
    let arguments: Vec<_> = units.iter().map(String::as_str).collect();
    let Some((_, complaints)) = run("systemd-analyze", &arguments) else {
        return;
    };
    // It loads units of this host as well, which are none of ours.
    let ours: Vec<_> = complaints
        .lines()
        .filter(|line| line.contains("tracegate-"))
        .collect();
    assert!(ours.is_empty(), "{ours:#?}");
}

#[test]
fn sockets_are_named_as_the_configurations_say() {
    for front in UNITS {
        let unit = |kind: &str| read(&format!("{CONTROL_PLANE}/systemd/tracegate-{front}.{kind}"));
        let (socket, service) = (unit("socket"), unit("service"));
        let lines: Vec<_> = socket.lines().collect();
        assert!(lines.contains(&format!("FileDescriptorName={front}").as_str()));
        assert!(service.contains(&format!(
            "ExecStart=/usr/local/bin/tracegate run --config /etc/tracegate/{front}.yaml"
        )));
        assert!(service.contains("Before=kubelet.service"));
        let (written, configuration) = configuration(front);
        match text(&configuration, "/listeners/0/bind").strip_prefix("unix://") {
            // As it stands, or by the name that a comment beside it gives.
            Some(bind) => {
                let path = bind.split('?').next().expect("a path");
                assert!(lines.contains(&format!("ListenStream={path}").as_str()));
                assert!(lines.contains(&"SocketMode=0660") && bind.contains("mode=0660"));
                assert!(written.contains(&format!("fd:{front}")));
            }
            None => {
                assert_eq!(
                    text(&configuration, "/listeners/0/bind"),
                    format!("fd:{front}")
                );
                assert!(lines.contains(&"ListenStream=192.0.2.11:10250"));
            }
        }
    }
}
