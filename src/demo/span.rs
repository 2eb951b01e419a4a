//! What the demo shows of a span.

use std::time::{Duration, SystemTime};

use opentelemetry::trace::{SpanId, SpanKind, Status, TraceId};
use opentelemetry::{Key, Value};
use opentelemetry_sdk::trace::SpanData;

use crate::export::settings::Delivery;
use crate::span::semconv::HEADERS_EVENT;

/// A span, as far as it is shown.
#[derive(Clone, Debug)]
pub struct Span {
    /// The trace it belongs to.
    pub trace: TraceId,
    /// The span itself.
    pub id: SpanId,
    /// Its parent; `None` on a root.
    pub parent: Option<SpanId>,
    /// `service.name` of the tracegate that made it.
    pub service: String,
    /// The listener the request came in by.
    pub listener: String,
    /// SERVER on ingress, CLIENT on egress.
    pub kind: SpanKind,
    /// Name of the span.
    pub name: String,
    /// Path and query of an HTTP request.
    pub target: Option<String>,
    /// When the request's head had been read.
    pub start: SystemTime,
    /// When the request ended.
    pub end: SystemTime,
    /// Status of the answer, or what went wrong instead.
    pub status: String,
    /// Whether the span is an error.
    pub failed: bool,
    /// The untrusted context a restart left behind: its trace, and whether it asked to be sampled.
    pub dropped: Option<(TraceId, bool)>,
    /// When the head of a long answer came, counted from the start.
    pub headers: Option<Duration>,
}

impl Span {
    /// The spans of a delivery.
    pub fn of(delivery: &Delivery) -> impl Iterator<Item = Self> {
        let service = delivery.resource.get(&Key::from("service.name"));
        let service = service.map(|name| name.to_string()).unwrap_or_default();
        delivery
            .spans
            .iter()
            .map(move |span| Self::read(&service, span))
    }

    fn read(service: &str, span: &SpanData) -> Self {
        let text = |key| attribute(span, key).map(|value| value.to_string());
        let path = text("url.path").map(|path| match text("url.query") {
            Some(query) => format!("{path}?{query}"),
            None => path,
        });
        let link = span.links.iter().next().map(|link| &link.span_context);
        let headers = span.events.iter().find(|e| e.name == HEADERS_EVENT);
        Self {
            trace: span.span_context.trace_id(),
            id: span.span_context.span_id(),
            parent: Some(span.parent_span_id).filter(|id| *id != SpanId::INVALID),
            service: service.to_owned(),
            listener: text("tracegate.listener").unwrap_or_default(),
            kind: span.span_kind.clone(),
            name: span.name.to_string(),
            target: path.or_else(|| text("url.full").map(|url| after_authority(&url))),
            start: span.start_time,
            end: span.end_time,
            status: status(span),
            failed: matches!(span.status, Status::Error { .. }),
            dropped: link.map(|link| (link.trace_id(), link.trace_flags().is_sampled())),
            headers: headers.map(|event| since(event.timestamp, span.start_time)),
        }
    }

    /// How long the request took.
    pub fn took(&self) -> Duration {
        since(self.end, self.start)
    }
}

/// Time from `earlier` on; none if the clock was set back between them.
pub fn since(later: SystemTime, earlier: SystemTime) -> Duration {
    later.duration_since(earlier).unwrap_or_default()
}

fn attribute<'a>(span: &'a SpanData, key: &str) -> Option<&'a Value> {
    let mut attributes = span.attributes.iter();
    let pair = attributes.find(|pair| pair.key.as_str() == key)?;
    Some(&pair.value)
}

fn status(span: &SpanData) -> String {
    if attribute(span, "tracegate.cancelled").is_some() {
        return "cancelled".to_owned();
    }
    let keys = [
        "rpc.response.status_code",
        "http.response.status_code",
        "error.type",
    ];
    let mut values = keys.iter().filter_map(|key| attribute(span, key));
    values.next().map(ToString::to_string).unwrap_or_default()
}

/// `http://host:port/path?query` → `/path?query`
fn after_authority(url: &str) -> String {
    let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
    rest.find('/').map_or("/", |at| &rest[at..]).to_owned()
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use opentelemetry_sdk::Resource;

    use super::*;
    use crate::context::ids::{Flags, SpanId as Id, TraceId as Trace};
    use crate::span::record::{Direction, Fault, Outcome, Record, fixture};
    use crate::span::semconv::{Anchor, Converter};

    fn shown(record: &Record) -> Span {
        let delivery = Delivery {
            resource: Resource::builder_empty()
                .with_service_name("frontend")
                .build(),
            spans: vec![Converter::new(Arc::default()).span(record, Anchor::now())],
        };
        Span::of(&delivery).next().unwrap()
    }

    #[test]
    fn a_server_span_shows_service_listener_path_query_and_status() {
        let mut record = fixture();
        record.path = "/slow".into();
        record.query = Some("a=1".into());
        let span = shown(&record);
        assert_eq!((&*span.service, &*span.listener), ("frontend", "public"));
        assert_eq!(span.kind, SpanKind::Server);
        assert_eq!(span.target.as_deref(), Some("/slow?a=REDACTED"));
        assert_eq!((&*span.status, span.failed), ("200", false));
        assert_eq!(
            (span.parent, span.dropped, span.headers),
            (None, None, None)
        );
    }

    #[test]
    fn a_client_span_shows_the_path_of_its_url() {
        let mut record = fixture();
        record.direction = Direction::Egress;
        record.host = Some("backend".into());
        record.path = "/stock".into();
        record.parent = Id::new(7);
        let span = shown(&record);
        assert_eq!(span.kind, SpanKind::Client);
        assert_eq!(span.target.as_deref(), Some("/stock"));
        assert_eq!(span.parent, Some(SpanId::from(7_u64)));
        assert_eq!(after_authority("http://backend"), "/");
    }

    #[test]
    fn what_went_wrong_stands_for_a_status_that_never_came() {
        let mut record = fixture();
        record.status = None;
        record.outcome = Outcome::Upstream(Fault::ConnectionClosed);
        let span = shown(&record);
        assert_eq!((&*span.status, span.failed), ("connection_closed", true));
        record.outcome = Outcome::Cancelled;
        assert_eq!(shown(&record).status, "cancelled");
    }

    #[test]
    fn a_restart_shows_the_trace_that_was_dropped() {
        let mut record = fixture();
        let (trace, id) = (Trace::new(5).unwrap(), Id::new(6).unwrap());
        record.link = Some((trace, id, Flags::SAMPLED));
        let dropped = shown(&record).dropped;
        assert_eq!(dropped, Some((TraceId::from(5_u128), true)));
    }

    #[test]
    fn a_long_answer_shows_when_its_head_came() {
        let mut record = fixture();
        record.headers = Some(record.start + Duration::from_millis(3));
        record.end = record.start + Duration::from_secs(2);
        let span = shown(&record);
        assert_eq!(span.headers, Some(Duration::from_millis(3)));
        assert_eq!(span.took(), Duration::from_secs(2));
    }
}
