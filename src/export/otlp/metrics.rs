//! Metrics over the wire spans travel on, too.
//!
//! The library's exporter takes only what the SDK's own instruments have gathered, so requests are
//! built from the protocol's messages.

use std::io::{self, Write as _};
use std::sync::Arc;

use bytes::Bytes;
use flate2::write::GzEncoder;
use http::HeaderValue;
use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::common::v1::KeyValue;
use opentelemetry_proto::tonic::metrics::v1::metric::Data;
use opentelemetry_proto::tonic::metrics::v1::{Metric, ResourceMetrics, ScopeMetrics};
use opentelemetry_proto::tonic::resource::v1::Resource as ProtoResource;
use opentelemetry_sdk::Resource;
use prost::Message as _;

use super::courier::{Courier, Payload};
use super::{Signal, wire};
use crate::export::BuildError;
use crate::export::retry::Retry;
use crate::export::settings::{Compression, Otlp};
use crate::export::sink::{Deadline, Outcome};
use crate::export::status::SinkStatus;

/// Data points of one request: with every exemplar they stay well under the 4 MiB that gRPC
/// servers take.
const MAX_POINTS: usize = 1000;

/// Sends metrics; one request at a time.
#[derive(Debug)]
pub(in crate::export) struct Pusher {
    courier: Courier,
    compression: Compression,
    resource: ProtoResource,
    schema_url: String,
}

impl Pusher {
    /// Must be called inside the runtime that will drive it.
    pub(in crate::export) fn new(
        settings: &Otlp,
        resource: &Resource,
        retry: Retry,
        status: Arc<SinkStatus>,
    ) -> Result<Self, BuildError> {
        let wire = wire(settings, Signal::Metrics)?;
        let attributes = resource.iter().map(|(key, value)| KeyValue {
            key: key.to_string(),
            value: Some(value.clone().into()),
            ..KeyValue::default()
        });
        Ok(Self {
            courier: Courier::new(wire, settings.timeout, retry, status),
            compression: settings.compression,
            resource: ProtoResource {
                attributes: attributes.collect(),
                ..ProtoResource::default()
            },
            schema_url: resource.schema_url().unwrap_or_default().to_owned(),
        })
    }

    /// What was gathered, in requests that collectors take, and how many points each has.
    pub(in crate::export) fn requests(
        &self,
        scope: ScopeMetrics,
    ) -> impl Iterator<Item = (ExportMetricsServiceRequest, u64)> {
        parts(scope).into_iter().map(|(scope, points)| {
            let resource = ResourceMetrics {
                resource: Some(self.resource.clone()),
                scope_metrics: vec![scope],
                schema_url: self.schema_url.clone(),
            };
            let request = ExportMetricsServiceRequest {
                resource_metrics: vec![resource],
            };
            (request, points as u64)
        })
    }

    /// Sends a request of so many points; ends when its fate is known.
    pub(in crate::export) async fn send(
        &self,
        request: ExportMetricsServiceRequest,
        points: u64,
        deadline: &Deadline,
    ) -> Outcome {
        let body = request.encode_to_vec();
        drop(request);
        match compress(body, self.compression) {
            Ok(payload) => self.courier.deliver(payload, points, deadline).await,
            Err(error) => {
                self.courier.status().failed(&error.to_string());
                Outcome {
                    failed: points,
                    ..Outcome::default()
                }
            }
        }
    }
}

fn compress(body: Vec<u8>, compression: Compression) -> io::Result<Payload> {
    let (body, encoding) = match compression {
        Compression::None => (body, None),
        Compression::Gzip => {
            let mut encoder = GzEncoder::new(Vec::new(), flate2::Compression::default());
            encoder.write_all(&body)?;
            (encoder.finish()?, Some("gzip"))
        }
        Compression::Zstd => (zstd::bulk::compress(&body, 0)?, Some("zstd")),
    };
    Ok(Payload {
        body: Bytes::from(body),
        encoding: encoding.map(HeaderValue::from_static),
    })
}

/// Cuts what was gathered into scopes of at most [`MAX_POINTS`] points.
fn parts(scope: ScopeMetrics) -> Vec<(ScopeMetrics, usize)> {
    let part = |metrics| ScopeMetrics {
        scope: scope.scope.clone(),
        metrics,
        schema_url: scope.schema_url.clone(),
    };
    let mut parts = Vec::new();
    let (mut metrics, mut points) = (Vec::new(), 0);
    for mut metric in scope.metrics.clone() {
        loop {
            let rest = split(&mut metric, MAX_POINTS - points);
            points += count(&metric);
            metrics.push(metric);
            match rest {
                Some(rest) => metric = rest,
                None => break,
            }
            parts.push((part(std::mem::take(&mut metrics)), points));
            points = 0;
        }
    }
    if points > 0 {
        parts.push((part(metrics), points));
    }
    parts
}

fn count(metric: &Metric) -> usize {
    match &metric.data {
        Some(Data::Gauge(gauge)) => gauge.data_points.len(),
        Some(Data::Sum(sum)) => sum.data_points.len(),
        Some(Data::Histogram(histogram)) => histogram.data_points.len(),
        _ => 0,
    }
}

/// Leaves at most so many points; the rest, if there is one, is of the same metric.
fn split(metric: &mut Metric, at_most: usize) -> Option<Metric> {
    if count(metric) <= at_most {
        return None;
    }
    let mut rest = metric.clone();
    match (&mut metric.data, &mut rest.data) {
        (Some(Data::Gauge(first)), Some(Data::Gauge(rest))) => {
            first.data_points.truncate(at_most);
            rest.data_points.drain(..at_most);
        }
        (Some(Data::Sum(first)), Some(Data::Sum(rest))) => {
            first.data_points.truncate(at_most);
            rest.data_points.drain(..at_most);
        }
        (Some(Data::Histogram(first)), Some(Data::Histogram(rest))) => {
            first.data_points.truncate(at_most);
            rest.data_points.drain(..at_most);
        }
        _ => return None,
    }
    Some(rest)
}

#[cfg(test)]
mod tests {
    use super::*;
    use opentelemetry_proto::tonic::metrics::v1::NumberDataPoint;
    use opentelemetry_proto::tonic::metrics::v1::{Gauge, Histogram, HistogramDataPoint};

    fn gauge(points: usize) -> Metric {
        Metric {
            name: format!("gauge.{points}"),
            data: Some(Data::Gauge(Gauge {
                data_points: vec![NumberDataPoint::default(); points],
            })),
            ..Metric::default()
        }
    }

    fn histogram(points: usize) -> Metric {
        Metric {
            name: "histogram".to_owned(),
            data: Some(Data::Histogram(Histogram {
                data_points: vec![HistogramDataPoint::default(); points],
                aggregation_temporality: 2,
            })),
            ..Metric::default()
        }
    }

    #[test]
    fn many_points_are_cut_into_requests_collectors_take() {
        for (metrics, expected, why) in [
            (vec![], vec![], "nothing to say"),
            (vec![gauge(3), histogram(5)], vec![8], "one request"),
            (vec![gauge(1000)], vec![1000], "exactly full"),
            (vec![gauge(1000), gauge(1)], vec![1000, 1], "one too many"),
            (
                vec![histogram(2500)],
                vec![1000, 1000, 500],
                "one metric in parts",
            ),
            (
                vec![gauge(999), histogram(1002)],
                vec![1000, 1000, 1],
                "across",
            ),
        ] {
            let scope = ScopeMetrics {
                metrics,
                ..ScopeMetrics::default()
            };
            let parts = parts(scope);
            let told: Vec<_> = parts.iter().map(|(_, points)| *points).collect();
            assert_eq!(told, expected, "{why}");
            for (scope, points) in parts {
                let counted: usize = scope.metrics.iter().map(count).sum();
                assert_eq!(counted, points, "{why}");
            }
        }
    }

    #[test]
    fn compressed_requests_say_so_and_can_be_read() {
        let body = b"metrics".repeat(1000);
        let gzip = compress(body.clone(), Compression::Gzip).unwrap();
        let mut read = Vec::new();
        io::copy(&mut flate2::read::GzDecoder::new(&*gzip.body), &mut read).unwrap();
        assert_eq!(
            (read, gzip.encoding.unwrap()),
            (body.clone(), "gzip".parse().unwrap())
        );
        let zstd = compress(body.clone(), Compression::Zstd).unwrap();
        let read = zstd::decode_all(&*zstd.body).unwrap();
        assert_eq!(
            (read, zstd.encoding.unwrap()),
            (body.clone(), "zstd".parse().unwrap())
        );
        let plain = compress(body.clone(), Compression::None).unwrap();
        assert_eq!((&*plain.body, plain.encoding), (&*body, None));
    }
}
