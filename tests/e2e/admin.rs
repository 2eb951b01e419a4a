//! Health is for everybody who reaches it, admin for whoever proves himself.

use std::io::{Read, Write};
use std::net::SocketAddr;
use std::os::unix::net::UnixStream;
use std::process::Command;

use super::component::Component;
use super::metrics::{self, Scrape};
use super::proxy::{self, Proxy};
use super::receiver::{Receiver, Scratch, Speaks};
use super::wire::{self, Scripted, Wire};

const NOWHERE: &str = "http://127.0.0.1:1";

fn ask(server: SocketAddr, request: &str, more: &str, body: &str) -> (u16, String) {
    let answer = wire::exchange(
        server,
        &format!(
            "{request} HTTP/1.1\r\nHost: {server}\r\nConnection: close\r\n{more}Content-Length: {}\r\n\r\n{body}",
            body.len()
        ),
    );
    let status = answer.get(9..12).and_then(|s| s.parse().ok());
    let body = answer
        .split_once("\r\n\r\n")
        .map(|(_, body)| body.to_owned());
    (
        status.unwrap_or_else(|| panic!("no answer: {answer:?}")),
        body.unwrap_or_default(),
    )
}

/// Everything that changes or shows more than health does.
const FORBIDDEN: [&str; 8] = [
    "GET /",
    "GET /config",
    "GET /sampling",
    "PUT /sampling",
    "POST /drain",
    "POST /quitquitquit",
    "DELETE /metrics",
    "POST /readyz",
];

#[test]
fn a_prober_on_another_address_reaches_health_and_nothing_that_changes_state() {
    let component = Component::start();
    let yaml = proxy::ingress(&component.url(), NOWHERE, "");
    let top = "health: {bind: \"0.0.0.0:0\"}\nadmin: {bind: \"127.0.0.1:0\"}";
    let proxy = Proxy::start(&proxy::with_top(&yaml, top));
    let prober = SocketAddr::from(([127, 0, 0, 2], proxy.health().port()));
    assert_eq!(ask(prober, "GET /livez", "", ""), (200, "ok\n".into()));
    assert_eq!(ask(prober, "GET /readyz", "", ""), (200, "ok\n".into()));
    let (status, verbose) = ask(prober, "GET /readyz?verbose", "", "");
    assert_eq!(status, 200);
    assert!(verbose.contains("[+]listeners ok\n"), "{verbose}");
    assert!(verbose.contains("export"), "{verbose}");
    Scrape::of(prober);
    for request in FORBIDDEN {
        assert_eq!(ask(prober, request, "", "{}").0, 404, "{request}");
    }
    // The admin server isn't there at all.
    let admin = SocketAddr::from(([127, 0, 0, 2], proxy.admin().port()));
    assert!(std::net::TcpStream::connect(admin).is_err());
    assert_eq!(
        ask(proxy.health(), "GET /readyz", "", "").0,
        200,
        "still running"
    );
}

#[test]
fn a_prober_in_another_network_namespace_reaches_health_alone() {
    let Some(namespace) = Namespace::new() else {
        skipped("ip netns");
        return;
    };
    let component = Component::start();
    let yaml = proxy::ingress(&component.url(), NOWHERE, "");
    let top = "health: {bind: \"0.0.0.0:0\"}\nadmin: {bind: \"127.0.0.1:0\"}";
    let proxy = Proxy::start(&proxy::with_top(&yaml, top));
    let health = proxy.health().port();
    for (path, status) in [
        ("livez", "200"),
        ("readyz", "200"),
        ("metrics", "200"),
        ("config", "404"),
    ] {
        assert_eq!(
            namespace.get(health, path).as_deref(),
            Some(status),
            "{path}"
        );
    }
    assert_eq!(namespace.get(proxy.admin().port(), "config"), None);
}

fn skipped(what: &str) {
    eprintln!("skipped: {what} doesn't work here");
    if let Some(file) = std::env::var_os("TRACEGATE_SKIPPED") {
        let file = std::fs::OpenOptions::new()
            .append(true)
            .create(true)
            .open(file);
        let _ = file.and_then(|mut file| writeln!(file, "e2e admin: {what} doesn't work here"));
    }
}

/// A network namespace joined to this one by a pair of interfaces; removed when dropped.
struct Namespace {
    name: String,
    ours: String,
}

impl Namespace {
    fn new() -> Option<Self> {
        let id = std::process::id() % 100_000;
        let namespace = Self {
            name: format!("tge2e{id}"),
            ours: format!("10.213.{}.1", id % 250),
        };
        let (a, b) = (format!("tga{id}"), format!("tgb{id}"));
        let name = &namespace.name;
        let theirs = namespace.ours.trim_end_matches('1').to_owned() + "2/30";
        let ours = format!("{}/30", namespace.ours);
        let steps: [&[&str]; 6] = [
            &["netns", "add", name],
            &[
                "link", "add", &a, "type", "veth", "peer", "name", &b, "netns", name,
            ],
            &["addr", "add", &ours, "dev", &a],
            &["link", "set", &a, "up"],
            &["-n", name, "addr", "add", &theirs, "dev", &b],
            &["-n", name, "link", "set", &b, "up"],
        ];
        steps.iter().all(|step| ip(step)).then_some(namespace)
    }

    /// The status of an answer, `None` if there is none. Written in bash: it is everywhere.
    fn get(&self, port: u16, path: &str) -> Option<String> {
        let script = format!(
            "exec 3<>/dev/tcp/{}/{port} && printf 'GET /{path} HTTP/1.1\\r\\nHost: health\\r\\n\\r\\n' >&3 \
             && head -n 1 <&3 | cut -d' ' -f2",
            self.ours
        );
        let output = Command::new("ip")
            .args([
                "netns", "exec", &self.name, "timeout", "10", "bash", "-c", &script,
            ])
            .output()
            .expect("ip runs");
        let status = String::from_utf8_lossy(&output.stdout).trim().to_owned();
        (!status.is_empty()).then_some(status)
    }
}

impl Drop for Namespace {
    fn drop(&mut self) {
        // The interfaces go with it.
        ip(&["netns", "del", &self.name]);
    }
}

fn ip(arguments: &[&str]) -> bool {
    let output = Command::new("ip").args(arguments).output();
    output.is_ok_and(|output| output.status.success())
}

#[test]
fn the_configuration_is_shown_without_its_secrets() {
    let component = Component::start();
    let yaml = proxy::ingress(&component.url(), NOWHERE, "").replace(
        "export: {",
        "export: {headers: {authorization: Bearer hunter2}, ",
    );
    let proxy = Proxy::start(&proxy::with_top(&yaml, "admin: {bind: \"127.0.0.1:0\"}"));
    let (status, body) = ask(proxy.admin(), "GET /config", "", "");
    assert_eq!(status, 200);
    let config: serde_json::Value = serde_json::from_str(&body).expect("JSON");
    assert_eq!(
        config["tracing"]["samplingRatePerMillion"], 1_000_000,
        "{body}"
    );
    assert_eq!(config["listeners"][0]["name"], "ingress");
    assert!(
        body.contains("authorization"),
        "the name is no secret: {body}"
    );
    assert!(!body.contains("hunter2"), "{body}");
}

#[test]
fn sampling_changes_over_tcp_need_the_token_and_over_unix_none() {
    let component = Component::start();
    let scratch = Scratch::new("admin-token");
    let (token, socket) = (scratch.join("token"), scratch.join("admin.sock"));
    std::fs::write(&token, "correct-horse-battery\n").expect("written");
    let yaml = proxy::ingress(&component.url(), NOWHERE, "");
    let top = format!(
        "health: {{bind: \"127.0.0.1:0\"}}\nadmin: {{bind: \"127.0.0.1:0\", tokenFile: {}}}",
        token.display()
    );
    let rate =
        |proxy: &Proxy| Scrape::of(proxy.health()).get("tracegate_sampling_rate_per_million", &[]);
    let proxy = Proxy::start(&proxy::with_top(&yaml, &top));
    let half = r#"{"samplingRatePerMillion": 500000}"#;
    for (authorization, status, expected) in [
        ("", 403, 1_000_000),
        ("Authorization: Bearer wrong\r\n", 403, 1_000_000),
        (
            "Authorization: Bearer correct-horse-battery\r\n",
            200,
            500_000,
        ),
    ] {
        let (got, body) = ask(proxy.admin(), "PUT /sampling", authorization, half);
        assert_eq!(got, status, "{authorization}: {body}");
        assert_eq!(rate(&proxy), expected, "{authorization}");
    }
    for request in ["POST /drain", "POST /quitquitquit"] {
        assert_eq!(ask(proxy.admin(), request, "", "").0, 403, "{request}");
    }
    assert_eq!(
        ask(proxy.admin(), "GET /readyz", "", "").0,
        200,
        "nothing drains"
    );
    let foreign = wire::exchange(
        proxy.admin(),
        "GET /config HTTP/1.1\r\nHost: evil.example\r\nConnection: close\r\n\r\n",
    );
    assert!(foreign.starts_with("HTTP/1.1 403 "), "{foreign}");
    drop(proxy);

    let top = format!(
        "health: {{bind: \"127.0.0.1:0\"}}\nadmin: {{bind: \"unix://{}\"}}",
        socket.display()
    );
    let proxy = Proxy::start(&proxy::with_top(&yaml, &top));
    let mut stream = UnixStream::connect(&socket).expect("connected");
    let request = format!(
        "PUT /sampling HTTP/1.1\r\nHost: admin\r\nConnection: close\r\nContent-Length: {}\r\n\r\n{half}",
        half.len()
    );
    stream.write_all(request.as_bytes()).expect("written");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("read");
    assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
    assert_eq!(rate(&proxy), 500_000);
}

#[test]
fn the_metrics_count_what_happened() {
    let receiver = Receiver::start(Speaks::Grpc);
    let component = Component::start();
    let trust = "  trust: {default: drop, rules: [{from: {cidrs: [127.0.0.2/32]}, as: full}]}\n";
    let yaml = proxy::ingress(&component.url(), receiver.endpoint(), trust);
    let proxy = Proxy::start(&proxy::with_top(&yaml, "health: {bind: \"127.0.0.1:0\"}"));
    let context = "traceparent: 00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01\r\n";
    for (path, more) in [("/", ""), ("/status/404", ""), ("/status/503", context)] {
        let request = format!("GET {path} HTTP/1.1\r\nHost: h\r\nConnection: close\r\n{more}\r\n");
        wire::exchange(proxy.at(0), &request);
    }
    let trusted = trusted_exchange(proxy.at(0), context);
    assert!(trusted.starts_with("HTTP/1.1 200 "), "{trusted}");
    let listener = ("listener", "ingress");
    let recorded = "tracegate_spans_recorded_total";
    let scrape = metrics::wait_for(proxy.health(), recorded, &[], 4);
    let requests = |status: &'static str| {
        let error = (status == "503").then_some(("error_type", status));
        let labels = [
            listener,
            ("http_request_method", "GET"),
            ("url_scheme", "http"),
            ("network_protocol_version", "1.1"),
            ("http_response_status_code", status),
        ];
        let labels: Vec<_> = labels.into_iter().chain(error).collect();
        scrape.get("http_server_request_duration_seconds_count", &labels)
    };
    assert_eq!(
        [requests("200"), requests("404"), requests("503")],
        [2, 1, 1]
    );
    let verdicts = |trust, rule| {
        scrape.get(
            "tracegate_trust_verdicts_total",
            &[listener, ("trust", trust), ("rule", rule)],
        )
    };
    let default = ["drop", "ids", "full"].map(|trust| verdicts(trust, "default"));
    assert_eq!((default, verdicts("full", "0")), ([3, 0, 0], 1));
    assert_eq!(
        scrape.get("tracegate_context_restarted_total", &[listener]),
        1
    );
    assert_eq!(
        scrape.get("tracegate_connections_accepted_total", &[listener]),
        4
    );
    let sampled = [listener, ("decision", "sampled")];
    assert_eq!(
        scrape.get("tracegate_sampling_decisions_total", &sampled),
        4
    );
    let exported = "tracegate_spans_exported_total";
    let sink = proxy.export().sinks()[0].name().to_owned();
    let scrape = metrics::wait_for(proxy.health(), exported, &[("sink", &sink)], 4);
    assert_eq!(
        scrape.get("tracegate_export_failing", &[("sink", &sink)]),
        0
    );
    assert_eq!(receiver.spans().len(), 4);
}

fn trusted_exchange(proxy: SocketAddr, context: &str) -> String {
    let socket =
        socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).expect("a socket");
    let from = SocketAddr::from(([127, 0, 0, 2], 0));
    socket.bind(&from.into()).expect("an address");
    socket.connect(&proxy.into()).expect("a connection");
    let mut wire = Wire::from(std::net::TcpStream::from(socket));
    wire.send(format!(
        "GET / HTTP/1.1\r\nHost: h\r\nConnection: close\r\n{context}\r\n"
    ));
    String::from_utf8_lossy(&wire.rest()).into_owned()
}

#[test]
fn requests_in_flight_rise_and_fall() {
    let (release, wait) = std::sync::mpsc::channel::<()>();
    let component = Scripted::start(1, move |_, mut wire| {
        wire.head();
        let _ = wait.recv();
        wire.send("HTTP/1.1 204 No Content\r\n\r\n");
    });
    let yaml = proxy::ingress(&component.url(), NOWHERE, "");
    let proxy = Proxy::start(&proxy::with_top(&yaml, "health: {bind: \"127.0.0.1:0\"}"));
    let mut caller = Wire::connect(proxy.at(0));
    caller.send("GET / HTTP/1.1\r\nHost: h\r\n\r\n");
    let (gauge, labels) = ("tracegate_requests_in_flight", [("listener", "ingress")]);
    metrics::wait_for(proxy.health(), gauge, &labels, 1);
    release.send(()).expect("the component waits");
    assert!(caller.head().starts_with("HTTP/1.1 204 "));
    metrics::wait_for(proxy.health(), gauge, &labels, 0);
    component.join();
}

#[test]
fn lost_spans_are_counted_and_named() {
    let component = Component::start();
    // Room for few, and nobody takes any.
    let yaml = proxy::ingress(&component.url(), NOWHERE, "")
        .replace("export: {", "export: {queueSpans: 4, timeout: 1s, ");
    let proxy = Proxy::start(&proxy::with_top(&yaml, "health: {bind: \"127.0.0.1:0\"}"));
    let mut caller = Wire::connect(proxy.at(0));
    for _ in 0..2000 {
        caller.send("GET / HTTP/1.1\r\nHost: h\r\n\r\n");
        assert!(caller.message().0.starts_with("HTTP/1.1 200 "));
    }
    let scrape = Scrape::of(proxy.health());
    let dropped = "tracegate_spans_dropped_total";
    let reasons = ["ring_full", "queue_full"];
    let lost: u64 = ["", proxy.export().sinks()[0].name()]
        .iter()
        .flat_map(|sink| {
            reasons.map(|reason| scrape.get(dropped, &[("sink", sink), ("reason", reason)]))
        })
        .sum();
    assert!(lost > 1000, "{lost}");
}
