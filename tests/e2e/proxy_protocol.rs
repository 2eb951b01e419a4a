//! PROXY protocol: believed of listed peers only, and then the announced address is judged.

use super::component::{Component, Seen};
use super::proxy::{self, Proxy};
use super::receiver::{Receiver, Speaks, attribute};
use super::wire::{self, Wire};

const CONTEXT: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";

/// Full trust for two networks that no test's peer is in.
const TRUST: &str = "  trust: {default: drop, rules: [{from: {cidrs: [198.51.100.0/24, \"2001:db8::/32\"]}, as: full}]}\n";
const LISTED: &str = "  proxyProtocol: {from: [127.0.0.0/8]}\n";
const UNLISTED: &str = "  proxyProtocol: {from: [192.0.2.0/24]}\n";

struct Rig {
    proxy: Proxy,
    component: Component,
    receiver: Receiver,
}

impl Rig {
    fn start(peers: &str) -> Self {
        let (component, receiver) = (Component::start(), Receiver::start(Speaks::Grpc));
        let more = format!("{TRUST}{peers}");
        let proxy = Proxy::start(&proxy::ingress(
            &component.url(),
            receiver.endpoint(),
            &more,
        ));
        Self {
            proxy,
            component,
            receiver,
        }
    }

    /// One request behind these bytes; everything that comes back.
    fn send(&self, header: &[u8]) -> String {
        let mut wire = Wire::connect(self.proxy.at(0));
        let mut bytes = header.to_vec();
        let request = "GET / HTTP/1.1\r\nHost: example.com\r\nConnection: close\r\n";
        bytes.extend(format!("{request}traceparent: {CONTEXT}\r\n\r\n").bytes());
        wire.send(bytes);
        String::from_utf8_lossy(&wire.rest()).into_owned()
    }

    /// What arrives of it.
    fn arrives(&self, header: &[u8]) -> Seen {
        let before = self.component.seen().len();
        let answer = self.send(header);
        assert_eq!(wire::status(&answer), 200, "{answer}");
        self.component.wait_for(before + 1).remove(before)
    }
}

/// A header of version 2: command, family and protocol, addresses.
fn version2(command: u8, family: u8, addresses: &[u8]) -> Vec<u8> {
    let mut out = b"\r\n\r\n\0\r\nQUIT\n".to_vec();
    out.extend([0x20 | command, family]);
    out.extend((addresses.len() as u16).to_be_bytes());
    out.extend(addresses);
    out
}

fn ipv4(source: [u8; 4]) -> Vec<u8> {
    [&source[..], &[192, 0, 2, 1], &[0x10, 0, 0x01, 0xbb]].concat()
}

fn ipv6(source: std::net::Ipv6Addr) -> Vec<u8> {
    let target = std::net::Ipv6Addr::LOCALHOST.octets();
    [&source.octets()[..], &target, &[0x10, 0, 0x01, 0xbb]].concat()
}

fn is_trusted(seen: &Seen) -> bool {
    seen.value("traceparent")
        .expect("a context")
        .contains(TRACE)
}

#[test]
fn a_listed_peers_word_is_judged_and_told() {
    let trusted6: std::net::Ipv6Addr = "2001:db8::7".parse().expect("an address");
    let other6: std::net::Ipv6Addr = "2001:db9::7".parse().expect("an address");
    let mapped: std::net::Ipv6Addr = "::ffff:198.51.100.7".parse().expect("an address");
    let with_tlv = [&ipv4([198, 51, 100, 7])[..], &[0x04, 0, 3, 1, 2, 3]].concat();
    let rows: Vec<(&str, Vec<u8>, &str, bool)> = vec![
        (
            "v1, trusted",
            b"PROXY TCP4 198.51.100.7 192.0.2.1 4096 443\r\n".to_vec(),
            "198.51.100.7",
            true,
        ),
        (
            "v1, another network",
            b"PROXY TCP4 198.51.101.7 192.0.2.1 4096 443\r\n".to_vec(),
            "198.51.101.7",
            false,
        ),
        (
            "v1, IPv6",
            b"PROXY TCP6 2001:db8::7 ::1 4096 443\r\n".to_vec(),
            "2001:db8::7",
            true,
        ),
        ("v1, unknown", b"PROXY UNKNOWN\r\n".to_vec(), "", false),
        (
            "v1, unknown with more",
            b"PROXY UNKNOWN 198.51.100.7 x y z\r\n".to_vec(),
            "",
            false,
        ),
        (
            "v2, trusted",
            version2(1, 0x11, &ipv4([198, 51, 100, 7])),
            "198.51.100.7",
            true,
        ),
        (
            "v2, another network",
            version2(1, 0x11, &ipv4([198, 51, 101, 7])),
            "198.51.101.7",
            false,
        ),
        (
            "v2, IPv6",
            version2(1, 0x21, &ipv6(trusted6)),
            "2001:db8::7",
            true,
        ),
        (
            "v2, another IPv6 network",
            version2(1, 0x21, &ipv6(other6)),
            "2001:db9::7",
            false,
        ),
        (
            "v2, IPv4 in IPv6",
            version2(1, 0x21, &ipv6(mapped)),
            "198.51.100.7",
            true,
        ),
        (
            "v2, with more behind the addresses",
            version2(1, 0x11, &with_tlv),
            "198.51.100.7",
            true,
        ),
        (
            "v2, the peer's own",
            version2(0, 0, &[]),
            "127.0.0.1",
            false,
        ),
        (
            "v2, a health check with addresses",
            version2(0, 0x11, &ipv4([198, 51, 100, 7])),
            "127.0.0.1",
            false,
        ),
        ("none", Vec::new(), "127.0.0.1", false),
    ];
    let rig = Rig::start(LISTED);
    for (why, header, client, trusted) in &rows {
        let seen = rig.arrives(header);
        assert_eq!(is_trusted(&seen), *trusted, "{why}");
        // Nobody knows who called: then nobody is named.
        let named: Vec<&str> = Some(*client)
            .filter(|c| !c.is_empty())
            .into_iter()
            .collect();
        assert_eq!(seen.values("x-forwarded-for"), named, "{why}");
    }
    let Rig {
        proxy, receiver, ..
    } = rig;
    proxy.stop();
    let spans = receiver.wait_for_spans(rows.len());
    let attributes = |key: &str| {
        let mut all: Vec<String> = spans
            .iter()
            .filter_map(|s| attribute(&s.attributes, key))
            .collect();
        all.sort_unstable();
        all
    };
    // Where no client is known, a span's is the peer, as its conventions have it.
    let known = |client: &'static str| match client {
        "" => "127.0.0.1",
        client => client,
    };
    let mut clients: Vec<&str> = rows.iter().map(|(_, _, c, _)| known(c)).collect();
    clients.sort_unstable();
    assert_eq!(attributes("client.address"), clients);
    // Whom it came from over the network is another question.
    assert_eq!(
        attributes("network.peer.address"),
        vec!["127.0.0.1"; rows.len()]
    );
}

#[test]
fn the_word_holds_for_the_connection_and_not_beyond() {
    let rig = Rig::start(LISTED);
    let mut wire = Wire::connect(rig.proxy.at(0));
    let request = format!("GET / HTTP/1.1\r\nHost: a\r\ntraceparent: {CONTEXT}\r\n\r\n");
    wire.ask(format!(
        "PROXY TCP4 198.51.100.7 192.0.2.1 4096 443\r\n{request}"
    ));
    wire.ask(&request);
    assert!(rig.component.wait_for(2).iter().all(is_trusted));
    assert!(!is_trusted(&rig.arrives(b"")), "another connection");
    // A second header is no header.
    let (head, _) = wire.ask(format!(
        "PROXY TCP4 198.51.100.7 192.0.2.1 1 2\r\n{request}"
    ));
    assert_eq!(wire::status(&head), 400);
}

#[test]
fn what_the_caller_says_of_itself_is_not_judged() {
    let rig = Rig::start(LISTED);
    let mut wire = Wire::connect(rig.proxy.at(0));
    wire.ask(format!(
        "PROXY TCP4 203.0.113.9 192.0.2.1 4096 443\r\nGET / HTTP/1.1\r\nHost: a\r\n\
         X-Forwarded-For: 198.51.100.7\r\nForwarded: for=198.51.100.7\r\nX-Real-Ip: 198.51.100.7\r\n\
         traceparent: {CONTEXT}\r\n\r\n"
    ));
    let seen = rig.component.wait_for(1).remove(0);
    assert!(!is_trusted(&seen));
    assert_eq!(seen.values("x-forwarded-for"), ["203.0.113.9"]);
}

#[test]
fn of_an_unlisted_peer_a_header_is_a_bad_request() {
    for (peers, why) in [
        (UNLISTED, "other peers are listed"),
        ("", "nobody is listed"),
    ] {
        let rig = Rig::start(peers);
        for header in [
            &b"PROXY TCP4 198.51.100.7 192.0.2.1 4096 443\r\n"[..],
            b"PROXY UNKNOWN\r\n",
            &version2(1, 0x11, &ipv4([198, 51, 100, 7])),
            &version2(0, 0, &[]),
        ] {
            let answer = rig.send(header);
            assert_eq!(wire::status(&answer), 400, "{why}: {answer}");
        }
        assert!(rig.component.seen().is_empty(), "{why}");
        assert!(
            !is_trusted(&rig.arrives(b"")),
            "{why}: the peer itself may call"
        );
    }
}

#[test]
fn a_listed_peers_bad_header_ends_the_connection_without_a_word() {
    let rig = Rig::start(LISTED);
    let long = format!("PROXY TCP4 {}\r\n", "1".repeat(200));
    let rows: Vec<(&str, Vec<u8>)> = vec![
        (
            "a family that isn't there",
            b"PROXY TCP5 198.51.100.7 192.0.2.1 1 2\r\n".to_vec(),
        ),
        ("no address", b"PROXY TCP4\r\n".to_vec()),
        (
            "an address that is none",
            b"PROXY TCP4 198.51.100.777 192.0.2.1 1 2\r\n".to_vec(),
        ),
        (
            "a port that is none",
            b"PROXY TCP4 198.51.100.7 192.0.2.1 1 65536\r\n".to_vec(),
        ),
        ("too long", long.into_bytes()),
        ("version 3", {
            let mut header = version2(1, 0x11, &ipv4([198, 51, 100, 7]));
            header[12] = 0x31;
            header
        }),
        ("addresses cut", version2(1, 0x11, &[198, 51, 100, 7])),
        ("longer than any", {
            let mut header = version2(1, 0x11, &[]);
            header[14] = 0xff;
            header
        }),
    ];
    for (why, header) in rows {
        assert_eq!(rig.send(&header), "", "{why}");
    }
    assert!(rig.component.seen().is_empty());
}
