//! PROXY protocol, versions 1 and 2: a load balancer announces whose connection it carries.
//!
//! A listed peer *may* speak it: a header is recognised by its signature, and a connection
//! without one (a load balancer's own health check, say) counts as the peer's own. So a peer
//! should only be listed if it puts a header on every connection it forwards; otherwise its
//! clients could write one themselves. Bytes of unlisted peers are never looked at here.
//!
//! Where the header ends is found here, from bytes alone and within bounds; the `ppp` crate only
//! parses whole headers, because its notion of an incomplete one includes some that no further
//! byte completes. Type-length-values, the CRC among them, are skipped.

use std::net::{IpAddr, SocketAddr};

use ipnet::IpNet;
use ppp::{v1, v2};
use tokio::io::AsyncRead;

use super::stream::Prefixed;

/// Signature of version 1, the separator included.
const V1_SIGNATURE: &[u8] = b"PROXY ";
/// Longest line of version 1, CRLF included.
const V1_MAX: usize = 107;
/// Signature of version 2.
const V2_SIGNATURE: &[u8] = v2::PROTOCOL_PREFIX;
/// Bytes of version 2 before its addresses: signature, command, family, length.
const V2_FIXED: usize = 16;
/// Longest header of version 2 taken: addresses need 232 bytes at most, the rest is room for
/// type-length-values such as a client certificate.
const V2_MAX: usize = 4096;
/// Bytes asked for in one read.
const CHUNK: usize = 4096;

/// Whom a connection comes from, by its header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Announced {
    /// The source address the header gives.
    Source(SocketAddr),
    /// The peer itself: there is no header, or it says LOCAL.
    Peer,
    /// Somebody the peer can't name by an IP address: UNKNOWN, or another family.
    Nobody,
}

/// A header that can't be taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The stream ended or failed inside a header.
    Truncated,
    /// Longer than the version's bound.
    TooLong,
    /// Not what the specification says.
    Malformed,
}

/// What a connection's first bytes say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// No header.
    Absent,
    /// A header of so many bytes.
    Header(usize, Announced),
    /// Not decided yet.
    NeedMore,
    /// Can't become a header any more, though it began like one.
    Bad(Fault),
}

/// Whether `peer` may announce another address. A unix socket's peer has none and is never
/// listed.
pub fn listed(peer: Option<SocketAddr>, from: &[IpNet]) -> bool {
    peer.is_some_and(|peer| {
        let ip = peer.ip().to_canonical();
        from.iter().any(|net| net.contains(&ip))
    })
}

/// Judges a connection's first bytes.
pub fn parse(first: &[u8]) -> Verdict {
    if first.starts_with(V1_SIGNATURE) {
        parse_v1(first)
    } else if first.starts_with(V2_SIGNATURE) {
        parse_v2(first)
    } else if V1_SIGNATURE.starts_with(first) || V2_SIGNATURE.starts_with(first) {
        Verdict::NeedMore
    } else {
        Verdict::Absent
    }
}

/// Reads a header, if there is one, and takes it off the stream; what follows stays. The caller
/// bounds the time.
///
/// # Errors
/// The header's fault, after which nothing on the connection can be believed.
pub async fn read<S: AsyncRead + Unpin>(stream: &mut Prefixed<S>) -> Result<Announced, Fault> {
    loop {
        match parse(stream.buffered()) {
            Verdict::Absent => return Ok(Announced::Peer),
            Verdict::Header(length, announced) => {
                stream.consume(length);
                return Ok(announced);
            }
            Verdict::Bad(fault) => return Err(fault),
            Verdict::NeedMore => match stream.fill(CHUNK).await {
                Ok(0) | Err(_) if began(stream.buffered()) => return Err(Fault::Truncated),
                // Too little to be a header: whoever reads next sees the end, too.
                Ok(0) | Err(_) => return Ok(Announced::Peer),
                Ok(_) => {}
            },
        }
    }
}

/// Whether a whole signature was seen.
fn began(first: &[u8]) -> bool {
    first.starts_with(V1_SIGNATURE) || first.starts_with(V2_SIGNATURE)
}

/// Section 2.1 of the specification: one line of text.
fn parse_v1(first: &[u8]) -> Verdict {
    let bounded = first.get(..V1_MAX).unwrap_or(first);
    let Some(end) = bounded.windows(2).position(|pair| pair == b"\r\n") else {
        return match first.len() {
            0..V1_MAX => Verdict::NeedMore,
            _ => Verdict::Bad(Fault::TooLong),
        };
    };
    let length = end + 2;
    let line = bounded.get(..length).unwrap_or_default();
    // What follows UNKNOWN is to be ignored, whatever it is.
    if matches!(
        line.strip_prefix(b"PROXY UNKNOWN"),
        Some([b' ' | b'\r', ..])
    ) {
        return Verdict::Header(length, Announced::Nobody);
    }
    match v1::Header::try_from(line).map(|header| header.addresses) {
        Ok(v1::Addresses::Tcp4(ip)) => source(length, ip.source_address, ip.source_port),
        Ok(v1::Addresses::Tcp6(ip)) => source(length, ip.source_address, ip.source_port),
        Ok(v1::Addresses::Unknown) => Verdict::Header(length, Announced::Nobody),
        Err(_) => Verdict::Bad(Fault::Malformed),
    }
}

/// Section 2.2 of the specification: a binary header that tells its length.
fn parse_v2(first: &[u8]) -> Verdict {
    let Some(fixed) = first.first_chunk::<V2_FIXED>() else {
        return Verdict::NeedMore;
    };
    let [.., high, low] = *fixed;
    let length = V2_FIXED + usize::from(u16::from_be_bytes([high, low]));
    if length > V2_MAX {
        return Verdict::Bad(Fault::TooLong);
    }
    let Some(whole) = first.get(..length) else {
        return Verdict::NeedMore;
    };
    match v2::Header::try_from(whole) {
        Ok(header) if header.command == v2::Command::Local => {
            Verdict::Header(length, Announced::Peer)
        }
        Ok(header) => match header.addresses {
            v2::Addresses::IPv4(ip) => source(length, ip.source_address, ip.source_port),
            v2::Addresses::IPv6(ip) => source(length, ip.source_address, ip.source_port),
            v2::Addresses::Unspecified | v2::Addresses::Unix(_) => {
                Verdict::Header(length, Announced::Nobody)
            }
        },
        Err(_) => Verdict::Bad(Fault::Malformed),
    }
}

/// A source address in the form that trust rules are written in.
fn source(length: usize, ip: impl Into<IpAddr>, port: u16) -> Verdict {
    let address = SocketAddr::new(ip.into().to_canonical(), port);
    Verdict::Header(length, Announced::Source(address))
}

#[cfg(test)]
mod tests;
