//! What the authorities' own certificates say: it binds whoever they issued to.

use std::time::{Duration, SystemTime};

use rcgen::{IsCa, KeyUsagePurpose};

use super::change::{trusted_until, until_judged};
use super::{Dialer, RULES, Rig, ask, holder, trust_of, until};
use crate::caller::{Speaks, block_on};
use crate::component::Component;
use crate::files::{Authority, TempDir};
use crate::process::Process;
use crate::proxy;

#[test]
fn nobody_is_trusted_by_an_authority_that_has_expired_until_it_is_renewed() {
    let expired = SystemTime::now() - Duration::from_secs(60);
    let rig = Rig::of(
        Authority::of(until(Authority::params(), expired)),
        "",
        RULES,
    );
    let monitor = rig.monitor();
    let (old, renewed) = (rig.clients.pem(), rig.clients.renewed());
    block_on(async {
        let mut callers = Vec::new();
        for speaks in Speaks::BOTH {
            let mut caller = rig.dialer(Some(&monitor)).connect(rig.at(), speaks).await;
            assert_eq!(trust_of(&rig.arrives(&mut caller).await), "drop");
            callers.push(caller);
        }
        // Of the same name and key, beside it.
        for file in [old.clone() + &renewed, renewed + &old] {
            for (authorities, expected) in [(file, "full"), (old.clone(), "drop")] {
                rig.directory.file("clients.pem", authorities);
                for caller in &mut callers {
                    until_judged(&rig, caller, expected).await;
                }
            }
        }
    });
}

#[test]
fn an_authority_that_expires_is_trusted_no_longer_on_open_connections() {
    let end = SystemTime::now() + Duration::from_secs(6);
    let rig = Rig::of(Authority::of(until(Authority::params(), end)), "", RULES);
    trusted_until(&rig, &rig.monitor(), end);
}

#[test]
fn an_authority_between_may_issue_only_what_its_keys_usage_says() {
    let rig = Rig::start("", RULES);
    for (usages, expected, why) in [
        (vec![KeyUsagePurpose::KeyCertSign], "full", "certificates"),
        (vec![], "full", "no word on it"),
        (vec![KeyUsagePurpose::CrlSign], "drop", "no certificates"),
    ] {
        let mut params = Authority::params();
        params.key_usages = usages;
        params.distinguished_name = holder("between", "x").distinguished_name;
        let between = rig.clients.between(params);
        let monitor = holder("prometheus", "system:monitoring");
        let monitor = between.sign(monitor).with(&between);
        block_on(async {
            for speaks in Speaks::BOTH {
                let mut caller = rig.dialer(Some(&monitor)).connect(rig.at(), speaks).await;
                let seen = rig.arrives(&mut caller).await;
                assert_eq!(trust_of(&seen), expected, "{why}, {speaks:?}");
            }
        });
    }
}

/// What strays into the file would issue any identity.
#[test]
fn a_callers_certificate_among_the_authorities_leaves_the_old_ones_in_place() {
    let (clients, server) = (Authority::new(), Authority::new());
    let (directory, component) = (TempDir::new(), Component::start());
    let (cert, key) = server.issue(&["a.example"]).write(&directory, "server");
    let ca = directory.file("clients.pem", clients.pem());
    let more = format!(
        "  tls:
    certificates: [{{certFile: \"{}\", keyFile: \"{}\"}}]
    clientCAFile: \"{}\"
",
        cert.display(),
        key.display(),
        ca.display()
    );
    let upstream = format!("{{url: \"{}\"}}", component.url());
    let yaml = proxy::quiet(&upstream, &format!("{more}{RULES}"));
    let mut process = Process::start(&directory, &yaml);
    let at = process.address("quiet");

    let mut params = Authority::params();
    params.is_ca = IsCa::ExplicitNoCa;
    params.distinguished_name = holder("stray", "dev").distinguished_name;
    let stray = clients.between(params);
    let [ours, its] = [&clients, &stray].map(|by| by.sign(holder("a", "system:monitoring")));
    directory.file("clients.pem", clients.pem() + &stray.pem());
    process.wait_for("the configuration was not reloaded; the running one stays");
    let mut count = 0;
    for (identity, expected) in [(&ours, "full"), (&its, "drop")] {
        let mut dialer = Dialer::new(&server, Some(identity), rustls::ALL_VERSIONS);
        block_on(async {
            let mut caller = dialer.connect(at, Speaks::Http2).await;
            assert_eq!(ask(&mut caller).await.status, 200);
        });
        count += 1;
        let seen = component.wait_for(count).remove(count - 1);
        assert_eq!(trust_of(&seen), expected);
    }
    directory.file("clients.pem", clients.pem() + &Authority::new().pem());
    process.wait_for("configuration reloaded");
}
