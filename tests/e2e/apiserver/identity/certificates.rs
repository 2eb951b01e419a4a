//! Which certificate the proxy itself presents, and for whom.

use std::time::Duration;

use serde_json::Value;

use super::super::pki::{Pki, user};
use super::super::{DEVELOPER, Rig, bearer, get, username, whoami};
use super::{REQUEST_HEADER, certificate_of};
use crate::caller::{Speaks, block_on, block_on_for};
use crate::files::Authority;

#[test]
fn connections_with_the_front_proxys_certificate_carry_verified_callers_alone() {
    let rig = Rig::start(REQUEST_HEADER);
    let (alice, bearer) = (rig.pki.user("alice", &["dev"]), bearer());
    block_on(async {
        for speaks in Speaks::BOTH {
            let mut verified = rig.caller(Some(&alice), speaks).await;
            let mut others = rig.caller(None, speaks).await;
            for _ in 0..5 {
                let seen = whoami(&mut verified, &[]).await;
                assert_eq!(username(&seen), "alice");
                assert_eq!(certificate_of(&seen), Some(Pki::FRONT_PROXY));
                let seen = whoami(&mut others, &[("authorization", &bearer)]).await;
                assert_eq!(username(&seen), DEVELOPER);
                assert_eq!(certificate_of(&seen), None);
                let seen = whoami(&mut others, &[]).await;
                assert_eq!(username(&seen), "system:anonymous");
                assert_eq!(certificate_of(&seen), None);
            }
        }
    });
    for event in rig.server.audit() {
        let user = event.user.expect("authorized");
        let remote = event
            .headers
            .keys()
            .filter(|name| name.as_str().starts_with("x-remote-"));
        assert_eq!(remote.count() > 0, event.certificate.is_some());
        assert_eq!(user.name == "alice", event.certificate.is_some());
    }
}

#[test]
fn a_front_proxys_renewed_certificate_is_presented_without_a_restart() {
    // A caller's connection has an upstream connection of its own: a new one reads the files anew.
    let rig = Rig::with_upstream("share: connection,", REQUEST_HEADER);
    let alice = rig.pki.user("alice", &["dev"]);
    let stranger = Authority::new().sign(user(Pki::FRONT_PROXY, &[]));
    block_on_for(Duration::from_secs(40), async {
        for (certificate, status) in [
            (rig.pki.front_proxy(), 200),
            // Of an authority the server doesn't know: nobody's word.
            (stranger, 401),
            (rig.pki.front_proxy(), 200),
        ] {
            certificate.write(&rig.pki.directory, "front-proxy");
            let changed = async {
                loop {
                    let mut caller = rig.caller(Some(&alice), Speaks::Http2).await;
                    if get(&mut caller, "/whoami", &[]).await.status == status {
                        return;
                    }
                    tokio::time::sleep(Duration::from_millis(20)).await;
                }
            };
            let changed = tokio::time::timeout(Duration::from_secs(5), changed).await;
            changed.expect("within seconds");
        }
    });
}

/// For servers that take no proxy's word, like a kubelet: a certificate per caller that it stands for.
#[test]
fn a_reoriginated_certificate_is_presented_for_the_caller_it_maps_to_alone() {
    let pki = Pki::new();
    pki.user("kubelet-api-client", &["dev"])
        .write(&pki.directory, "reoriginated");
    let identity = "  identity:
    reoriginate:
    - from: {clientCert: {commonNames: [kube-apiserver-kubelet-client]}}
      tls: {certFile: $PKI/reoriginated.crt, keyFile: $PKI/reoriginated.key}
";
    let rig = Rig::of(pki, "", identity);
    let mapped = rig
        .pki
        .user("kube-apiserver-kubelet-client", &["system:masters"]);
    let pretender = Authority::new().sign(user("kube-apiserver-kubelet-client", &[]));
    let alice = rig.pki.user("alice", &["dev"]);
    let bearer = bearer();
    let token = ("authorization", bearer.as_str());
    block_on(async {
        for speaks in Speaks::BOTH {
            let mut caller = rig.caller(Some(&mapped), speaks).await;
            let mut other = rig.caller(None, speaks).await;
            for _ in 0..3 {
                let seen = whoami(&mut caller, &[]).await;
                assert_eq!(username(&seen), "kubelet-api-client", "{speaks:?}");
                let seen = whoami(&mut other, &[token]).await;
                assert_eq!(username(&seen), DEVELOPER);
                assert_eq!(certificate_of(&seen), None);
            }
            // Verified, and mapped to nothing: it may be refused, but nobody's certificate is its.
            for stranger in [&alice, &pretender] {
                let mut caller = rig.caller(Some(stranger), speaks).await;
                let answer = get(&mut caller, "/whoami", &[]).await;
                if answer.status == 200 {
                    let seen: Value = serde_json::from_str(&answer.text()).expect("JSON");
                    assert_eq!(certificate_of(&seen), None, "{seen}");
                    assert_eq!(username(&seen), "system:anonymous");
                }
            }
        }
    });
}
