//! The program itself, as users start it.

use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::process::{Child, ChildStdout, Command, ExitStatus, Stdio};
use std::sync::mpsc::{self, Receiver};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use super::component::PATIENCE;

/// What a finished program left behind.
pub struct Finished {
    /// Exit code.
    pub code: i32,
    /// Standard output.
    pub stdout: String,
    /// Standard error.
    pub stderr: String,
}

/// A command with a clean environment.
pub fn command(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_tracegate"));
    command.args(arguments).env_clear().stdin(Stdio::null());
    command
}

/// Runs to the end.
pub fn finish(command: &mut Command) -> Finished {
    let child = command
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the program starts");
    let output = child.wait_with_output().expect("the program ends");
    Finished {
        code: output.status.code().expect("an exit code"),
        stdout: String::from_utf8(output.stdout).expect("UTF-8"),
        stderr: String::from_utf8(output.stderr).expect("UTF-8"),
    }
}

/// A running program that logs JSON; killed when dropped.
pub struct Program {
    child: Child,
    lines: Receiver<String>,
    seen: Vec<Value>,
    reader: Option<JoinHandle<()>>,
}

impl Program {
    /// Starts it; `arguments` are put behind `--log-format json`.
    pub fn start(arguments: &[&str]) -> Self {
        Self::spawn(&mut command(
            &[&["--log-format", "json"], arguments].concat(),
        ))
    }

    /// Starts a command that logs JSON.
    pub fn spawn(command: &mut Command) -> Self {
        let command = command.stdout(Stdio::null()).stderr(Stdio::piped());
        Self::watch(command.spawn().expect("the program starts"))
    }

    /// The same, with what it writes to standard output.
    pub fn spawn_with_output(command: &mut Command) -> (Self, ChildStdout) {
        let command = command.stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().expect("the program starts");
        let output = child.stdout.take().expect("a pipe");
        (Self::watch(child), output)
    }

    fn watch(mut child: Child) -> Self {
        let stderr = child.stderr.take().expect("a pipe");
        let (sender, lines) = mpsc::channel();
        let reader = std::thread::spawn(move || {
            for line in BufReader::new(stderr).lines().map_while(Result::ok) {
                let _ = sender.send(line);
            }
        });
        Self {
            child,
            lines,
            seen: Vec::new(),
            reader: Some(reader),
        }
    }

    /// Waits for a log line; every line must be a JSON object.
    pub fn wait_for(&mut self, wanted: impl Fn(&Value) -> bool) -> Value {
        if let Some(found) = self.seen.iter().find(|line| wanted(line)) {
            return found.clone();
        }
        let until = Instant::now() + PATIENCE;
        loop {
            let left = until.saturating_duration_since(Instant::now());
            let Ok(line) = self.lines.recv_timeout(left) else {
                panic!("the line didn't come; there were: {:#?}", self.seen);
            };
            let line: Value = serde_json::from_str(&line)
                .unwrap_or_else(|error| panic!("not JSON ({error}): {line}"));
            assert!(line.is_object(), "{line}");
            self.seen.push(line.clone());
            if wanted(&line) {
                return line;
            }
        }
    }

    /// Waits for a line with this message.
    pub fn says(&mut self, message: &str) -> Value {
        self.wait_for(|line| line["message"] == message)
    }

    /// Lines with this message that were waited for so far, or stood before one that was.
    pub fn count(&self, message: &str) -> usize {
        let said = self.seen.iter().filter(|line| line["message"] == message);
        said.count()
    }

    /// Waits for one more line with this message than those.
    pub fn says_again(&mut self, message: &str, before: usize) {
        let mut left = before + 1;
        let seen = std::mem::take(&mut self.seen);
        left -= seen
            .iter()
            .filter(|line| line["message"] == message)
            .count();
        while left > 0 {
            self.says(message);
            left -= 1;
        }
        self.seen.splice(0..0, seen);
    }

    /// The address of the listener of that name (`health` and `admin` included), once ready.
    pub fn address(&mut self, name: &str) -> SocketAddr {
        let line = self.wait_for(|line| line["message"] == "listening" && line["name"] == name);
        let address = line["address"].as_str().expect("text");
        address.parse().expect("an address")
    }

    /// Sends a signal.
    pub fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).expect("it runs");
    }

    /// Whether it still runs.
    pub fn runs(&mut self) -> bool {
        self.child.try_wait().expect("a child").is_none()
    }

    /// Waits for the end.
    pub fn exit(&mut self) -> ExitStatus {
        let until = Instant::now() + PATIENCE;
        loop {
            if let Some(status) = self.child.try_wait().expect("a child") {
                return status;
            }
            assert!(Instant::now() < until, "it still runs: {:#?}", self.seen);
            std::thread::sleep(Duration::from_millis(2));
        }
    }

    /// Every log line so far; call after the end.
    pub fn log(&mut self) -> Vec<Value> {
        if let Some(reader) = self.reader.take() {
            let _ = reader.join();
        }
        while let Ok(line) = self.lines.try_recv() {
            let line = serde_json::from_str(&line)
                .unwrap_or_else(|error| panic!("not JSON ({error}): {line}"));
            self.seen.push(line);
        }
        self.seen.clone()
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
