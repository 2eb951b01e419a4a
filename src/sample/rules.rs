//! Which rule a request falls under: the first that matches.

use http::header::CONTENT_TYPE;
use http::{HeaderName, Method};

use super::settings::{Glob, Match};

/// What rules may look at. Engines implement it on whatever head they hold.
pub trait RequestView {
    /// Method.
    fn method(&self) -> &Method;
    /// Path, without query.
    fn path(&self) -> &str;
    /// Host the caller named, with or without port.
    fn host(&self) -> Option<&str>;
    /// Whether `accept` says yes to any value of the field.
    fn header_any(&self, name: &HeaderName, accept: &mut dyn FnMut(&[u8]) -> bool) -> bool;
    /// Name of the listener.
    fn listener(&self) -> &str;
}

/// The rule a request falls under, or none: then the general rate counts.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub struct RuleId(Option<u32>);

impl RuleId {
    /// No rule matched.
    pub const NONE: Self = Self(None);

    /// The rule at this place of the list.
    pub fn new(index: usize) -> Self {
        Self(u32::try_from(index).ok())
    }

    /// The rule's place in the list.
    pub fn index(self) -> Option<usize> {
        self.0.and_then(|index| usize::try_from(index).ok())
    }
}

impl Match {
    /// Whether every condition present holds.
    pub fn holds(&self, request: &impl RequestView) -> bool {
        let path = || request.path();
        self.method
            .as_ref()
            .is_none_or(|method| method == request.method())
            && self
                .path
                .as_ref()
                .is_none_or(|glob| glob.matches(path().as_bytes()))
            && self
                .listener
                .as_ref()
                .is_none_or(|glob| glob.matches(request.listener().as_bytes()))
            && self
                .host
                .as_ref()
                .is_none_or(|glob| host_matches(glob, request))
            && self.grpc_service.as_ref().is_none_or(|glob| {
                grpc_service(request).is_some_and(|service| glob.matches(service.as_bytes()))
            })
            && self
                .headers
                .iter()
                .all(|(name, glob)| request.header_any(name, &mut |value| glob.matches(value)))
    }
}

fn host_matches(glob: &Glob, request: &impl RequestView) -> bool {
    request
        .host()
        .is_some_and(|host| glob.matches_ignore_case(without_port(host).as_bytes()))
}

/// `example.com:443` and `[::1]:443` without their ports; the brackets stay.
fn without_port(host: &str) -> &str {
    match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => {
            // An unbracketed IPv6 address has colons of its own and no port.
            if name.contains(':') && !name.ends_with(']') {
                host
            } else {
                name
            }
        }
        _ => host,
    }
}

/// `pkg.Service` of `/pkg.Service/Method`, if the content type is gRPC's.
fn grpc_service(request: &impl RequestView) -> Option<&str> {
    const TYPE: &[u8] = b"application/grpc";
    let (service, method) = request.path().strip_prefix('/')?.split_once('/')?;
    let well_formed = !service.is_empty() && !method.is_empty() && !method.contains('/');
    let mut grpc = |value: &[u8]| {
        value
            .get(..TYPE.len())
            .is_some_and(|start| start.eq_ignore_ascii_case(TYPE))
    };
    (well_formed && request.header_any(&CONTENT_TYPE, &mut grpc)).then_some(service)
}

#[cfg(test)]
mod tests {
    use http::HeaderMap;

    use super::*;

    struct Request {
        method: Method,
        path: &'static str,
        host: Option<&'static str>,
        headers: HeaderMap,
    }

    impl RequestView for Request {
        fn method(&self) -> &Method {
            &self.method
        }
        fn path(&self) -> &str {
            self.path
        }
        fn host(&self) -> Option<&str> {
            self.host
        }
        fn header_any(&self, name: &HeaderName, accept: &mut dyn FnMut(&[u8]) -> bool) -> bool {
            self.headers
                .get_all(name)
                .iter()
                .any(|value| accept(value.as_bytes()))
        }
        fn listener(&self) -> &str {
            "public"
        }
    }

    fn request() -> Request {
        let mut headers = HeaderMap::new();
        for (name, value) in [
            ("user-agent", "kubelet/1.36"),
            ("accept", "text/html"),
            ("accept", "application/json"),
        ] {
            headers.append(name, value.parse().unwrap());
        }
        Request {
            method: Method::GET,
            path: "/api/v1/pods",
            host: Some("Example.com:443"),
            headers,
        }
    }

    fn grpc(path: &'static str, content_type: &str) -> Request {
        let mut headers = HeaderMap::new();
        headers.insert(CONTENT_TYPE, content_type.parse().unwrap());
        Request {
            method: Method::POST,
            path,
            host: None,
            headers,
        }
    }

    fn glob(pattern: &str) -> Option<Glob> {
        Some(Glob::new(pattern))
    }

    fn header(name: &'static str, pattern: &str) -> (HeaderName, Glob) {
        (HeaderName::from_static(name), Glob::new(pattern))
    }

    #[test]
    fn every_condition_has_a_row_that_holds_and_one_that_does_not() {
        let none = Match::default;
        let rows = [
            (none(), true, "no condition"),
            (
                Match {
                    path: glob("/api/*"),
                    ..none()
                },
                true,
                "path",
            ),
            (
                Match {
                    path: glob("/apis/*"),
                    ..none()
                },
                false,
                "other path",
            ),
            (
                Match {
                    method: Some(Method::GET),
                    ..none()
                },
                true,
                "method",
            ),
            (
                Match {
                    method: Some(Method::PUT),
                    ..none()
                },
                false,
                "other method",
            ),
            (
                Match {
                    host: glob("example.com"),
                    ..none()
                },
                true,
                "host without port and case",
            ),
            (
                Match {
                    host: glob("example.org"),
                    ..none()
                },
                false,
                "other host",
            ),
            (
                Match {
                    listener: glob("pub*"),
                    ..none()
                },
                true,
                "listener",
            ),
            (
                Match {
                    listener: glob("to-etcd"),
                    ..none()
                },
                false,
                "other listener",
            ),
            (
                Match {
                    grpc_service: glob("*"),
                    ..none()
                },
                false,
                "no gRPC at all",
            ),
            (
                Match {
                    headers: vec![header("user-agent", "kubelet*")],
                    ..none()
                },
                true,
                "header",
            ),
            (
                Match {
                    headers: vec![header("user-agent", "curl*")],
                    ..none()
                },
                false,
                "other value",
            ),
            (
                Match {
                    headers: vec![header("x-absent", "*")],
                    ..none()
                },
                false,
                "absent header",
            ),
            (
                Match {
                    headers: vec![header("accept", "application/*")],
                    ..none()
                },
                true,
                "second value of a header",
            ),
            (
                Match {
                    headers: vec![
                        header("user-agent", "kubelet*"),
                        header("accept", "image/*"),
                    ],
                    ..none()
                },
                false,
                "one of two headers",
            ),
            (
                Match {
                    path: glob("/api/*"),
                    method: Some(Method::PUT),
                    ..none()
                },
                false,
                "one of two conditions",
            ),
        ];
        for (condition, expected, reason) in rows {
            assert_eq!(condition.holds(&request()), expected, "{reason}");
        }
    }

    #[test]
    fn a_grpc_service_is_known_by_path_and_content_type() {
        let etcd = Match {
            grpc_service: glob("etcdserverpb.*"),
            ..Match::default()
        };
        for (path, content_type, expected) in [
            ("/etcdserverpb.KV/Range", "application/grpc", true),
            ("/etcdserverpb.KV/Range", "application/grpc+proto", true),
            ("/etcdserverpb.KV/Range", "Application/GRPC", true),
            ("/etcdserverpb.KV/Range", "application/json", false),
            (
                "/runtime.v1.RuntimeService/Version",
                "application/grpc",
                false,
            ),
            ("/etcdserverpb.KV", "application/grpc", false),
            ("/etcdserverpb.KV/Range/more", "application/grpc", false),
            ("/etcdserverpb.KV/", "application/grpc", false),
        ] {
            assert_eq!(
                etcd.holds(&grpc(path, content_type)),
                expected,
                "{path} {content_type}"
            );
        }
    }

    #[test]
    fn ports_are_cut_and_addresses_are_not() {
        for (host, expected) in [
            ("example.com", "example.com"),
            ("example.com:80", "example.com"),
            ("[::1]:80", "[::1]"),
            ("[::1]", "[::1]"),
            ("::1", "::1"),
            ("fe80::1:80", "fe80::1:80"),
            ("odd:port", "odd:port"),
        ] {
            assert_eq!(without_port(host), expected);
        }
    }
}
