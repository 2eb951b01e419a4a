//! What was gathered as OTLP ("Metrics data model"): cumulative, from the process's start.
//!
//! `tracegate_x` is called `tracegate.x` there, so that the translation to Prometheus gives the
//! name `/metrics` has; the label `listener` is the attribute spans have, `tracegate.listener`.

use std::time::SystemTime;

use opentelemetry_proto::tonic::common::v1::{AnyValue, InstrumentationScope, KeyValue, any_value};
use opentelemetry_proto::tonic::metrics::v1 as proto;
use opentelemetry_proto::tonic::metrics::v1::metric::Data;
use opentelemetry_proto::tonic::metrics::v1::{exemplar, number_data_point};

use super::exemplar::Exemplar;
use super::exposition::{Exposition, Family, Kind, Number, Point, Value};
use super::histogram::BOUNDS;
use crate::span::semconv::{Anchor, SCHEMA_URL, unix_nanos};

/// Everything, but for what the resource says: what is running, and since when.
pub(super) fn scope(exposition: &Exposition, started: SystemTime) -> proto::ScopeMetrics {
    let anchor = Anchor::now();
    let encoder = Encoder {
        anchor,
        start: unix_nanos(started),
        time: unix_nanos(anchor.wall),
    };
    let families = exposition.families.iter();
    let told = families.filter(|f| f.kind != Kind::Info && !f.name.starts_with("process_"));
    proto::ScopeMetrics {
        scope: Some(InstrumentationScope {
            name: "tracegate".to_owned(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            ..InstrumentationScope::default()
        }),
        metrics: told.map(|family| encoder.metric(family)).collect(),
        schema_url: SCHEMA_URL.to_owned(),
    }
}

struct Encoder {
    anchor: Anchor,
    start: u64,
    time: u64,
}

impl Encoder {
    fn metric(&self, family: &Family) -> proto::Metric {
        let points = family.points.iter();
        let cumulative = proto::AggregationTemporality::Cumulative as i32;
        let (unit, data) = match family.kind {
            Kind::Histogram => {
                let data_points = points.filter_map(|point| self.histogram(point)).collect();
                let histogram = proto::Histogram {
                    data_points,
                    aggregation_temporality: cumulative,
                };
                ("s", Data::Histogram(histogram))
            }
            Kind::Counter => {
                let sum = proto::Sum {
                    data_points: points.filter_map(|point| self.number(point)).collect(),
                    aggregation_temporality: cumulative,
                    is_monotonic: true,
                };
                ("1", Data::Sum(sum))
            }
            Kind::Gauge | Kind::Info => {
                let data_points = points.filter_map(|point| self.number(point)).collect();
                ("", Data::Gauge(proto::Gauge { data_points }))
            }
        };
        proto::Metric {
            name: family.name.replacen("tracegate_", "tracegate.", 1),
            description: family.help.clone(),
            unit: unit.to_owned(),
            data: Some(data),
            ..proto::Metric::default()
        }
    }

    fn number(&self, point: &Point) -> Option<proto::NumberDataPoint> {
        let Value::Number(number) = &point.value else {
            return None;
        };
        let value = match *number {
            Number::Unsigned(value) => {
                number_data_point::Value::AsInt(i64::try_from(value).unwrap_or(i64::MAX))
            }
            Number::Signed(value) => number_data_point::Value::AsInt(value),
            Number::Float(value) => number_data_point::Value::AsDouble(value),
        };
        Some(proto::NumberDataPoint {
            attributes: attributes(point),
            start_time_unix_nano: self.start,
            time_unix_nano: self.time,
            value: Some(value),
            ..proto::NumberDataPoint::default()
        })
    }

    fn histogram(&self, point: &Point) -> Option<proto::HistogramDataPoint> {
        let Value::Histogram(histogram) = &point.value else {
            return None;
        };
        let (durations, exemplars) = &**histogram;
        let sum = std::time::Duration::from_micros(durations.sum_us);
        Some(proto::HistogramDataPoint {
            attributes: attributes(point),
            start_time_unix_nano: self.start,
            time_unix_nano: self.time,
            count: durations.count(),
            sum: Some(sum.as_secs_f64()),
            bucket_counts: durations.buckets.to_vec(),
            explicit_bounds: BOUNDS.iter().map(|bound| bound.as_secs_f64()).collect(),
            exemplars: exemplars
                .iter()
                .flatten()
                .map(|e| self.exemplar(e))
                .collect(),
            ..proto::HistogramDataPoint::default()
        })
    }

    fn exemplar(&self, exemplar: &Exemplar) -> proto::Exemplar {
        let duration = exemplar.duration.as_secs_f64();
        proto::Exemplar {
            time_unix_nano: unix_nanos(self.anchor.date(exemplar.at)),
            trace_id: exemplar.trace_id.get().to_be_bytes().to_vec(),
            span_id: exemplar.span_id.get().to_be_bytes().to_vec(),
            value: Some(exemplar::Value::AsDouble(duration)),
            ..proto::Exemplar::default()
        }
    }
}

fn attributes(point: &Point) -> Vec<KeyValue> {
    let pairs = point.labels.iter();
    pairs.map(|(name, value)| attribute(name, value)).collect()
}

fn attribute(name: &str, value: &str) -> KeyValue {
    let key = if name == "listener" {
        "tracegate.listener"
    } else {
        name
    };
    // The conventions have a number there.
    let value = match value.parse() {
        Ok(status) if name == "http.response.status_code" => any_value::Value::IntValue(status),
        _ => any_value::Value::StringValue(value.to_owned()),
    };
    KeyValue {
        key: key.to_owned(),
        value: Some(AnyValue { value: Some(value) }),
        ..KeyValue::default()
    }
}
