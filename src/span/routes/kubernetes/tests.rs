use std::collections::HashSet;

use proptest::prelude::*;

use super::*;

fn templates() -> Kubernetes {
    Kubernetes::new([("stable.example.com", "crontabs"), ("apps", "extras")])
}

fn route(path: &str) -> Option<String> {
    Some(templates().request("GET", path, None)?.route)
}

#[test]
fn routes_are_templates_of_what_is_known() {
    #[rustfmt::skip]
    let rows = [
        // The core group.
        ("/api/v1/pods", "/api/v1/pods", "every namespace"),
        ("/api/v1/namespaces/a/pods", "/api/v1/namespaces/{namespace}/pods", "a collection"),
        ("/api/v1/namespaces/a/pods/b", "/api/v1/namespaces/{namespace}/pods/{name}", "an object"),
        ("/api/v1/namespaces/a/pods/b/", "/api/v1/namespaces/{namespace}/pods/{name}", "a final slash"),
        ("/api/v1/namespaces/a/pods/b/status", "/api/v1/namespaces/{namespace}/pods/{name}/status", "a subresource"),
        ("/api/v1/namespaces/a/pods/b/exec", "/api/v1/namespaces/{namespace}/pods/{name}/exec", "a connection"),
        ("/api/v1/namespaces/a/pods/b/log", "/api/v1/namespaces/{namespace}/pods/{name}/log", "a log"),
        ("/api/v1/namespaces/a/pods/b/proxy", "/api/v1/namespaces/{namespace}/pods/{name}/proxy", "proxying to the root"),
        ("/api/v1/namespaces/a/pods/b/proxy/c/d?", "/api/v1/namespaces/{namespace}/pods/{name}/proxy/{path}", "proxying"),
        ("/api/v1/namespaces/a/services/https:b:443/proxy/x/../y//z", "/api/v1/namespaces/{namespace}/services/{name}/proxy/{path}", "a tail may be anything"),
        ("/api/v1/namespaces/a/pods/b/status/c/d", "/api/v1/namespaces/{namespace}/pods/{name}/status/{path}", "more than there is"),
        ("/api/v1/namespaces/a/serviceaccounts/b/token", "/api/v1/namespaces/{namespace}/serviceaccounts/{name}/token", "a token"),
        ("/api/v1/nodes/n", "/api/v1/nodes/{name}", "cluster-scoped"),
        ("/api/v1/nodes/n/proxy/metrics", "/api/v1/nodes/{name}/proxy/{path}", "through to a kubelet"),
        ("/api/v1/namespaces", "/api/v1/namespaces", "namespaces"),
        ("/api/v1/namespaces/a", "/api/v1/namespaces/{name}", "a namespace itself"),
        ("/api/v1/namespaces/a/finalize", "/api/v1/namespaces/{name}/finalize", "its subresource"),
        ("/api/v1/namespaces/a/status", "/api/v1/namespaces/{name}/status", "its other subresource"),
        ("/api/v1/namespaces/status/pods/finalize", "/api/v1/namespaces/{namespace}/pods/{name}", "names that look like subresources"),
        ("/api/v1/namespaces/namespaces/namespaces/namespaces", "/api/v1/namespaces/{namespace}/namespaces/{name}", "names that look like resources"),
        // Groups.
        ("/apis/apps/v1/deployments", "/apis/apps/v1/deployments", "a group"),
        ("/apis/apps/v1/namespaces/a/deployments/b/scale", "/apis/apps/v1/namespaces/{namespace}/deployments/{name}/scale", "scale"),
        ("/apis/rbac.authorization.k8s.io/v1/clusterroles/system:node", "/apis/rbac.authorization.k8s.io/v1/clusterroles/{name}", "colons in names"),
        ("/apis/certificates.k8s.io/v1/certificatesigningrequests/c/approval", "/apis/certificates.k8s.io/v1/certificatesigningrequests/{name}/approval", "approval"),
        ("/apis/metrics.k8s.io/v1beta1/namespaces/a/pods/b", "/apis/metrics.k8s.io/v1beta1/namespaces/{namespace}/pods/{name}", "the metrics API"),
        ("/apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases/n", "/apis/coordination.k8s.io/v1/namespaces/{namespace}/leases/{name}", "heartbeats"),
        // Configured.
        ("/apis/stable.example.com/v1/namespaces/a/crontabs/b/status", "/apis/stable.example.com/{version}/namespaces/{namespace}/crontabs/{name}/status", "a custom resource"),
        ("/apis/stable.example.com/v1/others", "/apis/stable.example.com/{version}/{resource}", "another resource of its group"),
        ("/apis/apps/v1/extras", "/apis/apps/v1/extras", "a custom resource in a built-in group"),
        // Unknown.
        ("/apis/evil.example/v1/minted", "/apis/{group}/{version}/{resource}", "unknown group"),
        ("/apis/evil.example/v1/namespaces/a/minted/b/minted", "/apis/{group}/{version}/namespaces/{namespace}/{resource}/{name}/{subresource}", "unknown group, subresource"),
        ("/apis/evil.example/v1/minted/b/status", "/apis/{group}/{version}/{resource}/{name}/status", "every custom resource may have a status"),
        ("/apis/apps/v1/namespaces/a/minted/b", "/apis/apps/v1/namespaces/{namespace}/{resource}/{name}", "unknown resource of a known group"),
        ("/apis/apps/v77/deployments", "/apis/apps/{version}/deployments", "unknown version"),
        ("/api/v2/pods", "/api/{version}/pods", "unknown version of the core group"),
        ("/api/v1/pods/a/minted", "/api/v1/pods/{name}/{subresource}", "unknown subresource"),
        ("/api/v1/configmaps/a/scale", "/api/v1/configmaps/{name}/{subresource}", "a subresource of others"),
        ("/api/v1/Pods", "/api/v1/{resource}", "names are case-sensitive"),
        // The old way of watching and proxying.
        ("/api/v1/watch/pods", "/api/v1/watch/pods", "watch"),
        ("/api/v1/watch/namespaces/a/pods/b", "/api/v1/watch/namespaces/{namespace}/pods/{name}", "watch of one"),
        ("/apis/apps/v1/watch/deployments", "/apis/apps/v1/watch/deployments", "watch in a group"),
        ("/api/v1/proxy/namespaces/a/pods/b/x/y", "/api/v1/proxy/namespaces/{namespace}/pods/{name}/{path}", "proxy"),
        // Encoded: decoded first, split then, as the API server does.
        ("/api/v1/namespaces/kube%2Dsystem/%70ods", "/api/v1/namespaces/{namespace}/pods", "encoded letters"),
        ("/api/v1/namespaces/a/pods/b%2Fexec", "/api/v1/namespaces/{namespace}/pods/{name}/exec", "an encoded slash splits"),
        // No resource.
        ("/", "/", "the index"),
        ("/api", "/api", "discovery"),
        ("/api/v1", "/api/v1", "discovery"),
        ("/api/v9", "/api/{version}", "discovery"),
        ("/apis", "/apis", "discovery"),
        ("/apis/", "/apis", "discovery with a slash"),
        ("/apis/apps", "/apis/{group}", "discovery"),
        ("/apis/minted/v1", "/apis/{group}/{version}", "discovery"),
        ("/livez", "/livez", "health"),
        ("/livez/ping", "/livez/{check}", "one check"),
        ("/readyz/poststarthook/start-informers", "/readyz/{check}", "a check with a slash"),
        ("/healthz/etcd", "/healthz/{check}", "the old health"),
        ("/metrics", "/metrics", "metrics"),
        ("/metrics/slis", "/metrics/slis", "metrics"),
        ("/version", "/version", "version"),
        ("/openapi/v2", "/openapi/v2", "document"),
        ("/openapi/v3", "/openapi/v3", "documents"),
        ("/openapi/v3/apis/apps/v1", "/openapi/v3/{path}", "one of them"),
        ("/.well-known/openid-configuration", "/.well-known/openid-configuration", "issuer"),
        ("/openid/v1/jwks", "/openid/v1/jwks", "keys"),
        ("/debug/pprof/heap", "/debug/pprof/{path}", "profiles"),
        ("/logs/kube-apiserver.log", "/logs/{path}", "logs"),
    ];
    for (path, expected, why) in rows {
        let path = path.strip_suffix('?').unwrap_or(path);
        assert_eq!(route(path).as_deref(), Some(expected), "{why}: {path}");
    }
}

#[test]
fn other_paths_have_no_route() {
    for (path, why) in [
        ("", "nothing"),
        ("*", "OPTIONS *"),
        ("example.com:443", "CONNECT"),
        ("/minted", "unknown"),
        ("/livezz", "almost known"),
        ("/metrics/minted", "below a known one"),
        ("/.well-known/minted", "below a known one"),
        ("/API/v1/pods", "names are case-sensitive"),
        ("/api/v1/watch", "the server refuses it, too"),
        ("/apis/apps/v1/watch", "the same in a group"),
        ("//api/v1/pods", "a doubled slash in front"),
        ("/api//v1/pods", "a doubled slash"),
        ("/api/v1/namespaces//pods", "a namespace without name"),
        ("/api/v1/namespaces/a//pods", "a resource without name"),
        ("/api/v1/pods//status", "an object without name"),
        ("/api/v1/pods/a//b", "a subresource without name"),
        ("/api/v1/../secrets", "dots"),
        ("/api/v1/namespaces/../pods", "dots as a namespace"),
        ("/api/v1/pods/.", "a dot as a name"),
        ("/api/v1/pods/%2e%2e/x", "encoded dots"),
        ("/apis/../v1/pods", "dots as a group"),
        ("/apis//v1", "a group without name"),
        ("/api/v1/pods/%zz", "malformed encoding"),
        ("/api/v1/pods/%2", "incomplete encoding"),
        ("/api/v1/pods/%ff", "no text"),
        ("//", "slashes"),
    ] {
        assert_eq!(route(path), None, "{why}: {path}");
    }
}

#[test]
fn verbs_are_those_the_api_server_computes() {
    let object = "/api/v1/namespaces/a/pods/b";
    let collection = "/api/v1/namespaces/a/pods";
    #[rustfmt::skip]
    let rows = [
        ("GET", object, None, Some("get"), "an object"),
        ("HEAD", object, None, Some("get"), "its head"),
        ("GET", collection, None, Some("list"), "a collection"),
        ("GET", collection, Some("limit=500"), Some("list"), "a page"),
        ("GET", collection, Some("watch=true"), Some("watch"), "a watch"),
        ("GET", collection, Some("watch=1"), Some("watch"), "a watch"),
        ("GET", collection, Some("a=b&watch"), Some("watch"), "a switch"),
        ("GET", collection, Some("watch="), Some("watch"), "an empty switch"),
        ("GET", collection, Some("w%61tch=TRUE"), Some("watch"), "encoded"),
        ("GET", collection, Some("watch=0"), Some("list"), "not a watch"),
        ("GET", collection, Some("watch=False"), Some("list"), "not a watch"),
        ("GET", collection, Some("watch=false&watch=true"), Some("list"), "the first one counts"),
        ("GET", collection, Some("Watch=true"), Some("list"), "keys are case-sensitive"),
        ("GET", collection, Some("fieldSelector=metadata.name%3Db"), Some("list"), "one of a list"),
        ("GET", object, Some("watch=true"), Some("get"), "an object isn't watched this way"),
        ("GET", "/api/v1/watch/pods", None, Some("watch"), "by the path"),
        ("GET", "/api/v1/watch/namespaces/a/pods/b", None, Some("watch"), "by the path, with a name"),
        ("GET", "/api/v1/proxy/nodes/n/x", None, Some("proxy"), "by the path"),
        ("POST", collection, None, Some("create"), "creation"),
        ("PUT", object, None, Some("update"), "replacement"),
        ("PATCH", object, None, Some("patch"), "patch"),
        ("DELETE", object, None, Some("delete"), "deletion"),
        ("DELETE", collection, None, Some("deletecollection"), "deletion of all"),
        ("GET", "/api/v1/namespaces/a", None, Some("get"), "a namespace is an object"),
        ("DELETE", "/api/v1/namespaces/a", None, Some("delete"), "a namespace is an object"),
        ("GET", "/api/v1/namespaces", None, Some("list"), "all of them"),
        ("PUT", "/api/v1/namespaces/a/finalize", None, Some("update"), "its subresource"),
        ("POST", "/api/v1/namespaces/a/pods/b/exec", None, Some("create"), "over SPDY"),
        ("GET", "/api/v1/namespaces/a/pods/b/exec", None, Some("get"), "over WebSocket"),
        ("POST", "/api/v1/namespaces/a/pods/b/portforward", None, Some("create"), "over SPDY"),
        ("DELETE", "/api/v1/namespaces/a/services/b/proxy/x", None, Some("delete"), "whatever is behind"),
        ("PUT", "/api/v1/nodes/n/proxy/", None, Some("update"), "whatever is behind"),
        ("OPTIONS", collection, None, None, "no verb"),
        ("BREW", collection, None, None, "no method"),
        ("get", collection, None, None, "methods are case-sensitive"),
        ("GET", "/livez", None, Some("get"), "no resource: the method"),
        ("POST", "/api", None, Some("post"), "no resource: the method"),
        ("BREW", "/livez", None, None, "no method"),
    ];
    for (method, path, query, expected, why) in rows {
        let request = templates().request(method, path, query).unwrap();
        assert_eq!(request.verb, expected, "{why}: {method} {path} {query:?}");
    }
}

#[test]
fn a_request_says_which_resource_it_asks_for() {
    #[rustfmt::skip]
    let rows = [
        ("/api/v1/namespaces/kube-system/pods/b/log", (None, "v1", "pods", Some("log"), Some("kube-system"))),
        ("/api/v1/namespaces/a", (None, "v1", "namespaces", None, Some("a"))),
        ("/api/v1/namespaces/a/status", (None, "v1", "namespaces", Some("status"), Some("a"))),
        ("/api/v1/nodes", (None, "v1", "nodes", None, None)),
        ("/apis/evil.example/v3/minted/x/y", (Some("evil.example"), "v3", "minted", Some("y"), None)),
        ("/api/v1/namespaces/kube%2Dsystem/secrets", (None, "v1", "secrets", None, Some("kube-system"))),
        ("/api/v1/proxy/nodes/n/x", (None, "v1", "nodes", None, None)),
    ];
    for (path, (group, version, resource, subresource, namespace)) in rows {
        let found = templates().request("GET", path, None).unwrap();
        let expected = Resource {
            group: group.map(str::to_owned),
            version: version.to_owned(),
            resource: resource.to_owned(),
            subresource: subresource.map(str::to_owned),
            namespace: namespace.map(str::to_owned),
        };
        assert_eq!(found.resource, Some(expected), "{path}");
    }
    let none = templates().request("GET", "/livez", None).unwrap();
    assert_eq!(none.resource, None);
}

#[test]
fn values_of_a_path_are_bounded() {
    let long = "ä".repeat(150);
    let path = format!("/apis/{long}/v1/namespaces/a/b");
    let found = templates().request("GET", &path, None).unwrap();
    let group = found.resource.unwrap().group.unwrap();
    assert!(group.len() <= MAX_VALUE && group.len() >= MAX_VALUE - 1);
}

#[test]
fn of_a_path_that_was_cut_only_a_tail_is_sure() {
    let cut = |start: &str| {
        let whole = format!("{start}{}", "x".repeat(2 * record::MAX_TEXT));
        route(&record::text(&whole))
    };
    let proxied = "/api/v1/namespaces/{namespace}/services/{name}/proxy/{path}";
    assert_eq!(
        cut("/api/v1/namespaces/a/services/b/proxy/").as_deref(),
        Some(proxied)
    );
    assert_eq!(cut("/api/v1/namespaces/a/pods/"), None, "a name?");
    assert_eq!(cut("/api/v1/"), None, "a resource?");
    let stump = format!("/logs/{}", "x".repeat(record::MAX_TEXT - 8));
    for end in ["%", "%2"] {
        assert_eq!(
            route(&format!("{stump}{end}")).as_deref(),
            Some("/logs/{path}")
        );
    }
}

/// Every segment a route can have.
fn closed_set() -> HashSet<&'static str> {
    let mut known: HashSet<&str> = built_in::GROUPS
        .iter()
        .flat_map(|group| {
            let resources = group.resources.iter();
            let below =
                resources.flat_map(|(name, sub)| [*name].into_iter().chain(sub.iter().copied()));
            below
                .chain([group.name])
                .chain(group.versions.iter().copied())
        })
        .collect();
    known.extend(["stable.example.com", "crontabs", "extras"]);
    known.extend(
        "/api/apis/watch/proxy/scale/status/healthz/livez/readyz/metrics/slis/version".split('/'),
    );
    known.extend("openapi/v2/v3/openid/v1/jwks/logs/debug/pprof/flags/flagz/statusz".split('/'));
    known.extend([
        ".well-known",
        "openid-configuration",
        "api_priority_and_fairness",
    ]);
    known.extend([
        "{group}",
        "{version}",
        "{resource}",
        "{subresource}",
        "{namespace}",
        "{name}",
        "{path}",
        "{check}",
        "namespaces",
    ]);
    known
}

#[test]
fn the_built_in_table_is_in_order_and_names_everything_once() {
    let names: Vec<_> = built_in::GROUPS.iter().map(|group| group.name).collect();
    assert!(names.is_sorted() && names.len() > 20);
    for group in built_in::GROUPS {
        let resources: HashSet<_> = group.resources.iter().map(|(name, _)| name).collect();
        assert_eq!(resources.len(), group.resources.len(), "{}", group.name);
    }
}

proptest! {
    #[test]
    fn no_caller_can_mint_a_route(
        method in "GET|POST|DELETE|[A-Z]{1,5}",
        segments in proptest::collection::vec(
            "api|apis|v1|apps|namespaces|pods|watch|proxy|status|livez|crontabs|deployments|\
             stable\\.example\\.com|[a-z%./0-9{}]{0,6}|\\PC{0,4}", 0..9),
        query in proptest::option::of("\\PC{0,12}"),
    ) {
        let known = closed_set();
        let path = format!("/{}", segments.join("/"));
        if let Some(found) = templates().request(&method, &path, query.as_deref()) {
            for segment in found.route.split('/') {
                prop_assert!(known.contains(segment), "{path}: {}", found.route);
            }
            // Some placeholders stand once; the shape is closed, too.
            prop_assert!(found.route.split('/').count() <= 11);
        }
    }

    #[test]
    fn no_path_makes_it_panic(method in "\\PC{0,8}", path in "\\PC{0,80}", query in "\\PC{0,40}") {
        let _ = templates().request(&method, &path, Some(&query));
        let _ = templates().request(&method, &format!("/api/v1/{path}"), Some(&query));
    }
}
