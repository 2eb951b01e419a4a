//! Addresses: where to listen, where to connect, and how either is shown.

mod access;

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;

use super::values::Expected;
use crate::proxy::settings::Target;
use crate::{admin, listen};
use access::Access;

/// Longest path a unix socket can be bound to (`sun_path`, with its NUL).
const MAX_SOCKET_PATH: usize = 107;

/// `ip:port`, `unix:///path?mode=0660&uid=0&gid=0` or `fd:NAME`.
pub(super) fn listener_bind(text: &str) -> Expected<listen::settings::Bind> {
    use listen::settings::Bind;
    const EXPECTED: &str = "ip:port, unix:///path?mode=0660 or fd:NAME";
    if text.starts_with("transparent://") {
        return Err(format!("{EXPECTED} (transparent:// is not supported yet)"));
    }
    if text.starts_with("unix:") {
        let (path, query) = unix_bind(text)?;
        let Access { mode, owner } = Access::read(query, true)?;
        let mode = mode.unwrap_or(0o660);
        return Ok(Bind::Unix { path, mode, owner });
    }
    if let Some(name) = text.strip_prefix("fd:") {
        let fine = (1..=255).contains(&name.len())
            && name.bytes().all(|b| b.is_ascii_graphic() && b != b':');
        return fine
            .then(|| Bind::Fd(name.to_owned()))
            .ok_or_else(|| "fd:NAME with a name of 1 to 255 printable characters but ':'".into());
    }
    text.parse().map(Bind::Tcp).map_err(|_| EXPECTED.to_owned())
}

/// `ip:port` or `unix:///path?mode=0600`.
pub(super) fn admin_bind(text: &str) -> Expected<admin::settings::Bind> {
    use admin::settings::Bind;
    if text.starts_with("unix:") {
        let (path, query) = unix_bind(text)?;
        let mode = Access::read(query, false)?.mode.unwrap_or(0o600);
        return Ok(Bind::Unix { path, mode });
    }
    text.parse()
        .map(Bind::Tcp)
        .map_err(|_| "ip:port or unix:///path?mode=0600".to_owned())
}

/// `ip:port`
pub(super) fn socket_address(text: &str) -> Expected<SocketAddr> {
    text.parse().map_err(|_| "ip:port".to_owned())
}

/// The path and what is said of it.
fn unix_bind(text: &str) -> Expected<(PathBuf, Option<&str>)> {
    let rest = text.strip_prefix("unix://").unwrap_or_default();
    let (path, query) = match rest.split_once('?') {
        Some((path, query)) => (path, Some(query)),
        None => (rest, None),
    };
    Ok((socket_path(path)?, query))
}

fn socket_path(path: &str) -> Expected<PathBuf> {
    let fine = path.starts_with('/')
        && !path.ends_with('/')
        && path.len() <= MAX_SOCKET_PATH
        && !path.chars().any(char::is_control);
    fine.then(|| PathBuf::from(path)).ok_or_else(|| {
        format!("unix:///path with an absolute path of at most {MAX_SOCKET_PATH} bytes")
    })
}

/// An upstream's address, and whether TLS is spoken with it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Upstream {
    pub target: Target,
    pub https: bool,
}

/// `http://host[:port]`, `https://host[:port]` or `unix:///path`.
pub(super) fn upstream(text: &str) -> Expected<Upstream> {
    const EXPECTED: &str = "http://…, https://… or unix:///path";
    if let Some(path) = text.strip_prefix("unix://") {
        let target = Target::Unix(socket_path(path)?);
        return Ok(Upstream {
            target,
            https: false,
        });
    }
    let url = Url::parse(text).ok_or(EXPECTED)?;
    let (https, default_port) = match url.scheme {
        "http" => (false, 80),
        "https" => (true, 443),
        _ => return Err(EXPECTED.to_owned()),
    };
    if url.userinfo {
        return Err("a URL without user and password".to_owned());
    }
    if !url.rest.is_empty() && url.rest != "/" {
        return Err("a URL without path, query and fragment: requests bring theirs".to_owned());
    }
    let target = Target::Tcp {
        host: url.host.to_owned(),
        port: url.port.unwrap_or(default_port),
    };
    Ok(Upstream { target, https })
}

/// An `http` or `https` URL, taken apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Url<'a> {
    pub scheme: &'a str,
    pub userinfo: bool,
    /// Without brackets.
    pub host: &'a str,
    pub port: Option<u16>,
    /// Path, query and fragment, as written.
    pub rest: &'a str,
}

impl<'a> Url<'a> {
    /// `None` if that isn't `scheme://host[:port][/…]` with a valid host and port.
    pub fn parse(text: &'a str) -> Option<Self> {
        if !text.bytes().all(|b| b.is_ascii_graphic()) {
            return None;
        }
        let (scheme, after) = text.split_once("://")?;
        let end = after.find(['/', '?', '#']).unwrap_or(after.len());
        let (authority, rest) = after.split_at(end);
        let (userinfo, host_port) = match authority.rsplit_once('@') {
            Some((_, host_port)) => (true, host_port),
            None => (false, authority),
        };
        let (host, port) = host_and_port(host_port)?;
        Some(Self {
            scheme,
            userinfo,
            host,
            port,
            rest,
        })
    }

    /// Path without query and fragment.
    pub fn path(&self) -> &'a str {
        let end = self.rest.find(['?', '#']).unwrap_or(self.rest.len());
        &self.rest[..end]
    }
}

/// `host`, `host:port`, `[v6]` or `[v6]:port`; the host comes back without brackets.
pub(super) fn host_and_port(text: &str) -> Option<(&str, Option<u16>)> {
    if let Some(bracketed) = text.strip_prefix('[') {
        let (host, after) = bracketed.split_once(']')?;
        host.parse::<std::net::Ipv6Addr>().ok()?;
        return match after.strip_prefix(':') {
            Some(port) => Some((host, Some(self::port(port)?))),
            None => after.is_empty().then_some((host, None)),
        };
    }
    let (host, port) = match text.split_once(':') {
        Some((host, port)) => (host, Some(self::port(port)?)),
        None => (text, None),
    };
    is_host(host).then_some((host, port))
}

fn port(text: &str) -> Option<u16> {
    let digits = text.bytes().all(|b| b.is_ascii_digit());
    digits
        .then(|| text.parse().ok())
        .flatten()
        .filter(|port| *port != 0)
}

fn is_host(text: &str) -> bool {
    let name = text.strip_suffix('.').unwrap_or(text);
    let label = |label: &str| {
        (1..=63).contains(&label.len())
            && label
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_'))
    };
    // All digits and dots is an address, and has to be a right one.
    let numeric = name.bytes().all(|b| b.is_ascii_digit() || b == b'.');
    name.len() <= 253 && name.split('.').all(label) && (!numeric || name.parse::<IpAddr>().is_ok())
}

/// A URL without the parts that may hold secrets: user, password and query. Other text is itself,
/// but for what stands before an `@`.
pub(super) fn mask(text: &str) -> String {
    let Some((scheme, after)) = text.split_once("://") else {
        return match text.rsplit_once('@') {
            Some((_, host)) => format!("***@{host}"),
            None => text.to_owned(),
        };
    };
    if scheme == "unix" {
        return text.to_owned();
    }
    let end = after.find(['/', '?', '#']).unwrap_or(after.len());
    let (authority, rest) = after.split_at(end);
    let authority = match authority.rsplit_once('@') {
        Some((_, host)) => format!("***@{host}"),
        None => authority.to_owned(),
    };
    let rest = match rest.find(['?', '#']) {
        Some(start) => format!("{}?***", &rest[..start]),
        None => rest.to_owned(),
    };
    format!("{scheme}://{authority}{rest}")
}

/// A listener's address as the file would write it.
pub(super) fn show_listener_bind(bind: &listen::settings::Bind) -> String {
    use listen::settings::Bind;
    match bind {
        Bind::Tcp(address) => address.to_string(),
        Bind::Unix { path, mode, owner } => {
            let owner = access::show(*owner);
            format!("unix://{}?mode={mode:04o}{owner}", path.display())
        }
        Bind::Fd(name) => format!("fd:{name}"),
    }
}

/// The admin server's address as the file would write it.
pub(super) fn show_admin_bind(bind: &admin::settings::Bind) -> String {
    use admin::settings::Bind;
    match bind {
        Bind::Tcp(address) => address.to_string(),
        Bind::Unix { path, mode } => format!("unix://{}?mode={mode:04o}", path.display()),
    }
}

/// An upstream's address as the file would write it.
pub(super) fn show_upstream(target: &Target, https: bool) -> String {
    let scheme = if https { "https" } else { "http" };
    match target {
        Target::Unix(path) => format!("unix://{}", path.display()),
        Target::Tcp { host, port } if host.contains(':') => format!("{scheme}://[{host}]:{port}"),
        Target::Tcp { host, port } => format!("{scheme}://{host}:{port}"),
    }
}

#[cfg(test)]
mod tests {
    use super::{Url, host_and_port, listener_bind, mask, show_listener_bind, upstream};
    use crate::proxy::settings::Target;

    #[test]
    fn upstreams_have_a_host_and_the_scheme_s_port() {
        for (text, host, port, https) in [
            ("http://a", "a", 80, false),
            ("https://a.b-c_d.", "a.b-c_d.", 443, true),
            ("https://[::1]", "::1", 443, true),
            ("http://[fe80::1]:8080/", "fe80::1", 8080, false),
            ("http://127.0.0.1:1", "127.0.0.1", 1, false),
        ] {
            let read = upstream(text).unwrap();
            let host = host.to_owned();
            assert_eq!(read.target, Target::Tcp { host, port }, "{text}");
            assert_eq!(read.https, https, "{text}");
        }
    }

    #[test]
    fn what_is_no_host_is_refused() {
        for (text, why) in [
            ("", "empty"),
            ("a..b", "empty label"),
            ("-:80a", "port with a letter"),
            ("a:65536", "port too big"),
            ("a:0", "port zero"),
            ("::1", "brackets missing"),
            ("[::1", "bracket open"),
            ("[::1]x", "text after the bracket"),
            ("[127.0.0.1]", "IPv4 in brackets"),
            ("1.2.3", "half an address"),
            ("a b", "space"),
        ] {
            assert_eq!(host_and_port(text), None, "{why}");
        }
        let long = "a".repeat(64);
        assert_eq!(host_and_port(&long), None, "label too long");
    }

    #[test]
    fn a_url_falls_into_its_parts() {
        let url = Url::parse("https://me@h:1/p/q?r#s").unwrap();
        assert!(url.userinfo);
        assert_eq!((url.host, url.port, url.rest), ("h", Some(1), "/p/q?r#s"));
        assert_eq!(url.path(), "/p/q");
        assert_eq!(Url::parse("http://a\u{7f}b"), None);
    }

    #[test]
    fn binds_are_shown_as_they_are_written() {
        for text in [
            "127.0.0.1:80",
            "[::]:443",
            "unix:///run/a.sock?mode=0600",
            "unix:///run/a.sock?mode=0660&uid=0&gid=4294967294",
            "unix:///run/a.sock?mode=0660&gid=7",
            "fd:public",
        ] {
            assert_eq!(show_listener_bind(&listener_bind(text).unwrap()), text);
        }
        let long = format!("unix:///{}", "a".repeat(107));
        assert!(listener_bind(&long).is_err(), "longer than sun_path");
    }

    #[test]
    fn secrets_of_urls_are_masked() {
        for (text, shown) in [
            ("http://h:1/p", "http://h:1/p"),
            ("http://u:p@h/p?q#f", "http://***@h/p?***"),
            ("http://h#f", "http://h?***"),
            ("unix:///run/a@b?mode=0600", "unix:///run/a@b?mode=0600"),
        ] {
            assert_eq!(mask(text), shown);
        }
    }
}
