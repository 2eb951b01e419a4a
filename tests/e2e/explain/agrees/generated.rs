//! Policies, requests and their callers.

use std::net::IpAddr;

use http::{HeaderName, HeaderValue};
use proptest::prelude::*;
use tracegate::context::callers::UnixPeer;
use tracegate::explain::{From, Question};

use super::super::{PARENT, TRACE};
use super::credentials::{Chain, Credentials};

/// One of these, written into the file.
fn one(words: &'static [&'static str]) -> impl Strategy<Value = &'static str> {
    prop::sample::select(words)
}

/// Where callers come from.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind {
    /// By TCP; what is known of them is an address.
    Address,
    /// By a unix socket: a process.
    Process,
    /// By TLS: an address, and perhaps a certificate.
    Certificate,
    /// The same where the upstream is told who asks.
    Identity,
}

impl Kind {
    pub const ALL: [Self; 4] = [
        Self::Address,
        Self::Process,
        Self::Certificate,
        Self::Identity,
    ];

    /// Keys of the listener, `$PKI` being a directory. `$UP` is the upstream's address.
    const fn listener(self) -> &'static str {
        match self {
            Self::Address => {
                "bind: 127.0.0.1:0
  proxyProtocol: {from: [127.0.0.0/8]}
  upstream: {url: \"http://$UP\"}"
            }
            Self::Process => {
                "bind: unix:///run/tracegate-explain.sock
  upstream: {url: \"http://$UP\"}"
            }
            Self::Certificate => {
                "bind: 127.0.0.1:0
  tls:
    certificates: [{certFile: $PKI/server.crt, keyFile: $PKI/server.key}]
    clientCAFile: $PKI/clients.pem
  upstream: {url: \"http://$UP\"}"
            }
            Self::Identity => {
                "bind: 127.0.0.1:0
  tls:
    certificates: [{certFile: $PKI/server.crt, keyFile: $PKI/server.key}]
    clientCAFile: $PKI/clients.pem
  identity:
    requestHeader: {tls: {certFile: $PKI/server.crt, keyFile: $PKI/server.key}}
  upstream: {url: \"https://$UP\", tls: {caFile: $PKI/clients.pem}}"
            }
        }
    }

    /// Rules of trust that such callers can be told by.
    const fn trust(self) -> &'static [&'static str] {
        match self {
            Self::Address => &[
                "[]",
                "[{from: {cidrs: [127.0.0.0/8]}, as: full}]",
                "[{from: {cidrs: [127.0.0.0/8]}, as: ids}]",
                "[{from: {cidrs: [10.0.0.0/8, \"2001:db8::/32\"]}, as: full}, {from: {cidrs: [0.0.0.0/0]}, as: ids}]",
                "[{from: {cidrs: [10.1.2.3]}, as: drop}, {from: {cidrs: [10.0.0.0/8]}, as: full}]",
            ],
            Self::Process => &[
                "[]",
                "[{from: {unixPeer: {uids: [0]}}, as: full}]",
                "[{from: {unixPeer: {gids: [1000]}}, as: ids}, {from: {unixPeer: {uids: [0]}}, as: full}]",
            ],
            Self::Certificate | Self::Identity => &[
                "[]",
                "[{from: {clientCert: {groups: [dev]}}, as: full}]",
                "[{from: {clientCert: {commonNames: [alice], groups: [ops]}}, as: ids}]",
                "[{from: {cidrs: [10.0.0.0/8], clientCert: {commonNames: [ali*]}}, as: full}, {from: {cidrs: [0.0.0.0/0]}, as: ids}]",
            ],
        }
    }
}

/// A configuration, and who may call.
#[derive(Clone, Debug)]
pub struct Policy {
    pub kind: Kind,
    yaml: String,
}

impl Policy {
    /// The file, with this upstream.
    pub fn yaml(&self, credentials: &Credentials, upstream: &str) -> String {
        let directory = credentials.directory.path().display().to_string();
        self.yaml
            .replace("$PKI", &directory)
            .replace("$UP", upstream)
    }
}

/// Policies with callers of these kinds, and these caps.
pub fn policy(
    kinds: &'static [Kind],
    caps: &'static [&'static str],
) -> impl Strategy<Value = Policy> {
    let kinds = prop::sample::select(kinds);
    let kind = kinds.prop_flat_map(|kind| (Just(kind), one(kind.trust())));
    let listener = (
        kind,
        one(&[
            "direction: ingress",
            "direction: ingress",
            "direction: egress",
            "direction: egress\n  orphans: pass",
        ]),
        one(&[
            "default: drop",
            "default: ids",
            "default: full",
            "default: ids, alsoContext: [x_a]",
            "default: full, alsoContext: [x_a]",
        ]),
        one(&["w3c", "none"]),
        one(&["auto", "replace", "append", "off"]),
        one(&[
            "[]",
            "[{match: {host: b.example}, upstream: {url: \"http://$UP\", host: other.example}}]",
            "[{match: {path: /b*}, upstream: {url: \"http://$UP\", protocol: http2}}, {match: {host: \"*.example\"}, upstream: {url: \"http://$UP\", protocol: http1}}]",
        ]),
        one(&["false", "true, patterns: [\"/users/{id}\"]"]),
    );
    let tracing = (
        one(&["0", "500000", "1000000"]),
        one(&["consistent", "traceidratio"]),
        one(&["propagate", "omit"]),
        one(&[
            "[]",
            "[{match: {path: /a}, drop: true}]",
            "[{match: {path: /a}, samplingRatePerMillion: 300000}, {match: {method: PUT}, drop: true}]",
            "[{match: {host: b.example}, samplingRatePerMillion: 1000000}, {match: {header: {x-a: \"1\"}}, drop: true}]",
            "[{match: {grpcService: etcdserverpb.*}, samplingRatePerMillion: 0}, {match: {listener: other}, drop: true}, {match: {listener: a, header: {x-request-id: \"*\"}}, samplingRatePerMillion: 1000000, maxTracesPerSecond: 1}]",
        ]),
        one(&["none", "console"]),
        one(caps),
    );
    let formats = (
        one(&[
            "[tracecontext, baggage]",
            "[b3, tracecontext]",
            "[tracecontext, b3multi, datadog]",
            "[jaeger, xray, grpc-trace-bin]",
            "[]",
        ]),
        one(&[
            "[tracecontext, baggage]",
            "[b3, b3multi, tracecontext]",
            "[xray, datadog, jaeger, grpc-trace-bin]",
            "[]",
        ]),
        one(&["[]", "[x-request-id]"]),
    );
    (listener, tracing, formats).prop_map(|(listener, tracing, formats)| {
        let ((kind, rules_of_trust), direction, trust, propagate, forwarded, routes, kubernetes) =
            listener;
        let (rate, ratio, root, rules, sink, cap) = tracing;
        let (extract, inject, correlate) = formats;
        // Whom the upstream is told of, it is told over TLS, on the way in.
        let (direction, routes) = match kind {
            Kind::Identity => ("direction: ingress", "[]"),
            _ => (direction, routes),
        };
        // What is correlated comes in by the one and leaves by the other.
        let other = match direction {
            "direction: ingress" => "egress",
            _ => "ingress",
        };
        let keys = kind.listener();
        let yaml = format!(
            "propagation: {{extract: {extract}, inject: {inject}, correlateBy: {correlate}}}
tracing:
  samplingRatePerMillion: {rate}
  ratioRule: {ratio}
  unsampledRoot: {root}
  rules: {rules}
  export: {{protocol: {sink}}}{cap}
workers: 1
drainTimeout: 5s
listeners:
- name: a
  {keys}
  {direction}
  trust: {{{trust}, rules: {rules_of_trust}}}
  propagate: {propagate}
  forwarded: {forwarded}
  routes: {routes}
  span: {{templates: {{kubernetes: {kubernetes}}}}}
- name: other
  bind: 127.0.0.1:0
  direction: {other}
  upstream: {{url: \"http://$UP\"}}
"
        );
        Policy { kind, yaml }
    })
}

/// Fields that mean something, well-formed and not; any of them may come twice.
fn field() -> impl Strategy<Value = (&'static str, String)> {
    let traceparent = |flags: &str| format!("00-{TRACE}-{PARENT}-{flags}");
    let fields = vec![
        ("traceparent", traceparent("01")),
        ("traceparent", traceparent("00")),
        ("traceparent", traceparent("03")),
        ("traceparent", format!("00-{TRACE}-{PARENT}")),
        ("traceparent", format!("cc-{TRACE}-{PARENT}-01-x")),
        ("traceparent", String::new()),
        ("trace_parent", traceparent("01")),
        ("tracestate", "ot=th:8;rv:00000000000001,a=1".to_owned()),
        ("tracestate", "a=1,,b=2".to_owned()),
        ("tracestate", "ot=th:zz".to_owned()),
        ("tracestate", "A=1".to_owned()),
        ("baggage", "k=v".to_owned()),
        ("baggage", "not baggage".to_owned()),
        ("b3", format!("{TRACE}-{PARENT}-1")),
        ("b3", format!("{TRACE}-{PARENT}")),
        ("b3", "0".to_owned()),
        ("x-b3-traceid", TRACE.to_owned()),
        ("x-b3-spanid", PARENT.to_owned()),
        ("x-b3-sampled", "1".to_owned()),
        ("uber-trace-id", format!("{TRACE}:{PARENT}:0:1")),
        (
            "x-amzn-trace-id",
            format!("Root=1-0af76519-16cd43dd8448eb211c80319c;Parent={PARENT};Sampled=1"),
        ),
        ("x-datadog-trace-id", "12345".to_owned()),
        ("x-datadog-parent-id", "678".to_owned()),
        (
            "grpc-trace-bin",
            "AAAK92UZFs1D3YRI6yEcgDGcAbetsrFpIDMxAgE".to_owned(),
        ),
        ("sentry-trace", "1".to_owned()),
        ("connection", "traceparent, x-a".to_owned()),
        ("connection", "keep-alive".to_owned()),
        ("x-a", "1".to_owned()),
        ("x-forwarded-for", "1.2.3.4".to_owned()),
        ("x-forwarded-proto", "gopher".to_owned()),
        ("forwarded", "for=1.2.3.4".to_owned()),
        ("te", "trailers, deflate".to_owned()),
        ("upgrade", "websocket".to_owned()),
        ("content-length", "1, 2".to_owned()),
        ("content-type", "application/grpc".to_owned()),
        ("host", "b.example".to_owned()),
        ("x-request-id", "1".to_owned()),
        ("x-remote-user", "forged".to_owned()),
        ("x_remote_group", "forged".to_owned()),
        ("authorization", "Bearer token".to_owned()),
    ];
    prop::sample::select(fields)
}

/// Who asks, as far as the listener can know.
#[derive(Clone, Copy, Debug)]
pub struct Who {
    address: Option<&'static str>,
    process: UnixPeer,
    chain: Chain,
}

impl Who {
    /// The address, where callers have one that is no default.
    pub const fn address(&self) -> Option<&'static str> {
        self.address
    }

    /// What `explain` is told.
    pub fn from(&self, kind: Kind, credentials: &Credentials) -> From {
        let address = || self.address.map(|address| address.parse().expect("an IP"));
        match kind {
            Kind::Process => From {
                process: Some(self.process),
                ..From::default()
            },
            Kind::Address => From {
                address: address(),
                ..From::default()
            },
            Kind::Certificate | Kind::Identity => From {
                address: address(),
                certificates: credentials.chain(self.chain),
                ..From::default()
            },
        }
    }

    /// What the listener knows then.
    pub fn known(&self, kind: Kind) -> (Option<IpAddr>, Option<UnixPeer>) {
        let address = self.address.unwrap_or("127.0.0.1");
        match kind {
            Kind::Process => (None, Some(self.process)),
            _ => (address.parse().ok(), None),
        }
    }
}

fn who() -> impl Strategy<Value = Who> {
    let address = prop::sample::select(vec![
        None,
        Some("127.0.0.1"),
        Some("10.1.2.3"),
        Some("10.9.9.9"),
        Some("203.0.113.7"),
        Some("2001:db8::1"),
        Some("::1"),
    ]);
    let process = prop::sample::select(vec![(0, 0), (1000, 1000), (7, 1000)]);
    let chain = prop::sample::select(Chain::ALL.to_vec());
    let parts = (address, process, chain);
    parts.prop_map(|(address, (uid, gid), chain)| Who {
        address,
        process: UnixPeer { uid, gid },
        chain,
    })
}

#[derive(Clone, Debug)]
pub struct Asked {
    pub who: Who,
    pub method: &'static str,
    pub path: &'static str,
    pub http2: bool,
    pub fields: Vec<(&'static str, String)>,
}

pub fn asked() -> impl Strategy<Value = Asked> {
    let fields = prop::collection::vec(field(), 0..6);
    let method = one(&["GET", "POST", "POST", "PUT", "CONNECT"]);
    let path = one(&[
        "/a",
        "/b?c=d",
        "/users/7",
        "/api/v1/namespaces/default/pods/p",
        "/etcdserverpb.KV/Range",
    ]);
    let parts = (who(), method, path, any::<bool>(), fields);
    parts.prop_map(|(who, method, path, http2, fields)| Asked {
        who,
        method,
        path,
        http2,
        fields,
    })
}

impl Asked {
    pub fn headers(&self) -> Vec<(HeaderName, HeaderValue)> {
        let field = |(name, value): &(&'static str, String)| {
            let name = HeaderName::from_static(name);
            (name, HeaderValue::from_str(value).expect("a value"))
        };
        self.fields.iter().map(field).collect()
    }

    pub fn question(&self, kind: Kind, credentials: &Credentials) -> Question {
        Question {
            listener: Some("a".into()),
            method: self.method.parse().expect("a method"),
            target: self.path.parse().expect("a path"),
            headers: self.headers(),
            http2: self.http2,
            from: self.who.from(kind, credentials),
        }
    }
}
