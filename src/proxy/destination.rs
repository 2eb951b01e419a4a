//! To which upstream a request goes (`listeners[].routes`): by whom it is for, by the name the
//! caller's TLS asked for, or by its path.

use super::connection::Connection;
use super::head::{Head, Line};
use super::settings::{Settings, UpstreamSettings};
use crate::sample::settings::Glob;

/// Requests that go elsewhere than others of their listener.
#[derive(Clone, Debug, PartialEq)]
pub struct Destination {
    /// The requests.
    pub matches: Match,
    /// Where they go.
    pub upstream: UpstreamSettings,
}

/// Picks requests: every condition given must hold.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Match {
    /// `Host` or `:authority` without its port, in any case.
    pub host: Option<Glob>,
    /// Server name of the caller's TLS (RFC 6066, section 3), in any case.
    pub sni: Option<Glob>,
    /// The path as it was sent, without query. It isn't made out what `..` in it means.
    pub path: Option<Glob>,
}

/// What is looked at of a request.
#[derive(Clone, Copy, Debug)]
struct Asked<'a> {
    host: Option<&'a [u8]>,
    sni: Option<&'a str>,
    path: &'a str,
}

impl Match {
    fn picks(&self, asked: Asked<'_>) -> bool {
        let named = |glob: &Option<Glob>, name: Option<&[u8]>| match glob {
            None => true,
            Some(glob) => name.is_some_and(|name| glob.matches_ignore_case(name)),
        };
        named(&self.host, asked.host.map(without_port))
            && named(&self.sni, asked.sni.map(str::as_bytes))
            && (self.path.as_ref()).is_none_or(|glob| glob.matches(asked.path.as_bytes()))
    }
}

impl Settings {
    /// The number of a request's destination, for [`Settings::upstream_at`]: of the first that
    /// picks it; there are fewer than it can count.
    #[inline]
    pub fn destination(&self, connection: &Connection, line: Line<'_>, headers: &impl Head) -> u16 {
        if self.destinations.is_empty() {
            return 0;
        }
        let asked = Asked {
            host: line.host(headers),
            sni: connection.server_name.as_deref(),
            path: line.uri.path(),
        };
        let mut all = self.destinations.iter();
        all.position(|one| one.matches.picks(asked))
            .map_or(0, |at| u16::try_from(at + 1).unwrap_or(0))
    }

    /// The upstream of a destination; 0 is where all others go.
    pub fn upstream_at(&self, destination: u16) -> &UpstreamSettings {
        let at = usize::from(destination).checked_sub(1);
        let picked = at.and_then(|at| self.destinations.get(at));
        picked.map_or(&self.upstream, |one| &one.upstream)
    }
}

/// A host without the port behind it.
fn without_port(host: &[u8]) -> &[u8] {
    let digits = host.iter().rev().take_while(|b| b.is_ascii_digit()).count();
    let (name, _) = host.split_at(host.len() - digits);
    match name.strip_suffix(b":") {
        Some(name) if !name.contains(&b':') || name.ends_with(b"]") => name,
        _ => host,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_is_picked_if_every_condition_holds() {
        let glob = |text: &str| (!text.is_empty()).then(|| Glob::new(text));
        let svc = "a.webhooks.svc";
        for (host, sni, path, asked, expected, why) in [
            (
                "*.svc",
                "",
                "",
                (Some("A.b.SVC:443"), None, "/"),
                true,
                "no port, no case",
            ),
            (
                "*.svc",
                "",
                "",
                (Some("svc"), None, "/"),
                false,
                "another host",
            ),
            ("*.svc", "", "", (None, None, "/"), false, "no host"),
            (
                "::1",
                "",
                "",
                (Some("::1"), None, "/"),
                true,
                "no port there",
            ),
            (
                "[::1]",
                "",
                "",
                (Some("[::1]:80"), None, "/"),
                true,
                "an address and a port",
            ),
            ("", "*.svc", "", (Some("x"), Some(svc), "/"), true, "by TLS"),
            (
                "",
                "*.svc",
                "",
                (Some(svc), None, "/"),
                false,
                "no name in TLS",
            ),
            ("", "", "/a/*", (None, None, "/a/b"), true, "a path"),
            (
                "",
                "",
                "/a/*",
                (None, None, "/A/b"),
                false,
                "paths have case",
            ),
            (
                "*.svc",
                "",
                "/a*",
                (Some(svc), None, "/b"),
                false,
                "one of two",
            ),
        ] {
            let matches = Match {
                host: glob(host),
                sni: glob(sni),
                path: glob(path),
            };
            let (host, sni, path) = asked;
            let host = host.map(str::as_bytes);
            assert_eq!(matches.picks(Asked { host, sni, path }), expected, "{why}");
        }
    }
}
