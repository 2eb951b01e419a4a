//! `endpoint` of a Kubernetes TracingConfiguration: a target as gRPC names it.
//!
//! Kubernetes takes what Go's `url.Parse` does, `dns://` put in front where there is no `//`, if
//! the scheme is `dns`, `unix` or `unix-abstract` (component-base, `ValidateTracingConfiguration`),
//! and says its own words to anything else. What it takes and this exporter can't reach is told
//! as that.

use super::super::address;

/// gRPC's own default port of DNS names.
const GRPC_PORT: u16 = 443;

const EXPECTED: &str =
    "expected host:port, dns:///host:port, unix:///path or unix-abstract:///name";

/// The target as an endpoint of the exporter; otherwise what is wrong.
pub(super) fn url(text: &str) -> Result<String, String> {
    let Some((before, rest)) = text.split_once("//") else {
        return plain(text);
    };
    let scheme = scheme(before);
    match (scheme.as_str(), before.len() == scheme.len() + 1) {
        ("dns", true) => dns(rest),
        ("unix", true) => path(rest).map(|path| format!("unix://{path}")),
        ("unix-abstract", true) => path(rest).map(|name| format!("unix-abstract:{name}")),
        ("dns" | "unix" | "unix-abstract", false) => Err(EXPECTED.to_owned()),
        (scheme, _) => Err(format!(
            "unsupported scheme: {scheme}.  Options are none, dns, unix, or unix-abstract.  \
             See https://github.com/grpc/grpc/blob/master/doc/naming.md"
        )),
    }
}

/// What stands before the first colon, in small letters, if that can be a scheme (RFC 3986, 3.1).
fn scheme(text: &str) -> String {
    let scheme = text.split_once(':').map_or("", |(scheme, _)| scheme);
    let letter = scheme.starts_with(|c: char| c.is_ascii_alphabetic());
    let known = |c: char| c.is_ascii_alphanumeric() || matches!(c, '+' | '-' | '.');
    if letter && scheme.chars().all(known) {
        scheme.to_ascii_lowercase()
    } else {
        String::new()
    }
}

/// Without `//`. To Kubernetes that is the authority of a DNS name, to gRPC a target of any
/// scheme; `unix:/path` is both.
fn plain(text: &str) -> Result<String, String> {
    if let Some(found) = text.strip_prefix("unix:").filter(|p| p.starts_with('/')) {
        return path(found).map(|path| format!("unix://{path}"));
    }
    let (host, port) = text.rsplit_once(':').unwrap_or((text, ""));
    if !host.contains([':', '/']) && !port.bytes().all(|b| b.is_ascii_digit()) {
        return Err(format!(
            "parse \"dns://{text}\": invalid port \":{port}\" after host"
        ));
    }
    host_port(text)
}

/// After `dns://`: the name server to ask, if any, and behind its slash what to ask it for.
fn dns(rest: &str) -> Result<String, String> {
    match rest.split_once('/') {
        Some(("", name)) => host_port(name),
        Some((server, name)) if !name.is_empty() => Err(format!(
            "valid in Kubernetes, not supported here: names are looked up as the system does, \
             not at a name server of the endpoint's own ({server}); expected dns:///{name}"
        )),
        _ => Err(format!(
            "valid in Kubernetes, not supported here: it names a name server and no host, which \
             gRPC can't reach; expected dns:///{}",
            rest.trim_end_matches('/')
        )),
    }
}

/// After `unix://` and `unix-abstract://`: a path, which begins with a slash. In an abstract name
/// that slash counts.
fn path(rest: &str) -> Result<&str, String> {
    if !rest.starts_with('/') {
        return Err(
            "valid in Kubernetes, not supported here: gRPC reaches no socket on another host; \
             expected three slashes"
                .to_owned(),
        );
    }
    if rest.contains(['%', '?', '#']) {
        return Err(
            "valid in Kubernetes, not supported here: escapes, query and fragment of a URL; \
             expected a name without %, ? and #"
                .to_owned(),
        );
    }
    (rest.len() > 1)
        .then_some(rest)
        .ok_or_else(|| EXPECTED.to_owned())
}

fn host_port(text: &str) -> Result<String, String> {
    let (host, port) = address::host_and_port(text).ok_or_else(|| EXPECTED.to_owned())?;
    let port = port.unwrap_or(GRPC_PORT);
    Ok(if host.contains(':') {
        format!("http://[{host}]:{port}")
    } else {
        format!("http://{host}:{port}")
    })
}

#[cfg(test)]
mod tests {
    use super::url;

    #[test]
    fn endpoints_are_grpc_targets() {
        for (endpoint, expected, why) in [
            ("localhost:4317", "http://localhost:4317", "as documented"),
            ("collector", "http://collector:443", "gRPC's own port"),
            ("dns:///collector:4317", "http://collector:4317", "by name"),
            ("DNS:///c:4317", "http://c:4317", "case of a scheme"),
            ("[::1]:4317", "http://[::1]:4317", "IPv6"),
            ("unix:///run/otel.sock", "unix:///run/otel.sock", "a socket"),
            ("unix:/run/otel.sock", "unix:///run/otel.sock", "in short"),
            ("unix-abstract:///a", "unix-abstract:/a", "its slash counts"),
        ] {
            assert_eq!(url(endpoint).as_deref(), Ok(expected), "{why}");
        }
    }

    #[test]
    fn what_kubernetes_refuses_is_refused_in_its_words() {
        for (endpoint, scheme) in [
            ("http://c:4317", "http"),
            ("HTTPS://c:4317", "https"),
            ("ipv4://1.2.3.4:1", "ipv4"),
            ("c:4317//", "c"),
            ("//c:4317", ""),
        ] {
            let expected = format!(
                "unsupported scheme: {scheme}.  Options are none, dns, unix, or unix-abstract.  \
                 See https://github.com/grpc/grpc/blob/master/doc/naming.md"
            );
            assert_eq!(url(endpoint), Err(expected), "{endpoint}");
        }
        for (endpoint, port) in [("c:port", ":port"), ("unix-abstract:a", ":a")] {
            let expected =
                format!("parse \"dns://{endpoint}\": invalid port \"{port}\" after host");
            assert_eq!(url(endpoint), Err(expected), "{endpoint}");
        }
    }

    #[test]
    fn what_kubernetes_takes_and_this_exporter_can_t_is_told_as_that() {
        for (endpoint, phrase) in [
            ("dns://8.8.8.8/c:4317", "(8.8.8.8); expected dns:///c:4317"),
            ("dns://c:4317", "no host"),
            ("dns://c:4317/", "expected dns:///c:4317"),
            ("unix://host/a", "another host"),
            ("unix-abstract://a", "three slashes"),
            ("unix:///a%20b", "escapes"),
            ("unix-abstract:///a?b", "query"),
        ] {
            let fault = url(endpoint).expect_err(endpoint);
            assert!(
                fault.starts_with("valid in Kubernetes, not supported here: "),
                "{fault}"
            );
            assert!(fault.contains(phrase), "{fault}");
        }
        for endpoint in ["", "dns:///", "unix:///", "a b", "dns:///c:port"] {
            let fault = url(endpoint).expect_err(endpoint);
            assert!(fault.starts_with("expected host:port"), "{fault}");
        }
    }
}
