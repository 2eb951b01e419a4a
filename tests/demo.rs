//! `tracegate demo`, the real program: what it shows, and that it ends well.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::process::{Child, ChildStderr, ChildStdout, Command, Stdio};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};

/// How long anything here may take.
const PATIENCE: Duration = Duration::from_secs(60);

/// A running demo; killed when dropped, or when it takes too long.
struct Demo {
    child: Child,
    _watched: mpsc::Sender<()>,
    output: Option<BufReader<ChildStdout>>,
    errors: ChildStderr,
}

impl Demo {
    fn start(arguments: &[&str]) -> Self {
        let mut child = Command::new(env!("CARGO_BIN_EXE_tracegate"))
            .arg("demo")
            .args(arguments)
            // What a developer's shell says must change nothing.
            .env_remove("RUST_LOG")
            .env("OTEL_SDK_DISABLED", "true")
            .env("COLUMNS", "100")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the program starts");
        let output = child.stdout.take().map(BufReader::new);
        let errors = child.stderr.take().expect("a pipe");
        let pid = Pid::from_child(&child);
        let (watched, dropped) = mpsc::channel();
        std::thread::spawn(move || {
            if dropped.recv_timeout(PATIENCE) == Err(RecvTimeoutError::Timeout) {
                let _ = kill_process(pid, Signal::KILL);
            }
        });
        Self {
            child,
            _watched: watched,
            output,
            errors,
        }
    }

    /// Lines up to and including the first that contains `text`.
    fn read_until(&mut self, text: &str) -> Vec<String> {
        let mut lines = Vec::new();
        let output = self.output.as_mut().expect("still read");
        for line in output.lines() {
            lines.push(line.expect("text"));
            if lines.last().is_some_and(|line| line.contains(text)) {
                return lines;
            }
        }
        panic!("no line contains {text:?}:\n{}", lines.join("\n"));
    }

    /// Everything else it says, and how it ended: exit code and standard error.
    fn finish(mut self) -> (String, Option<i32>, String) {
        let (mut output, mut errors) = (String::new(), String::new());
        if let Some(mut rest) = self.output.take() {
            rest.read_to_string(&mut output).expect("text");
        }
        self.errors.read_to_string(&mut errors).expect("text");
        let status = self.child.wait().expect("a child");
        (output, status.code(), errors)
    }

    fn interrupt(&self) {
        let pid = Pid::from_child(&self.child);
        kill_process(pid, Signal::INT).expect("it runs");
    }
}

impl Drop for Demo {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The traces of an output: a headline each, and the lines below it.
fn traces(output: &str) -> Vec<Vec<&str>> {
    let mut traces = Vec::new();
    for line in output.lines() {
        if line.starts_with("trace ") {
            traces.push(Vec::new());
        }
        if let Some(trace) = traces.last_mut().filter(|_| !line.is_empty()) {
            trace.push(line);
        }
    }
    traces
}

/// Kind, name, path and listener of every span of a trace, in the tree's order.
fn shape(trace: &[&str]) -> Vec<String> {
    let spans = trace.iter().filter(|line| line.contains('━'));
    let words = |line: &&str| {
        let line = line.trim_start_matches([' ', '└', '├', '─', '│']);
        let words: Vec<_> = line.split_whitespace().collect();
        let place = words.iter().position(|word| word.contains('━'));
        words[..place.expect("a bar")].join(" ")
    };
    spans.map(words).collect()
}

#[test]
fn every_kind_of_trace_is_shown_as_a_tree() {
    let demo = Demo::start(&["--requests", "12", "--rate", "50"]);
    let (output, code, errors) = demo.finish();
    assert_eq!((code, &*errors), (Some(0), ""), "{output}");
    assert!(!output.contains('\u{1b}'), "no colours in a pipe: {output}");

    let traces = traces(&output);
    let with = |span: &str| {
        let found = traces.iter().find(|t| shape(t).iter().any(|s| s == span));
        found.unwrap_or_else(|| panic!("no trace has {span:?}:\n{output}"))
    };
    let whole = with("SERVER GET /slow frontend/in");
    assert_eq!(
        shape(whole),
        [
            "SERVER GET /slow frontend/in",
            "CLIENT GET /stock/slow frontend/out",
            "SERVER GET /stock/slow backend/in",
        ],
    );
    assert!(whole[1].starts_with("  SERVER"), "{output}");
    assert!(whole[2].starts_with("  └─ CLIENT"), "{output}");
    assert!(whole[3].starts_with("     └─ SERVER"), "{output}");

    let failed = with("SERVER GET /fail frontend/in");
    assert!(
        failed.iter().skip(1).all(|l| l.ends_with("500")),
        "{output}"
    );
    let grpc = with("SERVER grpc.health.v1.Health/Check frontend/in");
    assert!(grpc[1].ends_with(" OK"), "{output}");
    let stream = with("SERVER GET /watch frontend/in");
    assert!(stream[2].contains("↳ a stream"), "{output}");
    assert_eq!(shape(with("SERVER GET /forgetful frontend/in")).len(), 1);
    let orphan = traces.iter().find(|t| shape(t)[0].starts_with("CLIENT"));
    let orphan = orphan.expect("the forgotten call has a trace of its own");
    assert!(orphan[2].contains("handed on no context"), "{output}");

    // Two of the twelve were forged; the old trace is named, and is nobody's trace id.
    let forged = "0af7651916cd43dd8448eb211c80319c";
    let restarted = output
        .matches(&format!("(trace {forged}, sampled)"))
        .count();
    assert_eq!(restarted, 2, "{output}");
    assert!(!output.contains(&format!("\ntrace {forged}")), "{output}");
    let last = output.lines().last();
    assert_eq!(last, Some("13 traces, 32 spans, 2 restarts, 0 spans lost"));
}

#[test]
fn a_request_of_ones_own_is_shown_and_an_interrupt_ends_it_with_a_summary() {
    let mut demo = Demo::start(&["--rate", "1"]);
    let intro = demo.read_until("Ctrl-C stops.").join("\n");
    let at = intro.split("curl http://").nth(1).expect("an address");
    let address = at.split('/').next().expect("an address");
    let mut stream = TcpStream::connect(address).expect("it listens");
    stream.set_read_timeout(Some(PATIENCE)).expect("a socket");
    write!(
        stream,
        "GET /my/own HTTP/1.1\r\nHost: demo\r\nConnection: close\r\n\r\n"
    )
    .expect("it reads");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("an answer");
    assert!(answer.starts_with("HTTP/1.1 404"), "{answer}");
    demo.read_until("SERVER GET /my/own");

    demo.interrupt();
    let (output, code, errors) = demo.finish();
    assert_eq!((code, &*errors), (Some(0), ""), "{output}");
    let last = output.lines().last().unwrap_or_default();
    assert!(last.ends_with(", 0 spans lost"), "{output}");
}

#[test]
fn it_ends_when_nobody_reads_any_more() {
    let mut demo = Demo::start(&["--rate", "50"]);
    demo.read_until("Ctrl-C stops.");
    drop(demo.output.take());
    let (_, code, errors) = demo.finish();
    assert_eq!((code, &*errors), (Some(0), ""));
}
