//! The resource: what all spans of this process have in common.

use opentelemetry::KeyValue;
use opentelemetry_sdk::Resource;

use crate::span::semconv::SCHEMA_URL;

/// Builds the resource: the configured attributes over the defaults the conventions ask for.
pub(super) fn build(configured: &[(String, String)]) -> Resource {
    let defaults = [
        KeyValue::new("service.name", "unknown_service:tracegate"),
        KeyValue::new("telemetry.sdk.name", "tracegate"),
        KeyValue::new("telemetry.sdk.language", "rust"),
        KeyValue::new("telemetry.sdk.version", env!("CARGO_PKG_VERSION")),
    ];
    let configured = configured
        .iter()
        .map(|(key, value)| KeyValue::new(key.clone(), value.clone()));
    Resource::builder_empty()
        .with_schema_url(defaults.into_iter().chain(configured), SCHEMA_URL)
        .build()
}

#[cfg(test)]
mod tests {
    use super::*;
    use opentelemetry::Key;

    fn value(resource: &Resource, key: &'static str) -> Option<String> {
        resource.get(&Key::from(key)).map(|value| value.to_string())
    }

    #[test]
    fn the_last_value_of_a_key_wins() {
        let pair = |key: &str, value: &str| (key.to_owned(), value.to_owned());
        let resource = build(&[
            pair("service.name", "a"),
            pair("k8s.cluster.name", "prod"),
            pair("service.name", "b"),
        ]);
        assert_eq!(value(&resource, "service.name").as_deref(), Some("b"));
        assert_eq!(
            value(&resource, "k8s.cluster.name").as_deref(),
            Some("prod")
        );
        assert_eq!(resource.schema_url(), Some(SCHEMA_URL));
    }

    #[test]
    fn a_service_without_a_name_says_so() {
        let name = value(&build(&[]), "service.name");
        assert_eq!(name.as_deref(), Some("unknown_service:tracegate"));
    }
}
