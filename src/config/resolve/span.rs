//! `span`: what is seen of a request beyond what the conventions ask for.

use std::sync::Arc;

use http::HeaderName;

use crate::config::reader::{Field, Map};
use crate::config::{openapi, values};
use crate::proxy::settings::Identity;
use crate::span::capture::{self, Capture, MAX_FIELDS};
use crate::span::routes::kubernetes::Kubernetes;
use crate::span::routes::pattern::Pattern;
use crate::span::routes::patterns::{MAX_PATTERNS, Methods, Patterns, Refused};
use crate::span::routes::{Routes, Source};

/// The most custom resources of one listener.
const MOST_RESOURCES: usize = 1000;

/// What was read.
pub(super) struct Span {
    pub known_rpc_methods: Arc<[String]>,
    pub capture: Arc<Capture>,
    pub routes: Arc<Routes>,
}

/// `identity` is how this listener tells its upstream who asks.
pub(super) fn read(map: &Map<'_>, identity: Option<&Identity>) -> Span {
    let capture = map.get("capture").map_or_empty();
    let methods = map.get("knownRpcMethods").list();
    let methods = methods.iter().filter_map(|m| m.read(values::rpc_method));
    Span {
        known_rpc_methods: methods.collect(),
        capture: Arc::new(Capture {
            request: headers(&capture.get("requestHeaders"), identity),
            response: headers(&capture.get("responseHeaders"), identity),
        }),
        routes: Arc::new(templates(&map.get("templates").map_or_empty())),
    }
}

fn headers(field: &Field<'_>, identity: Option<&Identity>) -> Vec<HeaderName> {
    let mut names: Vec<HeaderName> = Vec::new();
    let items = field.list();
    if items.len() > MAX_FIELDS {
        field.fault(format!("expected at most {MAX_FIELDS} headers"));
    }
    for item in items {
        let Some(name) = item.read(values::header_name) else {
            continue;
        };
        let claims = identity.is_some_and(|identity| identity.claims(name.as_str()));
        let claims = claims.then_some("it says who asks, by identity.requestHeader");
        if let Some(why) = capture::forbidden(&name).or(claims) {
            item.fault(format!("{name} is never captured: {why}"));
        } else if names.contains(&name) {
            item.fault("this header stands here twice: case doesn't count");
        } else {
            names.push(name);
        }
    }
    names
}

fn templates(map: &Map<'_>) -> Routes {
    let kubernetes = map.get("kubernetes").boolean() == Some(true);
    let resources_field = map.get("customResources");
    let resources = resources_field.list();
    if !resources.is_empty() && !kubernetes {
        resources_field.fault("expected kubernetes: true beside it");
    }
    if resources.len() > MOST_RESOURCES {
        resources_field.fault(format!("expected at most {MOST_RESOURCES} resources"));
    }
    let custom_resources: Vec<_> = resources
        .iter()
        .filter_map(|item| item.read(custom_resource))
        .collect();
    let pairs = custom_resources
        .iter()
        .filter_map(|name| name.split_once('.'))
        .map(|(resource, group)| (group, resource));
    let kubernetes = kubernetes.then(|| Kubernetes::new(pairs));

    let mut patterns = Patterns::default();
    let written = written(&map.get("patterns"), &mut patterns);
    let openapi_field = map.get("openapi");
    let openapi = openapi_field
        .is_present()
        .then(|| openapi::read(&openapi_field, &written, &mut patterns));
    Routes {
        kubernetes,
        patterns,
        source: Source {
            custom_resources,
            patterns: written,
            openapi: openapi.flatten(),
        },
    }
}

/// `plural.group`, as CustomResourceDefinitions are named.
fn custom_resource(text: &str) -> values::Expected<String> {
    let label = |label: &str| {
        let allowed = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
        (1..=63).contains(&label.len()) && label.bytes().all(allowed)
    };
    let fine = text.len() <= 253 && text.split('.').count() >= 2 && text.split('.').all(label);
    fine.then(|| text.to_owned())
        .ok_or_else(|| "a custom resource like crontabs.stable.example.com".to_owned())
}

fn written(field: &Field<'_>, patterns: &mut Patterns) -> Vec<String> {
    let items = field.list();
    if items.len() > MAX_PATTERNS {
        field.fault(format!("expected at most {MAX_PATTERNS} patterns"));
        return Vec::new();
    }
    let mut written = Vec::new();
    for item in items {
        let Some(pattern) = item.read(Pattern::parse) else {
            continue;
        };
        match patterns.insert(&pattern, Methods::Any) {
            Ok(()) => written.push(pattern.text.into_string()),
            Err(Refused::Taken(other)) => {
                item.fault(format!("matches the same paths as {other:?}"));
            }
            // Counted above.
            Err(Refused::Full) => {}
        }
    }
    written
}
