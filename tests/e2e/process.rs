//! The program as users run it: a process of its own, killed when dropped.

use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::os::unix::process::ExitStatusExt as _;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use super::component::PATIENCE;
use super::files::TempDir;
use super::proxy::document;

/// A running program and what it has logged so far.
pub struct Process {
    child: Child,
    lines: Receiver<String>,
    log: Vec<serde_json::Value>,
}

impl Process {
    /// Runs a configuration, from the part that follows `kind`, and waits until it is ready.
    pub fn start(directory: &TempDir, yaml: &str) -> Self {
        let mut command = Self::command(directory, yaml);
        let mut process = Self::spawn(&mut command);
        process.wait_for("ready");
        process
    }

    /// How to run a configuration.
    pub fn command(directory: &TempDir, yaml: &str) -> Command {
        let file = directory.file("tracegate.yaml", document(yaml));
        let mut command = Command::new(Self::program());
        command.args(["run", "--log-format", "json", "--config"]);
        command.arg(file);
        command
    }

    /// Path of the program.
    pub const fn program() -> &'static str {
        env!("CARGO_BIN_EXE_tracegate")
    }

    /// Starts a command, in an environment without `OTEL_*`.
    pub fn spawn(command: &mut Command) -> Self {
        for (name, _) in std::env::vars_os() {
            if name.to_string_lossy().starts_with("OTEL_") {
                command.env_remove(name);
            }
        }
        let mut child = command
            .env_remove("RUST_LOG")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .expect("a process");
        let errors = BufReader::new(child.stderr.take().expect("a pipe"));
        let (sender, lines) = channel();
        std::thread::spawn(move || {
            for line in errors.lines().map_while(Result::ok) {
                if sender.send(line).is_err() {
                    return;
                }
            }
        });
        Self {
            child,
            lines,
            log: Vec::new(),
        }
    }

    /// Waits for a message of the log.
    pub fn wait_for(&mut self, message: &str) {
        let end = Instant::now() + PATIENCE;
        loop {
            let left = end.saturating_duration_since(Instant::now());
            match self.lines.recv_timeout(left) {
                Ok(line) => {
                    let line = serde_json::from_str(&line).unwrap_or(line.into());
                    self.log.push(line);
                    let last = self.log.last().map(|line| &line["message"]);
                    if last.and_then(|m| m.as_str()) == Some(message) {
                        return;
                    }
                }
                Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => {
                    panic!("never logged {message:?}: {:#?}", self.log);
                }
            }
        }
    }

    /// The address a listener has logged.
    pub fn address(&self, listener: &str) -> SocketAddr {
        let line = self
            .log
            .iter()
            .find(|line| line["message"] == "listening" && line["name"] == listener);
        let address = line.and_then(|line| line["address"].as_str());
        address.expect("it listens").parse().expect("an address")
    }

    /// Memory it uses now, and the most it ever used, in KiB.
    pub fn memory(&self) -> (u64, u64) {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id()));
        let status = status.expect("it runs");
        let field = |name: &str| {
            let line = status.lines().find(|line| line.starts_with(name));
            let number = line.and_then(|line| line.split_whitespace().nth(1));
            number.and_then(|n| n.parse().ok()).expect("a number")
        };
        (field("VmRSS:"), field("VmHWM:"))
    }

    /// Sends SIGTERM.
    pub fn terminate(&self) {
        self.signal(Signal::TERM);
    }

    /// Sends SIGHUP.
    pub fn hang_up(&self) {
        self.signal(Signal::HUP);
    }

    fn signal(&self, signal: Signal) {
        let pid = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw);
        kill_process(pid.expect("a process"), signal).expect("it runs");
    }

    /// Waits for its end; the exit code, and everything it wrote to standard error.
    pub fn end(mut self) -> (Option<i32>, String) {
        let status = self.exit();
        let mut text = String::new();
        for line in &self.log {
            text += &format!("{line}\n");
        }
        while let Ok(line) = self.lines.recv() {
            text += &format!("{line}\n");
        }
        assert_eq!(status.signal(), None, "{text}");
        (status.code(), text)
    }

    fn exit(&mut self) -> ExitStatus {
        let end = Instant::now() + PATIENCE;
        loop {
            if let Some(status) = self.child.try_wait().expect("a child") {
                return status;
            }
            assert!(Instant::now() < end, "it doesn't end: {:#?}", self.log);
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Says that a test can't run here, for people and for who counts.
pub fn skipped(what: &str) {
    eprintln!("SKIPPED: {what}");
    if let Some(file) = std::env::var_os("TRACEGATE_SKIPPED") {
        use std::io::Write as _;
        let file = std::fs::OpenOptions::new()
            .append(true)
            .create(true)
            .open(file);
        if let Ok(mut file) = file {
            let _ = writeln!(file, "{what}");
        }
    }
}
