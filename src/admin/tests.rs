//! Real HTTP against the real servers.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use serde_json::json;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::{TcpStream, UnixStream};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout};

use super::*;
use crate::lifecycle::{Drain, Latch};
use crate::sample::settings::{Match, PerMillion};
use crate::span::record::Direction;

const LIMIT: Duration = Duration::from_secs(20);

struct Rig {
    address: Address,
    listeners: Latch,
    exporter: Latch,
    drain: Drain,
    quits: Arc<AtomicUsize>,
    sampler: Arc<Sampler>,
    directory: Directory,
    stop: oneshot::Sender<()>,
    server: JoinHandle<io::Result<()>>,
}

enum Address {
    Tcp(SocketAddr),
    Unix(PathBuf),
}

/// What a server is asked to be.
#[derive(Clone, Copy, PartialEq, Debug)]
enum Kind {
    Health,
    /// Admin over TCP, with this in its token file; `None`: no token file.
    Tcp(Option<&'static str>),
    /// Admin over a unix socket.
    Unix,
}

/// Removed when dropped.
struct Directory(PathBuf);

struct Sampler(Mutex<Rates>);

impl Sampling for Sampler {
    fn rates(&self) -> Rates {
        self.0.lock().unwrap().clone()
    }

    fn set(&self, change: &Change) -> Result<(), String> {
        let mut rates = self.0.lock().unwrap();
        if change.default == PerMillion::new(409) {
            return Err("rules were reloaded".into());
        }
        rates.default = change.default.unwrap_or(rates.default);
        for (index, rate) in &change.rules {
            rates.rules[*index].rate = Some(*rate);
        }
        Ok(())
    }
}

impl Directory {
    fn new() -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let name = format!(
            "tracegate-admin-{}-{}",
            std::process::id(),
            NEXT.fetch_add(1, Ordering::Relaxed)
        );
        let path = std::env::temp_dir().join(name);
        std::fs::create_dir(&path).unwrap();
        Self(path)
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

impl Rig {
    fn start(kind: Kind) -> Self {
        let directory = Directory::new();
        let drain = Drain::new();
        let mut readiness = Readiness::builder(drain.clone());
        let listeners = readiness.required("listeners");
        let exporter = readiness.informational("exporter");
        listeners.set();
        let quits = Arc::new(AtomicUsize::new(0));
        let sampler = Arc::new(Sampler(Mutex::new(Rates {
            default: PerMillion::new(100).unwrap(),
            rules: vec![RuleRate {
                matches: Match::default(),
                rate: PerMillion::new(10),
            }],
        })));
        let state = Arc::new(State {
            readiness: readiness.build(),
            metrics: Registry::new(&[("public".into(), Direction::Ingress)], 1),
            sampling: Arc::clone(&sampler) as Arc<dyn Sampling>,
            config: Box::new(|| json!({"token": "***"})),
            status: Box::new(|| vec!["exporter: 3 spans dropped".into()]),
            drain: Box::new({
                let drain = drain.clone();
                move || drain.request()
            }),
            quit: Box::new({
                let quits = Arc::clone(&quits);
                move || {
                    quits.fetch_add(1, Ordering::SeqCst);
                }
            }),
        });
        let (listener, address) = bind(kind, &directory.0);
        let token_file = match kind {
            Kind::Tcp(Some(token)) => {
                let path = directory.0.join("token");
                std::fs::write(&path, token).unwrap();
                Some(path)
            }
            _ => None,
        };
        let (stop, stopped) = oneshot::channel::<()>();
        let server = tokio::spawn(async move {
            let stopped = async {
                let _ = stopped.await;
            };
            match kind {
                Kind::Health => serve_health(listener, state, stopped).await,
                _ => serve_admin(listener, token_file, state, stopped).await,
            }
        });
        Self {
            address,
            listeners,
            exporter,
            drain,
            quits,
            sampler,
            directory,
            stop,
            server,
        }
    }

    async fn connect(&self) -> Box<dyn Stream> {
        match &self.address {
            Address::Tcp(address) => Box::new(TcpStream::connect(address).await.unwrap()),
            Address::Unix(path) => Box::new(UnixStream::connect(path).await.unwrap()),
        }
    }

    /// Sends bytes, returns the status and everything that came back.
    async fn send(&self, bytes: &str) -> (u16, String) {
        let mut stream = self.connect().await;
        stream.write_all(bytes.as_bytes()).await.unwrap();
        answer(&mut stream).await
    }

    async fn ask(&self, method: &str, target: &str, headers: &str, body: &str) -> (u16, String) {
        self.send(&format!(
            "{method} {target} HTTP/1.1\r\nHost: localhost\r\nContent-Length: {}\r\n{headers}\r\n{body}",
            body.len()
        ))
        .await
    }

    async fn get(&self, target: &str) -> (u16, String) {
        self.ask("GET", target, "", "").await
    }

    fn rate(&self) -> u32 {
        self.sampler.rates().default.get()
    }
}

trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}

impl<S: AsyncRead + AsyncWrite + Send + Unpin> Stream for S {}

fn bind(kind: Kind, directory: &Path) -> (Listener, Address) {
    if kind == Kind::Unix {
        let path = directory.join("admin.sock");
        let listener = std::os::unix::net::UnixListener::bind(&path).unwrap();
        return (Listener::Unix(listener), Address::Unix(path));
    }
    let listener = std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let address = listener.local_addr().unwrap();
    (Listener::Tcp(listener), Address::Tcp(address))
}

async fn answer(stream: &mut (impl AsyncRead + Unpin)) -> (u16, String) {
    let mut bytes = Vec::new();
    timeout(LIMIT, stream.read_to_end(&mut bytes))
        .await
        .expect("the server closes after its answer")
        .unwrap();
    let text = String::from_utf8(bytes).unwrap();
    let status = text.get(9..12).and_then(|s| s.parse().ok()).unwrap_or(0);
    (status, text)
}

#[tokio::test]
async fn the_health_server_shows_three_things_and_changes_nothing() {
    let rig = Rig::start(Kind::Health);
    for (method, target, status) in [
        ("GET", "/livez", 200),
        ("HEAD", "/livez", 200),
        ("GET", "/readyz", 200),
        ("GET", "/readyz?verbose", 200),
        ("GET", "/metrics", 200),
        ("HEAD", "/metrics", 200),
        ("GET", "/", 404),
        ("GET", "/livez/", 404),
        ("GET", "//livez", 404),
        ("GET", "/sampling", 404),
        ("PUT", "/sampling", 404),
        ("GET", "/config", 404),
        ("POST", "/drain", 404),
        ("GET", "/drain", 404),
        ("POST", "/quitquitquit", 404),
        ("POST", "/livez", 404),
        ("DELETE", "/metrics", 404),
        ("OPTIONS", "*", 404),
    ] {
        let (got, text) = rig.ask(method, target, "", "").await;
        assert_eq!(got, status, "{method} {target}: {text}");
        let body = text.split_once("\r\n\r\n").unwrap().1;
        assert_eq!(body.is_empty(), method == "HEAD", "{method} {target}");
    }
    assert!(rig.get("/nothing").await.1.contains("/livez"));
    assert!(!rig.drain.requested_already());
    assert_eq!(rig.quits.load(Ordering::SeqCst), 0);
}

#[tokio::test]
async fn the_health_server_answers_whoever_asks_by_any_name() {
    let rig = Rig::start(Kind::Health);
    let asked = "GET /livez HTTP/1.1\r\nHost: pod.example\r\nOrigin: http://x.example\r\n\r\n";
    assert_eq!(rig.send(asked).await.0, 200);
    assert_eq!(rig.send("GET /livez HTTP/1.0\r\n\r\n").await.0, 200);
}

#[tokio::test]
async fn the_admin_server_knows_its_methods_and_paths() {
    let rig = Rig::start(Kind::Unix);
    for (method, target, status, told) in [
        ("GET", "/", 200, "/quitquitquit"),
        ("GET", "/livez", 200, "ok"),
        ("GET", "/readyz", 200, "ok"),
        ("GET", "/metrics", 200, "tracegate_build_info"),
        ("GET", "/sampling", 200, "\"samplingRatePerMillion\": 100"),
        ("GET", "/config", 200, "\"token\": \"***\""),
        ("HEAD", "/config", 200, "application/json"),
        ("GET", "/nothing", 404, "/sampling"),
        ("POST", "/", 405, "allow: GET, HEAD\r\n"),
        ("POST", "/sampling", 405, "allow: GET, HEAD, PUT\r\n"),
        ("DELETE", "/sampling", 405, "allow: GET, HEAD, PUT\r\n"),
        ("PUT", "/config", 405, "allow: GET, HEAD\r\n"),
        ("GET", "/drain", 405, "allow: POST\r\n"),
        ("PUT", "/drain", 405, "allow: POST\r\n"),
        ("GET", "/quitquitquit", 405, "allow: POST\r\n"),
        ("POST", "/metrics", 405, "allow: GET, HEAD\r\n"),
        ("get", "/livez", 405, "allow: GET, HEAD\r\n"),
    ] {
        let (got, text) = rig.ask(method, target, "", "").await;
        assert_eq!(got, status, "{method} {target}: {text}");
        assert!(text.contains(told), "{method} {target}: {text}");
        assert!(text.contains("cache-control: no-store\r\n"), "{text}");
    }
    assert!(!rig.drain.requested_already());
    assert_eq!(rig.quits.load(Ordering::SeqCst), 0);
}

#[tokio::test]
async fn changes_of_state_need_the_unix_socket_or_the_token() {
    let bearer = |token: &str| format!("Authorization: Bearer {token}\r\n");
    let rows = [
        (Kind::Unix, String::new(), 200, ""),
        (Kind::Tcp(None), String::new(), 403, "admin.tokenFile"),
        (Kind::Tcp(None), bearer(""), 403, "admin.tokenFile"),
        (Kind::Tcp(Some("s3cret\n")), bearer("s3cret"), 200, ""),
        (
            Kind::Tcp(Some("s3cret")),
            String::new(),
            403,
            "Authorization: Bearer",
        ),
        (
            Kind::Tcp(Some("s3cret")),
            bearer("s3cres"),
            403,
            "isn't the one",
        ),
        (
            Kind::Tcp(Some("s3cret")),
            bearer("s3cret!"),
            403,
            "isn't the one",
        ),
        (
            Kind::Tcp(Some("s3cret")),
            "Authorization: Basic s3cret\r\n".into(),
            403,
            "Authorization: Bearer",
        ),
        (
            Kind::Tcp(Some("s3cret")),
            bearer("s3cret") + &bearer("other"),
            403,
            "Authorization: Bearer",
        ),
        (Kind::Tcp(Some("\n")), bearer(""), 403, "can't be read"),
    ];
    for (kind, headers, status, told) in rows {
        let rig = Rig::start(kind);
        let change = r#"{"samplingRatePerMillion":5}"#;
        let (got, text) = rig.ask("PUT", "/sampling", &headers, change).await;
        assert_eq!(got, status, "{kind:?} {headers}: {text}");
        assert!(text.contains(told), "{kind:?} {headers}: {text}");
        assert!(!text.contains("s3cret"), "the token isn't told: {text}");
        let allowed = status == 200;
        assert_eq!(rig.rate(), if allowed { 5 } else { 100 });
        let post = if allowed { 202 } else { 403 };
        assert_eq!(rig.ask("POST", "/drain", &headers, "").await.0, post);
        assert_eq!(rig.drain.requested_already(), allowed);
        assert_eq!(rig.ask("POST", "/quitquitquit", &headers, "").await.0, post);
        assert_eq!(rig.quits.load(Ordering::SeqCst), usize::from(allowed));
        assert_eq!(rig.get("/sampling").await.0, 200, "reading stays allowed");
    }
}

#[tokio::test]
async fn a_changed_token_file_takes_effect_and_a_missing_one_allows_nobody() {
    let rig = Rig::start(Kind::Tcp(Some("old")));
    let put = async |token: &str| {
        let headers = format!("Authorization: Bearer {token}\r\n");
        let body = r#"{"samplingRatePerMillion":5}"#;
        rig.ask("PUT", "/sampling", &headers, body).await.0
    };
    let file = rig.directory.0.join("token");
    std::fs::write(&file, "new\r\n").unwrap();
    assert_eq!(put("old").await, 403);
    assert_eq!(put("new").await, 200);
    std::fs::remove_file(&file).unwrap();
    assert_eq!(put("new").await, 403);
}

#[tokio::test]
async fn pages_of_other_hosts_reach_nothing_over_tcp() {
    let rig = Rig::start(Kind::Tcp(Some("s3cret")));
    let Address::Tcp(address) = rig.address else {
        unreachable!("bound to TCP");
    };
    for (host, origin, status) in [
        (address.to_string(), String::new(), 200),
        ("localhost".into(), String::new(), 200),
        ("attacker.example".into(), String::new(), 403),
        (
            format!("attacker.example:{}", address.port()),
            String::new(),
            403,
        ),
        (
            address.to_string(),
            format!("Origin: http://{address}\r\n"),
            200,
        ),
        (
            address.to_string(),
            "Origin: http://attacker.example\r\n".into(),
            403,
        ),
        (address.to_string(), "Origin: null\r\n".into(), 403),
    ] {
        for target in ["/", "/livez", "/metrics", "/sampling", "/config"] {
            let asked = format!("GET {target} HTTP/1.1\r\nHost: {host}\r\n{origin}\r\n");
            let (got, text) = rig.send(&asked).await;
            assert_eq!(got, status, "{asked}{text}");
            assert_eq!(text.contains("foreign"), status == 403, "{text}");
        }
        let asked = format!(
            "POST /quitquitquit HTTP/1.1\r\nHost: {host}\r\n{origin}Authorization: Bearer s3cret\r\n\r\n"
        );
        let expected = if status == 200 { 202 } else { 403 };
        assert_eq!(rig.send(&asked).await.0, expected, "{asked}");
    }
    assert_eq!(rig.quits.load(Ordering::SeqCst), 3);
}

#[tokio::test]
async fn sampling_is_changed_whole_or_not_at_all() {
    let rig = Rig::start(Kind::Unix);
    let all = r#"{"samplingRatePerMillion":5,"rules":[{"index":0,"samplingRatePerMillion":7}]}"#;
    let half = r#"{"samplingRatePerMillion":6,"rules":[{"index":9,"samplingRatePerMillion":8}]}"#;
    let (status, text) = rig.ask("PUT", "/sampling", "", half).await;
    assert_eq!(status, 400);
    assert!(text.contains("rules[0].index: expected"), "{text}");
    assert_eq!(rig.rate(), 100);
    let (status, text) = rig.ask("PUT", "/sampling", "", all).await;
    assert_eq!(status, 200);
    assert!(text.contains("\"samplingRatePerMillion\": 7"), "{text}");
    assert_eq!(rig.rate(), 5);
    assert_eq!(rig.sampler.rates().rules[0].rate, PerMillion::new(7));
    let (status, text) = rig
        .ask("PUT", "/sampling", "", r#"{"samplingRatePerMillion":409}"#)
        .await;
    assert_eq!(status, 409);
    assert!(text.contains("rules were reloaded"), "{text}");
}

#[tokio::test]
async fn a_body_beyond_the_limit_is_refused() {
    let rig = Rig::start(Kind::Unix);
    let spaces = |n: usize| format!("{}{}", " ".repeat(n), r#"{"samplingRatePerMillion":5}"#);
    let fitting = spaces(64 * 1024 - 28);
    assert_eq!(fitting.len(), 64 * 1024);
    let (status, _) = rig.ask("PUT", "/sampling", "", &fitting).await;
    assert_eq!(status, 200);
    let head = "PUT /sampling HTTP/1.1\r\nHost: localhost\r\n";
    let huge = "Content-Length: 999999999\r\n\r\n{";
    assert_eq!(rig.send(&format!("{head}{huge}")).await.0, 413);
    let chunk = format!(
        "Transfer-Encoding: chunked\r\n\r\n10001\r\n{}\r\n",
        spaces(65509)
    );
    assert_eq!(rig.send(&format!("{head}{chunk}")).await.0, 413);
}

#[tokio::test]
async fn readiness_is_told_with_its_reasons() {
    let rig = Rig::start(Kind::Health);
    let body = async |target: &str| {
        let (status, text) = rig.get(target).await;
        (status, text.split_once("\r\n\r\n").unwrap().1.to_owned())
    };
    assert_eq!(body("/readyz").await, (200, "ok\n".into()));
    let (status, verbose) = body("/readyz?verbose=1").await;
    assert_eq!(status, 200);
    assert_eq!(
        verbose,
        "[+]listeners ok\n[-]exporter not ok (informational)\n[+]not-draining ok\n\
         exporter: 3 spans dropped\nready\n"
    );
    assert_eq!(body("/readyz?x=verbose").await, (200, "ok\n".into()));
    rig.exporter.set();
    assert!(body("/readyz?verbose").await.1.contains("[+]exporter ok"));
    rig.listeners.clear();
    let (status, why) = body("/readyz").await;
    assert_eq!(status, 503);
    assert!(
        why.contains("[-]listeners not ok\n") && why.ends_with("not ready\n"),
        "{why}"
    );
    rig.listeners.set();
    rig.drain.request();
    let (status, why) = body("/readyz").await;
    assert_eq!(status, 503);
    assert!(why.contains("[-]not-draining not ok\n"), "{why}");
    assert_eq!(body("/livez").await.0, 200, "draining is living");
}

#[tokio::test]
async fn metrics_come_in_the_format_asked_for() {
    let rig = Rig::start(Kind::Health);
    let (_, text) = rig.get("/metrics").await;
    assert!(text.contains("content-type: text/plain; version=0.0.4; charset=utf-8\r\n"));
    assert!(!text.contains("# EOF"));
    let accept = "Accept: application/openmetrics-text;version=1.0.0;q=0.5,*/*;q=0.1\r\n";
    let (_, text) = rig.ask("GET", "/metrics", accept, "").await;
    assert!(text.contains("content-type: application/openmetrics-text; version=1.0.0"));
    assert!(text.ends_with("# EOF\n"));
}

#[tokio::test]
async fn whoever_holds_connections_open_keeps_no_probe_out() {
    let rig = Rig::start(Kind::Health);
    let mut held = Vec::new();
    for _ in 0..100 {
        let mut stream = rig.connect().await;
        stream.write_all(b"GET /livez HT").await.unwrap();
        held.push(stream);
    }
    // Faster than any timeout of the server could free a place.
    let probe = timeout(Duration::from_secs(3), rig.get("/livez"));
    assert_eq!(probe.await.unwrap().0, 200);
    let mut oldest = held.remove(0);
    let mut rest = [0; 64];
    let closed = timeout(Duration::from_secs(3), oldest.read(&mut rest));
    assert!(
        matches!(closed.await.unwrap(), Ok(0) | Err(_)),
        "the oldest went"
    );
}

#[tokio::test(start_paused = true)]
async fn a_slow_head_and_a_slow_body_are_cut_off() {
    let rig = Rig::start(Kind::Unix);
    for (sent, most) in [
        ("GET /livez HTTP/1.1\r\nHost: loc", Duration::from_secs(6)),
        (
            "PUT /sampling HTTP/1.1\r\nHost: x\r\nContent-Length: 28\r\n\r\n{",
            Duration::from_secs(31),
        ),
    ] {
        let mut stream = rig.connect().await;
        stream.write_all(sent.as_bytes()).await.unwrap();
        let began = Instant::now();
        let mut rest = Vec::new();
        let _ = timeout(2 * most, stream.read_to_end(&mut rest)).await;
        assert!(began.elapsed() <= most, "{sent}: {:?}", began.elapsed());
        assert!(!rest.starts_with(b"HTTP/1.1 200"), "{sent}");
    }
    assert_eq!(rig.rate(), 100);
}

#[tokio::test]
async fn garbage_and_oversized_heads_end_only_their_connection() {
    let rig = Rig::start(Kind::Health);
    let long = format!("GET /{} HTTP/1.1\r\n", "a".repeat(64 * 1024));
    for bytes in ["\0\0\0\r\n\r\n", "GET / HTTP/9.9\r\n\r\n", &long] {
        let mut stream = rig.connect().await;
        let _ = stream.write_all(bytes.as_bytes()).await;
        let mut rest = Vec::new();
        let _ = timeout(LIMIT, stream.read_to_end(&mut rest)).await.unwrap();
        assert!(!rest.starts_with(b"HTTP/1.1 200"), "{bytes:.20}");
    }
    assert_eq!(rig.get("/livez").await.0, 200);
}

#[tokio::test]
async fn stopping_lets_the_last_answer_leave_and_closes_the_socket() {
    let rig = Rig::start(Kind::Tcp(Some("t")));
    let mut stream = rig.connect().await;
    let head = "PUT /sampling HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer t\r\n";
    let asked = format!("{head}Content-Length: 28\r\nExpect: 100-continue\r\n\r\n");
    stream.write_all(asked.as_bytes()).await.unwrap();
    // The server says so when it begins to read the body: the request is in its hands.
    let mut interim = [0; 25];
    stream.read_exact(&mut interim).await.unwrap();
    assert_eq!(&interim, b"HTTP/1.1 100 Continue\r\n\r\n");
    rig.stop.send(()).unwrap();
    stream
        .write_all(br#"{"samplingRatePerMillion":5}"#)
        .await
        .unwrap();
    assert_eq!(answer(&mut stream).await.0, 200);
    timeout(LIMIT, rig.server).await.unwrap().unwrap().unwrap();
    let Address::Tcp(address) = rig.address else {
        unreachable!("bound to TCP");
    };
    assert!(TcpStream::connect(address).await.is_err());
}

impl Drain {
    fn requested_already(&self) -> bool {
        self.stage() != crate::lifecycle::Stage::Running
    }
}
