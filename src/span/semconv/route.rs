//! What a path and captured fields add to a span: its route, what it asks of the Kubernetes API,
//! values of header fields.
//!
//! The conventions have no names for requests to the Kubernetes API but `k8s.namespace.name`; the
//! others are `k8s.api.verb`, `k8s.api.group`, `k8s.api.version`, `k8s.api.resource` and
//! `k8s.api.subresource`. `audit-id` is the name the API server itself uses on its spans.

use opentelemetry::{Array, Key, KeyValue, StringValue, Value};

use super::Attributes;
use crate::span::capture::{Captured, Side};
use crate::span::record::{Direction, Record};
use crate::span::routes::kubernetes::Request;

/// Looks the path up and adds what is found; the route, if there is one.
pub(super) fn describe(record: &Record, attributes: &mut Attributes) -> Option<String> {
    let query = record.query.as_deref();
    let found = record.routes.find(&record.method, &record.path, query);
    let key = match record.direction {
        Direction::Ingress => "http.route",
        Direction::Egress => "url.template",
    };
    attributes.put_some(key, found.route.clone());
    if let Some(request) = found.kubernetes {
        kubernetes(request, attributes);
    }
    let audit_id = record.audit_id.as_deref().map(str::to_owned);
    attributes.put_some("audit-id", audit_id);
    found.route
}

fn kubernetes(request: Request, attributes: &mut Attributes) {
    attributes.put_some("k8s.api.verb", request.verb);
    if let Some(resource) = request.resource {
        attributes.put_some("k8s.api.group", resource.group);
        attributes.put("k8s.api.version", resource.version);
        attributes.put("k8s.api.resource", resource.resource);
        attributes.put_some("k8s.api.subresource", resource.subresource);
        attributes.put_some("k8s.namespace.name", resource.namespace);
    }
}

/// Adds captured fields: as header fields, or as metadata on spans of RPCs.
pub(super) fn captured(record: &Record, attributes: &mut Attributes) {
    for Captured { side, name, values } in &record.captured {
        let start = match (record.grpc, side) {
            (false, Side::Request) => "http.request.header",
            (false, Side::Response) => "http.response.header",
            (true, Side::Request) => "rpc.request.metadata",
            (true, Side::Response) => "rpc.response.metadata",
        };
        let key = Key::from(format!("{start}.{name}"));
        let values = values
            .iter()
            .map(|value| StringValue::from(value.to_string()));
        let value = Value::Array(Array::String(values.collect()));
        attributes.0.push(KeyValue::new(key, value));
    }
}
