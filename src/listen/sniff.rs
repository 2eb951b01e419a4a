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
