//! Callers known by their process, and by address and certificate together.

use super::{Rig, ask, holder, trust_of};
use crate::caller::{Caller, Speaks, block_on};
use crate::component::Component;
use crate::files::TempDir;
use crate::proxy::{self, Proxy};

#[test]
fn a_process_is_trusted_by_its_user_and_group() {
    let uid = rustix::process::geteuid().as_raw();
    let gid = rustix::process::getegid().as_raw();
    let (component, directory) = (Component::start(), TempDir::new());
    let socket = directory.join("socket");
    let mut count = 0;
    for (from, expected, why) in [
        (format!("uids: [{uid}]"), "full", "this user"),
        (
            format!("uids: [{}, {uid}]", uid + 1),
            "full",
            "among others",
        ),
        (format!("uids: [{}]", uid + 1), "drop", "another user"),
        (format!("gids: [{gid}]"), "full", "this group"),
        (
            format!("uids: [{uid}], gids: [{}]", gid + 1),
            "drop",
            "the user alone",
        ),
    ] {
        let more = format!("  trust: {{rules: [{{from: {{unixPeer: {{{from}}}}}, as: full}}]}}\n");
        let upstream = format!("{{url: \"{}\"}}", component.url());
        let bind = format!("unix://{}", socket.display());
        let yaml = proxy::quiet(&upstream, &more).replace("127.0.0.1:0", &bind);
        let proxy = Proxy::start(&yaml);
        block_on(async {
            for speaks in Speaks::BOTH {
                let mut caller = Caller::unix(&socket, speaks).await;
                assert_eq!(ask(&mut caller).await.status, 200);
                count += 1;
                let seen = component.wait_for(count).remove(count - 1);
                assert_eq!(trust_of(&seen), expected, "{why}, {speaks:?}");
            }
        });
        proxy.stop();
    }
}

#[test]
fn address_and_certificate_have_to_hold_together() {
    const MORE: &str = "  proxyProtocol: {from: [127.0.0.0/8]}
  trust:
    rules:
    - from: {cidrs: [198.51.100.0/24], clientCert: {groups: [partner]}}
      as: full
";
    let rig = Rig::start("", MORE);
    let partner = rig.clients.sign(holder("a", "partner"));
    let other = rig.clients.sign(holder("a", "other"));
    const THERE: &str = "PROXY TCP4 198.51.100.7 192.0.2.1 4096 443\r\n";
    const ELSEWHERE: &str = "PROXY TCP4 198.51.101.7 192.0.2.1 4096 443\r\n";
    block_on(async {
        for (preface, identity, expected, why) in [
            (THERE, Some(&partner), "full", "both"),
            (ELSEWHERE, Some(&partner), "drop", "the certificate alone"),
            ("", Some(&partner), "drop", "the peer's own address"),
            (THERE, Some(&other), "drop", "another's certificate"),
            (THERE, None, "drop", "the address alone"),
        ] {
            let mut dialer = rig.dialer(identity);
            dialer.preface = preface;
            let mut caller = dialer.connect(rig.at(), Speaks::Http2).await;
            assert_eq!(trust_of(&rig.arrives(&mut caller).await), expected, "{why}");
        }
    });
}
