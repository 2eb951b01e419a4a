//! The ready-made configurations run: each is started as it stands, with addresses and files of
//! this test's own in place of the cluster's, and a request goes through it.

mod webhooks;

use std::os::unix::fs::MetadataExt;
use std::path::Path;

use http::Response;

use crate::caller::{Caller, Speaks, block_on, full};
use crate::component::Component;
use crate::files::{Authority, TempDir};
use crate::proxy::Proxy;
use crate::server::{Listen, Server};
use crate::tls::upstream::Secured;
use crate::tls::{Hello, shake};

/// Starts a file of `config/`; every replacement must find what it replaces.
pub fn start(name: &str, replacements: &[(&str, &str)]) -> Proxy {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("config")
        .join(name);
    let mut text = std::fs::read_to_string(&path).expect("a ready-made file");
    for (found, replacement) in replacements {
        assert!(text.contains(found), "{name} has no {found}");
        text = text.replace(found, replacement);
    }
    Proxy::start_text(path, text)
}

#[test]
fn the_sidecar_serves_both_directions() {
    let (component, directory) = (Component::start(), TempDir::new());
    let socket = directory.join("admin.sock");
    let proxy = start(
        "sidecar.yaml",
        &[
            (
                "unix:///run/tracegate/admin.sock",
                &format!("unix://{}", socket.display()),
            ),
            ("0.0.0.0:9902", "127.0.0.1:0"),
            ("0.0.0.0:8080", "127.0.0.1:0"),
            ("http://127.0.0.1:8081", &component.url()),
            ("127.0.0.1:8082", "127.0.0.1:0"),
            ("http://backend.default.svc.cluster.local", &component.url()),
            ("drainDelay: 5s", "drainDelay: 0s"),
        ],
    );
    for listener in [0, 1] {
        let status = block_on(async {
            let mut caller = Caller::tcp(proxy.at(listener), Speaks::Http1).await;
            caller.get("/").await.status
        });
        assert_eq!(status, 200);
    }
    assert!(socket.exists());
    for seen in component.wait_for(2) {
        assert!(seen.value("traceparent").is_some());
    }
}

#[test]
fn the_gateway_terminates_tls() {
    let (component, directory, authority) = (Component::start(), TempDir::new(), Authority::new());
    let (cert, key) = authority.issue(&["a.example"]).write(&directory, "tls");
    let proxy = start(
        "gateway.yaml",
        &[
            (
                "http://collector.observability.svc:4317",
                "http://127.0.0.1:9",
            ),
            ("127.0.0.1:9901", "127.0.0.1:0"),
            ("0.0.0.0:9902", "127.0.0.1:0"),
            ("0.0.0.0:8443", "127.0.0.1:0"),
            ("/etc/tracegate/tls.crt", &cert.display().to_string()),
            ("/etc/tracegate/tls.key", &key.display().to_string()),
            (
                "http://frontend.default.svc.cluster.local:8080",
                &component.url(),
            ),
            ("drainDelay: 10s", "drainDelay: 0s"),
        ],
    );
    let status = block_on(async {
        let settled = shake(proxy.at(0), &authority, Hello::USUAL).await;
        settled.expect("a handshake").caller.get("/").await.status
    });
    assert_eq!(status, 200);
}

#[test]
fn etcd_is_reached_with_the_apiservers_certificate() {
    let callers = Authority::new();
    let secured = Secured::start(&["h2"], Some(&callers));
    let (cert, key) = callers
        .issue(&["apiserver"])
        .write(&secured.directory, "client");
    let proxy = start(
        "etcd.yaml",
        &[
            ("127.0.0.1:9903", "127.0.0.1:0"),
            ("127.0.0.1:2378", "127.0.0.1:0"),
            (
                "https://127.0.0.1:2379",
                &format!("https://127.0.0.1:{}", secured.server.port()),
            ),
            (
                "/etc/kubernetes/pki/etcd/ca.crt",
                &format!(
                    "{}/ca.pem\n      serverName: component.example",
                    secured.directory.path().display()
                ),
            ),
            (
                "/etc/kubernetes/pki/apiserver-etcd-client.crt",
                &cert.display().to_string(),
            ),
            (
                "/etc/kubernetes/pki/apiserver-etcd-client.key",
                &key.display().to_string(),
            ),
        ],
    );
    let text = block_on(async {
        let mut caller = Caller::tcp(proxy.at(0), Speaks::Http2).await;
        caller.get("/").await.text()
    });
    assert_eq!(text, "HTTP/2.0 for component.example, 1 certificates");
}

#[test]
fn the_runtimes_socket_is_owned_like_the_original_and_serves_both_versions() {
    let directory = TempDir::new();
    let own = std::fs::metadata(directory.path()).expect("a directory");
    let (runtime, socket) = (directory.join("runtime"), directory.join("cri"));
    let _server = Server::start(Listen::Unix(runtime.clone()), async |_| {
        Response::new(full("here"))
    });
    let _proxy = start(
        "cri.yaml",
        &[
            ("127.0.0.1:9906", "127.0.0.1:0"),
            (
                "bind: unix:///run/tracegate/containerd/containerd.sock?mode=0660&uid=0&gid=0",
                &format!(
                    "bind: unix://{}?mode=0660&uid={}&gid={}",
                    socket.display(),
                    own.uid(),
                    own.gid()
                ),
            ),
            (
                "url: unix:///run/containerd/containerd.sock",
                &format!("url: unix://{}", runtime.display()),
            ),
        ],
    );
    let made = std::fs::metadata(&socket).expect("a socket");
    assert_eq!(made.mode() & 0o777, 0o660);
    assert_eq!((made.uid(), made.gid()), (own.uid(), own.gid()));
    block_on(async {
        for speaks in Speaks::BOTH {
            let mut caller = Caller::unix(&socket, speaks).await;
            assert_eq!(caller.get("/info").await.text(), "here", "{speaks:?}");
        }
    });
}
