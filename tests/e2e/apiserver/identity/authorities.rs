//! Identities end with the authorities that vouch for them, and none come of who may issue none.

use std::time::{Duration, SystemTime};

use rcgen::{IsCa, KeyUsagePurpose};

use super::super::pki::{Pki, user};
use super::super::{Rig, username, whoami};
use super::REQUEST_HEADER;
use super::verdicts::{alice_until, nobody_but_by_token};
use crate::caller::{Speaks, block_on};
use crate::files::Authority;
use crate::trust::until;

/// A rig whose callers' authority is valid until then.
fn rig_until(end: SystemTime) -> Rig {
    let mut pki = Pki::new();
    pki.clients = Authority::of(until(Authority::params(), end));
    pki.directory.file("clients-ca.pem", pki.clients.pem());
    Rig::of(pki, "", REQUEST_HEADER)
}

#[test]
fn an_authority_that_has_expired_makes_nobody_known() {
    let rig = rig_until(SystemTime::now() - Duration::from_secs(60));
    let admin = rig.pki.user("admin", &["system:masters"]);
    block_on(async {
        for speaks in Speaks::BOTH {
            let mut caller = rig.caller(Some(&admin), speaks).await;
            nobody_but_by_token(&mut caller).await;
        }
    });
}

#[test]
fn an_authority_that_expires_ends_identities_on_open_connections() {
    let end = SystemTime::now() + Duration::from_secs(6);
    let rig = rig_until(end);
    let alice = rig.pki.user("alice", &["dev"]);
    alice_until(&rig, &alice, end);
}

#[test]
fn a_renewed_authority_beside_the_expired_one_keeps_its_callers() {
    let mut pki = Pki::new();
    let expired = SystemTime::now() - Duration::from_secs(60);
    pki.clients = Authority::of(until(Authority::params(), expired));
    let both = pki.clients.pem() + &pki.clients.renewed();
    pki.directory.file("clients-ca.pem", both);
    let rig = Rig::of(pki, "", REQUEST_HEADER);
    let alice = rig.pki.user("alice", &["dev"]);
    block_on(async {
        for speaks in Speaks::BOTH {
            let mut caller = rig.caller(Some(&alice), speaks).await;
            assert_eq!(username(&whoami(&mut caller, &[]).await), "alice");
        }
    });
}

/// A certificate that was issued to a caller, and one that may sign lists alone, issue no others.
#[test]
fn nobody_is_known_by_a_certificate_that_may_issue_none() {
    let rig = Rig::start(REQUEST_HEADER);
    let named = || {
        let mut params = Authority::params();
        params.distinguished_name = user("mallory", &["dev"]).distinguished_name;
        params
    };
    let mut callers_own = named();
    callers_own.is_ca = IsCa::ExplicitNoCa;
    let mut lists_alone = named();
    lists_alone.key_usages = vec![KeyUsagePurpose::CrlSign];
    for (params, expected) in [(named(), true), (callers_own, false), (lists_alone, false)] {
        let between = rig.pki.clients.between(params);
        let admin = between.sign(user("admin", &["system:masters"]));
        let admin = admin.with(&between);
        block_on(async {
            for speaks in Speaks::BOTH {
                let mut caller = rig.caller(Some(&admin), speaks).await;
                match expected {
                    true => assert_eq!(username(&whoami(&mut caller, &[]).await), "admin"),
                    false => nobody_but_by_token(&mut caller).await,
                }
            }
        });
    }
}
