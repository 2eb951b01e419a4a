//! Spans as JSON lines on standard output, for people and for log collectors.
//!
//! One object per span: `trace_id`, `span_id`, `parent_span_id` (absent on a root), `trace_state`
//! (absent if empty), `flags`, `name`, `kind`, `start_unix_nano`, `end_unix_nano`, `status`
//! (`unset` or `error`), `attributes`, `events`, `links`, `resource`.

use std::io::{self, Write};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use opentelemetry::{Array, KeyValue, Value, trace};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::trace::SpanData;
use serde_json::{Map, json};
use tokio::task::JoinHandle;

use super::sink::{Batch, Outcome};
use super::status::SinkStatus;
use crate::span::semconv::{Converter, unix_nanos};

/// How long a write may take before the sink counts as failing.
const PATIENCE: Duration = Duration::from_secs(10);

type Output = Arc<Mutex<dyn Write + Send>>;

/// The sink. A write that hangs holds up this sink alone.
pub(super) struct Console {
    output: Output,
    converter: Arc<Converter>,
    resource: serde_json::Value,
    status: Arc<SinkStatus>,
    patience: Duration,
    /// A write whose end nobody has seen yet: the next one waits for it.
    pending: Option<JoinHandle<io::Result<()>>>,
}

impl Console {
    pub(super) fn stdout(
        converter: Arc<Converter>,
        resource: &Resource,
        status: Arc<SinkStatus>,
    ) -> Self {
        Self::new(
            Arc::new(Mutex::new(io::stdout())),
            converter,
            resource,
            status,
        )
    }

    fn new(
        output: Output,
        converter: Arc<Converter>,
        resource: &Resource,
        status: Arc<SinkStatus>,
    ) -> Self {
        let resource = resource
            .iter()
            .map(|(key, value)| (key.to_string(), any(value)))
            .collect::<Map<_, _>>();
        Self {
            output,
            converter,
            resource: resource.into(),
            status,
            patience: PATIENCE,
            pending: None,
        }
    }

    pub(super) async fn export(&mut self, batch: &Batch, outcome: &mut Outcome) {
        let spans = batch.records.len() as u64;
        let mut text = String::new();
        for record in &batch.records {
            let span = self.converter.span(record, batch.anchor);
            text.push_str(&line(&span, &self.resource));
            text.push('\n');
        }
        match self.write(text).await {
            Ok(()) => {
                self.status.succeeded();
                outcome.exported += spans;
            }
            Err(error) => {
                self.status.failed(&error.to_string());
                outcome.failed += spans;
            }
        }
    }

    /// Writes on a thread that may block. Dropped half-way, the write goes on by itself.
    async fn write(&mut self, text: String) -> io::Result<()> {
        if let Some(pending) = &mut self.pending {
            let _ = pending.await;
        }
        let output = Arc::clone(&self.output);
        let write = self.pending.insert(tokio::task::spawn_blocking(move || {
            let mut output = output.lock().unwrap_or_else(PoisonError::into_inner);
            output.write_all(text.as_bytes())?;
            output.flush()
        }));
        let ended = match tokio::time::timeout(self.patience, &mut *write).await {
            Ok(ended) => ended,
            Err(_) => {
                self.status.failed("nobody reads what is written");
                write.await
            }
        };
        self.pending = None;
        ended.unwrap_or_else(|panic| Err(io::Error::other(panic)))
    }
}

/// A span as one line of JSON, without the line's end.
fn line(span: &SpanData, resource: &serde_json::Value) -> String {
    let mut object = Map::new();
    let mut put = |key: &str, value: serde_json::Value| {
        object.insert(key.to_owned(), value);
    };
    let context = &span.span_context;
    put("trace_id", context.trace_id().to_string().into());
    put("span_id", context.span_id().to_string().into());
    if span.parent_span_id != trace::SpanId::INVALID {
        put("parent_span_id", span.parent_span_id.to_string().into());
    }
    let state = context.trace_state().header();
    if !state.is_empty() {
        put("trace_state", state.into());
    }
    put("flags", context.trace_flags().to_u8().into());
    put("name", span.name.as_ref().into());
    put(
        "kind",
        format!("{:?}", span.span_kind).to_lowercase().into(),
    );
    put("start_unix_nano", unix_nanos(span.start_time).into());
    put("end_unix_nano", unix_nanos(span.end_time).into());
    let failed = matches!(span.status, trace::Status::Error { .. });
    put("status", if failed { "error" } else { "unset" }.into());
    put("attributes", attributes(&span.attributes));
    let events = span.events.events.iter().map(|event| {
        json!({
            "name": event.name,
            "time_unix_nano": unix_nanos(event.timestamp),
            "attributes": attributes(&event.attributes),
        })
    });
    put("events", events.collect());
    let links = span.links.links.iter().map(|link| {
        json!({
            "trace_id": link.span_context.trace_id().to_string(),
            "span_id": link.span_context.span_id().to_string(),
            "flags": link.span_context.trace_flags().to_u8(),
        })
    });
    put("links", links.collect());
    put("resource", resource.clone());
    serde_json::Value::Object(object).to_string()
}

fn attributes(attributes: &[KeyValue]) -> serde_json::Value {
    let pairs = attributes
        .iter()
        .map(|pair| (pair.key.to_string(), any(&pair.value)));
    serde_json::Value::Object(pairs.collect())
}

fn any(value: &Value) -> serde_json::Value {
    match value {
        Value::Bool(value) => (*value).into(),
        Value::I64(value) => (*value).into(),
        Value::F64(value) => (*value).into(),
        Value::Array(Array::I64(values)) => values.clone().into(),
        Value::Array(Array::String(values)) => values.iter().map(|v| v.as_str()).collect(),
        other => other.to_string().into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::export::status::{State, Status};
    use crate::span::record::{Record, fixture};
    use crate::span::semconv::Anchor;

    struct Broken;

    impl Write for Broken {
        fn write(&mut self, _: &[u8]) -> io::Result<usize> {
            Err(io::ErrorKind::BrokenPipe.into())
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    /// Writes end when the test drops the other side.
    struct Stuck(std::sync::mpsc::Receiver<()>);

    impl Write for Stuck {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            let _ = self.0.recv();
            Ok(bytes.len())
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn console(output: Output) -> (Console, Arc<SinkStatus>) {
        let status = Status::default().sink("console");
        let resource = crate::export::resource::build(&[]);
        let converter = Arc::new(Converter::new(Arc::default()));
        let console = Console::new(output, converter, &resource, Arc::clone(&status));
        (console, status)
    }

    fn batch(records: Vec<Record>) -> Batch {
        Batch {
            records: records.into_iter().map(Box::new).collect(),
            anchor: Anchor::now(),
        }
    }

    #[tokio::test]
    async fn every_span_is_one_line_of_json() {
        let output = Arc::new(Mutex::new(Vec::new()));
        let (mut console, status) = console(Arc::clone(&output) as Output);
        let mut outcome = Outcome::default();
        let mut second = *fixture();
        second.parent = crate::context::ids::SpanId::new(0xabc);
        second.path = "/a\nb".into();
        console
            .export(&batch(vec![*fixture(), second]), &mut outcome)
            .await;
        assert_eq!(outcome.exported, 2);
        assert_eq!(status.state(), State::Ok);
        let text = String::from_utf8(output.lock().unwrap().clone()).unwrap();
        let lines: Vec<serde_json::Value> = text
            .lines()
            .map(|line| serde_json::from_str(line).unwrap())
            .collect();
        assert_eq!(lines.len(), 2, "a line break in a path breaks no line");
        let [root, child] = &lines[..] else { panic!() };
        assert_eq!(root["trace_id"], "4bf92f3577b34da6a3ce929d0e0e4736");
        assert_eq!(root["span_id"], "00f067aa0ba902b7");
        assert!(root.get("parent_span_id").is_none());
        assert_eq!(root["kind"], "server");
        assert_eq!(root["name"], "GET");
        assert_eq!(root["status"], "unset");
        assert_eq!(root["attributes"]["http.response.status_code"], 200);
        assert_eq!(root["resource"]["telemetry.sdk.name"], "tracegate");
        assert!(root["start_unix_nano"].as_u64() > Some(1_500_000_000_000_000_000));
        assert_eq!(child["parent_span_id"], "0000000000000abc");
        assert_eq!(child["attributes"]["url.path"], "/a\nb");
    }

    #[tokio::test]
    async fn a_broken_pipe_is_a_failing_sink_and_nothing_worse() {
        let (mut console, status) = console(Arc::new(Mutex::new(Broken)));
        for _ in 0..2 {
            let mut outcome = Outcome::default();
            console.export(&batch(vec![*fixture()]), &mut outcome).await;
            assert_eq!(outcome.failed, 1);
            assert!(matches!(status.state(), State::Failing { .. }));
        }
    }

    #[tokio::test]
    async fn a_reader_that_stops_reading_shows_as_failing() {
        let (release, stuck) = std::sync::mpsc::channel();
        let (mut console, status) = console(Arc::new(Mutex::new(Stuck(stuck))));
        console.patience = Duration::ZERO;
        let mut outcome = Outcome::default();
        let records = batch(vec![*fixture()]);
        let export = console.export(&records, &mut outcome);
        let watch = async {
            while status.state() == State::Ok {
                tokio::task::yield_now().await;
            }
            drop(release);
        };
        tokio::join!(export, watch);
        assert_eq!(outcome.exported, 1, "it was read in the end");
        assert_eq!(status.state(), State::Ok);
    }
}
