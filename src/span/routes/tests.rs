use super::pattern::Pattern;
use super::patterns::Methods;
use super::*;

#[test]
fn a_pattern_beats_the_templates_of_the_api_and_leaves_what_they_say() {
    let mut patterns = Patterns::default();
    for text in [
        "/apis/shop.example/v1/namespaces/{namespace}/carts/{cart}",
        "/hook",
    ] {
        let pattern = Pattern::parse(text).unwrap();
        patterns.insert(&pattern, Methods::Any).unwrap();
    }
    let routes = Routes {
        kubernetes: Some(Kubernetes::default()),
        patterns,
        source: Source::default(),
    };
    let found = routes.find("GET", "/apis/shop.example/v1/namespaces/a/carts/7", None);
    assert_eq!(
        found.route.as_deref(),
        Some("/apis/shop.example/v1/namespaces/{namespace}/carts/{cart}")
    );
    let asked = found.kubernetes.unwrap();
    assert_eq!(asked.verb, Some("get"));
    assert_eq!(asked.resource.unwrap().resource, "carts");

    let found = routes.find("POST", "/hook", None);
    assert_eq!(
        (found.route.as_deref(), found.kubernetes),
        (Some("/hook"), None)
    );
    let found = routes.find("GET", "/api/v1/pods", None);
    assert_eq!(found.route.as_deref(), Some("/api/v1/pods"));
    assert_eq!(routes.find("GET", "/minted", None), Found::default());
}

#[test]
fn without_templates_nothing_has_a_route() {
    let routes = Routes::default();
    for path in ["/", "/api/v1/pods", "/livez"] {
        assert_eq!(routes.find("GET", path, None), Found::default(), "{path}");
    }
}
