//! What tests read of a received span.

use opentelemetry_proto::tonic::trace::v1::Span;

use super::receiver::{Receiver, attribute};

/// `STATUS_CODE_ERROR`.
const ERROR: i32 = 2;

/// Bytes in lower-case hexadecimal digits.
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}

/// A span, easy to ask.
#[derive(Clone, Debug)]
pub struct View(pub Span);

impl View {
    /// An attribute's value as text.
    pub fn get(&self, key: &str) -> Option<String> {
        attribute(&self.0.attributes, key)
    }

    /// An attribute's value as text; empty if it is absent.
    pub fn text(&self, key: &str) -> String {
        self.get(key).unwrap_or_default()
    }

    /// Whether the span's status is an error.
    pub fn failed(&self) -> bool {
        self.0
            .status
            .as_ref()
            .is_some_and(|status| status.code == ERROR)
    }

    /// The trace's id.
    pub fn trace(&self) -> String {
        hex(&self.0.trace_id)
    }

    /// The span's id.
    pub fn id(&self) -> String {
        hex(&self.0.span_id)
    }

    /// The parent's id; empty on a root.
    pub fn parent(&self) -> String {
        hex(&self.0.parent_span_id)
    }
}

/// Every span received, in the order of their beginnings.
pub fn views(receiver: &Receiver) -> Vec<View> {
    let mut spans = receiver.spans();
    spans.sort_by_key(|span| span.start_time_unix_nano);
    spans.into_iter().map(View).collect()
}
