//! Three members of an etcd that demands certificates, behind one egress listener: much is written
//! and watched, old revisions are compacted, and the member all of it goes to is lost on the way.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::process::{Command, Output, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use tokio::task::JoinSet;

use super::super::background::{Background, listener};
use super::super::proxy::{self, Proxy};
use super::super::receiver::{Receiver, Scratch, Speaks};
use super::super::span_view::{View, views};
use super::super::wire;
use super::server::{Certificates, Process, etcdctl, missing, run};
use super::{Client, put, watching};

const KEYS: usize = 10_000;
const WRITERS: usize = 32;

/// For the whole test; it takes a small part of it.
const PATIENCE: Duration = Duration::from_secs(90);

/// Members of one cluster.
struct Members {
    /// `None`: lost.
    processes: Vec<Option<Process>>,
    urls: Vec<String>,
    metrics: Vec<SocketAddr>,
    certificates: Certificates,
    _scratch: Scratch,
}

impl Members {
    /// Starts them and waits until all of them answer.
    fn start(end: Instant) -> Self {
        // A free port may be gone by the time etcd binds it: then it ends, and others are tried.
        let started = (0..5).find_map(|attempt| Self::attempt(attempt, end));
        started.expect("members that start")
    }

    fn attempt(number: usize, end: Instant) -> Option<Self> {
        let scratch = Scratch::new(&format!("etcd-members-{number}"));
        let certificates = Certificates::new(scratch.path());
        let free: Vec<_> = (0..9).map(|_| listener()).collect();
        let ports: Vec<SocketAddr> = free.iter().map(|(_, address)| *address).collect();
        drop(free);
        let (clients, peers, metrics) = (&ports[..3], &ports[3..6], &ports[6..]);
        let mut members = Self {
            processes: Vec::new(),
            urls: clients.iter().map(|at| format!("https://{at}")).collect(),
            metrics: metrics.to_vec(),
            certificates,
            _scratch: scratch,
        };
        for at in 0..3 {
            let mut command = members.command(at, peers);
            members.processes.push(Some(Process::start(&mut command)));
        }
        members.answer(end).then_some(members)
    }

    fn command(&self, at: usize, peers: &[SocketAddr]) -> Command {
        let [peer, metrics] = [peers[at], self.metrics[at]].map(|at| format!("http://{at}"));
        let all = peers.iter().enumerate();
        let all: Vec<String> = all
            .map(|(at, peer)| format!("m{at}=http://{peer}"))
            .collect();
        let (name, data, url) = (format!("m{at}"), format!("data{at}"), &self.urls[at]);
        let mut command = Command::new("etcd");
        command
            .current_dir(self._scratch.path())
            .args(["--name", &name, "--data-dir", &data])
            .args(["--logger", "zap", "--log-level", "error"])
            .args(["--listen-client-urls", url, "--advertise-client-urls", url])
            .args(["--listen-metrics-urls", &metrics])
            .args(["--listen-peer-urls", &peer])
            .args(["--initial-advertise-peer-urls", &peer])
            .args(["--initial-cluster", &all.join(",")])
            .args(["--heartbeat-interval", "50", "--election-timeout", "500"])
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        self.certificates.demanded_by(&mut command);
        command
    }

    /// Whether all of them answer before one ends.
    fn answer(&mut self, end: Instant) -> bool {
        let health = ["endpoint", "health", "--command-timeout", "2s"];
        while !self.direct(&health).status.success() {
            assert!(Instant::now() < end, "they don't answer");
            let mut processes = self.processes.iter_mut().flatten();
            if processes.any(Process::has_ended) {
                return false;
            }
        }
        true
    }

    /// Asks all of them without the proxy.
    fn direct(&self, arguments: &[&str]) -> Output {
        let mut command = etcdctl(&self.urls.join(","), arguments);
        self.certificates.presented_by(&mut command);
        command.output().expect("etcdctl runs")
    }

    /// The upstream's settings.
    fn upstream(&self) -> String {
        let (certificate, key) = self.certificates.of("client");
        format!(
            "{{endpoints: [\"{}\"], protocol: http2, tls: {{caFile: {}, certFile: {}, keyFile: {}}}}}",
            self.urls.join("\", \""),
            self.certificates.authority.display(),
            certificate.display(),
            key.display(),
        )
    }

    /// What a member's metrics say behind `name`.
    fn metric(&self, at: usize, name: &str) -> String {
        // A chunked answer would have to be put together.
        let answer = wire::exchange(self.metrics[at], "GET /metrics HTTP/1.0\r\n\r\n");
        let mut lines = answer.lines().filter_map(|line| line.strip_prefix(name));
        lines.next().expect("a metric").to_owned()
    }

    /// The members that watchers are connected to.
    fn watched(&self) -> Vec<usize> {
        let watchers = |at| self.metric(at, "etcd_debugging_mvcc_watcher_total ");
        let running = (0..3).filter(|at| self.processes[*at].is_some());
        running.filter(|at| watchers(*at) != "0").collect()
    }

    /// Makes one the leader and kills it: the others have to elect another.
    fn lose(&mut self, at: usize) {
        let id = self.metric(at, "etcd_server_id{server_id=\"");
        let (id, _) = id.split_once('"').expect("an id");
        let moved = self.direct(&["move-leader", id]);
        assert!(moved.status.success(), "{moved:?}");
        self.processes[at] = None;
    }
}

/// Writes every key, by several connections, until it is written.
struct Writers {
    counts: Arc<Counts>,
    _running: Background,
}

#[derive(Default)]
struct Counts {
    calls: AtomicUsize,
    failed: AtomicUsize,
    written: AtomicUsize,
}

impl Writers {
    fn start(address: SocketAddr) -> Self {
        let counts = Arc::<Counts>::default();
        let counted = Arc::clone(&counts);
        let running = Background::run(move || async move {
            let mut writers = JoinSet::new();
            for writer in 0..WRITERS {
                writers.spawn(write(writer, address, Arc::clone(&counted)));
            }
            writers.join_all().await;
        });
        Self {
            counts,
            _running: running,
        }
    }

    fn written(&self) -> usize {
        self.counts.written.load(Relaxed)
    }
}

/// Writes its share of the keys.
async fn write(writer: usize, address: SocketAddr, counts: Arc<Counts>) {
    let mut client = Client::connect(address).await;
    for key in (writer..KEYS).step_by(WRITERS) {
        loop {
            counts.calls.fetch_add(1, Relaxed);
            let request = put(format!("k/{key}"), "");
            match client.unary("/etcdserverpb.KV/Put", request).await {
                Ok(_) => break,
                // Nobody leads for a while.
                Err(_) => counts.failed.fetch_add(1, Relaxed),
            };
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        counts.written.fetch_add(1, Relaxed);
    }
}

/// The keys that events tell of.
#[derive(Clone, Default)]
struct Seen(Arc<Mutex<BTreeSet<String>>>);

impl Seen {
    /// Collects them until the watch ends.
    fn by(watch: &mut Process) -> Self {
        let (seen, lines) = (Self::default(), watch.lines());
        let told = seen.clone();
        std::thread::spawn(move || {
            let lines = lines.map_while(Result::ok);
            for key in lines.filter(|line| line.starts_with("k/")) {
                told.0.lock().expect("nobody panicked").insert(key);
            }
        });
        seen
    }

    fn count(&self) -> usize {
        self.0.lock().expect("nobody panicked").len()
    }
}

/// Looks until something holds, for as long as the whole may take.
fn until(what: &str, end: Instant, mut holds: impl FnMut() -> bool) {
    while !holds() {
        assert!(Instant::now() < end, "never happened: {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// The spans of one method; what was sent anew to another member is a span of the same call.
fn calls<'a>(spans: &'a [View], method: &str) -> Vec<&'a View> {
    let named = spans.iter().filter(|span| span.0.name == method);
    let first = |span: &&View| span.get("http.request.resend_count").is_none();
    named.filter(first).collect()
}

fn assert_spans(spans: &[View], puts: usize) {
    assert_eq!(calls(spans, "etcdserverpb.KV/Put").len(), puts);
    assert_eq!(calls(spans, "etcdserverpb.KV/Compact").len(), 1);
    assert_eq!(calls(spans, "etcdserverpb.KV/Range").len(), 2);
    let watches = calls(spans, "etcdserverpb.Watch/Watch");
    let [lost, .., last] = &watches[..] else {
        panic!("{watches:?}");
    };
    // etcd's client goes on watching elsewhere where it would without a proxy.
    assert_eq!(lost.text("rpc.response.status_code"), "UNAVAILABLE");
    assert_eq!(lost.text("error.type"), "connection_closed");
    assert_eq!(last.text("tracegate.cancelled"), "true");
}

#[test]
fn a_lost_member_and_a_compaction_lose_no_key_and_every_call_is_one_span() {
    if missing("members") {
        return;
    }
    let end = Instant::now() + PATIENCE;
    let mut members = Members::start(end);
    let receiver = Receiver::start(Speaks::Grpc);
    let (bind, upstream) = ("127.0.0.1:0", members.upstream());
    let yaml = proxy::listening("egress", bind, &upstream, receiver.endpoint(), "");
    let proxy = Proxy::start(&yaml);
    let endpoint = format!("http://{}", proxy.at(0));
    let mut watch = watching(&endpoint, "k/");
    let seen = Seen::by(&mut watch);
    let writers = Writers::start(proxy.at(0));

    until("a quarter is written and some of it seen", end, || {
        writers.written() > KEYS / 4 && seen.count() > KEYS / 8
    });
    let compacted = run(&endpoint, &["compaction", "1000"], "");
    assert_eq!(compacted, "compacted revision 1000\n");
    until("half is written", end, || writers.written() > KEYS / 2);
    let watched = members.watched();
    members.lose(watched[0]);
    until("all is written", end, || writers.written() == KEYS);
    until("all is seen", end, || seen.count() == KEYS);
    assert_ne!(members.watched(), watched, "another member is watched");
    assert!(writers.counts.failed.load(Relaxed) > 0, "it was felt");

    let count = ["get", "--prefix", "k/", "--limit", "1", "-w", "fields"];
    let kept = run(&endpoint, &count, "");
    assert!(kept.contains(&format!("\"Count\" : {KEYS}\n")), "{kept}");
    let old = etcdctl(&endpoint, &["get", "k/1", "--rev", "999"]).output();
    let told = String::from_utf8_lossy(&old.expect("etcdctl runs").stderr).into_owned();
    assert!(told.contains("revision has been compacted"), "{told}");
    drop(watch);

    let puts = writers.counts.calls.load(Relaxed);
    until("every span is recorded", end, || {
        proxy.export().recorded() >= puts as u64 + 5
    });
    proxy.stop();
    assert_spans(&views(&receiver), puts);
}
