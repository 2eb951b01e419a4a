//! The conventions' metrics of real requests: names, labels, exemplars.

use super::background::within;
use super::component::Component;
use super::grpc::service::{Client, Server};
use super::metrics::{self, Scrape};
use super::proxy::{self, Proxy};
use super::receiver::{Receiver, Speaks};
use super::wire;

const HEALTH: &str = "health: {bind: \"127.0.0.1:0\"}";

fn get(proxy: &Proxy, path: &str) {
    let request = format!("GET {path} HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n");
    wire::exchange(proxy.at(0), &request);
}

#[test]
fn a_recorded_request_is_the_exemplar_of_its_bucket() {
    let (component, receiver) = (Component::start(), Receiver::start(Speaks::Grpc));
    let yaml = proxy::ingress(&component.url(), receiver.endpoint(), "");
    let proxy = Proxy::start(&proxy::with_top(&yaml, HEALTH));
    get(&proxy, "/");
    metrics::wait_for(proxy.health(), "tracegate_spans_recorded_total", &[], 1);
    let traces = Scrape::open(proxy.health()).exemplar_traces();
    let spans = proxy.spans(&receiver, 1);
    let hex: String = spans[0]
        .trace_id
        .iter()
        .map(|b| format!("{b:02x}"))
        .collect();
    assert_eq!(traces, [hex]);
}

#[test]
fn requests_that_fail_on_the_way_out_are_the_clients_errors() {
    let yaml = proxy::egress("http://127.0.0.1:1", "http://127.0.0.1:1", "");
    let proxy = Proxy::start(&proxy::with_top(&yaml, HEALTH));
    get(&proxy, "/");
    let labels = [
        ("listener", "egress"),
        ("http_request_method", "GET"),
        ("url_scheme", "http"),
        ("network_protocol_version", "1.1"),
        ("http_response_status_code", "503"),
        ("error_type", "connect_error"),
    ];
    let name = "http_client_request_duration_seconds_count";
    metrics::wait_for(proxy.health(), name, &labels, 1);
}

#[tokio::test]
async fn grpc_calls_are_counted_by_method_and_status() {
    let server = Server::start();
    let known = "  span: {knownRpcMethods: [test.Echo/Unary]}\n";
    let yaml = proxy::quiet(&format!("{{url: \"{}\"}}", server.url()), known);
    let proxy = Proxy::start(&proxy::with_top(&yaml, HEALTH));
    let mut client = Client::connect(proxy.at(0)).await;
    for path in ["/test.Echo/Unary", "/test.Echo/Fail"] {
        let request = tonic::Request::new(bytes::Bytes::from("one"));
        let _ = client.unary(path, request).await;
    }
    drop(client);
    let health = proxy.health();
    let labels = |method, code| {
        let error = matches!(code, "INTERNAL" | "UNKNOWN").then_some(("error_type", code));
        let labels = [
            ("listener", "quiet"),
            ("rpc_system_name", "grpc"),
            ("rpc_method", method),
            ("rpc_response_status_code", code),
        ];
        labels.into_iter().chain(error).collect::<Vec<_>>()
    };
    let name = "rpc_server_call_duration_seconds_count";
    let scraped = tokio::task::spawn_blocking(move || {
        metrics::wait_for(health, name, &labels("test.Echo/Unary", "OK"), 1);
        let scrape = metrics::Scrape::of(health);
        let unknown = scrape.matching(name, "rpc_method", "_OTHER");
        assert_eq!(unknown, 1, "a method nobody configured");
        let http = scrape.matching(
            "http_server_request_duration_seconds_count",
            "listener",
            "quiet",
        );
        assert_eq!(http, 0, "a call isn't counted again as a request");
    });
    within(scraped).await.expect("scraped");
    tokio::task::spawn_blocking(move || drop(proxy))
        .await
        .expect("stopped");
}
