//! Spans to a reader in this process.

use std::sync::Arc;

use opentelemetry_sdk::Resource;

use super::settings::{Delivery, Memory};
use super::sink::{Batch, Outcome};
use super::status::SinkStatus;
use crate::span::semconv::Converter;

/// The sink. A slow reader holds up this sink alone: its queue fills, and what doesn't fit is
/// dropped and counted.
pub(super) struct Sender {
    reader: Memory,
    converter: Arc<Converter>,
    resource: Resource,
    status: Arc<SinkStatus>,
}

impl Sender {
    pub(super) const fn new(
        reader: Memory,
        converter: Arc<Converter>,
        resource: Resource,
        status: Arc<SinkStatus>,
    ) -> Self {
        Self {
            reader,
            converter,
            resource,
            status,
        }
    }

    pub(super) async fn export(&self, batch: &Batch, outcome: &mut Outcome) {
        let convert = |record| self.converter.span(record, batch.anchor);
        let delivery = Delivery {
            resource: self.resource.clone(),
            spans: batch.records.iter().map(|r| convert(r)).collect(),
        };
        let spans = batch.records.len() as u64;
        if self.reader.0.send(delivery).await.is_ok() {
            self.status.succeeded();
            outcome.exported += spans;
        } else {
            self.status.failed("nobody reads any more");
            outcome.failed += spans;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use opentelemetry::Key;

    use super::super::settings::{Settings, Sink};
    use super::super::{Reason, start};
    use super::*;
    use crate::span::record::fixture;

    fn settings(reader: Memory) -> Settings {
        Settings {
            sinks: vec![Sink::Memory(reader)],
            metrics: None,
            resource: vec![("service.name".to_owned(), "frontend".to_owned())],
            queue_spans: 64,
            max_batch: 8,
            schedule_delay: Duration::ZERO,
        }
    }

    #[test]
    fn spans_reach_a_reader_in_this_process_with_their_resource() {
        let (reader, mut deliveries) = Memory::channel(4);
        let (mut producers, exporter) = start(&settings(reader), Arc::default(), 1).unwrap();
        producers[0].push(fixture());
        let delivery = deliveries.blocking_recv().unwrap();
        assert_eq!(delivery.spans.len(), 1);
        let name = delivery.resource.get(&Key::from("service.name")).unwrap();
        assert_eq!(name.to_string(), "frontend");
        exporter.shutdown(Duration::from_secs(10));
        assert!(deliveries.blocking_recv().is_none(), "the end is told");
    }

    #[test]
    fn spans_nobody_reads_any_more_are_counted() {
        let (reader, deliveries) = Memory::channel(1);
        let (mut producers, exporter) = start(&settings(reader), Arc::default(), 1).unwrap();
        drop(deliveries);
        producers[0].push(fixture());
        let status = exporter.status();
        exporter.shutdown(Duration::from_secs(10));
        let sink = &status.sinks()[0];
        assert_eq!(sink.name(), "memory");
        assert_eq!(sink.dropped(Reason::ExportFailed), 1);
    }
}
