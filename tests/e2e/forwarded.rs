//! Who called, told to the component: by mode, trust, direction and kind of address.

use std::path::PathBuf;

use super::component::{Component, Seen};
use super::proxy::{self, Proxy};
use super::receiver::Scratch;
use super::wire::{self, Wire};

const NAMES: [&str; 6] = [
    "x-forwarded-for",
    "x-forwarded-proto",
    "x-forwarded-host",
    "x-forwarded-port",
    "forwarded",
    "x-real-ip",
];

/// What a caller may claim.
const CLAIMED: [&str; 6] = [
    "203.0.113.9",
    "https",
    "claimed.example",
    "8443",
    "for=203.0.113.9;proto=https",
    "203.0.113.9",
];

const UNTOUCHED: [Option<&str>; 6] = [
    Some(CLAIMED[0]),
    Some(CLAIMED[1]),
    Some(CLAIMED[2]),
    Some(CLAIMED[3]),
    Some(CLAIMED[4]),
    Some(CLAIMED[5]),
];

const REPLACED: [Option<&str>; 6] = [
    Some("127.0.0.1"),
    Some("http"),
    Some("example.com"),
    None,
    Some("for=127.0.0.1;proto=http"),
    Some("127.0.0.1"),
];

const APPENDED: [Option<&str>; 6] = [
    Some("203.0.113.9, 127.0.0.1"),
    Some("https"),
    Some("claimed.example"),
    Some("8443"),
    Some("for=203.0.113.9;proto=https, for=127.0.0.1;proto=http"),
    Some("203.0.113.9"),
];

/// What is told where nothing was claimed.
const TOLD: [Option<&str>; 6] = [Some("127.0.0.1"), Some("http"), None, None, None, None];
const SILENCE: [Option<&str>; 6] = [None; 6];

struct Rig {
    proxy: Proxy,
    component: Component,
}

impl Rig {
    fn start(bind: &str, more: &str) -> Self {
        let component = Component::start();
        let listeners = format!(
            "- name: a\n  bind: {bind}\n  upstream: {{url: \"{}\"}}\n{more}",
            component.url()
        );
        let yaml = proxy::custom("  export: {protocol: none}", &listeners);
        let proxy = Proxy::start(&yaml);
        Self { proxy, component }
    }

    fn call(&self, fields: &str) -> Seen {
        let request = format!("GET / HTTP/1.1\r\nHost: example.com\r\n{fields}\r\n");
        let before = self.component.seen().len();
        let (head, _) = Wire::connect(self.proxy.at(0)).ask(request);
        assert_eq!(wire::status(&head), 200);
        self.component.wait_for(before + 1).remove(before)
    }
}

fn claims() -> String {
    let lines = NAMES.iter().zip(CLAIMED);
    lines
        .map(|(name, value)| format!("{name}: {value}\r\n"))
        .collect()
}

fn assert_told(seen: &Seen, expected: [Option<&str>; 6], why: &str) {
    for (name, expected) in NAMES.iter().zip(expected) {
        assert_eq!(seen.value(name).as_deref(), expected, "{why}: {name}");
    }
}

#[test]
fn every_mode_tells_what_it_says_for_every_trust_and_direction() {
    let rows = [
        ("ingress", "drop", "auto", REPLACED, TOLD),
        ("ingress", "ids", "auto", APPENDED, TOLD),
        ("ingress", "full", "auto", APPENDED, TOLD),
        ("egress", "drop", "auto", UNTOUCHED, SILENCE),
        ("egress", "full", "auto", UNTOUCHED, SILENCE),
        ("ingress", "drop", "replace", REPLACED, TOLD),
        ("ingress", "full", "replace", REPLACED, TOLD),
        ("egress", "full", "replace", REPLACED, TOLD),
        ("ingress", "drop", "append", APPENDED, TOLD),
        ("ingress", "full", "append", APPENDED, TOLD),
        ("egress", "full", "append", APPENDED, TOLD),
        ("ingress", "drop", "off", UNTOUCHED, SILENCE),
        ("ingress", "full", "off", UNTOUCHED, SILENCE),
        ("egress", "full", "off", UNTOUCHED, SILENCE),
    ];
    for (direction, trust, mode, claimed, silent) in rows {
        let why = format!("{direction}, {trust}, {mode}");
        let rig = Rig::start(
            "127.0.0.1:0",
            &format!(
                "  direction: {direction}\n  trust: {{default: {trust}}}\n  forwarded: {mode}\n"
            ),
        );
        assert_told(&rig.call(&claims()), claimed, &why);
        assert_told(&rig.call(""), silent, &why);
    }
}

#[test]
fn the_default_is_auto() {
    let rig = Rig::start("127.0.0.1:0", "");
    assert_told(&rig.call(&claims()), REPLACED, "ingress");
    let rig = Rig::start("127.0.0.1:0", "  direction: egress\n");
    assert_told(&rig.call(&claims()), UNTOUCHED, "egress");
}

#[test]
fn claims_on_several_lines_are_replaced_or_appended_to_as_one() {
    let twice = "X-Forwarded-For: 203.0.113.9\r\nX-Forwarded-For: 203.0.113.10, 203.0.113.11\r\n\
                 X-Forwarded-Proto: https\r\nX-Forwarded-Proto: wss\r\n\
                 Forwarded: for=a\r\nForwarded: for=b\r\nX-Real-Ip: 1.1.1.1\r\nX-Real-Ip: 2.2.2.2\r\n\
                 X-Forwarded-Host: a\r\nX-Forwarded-Host: b\r\n";
    let seen = Rig::start("127.0.0.1:0", "").call(twice);
    assert_told(
        &seen,
        [
            REPLACED[0],
            REPLACED[1],
            REPLACED[2],
            None,
            REPLACED[4],
            REPLACED[5],
        ],
        "replaced",
    );
    let seen = Rig::start("127.0.0.1:0", "  trust: {default: full}\n").call(twice);
    assert_eq!(
        seen.values("x-forwarded-for"),
        ["203.0.113.9, 203.0.113.10, 203.0.113.11, 127.0.0.1"]
    );
    assert_eq!(
        seen.values("forwarded"),
        ["for=a, for=b, for=127.0.0.1;proto=http"]
    );
}

#[test]
fn an_untrusted_callers_aliases_do_not_stand_beside_what_is_told() {
    let seen = Rig::start("127.0.0.1:0", "").call(
        "X_Forwarded_For: 203.0.113.9\r\nX.Forwarded.Proto: https\r\nX_Forwarded_Host: b\r\n\
         x_forwarded-port: 1\r\nX_Real_IP: 203.0.113.9\r\nX_Real_Ip: 203.0.113.9\r\n",
    );
    assert_told(&seen, TOLD, "no claims by their own names");
    let names: Vec<&str> = seen.headers.keys().map(http::HeaderName::as_str).collect();
    assert!(
        !names
            .iter()
            .any(|name| name.contains('_') || name.contains('.')),
        "{names:?}"
    );
}

#[test]
fn an_ipv6_caller_is_told_as_each_field_writes_it() {
    let rig = Rig::start("\"[::1]:0\"", "");
    let seen = rig.call("Forwarded: for=a\r\nX-Real-Ip: 1.1.1.1\r\n");
    assert_eq!(seen.values("x-forwarded-for"), ["::1"]);
    assert_eq!(seen.values("x-real-ip"), ["::1"]);
    assert_eq!(seen.values("forwarded"), ["for=\"[::1]\";proto=http"]);
}

#[test]
fn an_ipv4_caller_of_an_ipv6_socket_is_told_as_ipv4() {
    let rig = Rig::start("\"[::]:0\"", "");
    let port = rig.proxy.at(0).port();
    let address = std::net::SocketAddr::from(([127, 0, 0, 1], port));
    Wire::connect(address).ask("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    let seen = rig.component.wait_for(1).remove(0);
    assert_eq!(seen.values("x-forwarded-for"), ["127.0.0.1"]);
}

#[test]
fn a_caller_on_a_unix_socket_has_no_address_to_be_told() {
    for (trust, claimed) in [("drop", false), ("full", true)] {
        let scratch = Scratch::new(&format!("forwarded-{trust}"));
        let path: PathBuf = scratch.join("a.sock");
        let bind = format!("unix://{}", path.display());
        let rig = Rig::start(&bind, &format!("  trust: {{default: {trust}}}\n"));
        let request = format!(
            "GET / HTTP/1.1\r\nHost: example.com\r\nConnection: close\r\n{}\r\n",
            claims()
        );
        assert_eq!(wire::status(&wire::exchange_unix(&path, &request)), 200);
        let seen = rig.component.wait_for(1).remove(0);
        let expected = if claimed {
            UNTOUCHED
        } else {
            [None, Some("http"), Some("example.com"), None, None, None]
        };
        assert_told(&seen, expected, trust);
    }
}
