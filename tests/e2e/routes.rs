//! Names of spans by route, and what is captured of fields: from the configuration to the
//! collector, with every engine.

use std::time::{Duration, Instant};

use bytes::Bytes;
use http::{Method, Response};
use http_body_util::Full;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::trace::v1::Span;
use tonic::Request;

use super::background::within;
use super::caller::{self, Caller, Speaks as Http, block_on};
use super::component::{Component, PATIENCE, Seen};
use super::files::TempDir;
use super::grpc::service::{Client, Server};
use super::proxy::{self, Proxy};
use super::receiver::{Receiver, Speaks};
use super::span_view::View;
use super::wire::{self, Wire};

/// An API server, as far as these tests see it: it answers with the audit id it was given, or
/// with its own.
fn api_server() -> Component {
    Component::answering(|seen: &Seen| {
        let id = seen.value("audit-id").unwrap_or("made-here".to_owned());
        Response::builder()
            .header("audit-id", id)
            .header("x-answer", "a")
            .header("x-answer", "b, c")
            .header("set-cookie", "s3cret")
            .body(Full::new(Bytes::new()))
            .expect("an answer")
    })
}

/// A list attribute's values; `None` if there is no such attribute.
fn list(span: &Span, key: &str) -> Option<Vec<String>> {
    let pair = span.attributes.iter().find(|pair| pair.key == key)?;
    let Some(Value::ArrayValue(array)) = pair.value.as_ref()?.value.as_ref() else {
        panic!("{key} is no list: {pair:?}");
    };
    let text = |value: &Option<Value>| match value {
        Some(Value::StringValue(text)) => text.clone(),
        other => panic!("{key} holds {other:?}"),
    };
    Some(
        array
            .values
            .iter()
            .map(|value| text(&value.value))
            .collect(),
    )
}

const OF_THE_API: &str = "  span:
    templates: {kubernetes: true, customResources: [crontabs.stable.example.com], patterns: [\"/hooks/{name}\"]}
    capture: {requestHeaders: [X-Tenant], responseHeaders: [X-Answer]}
";

#[test]
fn requests_to_the_kubernetes_api_are_named_by_template() {
    for speaks in Http::BOTH {
        let (component, receiver) = (api_server(), Receiver::start(Speaks::Grpc));
        let yaml = proxy::ingress(&component.url(), receiver.endpoint(), OF_THE_API);
        let proxy = Proxy::start(&yaml);
        #[rustfmt::skip]
        let rows = [
            ("GET", "/api/v1/namespaces/shop/pods/cart-1?pretty=true", "GET /api/v1/namespaces/{namespace}/pods/{name}", "get"),
            ("GET", "/api/v1/namespaces/shop/pods?watch=1", "GET /api/v1/namespaces/{namespace}/pods", "watch"),
            ("DELETE", "/api/v1/namespaces/shop/pods", "DELETE /api/v1/namespaces/{namespace}/pods", "deletecollection"),
            ("POST", "/apis/stable.example.com/v1/namespaces/shop/crontabs", "POST /apis/stable.example.com/{version}/namespaces/{namespace}/crontabs", "create"),
            ("PATCH", "/apis/minted.example/v1/namespaces/shop/minted/x", "PATCH /apis/{group}/{version}/namespaces/{namespace}/{resource}/{name}", "patch"),
            ("GET", "/readyz/etcd", "GET /readyz/{check}", "get"),
            ("PUT", "/hooks/push", "PUT /hooks/{name}", ""),
            ("GET", "/minted/by/a/caller", "GET", ""),
        ];
        block_on(async {
            let mut caller = Caller::tcp(proxy.at(0), speaks).await;
            for (method, path, ..) in rows {
                let method = Method::from_bytes(method.as_bytes()).expect("a method");
                let request = caller.request(method, path);
                let request = request.body(caller::empty()).expect("a request");
                assert_eq!(caller.exchange(request).await.status, 200);
            }
        });
        let mut spans = proxy.spans(&receiver, rows.len());
        spans.sort_by_key(|span| span.start_time_unix_nano);
        for ((method, path, name, verb), span) in rows.into_iter().zip(spans) {
            assert_eq!(span.name, name, "{speaks:?} {path}");
            let view = View(span);
            let route = name.strip_prefix(method).expect("it begins with it");
            assert_eq!(view.text("http.route"), route.trim_start(), "{path}");
            assert_eq!(view.text("k8s.api.verb"), verb, "{path}");
            let namespaced = path.contains("/namespaces/");
            let namespace = if namespaced { "shop" } else { "" };
            assert_eq!(view.text("k8s.namespace.name"), namespace, "{path}");
            assert_eq!(view.text("audit-id"), "made-here", "{path}");
        }
    }
}

#[test]
fn listed_fields_are_captured_from_both_sides_and_no_others() {
    for speaks in Http::BOTH {
        let (component, receiver) = (api_server(), Receiver::start(Speaks::Grpc));
        let yaml = proxy::ingress(&component.url(), receiver.endpoint(), OF_THE_API);
        let proxy = Proxy::start(&yaml);
        let long = format!("{}\u{e4}", "x".repeat(255));
        block_on(async {
            let mut caller = Caller::tcp(proxy.at(0), speaks).await;
            let request = caller
                .request(Method::GET, "/api/v1/pods")
                .header("x-tenant", "one")
                .header("X-TENANT", "two, three")
                .header("x-tenant", long.as_bytes())
                .header("x-other", "unlisted")
                .header("authorization", "Bearer s3cret")
                .header("audit-id", "0123456789".repeat(9));
            let request = request.body(caller::empty()).expect("a request");
            assert_eq!(caller.exchange(request).await.status, 200);
        });
        let span = proxy.spans(&receiver, 1).remove(0);
        let tenant = ["one", "two, three", &"x".repeat(255)].map(str::to_owned);
        assert_eq!(
            list(&span, "http.request.header.x-tenant").as_deref(),
            Some(&tenant[..]),
            "{speaks:?}"
        );
        let answer = ["a", "b, c"].map(str::to_owned);
        assert_eq!(
            list(&span, "http.response.header.x-answer").as_deref(),
            Some(&answer[..]),
            "{speaks:?}"
        );
        let all = format!("{span:?}");
        for unlisted in ["s3cret", "unlisted", "Bearer"] {
            assert!(!all.contains(unlisted), "{unlisted} in {all}");
        }
        let id = View(span).text("audit-id");
        assert_eq!(id, "0123456789".repeat(9)[..64], "{speaks:?}");
    }
}

#[test]
fn without_its_keys_nothing_of_it_is_on_a_span() {
    let (component, receiver) = (api_server(), Receiver::start(Speaks::Grpc));
    let yaml = proxy::ingress(&component.url(), receiver.endpoint(), "");
    let proxy = Proxy::start(&yaml);
    let request = "GET /api/v1/pods HTTP/1.1\r\nHost: a\r\nX-Tenant: one\r\nAudit-ID: a\r\n\r\n";
    let (head, _) = Wire::connect(proxy.at(0)).ask(request);
    assert_eq!(wire::status(&head), 200);
    let span = proxy.spans(&receiver, 1).remove(0);
    assert_eq!(span.name, "GET");
    let keys = span.attributes.iter().map(|pair| pair.key.as_str());
    for key in keys {
        let start = [
            "http.route",
            "k8s.",
            "audit-id",
            "http.request.header",
            "http.response.header",
        ];
        assert!(!start.iter().any(|start| key.starts_with(start)), "{key}");
    }
}

#[test]
fn a_client_span_has_a_template_of_its_url() {
    let (component, receiver) = (Component::start(), Receiver::start(Speaks::Grpc));
    let more = "  span: {templates: {patterns: [\"/users/{id}\", /users/me, /static/*]}}\n";
    let proxy = Proxy::start(&proxy::egress(&component.url(), receiver.endpoint(), more));
    let mut wire = Wire::connect(proxy.at(0));
    let rows = [
        ("/users/7?token=s3cret", "GET /users/{id}", "/users/{id}"),
        ("/users/me", "GET /users/me", "/users/me"),
        ("/static/a/b", "GET /static/*", "/static/*"),
        ("/users/7/x", "GET", ""),
    ];
    for (path, ..) in rows {
        let (head, _) = wire.ask(format!("GET {path} HTTP/1.1\r\nHost: h\r\n\r\n"));
        assert_eq!(wire::status(&head), 200);
    }
    let mut spans = proxy.spans(&receiver, rows.len());
    spans.sort_by_key(|span| span.start_time_unix_nano);
    for ((path, name, template), span) in rows.into_iter().zip(spans) {
        assert_eq!(span.name, name, "{path}");
        let view = View(span);
        assert_eq!(view.text("url.template"), template, "{path}");
        assert_eq!(view.get("http.route"), None, "{path}");
        assert!(!view.text("url.full").contains("s3cret"), "{path}");
    }
}

#[tokio::test]
async fn metadata_of_a_call_is_captured_from_its_fields_and_its_trailers() {
    let (server, receiver) = (Server::start(), Receiver::start(Speaks::Grpc));
    let more = "  span: {knownRpcMethods: [test.Echo/Fail, test.Echo/FailLate], \
                capture: {requestHeaders: [x-tenant], responseHeaders: [detail-bin]}}\n";
    let proxy = Proxy::start(&proxy::ingress(&server.url(), receiver.endpoint(), more));
    let mut client = Client::connect(proxy.at(0)).await;
    let mut request = Request::new(Bytes::from("5"));
    let metadata = request.metadata_mut();
    metadata.insert("x-tenant", "shop".parse().expect("metadata"));
    let early = client.unary("/test.Echo/Fail", request).await;
    assert!(early.is_err());
    let late = client.server_stream("/test.Echo/FailLate", "5").await;
    let mut late = late.expect("a stream").into_inner();
    while let Ok(Some(_)) = within(late.message()).await {}
    drop((client, late));
    let spans = tokio::task::spawn_blocking(move || proxy.spans(&receiver, 2));
    let mut spans = within(spans).await.expect("no panic");
    spans.sort_by_key(|span| span.start_time_unix_nano);
    let detail = vec!["AP8H".to_owned()];
    for (span, tenant) in spans.iter().zip([Some(vec!["shop".to_owned()]), None]) {
        assert_eq!(list(span, "rpc.request.metadata.x-tenant"), tenant);
        let seen = list(span, "rpc.response.metadata.detail-bin");
        assert_eq!(seen.as_ref(), Some(&detail), "{}", span.name);
    }
}

/// Replaces a file as a ConfigMap would: at once.
fn replace(directory: &TempDir, name: &str, text: &str) {
    let next = directory.file("next", text);
    std::fs::rename(next, directory.join(name)).expect("a file");
}

#[test]
fn a_changed_openapi_document_renames_and_a_broken_one_changes_nothing() {
    let (component, receiver) = (Component::start(), Receiver::start(Speaks::Grpc));
    let directory = TempDir::new();
    let document = |path: &str| format!("openapi: 3.0.0\npaths: {{\"{path}\": {{get: {{}}}}}}\n");
    directory.file("api.yaml", document("/a/{old}"));
    let more = "  span: {templates: {openapi: api.yaml}}\n";
    let yaml = proxy::ingress(&component.url(), receiver.endpoint(), more);
    let path = directory.file("tracegate.yaml", proxy::document(&yaml));
    let proxy = Proxy::start_file(path, &yaml);
    let mut wire = Wire::connect(proxy.at(0));
    // Nothing tells a caller that a reload has reached every worker: ask until it shows.
    let mut until = |name: &str| {
        let end = Instant::now() + PATIENCE;
        loop {
            let (head, _) = wire.ask("GET /a/1 HTTP/1.1\r\nHost: h\r\n\r\n");
            assert_eq!(wire::status(&head), 200);
            let spans = receiver.spans();
            if spans.iter().any(|span| span.name == name) {
                return spans;
            }
            assert!(Instant::now() < end, "{name} never came");
            std::thread::sleep(Duration::from_millis(50));
        }
    };
    let spans = until("GET /a/{old}");
    assert!(spans.iter().all(|span| span.name == "GET /a/{old}"));
    replace(&directory, "api.yaml", "openapi: 3.0.0\npaths: [broken]\n");
    std::thread::sleep(Duration::from_millis(1500));
    replace(&directory, "api.yaml", &document("/a/{new}"));
    let spans = until("GET /a/{new}");
    let named = |span: &Span| ["GET /a/{old}", "GET /a/{new}"].contains(&span.name.as_str());
    assert!(spans.iter().all(named), "never without a name: {spans:#?}");
}
