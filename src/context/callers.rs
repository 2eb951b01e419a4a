//! Callers: what is known of one, and patterns that pick some of them.

use std::net::IpAddr;

use ipnet::IpNet;

use super::certificate::Names;
use super::glob::{matches, matches_parts};

/// What is known of a caller when it is judged.
#[derive(Clone, Copy, Debug, Default)]
pub struct Caller<'a> {
    /// The TCP peer or the announced address; absent on unix sockets.
    pub address: Option<IpAddr>,
    /// The names of its certificate, if that verifies now.
    pub certificate: Option<&'a Names>,
    /// Whose process connected, on unix sockets.
    pub unix: Option<UnixPeer>,
}

/// The process at the other end of a unix socket, when it connected (unix(7), `SO_PEERCRED`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UnixPeer {
    /// Effective user.
    pub uid: u32,
    /// Effective group; the supplementary ones aren't known.
    pub gid: u32,
}

/// Picks callers: every condition given must hold. Without any it picks nobody.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Callers {
    /// Networks of the TCP peer, or of the address a listed PROXY peer announced; any will do.
    pub cidrs: Vec<IpNet>,
    /// Names of a verified certificate.
    pub client_cert: Option<ClientCert>,
    /// Whose process connected.
    pub unix_peer: Option<UnixPeers>,
}

/// Picks certificates: every list that isn't empty must match, any member of it by any name.
/// Without any list it picks none.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ClientCert {
    /// Common names; `*` stands for any run of characters.
    pub common_names: Vec<Box<str>>,
    /// Organizations; `*` as in common names.
    pub groups: Vec<Box<str>>,
    /// DNS names, compared without case; `*` stays within a label.
    pub dns_sans: Vec<Box<str>>,
    /// URIs; `*` stays between two slashes.
    pub uri_sans: Vec<Box<str>>,
}

/// Picks processes: every list that isn't empty must match. Without any list it picks none.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct UnixPeers {
    /// Effective users.
    pub uids: Vec<u32>,
    /// Effective groups.
    pub gids: Vec<u32>,
}

impl Callers {
    /// Whether this caller is picked. IPv4-mapped addresses are the caller's to unmap before.
    #[inline]
    pub fn pick(&self, caller: &Caller<'_>) -> bool {
        let by_address = !self.cidrs.is_empty();
        if by_address {
            let contains = |address| self.cidrs.iter().any(|net| contains(net, address));
            if !caller.address.is_some_and(contains) {
                return false;
            }
        }
        match (&self.client_cert, &self.unix_peer) {
            (None, None) => by_address,
            (certificate, process) => by_name(certificate.as_ref(), process.as_ref(), caller),
        }
    }
}

/// Whether a caller is picked by what else is given than its address.
fn by_name(
    certificate: Option<&ClientCert>,
    process: Option<&UnixPeers>,
    caller: &Caller<'_>,
) -> bool {
    let names = |wanted: &ClientCert| caller.certificate.is_some_and(|names| wanted.pick(names));
    let peer = |wanted: &UnixPeers| caller.unix.is_some_and(|peer| wanted.pick(peer));
    certificate.is_none_or(names) && process.is_none_or(peer)
}

impl ClientCert {
    fn pick(&self, names: &Names) -> bool {
        let subject = names.subject.as_ref();
        let common_name = subject.map(|subject| &subject.common_name);
        let groups = subject.map_or(&[][..], |subject| &subject.groups);
        all_given([
            any(&self.common_names, common_name, run),
            any(&self.groups, groups, run),
            any(&self.dns_sans, &names.dns, |pattern, name| {
                matches_parts(pattern, name, b'.', u8::eq_ignore_ascii_case)
            }),
            any(&self.uri_sans, &names.uris, is_uri),
        ])
    }
}

/// Whether a URI matches a pattern. User information, a query or a fragment would let a star reach
/// beyond the part it stands in, so a URI that has one matches only itself.
fn is_uri(pattern: &[u8], uri: &[u8]) -> bool {
    let odd = uri.iter().any(|byte| b"?#@\\".contains(byte));
    pattern == uri || (!odd && matches_parts(pattern, uri, b'/', u8::eq))
}

impl UnixPeers {
    fn pick(&self, peer: UnixPeer) -> bool {
        let given = |list: &[u32], id| (!list.is_empty()).then(|| list.contains(&id));
        all_given([given(&self.uids, peer.uid), given(&self.gids, peer.gid)])
    }
}

/// Whether every condition that was given holds, and one was given at all.
fn all_given<const N: usize>(conditions: [Option<bool>; N]) -> bool {
    conditions.contains(&Some(true)) && !conditions.contains(&Some(false))
}

fn run(pattern: &[u8], name: &[u8]) -> bool {
    matches(pattern, name, u8::eq)
}

/// Whether any pattern matches any name; `None` if there is no pattern.
fn any<'a>(
    patterns: &[Box<str>],
    names: impl IntoIterator<Item = &'a Box<str>> + Clone,
    matches: impl Fn(&[u8], &[u8]) -> bool,
) -> Option<bool> {
    let mut pairs = patterns.iter().flat_map(|pattern| {
        let names = names.clone().into_iter();
        names.map(move |name| (pattern.as_bytes(), name.as_bytes()))
    });
    (!patterns.is_empty()).then(|| pairs.any(|(pattern, name)| matches(pattern, name)))
}

/// Whether the address is in the network: no bit differs within the prefix.
fn contains(net: &IpNet, address: IpAddr) -> bool {
    match (net, address) {
        (IpNet::V4(net), IpAddr::V4(address)) => {
            let differs = u32::from(net.addr()) ^ u32::from(address);
            differs
                .checked_shr(32 - u32::from(net.prefix_len()))
                .unwrap_or(0)
                == 0
        }
        (IpNet::V6(net), IpAddr::V6(address)) => {
            let differs = u128::from(net.addr()) ^ u128::from(address);
            differs
                .checked_shr(128 - u32::from(net.prefix_len()))
                .unwrap_or(0)
                == 0
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests;
