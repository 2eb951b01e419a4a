//! `config/apiserver.yaml` and `config/kubelet.yaml` as they stand, with addresses and files of this
//! test's own in place of a node's.

use super::passes::a_mebibyte_of_fields;
use super::pki::Pki;
use super::share::more_watches_than_a_connection_takes;
use super::{DEVELOPER, StandIn, bearer, connect, get, seen_values, standin, username, whoami};
use crate::caller::{Speaks, block_on};
use crate::proxy::Proxy;
use crate::ready_made;

const UNTRUSTED: (&str, &str) = (
    "traceparent",
    "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
);

/// Starts a file of `config/` in front of the server; `addresses` are those of the listener, of
/// health and of the upstream, `files` keys, what stands there, and what is in the authorities' directory.
fn front(
    name: &str,
    pki: &Pki,
    server: &StandIn,
    addresses: [&str; 3],
    server_name: &str,
    files: &[(&str, &str, &str)],
    more: &[(&str, &str)],
) -> Proxy {
    let [bind, health, upstream] = addresses;
    let upstream_here = format!("https://{}", server.address());
    let server_name = format!("serverName: {server_name}");
    let server_name_here = format!("serverName: {}", Pki::NAME);
    let mut replacements = vec![
        (format!("bind: {bind}"), "bind: 127.0.0.1:0".to_owned()),
        (health.to_owned(), "127.0.0.1:0".to_owned()),
        (upstream.to_owned(), upstream_here),
        (server_name, server_name_here),
    ];
    replacements.extend(files.iter().map(|(key, there, here)| {
        let here = pki.path(here);
        (format!("{key}: {there}"), format!("{key}: {here}"))
    }));
    let replacements: Vec<_> = replacements
        .iter()
        .map(|(there, here)| (there.as_str(), here.as_str()))
        .chain(more.iter().copied())
        .collect();
    ready_made::start(name, &replacements)
}

/// `config/apiserver.yaml` in front of the server.
fn in_front_of_the_apiserver(pki: &Pki, server: &StandIn) -> Proxy {
    front(
        "apiserver.yaml",
        pki,
        server,
        [
            "192.0.2.10:6443",
            "127.0.0.1:9902",
            "https://127.0.0.1:6443",
        ],
        "kubernetes.default.svc",
        &[
            (
                "certFile",
                "/etc/kubernetes/pki/apiserver.crt",
                "serving.crt",
            ),
            (
                "keyFile",
                "/etc/kubernetes/pki/apiserver.key",
                "serving.key",
            ),
            // The cluster has one authority for both.
            (
                "clientCAFile",
                "/etc/kubernetes/pki/ca.crt",
                "clients-ca.pem",
            ),
            ("caFile", "/etc/kubernetes/pki/ca.crt", "serving-ca.pem"),
            (
                "certFile",
                "/etc/kubernetes/pki/front-proxy-client.crt",
                "front-proxy.crt",
            ),
            (
                "keyFile",
                "/etc/kubernetes/pki/front-proxy-client.key",
                "front-proxy.key",
            ),
        ],
        &[],
    )
}

#[test]
fn the_apiserver_knows_callers_by_certificate_token_and_not_at_all() {
    let pki = Pki::new();
    let server = standin(&pki);
    let proxy = in_front_of_the_apiserver(&pki, &server);
    let alice = pki.user("alice", &["dev"]);
    let admin = pki.user("admin", &["system:masters"]);
    block_on(async {
        for speaks in Speaks::BOTH {
            let at = proxy.at(0);
            let mut caller = connect(&pki, Some(&alice), at, speaks).await;
            let seen = whoami(&mut caller, &[UNTRUSTED]).await;
            assert_eq!(username(&seen), "alice", "{speaks:?}");
            assert_eq!(seen["certificate"], Pki::FRONT_PROXY);
            assert!(!seen_values(&seen, "traceparent")[0].contains("0af7651916cd43dd"));

            let mut caller = connect(&pki, Some(&admin), at, speaks).await;
            let seen = whoami(&mut caller, &[UNTRUSTED]).await;
            assert!(seen_values(&seen, "traceparent")[0].contains("0af7651916cd43dd"));

            let mut caller = connect(&pki, None, at, speaks).await;
            let forged = ("x-remote-user", "admin");
            let seen = whoami(&mut caller, &[("authorization", &bearer()), forged]).await;
            assert_eq!(username(&seen), DEVELOPER, "{speaks:?}");
            assert!(seen["certificate"].is_null());

            let mut caller = connect(&pki, None, at, speaks).await;
            assert_eq!(get(&mut caller, "/livez", &[]).await.status, 200);
        }
    });
}

#[test]
fn more_watches_than_the_apiserver_takes_on_a_connection_are_all_served_on_one() {
    let pki = Pki::new();
    let server = standin(&pki);
    let proxy = in_front_of_the_apiserver(&pki, &server);
    block_on(async {
        let mut caller = connect(&pki, None, proxy.at(0), Speaks::Http2).await;
        more_watches_than_a_connection_takes(&mut caller, &server).await;
    });
}

#[test]
fn a_mebibyte_of_fields_passes_to_the_apiserver() {
    let pki = Pki::new();
    let server = standin(&pki);
    let proxy = in_front_of_the_apiserver(&pki, &server);
    block_on(async {
        for speaks in Speaks::BOTH {
            let mut caller = connect(&pki, None, proxy.at(0), speaks).await;
            a_mebibyte_of_fields(&mut caller, &server).await;
        }
    });
}

/// In front of a kubelet, which takes this node's own certificate for a developer's; `more` are further
/// replacements.
pub fn kubelet(pki: &Pki, server: &StandIn, more: &[(&str, &str)]) -> Proxy {
    let own = pki.user("tracegate-kubelet-node-1", &["dev"]);
    own.write(&pki.directory, "own");
    front(
        "kubelet.yaml",
        pki,
        server,
        ["fd:kubelet", "127.0.0.1:9905", "https://127.0.0.1:10250"],
        "node-1",
        &[
            (
                "certFile",
                "/var/lib/kubelet/pki/kubelet.crt",
                "serving.crt",
            ),
            ("keyFile", "/var/lib/kubelet/pki/kubelet.key", "serving.key"),
            (
                "clientCAFile",
                "/etc/kubernetes/pki/ca.crt",
                "clients-ca.pem",
            ),
            (
                "caFile",
                "/var/lib/kubelet/pki/kubelet.crt",
                "serving-ca.pem",
            ),
            ("certFile", "/etc/tracegate/kubelet-client.crt", "own.crt"),
            ("keyFile", "/etc/tracegate/kubelet-client.key", "own.key"),
        ],
        more,
    )
}

#[test]
fn the_kubelet_hears_its_own_nodes_certificate_for_the_apiservers_and_tokens_unchanged() {
    let pki = Pki::new();
    let server = standin(&pki);
    let proxy = kubelet(&pki, &server, &[]);
    let apiserver = pki.user("kube-apiserver-kubelet-client", &[]);
    let other = pki.user("alice", &["system:masters"]);
    block_on(async {
        for speaks in Speaks::BOTH {
            let at = proxy.at(0);
            let mut caller = connect(&pki, Some(&apiserver), at, speaks).await;
            let seen = whoami(&mut caller, &[UNTRUSTED]).await;
            assert_eq!(username(&seen), "tracegate-kubelet-node-1", "{speaks:?}");
            assert!(seen_values(&seen, "traceparent")[0].contains("0af7651916cd43dd"));

            let mut caller = connect(&pki, None, at, speaks).await;
            let seen = whoami(&mut caller, &[("authorization", &bearer())]).await;
            assert_eq!(username(&seen), DEVELOPER, "{speaks:?}");

            let mut caller = connect(&pki, Some(&other), at, speaks).await;
            let answer = get(&mut caller, "/whoami", &[]).await;
            assert!(
                !answer.text().contains("alice"),
                "nobody vouches for others"
            );
        }
    });
}
