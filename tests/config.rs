//! The configuration as a whole: the reference, the ready-made files, and every kind of fault.

#[path = "config/broken.rs"]
mod broken;

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use tracegate::access_log::Mode;
use tracegate::config::{self, Faults, FileText, Flags, Loaded, Source, Strictness};
use tracegate::context::trust::Trust;
use tracegate::export::settings::Sink;
use tracegate::listen;
use tracegate::proxy::settings::{Target, UpstreamProtocol};
use tracegate::span::record::Direction;
use tracegate::{admin, sample};

const REFERENCE: &str = "config/reference.yaml";

const MINIMAL: &str = "\
apiVersion: tracegate.dev/v1alpha1
kind: TracegateConfiguration
listeners:
- {name: public, bind: 127.0.0.1:8080, upstream: {url: http://127.0.0.1:8081}}
";

fn check(path: impl AsRef<Path>, text: impl Into<String>) -> Result<Loaded, Faults> {
    let file = FileText {
        path: path.as_ref().to_owned(),
        text: text.into(),
    };
    let source = Source {
        file: Some(file),
        ..Source::default()
    };
    config::load(&source, Strictness::Check)
}

fn check_file(path: impl AsRef<Path>) -> Result<Loaded, Faults> {
    let text = fs::read_to_string(&path).unwrap();
    check(path, text)
}

/// A directory that is gone when the test is.
struct Directory(PathBuf);

impl Directory {
    fn new() -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let name = format!("tracegate-config-{}-{count}", std::process::id());
        let path = std::env::temp_dir().join(name);
        fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    fn write(&self, name: &str, contents: &str) -> PathBuf {
        let path = self.0.join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, contents).unwrap();
        path
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn certificate() -> (String, String) {
    let issued = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    (issued.cert.pem(), issued.signing_key.serialize_pem())
}

/// The certificate of an authority of that name, valid in these years of the calendar.
fn authority(name: &str, first: i32, last: i32) -> String {
    let mut params = rcgen::CertificateParams::default();
    params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    params.distinguished_name = rcgen::DistinguishedName::new();
    params
        .distinguished_name
        .push(rcgen::DnType::CommonName, name);
    params.not_before = rcgen::date_time_ymd(first, 1, 1);
    params.not_after = rcgen::date_time_ymd(last, 12, 31);
    let key = rcgen::KeyPair::generate().unwrap();
    params.self_signed(&key).unwrap().pem()
}

#[test]
fn every_broken_file_gets_every_fault_and_no_other() {
    for (name, expected) in broken::BROKEN {
        let path = format!("tests/broken/{name}.yaml");
        let faults = check_file(&path).unwrap_err();
        let got: Vec<_> = faults.iter().collect();
        assert_eq!(got.len(), expected.len(), "{path}:\n{faults}");
        for (fault, (line, field, phrase)) in got.iter().zip(*expected) {
            assert_eq!(
                (fault.at.line, fault.path.as_str()),
                (*line, *field),
                "{fault}"
            );
            assert!(
                fault.message.contains(phrase),
                "{fault}\nexpected: {phrase}"
            );
            assert!(
                fault.to_string().starts_with(&format!("{path}:{line}: ")),
                "{fault}"
            );
        }
        assert!(
            !faults.to_string().contains("hunter2"),
            "a secret: {faults}"
        );
    }
}

#[test]
fn every_broken_file_has_a_row() {
    let listed: BTreeSet<_> = broken::BROKEN
        .iter()
        .map(|(name, _)| (*name).to_owned())
        .collect();
    let present: BTreeSet<_> = fs::read_dir("tests/broken")
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .map(|path| path.file_stem().unwrap().to_str().unwrap().to_owned())
        .collect();
    assert_eq!(listed, present);
}

#[test]
fn faults_are_printed_one_a_line_and_counted() {
    let faults = check_file("tests/broken/header.yaml").unwrap_err();
    assert_eq!(
        faults.to_string(),
        "tests/broken/header.yaml:1: kind: is required\n\
         tests/broken/header.yaml:1: apiVersion: expected tracegate.dev/v1alpha1; got \
         \"tracegate.dev/v2\"\n\
         tests/broken/header.yaml:2: listeners: expected at least one listener\n\
         3 faults"
    );
}

#[test]
fn the_reference_shows_the_defaults() {
    let reference = check_file(REFERENCE).unwrap();
    let minimal = check(REFERENCE, MINIMAL).unwrap();
    assert_eq!(reference.config.effective, minimal.config.effective);
    assert_eq!(reference.config, minimal.config);
    assert_eq!(reference.warnings, [""; 0]);
}

#[test]
fn the_reference_shows_every_key_that_is_read() {
    let reference = fs::read_to_string(REFERENCE).unwrap();
    let sources = ["src/config", "src/config/resolve"]
        .iter()
        .flat_map(|directory| fs::read_dir(directory).unwrap())
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|e| e == "rs"))
        .filter(|path| path.starts_with("src/config/resolve") || path.ends_with("resolve.rs"));
    let mut keys = 0;
    for path in sources {
        let text = fs::read_to_string(&path).unwrap();
        for piece in text.split("get(\"").skip(1) {
            let key = piece.split('"').next().unwrap();
            let shown = [": ", ":\n"]
                .iter()
                .any(|end| reference.contains(&format!("{key}{end}")));
            assert!(shown, "{key} of {}", path.display());
            keys += 1;
        }
    }
    assert!(keys > 50, "{keys}");
}

#[test]
fn what_the_reference_disables_is_valid_once_enabled() {
    let reference = fs::read_to_string(REFERENCE).unwrap();
    let enabled: String = reference
        .lines()
        .map(|line| {
            let (indent, rest) = line.split_at(line.find('#').unwrap_or(line.len()));
            let disabled = !rest.starts_with("# ") || rest.starts_with("#  ");
            match rest.strip_prefix('#') {
                Some(setting) if disabled && indent.trim().is_empty() => {
                    format!("{indent}{setting}\n")
                }
                _ => format!(
                    "{}\n",
                    line.replace("rules: []", "rules:")
                        .replace("routes: []", "routes:")
                ),
            }
        })
        .collect();
    let enabled = enabled.replace("http://localhost:4317", "https://localhost:4317");
    // Either of the two may stand; the reference itself has the other.
    let enabled = enabled.replace("    url: http:", "    #url: http:");
    let enabled = enabled.replace("http://127.0.0.1:808", "https://127.0.0.1:808");
    let faults = check(REFERENCE, enabled).unwrap_err();
    let allowed = |message: &str| message.contains("can't be read: No such file");
    for fault in faults.iter() {
        assert!(allowed(&fault.message), "{fault}");
    }
    let count = |phrase: &str| faults.iter().filter(|f| f.message.contains(phrase)).count();
    assert!(count("can't be read") > 8, "{faults}");
}

#[test]
fn every_ready_made_file_is_valid_where_its_files_exist() {
    let directory = Directory::new();
    let (cert, key) = certificate();
    for (name, is_key) in [
        ("pki/etcd/ca.crt", false),
        ("pki/apiserver-etcd-client.crt", false),
        ("pki/apiserver-etcd-client.key", true),
        ("tls.crt", false),
        ("tls.key", true),
        ("webhook.crt", false),
        ("webhook.key", true),
        ("webhook-client.crt", false),
        ("webhook-client.key", true),
        ("pki/apiserver.crt", false),
        ("pki/apiserver.key", true),
        ("pki/front-proxy-client.crt", false),
        ("pki/front-proxy-client.key", true),
        ("pki/kubelet.crt", false),
        ("pki/kubelet.key", true),
        ("kubelet-client.crt", false),
        ("kubelet-client.key", true),
    ] {
        directory.write(name, if is_key { &key } else { &cert });
    }
    directory.write("pki/ca.crt", &authority("kubernetes", 2000, 2100));
    let mut count = 0;
    for entry in fs::read_dir("config").unwrap() {
        let path = entry.unwrap().path();
        let text = fs::read_to_string(&path).unwrap();
        let here = directory.0.to_str().unwrap();
        let text = ["/etc/kubernetes", "/etc/tracegate", "/var/lib/kubelet"]
            .iter()
            .fold(text, |text, there| text.replace(there, here));
        count += 1;
        let loaded = check(&path, text).unwrap_or_else(|faults| panic!("{faults}"));
        assert_eq!(loaded.warnings, [""; 0], "{}", path.display());
    }
    assert!(count >= 5);
}

#[test]
fn callers_are_asked_for_certificates_where_there_is_a_file_of_authorities() {
    use listen::settings::ClientAuth;
    let directory = Directory::new();
    let (cert, key) = certificate();
    directory.write("c.pem", &cert);
    let ca_file = directory.write("ca.pem", &authority("a", 2000, 2100));
    directory.write("k.pem", &key);
    let auth = |keys: &str| {
        let tls = format!("tls: {{certificates: [{{certFile: c.pem, keyFile: k.pem}}]{keys}}}");
        let text = MINIMAL.replace("upstream:", &format!("{tls}, upstream:"));
        let config = check(directory.0.join("f.yaml"), text).unwrap().config;
        let tls = config.listeners[0].listen.tls.clone().unwrap();
        (tls.client_auth, config.files.contains(&ca_file))
    };
    let request = ClientAuth::Request {
        ca_file: ca_file.clone(),
    };
    let require = ClientAuth::Require {
        ca_file: ca_file.clone(),
    };
    for (keys, expected, why) in [
        ("", ClientAuth::None, "nothing is said"),
        (", clientAuth: none", ClientAuth::None, "the default"),
        (", clientCAFile: ca.pem", request.clone(), "the file alone"),
        (
            ", clientCAFile: ca.pem, clientAuth: request",
            request,
            "both",
        ),
        (
            ", clientCAFile: ca.pem, clientAuth: require",
            require,
            "required",
        ),
        (
            ", clientCAFile: ca.pem, clientAuth: none",
            ClientAuth::None,
            "switched off",
        ),
    ] {
        let read = keys.contains("ca.pem");
        assert_eq!(auth(keys), (expected, read), "{why}");
    }
}

#[test]
fn what_an_identity_is_told_by_is_never_captured() {
    let directory = Directory::new();
    let (cert, key) = certificate();
    directory.write("c.pem", &cert);
    directory.write("ca.pem", &authority("a", 2000, 2100));
    directory.write("k.pem", &key);
    let faults = |identity: &str| {
        let more = format!(
            "tls: {{certificates: [{{certFile: c.pem, keyFile: k.pem}}], clientCAFile: ca.pem}}, \
             {identity} span: {{capture: {{requestHeaders: [x-auth-user, X_Auth.Team, \
             x-auth-more-scopes, x-auth], responseHeaders: [X-Auth-Id]}}}}, upstream:"
        );
        let text = MINIMAL
            .replace("upstream:", &more)
            .replace("http:", "https:");
        let checked = check(directory.0.join("f.yaml"), text);
        let faults = checked.map_or_else(|f| f.iter().cloned().collect(), |_| Vec::new());
        let told = |fault: config::Fault| format!("{}: {}", fault.path, fault.message);
        faults.into_iter().map(told).collect::<Vec<_>>()
    };
    let identity = "identity: {requestHeader: {username: X-Auth-User, uid: X-Auth-Id, \
                    group: X-Auth-Team, extraPrefix: X-Auth-More-, \
                    tls: {certFile: c.pem, keyFile: k.pem}}},";
    let capture = "listeners[0].span.capture";
    let why = "is never captured: it says who asks, by identity.requestHeader";
    let expected = [
        format!("{capture}.requestHeaders[0]: x-auth-user {why}"),
        format!("{capture}.requestHeaders[1]: x_auth.team {why}"),
        format!("{capture}.requestHeaders[2]: x-auth-more-scopes {why}"),
        format!("{capture}.responseHeaders[0]: x-auth-id {why}"),
    ];
    assert_eq!(faults(identity), expected);
    assert_eq!(faults(""), [""; 0], "without an identity they say nothing");
}

#[test]
fn who_may_issue_no_certificates_is_no_authority_and_one_whose_time_is_over_is_told_of() {
    let directory = Directory::new();
    let (cert, key) = certificate();
    directory.write("c.pem", &cert);
    directory.write("k.pem", &key);
    let checked = |authorities: &str| {
        let file = directory.write("ca.pem", authorities);
        let tls = "tls: {certificates: [{certFile: c.pem, keyFile: k.pem}], clientCAFile: ca.pem}";
        let text = MINIMAL.replace("upstream:", &format!("{tls}, upstream:"));
        (check(directory.0.join("f.yaml"), text), file)
    };
    let now = authority("now", 2000, 2100);
    let (past, future) = (
        authority("past", 2000, 2001),
        authority("future", 2100, 2101),
    );

    let (loaded, file) = checked(&[&*past, &now, &future].concat());
    let file = file.display();
    let field = "listeners[0].tls.clientCAFile";
    let expected = [
        format!(
            "{field}: {file}: certificate 1 (\"CN=past\") expired on \
             Mon, 31 Dec 2001 00:00:00 GMT: nobody is known by it"
        ),
        format!(
            "{field}: {file}: certificate 3 (\"CN=future\") isn't valid before \
             Fri, 01 Jan 2100 00:00:00 GMT: nobody is known by it"
        ),
    ];
    assert_eq!(loaded.unwrap().warnings, expected);

    let (refused, file) = checked(&[&*cert, &past, &now, &cert].concat());
    let faults = refused.unwrap_err();
    let found: Vec<_> = faults.iter().map(|f| (&*f.path, &*f.message)).collect();
    let message = |position| {
        format!(
            "{}: expected certificates of authorities in PEM; certificate {position} \
             (\"CN=rcgen self signed cert\") is no authority's: no basic constraints say CA:TRUE",
            file.display()
        )
    };
    let [first, last] = [message(1), message(4)];
    assert_eq!(found, [(field, &*first), (field, &*last)]);
}

#[test]
fn the_effective_configuration_means_the_same_again() {
    let directory = Directory::new();
    let (cert, key) = certificate();
    directory.write("c.pem", &cert);
    directory.write("ca.pem", &authority("a", 2000, 2100));
    directory.write("k.pem", &key);
    directory.write("fleet.key", "000102030405060708090a0b0c0d0e0f\n");
    let api = r#"{"openapi": "3.0.0", "paths": {"/c/{d}": {"get": {}}}}"#;
    directory.write("api.json", api);
    let text = MINIMAL.to_owned()
        + "\
- name: full
  bind: unix:///run/a.sock?mode=0600
  direction: egress
  protocol: http2
  proxyProtocol: {from: [10.0.0.0/8]}
  tls: {minVersion: \"1.3\", certificates: [{certFile: c.pem, keyFile: k.pem}], clientCAFile: ca.pem, clientAuth: require}
  trust:
    default: ids
    alsoContext: [X-Correlation-Id, request.id]
    rules:
    - {from: {cidrs: [fd00::/8], clientCert: {commonNames: [a], groups: ['b:*'], dnsSANs: ['*.c'], uriSANs: [d://e]}}, as: full}
    - {from: {unixPeer: {uids: [0, 7], gids: [8]}}, as: drop}
  traceIdHeader: X-Trace-Id
  forwarded: append
  allowConnect: true
  upstream:
    url: https://[::1]:6444
    protocol: http2
    host: h:1
    keepalive: {tcp: none, http2Ping: 1m30s, timeout: 1.5s}
    tls: {caFile: c.pem, certFile: c.pem, keyFile: k.pem, serverName: s}
    connectTimeout: 250ms
    responseHeaderTimeout: 1m
    share: connection
  routes:
  - {match: {host: '*.h', sni: s, path: /p*}, upstream: {url: \"http://r\"}}
  - {match: {path: /q}, upstream: {url: \"https://r\", share: connection}}
  span:
    capture: {requestHeaders: [X-Request-Id], responseHeaders: [server]}
    knownRpcMethods: [a.B/C]
    templates: {kubernetes: true, customResources: [as.b.c], patterns: [\"/a/{b}\"], openapi: api.json}
  limits: {maxHeaderBytes: 1MiB, maxHeaders: 7, headerTimeout: 1s, idleTimeout: 2s, maxConnections: 3, maxConcurrentStreams: 4}
  propagate: none
  orphans: pass
- name: told
  bind: 127.0.0.1:8443
  tls: {certificates: [{certFile: c.pem, keyFile: k.pem}], clientCAFile: ca.pem}
  identity: {requestHeader: {username: X-User, uid: X-Uid, group: X-Group, extraPrefix: X-More-, tls: {certFile: c.pem, keyFile: k.pem}}}
  upstream: {endpoints: [\"https://a\", \"https://b:2\"]}
- name: mapped
  bind: 127.0.0.1:8444
  tls: {certificates: [{certFile: c.pem, keyFile: k.pem}], clientCAFile: ca.pem}
  identity: {reoriginate: [{from: {clientCert: {commonNames: [a]}}, tls: {certFile: c.pem, keyFile: k.pem}}]}
  upstream: {url: \"https://a\"}
service: {name: s, attributes: {a: b}}
tracing:
  samplingRatePerMillion: 5
  ratioRule: traceidratio
  maxTracesPerSecond: 6
  maxTrustedTracesPerSecond: 7
  unsampledRoot: omit
  fleetKey: {file: fleet.key}
  rules:
  - {match: {path: /a*, method: GET, host: H, grpcService: a.*, listener: full, header: {X: y*}}, drop: true}
  - {match: {method: POST}, samplingRatePerMillion: 8, maxTracesPerSecond: 9}
  keep: {errors: true, slowerThan: 1.5s, maxPerSecond: 10}
  export: {protocol: [http/protobuf, console], endpoint: \"https://c/p/v1/traces\", compression: zstd, tls: {caFile: c.pem}, queueSpans: 99, timeout: 3s}
metrics: {otlp: true}
accessLog: {mode: sampled}
admin: {bind: 0.0.0.0:9901, allowRemote: true}
health: {bind: 127.0.0.1:9902}
workers: 3
drainDelay: 1s
drainTimeout: 2s
propagation: {extract: [b3, tracecontext, datadog], inject: [xray, grpc-trace-bin], correlateBy: [X-Request-ID, audit-id]}
";
    let path = directory.0.join("c.yaml");
    let once = check(&path, text).unwrap().config;
    let twice = check(&path, once.effective.to_string()).unwrap().config;
    assert_eq!(once, twice);
    assert_eq!(once.access_log, Mode::Sampled);
    let metrics = once.export.metrics.as_ref().unwrap();
    assert_eq!(metrics.otlp.endpoint, "https://c/p/v1/metrics");
    let key = once.sampling.fleet_key.unwrap();
    assert_eq!(key, [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15]);
    assert_eq!(
        once.sampling.rules[0].matches.host,
        Some(sample::settings::Glob::new("h"))
    );
    for listener in &once.listeners {
        let fields = &listener.proxy.correlate_by;
        assert_eq!(fields[..], ["x-request-id", "audit-id"]);
    }
    let routes = &once.listeners[1].proxy.routes;
    for (path, route) in [
        ("/a/1", "/a/{b}"),
        ("/c/1", "/c/{d}"),
        ("/apis/b.c/v1/as", "/apis/b.c/{version}/as"),
    ] {
        let found = routes.find("GET", path, None).route;
        assert_eq!(found.as_deref(), Some(route));
    }
    let capture = &once.listeners[1].proxy.capture;
    assert_eq!(capture.request, ["x-request-id"]);
    assert_eq!(capture.response, ["server"]);
    let upstream = &once.listeners[1].proxy.upstream;
    assert_eq!(upstream.tcp_keepalive, None);
    assert_eq!(upstream.http2_ping, Some(Duration::from_secs(90)));
    assert_eq!(upstream.protocol, UpstreamProtocol::Http2);
    let host = "::1".to_owned();
    assert_eq!(upstream.target, Target::Tcp { host, port: 6444 });
}

#[test]
fn several_members_are_read_in_their_order() {
    let endpoints = "endpoints: [\"http://a:1\", \"http://b\", \"http://[::1]:3\"]";
    let text = MINIMAL.replace("url: http://127.0.0.1:8081", endpoints);
    let loaded = check("f", text).unwrap();
    let upstream = &loaded.config.listeners[0].proxy.upstream;
    let tcp = |host: &str, port| Target::Tcp {
        host: host.to_owned(),
        port,
    };
    assert_eq!(upstream.target, tcp("a", 1));
    assert_eq!(*upstream.further, [tcp("b", 80), tcp("::1", 3)]);
}

#[test]
fn an_upstream_on_a_unix_socket_is_pinged_only_where_the_file_says_so() {
    let pinged = |url: &str, more: &str| {
        let upstream = format!("url: \"{url}\"{more}");
        let text = MINIMAL.replace("url: http://127.0.0.1:8081", &upstream);
        let loaded = check("f", text).unwrap();
        loaded.config.listeners[0].proxy.upstream.http2_ping
    };
    let seconds = |seconds| Some(Duration::from_secs(seconds));
    assert_eq!(pinged("http://h", ""), seconds(30));
    assert_eq!(pinged("unix:///run/b", ""), None);
    assert_eq!(pinged("unix:///run/b", ", keepalive: {tcp: 1m}"), None);
    let said = ", keepalive: {http2Ping: 10m}";
    assert_eq!(pinged("unix:///run/b", said), seconds(600));
    assert_eq!(pinged("http://h", ", keepalive: {http2Ping: none}"), None);
}

#[test]
fn keeping_has_a_cap_whether_or_not_one_is_given() {
    let keep = |text: &str| {
        let text = format!("{MINIMAL}tracing: {{{text}}}\n");
        check("f", text).unwrap().config.sampling.keep
    };
    let seconds = |seconds| Some(Duration::from_secs(seconds));
    for (text, errors, slower_than, max_per_second) in [
        ("keep: {errors: true}", true, None, 50),
        ("keep: {slowerThan: 2s}", false, seconds(2), 50),
        (
            "keep: {errors: true, slowerThan: 3s, maxPerSecond: 7}",
            true,
            seconds(3),
            7,
        ),
    ] {
        let expected = sample::settings::Keep {
            errors,
            slower_than,
            max_per_second,
        };
        assert_eq!(keep(text), Some(expected), "{text}");
    }
    assert_eq!(keep(""), None, "nothing is kept by default");
}

#[test]
fn json_means_the_same_as_yaml() {
    let json = r#"{"apiVersion": "tracegate.dev/v1alpha1", "kind": "TracegateConfiguration",
        "listeners": [{"name": "public", "bind": "127.0.0.1:8080",
                       "upstream": {"url": "http://127.0.0.1:8081"}}]}"#;
    assert_eq!(check("f", json), check("f", MINIMAL));
}

#[test]
fn secrets_are_masked_in_the_effective_configuration() {
    let directory = Directory::new();
    directory.write("token", "hunter2-of-token\n");
    directory.write("fleet.key", "deadbeefdeadbeefdeadbeefdeadbeef");
    let text = MINIMAL.to_owned()
        + "\
admin: {bind: 127.0.0.1:9901, tokenFile: token}
tracing:
  fleetKey: {file: fleet.key}
  export:
    protocol: http/protobuf
    endpoint: https://c/v1/traces?key=hunter2-of-query
    headers: {authorization: Bearer hunter2-of-header}
";
    let config = check(directory.0.join("c.yaml"), text).unwrap().config;
    let shown = config.effective.to_string();
    assert!(
        !shown.contains("hunter2") && !shown.contains("deadbeef"),
        "{shown}"
    );
    let export = &config.effective["tracing"]["export"];
    assert_eq!(export["endpoint"], "https://c/v1/traces?***");
    assert_eq!(export["headers"]["authorization"], "***");
    let [Sink::Otlp(otlp)] = config.export.sinks.as_slice() else {
        panic!("{:?}", config.export.sinks);
    };
    assert_eq!(otlp.endpoint, "https://c/v1/traces?key=hunter2-of-query");
}

#[test]
fn every_file_the_configuration_depends_on_is_listed() {
    let directory = Directory::new();
    let (cert, key) = certificate();
    let mut expected: Vec<_> = [
        ("ca.pem", cert.as_str()),
        ("cert.pem", &cert),
        ("key.pem", &key),
        ("token", "12345678"),
        ("fleet.key", "000102030405060708090a0b0c0d0e0f"),
        ("k8s.yaml", ""),
        ("api.yaml", "openapi: 3.0.0\npaths: {}\n"),
    ]
    .map(|(name, contents)| directory.write(name, contents))
    .into();
    let text = MINIMAL.replace(
        "upstream: {url: http://127.0.0.1:8081}",
        "upstream: {url: https://h, tls: {caFile: ca.pem}}, \
         tls: {certificates: [{certFile: cert.pem, keyFile: key.pem}]}, \
         span: {templates: {openapi: api.yaml}}",
    ) + "tracing: {kubernetesFile: k8s.yaml, fleetKey: {file: fleet.key}}\n\
         admin: {bind: 127.0.0.1:9901, tokenFile: token}\n";
    let path = directory.0.join("c.yaml");
    let mut files = check(&path, text).unwrap().config.files;
    expected.push(path);
    expected.sort();
    files.sort();
    assert_eq!(files, expected);
}

#[test]
fn a_kubernetes_file_counts_where_the_configuration_is_silent() {
    let directory = Directory::new();
    let kubernetes = directory.write(
        "k8s.yaml",
        "apiVersion: apiserver.config.k8s.io/v1beta1\nkind: TracingConfiguration\n\
         endpoint: collector:4317\nsamplingRatePerMillion: 100\n",
    );
    let path = directory.0.join("c.yaml");
    let silent = MINIMAL.to_owned() + "tracing:\n  kubernetesFile: k8s.yaml\n";
    let config = check(&path, silent.clone()).unwrap().config;
    assert_eq!(config.sampling.rate.get(), 100);
    assert_eq!(
        config.effective["tracing"]["export"]["endpoint"],
        "http://collector:4317"
    );
    assert_eq!(config.notes, [""; 0]);

    let own = silent + "  samplingRatePerMillion: 7\n";
    let config = check(&path, own.clone()).unwrap().config;
    assert_eq!(config.sampling.rate.get(), 7);
    let (here, there) = (path.display(), kubernetes.display());
    assert_eq!(
        config.notes,
        [format!(
            "{here}:7 wins over tracing.samplingRatePerMillion of {there}:4"
        )]
    );

    let http = own + "  export: {protocol: http/protobuf}\n";
    let faults = check(&path, http).unwrap_err();
    let expected =
        format!("{there}:3: tracing.export.endpoint: a Kubernetes file's endpoint is gRPC");
    assert!(faults.to_string().starts_with(&expected), "{faults}");
}

#[test]
fn faults_of_a_kubernetes_file_name_that_file() {
    let directory = Directory::new();
    let text = MINIMAL.to_owned() + "workers: x\ntracing: {kubernetesFile: k8s.yaml}\n";
    let kubernetes = directory.write(
        "k8s.yaml",
        "apiVersion: apiserver.config.k8s.io/v1\nkind: TracingConfiguration\n\
         endpoint: http://c\nsamplingRatePerMillion: -1\n",
    );
    let faults = check(directory.0.join("c.yaml"), text)
        .unwrap_err()
        .to_string();
    let there = kubernetes.display();
    let lines: Vec<_> = faults.lines().collect();
    assert_eq!(lines.len(), 4, "{faults}");
    assert!(lines[0].contains("c.yaml:5: workers: "), "{faults}");
    assert!(
        lines[1].starts_with(&format!("{there}:3: endpoint: unsupported scheme: http.  ")),
        "{faults}"
    );
    let words = "sampling rate must be positive; got \"-1\"";
    assert_eq!(
        lines[2],
        format!("{there}:4: samplingRatePerMillion: {words}")
    );
}

fn flags() -> Flags {
    Flags {
        listen: Some("127.0.0.1:8080".into()),
        upstream: Some("http://127.0.0.1:8081".into()),
        ..Flags::default()
    }
}

fn load_flags(flags: Flags) -> Result<Loaded, Faults> {
    let source = Source {
        flags,
        ..Source::default()
    };
    config::load(&source, Strictness::Run)
}

#[test]
fn flags_alone_make_one_listener() {
    let flags = Flags {
        direction: Some("egress".into()),
        trust: Some("ids".into()),
        protocol: Some("http1".into()),
        upstream_protocol: Some("http2".into()),
        sampling_rate_per_million: Some("5".into()),
        otlp_endpoint: Some("http://c:4317".into()),
        admin: Some("127.0.0.1:9901".into()),
        ..flags()
    };
    let config = load_flags(flags).unwrap().config;
    let [listener] = config.listeners.as_slice() else {
        panic!("{:?}", config.listeners);
    };
    assert_eq!(&*listener.listen.name, "default");
    assert_eq!(listener.listen.protocol, listen::settings::Protocol::Http1);
    assert_eq!(listener.proxy.direction, Direction::Egress);
    assert_eq!(listener.proxy.trust.default, Trust::Ids);
    assert_eq!(listener.proxy.upstream.protocol, UpstreamProtocol::Http2);
    assert_eq!(config.sampling.rate.get(), 5);
    assert_eq!(
        config.effective["tracing"]["export"]["endpoint"],
        "http://c:4317"
    );
    let bind = admin::settings::Bind::Tcp(([127, 0, 0, 1], 9901).into());
    assert_eq!(config.admin.unwrap().bind, bind);
    assert!(config.files.is_empty());
}

#[test]
fn trust_follows_the_direction_unless_said_otherwise() {
    for (direction, trust) in [("ingress", Trust::Drop), ("egress", Trust::Full)] {
        let flags = Flags {
            direction: Some(direction.into()),
            ..flags()
        };
        let config = load_flags(flags).unwrap().config;
        assert_eq!(
            config.listeners[0].proxy.trust.default, trust,
            "{direction}"
        );
    }
}

#[test]
fn faults_of_flags_name_the_flag() {
    for (flags, expected) in [
        (
            Flags::default(),
            "command line: expected --config FILE, or --listen ADDR and --upstream URL",
        ),
        (
            Flags {
                upstream: None,
                ..flags()
            },
            "command line: expected --upstream too",
        ),
        (
            Flags {
                upstream: Some("ftp://x".into()),
                ..flags()
            },
            "--upstream: expected http://…, https://… or unix:///path; got \"ftp://x\"",
        ),
        (
            Flags {
                sampling_rate_per_million: Some("-1".into()),
                ..flags()
            },
            "--sampling-rate-per-million: expected an integer from 0 to 1000000; got \"-1\"",
        ),
        (
            Flags {
                admin: Some("0.0.0.0:1".into()),
                ..flags()
            },
            "--admin: expected a loopback address or a unix socket",
        ),
        (
            Flags {
                otlp_endpoint: Some("http://me:hunter2@c".into()),
                ..flags()
            },
            "--otlp-endpoint: expected a URL without user and password (they go into headers); \
             got \"http://***@c\"",
        ),
    ] {
        let faults = load_flags(flags).unwrap_err();
        assert_eq!(faults.len(), 1, "{faults}");
        assert!(faults.to_string().starts_with(expected), "{faults}");
    }
}

#[test]
fn a_listener_s_flags_have_no_place_beside_a_file() {
    let source = Source {
        file: Some(FileText {
            path: "f.yaml".into(),
            text: MINIMAL.into(),
        }),
        flags: flags(),
        ..Source::default()
    };
    let faults = config::load(&source, Strictness::Run).unwrap_err();
    assert_eq!(
        faults.to_string(),
        "--listen: not beside --config: the file's listeners apply\n\
         --upstream: not beside --config: the file's listeners apply\n\
         2 faults"
    );
}

#[test]
fn workers_default_to_the_processors_there_are() {
    let workers = check("f", MINIMAL).unwrap().config.workers;
    assert_eq!(workers, std::thread::available_parallelism().unwrap().get());
}
