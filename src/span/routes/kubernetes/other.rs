//! Paths of an API server that ask for no resource: discovery, health, metrics, documents.

use super::{TAIL, is_value};

/// The route of such a path; `None` if it is none, or isn't known.
pub(super) fn route(parts: &[&str]) -> Option<&'static str> {
    let route = match parts {
        [""] => "/",
        ["api"] => "/api",
        ["api", "v1"] => "/api/v1",
        ["api", version] if is_value(version) => "/api/{version}",
        ["apis"] => "/apis",
        ["apis", group] if is_value(group) => "/apis/{group}",
        ["apis", group, version] if is_value(group) && is_value(version) => {
            "/apis/{group}/{version}"
        }
        ["healthz"] => "/healthz",
        ["healthz", ..] => "/healthz/{check}",
        ["livez"] => "/livez",
        ["livez", ..] => "/livez/{check}",
        ["readyz"] => "/readyz",
        ["readyz", ..] => "/readyz/{check}",
        ["metrics"] => "/metrics",
        ["metrics", "slis"] => "/metrics/slis",
        ["version"] => "/version",
        ["statusz"] => "/statusz",
        ["flagz"] => "/flagz",
        ["openapi", "v2"] => "/openapi/v2",
        ["openapi", "v3"] => "/openapi/v3",
        ["openapi", "v3", ..] => "/openapi/v3/{path}",
        ["openid", "v1", "jwks"] => "/openid/v1/jwks",
        [".well-known", "openid-configuration"] => "/.well-known/openid-configuration",
        ["logs"] => "/logs",
        ["logs", ..] => "/logs/{path}",
        ["debug", "pprof"] => "/debug/pprof",
        ["debug", "pprof", ..] => "/debug/pprof/{path}",
        ["debug", "flags", ..] => "/debug/flags/{path}",
        ["debug", "api_priority_and_fairness", ..] => "/debug/api_priority_and_fairness/{path}",
        _ => return None,
    };
    // What a server does with these is its own affair.
    let plain = route.ends_with(TAIL) || parts == [""] || parts.iter().all(|part| is_value(part));
    plain.then_some(route)
}

/// The verb where no resource is asked for: the method in lower case.
pub(super) fn verb(method: &str) -> Option<&'static str> {
    Some(match method {
        "GET" => "get",
        "HEAD" => "head",
        "POST" => "post",
        "PUT" => "put",
        "PATCH" => "patch",
        "DELETE" => "delete",
        "OPTIONS" => "options",
        _ => return None,
    })
}
