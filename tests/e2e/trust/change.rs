//! What changes a verdict while connections live: time, the file of authorities, a new session.

use std::time::{Duration, Instant, SystemTime};

use rustls::HandshakeKind;

use super::{Dialer, RULES, Rig, V1_2, V1_3, holder, trust_of, until};
use crate::caller::{Caller, Speaks, block_on};
use crate::component::PATIENCE;
use crate::files::{Authority, Issued};

async fn past(end: SystemTime) {
    let left = end.duration_since(SystemTime::now()).unwrap_or_default();
    tokio::time::sleep(left + Duration::from_secs(1)).await;
}

#[test]
fn a_certificate_that_expires_is_trusted_no_longer_on_the_same_connection() {
    let rig = Rig::start("", RULES);
    let end = SystemTime::now() + Duration::from_secs(6);
    let short = rig
        .clients
        .sign(until(holder("a", "system:monitoring"), end));
    trusted_until(&rig, &short, end);
}

/// On connections that were open before, too.
pub fn trusted_until(rig: &Rig, identity: &Issued, end: SystemTime) {
    block_on(async {
        let mut callers = Vec::new();
        for speaks in Speaks::BOTH {
            let mut caller = rig.dialer(Some(identity)).connect(rig.at(), speaks).await;
            assert_eq!(trust_of(&rig.arrives(&mut caller).await), "full");
            callers.push(caller);
        }
        past(end).await;
        for caller in &mut callers {
            assert_eq!(trust_of(&rig.arrives(caller).await), "drop");
        }
    });
}

#[test]
fn a_resumed_session_is_judged_anew() {
    let rig = Rig::start("", RULES);
    let end = SystemTime::now() + Duration::from_secs(7);
    let short = rig
        .clients
        .sign(until(holder("a", "system:monitoring"), end));
    block_on(async {
        let mut dialers = [V1_2, V1_3].map(|v| Dialer::new(&rig.server, Some(&short), v));
        for dialer in &mut dialers {
            for expected in [HandshakeKind::Full, HandshakeKind::Resumed] {
                let dialed = dialer.dial(rig.at(), Speaks::Http1).await;
                let (mut caller, kind) = dialed.expect("a handshake");
                assert_eq!(kind, expected);
                assert_eq!(trust_of(&rig.arrives(&mut caller).await), "full");
            }
        }
        past(end).await;
        for dialer in &mut dialers {
            let dialed = dialer.dial(rig.at(), Speaks::Http1).await;
            let (mut caller, kind) = dialed.expect("a handshake");
            assert_eq!(kind, HandshakeKind::Resumed);
            assert_eq!(trust_of(&rig.arrives(&mut caller).await), "drop");
        }
    });
}

/// Asks until that is the verdict.
pub async fn until_judged(rig: &Rig, caller: &mut Caller, expected: &str) {
    let deadline = Instant::now() + PATIENCE;
    while trust_of(&rig.arrives(caller).await) != expected {
        assert!(Instant::now() < deadline, "never {expected}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[test]
fn a_replaced_file_of_authorities_changes_the_verdict_on_live_connections() {
    let rig = Rig::start("", RULES);
    let (ours, theirs) = (rig.clients.pem(), Authority::new().pem());
    let monitor = rig.monitor();
    block_on(async {
        let mut callers = Vec::new();
        for speaks in Speaks::BOTH {
            let mut caller = rig.dialer(Some(&monitor)).connect(rig.at(), speaks).await;
            assert_eq!(trust_of(&rig.arrives(&mut caller).await), "full");
            callers.push(caller);
        }
        for (authorities, expected) in [(theirs.clone(), "drop"), (ours.clone() + &theirs, "full")]
        {
            rig.directory.file("clients.pem", authorities);
            for caller in &mut callers {
                until_judged(&rig, caller, expected).await;
            }
        }
    });
}
