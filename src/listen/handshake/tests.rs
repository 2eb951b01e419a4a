use std::net::TcpListener;
use std::os::unix::net::UnixStream;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::{Instant, sleep};
use tokio_rustls::TlsConnector;

use super::super::settings::{Bind, ClientAuth, Limits, TlsSettings, TlsVersion};
use super::super::stream::Socket;
use super::super::testing::Authority;
use super::super::tls::server_config;
use super::super::tls_client::{client_config, server_name};
use super::*;

const TIMEOUT: Duration = Duration::from_secs(30);
const REQUEST: &[u8] = b"GET / HTTP/1.1\r\nhost: x\r\n\r\n";
const HEADER: &[u8] = b"PROXY TCP4 192.0.2.7 10.0.0.1 8080 443\r\n";

fn settings(protocol: Protocol, proxies: &[&str]) -> Settings {
    Settings {
        name: "test".into(),
        bind: Bind::Fd("unused".to_owned()),
        protocol,
        proxy_protocol: proxies
            .iter()
            .map(|net| net.parse().expect("a network"))
            .collect(),
        tls: None,
        limits: Limits {
            header_timeout: TIMEOUT,
            ..Limits::default()
        },
    }
}

/// A caller and its accepted connection, over loopback.
fn connection() -> (TcpStream, Accepted) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a listener");
    let address = listener.local_addr().expect("an address");
    let caller = std::net::TcpStream::connect(address).expect("connected");
    let (socket, peer) = listener.accept().expect("accepted");
    for socket in [&caller, &socket] {
        socket.set_nonblocking(true).expect("non-blocking");
    }
    let accepted = Accepted {
        socket: Socket::Tcp(socket),
        peer: Some(peer),
        local: Some(address),
    };
    (TcpStream::from_std(caller).expect("registered"), accepted)
}

/// A TLS listener's configuration and its authority.
fn tls(protocol: Protocol) -> (Authority, Arc<ServerConfig>) {
    let authority = Authority::new();
    let settings = TlsSettings {
        min_version: TlsVersion::V1_2,
        certificates: vec![authority.issue(&["localhost"])],
        client_auth: ClientAuth::None,
    };
    let config = server_config(&settings, protocol, None).expect("built");
    (authority, config)
}

/// What a caller that sends `sent`, and then nothing, is established as.
async fn after(sent: &[u8], settings: &Settings) -> Result<Established, Refused> {
    let (mut caller, accepted) = connection();
    caller.write_all(sent).await.expect("written");
    establish(accepted, None, settings).await
}

async fn read(stream: &mut Prefixed<Stream>, length: usize) -> Vec<u8> {
    let mut bytes = vec![0; length];
    stream.read_exact(&mut bytes).await.expect("read");
    bytes
}

#[tokio::test]
async fn a_cleartext_connection_keeps_every_byte_and_knows_its_addresses() {
    for (sent, version) in [
        (REQUEST, Version::Http1),
        (sniff::PREFACE.as_slice(), Version::Http2),
    ] {
        let (mut caller, accepted) = connection();
        let (peer, local) = (accepted.peer, accepted.local);
        caller.write_all(sent).await.expect("written");
        let settings = settings(Protocol::Auto, &[]);
        let mut done = establish(accepted, None, &settings)
            .await
            .expect("established");
        assert_eq!(done.version, version);
        assert_eq!((done.peer, done.local), (peer, local));
        assert_eq!(done.client, peer.map(|peer| peer.ip()));
        assert!(!done.tls);
        assert_eq!(read(&mut done.stream, sent.len()).await, sent);

        done.stream.write_all(b"answer").await.expect("written");
        let mut answer = [0; 6];
        caller.read_exact(&mut answer).await.expect("read");
        assert_eq!(&answer, b"answer");
    }
}

#[tokio::test]
async fn only_the_listeners_protocol_is_taken() {
    for (protocol, sent, taken) in [
        (Protocol::Http1, REQUEST, true),
        (Protocol::Http1, sniff::PREFACE.as_slice(), false),
        (Protocol::Http2, REQUEST, false),
        (Protocol::Http2, sniff::PREFACE.as_slice(), true),
    ] {
        let done = after(sent, &settings(protocol, &[])).await;
        let refused = done.err();
        let expected = (!taken).then_some(Refused::ProtocolRefused);
        assert_eq!(refused, expected, "{protocol:?} {}", sent.escape_ascii());
    }
}

#[tokio::test(start_paused = true)]
async fn a_silent_caller_is_given_the_timeout_and_no_more() {
    let (_authority, config) = tls(Protocol::Auto);
    for tls in [None, Some(&config)] {
        let (_caller, accepted) = connection();
        let begun = Instant::now();
        let done = establish(accepted, tls, &settings(Protocol::Auto, &["127.0.0.1/32"])).await;
        assert_eq!(done.err(), Some(Refused::HeaderTimeout));
        assert_eq!(begun.elapsed(), TIMEOUT);
    }
}

#[tokio::test(start_paused = true)]
async fn a_trickle_does_not_extend_the_timeout() {
    let whole = [HEADER, sniff::PREFACE].concat();
    let (mut caller, accepted) = connection();
    let begun = Instant::now();
    let trickle = async {
        for byte in whole.chunks(1) {
            sleep(Duration::from_secs(1)).await;
            if caller.write_all(byte).await.is_err() {
                break;
            }
        }
    };
    let settings = settings(Protocol::Auto, &["127.0.0.1/32"]);
    let outcome = async {
        let done = establish(accepted, None, &settings).await;
        (done.err(), begun.elapsed())
    };
    let ((), (refused, elapsed)) = tokio::join!(trickle, outcome);
    assert_eq!(refused, Some(Refused::HeaderTimeout));
    assert_eq!(elapsed, TIMEOUT);
}

#[tokio::test(start_paused = true)]
async fn header_tls_and_version_share_one_timeout() {
    let (authority, config) = tls(Protocol::Auto);
    let client = client_config(Some(&authority.ca_file), None, &[]).expect("built");
    let (mut caller, accepted) = connection();
    let begun = Instant::now();
    let slow = async {
        sleep(TIMEOUT * 2 / 5).await;
        caller.write_all(HEADER).await.expect("written");
        sleep(TIMEOUT * 2 / 5).await;
        let name = server_name("localhost").expect("a name");
        // No ALPN, so that a byte of the request is awaited; it never comes.
        TlsConnector::from(client).connect(name, caller).await
    };
    let settings = settings(Protocol::Auto, &["127.0.0.1/32"]);
    let outcome = async {
        let done = establish(accepted, Some(&config), &settings).await;
        (done.err(), begun.elapsed())
    };
    let (caller, (refused, elapsed)) = tokio::join!(slow, outcome);
    caller.expect("the handshake was done in time");
    assert_eq!(refused, Some(Refused::HeaderTimeout));
    assert_eq!(elapsed, TIMEOUT);
}

#[tokio::test]
async fn a_caller_that_leaves_early_is_closed_quietly() {
    let (_authority, config) = tls(Protocol::Auto);
    let settings = settings(Protocol::Auto, &["127.0.0.1/32"]);
    for (sent, tls) in [
        (&b""[..], None),
        (b"", Some(&config)),
        (b"PRI * HT", None),
        (b"P", None),
    ] {
        let (mut caller, accepted) = connection();
        caller.write_all(sent).await.expect("written");
        drop(caller);
        let done = establish(accepted, tls, &settings).await;
        assert_eq!(done.err(), Some(Refused::Closed), "{}", sent.escape_ascii());
    }
}

#[tokio::test]
async fn a_tls_connection_takes_its_version_from_alpn_and_otherwise_from_its_bytes() {
    let (authority, config) = tls(Protocol::Auto);
    for (offered, sent, version) in [
        (&b"h2"[..], &b""[..], Version::Http2),
        (b"http/1.1", b"", Version::Http1),
        (b"", REQUEST, Version::Http1),
        (b"", sniff::PREFACE, Version::Http2),
    ] {
        let alpn = if offered.is_empty() {
            vec![]
        } else {
            vec![offered]
        };
        let client = client_config(Some(&authority.ca_file), None, &alpn).expect("built");
        let (caller, accepted) = connection();
        let settings = settings(Protocol::Auto, &[]);
        let calling = async {
            let name = server_name("localhost").expect("a name");
            let connector = TlsConnector::from(client);
            let mut caller = connector.connect(name, caller).await.expect("connected");
            caller.write_all(sent).await.expect("written");
            caller.write_all(b"more").await.expect("written");
            caller
        };
        let (mut caller, done) =
            tokio::join!(calling, establish(accepted, Some(&config), &settings));
        let mut done = done.expect("established");
        assert_eq!(done.version, version, "{offered:?}");
        assert!(done.tls);
        let all = [sent, b"more"].concat();
        assert_eq!(read(&mut done.stream, all.len()).await, all);

        done.stream.write_all(b"answer").await.expect("written");
        done.stream.flush().await.expect("flushed");
        let mut answer = [0; 6];
        caller.read_exact(&mut answer).await.expect("read");
        assert_eq!(&answer, b"answer");
    }
}

#[tokio::test]
async fn version_is_checked_under_tls_too() {
    let (authority, config) = tls(Protocol::Http1);
    let client = client_config(Some(&authority.ca_file), None, &[]).expect("built");
    let (caller, accepted) = connection();
    let settings = settings(Protocol::Http1, &[]);
    let calling = async {
        let name = server_name("localhost").expect("a name");
        let mut caller = TlsConnector::from(client)
            .connect(name, caller)
            .await
            .expect("connected");
        caller.write_all(sniff::PREFACE).await.expect("written");
        caller
    };
    let (_caller, done) = tokio::join!(calling, establish(accepted, Some(&config), &settings));
    assert_eq!(done.err(), Some(Refused::ProtocolRefused));
}

#[tokio::test]
async fn what_is_not_tls_fails_the_handshake() {
    let (_authority, config) = tls(Protocol::Auto);
    let (mut caller, accepted) = connection();
    caller.write_all(REQUEST).await.expect("written");
    let settings = settings(Protocol::Auto, &[]);
    let done = establish(accepted, Some(&config), &settings).await;
    assert_eq!(done.err(), Some(Refused::TlsHandshake));
}

#[tokio::test]
async fn a_listed_peer_announces_its_caller_and_an_unlisted_one_sends_a_bad_request() {
    let sent = [HEADER, REQUEST].concat();
    let mut listed = after(&sent, &settings(Protocol::Auto, &["127.0.0.0/8"]))
        .await
        .expect("established");
    assert_eq!(listed.client, "192.0.2.7".parse().ok());
    assert_eq!(listed.peer.map(|peer| peer.ip()), "127.0.0.1".parse().ok());
    assert_eq!(read(&mut listed.stream, REQUEST.len()).await, REQUEST);

    let mut unlisted = after(&sent, &settings(Protocol::Auto, &["10.0.0.0/8"]))
        .await
        .expect("established");
    assert_eq!(unlisted.client, "127.0.0.1".parse().ok());
    assert_eq!(read(&mut unlisted.stream, sent.len()).await, sent);
}

#[tokio::test]
async fn a_listed_peer_without_an_announcement_speaks_for_itself() {
    let local = b"\r\n\r\n\0\r\nQUIT\n\x20\0\0\0";
    let own = "127.0.0.1".parse().ok();
    for (header, client) in [
        (&b""[..], own),
        (local, own),
        // Somebody else's connection: the peer's trust isn't theirs.
        (b"PROXY UNKNOWN\r\n", None),
    ] {
        let sent = [header, REQUEST].concat();
        let mut done = after(&sent, &settings(Protocol::Auto, &["127.0.0.0/8"]))
            .await
            .expect("established");
        assert_eq!(done.client, client);
        assert_eq!(read(&mut done.stream, REQUEST.len()).await, REQUEST);
    }
}

#[tokio::test]
async fn a_bad_announcement_is_refused() {
    let settings = settings(Protocol::Auto, &["127.0.0.0/8"]);
    let done = after(b"PROXY TCP4 nonsense\r\n", &settings).await;
    assert_eq!(done.err(), Some(Refused::ProxyProtocol));
}

#[tokio::test]
async fn an_announcement_comes_before_tls() {
    let (authority, config) = tls(Protocol::Auto);
    let client = client_config(Some(&authority.ca_file), None, &[b"h2"]).expect("built");
    let (mut caller, accepted) = connection();
    let settings = settings(Protocol::Auto, &["127.0.0.0/8"]);
    let calling = async {
        caller.write_all(HEADER).await.expect("written");
        let name = server_name("localhost").expect("a name");
        let connector = TlsConnector::from(client);
        connector.connect(name, caller).await.expect("connected")
    };
    let (_caller, done) = tokio::join!(calling, establish(accepted, Some(&config), &settings));
    let done = done.expect("established");
    assert_eq!(done.client, "192.0.2.7".parse().ok());
    assert_eq!(done.version, Version::Http2);
}

#[tokio::test]
async fn a_unix_sockets_peer_announces_nobody() {
    let (mut caller, socket) = UnixStream::pair().expect("a pair");
    socket.set_nonblocking(true).expect("non-blocking");
    std::io::Write::write_all(&mut caller, HEADER).expect("written");
    let accepted = Accepted {
        socket: Socket::Unix(socket),
        peer: None,
        local: None,
    };
    let settings = settings(Protocol::Auto, &["0.0.0.0/0", "::/0"]);
    let mut done = establish(accepted, None, &settings)
        .await
        .expect("established");
    assert_eq!((done.client, done.peer, done.local), (None, None, None));
    assert_eq!(read(&mut done.stream, HEADER.len()).await, HEADER);
}

#[test]
fn every_refusal_has_a_label_of_its_own() {
    let labels: std::collections::HashSet<_> = Refused::ALL
        .iter()
        .map(|refused| refused.as_str())
        .collect();
    assert_eq!(labels.len(), Refused::ALL.len());
}
