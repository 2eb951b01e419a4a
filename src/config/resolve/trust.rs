//! `listeners[].trust`: who is trusted how. A rule that can never match is a fault.

use http::HeaderName;
use ipnet::IpNet;

use crate::config::reader::{Field, Map};
use crate::config::values;
use crate::context::callers::{Callers, ClientCert, UnixPeers};
use crate::context::certificate::LONGEST_NAME;
use crate::context::trust::{MOST_RULES, Policy, Rule, Trust};
use crate::context::untrusted::{self, Stripper};
use crate::listen::settings::Bind;
use crate::span::record::Direction;

use super::identity;

/// The most names that count as context beside the known ones.
const MOST_NAMES: usize = 16;

const TRUST: [(&str, Trust); 3] = [
    ("drop", Trust::Drop),
    ("ids", Trust::Ids),
    ("full", Trust::Full),
];

/// What of a listener says which rules can match.
pub(super) struct Reach<'a> {
    pub direction: Direction,
    /// `None` if it couldn't be read.
    pub bind: Option<&'a Bind>,
    /// Why no caller is asked for a certificate; `None` if callers are.
    pub no_certificates: Option<&'static str>,
}

pub(super) fn read(map: &Map<'_>, reach: &Reach<'_>) -> Policy {
    let default = map.get("default").one_of(&TRUST, &[]);
    let default = default.unwrap_or(match reach.direction {
        Direction::Ingress => Trust::Drop,
        Direction::Egress => Trust::Full,
    });
    let field = map.get("rules");
    let rules = field.list();
    if rules.len() > MOST_RULES {
        field.fault(format!("expected at most {MOST_RULES} rules"));
    }
    let rules = rules.iter().filter_map(|field| rule(field, reach));
    Policy {
        default,
        rules: rules.collect(),
    }
}

/// `alsoContext`: names that count as context here. On ingress a field by which requests are joined
/// can't be one: the component wouldn't have it to copy.
pub(super) fn also_context(
    map: &Map<'_>,
    direction: Direction,
    correlate_by: &[HeaderName],
) -> Stripper {
    let ingress = direction == Direction::Ingress;
    let field = map.get("alsoContext");
    let items = field.list();
    if items.len() > MOST_NAMES {
        field.fault(format!("expected at most {MOST_NAMES} names"));
    }
    let mut names: Vec<String> = Vec::new();
    for item in &items {
        let Some(name) = item.read(identity::own_name) else {
            continue;
        };
        let folded = untrusted::fold(name.as_str());
        let is = |other: &str| untrusted::fold(other) == folded;
        if ingress && correlate_by.iter().any(|other| is(other.as_str())) {
            item.fault("propagation.correlateBy lists it: the component would have none to copy");
        } else if names.iter().any(|other| is(other)) {
            item.fault("this name stands here twice: case, -, _ and . don't count");
        } else {
            names.push(name.as_str().to_owned());
        }
    }
    Stripper::new(names.iter().map(String::as_str))
}

fn rule(field: &Field<'_>, reach: &Reach<'_>) -> Option<Rule> {
    let map = field.map()?;
    let trust = map.get("as").required().one_of(&TRUST, &[]);
    let from = map.get("from").required();
    Some(Rule {
        from: callers(&from, reach)?,
        trust: trust?,
    })
}

/// Whom a rule is about: every condition given must hold, and one must be given.
pub(super) fn callers(field: &Field<'_>, reach: &Reach<'_>) -> Option<Callers> {
    let map = field.map()?;
    let cidrs = map.get("cidrs");
    let client_cert = map.get("clientCert");
    let unix_peer = map.get("unixPeer");
    if ![&cidrs, &client_cert, &unix_peer]
        .iter()
        .any(|f| f.is_present())
    {
        field.fault("expected at least one of cidrs, clientCert or unixPeer");
    }
    if let (true, Some(why)) = (client_cert.is_present(), reach.no_certificates) {
        client_cert.fault(format!("can never match: {why}"));
    }
    if unix_peer.is_present() {
        if let Some(Bind::Tcp(_)) = reach.bind {
            unix_peer.fault("can never match: bind is no unix socket");
        } else if cidrs.is_present() {
            unix_peer
                .fault("can never match beside cidrs: callers of a unix socket have no address");
        }
    }
    Some(Callers {
        cidrs: networks(&cidrs),
        client_cert: client_cert.map().map(|map| certificate(&client_cert, &map)),
        unix_peer: unix_peer.map().map(|map| processes(&unix_peer, &map)),
    })
}

fn networks(field: &Field<'_>) -> Vec<IpNet> {
    members(field, "network", |item| item.read(values::cidr))
}

fn certificate(field: &Field<'_>, map: &Map<'_>) -> ClientCert {
    let keys = [
        map.get("commonNames"),
        map.get("groups"),
        map.get("dnsSANs"),
        map.get("uriSANs"),
    ];
    at_least_one(field, &keys, "commonNames, groups, dnsSANs or uriSANs");
    let [common_names, groups, dns_sans, uri_sans] = keys.map(|key| members(&key, "name", pattern));
    ClientCert {
        common_names,
        groups,
        dns_sans,
        uri_sans,
    }
}

fn pattern(field: &Field<'_>) -> Option<Box<str>> {
    field.read(|text| {
        let expected = || {
            format!("a name of 1 to {LONGEST_NAME} bytes without control characters, * for any run")
        };
        let fits = (1..=LONGEST_NAME).contains(&text.len()) && !text.chars().any(char::is_control);
        fits.then(|| text.into()).ok_or_else(expected)
    })
}

fn processes(field: &Field<'_>, map: &Map<'_>) -> UnixPeers {
    let keys = [map.get("uids"), map.get("gids")];
    at_least_one(field, &keys, "uids or gids");
    // The highest number stands for none.
    let id = |item: &Field<'_>| item.read_plain(values::small(0..=u32::MAX - 1));
    let [uids, gids] = keys.map(|key| members(&key, "id", id));
    UnixPeers { uids, gids }
}

fn at_least_one(field: &Field<'_>, keys: &[Field<'_>], words: &str) {
    if !keys.iter().any(Field::is_present) {
        field.fault(format!("expected at least one of {words}"));
    }
}

/// A list that, if it is there, has members.
fn members<T>(field: &Field<'_>, what: &str, read: impl Fn(&Field<'_>) -> Option<T>) -> Vec<T> {
    let items = field.list();
    if items.is_empty() && field.is_list() {
        field.fault(format!("expected at least one {what}"));
    }
    items.iter().filter_map(read).collect()
}
