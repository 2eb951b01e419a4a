//! Who may ask the admin server, and who may change state.
//!
//! On a unix socket the socket's permissions decide, for everything. On TCP everybody on the
//! machine (on hostNetwork: every pod there) reaches loopback, so changes of state need the
//! bearer token. And a page in a browser on the machine reaches it too, by a name that
//! resolves to loopback (DNS rebinding): a host that isn't ours, and the origin of any other
//! page, is refused whatever is asked.

use std::hint::black_box;
use std::net::{IpAddr, SocketAddr};
use std::path::Path;

use http::header::{AUTHORIZATION, HOST, ORIGIN};
use http::uri::Authority;
use http::{HeaderMap, Request, Version};
use tokio::io::AsyncReadExt;

/// More bytes than any token has.
const MAX_TOKEN: u64 = 8 * 1024;

/// How a connection came in.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Via {
    /// Over a unix socket.
    Unix,
    /// Over TCP, to this address of ours.
    Tcp(SocketAddr),
}

/// Why a request is refused.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Refused {
    /// The request names no host, or several: 400.
    BadHost(&'static str),
    /// Somebody else's host or origin, or no proof for a change of state: 403.
    Forbidden(&'static str),
}

/// Whether the host and origin of a request are ours (RFC 9112, section 3.2; RFC 6454).
///
/// # Errors
/// Why not.
pub fn check_host<B>(via: Via, request: &Request<B>) -> Result<(), Refused> {
    let Via::Tcp(local) = via else {
        return Ok(());
    };
    let mut hosts = request.headers().get_all(HOST).into_iter();
    let host = match (hosts.next(), hosts.next()) {
        (Some(host), None) => Some(
            Authority::try_from(host.as_bytes())
                .map_err(|_| Refused::BadHost("expected host:port in the Host header"))?,
        ),
        (None, _) if request.version() == Version::HTTP_10 => None,
        _ => return Err(Refused::BadHost("expected exactly one Host header")),
    };
    // An absolute target overrides Host; neither may be foreign.
    for authority in host.iter().chain(request.uri().authority()) {
        if !is_ours(authority, local) {
            return Err(Refused::Forbidden(
                "foreign Host: expected localhost, a loopback address or the address bound",
            ));
        }
    }
    let mut origins = request.headers().get_all(ORIGIN).into_iter();
    match (origins.next(), origins.next()) {
        (None, _) => Ok(()),
        (Some(origin), None) if host.is_some_and(|host| is_origin_of(origin.as_bytes(), &host)) => {
            Ok(())
        }
        _ => Err(Refused::Forbidden(
            "foreign Origin: expected none, or this server's own",
        )),
    }
}

/// Whether this caller may change state. The token is read from its file each time, so that a
/// changed file takes effect.
///
/// # Errors
/// Why not, and how one would.
pub async fn check_change(
    via: Via,
    token_file: Option<&Path>,
    headers: &HeaderMap,
) -> Result<(), Refused> {
    if via == Via::Unix {
        return Ok(());
    }
    let Some(token_file) = token_file else {
        return Err(Refused::Forbidden(
            "changes of state over TCP need admin.tokenFile, which isn't set; \
             or bind admin to a unix socket",
        ));
    };
    let Some(token) = read_token(token_file).await else {
        return Err(Refused::Forbidden(
            "changes of state need the token of admin.tokenFile, which can't be read; see the log",
        ));
    };
    match bearer(headers) {
        Some(given) if same(given, &token) => Ok(()),
        Some(_) => Err(Refused::Forbidden(
            "the bearer token isn't the one in admin.tokenFile",
        )),
        None => Err(Refused::Forbidden(
            "changes of state need `Authorization: Bearer` with the token in admin.tokenFile",
        )),
    }
}

fn is_ours(authority: &Authority, local: SocketAddr) -> bool {
    if authority.as_str().contains('@') {
        return false;
    }
    let host = authority.host();
    let bare = host
        .strip_prefix('[')
        .and_then(|h| h.strip_suffix(']'))
        .unwrap_or(host);
    match bare.parse::<IpAddr>() {
        Ok(ip) => {
            let ip = ip.to_canonical();
            ip.is_loopback() || ip == local.ip().to_canonical()
        }
        Err(_) => host.eq_ignore_ascii_case("localhost"),
    }
}

/// Whether an origin names the very server the request went to.
fn is_origin_of(origin: &[u8], host: &Authority) -> bool {
    let Some(origin) = origin.strip_prefix(b"http://") else {
        return false;
    };
    Authority::try_from(origin).is_ok_and(|origin| {
        let port = |a: &Authority| a.port_u16().unwrap_or(80);
        origin.host().eq_ignore_ascii_case(host.host()) && port(&origin) == port(host)
    })
}

/// The token without white space around it; `None`, and a log line, if there is none.
async fn read_token(path: &Path) -> Option<Vec<u8>> {
    let read = async {
        let mut token = Vec::new();
        let file = tokio::fs::File::open(path).await?;
        file.take(MAX_TOKEN).read_to_end(&mut token).await?;
        std::io::Result::Ok(token)
    };
    match read.await {
        Ok(token) if token.trim_ascii().is_empty() => {
            tracing::warn!(path = %path.display(), "the admin token file is empty");
            None
        }
        Ok(token) => Some(token.trim_ascii().to_vec()),
        Err(error) => {
            tracing::warn!(path = %path.display(), %error, "can't read the admin token file");
            None
        }
    }
}

/// The credentials of the only `Authorization` (RFC 6750, section 2.1).
fn bearer(headers: &HeaderMap) -> Option<&[u8]> {
    let mut values = headers.get_all(AUTHORIZATION).into_iter();
    let (Some(value), None) = (values.next(), values.next()) else {
        return None;
    };
    let (scheme, token) = value.as_bytes().split_at_checked(7)?;
    scheme
        .eq_ignore_ascii_case(b"bearer ")
        .then(|| token.trim_ascii())
}

/// Compares in a time that depends on the lengths alone.
fn same(given: &[u8], token: &[u8]) -> bool {
    let difference = given
        .iter()
        .zip(token)
        .fold(0_u8, |sum, (a, b)| black_box(sum | (a ^ b)));
    given.len() == token.len() && difference == 0
}

#[cfg(test)]
mod tests;
