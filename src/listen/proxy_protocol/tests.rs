use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex};

use super::*;

/// A header of version 2.
fn v2(command: u8, family: u8, rest: &[u8]) -> Vec<u8> {
    let mut header = V2_SIGNATURE.to_vec();
    header.extend([command, family]);
    header.extend(u16::try_from(rest.len()).expect("short").to_be_bytes());
    header.extend(rest);
    header
}

const IPV4: &[u8] = &[192, 0, 2, 7, 10, 0, 0, 1, 0x1f, 0x90, 0x01, 0xbb];

fn ipv6(source: &str) -> Vec<u8> {
    let source: std::net::Ipv6Addr = source.parse().expect("an address");
    let mut rest = source.octets().to_vec();
    rest.extend([0; 16]);
    rest.extend([0x1f, 0x90, 0x01, 0xbb]);
    rest
}

fn from(address: &str) -> Announced {
    Announced::Source(address.parse().expect("an address"))
}

#[test]
fn whole_headers_are_taken_and_nothing_after_them() {
    use Announced::{Nobody, Peer};
    let mut with_tlvs = IPV4.to_vec();
    with_tlvs.extend([0x01, 0x00, 0x02, b'h', b'2', 0x04, 0x00, 0x00]);
    let mut unix = vec![b'/'; 216];
    unix.extend([0x04, 0x00, 0x00]);
    let rows: Vec<(Vec<u8>, Announced, &str)> = vec![
        (
            b"PROXY TCP4 192.0.2.7 10.0.0.1 8080 443\r\n".to_vec(),
            from("192.0.2.7:8080"),
            "v1 IPv4",
        ),
        (
            b"PROXY TCP6 2001:db8::7 2001:db8::1 8080 443\r\n".to_vec(),
            from("[2001:db8::7]:8080"),
            "v1 IPv6",
        ),
        (
            b"PROXY TCP6 ::ffff:192.0.2.7 ::ffff:10.0.0.1 8080 443\r\n".to_vec(),
            from("192.0.2.7:8080"),
            "v1 IPv4-mapped",
        ),
        (b"PROXY UNKNOWN\r\n".to_vec(), Nobody, "v1 unknown"),
        (
            b"PROXY UNKNOWN a b c d e f g h\r\n".to_vec(),
            Nobody,
            "v1 unknown with anything behind it",
        ),
        (v2(0x21, 0x11, IPV4), from("192.0.2.7:8080"), "v2 IPv4"),
        (
            v2(0x21, 0x21, &ipv6("2001:db8::7")),
            from("[2001:db8::7]:8080"),
            "v2 IPv6",
        ),
        (
            v2(0x21, 0x21, &ipv6("::ffff:192.0.2.7")),
            from("192.0.2.7:8080"),
            "v2 IPv4-mapped",
        ),
        (
            v2(0x21, 0x11, &with_tlvs),
            from("192.0.2.7:8080"),
            "v2 TLVs",
        ),
        (v2(0x20, 0x11, IPV4), Peer, "v2 LOCAL announces nothing"),
        (v2(0x20, 0x00, &[]), Peer, "v2 LOCAL, empty"),
        (v2(0x21, 0x00, &[]), Nobody, "v2 of no family"),
        (v2(0x21, 0x31, &unix), Nobody, "v2 of a unix socket"),
    ];
    for (header, announced, why) in rows {
        let expected = Verdict::Header(header.len(), announced);
        assert_eq!(parse(&header), expected, "{why}");
        let mut followed = header.clone();
        followed.extend(b"GET / HTTP/1.1\r\n\r\n");
        assert_eq!(parse(&followed), expected, "{why}, followed by a request");
        for short in 0..header.len() {
            assert_eq!(
                parse(&header[..short]),
                Verdict::NeedMore,
                "{why}, {short} bytes of it"
            );
        }
    }
}

#[test]
fn what_is_no_header_is_left_to_http() {
    for first in [
        &b"G"[..],
        b"PRI * HTTP/2.0",
        b"PROXYGET / HTTP/1.1",
        b"PROXY\tTCP4",
        b"proxy TCP4",
        b"\r\nGET",
        b"\r\n\r\n\0\r\nQUIT!",
        b"\x16\x03\x01",
    ] {
        assert_eq!(parse(first), Verdict::Absent, "{}", first.escape_ascii());
    }
}

#[test]
fn bad_headers_are_refused() {
    use Fault::{Malformed, TooLong};
    let endless = [V1_SIGNATURE, &[b'1'; V1_MAX]].concat();
    let mut oversize = V2_SIGNATURE.to_vec();
    oversize.extend([0x21, 0x11, 0xff, 0xff]);
    let rows: Vec<(Vec<u8>, Fault, &str)> = vec![
        (endless, TooLong, "a line that does not end"),
        (oversize, TooLong, "refused before its bytes are awaited"),
        (b"PROXY TCP4 192.0.2.7\r\n".to_vec(), Malformed, "cut short"),
        (b"PROXY \r\n".to_vec(), Malformed, "no family"),
        (b"PROXY UNKNOWNS\r\n".to_vec(), Malformed, "another word"),
        (
            b"PROXY TCP4 192.0.2.700 10.0.0.1 8080 443\r\n".to_vec(),
            Malformed,
            "no address",
        ),
        (
            b"PROXY TCP4 2001:db8::7 2001:db8::1 8080 443\r\n".to_vec(),
            Malformed,
            "another family's address",
        ),
        (
            b"PROXY TCP4 192.0.2.7 10.0.0.1 80800 443\r\n".to_vec(),
            Malformed,
            "no port",
        ),
        (
            b"PROXY TCP4 192.0.2.7 10.0.0.1 8080 443 \r\n".to_vec(),
            Malformed,
            "a trailing space",
        ),
        (
            b"PROXY TCP4 192.0.2.7 10.0.0.1 8080 443\r \r\n".to_vec(),
            Malformed,
            "a lone CR",
        ),
        (
            b"PROXY TCP4 \xff\xfe 1 1 1\r\n".to_vec(),
            Malformed,
            "no text",
        ),
        (v2(0x11, 0x11, IPV4), Malformed, "another version"),
        (v2(0x22, 0x11, IPV4), Malformed, "an unknown command"),
        (v2(0x21, 0x41, IPV4), Malformed, "an unknown family"),
        (v2(0x21, 0x13, IPV4), Malformed, "an unknown transport"),
        (v2(0x21, 0x21, IPV4), Malformed, "too short for its family"),
    ];
    for (header, fault, why) in rows {
        assert_eq!(parse(&header), Verdict::Bad(fault), "{why}");
    }
}

#[tokio::test]
async fn a_header_in_single_bytes_is_taken_off_the_stream() {
    let header = v2(0x21, 0x11, IPV4);
    for header in [&b"PROXY TCP4 192.0.2.7 10.0.0.1 8080 443\r\n"[..], &header] {
        let (mut caller, ours) = duplex(1);
        let sender = async {
            caller.write_all(header).await.expect("written");
            caller.write_all(b"GET /").await.expect("written");
            drop(caller);
        };
        let reader = async {
            let mut stream = Prefixed::new(ours);
            let announced = read(&mut stream).await.expect("a header");
            let mut rest = Vec::new();
            stream.read_to_end(&mut rest).await.expect("read");
            (announced, rest)
        };
        let ((), (announced, rest)) = tokio::join!(sender, reader);
        assert_eq!(announced, from("192.0.2.7:8080"));
        assert_eq!(rest, b"GET /");
    }
}

#[tokio::test]
async fn an_end_inside_a_header_is_a_fault_and_an_end_before_it_is_not() {
    for (sent, expected) in [
        (&b""[..], Ok(Announced::Peer)),
        (b"PRO", Ok(Announced::Peer)),
        (b"PROXY ", Err(Fault::Truncated)),
        (b"PROXY TCP4 192.0.2.7", Err(Fault::Truncated)),
        (b"\r\n\r\n\0\r\nQUIT\n\x21", Err(Fault::Truncated)),
    ] {
        let (mut caller, ours) = duplex(64);
        caller.write_all(sent).await.expect("written");
        drop(caller);
        let mut stream = Prefixed::new(ours);
        assert_eq!(read(&mut stream).await, expected, "{}", sent.escape_ascii());
    }
}

#[test]
fn only_listed_peers_are_listed() {
    let nets: Vec<IpNet> = ["10.1.0.0/16", "2001:db8::/32"]
        .map(|net| net.parse().expect("a network"))
        .to_vec();
    for (peer, expected) in [
        (Some("10.1.2.3:1"), true),
        (Some("[::ffff:10.1.2.3]:1"), true),
        (Some("[2001:db8::1]:1"), true),
        (Some("10.2.0.1:1"), false),
        (Some("[2001:db9::1]:1"), false),
        (None, false),
    ] {
        let address = peer.map(|peer| peer.parse().expect("an address"));
        assert_eq!(listed(address, &nets), expected, "{peer:?}");
    }
    let everybody: IpNet = "0.0.0.0/0".parse().expect("a network");
    assert!(!listed(None, &[everybody]), "a unix socket's peer never is");
}
