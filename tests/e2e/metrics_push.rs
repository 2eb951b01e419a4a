//! Metrics by OTLP, to a real collector.

use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::metrics::v1::{HistogramDataPoint, Metric, metric::Data};

use super::component::Component;
use super::metrics;
use super::proxy::{self, Proxy};
use super::receiver::{Behaviour, Receiver, Speaks, attribute};
use super::wire;

const OFTEN: (&str, &str) = ("OTEL_METRIC_EXPORT_INTERVAL", "20");
const TOP: &str = "metrics: {otlp: true}\nhealth: {bind: \"127.0.0.1:0\"}";

fn get(proxy: &Proxy) {
    let request = "GET / HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n";
    let answer = wire::exchange(proxy.at(0), request);
    assert_eq!(wire::status(&answer), 200);
}

fn all(request: &ExportMetricsServiceRequest) -> impl Iterator<Item = &Metric> {
    let resources = request.resource_metrics.iter();
    resources
        .flat_map(|r| &r.scope_metrics)
        .flat_map(|s| &s.metrics)
}

/// Points of the durations of requests.
fn durations(request: &ExportMetricsServiceRequest) -> Vec<&HistogramDataPoint> {
    let named = all(request).filter(|m| m.name == "http.server.request.duration");
    named
        .filter_map(|metric| match &metric.data {
            Some(Data::Histogram(histogram)) => Some(&histogram.data_points),
            _ => None,
        })
        .flatten()
        .collect()
}

fn counted(request: &ExportMetricsServiceRequest) -> u64 {
    durations(request).iter().map(|point| point.count).sum()
}

#[test]
fn requests_are_counted_at_the_collector_under_the_services_resource() {
    let (component, receiver) = (Component::start(), Receiver::start(Speaks::Grpc));
    let yaml = proxy::ingress(&component.url(), receiver.endpoint(), "");
    let proxy = Proxy::start_in(&[OFTEN], &proxy::with_top(&yaml, TOP));
    get(&proxy);
    get(&proxy);
    let request = receiver.wait_for_metrics(|request| counted(request) == 2);
    let resource = request.resource_metrics[0]
        .resource
        .as_ref()
        .expect("a resource");
    assert_eq!(
        attribute(&resource.attributes, "service.name").as_deref(),
        Some("test")
    );
    let points = durations(&request);
    let label = |key: &str| attribute(&points[0].attributes, key);
    for (key, value) in [
        ("http.request.method", "GET"),
        ("http.response.status_code", "200"),
        ("url.scheme", "http"),
        ("network.protocol.version", "1.1"),
        ("tracegate.listener", "ingress"),
    ] {
        assert_eq!(label(key).as_deref(), Some(value), "{key}");
    }
    // Cumulative: the next export says the same again, from the same start.
    get(&proxy);
    let later = receiver.wait_for_metrics(|request| counted(request) == 3);
    let starts = [&request, &later].map(|r| durations(r)[0].start_time_unix_nano);
    assert_eq!(starts[0], starts[1]);
    let spans = proxy.spans(&receiver, 3);
    let exemplar = &durations(&later)[0].exemplars[0];
    assert!(spans.iter().any(|span| span.trace_id == exemplar.trace_id));
}

#[test]
fn over_http_metrics_go_to_their_own_path() {
    let (component, receiver) = (Component::start(), Receiver::start(Speaks::Http));
    let yaml = proxy::ingress(&component.url(), receiver.endpoint(), "");
    let yaml = yaml.replacen(
        "export: {",
        "export: {protocol: http/protobuf, compression: gzip, ",
        1,
    );
    let proxy = Proxy::start_in(&[OFTEN], &proxy::with_top(&yaml, TOP));
    get(&proxy);
    receiver.wait_for_metrics(|request| counted(request) == 1);
    proxy.stop();
    let calls = receiver.calls();
    let pushes = calls.iter().filter(|call| call.path == "/v1/metrics");
    assert!(pushes.clone().count() > 0);
    for call in pushes {
        assert_eq!(call.headers["content-encoding"], "gzip");
    }
    assert!(
        calls.iter().any(|call| call.path == "/v1/traces"),
        "spans go on"
    );
}

#[test]
fn metrics_may_have_a_collector_of_their_own() {
    let component = Component::start();
    let (spans, metrics) = (Receiver::start(Speaks::Grpc), Receiver::start(Speaks::Grpc));
    let yaml = proxy::ingress(&component.url(), spans.endpoint(), "");
    let own = ("OTEL_EXPORTER_OTLP_METRICS_ENDPOINT", metrics.endpoint());
    let proxy = Proxy::start_in(&[OFTEN, own], &proxy::with_top(&yaml, TOP));
    get(&proxy);
    metrics.wait_for_metrics(|request| counted(request) == 1);
    proxy.spans(&spans, 1);
    let trace = |call: &super::receiver::Call| call.path.contains("TraceService");
    assert!(spans.calls().iter().all(trace));
    assert!(!metrics.calls().iter().any(trace));
}

#[test]
fn the_last_counts_leave_when_the_proxy_stops() {
    let (component, receiver) = (Component::start(), Receiver::start(Speaks::Grpc));
    let yaml = proxy::ingress(&component.url(), receiver.endpoint(), "");
    let proxy = Proxy::start(&proxy::with_top(&yaml, TOP));
    get(&proxy);
    proxy.stop();
    receiver.wait_for_metrics(|request| counted(request) == 1);
}

#[test]
fn a_collector_that_refuses_costs_no_request_and_is_counted() {
    let (component, receiver) = (Component::start(), Receiver::start(Speaks::Grpc));
    receiver.behave(Behaviour::Code(tonic::Code::InvalidArgument));
    let yaml = proxy::ingress(&component.url(), receiver.endpoint(), "");
    let proxy = Proxy::start_in(&[OFTEN], &proxy::with_top(&yaml, TOP));
    get(&proxy);
    let sink = format!("otlp/grpc {}", receiver.endpoint());
    let failing = ("sink", &*sink);
    metrics::wait_for(
        proxy.health(),
        "tracegate_metrics_export_failing",
        &[failing],
        1,
    );
    let rejected = [failing, ("reason", "rejected")];
    let scrape = metrics::Scrape::of(proxy.health());
    assert!(scrape.get("tracegate_metric_points_dropped_total", &rejected) > 0);
    let lost: u64 = ["queue_full", "export_failed"]
        .map(|reason| {
            scrape.get(
                "tracegate_metric_points_dropped_total",
                &[failing, ("reason", reason)],
            )
        })
        .iter()
        .sum();
    assert_eq!(lost, 0);
    receiver.behave(Behaviour::Accept);
    metrics::wait_for(
        proxy.health(),
        "tracegate_metrics_export_failing",
        &[failing],
        0,
    );
    get(&proxy);
}

#[test]
fn without_the_key_no_metric_leaves() {
    let (component, receiver) = (Component::start(), Receiver::start(Speaks::Grpc));
    let yaml = proxy::ingress(&component.url(), receiver.endpoint(), "");
    let proxy = Proxy::start_in(&[OFTEN], &yaml);
    get(&proxy);
    proxy.spans(&receiver, 1);
    assert!(
        receiver
            .calls()
            .iter()
            .all(|call| call.path.contains("TraceService"))
    );
}
