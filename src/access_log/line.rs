//! An entry as a line of JSON.
//!
//! `time` (when the request ended), `listener`, `client`, `method`, `path`, `query` (redacted as on
//! spans), `protocol`, `status`, `duration` (seconds, to the end of the response),
//! `bytes_received` and `bytes_sent` (of the bodies, or through the tunnel), `user_agent`; of gRPC
//! `rpc_method` and `rpc_status`; `error_type`, `refused` and `cancelled` where spans have them;
//! `trace_id`, `span_id` (of several segments the first one's) and `sampled`. What isn't known has no key.

use serde_json::Value;

use super::Entry;
use super::date::rfc3339;
use crate::span::error_type::{Ended, code_name};
use crate::span::record::Outcome;
use crate::span::redact;
use crate::span::semconv::Anchor;

/// Appends a line, its end included.
pub(super) fn write(entry: &Entry, anchor: Anchor, out: &mut String) {
    let record = &*entry.record;
    let mut line = Line { out, empty: true };
    line.put("time", rfc3339(anchor.date(record.end)));
    line.put("listener", &*record.listener);
    let client = entry.client.map(|ip| ip.to_canonical().to_string());
    line.put_some("client", client);
    line.put("method", &*record.method);
    line.put("path", &*record.path);
    line.put_some("query", record.query.as_deref().map(redact::query));
    line.put("protocol", entry.protocol);
    line.put_some("status", record.status);
    let duration = record.end.saturating_duration_since(entry.start);
    line.put("duration", duration.as_secs_f64());
    line.put("bytes_received", record.request_bytes);
    line.put("bytes_sent", record.response_bytes);
    line.put_some("user_agent", record.user_agent.as_deref());
    if record.grpc {
        let method = record.path.strip_prefix('/').unwrap_or(&record.path);
        line.put("rpc_method", method);
        line.put_some("rpc_status", record.grpc_status.map(code_name));
    }
    let error = Ended::of(record).error();
    line.put_some("error_type", error.map(|error| error.as_str()));
    match record.outcome {
        Outcome::Cancelled => line.put("cancelled", true),
        Outcome::Refused(fault) => line.put("refused", fault.as_str()),
        Outcome::Done | Outcome::Upstream(_) => {}
    }
    if let Some(context) = entry.context {
        line.put("trace_id", format!("{:032x}", context.trace_id.get()));
        line.put("span_id", format!("{:016x}", context.parent_id.get()));
    }
    let sampled = entry.context.is_some_and(|context| context.flags.sampled());
    line.put("sampled", sampled);
    line.out.push_str("}\n");
}

struct Line<'a> {
    out: &'a mut String,
    empty: bool,
}

impl Line<'_> {
    /// Adds a pair; `key` is one of ours and needs no escaping, the value is escaped.
    fn put(&mut self, key: &str, value: impl Into<Value>) {
        self.out.push(if self.empty { '{' } else { ',' });
        self.empty = false;
        self.out.push('"');
        self.out.push_str(key);
        self.out.push_str("\":");
        self.out.push_str(&value.into().to_string());
    }

    fn put_some(&mut self, key: &str, value: Option<impl Into<Value>>) {
        if let Some(value) = value {
            self.put(key, value);
        }
    }
}
