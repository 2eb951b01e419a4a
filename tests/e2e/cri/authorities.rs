//! What callers say for `:authority` on a unix socket, byte by byte, and on a TCP port.

use std::path::Path;

use http::{Request, Response};
use hyper::body::Incoming;

use super::{Listener, listener};
use crate::caller::{Body, full};
use crate::files::TempDir;
use crate::frames::{Answered, Field, Frames, block, pseudo};
use crate::proxy::{self, Proxy};
use crate::server::{Listen, Server};

const PROTOCOL_ERROR: u32 = 1;

const PATH: &[u8] = b"/run/containerd/containerd.sock";

/// `PATH` in Huffman coding, to be indexed, as gRPC for Go sends it.
const CODED: [u8; 24] = [
    0x41, 0x96, 0x62, 0xcb, 0x6a, 0x60, 0x87, 0xa9, 0x23, 0x35, 0x45, 0xb2, 0x46, 0x08, 0x7a, 0x92,
    0x33, 0x54, 0x5b, 0x24, 0x5d, 0x07, 0x27, 0x5f,
];

/// Fails unless it is asked for whom the path says.
async fn judge(request: Request<Incoming>) -> Response<Body> {
    let authority = request.uri().authority().map(|a| a.as_str().to_owned());
    let host = request.headers().get("host").map(|host| host.to_str());
    let host = host.and_then(Result::ok).map(str::to_owned);
    let asked = authority.or(host).unwrap_or_default();
    let expected = request.uri().path().trim_start_matches('/');
    let status = if asked == expected { 200 } else { 500 };
    let mut response = Response::new(full(asked));
    *response.status_mut() = http::StatusCode::from_u16(status).expect("a status");
    response
}

/// A GET of a path, with this authority if there is one.
fn asks<'a>(authority: Option<&'a [u8]>, path: &'a str) -> Vec<Field<'a>> {
    let mut fields = pseudo("GET", path);
    fields.retain(|(name, _)| *name != b":authority");
    fields.extend(authority.map(|authority| (&b":authority"[..], authority)));
    fields
}

/// The forms that libraries send, and for whom the upstream is asked.
const FORMS: [(Option<&[u8]>, &str, &str); 9] = [
    (
        Some(b"localhost"),
        "/localhost",
        "gRPC for Go, Java and C++",
    ),
    (
        Some(PATH),
        "/localhost",
        "gRPC for Go with a dialer of its own",
    ),
    (
        Some(b"%2Frun%2Fcontainerd%2Fcontainerd.sock"),
        "/localhost",
        "the same, newer",
    ),
    (Some(b""), "/localhost", "no authority"),
    (None, "/localhost", "not even the field"),
    (
        Some(b"containerd.sock"),
        "/containerd.sock",
        "the file's name",
    ),
    (Some(b"unix:///run/x.sock"), "/localhost", "the target"),
    (Some(b"run/x.sock"), "/localhost", "a relative path"),
    (
        Some(b"example.com:80"),
        "/example.com:80",
        "a name and a port",
    ),
];

#[test]
fn on_a_unix_socket_every_form_of_authority_is_answered() {
    let directory = TempDir::new();
    let upstream = directory.join("upstream");
    let _server = Server::start(Listen::Unix(upstream.clone()), judge);
    for protocol in ["auto", "http1", "http2"] {
        let Listener {
            socket,
            proxy: _running,
        } = listener(&directory, &upstream, protocol);
        let mut frames = Frames::connect_unix(&socket);
        let mut stream = 1;
        for (authority, path, reason) in FORMS {
            // Twice: requests of one connection don't disturb each other.
            for _ in 0..2 {
                frames.head(stream, &asks(authority, path), true);
                let answered = frames.answered(stream);
                assert_eq!(answered, Answered::Status(200), "{protocol}: {reason}");
                stream += 2;
            }
        }
        // And by a reference to the entry that Huffman coding made.
        let mut head = block(&asks(None, "/localhost"));
        for authority in [&CODED[..], &[0xbe], &[0xbe]] {
            head.truncate(block(&asks(None, "/localhost")).len());
            head.extend(authority);
            frames.head_of(stream, &head);
            assert_eq!(frames.answered(stream), Answered::Status(200), "{protocol}");
            stream += 2;
        }
    }
}

#[test]
fn on_a_tcp_port_the_engine_stays_strict() {
    let directory = TempDir::new();
    let upstream = directory.join("upstream");
    let _server = Server::start(Listen::Unix(upstream.clone()), judge);
    let url = format!("{{url: \"unix://{}\"}}", upstream.display());
    let proxy = Proxy::start(&proxy::quiet(&url, ""));
    let mut frames = Frames::connect(proxy.at(0));
    let mut stream = 1;
    for (authority, expected) in [
        (Some(PATH), Answered::Reset(PROTOCOL_ERROR)),
        (Some(b"%2Frun%2Fx"), Answered::Reset(PROTOCOL_ERROR)),
        (Some(b""), Answered::Reset(PROTOCOL_ERROR)),
        (None, Answered::Status(400)),
        (Some(b"localhost"), Answered::Status(200)),
        (Some(b"00000"), Answered::Status(500)),
    ] {
        frames.head(stream, &asks(authority, "/localhost"), true);
        let name = authority.map(String::from_utf8_lossy);
        assert_eq!(frames.answered(stream), expected, "{name:?}");
        stream += 2;
    }
}

/// What a connection gets for a block.
fn answer(mut frames: Frames, block: &[u8]) -> Answered {
    frames.head_of(1, block);
    frames.answered(1)
}

#[test]
fn a_block_that_cannot_be_read_ends_the_connection_and_nothing_else() {
    let directory = TempDir::new();
    let upstream = directory.join("upstream");
    let _server = Server::start(Listen::Unix(upstream.clone()), judge);
    let Listener {
        socket,
        proxy: _running,
    } = listener(&directory, &upstream, "auto");
    let good = block(&asks(Some(PATH), "/localhost"));
    let connect = |path: &Path| Frames::connect_unix(path);
    for (bad, reason) in [
        (
            &[0xff, 0xff, 0xff, 0xff, 0xff][..],
            "an index that is too long",
        ),
        (&[0xfe], "an entry that isn't there"),
        (&[0x41, 0x05, b'/'], "a value that is cut off"),
        (&[0x41, 0x84, 0xff, 0xff, 0xff, 0xff], "no Huffman code"),
        (&[0x82, 0x3f, 0xe1, 0xff, 0x03], "a size out of place"),
    ] {
        let block = [&good[..], bad].concat();
        let answered = answer(connect(&socket), &block);
        assert!(
            matches!(answered, Answered::GoAway(_)),
            "{reason}: {answered:?}"
        );
        let answered = answer(connect(&socket), &good);
        assert_eq!(answered, Answered::Status(200), "after {reason}");
    }
}
