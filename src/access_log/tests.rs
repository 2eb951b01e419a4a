use std::sync::mpsc;
use std::time::Instant;

use serde_json::{Value, json};

use super::*;
use crate::context::ids::{Flags, SpanId, TraceId};
use crate::span::record::{Fault, Outcome, fixture};
use crate::span::semconv::Anchor;

/// Output that hands over what it is given, or fails, or waits.
struct Output {
    sender: mpsc::Sender<Vec<u8>>,
    gate: Option<mpsc::Receiver<()>>,
    broken: bool,
}

impl Write for Output {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if let Some(gate) = &self.gate {
            let _ = gate.recv();
        }
        if self.broken {
            return Err(io::ErrorKind::BrokenPipe.into());
        }
        let _ = self.sender.send(bytes.to_vec());
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn output(
    gate: Option<mpsc::Receiver<()>>,
    broken: bool,
) -> (Box<Output>, mpsc::Receiver<Vec<u8>>) {
    let (sender, written) = mpsc::channel();
    let output = Output {
        sender,
        gate,
        broken,
    };
    (Box::new(output), written)
}

fn entry(change: impl FnOnce(&mut Entry)) -> Entry {
    let record = fixture();
    let mut entry = Entry {
        start: record.start,
        record,
        context: None,
        client: None,
        protocol: "HTTP/1.1",
    };
    change(&mut entry);
    entry
}

fn line(change: impl FnOnce(&mut Entry)) -> Value {
    let mut text = String::new();
    line::write(&entry(change), Anchor::now(), &mut text);
    let text = text.strip_suffix('\n').expect("a line's end");
    assert!(!text.contains('\n'), "one line: {text}");
    serde_json::from_str(text).expect("JSON")
}

#[test]
fn an_entry_is_one_line_with_what_is_known() {
    let line = line(|entry| {
        let record = &mut entry.record;
        record.end = record.start + Duration::from_millis(1500);
        record.query = Some("watch=true&token=hunter2".into());
        record.user_agent = Some("curl/8".into());
        record.request_bytes = 3;
        record.response_bytes = 4;
        entry.client = "::ffff:10.1.2.3".parse().ok();
        entry.context = Some(TraceParent {
            trace_id: TraceId::new(0xabc).unwrap(),
            parent_id: SpanId::new(0xdef).unwrap(),
            flags: Flags::RANDOM,
        });
    });
    let mut expected = json!({
        "listener": "public",
        "client": "10.1.2.3",
        "method": "GET",
        "path": "/",
        "query": "watch=true&token=REDACTED",
        "protocol": "HTTP/1.1",
        "status": 200,
        "duration": 1.5,
        "bytes_received": 3,
        "bytes_sent": 4,
        "user_agent": "curl/8",
        "trace_id": "00000000000000000000000000000abc",
        "span_id": "0000000000000def",
        "sampled": false,
    });
    expected["time"] = line["time"].clone();
    assert_eq!(line, expected);
    let time = line["time"].as_str().expect("a date");
    assert!(time.ends_with('Z') && time.len() == 24, "{time}");
}

#[test]
fn nothing_is_made_up_where_nothing_is_known() {
    let line = line(|entry| {
        entry.record.status = None;
        entry.record.outcome = Outcome::Cancelled;
    });
    for key in [
        "trace_id",
        "span_id",
        "client",
        "status",
        "query",
        "user_agent",
        "error_type",
    ] {
        assert_eq!(line.get(key), None, "{key}");
    }
    assert_eq!(line["cancelled"], true);
    assert_eq!(line["sampled"], false);
}

#[test]
fn errors_are_named_as_on_spans() {
    let refused = line(|entry| {
        entry.record.status = Some(400);
        entry.record.outcome = Outcome::Refused(Fault::BadTarget);
    });
    assert_eq!(refused["refused"], "bad_target");
    assert_eq!(refused.get("error_type"), None, "the caller's fault");
    let failed = line(|entry| {
        entry.record.status = Some(502);
        entry.record.outcome = Outcome::Upstream(Fault::Connect);
    });
    assert_eq!(failed["error_type"], "connect_error");
    let call = line(|entry| {
        entry.record.grpc = true;
        entry.record.grpc_status = Some(14);
        entry.record.path = "/etcdserverpb.KV/Put".into();
    });
    assert_eq!(call["rpc_method"], "etcdserverpb.KV/Put");
    assert_eq!(call["rpc_status"], "UNAVAILABLE");
    assert_eq!(call["error_type"], "UNAVAILABLE");
}

#[test]
fn no_character_breaks_a_line() {
    let nasty = "a\n\r\"\\\u{0}\u{1b}[31m\u{2028}é";
    let line = line(|entry| {
        entry.record.path = nasty.into();
        entry.record.method = nasty.into();
        entry.record.user_agent = Some(nasty.into());
    });
    assert_eq!(line["path"], nasty);
    assert_eq!(line["method"], nasty);
    assert_eq!(line["user_agent"], nasty);
}

#[test]
fn every_entry_of_every_worker_is_written_before_the_end() {
    let (output, written) = output(None, false);
    let (mut producers, handle) = new(3, 64, output);
    handle.prepare(Mode::All).unwrap();
    handle.prepare(Mode::All).unwrap();
    for producer in &mut producers {
        (0..20).for_each(|_| producer.push(entry(|_| {})));
    }
    let status = handle.status();
    handle.shutdown(Duration::from_secs(20));
    let text: Vec<u8> = written.iter().flatten().collect();
    let lines = text.iter().filter(|byte| **byte == b'\n').count();
    assert_eq!((lines, status.written()), (60, 60));
    assert_eq!(status.dropped(Reason::QueueFull), 0);
}

#[test]
fn a_reader_that_stops_costs_lines_and_nothing_else() {
    let (release, gate) = mpsc::channel();
    let (output, _written) = output(Some(gate), false);
    let (mut producers, handle) = new(1, 8, output);
    handle.prepare(Mode::All).unwrap();
    let begun = Instant::now();
    for _ in 0..1000 {
        producers[0].push(entry(|_| {}));
    }
    assert!(
        begun.elapsed() < Duration::from_secs(5),
        "a push never waits"
    );
    let status = handle.status();
    let dropped = status.dropped(Reason::QueueFull);
    assert!(dropped > 0);
    // The end doesn't wait for it either.
    handle.shutdown(Duration::from_millis(10));
    drop(release);
    drop(producers);
}

#[test]
fn a_broken_pipe_is_counted() {
    let (output, _written) = output(None, true);
    let (mut producers, handle) = new(1, 8, output);
    handle.prepare(Mode::Sampled).unwrap();
    producers[0].push(entry(|_| {}));
    let status = handle.status();
    handle.shutdown(Duration::from_secs(20));
    assert_eq!(status.dropped(Reason::WriteFailed), 1);
    assert_eq!(status.written(), 0);
}

#[test]
fn while_it_is_off_there_is_no_thread() {
    let (output, written) = output(None, false);
    let (producers, handle) = new(1, 8, output);
    handle.prepare(Mode::Off).unwrap();
    assert!(matches!(*handle.thread.lock().unwrap(), State::Idle(..)));
    drop((handle, producers));
    assert!(written.recv().is_err());
}
