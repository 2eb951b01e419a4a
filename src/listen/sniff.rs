//! Which version of HTTP a connection speaks, told from its first bytes.
//!
//! An HTTP/2 client with prior knowledge begins with the connection preface (RFC 9113, section
//! 3.4); no HTTP/1 request does, so the first byte that differs decides.

use std::io;

use tokio::io::AsyncRead;

use super::stream::Prefixed;

/// The connection preface of HTTP/2 (RFC 9113, section 3.4).
pub const PREFACE: &[u8; 24] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// Bytes asked for in one read: most requests' heads, so that sniffing costs no extra read.
const CHUNK: usize = 4096;

/// Version of HTTP spoken on a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Version {
    /// HTTP/1.0 or HTTP/1.1.
    Http1,
    /// HTTP/2.
    Http2,
}

/// What a connection's first bytes say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Not the HTTP/2 preface: HTTP/1, or nothing we speak.
    Http1,
    /// The whole HTTP/2 preface.
    Http2,
    /// So far the beginning of the preface.
    NeedMore,
}

/// Judges a connection's first bytes.
pub fn classify(first: &[u8]) -> Verdict {
    if first.starts_with(PREFACE) {
        Verdict::Http2
    } else if PREFACE.starts_with(first) {
        Verdict::NeedMore
    } else {
        Verdict::Http1
    }
}

/// Reads until the version is clear; what was read stays in the stream. The caller bounds the
/// time.
///
/// # Errors
/// `UnexpectedEof` if the stream ended before it was clear (`Ok` is never returned for an empty
/// stream), and the stream's own.
pub async fn sniff<S: AsyncRead + Unpin>(stream: &mut Prefixed<S>) -> io::Result<Version> {
    loop {
        match classify(stream.buffered()) {
            Verdict::Http1 => return Ok(Version::Http1),
            Verdict::Http2 => return Ok(Version::Http2),
            Verdict::NeedMore if stream.fill(CHUNK).await? == 0 => {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            Verdict::NeedMore => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex};

    use super::*;

    #[test]
    fn the_first_differing_byte_decides() {
        for (first, expected, why) in [
            (&b""[..], Verdict::NeedMore, "nothing yet"),
            (b"P", Verdict::NeedMore, "POST, PUT or the preface"),
            (b"PRI", Verdict::NeedMore, "like the preface so far"),
            (
                b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r",
                Verdict::NeedMore,
                "one short",
            ),
            (PREFACE, Verdict::Http2, "the preface"),
            (
                b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0",
                Verdict::Http2,
                "and a frame",
            ),
            (b"G", Verdict::Http1, "no method but PRI begins so"),
            (b"PO", Verdict::Http1, "POST"),
            (b"PRI * HTTP/1.1\r\n", Verdict::Http1, "another version"),
            (
                b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r!",
                Verdict::Http1,
                "last byte",
            ),
            (b"pri * HTTP/2.0", Verdict::Http1, "case matters"),
            (b"\r\nGET / HTTP/1.1", Verdict::Http1, "an empty line"),
            (
                b"\x16\x03\x01",
                Verdict::Http1,
                "TLS: HTTP/1 will refuse it",
            ),
        ] {
            assert_eq!(classify(first), expected, "{why}");
        }
    }

    #[tokio::test]
    async fn bytes_that_decided_are_read_again() {
        for (sent, version) in [
            (&b"POST / HTTP/1.1\r\n\r\n"[..], Version::Http1),
            (&b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0"[..], Version::Http2),
        ] {
            for size in [1, 7, 64] {
                let (mut caller, ours) = duplex(size);
                let sender = async {
                    caller.write_all(sent).await.expect("written");
                    drop(caller);
                };
                let reader = async {
                    let mut stream = Prefixed::new(ours);
                    let found = sniff(&mut stream).await.expect("a version");
                    let mut all = Vec::new();
                    stream.read_to_end(&mut all).await.expect("read");
                    (found, all)
                };
                let ((), (found, all)) = tokio::join!(sender, reader);
                assert_eq!(found, version, "in pieces of {size}");
                assert_eq!(all, sent, "in pieces of {size}");
            }
        }
    }

    #[tokio::test]
    async fn an_end_before_the_decision_is_an_error() {
        for sent in [&b""[..], b"P", b"PRI * HTTP"] {
            let (mut caller, ours) = duplex(64);
            caller.write_all(sent).await.expect("written");
            drop(caller);
            let error = sniff(&mut Prefixed::new(ours)).await.expect_err("an end");
            assert_eq!(error.kind(), io::ErrorKind::UnexpectedEof);
        }
    }
}
