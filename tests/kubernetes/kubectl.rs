//! kubectl, bounded in time.

use std::fs::File;
use std::io::{BufRead, BufReader, Write};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use super::cluster::PATIENCE;
use super::commands::TOKEN;
use super::pki::Pki;

/// Whose credentials it shows.
#[derive(Clone, Copy, Debug)]
pub enum Who<'a> {
    /// A certificate of that name.
    Certificate(&'a str),
    /// The token.
    Token,
    /// Nobody's.
    Anonymous,
}

/// How to run it.
pub struct Kubectl<'a> {
    pub program: &'a Path,
    pub pki: &'a Pki,
    pub home: &'a Path,
    pub at: SocketAddr,
    pub who: Who<'a>,
}

/// What a run has left.
#[derive(Debug)]
pub struct Ran {
    pub ok: bool,
    pub out: String,
    pub err: String,
}

impl Kubectl<'_> {
    /// The same at another server.
    pub fn at(mut self, at: SocketAddr) -> Self {
        self.at = at;
        self
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(self.program);
        let file = |name: String| self.pki.file(&name).display().to_string();
        command
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .env("HOME", self.home)
            .arg("--kubeconfig=/dev/null")
            .arg(format!("--server=https://{}", self.at))
            .arg(format!(
                "--certificate-authority={}",
                file("ca.crt".to_owned())
            ))
            .stdin(Stdio::null());
        match self.who {
            Who::Certificate(name) => command
                .arg(format!(
                    "--client-certificate={}",
                    file(format!("{name}.crt"))
                ))
                .arg(format!("--client-key={}", file(format!("{name}.key")))),
            Who::Token => command.arg(format!("--token={TOKEN}")),
            // Without any it asks for one; of a password the server thinks nothing.
            Who::Anonymous => command.args(["--username=nobody", "--password=none"]),
        };
        command.args(arguments);
        command
    }

    /// Runs it to its end.
    pub fn run(&self, arguments: &[&str]) -> Ran {
        self.run_with(arguments, "")
    }

    /// Runs it to its end; what it prints, of a run that succeeds.
    pub fn prints(&self, arguments: &[&str], input: &str) -> String {
        let ran = self.run_with(arguments, input);
        assert!(ran.ok, "{arguments:?} as {:?}: {ran:?}", self.who);
        ran.out
    }

    /// The same with something to read.
    pub fn run_with(&self, arguments: &[&str], input: &str) -> Ran {
        static RUNS: AtomicU32 = AtomicU32::new(0);
        let number = RUNS.fetch_add(1, Ordering::Relaxed);
        let [out, err] =
            ["out", "err"].map(|end| self.home.join(format!("kubectl-{number}.{end}")));
        let mut command = self.command(&[&["--request-timeout=30s"], arguments].concat());
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(File::create(&out).expect("a file"))
            .stderr(File::create(&err).expect("a file"))
            .spawn()
            .expect("kubectl runs");
        let mut stdin = child.stdin.take().expect("a pipe");
        let _ = stdin.write_all(input.as_bytes());
        drop(stdin);
        let ok = finish(&mut child);
        let [out, err] = [out, err].map(|file| {
            let text = std::fs::read(&file).unwrap_or_default();
            let _ = std::fs::remove_file(&file);
            String::from_utf8_lossy(&text).into_owned()
        });
        Ran { ok, out, err }
    }

    /// Starts it and reads its lines as they come.
    pub fn follow(&self, arguments: &[&str]) -> Follow {
        let mut command = self.command(arguments);
        let child = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn();
        let mut child = child.expect("kubectl runs");
        let out = BufReader::new(child.stdout.take().expect("a pipe"));
        let (sender, lines) = mpsc::channel();
        std::thread::spawn(move || {
            for line in out.lines().map_while(Result::ok) {
                if sender.send(line).is_err() {
                    return;
                }
            }
        });
        Follow { child, lines }
    }
}

/// Waits for its end; whether that is a good one.
fn finish(child: &mut Child) -> bool {
    let end = Instant::now() + PATIENCE;
    loop {
        if let Some(status) = child.try_wait().expect("a child") {
            return status.success();
        }
        if Instant::now() > end {
            let _ = child.kill();
            let _ = child.wait();
            return false;
        }
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// A kubectl that watches; killed when dropped.
pub struct Follow {
    child: Child,
    lines: mpsc::Receiver<String>,
}

impl Follow {
    /// Waits for a line.
    pub fn line(&self) -> String {
        self.lines.recv_timeout(PATIENCE).expect("a line in time")
    }
}

impl Drop for Follow {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
