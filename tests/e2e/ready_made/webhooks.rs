//! `config/webhooks.yaml` between an apiserver's admission calls and two webhooks.

use http::{Method, Request, Response, Version};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use serde_json::{Value, json};

use super::start;
use crate::caller::{Answer, Body, Caller, block_on, full};
use crate::files::Authority;
use crate::server::Handshake;
use crate::tls::upstream::Secured;
use crate::tls::{Hello, shake};

/// Answers an AdmissionReview as a webhook does, with what it has seen as its message.
async fn review(request: Request<Incoming>) -> Response<Body> {
    let (head, body) = request.into_parts();
    let shaken = head.extensions.get::<Handshake>().cloned();
    let field = |name: &str| head.headers.get(name).and_then(|value| value.to_str().ok());
    let seen = json!({
        "method": head.method.as_str(),
        "target": head.uri.to_string(),
        "http1": head.version == Version::HTTP_11,
        "host": field("host"),
        "accept": field("accept"),
        "type": field("content-type"),
        "context": (["traceparent", "tracestate", "baggage"].map(field)),
        "certificates": shaken.unwrap_or_default().certificates,
    });
    let body = body.collect().await.expect("a whole body").to_bytes();
    let asked: Value = serde_json::from_slice(&body).expect("JSON");
    let answer = json!({
        "apiVersion": asked["apiVersion"],
        "kind": asked["kind"],
        "response": {
            "uid": asked["request"]["uid"],
            "allowed": true,
            "status": {"message": seen.to_string()},
        },
    });
    let response = Response::builder().header("content-type", "application/json");
    response.body(full(answer.to_string())).expect("a response")
}

/// One call as kube-apiserver makes it.
async fn call(caller: &mut Caller, host: &str, uid: &str) -> Answer {
    let review = json!({
        "kind": "AdmissionReview",
        "apiVersion": "admission.k8s.io/v1",
        "request": {
            "uid": uid,
            "kind": {"group": "", "version": "v1", "kind": "Pod"},
            "resource": {"group": "", "version": "v1", "resource": "pods"},
            "namespace": "default",
            "operation": "CREATE",
            "userInfo": {"username": "alice", "groups": ["system:authenticated"]},
            "object": {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "p"}},
            "oldObject": null,
            "dryRun": false,
            "options": {"kind": "CreateOptions", "apiVersion": "meta.k8s.io/v1"},
        },
    });
    let request = Request::builder()
        .method(Method::POST)
        .uri("/validate?timeout=10s")
        .header("Host", format!("{host}:8444"))
        .header("User-Agent", "kube-apiserver-admission")
        .header("Accept", "application/json, */*")
        .header("Content-Type", "application/json")
        .header(
            "Traceparent",
            "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
        )
        .header("Tracestate", "a=1")
        .header("Baggage", "k=v")
        .header("Accept-Encoding", "gzip")
        .body(full(review.to_string()));
    caller.exchange(request.expect("a request")).await
}

#[test]
fn webhooks_are_called_without_context_each_by_its_route_and_certificate() {
    let (authority, clients) = (Authority::new(), Authority::new());
    let policy = Secured::serving(&["http/1.1"], None, review);
    let quota = Secured::serving(&["http/1.1"], Some(&clients), review);
    let names = ["policy.webhooks.svc", "quota.webhooks.svc"];
    let own = authority.issue(&names).write(&policy.directory, "webhook");
    let client = clients.issue(&["client"]);
    let client = client.write(&policy.directory, "client");
    let url = |secured: &Secured| format!("url: https://127.0.0.1:{}", secured.server.port());
    let trusted = |secured: &Secured| {
        let root = secured.directory.path().display();
        format!("caFile: {root}/ca.pem, serverName: component.example")
    };
    let usual = format!("{}\n    tls: {{{}}}", url(&policy), trusted(&policy));
    let routed = format!(
        "tls: {{{}, certFile: {}, keyFile: {}}}\n",
        trusted(&quota),
        client.0.display(),
        client.1.display()
    );
    let presented = "tls:                             # presented to this webhook and to no other
        certFile: /etc/tracegate/webhook-client.crt
        keyFile: /etc/tracegate/webhook-client.key
";
    let proxy = start(
        "webhooks.yaml",
        &[
            ("127.0.0.1:9904", "127.0.0.1:0"),
            ("127.0.0.1:8444", "127.0.0.1:0"),
            ("/etc/tracegate/webhook.crt", &own.0.display().to_string()),
            ("/etc/tracegate/webhook.key", &own.1.display().to_string()),
            ("url: https://policy.example.org", &usual),
            ("url: https://quota.example.org", &url(&quota)),
            (presented, &routed),
        ],
    );
    for (host, webhook, own, certificates) in [
        ("policy.webhooks.svc", &policy, "policy.example.org", 0),
        ("quota.webhooks.svc", &quota, "quota.example.org", 1),
    ] {
        block_on(async {
            let hello = Hello {
                name: host,
                alpn: &["http/1.1"],
                ..Hello::USUAL
            };
            let settled = shake(proxy.at(0), &authority, hello).await;
            let mut caller = settled.expect("a handshake").caller;
            // The apiserver keeps its connections, and so does tracegate.
            for uid in ["1", "2", "3"] {
                let answer = call(&mut caller, host, uid).await;
                assert_eq!(answer.status, 200, "{host}: {}", answer.text());
                let answer: Value = serde_json::from_str(&answer.text()).expect("JSON");
                assert_eq!(answer["kind"], "AdmissionReview");
                assert_eq!(answer["response"]["uid"], uid, "the body came whole");
                let seen = answer["response"]["status"]["message"].as_str();
                let seen: Value = serde_json::from_str(seen.expect("text")).expect("JSON");
                let expected = json!({
                    "method": "POST",
                    "target": "/validate?timeout=10s",
                    "http1": true,
                    "host": own,
                    "accept": "application/json, */*",
                    "type": "application/json",
                    "context": [null, null, null],
                    "certificates": certificates,
                });
                assert_eq!(seen, expected, "{host}");
            }
        });
        assert_eq!(webhook.server.connections(), 1, "{host}: it is reused");
    }
}
