//! The access log, as whoever reads the program's standard output sees it.

use std::fs;
use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::process::ChildStdout;
use std::sync::mpsc::{self, Receiver};
use std::time::{Duration, Instant};

use http::Response;
use http_body_util::Full;
use rustix::process::Signal;
use serde_json::Value;

use super::component::{Component, PATIENCE};
use super::metrics::{self, Scrape};
use super::program::{self, Program};
use super::proxy::document;
use super::receiver::{self, Scratch, Speaks, attribute};
use super::span_view::View;
use super::wire::{self, Scripted, Wire};

const CONTEXT: &str = "traceparent: 00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-";

/// The program in front of something, and the lines it has written.
struct Rig {
    program: Program,
    lines: Receiver<String>,
    scratch: Scratch,
}

fn yaml(mode: &str, upstream: &str, more: &str) -> String {
    document(&format!(
        "accessLog: {{mode: {mode}}}
health: {{bind: \"127.0.0.1:0\"}}
workers: 1
drainTimeout: 5s
{more}
listeners:
- name: public
  bind: 127.0.0.1:0
  trust: {{default: full}}
  upstream: {{url: \"{upstream}\"}}
"
    ))
}

const QUIET: &str = "tracing: {export: {protocol: none}}";

fn start(name: &str, mode: &str, upstream: &str, more: &str) -> (Program, ChildStdout, Scratch) {
    let scratch = Scratch::new(name);
    let path = scratch.join("tracegate.yaml");
    fs::write(&path, yaml(mode, upstream, more)).expect("written");
    let path = path.to_str().expect("UTF-8");
    let arguments = ["--log-format", "json", "run", "--config", path];
    let (mut program, output) = Program::spawn_with_output(&mut program::command(&arguments));
    program.says("ready");
    (program, output, scratch)
}

impl Rig {
    fn start(name: &str, mode: &str, upstream: &str, more: &str) -> Self {
        let (program, output, scratch) = start(name, mode, upstream, more);
        let (sender, lines) = mpsc::channel();
        std::thread::spawn(move || {
            for line in BufReader::new(output).lines().map_while(Result::ok) {
                let _ = sender.send(line);
            }
        });
        Self {
            program,
            lines,
            scratch,
        }
    }

    fn address(&mut self) -> SocketAddr {
        self.program.address("public")
    }

    fn get(&mut self, path: &str, fields: &str) -> String {
        let request =
            format!("GET {path} HTTP/1.1\r\nHost: h\r\nConnection: close\r\n{fields}\r\n");
        wire::exchange(self.address(), &request)
    }

    /// The next line.
    fn line(&self) -> Value {
        let line = self.lines.recv_timeout(PATIENCE).expect("a line");
        serde_json::from_str(&line).unwrap_or_else(|error| panic!("{error}: {line}"))
    }

    /// Stops it; what it has written that nobody has read yet.
    fn stop(mut self) -> Vec<String> {
        self.program.signal(Signal::TERM);
        assert_eq!(self.program.exit().code(), Some(0));
        self.lines.iter().collect()
    }
}

#[test]
fn a_kept_request_has_the_ids_of_its_span_in_the_log() {
    for (root, goes_on) in [("propagate", true), ("omit", false)] {
        let (component, collector) = (Component::start(), receiver::Receiver::start(Speaks::Grpc));
        let tracing = format!(
            "tracing:\n  unsampledRoot: {root}\n  keep: {{errors: true}}\n  \
             export: {{endpoint: \"{}\"}}",
            collector.endpoint()
        );
        let mut rig = Rig::start(
            &format!("log-kept-{root}"),
            "all",
            &component.url(),
            &tracing,
        );
        rig.get("/status/500", "");
        let line = rig.line();
        let seen = component.wait_for(1).remove(0).value("traceparent");
        assert_eq!(seen.is_some(), goes_on, "{root}");
        rig.stop();
        let span = View(collector.wait_for_spans(1).remove(0));
        assert_eq!(span.text("tracegate.kept"), "error");
        assert_eq!(line["trace_id"], *span.trace(), "{root}");
        assert_eq!(line["span_id"], *span.id(), "{root}");
        assert_eq!(line["sampled"], false, "{root}");
        if let Some(seen) = seen {
            assert_eq!(seen[3..52], format!("{}-{}", span.trace(), span.id()));
        }
    }
}

#[test]
fn every_request_is_a_line_with_the_ids_that_went_on() {
    let component = Component::start();
    let mut rig = Rig::start("log-all", "all", &component.url(), QUIET);
    let secret = "Authorization: Bearer hunter2\r\nUser-Agent: curl/8\r\n";
    rig.get("/a/b?watch=true&token=hunter2", secret);
    let line = rig.line();
    for (key, expected) in [
        ("listener", "public"),
        ("client", "127.0.0.1"),
        ("method", "GET"),
        ("path", "/a/b"),
        ("query", "watch=true&token=REDACTED"),
        ("protocol", "HTTP/1.1"),
        ("user_agent", "curl/8"),
    ] {
        assert_eq!(line[key], expected, "{key}");
    }
    assert_eq!(line["status"], 200);
    assert_eq!(line["sampled"], false);
    assert!(line["duration"].as_f64() > Some(0.0));
    assert!(!line.to_string().contains("hunter2"), "{line}");
    let context = |seen: usize| {
        let handed_on = component.wait_for(seen + 1)[seen].value("traceparent");
        handed_on.expect("a context")
    };
    let ids = |line: &Value| {
        let id = |key: &str| line[key].as_str().expect("an id").to_owned();
        format!("{}-{}", id("trace_id"), id("span_id"))
    };
    assert!(context(0).contains(&ids(&line)), "an unsampled root");
    // Nobody exports: a trusted parent's context is relayed, and so are its ids.
    rig.get("/status/404", &format!("{CONTEXT}01\r\n"));
    let line = rig.line();
    assert_eq!(line["status"], 404);
    assert_eq!(
        ids(&line),
        "4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7"
    );
    assert!(context(1).contains(&ids(&line)));
    assert_eq!(line["sampled"], true);
    let body = "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\nConnection: close\r\n\r\nhello";
    wire::exchange(rig.address(), body);
    let line = rig.line();
    assert_eq!(
        (&line["bytes_received"], &line["bytes_sent"]),
        (&5.into(), &5.into())
    );
    wire::exchange(
        rig.address(),
        "GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
    );
    assert_eq!(rig.line()["refused"], "bad_target");
    assert_eq!(rig.stop(), [""; 0], "one line each");
}

#[test]
fn a_request_seen_in_segments_is_a_line_with_the_first_ones_id() {
    let collector = receiver::Receiver::start(Speaks::Grpc);
    let component = Scripted::start(1, |_, mut wire| {
        wire.head();
        wire.send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n");
        std::thread::sleep(Duration::from_millis(1500));
        wire.send("ok");
    });
    let tracing = format!(
        "tracing: {{maxSpanDuration: 1s, export: {{endpoint: \"{}\"}}}}",
        collector.endpoint()
    );
    let mut rig = Rig::start("log-segments", "sampled", &component.url(), &tracing);
    rig.get("/watch", &format!("{CONTEXT}01\r\n"));
    let line = rig.line();
    component.join();
    assert_eq!(rig.stop(), [""; 0], "one line for the whole");
    let spans: Vec<View> = collector.wait_for_spans(2).into_iter().map(View).collect();
    let of = |number: &str| {
        let mut spans = spans.iter();
        spans.find(|span| span.text("tracegate.segment") == number)
    };
    let (first, last) = (of("1").expect("a first"), of("2").expect("a last"));
    assert_ne!(first.id(), last.id());
    assert_eq!(line["span_id"], *first.id());
    assert_eq!(line["bytes_sent"], 2);
}

#[test]
fn a_sampled_request_has_the_ids_of_its_span() {
    let (component, collector) = (Component::start(), receiver::Receiver::start(Speaks::Grpc));
    let export = format!(
        "tracing: {{export: {{endpoint: \"{}\"}}}}",
        collector.endpoint()
    );
    let mut rig = Rig::start("log-sampled", "sampled", &component.url(), &export);
    rig.get("/unsampled", "");
    rig.get("/sampled", &format!("{CONTEXT}01\r\n"));
    rig.get("/unsampled", &format!("{CONTEXT}00\r\n"));
    let line = rig.line();
    assert_eq!(
        (&line["path"], &line["sampled"]),
        (&"/sampled".into(), &true.into())
    );
    assert_eq!(rig.stop(), [""; 0], "and no other line");
    let spans = collector.wait_for_spans(1);
    assert_eq!(spans.len(), 1, "the log alone makes no span");
    let hex = |id: &[u8]| {
        id.iter()
            .map(|byte| format!("{byte:02x}"))
            .collect::<String>()
    };
    assert_eq!(line["trace_id"], hex(&spans[0].trace_id));
    assert_eq!(line["span_id"], hex(&spans[0].span_id));
    assert_eq!(
        attribute(&spans[0].attributes, "url.path").as_deref(),
        Some("/sampled")
    );
}

#[test]
fn a_request_that_hands_nothing_on_has_no_ids() {
    let component = Component::start();
    let omit = "tracing: {unsampledRoot: omit, export: {protocol: none}}";
    let mut rig = Rig::start("log-omit", "all", &component.url(), omit);
    rig.get("/", "");
    let line = rig.line();
    assert_eq!(component.wait_for(1)[0].value("traceparent"), None);
    assert_eq!((line.get("trace_id"), line.get("span_id")), (None, None));
    assert_eq!(line["sampled"], false);
    assert_eq!(rig.stop(), [""; 0]);
}

#[test]
fn a_grpc_call_has_its_method_and_status() {
    let component = Component::answering(|_| {
        let answer = Response::builder().header("grpc-status", "14");
        answer.body(Full::default()).expect("an answer")
    });
    let mut rig = Rig::start("log-grpc", "all", &component.url(), QUIET);
    let call = "POST /made.Up/Method HTTP/1.1\r\nHost: h\r\nContent-Type: application/grpc\r\n\
                Content-Length: 0\r\nConnection: close\r\n\r\n";
    wire::exchange(rig.address(), call);
    let line = rig.line();
    assert_eq!(line["rpc_method"], "made.Up/Method");
    assert_eq!(line["rpc_status"], "UNAVAILABLE");
    assert_eq!(line["error_type"], "UNAVAILABLE");
    assert_eq!(rig.stop(), [""; 0]);
}

#[test]
fn an_absent_upstream_and_a_tunnel_are_told_at_their_end() {
    let mut rig = Rig::start("log-absent", "all", "http://127.0.0.1:1", QUIET);
    rig.get("/", "");
    let line = rig.line();
    assert_eq!(
        (&line["status"], &line["error_type"]),
        (&503.into(), &"connect_error".into())
    );
    drop(rig);
    let upstream = Scripted::start(1, |_, mut wire| {
        wire.head();
        wire.send(
            "HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: echo\r\n\r\n",
        );
        let said = wire.exactly(4);
        wire.send([&said[..], b"!"].concat());
    });
    let mut rig = Rig::start("log-tunnel", "all", &upstream.url(), QUIET);
    let mut wire = Wire::connect(rig.address());
    wire.send("GET /shell HTTP/1.1\r\nHost: h\r\nConnection: upgrade\r\nUpgrade: echo\r\n\r\n");
    assert_eq!(wire::status(&wire.head()), 101);
    wire.send("ping");
    assert_eq!(wire.exactly(5), b"ping!");
    wire.finish();
    let line = rig.line();
    assert_eq!(
        (&line["path"], &line["status"]),
        (&"/shell".into(), &101.into())
    );
    assert_eq!(
        (&line["bytes_received"], &line["bytes_sent"]),
        (&4.into(), &5.into())
    );
    assert_eq!(rig.stop(), [""; 0]);
}

#[test]
fn a_reload_switches_the_log_on_and_off() {
    let component = Component::start();
    let mut rig = Rig::start("log-reload", "off", &component.url(), QUIET);
    for (mode, path) in [("off", "/silent"), ("all", "/told"), ("off", "/silent")] {
        let file = rig.scratch.join("tracegate.yaml");
        fs::write(file, yaml(mode, &component.url(), QUIET)).expect("written");
        let reloads = rig.program.count("configuration reloaded");
        rig.program.signal(Signal::HUP);
        rig.program.says_again("configuration reloaded", reloads);
        // A connection of its own: requests under way keep their settings.
        rig.get(path, "");
    }
    assert_eq!(rig.line()["path"], "/told");
    assert_eq!(rig.stop(), [""; 0]);
}

#[test]
fn a_reader_that_stops_costs_lines_but_no_request() {
    const REQUESTS: usize = 8000;
    const BURST: usize = 50;
    let component = Component::start();
    // The pipe is open and nobody reads it.
    let (mut program, output, _scratch) = start("log-full", "all", &component.url(), QUIET);
    let mut wire = Wire::connect(program.address("public"));
    let long = "x".repeat(900);
    let request = format!("GET /{long} HTTP/1.1\r\nHost: h\r\n\r\n");
    for _ in 0..REQUESTS / BURST {
        wire.send(request.repeat(BURST));
        for _ in 0..BURST {
            assert_eq!(wire::status(&wire.head()), 200);
        }
    }
    let health = program.address("health");
    let dropped = Scrape::of(health).get(
        "tracegate_access_log_dropped_total",
        &[("reason", "queue_full")],
    );
    assert!(dropped > 0, "and what was lost is counted");
    drop(wire);
    let begun = Instant::now();
    program.signal(Signal::TERM);
    assert_eq!(program.exit().code(), Some(0));
    assert!(
        begun.elapsed() < Duration::from_secs(15),
        "nor does the end wait"
    );
    drop(output);
}

#[test]
fn lines_are_counted() {
    let component = Component::start();
    let mut rig = Rig::start("log-count", "all", &component.url(), QUIET);
    rig.get("/", "");
    let health = rig.program.address("health");
    metrics::wait_for(health, "tracegate_access_log_lines_total", &[], 1);
    rig.line();
    assert_eq!(rig.stop(), [""; 0]);
}
