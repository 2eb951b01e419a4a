use std::net::Ipv4Addr;

use super::*;

const LOCAL: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::new(10, 1, 2, 3)), 9901);

/// Status, target, hosts, origins, and why.
type Row = (
    u16,
    &'static str,
    &'static [&'static str],
    &'static [&'static str],
    &'static str,
);

fn judge(via: Via, version: Version, target: &str, headers: &[(&str, &str)]) -> u16 {
    let mut request = Request::builder().uri(target).version(version);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    match check_host(via, &request.body(()).unwrap()) {
        Ok(()) => 200,
        Err(Refused::BadHost(_)) => 400,
        Err(Refused::Forbidden(_)) => 403,
    }
}

#[test]
fn foreign_hosts_and_origins_are_refused_on_tcp() {
    let rows: &[Row] = &[
        (200, "/", &["localhost:9901"], &[], "localhost"),
        (200, "/", &["LOCALHOST"], &[], "case, no port"),
        (200, "/", &["localhost:8080"], &[], "a forwarded port"),
        (200, "/", &["127.0.0.1:9901"], &[], "loopback"),
        (200, "/", &["127.8.9.1"], &[], "all of 127/8"),
        (200, "/", &["[::1]:9901"], &[], "IPv6 loopback"),
        (200, "/", &["[::ffff:127.0.0.1]"], &[], "mapped loopback"),
        (200, "/", &["10.1.2.3:9901"], &[], "the address bound"),
        (403, "/", &["10.1.2.4:9901"], &[], "another address"),
        (403, "/", &["attacker.example:9901"], &[], "rebound name"),
        (403, "/", &["localhost.attacker.example"], &[], "prefix"),
        (403, "/", &["attacker-localhost"], &[], "suffix"),
        (
            403,
            "/",
            &["127.0.0.1.attacker.example"],
            &[],
            "address as prefix",
        ),
        (403, "/", &["localhost."], &[], "resolvers decide on that"),
        (403, "/", &["x@localhost"], &[], "userinfo"),
        (400, "/", &["local host"], &[], "no authority"),
        (400, "/", &[""], &[], "empty"),
        (400, "/", &[], &[], "missing"),
        (400, "/", &["localhost", "localhost"], &[], "two"),
        (
            403,
            "http://attacker.example/",
            &["localhost"],
            &[],
            "the target overrides Host",
        ),
        (
            403,
            "http://localhost/",
            &["attacker.example"],
            &[],
            "the target hides Host",
        ),
        (200, "http://localhost/", &["localhost"], &[], "absolute"),
        (
            200,
            "/",
            &["localhost:9901"],
            &["http://localhost:9901"],
            "its own page",
        ),
        (
            200,
            "/",
            &["localhost"],
            &["http://localhost:80"],
            "default port",
        ),
        (
            403,
            "/",
            &["localhost:9901"],
            &["http://localhost:3000"],
            "another port's page",
        ),
        (
            403,
            "/",
            &["localhost:9901"],
            &["https://localhost:9901"],
            "another scheme",
        ),
        (
            403,
            "/",
            &["localhost:9901"],
            &["http://attacker.example"],
            "another site's page",
        ),
        (403, "/", &["localhost:9901"], &["null"], "sandboxed page"),
        (
            403,
            "/",
            &["localhost:9901"],
            &["http://localhost:9901", "http://attacker.example"],
            "two origins",
        ),
    ];
    for (expected, target, hosts, origins, why) in rows {
        let headers: Vec<(&str, &str)> = hosts
            .iter()
            .map(|host| ("host", *host))
            .chain(origins.iter().map(|origin| ("origin", *origin)))
            .collect();
        let got = judge(Via::Tcp(LOCAL), Version::HTTP_11, target, &headers);
        assert_eq!(got, *expected, "{why}");
    }
}

#[test]
fn http_1_0_may_omit_its_host() {
    let tcp = Via::Tcp(LOCAL);
    assert_eq!(judge(tcp, Version::HTTP_10, "/", &[]), 200);
    let origin = [("origin", "http://attacker.example")];
    assert_eq!(judge(tcp, Version::HTTP_10, "/", &origin), 403);
}

#[test]
fn a_unix_socket_is_reached_by_no_page() {
    let headers = [("host", "whatever"), ("origin", "null")];
    assert_eq!(judge(Via::Unix, Version::HTTP_11, "/", &headers), 200);
}

#[test]
fn tokens_are_equal_only_whole() {
    for (given, equal) in [
        ("secret", true),
        ("", false),
        ("secre", false),
        ("secrets", false),
        ("Secret", false),
        ("secreT", false),
    ] {
        assert_eq!(same(given.as_bytes(), b"secret"), equal, "{given}");
    }
}

#[test]
fn one_bearer_is_read_and_nothing_else() {
    for (values, token) in [
        (&["Bearer abc"][..], Some("abc")),
        (&["bEARER  abc "], Some("abc")),
        (&["Basic abc"], None),
        (&["Bearer"], None),
        (&["abc"], None),
        (&[], None),
        (&["Bearer abc", "Bearer abc"], None),
    ] {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(AUTHORIZATION, value.parse().unwrap());
        }
        assert_eq!(bearer(&headers), token.map(str::as_bytes), "{values:?}");
    }
}
