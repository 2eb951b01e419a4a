//! A real etcd, and etcdctl to speak with it.

use std::io::{BufRead, BufReader, Lines, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Output, Stdio};
use std::time::{Duration, Instant};

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa,
    KeyPair,
};

use super::super::background::listener;
use super::super::component::PATIENCE;
use super::super::receiver::Scratch;

/// Certificates in files.
pub struct Certificates {
    /// The authority's certificate.
    pub authority: PathBuf,
    directory: PathBuf,
}

impl Certificates {
    /// An authority that has issued `etcd` and `client`.
    pub fn new(directory: &Path) -> Self {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().expect("a key");
        let issuer = CertifiedIssuer::self_signed(params, key).expect("a certificate");
        let authority = directory.join("ca.crt");
        std::fs::write(&authority, issuer.pem()).expect("a written file");
        for name in ["etcd", "client"] {
            let names = vec!["127.0.0.1".to_owned(), "localhost".to_owned()];
            let mut params = CertificateParams::new(names).expect("names");
            params.distinguished_name.push(DnType::CommonName, name);
            params.extended_key_usages = vec![
                ExtendedKeyUsagePurpose::ServerAuth,
                ExtendedKeyUsagePurpose::ClientAuth,
            ];
            let key = KeyPair::generate().expect("a key");
            let certificate = params.signed_by(&key, &issuer).expect("a certificate");
            let file = |end: &str| directory.join(format!("{name}.{end}"));
            std::fs::write(file("crt"), certificate.pem()).expect("a written file");
            std::fs::write(file("key"), key.serialize_pem()).expect("a written file");
        }
        Self {
            authority,
            directory: directory.to_owned(),
        }
    }

    /// A certificate and its key.
    pub fn of(&self, name: &str) -> (PathBuf, PathBuf) {
        let file = |end: &str| self.directory.join(format!("{name}.{end}"));
        (file("crt"), file("key"))
    }

    /// Has an etcd speak TLS, and demand certificates of who calls it.
    pub fn demanded_by(&self, etcd: &mut Command) {
        let (certificate, key) = self.of("etcd");
        etcd.arg("--client-cert-auth");
        etcd.arg("--trusted-ca-file").arg(&self.authority);
        etcd.arg("--cert-file").arg(certificate);
        etcd.arg("--key-file").arg(key);
    }

    /// Has etcdctl present the client's.
    pub fn presented_by(&self, etcdctl: &mut Command) {
        let (certificate, key) = self.of("client");
        etcdctl.arg("--cacert").arg(&self.authority);
        etcdctl.arg("--cert").arg(certificate).arg("--key").arg(key);
    }
}

/// A process that is killed when dropped, so that none outlives a test that panics: it would
/// hold what the test prints into open.
pub struct Process(Child);

impl Process {
    /// Starts it.
    pub fn start(command: &mut Command) -> Self {
        Self(command.spawn().expect("a program that starts"))
    }

    /// What it prints, line by line, if that was piped.
    pub fn lines(&mut self) -> Lines<BufReader<ChildStdout>> {
        BufReader::new(self.0.stdout.take().expect("a pipe")).lines()
    }

    /// Whether it has ended by itself.
    pub fn has_ended(&mut self) -> bool {
        self.0.try_wait().expect("a child").is_some()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A running etcd; killed when dropped.
pub struct Etcd {
    process: Process,
    /// The address it is reached at.
    pub url: String,
    /// Its unix socket.
    pub socket: PathBuf,
    /// If it speaks TLS, and demands a client's certificate.
    pub certificates: Option<Certificates>,
    _scratch: Scratch,
}

impl Etcd {
    /// Starts one and waits until it answers. `None` where it isn't installed.
    pub fn start(name: &str, tls: bool) -> Option<Self> {
        if missing(name) {
            return None;
        }
        // A free port may be gone by the time etcd binds it: then it ends, and another is tried.
        (0..5)
            .find_map(|attempt| Self::attempt(&format!("{name}-{attempt}"), tls))
            .map_or_else(|| panic!("etcd doesn't start"), Some)
    }

    fn attempt(name: &str, tls: bool) -> Option<Self> {
        let scratch = Scratch::new(&format!("etcd-{name}"));
        let certificates = tls.then(|| Certificates::new(scratch.path()));
        let (free, address) = listener();
        drop(free);
        let scheme = if tls { "https" } else { "http" };
        let url = format!("{scheme}://{address}");
        let mut command = Command::new("etcd");
        command
            .current_dir(scratch.path())
            .args(["--name", "e", "--data-dir", "data", "--logger", "zap"])
            .args(["--log-level", "error"])
            .args(["--advertise-client-urls", &url])
            .args(["--listen-peer-urls", "unix://peer:1"])
            .args(["--initial-advertise-peer-urls", "http://127.0.0.1:1"])
            .args(["--initial-cluster", "e=http://127.0.0.1:1"])
            .args(["--heartbeat-interval", "10", "--election-timeout", "100"]);
        match &certificates {
            // Its unix sockets are named like a host and a port, in its own directory.
            None => command.args(["--listen-client-urls", &format!("{url},unix://client:1")]),
            Some(certificates) => {
                certificates.demanded_by(&mut command);
                command.args(["--listen-client-urls", &url])
            }
        };
        let mut etcd = Self {
            process: Process::start(command.stdout(Stdio::null()).stderr(Stdio::null())),
            url,
            socket: scratch.join("client:1"),
            certificates,
            _scratch: scratch,
        };
        etcd.answers().then_some(etcd)
    }

    /// Whether it answers before it ends.
    fn answers(&mut self) -> bool {
        let until = Instant::now() + PATIENCE;
        while Instant::now() < until {
            if self.process.has_ended() {
                return false;
            }
            if self.direct(&["get", "nothing"]).status.success() {
                return true;
            }
        }
        panic!("etcd doesn't answer");
    }

    /// Runs etcdctl without the proxy.
    pub fn direct(&self, arguments: &[&str]) -> Output {
        let mut command = etcdctl(&self.url, arguments);
        command.args(["--dial-timeout", "1s", "--command-timeout", "2s"]);
        if let Some(certificates) = &self.certificates {
            certificates.presented_by(&mut command);
        }
        command.output().expect("etcdctl runs")
    }
}

/// Whether etcd or etcdctl isn't installed; says so.
pub fn missing(name: &str) -> bool {
    let missing = ["etcd", "etcdctl"]
        .into_iter()
        .find(|tool| !installed(tool));
    if let Some(tool) = missing {
        skip(&format!("{name}: {tool} is not installed"));
    }
    missing.is_some()
}

fn installed(tool: &str) -> bool {
    let version = Command::new(tool)
        .arg("--help")
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status();
    version.is_ok()
}

/// Says clearly that a test didn't run.
fn skip(why: &str) {
    eprintln!("SKIPPED {why}");
    if let Some(file) = std::env::var_os("TRACEGATE_SKIPPED") {
        let file = std::fs::OpenOptions::new()
            .append(true)
            .create(true)
            .open(file);
        let _ = file.and_then(|mut file| writeln!(file, "{why}"));
    }
}

/// A command of etcdctl's, its third API's.
pub fn etcdctl(endpoint: &str, arguments: &[&str]) -> Command {
    let mut command = Command::new("etcdctl");
    command
        .env("ETCDCTL_API", "3")
        .arg("--endpoints")
        .arg(endpoint)
        .args(arguments)
        .stdin(Stdio::null());
    command
}

/// Runs a command of etcdctl's that succeeds, and returns what it prints.
pub fn run(endpoint: &str, arguments: &[&str], input: &str) -> String {
    let mut child = etcdctl(endpoint, arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("etcdctl runs");
    let mut stdin = child.stdin.take().expect("a pipe");
    stdin.write_all(input.as_bytes()).expect("etcdctl reads");
    drop(stdin);
    let output = child.wait_with_output().expect("etcdctl ends");
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    assert!(
        output.status.success(),
        "{arguments:?}: {}",
        text(&output.stderr)
    );
    text(&output.stdout)
}

/// Looks until something holds.
pub fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let end = Instant::now() + PATIENCE;
    while !holds() {
        assert!(Instant::now() < end, "never happened: {what}");
        std::thread::sleep(Duration::from_millis(2));
    }
}
