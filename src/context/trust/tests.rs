use super::super::callers::{Callers, ClientCert, UnixPeer, UnixPeers};
use super::super::certificate::{Names, Subject};
use super::*;

fn rule(cidrs: &[&str], trust: Trust) -> Rule {
    let from = Callers {
        cidrs: cidrs.iter().map(|net| net.parse().unwrap()).collect(),
        ..Callers::default()
    };
    Rule { from, trust }
}

fn judge(policy: &Policy, address: &str) -> Verdict {
    policy.judge(&Caller {
        address: Some(address.parse().unwrap()),
        ..Caller::default()
    })
}

fn policy() -> Policy {
    Policy {
        default: Trust::Drop,
        rules: vec![
            rule(&["10.1.0.0/16", "fd00::/8"], Trust::Full),
            rule(&["10.0.0.0/8"], Trust::Ids),
            rule(&["10.1.2.3/32"], Trust::Drop),
        ],
    }
}

#[test]
fn the_first_rule_that_matches_wins() {
    for (address, trust, rule) in [
        ("10.1.2.3", Trust::Full, Some(0)),
        ("10.1.255.255", Trust::Full, Some(0)),
        ("10.2.0.0", Trust::Ids, Some(1)),
        ("fd00::1", Trust::Full, Some(0)),
        ("11.0.0.1", Trust::Drop, None),
        ("fe80::1", Trust::Drop, None),
    ] {
        assert_eq!(
            judge(&policy(), address),
            Verdict { trust, rule },
            "{address}"
        );
    }
}

#[test]
fn rules_of_different_kinds_are_tried_in_their_order() {
    let names = Names {
        subject: Some(Subject {
            common_name: "prometheus".into(),
            groups: ["system:monitoring".into()].into(),
            uid: None,
        }),
        dns: Box::default(),
        uris: Box::default(),
    };
    let by_group = Rule {
        from: Callers {
            client_cert: Some(ClientCert {
                groups: vec!["system:monitoring".into()],
                ..ClientCert::default()
            }),
            ..Callers::default()
        },
        trust: Trust::Full,
    };
    let by_user = Rule {
        from: Callers {
            unix_peer: Some(UnixPeers {
                uids: vec![0],
                gids: vec![],
            }),
            ..Callers::default()
        },
        trust: Trust::Ids,
    };
    let network = rule(&["10.0.0.0/8"], Trust::Drop);
    let policy = |rules: &[&Rule]| Policy {
        default: Trust::Drop,
        rules: rules.iter().map(|rule| (*rule).clone()).collect(),
    };
    let address = Some("10.0.0.1".parse().unwrap());
    let monitor = Caller {
        address,
        certificate: Some(&names),
        unix: None,
    };
    let unverified = Caller {
        certificate: None,
        ..monitor
    };
    let root = Caller {
        unix: Some(UnixPeer { uid: 0, gid: 0 }),
        ..Caller::default()
    };
    for (rules, caller, trust, rule, why) in [
        (
            &[&by_group, &network][..],
            &monitor,
            Trust::Full,
            Some(0),
            "the group stands first",
        ),
        (
            &[&network, &by_group],
            &monitor,
            Trust::Drop,
            Some(0),
            "the network stands first",
        ),
        (
            &[&by_group, &network],
            &unverified,
            Trust::Drop,
            Some(1),
            "nothing is known of it",
        ),
        (
            &[&by_group, &by_user],
            &root,
            Trust::Ids,
            Some(1),
            "a process",
        ),
        (
            &[&by_group],
            &root,
            Trust::Drop,
            None,
            "no rule is about it",
        ),
        (&[], &monitor, Trust::Drop, None, "no rule at all"),
    ] {
        assert_eq!(
            policy(rules).judge(caller),
            Verdict { trust, rule },
            "{why}"
        );
    }
    assert!(policy(&[&network, &by_group]).looks_at_certificates());
    assert!(!policy(&[&network, &by_user]).looks_at_certificates());
}

#[test]
fn an_ipv4_mapped_address_is_judged_as_the_ipv4_address() {
    assert_eq!(judge(&policy(), "::ffff:10.1.0.1").trust, Trust::Full);
    assert_eq!(judge(&policy(), "::ffff:11.0.0.1").trust, Trust::Drop);
}

#[test]
fn a_caller_without_address_gets_the_default_whatever_the_networks() {
    let everyone = rule(&["0.0.0.0/0", "::/0"], Trust::Full);
    for default in [Trust::Drop, Trust::Ids, Trust::Full] {
        let policy = Policy {
            default,
            rules: vec![everyone.clone()],
        };
        assert_eq!(policy.judge(&Caller::default()).trust, default);
    }
}

#[test]
fn a_rule_without_conditions_matches_nobody() {
    let policy = Policy {
        default: Trust::Drop,
        rules: vec![rule(&[], Trust::Full)],
    };
    assert_eq!(judge(&policy, "127.0.0.1").trust, Trust::Drop);
}
