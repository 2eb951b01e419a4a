//! `propagation.correlateBy`: fields that name one request and that a component may copy.

use std::sync::Arc;

use http::HeaderName;

use crate::config::reader::Field;
use crate::config::{Listener, values};
use crate::context::untrusted;
use crate::proxy::correlation::fields::MOST_FIELDS;
use crate::span::capture;
use crate::span::record::Direction;

/// Fields that end at a proxy or are written anew by it.
const NOT_PASSED: &[&str] = &[
    "connection",
    "forwarded",
    "host",
    "http2-settings",
    "keep-alive",
    "proxy-connection",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
    "via",
    "x-real-ip",
];

/// Beginnings of fields whose values many requests have.
const SHARED: &[&str] = &["accept", "cache-control", "content-", "date", "user-agent"];

/// An empty list is the default: nothing is joined.
pub(super) fn read(field: &Field<'_>) -> Arc<[HeaderName]> {
    let mut names: Vec<HeaderName> = Vec::new();
    let items = field.list();
    if items.len() > MOST_FIELDS {
        field.fault(format!("expected at most {MOST_FIELDS} headers"));
    }
    for item in items {
        let Some(name) = item.read(values::header_name) else {
            continue;
        };
        if let Some(why) = unfit(&name) {
            item.fault(format!("{name} joins no requests: {why}"));
        } else if names.contains(&name) {
            item.fault("this header stands here twice: case doesn't count");
        } else {
            names.push(name);
        }
    }
    names.into()
}

/// What is joined are requests of both directions.
pub(super) fn check(field: &Field<'_>, listeners: Option<&[Listener]>) {
    let some = |wanted| {
        let mut directions = listeners.into_iter().flatten().map(|l| l.proxy.direction);
        directions.any(|direction| direction == wanted)
    };
    let both = some(Direction::Ingress) && some(Direction::Egress);
    if listeners.is_some() && !both && !field.list().is_empty() {
        field.fault("needs a listener with direction: ingress and one with direction: egress");
    }
}

/// Why a field joins nothing, if it doesn't.
fn unfit(name: &HeaderName) -> Option<&'static str> {
    let text = name.as_str();
    let starts = |starts: &[&str]| starts.iter().any(|start| text.starts_with(start));
    if untrusted::is_context(text) {
        Some("it is trace context, which is stripped")
    } else if NOT_PASSED.contains(&text) || starts(&["x-forwarded-"]) {
        Some("it doesn't pass unchanged")
    } else if starts(SHARED) {
        Some("many requests have the same value")
    } else {
        capture::forbidden(name)
    }
}
