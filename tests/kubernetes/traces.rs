//! One request's trace: through an apiserver nobody configured, and through one that makes spans of
//! its own.

use http::Method;
use opentelemetry_proto::tonic::trace::v1::Span;

use super::assets::Assets;
use super::client::{Client, block_on, config_map};
use super::cluster::{Cluster, PATIENCE};
use super::commands::TOKEN;
use super::process::until;
use super::receiver::attribute;

const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";
const PARENT: &str = "b7ad6b7169203331";
const NAME: &str = "POST /api/v1/namespaces/{namespace}/configmaps";
const TXN: &str = "etcdserverpb.KV/Txn";
/// The apiserver's own name for it.
const OWN_NAME: &str = "POST /api/v1/namespaces/{:namespace}/configmaps";

const CLIENT: i32 = 3;
const SERVER: i32 = 2;

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Creates something as the holder of that certificate, or as the token's user, with a sampled
/// context; the audit id.
fn create(cluster: &Cluster, certificate: Option<&str>, thing: &str) -> String {
    let id = format!("create-{thing}");
    let context = format!("00-{TRACE}-{PARENT}-01");
    let bearer = format!("Bearer {TOKEN}");
    let mut fields = vec![
        ("traceparent", context.as_str()),
        ("content-type", "application/json"),
        ("audit-id", id.as_str()),
    ];
    if certificate.is_none() {
        fields.push(("authorization", &bearer));
    }
    let path = "/api/v1/namespaces/default/configmaps";
    let answer = block_on(async {
        let mut client = Client::connect(cluster, certificate).await;
        let body = config_map(thing, "1");
        client.send(Method::POST, path, &fields, body).await
    });
    assert_eq!(answer.status(), 201, "{thing}");
    // Once, and the one that was asked for.
    let audited: Vec<_> = answer.headers().get_all("audit-id").iter().collect();
    assert_eq!(audited, [id.as_str()]);
    id
}

/// The ingress's span of the request with that audit id.
fn ingress(cluster: &Cluster, id: &str) -> Span {
    let span = until("the ingress's span", PATIENCE, || {
        let spans = cluster.receiver.spans();
        spans.into_iter().find(|span| {
            let audited = attribute(&span.attributes, "audit-id");
            span.name == NAME && audited.as_deref() == Some(id)
        })
    });
    assert_eq!(span.kind, SERVER);
    span
}

/// The egress's span of a transaction in that trace, below that span if it is named. An apiserver
/// that makes spans has one of the same name; to it, the egress is etcd.
fn transaction(cluster: &Cluster, trace: &[u8], parent: Option<&[u8]>) -> Span {
    let etcd = cluster.etcd.port().to_string();
    until("the transaction's span", PATIENCE, || {
        let spans = cluster.receiver.spans();
        spans.into_iter().find(|span| {
            let below = parent.is_none_or(|parent| span.parent_span_id == parent);
            let port = attribute(&span.attributes, "server.port");
            let ours = span.kind == CLIENT && port.as_deref() == Some(&etcd);
            ours && span.name == TXN && span.trace_id == trace && below
        })
    })
}

fn linked(span: &Span) -> Vec<String> {
    span.links.iter().map(|link| hex(&link.trace_id)).collect()
}

#[test]
fn one_trace_runs_through_an_apiserver_that_nobody_configured() {
    let Some(assets) = Assets::find() else { return };
    let mut cluster = Cluster::start(&assets, "unconfigured", false);
    // A trusted caller's trace goes on, down to etcd.
    let id = create(&cluster, Some("admin"), "trusted");
    let server = ingress(&cluster, &id);
    assert_eq!(hex(&server.trace_id), TRACE);
    assert_eq!(hex(&server.parent_span_id), PARENT);
    transaction(&cluster, &server.trace_id, Some(&server.span_id));
    // Others' restart, and still are one trace down to etcd.
    for (certificate, thing) in [(Some("alice"), "by-certificate"), (None, "by-token")] {
        let id = create(&cluster, certificate, thing);
        let server = ingress(&cluster, &id);
        assert_ne!(hex(&server.trace_id), TRACE, "{thing}");
        assert!(server.parent_span_id.is_empty(), "{thing}");
        assert_eq!(linked(&server), [TRACE], "{thing}");
        transaction(&cluster, &server.trace_id, Some(&server.span_id));
        let event = cluster
            .audit
            .wait_for(&id, |event| event["auditID"] == id.as_str());
        assert_eq!(event["verb"], "create");
    }
    let with = |span: &Span| hex(&span.trace_id) == TRACE && span.kind == SERVER;
    let trusted = cluster
        .receiver
        .spans()
        .iter()
        .filter(|span| with(span))
        .count();
    assert_eq!(trusted, 1, "the trusted caller's alone");
    cluster.assert_runs();
}

/// The apiserver's own span of a request, below ours or linked to it.
fn own(cluster: &Cluster, id: &str, joined: impl Fn(&Span) -> bool) -> Span {
    let own = until(
        "the apiserver's span that is joined to ours",
        PATIENCE,
        || {
            let spans = cluster.receiver.spans();
            spans.into_iter().find(|span| joined(span))
        },
    );
    assert_eq!((own.name.as_str(), own.kind), (OWN_NAME, SERVER));
    let audited = attribute(&own.attributes, "audit-id");
    assert_eq!(audited.as_deref(), Some(id));
    own
}

/// The egress's span of a transaction stands below the apiserver's own of the same.
fn transaction_below_own(cluster: &Cluster, trace: &[u8]) {
    let egress = transaction(cluster, trace, None);
    let above = until("the apiserver's span of the transaction", PATIENCE, || {
        let spans = cluster.receiver.spans();
        spans
            .into_iter()
            .find(|span| span.span_id == egress.parent_span_id)
    });
    assert_eq!((above.name.as_str(), above.kind), (TXN, CLIENT));
    assert_eq!(above.trace_id, egress.trace_id);
}

/// Then the apiserver continues the traces of system:masters alone, and links the others'.
#[test]
fn spans_of_a_configured_apiserver_are_joined_to_ours() {
    let Some(assets) = Assets::find() else { return };
    let mut cluster = Cluster::start(&assets, "configured", true);
    let id = create(&cluster, Some("admin"), "trusted");
    let server = ingress(&cluster, &id);
    assert_eq!(hex(&server.trace_id), TRACE);
    own(&cluster, &id, |span| {
        span.parent_span_id == server.span_id && span.trace_id == server.trace_id
    });
    transaction_below_own(&cluster, &server.trace_id);

    for (certificate, thing) in [(Some("alice"), "by-certificate"), (None, "by-token")] {
        let id = create(&cluster, certificate, thing);
        let server = ingress(&cluster, &id);
        assert_eq!(linked(&server), [TRACE], "{thing}");
        let own = own(&cluster, &id, |span| {
            let mut links = span.links.iter();
            links.any(|link| link.trace_id == server.trace_id && link.span_id == server.span_id)
        });
        assert_ne!(own.trace_id, server.trace_id, "{thing}: a new root");
        assert!(own.parent_span_id.is_empty(), "{thing}: a new root");
        transaction_below_own(&cluster, &own.trace_id);
    }
    cluster.assert_runs();
}
