//! What can be asked for: health, pods, watches, streams into pods, and what was seen of the caller.

use http::{Method, Response, StatusCode, header};
use serde_json::{Value, json};

use super::answer::{Arrived, MOST_BODY, object, plain, status, value};
use super::audit::{Event, describe};
use super::authenticate::User;
use super::{Shared, upgrade};
use crate::caller::Body;

/// What anybody may ask.
const PUBLIC: [&str; 4] = ["/livez", "/readyz", "/healthz", "/version"];

const REVIEWS: &str = "/apis/authentication.k8s.io/v1/selfsubjectreviews";

/// Answers a request of that user.
pub fn answer(server: &Shared, arrived: Arrived, user: &User, event: &Event) -> Response<Body> {
    let path = arrived.head.uri.path().to_owned();
    let public = PUBLIC.contains(&path.as_str()) || path == "/whoami";
    if user.is_anonymous() && !public {
        let verb = arrived.head.method.as_str().to_ascii_lowercase();
        let message = format!("forbidden: User \"system:anonymous\" cannot {verb} path {path:?}");
        return status(StatusCode::FORBIDDEN, "Forbidden", &message);
    }
    match path.as_str() {
        "/livez" | "/readyz" | "/healthz" => plain("ok"),
        "/version" => {
            object(&json!({"major": "1", "minor": "36", "gitVersion": "v1.36.0-stand-in"}))
        }
        // Of this stand-in alone.
        "/whoami" => object(&event.json()),
        REVIEWS => review(user),
        _ => match path.strip_prefix("/api/v1/namespaces/") {
            Some(rest) => in_namespace(server, rest, arrived, user),
            None => of_kubelet(server, &path, arrived, user),
        },
    }
}

/// A kubelet's own paths, `/{what}/{namespace}/{pod}/{container}`: streams as the apiserver has them,
/// and logs that are followed.
fn of_kubelet(server: &Shared, path: &str, arrived: Arrived, user: &User) -> Response<Body> {
    let parts: Vec<&str> = path.split('/').skip(1).collect();
    match (parts.as_slice(), arrived.head.uri.query()) {
        ([kind @ ("exec" | "attach"), _, _, _], _) => upgrade::answer(arrived, user, kind),
        (["portForward", _, _], _) => upgrade::answer(arrived, user, "portforward"),
        (["containerLogs", _, _, _], Some("follow=true")) => {
            let mut response = Response::new(server.ticks.watch());
            let fields = response.headers_mut();
            fields.insert(header::CONTENT_TYPE, value("text/plain"));
            response
        }
        _ => missing(),
    }
}

fn review(user: &User) -> Response<Body> {
    let mut response = object(&json!({
        "kind": "SelfSubjectReview",
        "apiVersion": "authentication.k8s.io/v1",
        "metadata": {"creationTimestamp": "2026-01-01T00:00:00Z"},
        "status": {"userInfo": describe(user)},
    }));
    *response.status_mut() = StatusCode::CREATED;
    response
}

/// `{namespace}/pods[/{name}[/{subresource}]]`. Namespaces say how they answer.
fn in_namespace(server: &Shared, rest: &str, arrived: Arrived, user: &User) -> Response<Body> {
    let parts: Vec<&str> = rest.split('/').collect();
    match (parts.as_slice(), &arrived.head.method) {
        (["busy", ..], _) => {
            let mut response = plain("Too many requests, please try again later.\n");
            *response.status_mut() = StatusCode::TOO_MANY_REQUESTS;
            response
                .headers_mut()
                .insert(header::RETRY_AFTER, value("1"));
            response
        }
        ([namespace, "pods"], &Method::GET) => {
            let query = arrived.head.uri.query().unwrap_or_default();
            if query
                .split('&')
                .any(|pair| pair == "watch=true" || pair == "watch=1")
            {
                let mut response = Response::new(server.ticks.watch());
                let fields = response.headers_mut();
                fields.insert(header::CONTENT_TYPE, value("application/json"));
                response
            } else {
                warned(namespace, list())
            }
        }
        ([namespace, "pods"], &Method::POST) => created(namespace, &arrived),
        ([namespace, "pods", name], &Method::GET) => {
            warned(namespace, object(&pod(namespace, name)))
        }
        ([_, "pods", _, kind @ ("exec" | "attach" | "portforward")], _) => {
            upgrade::answer(arrived, user, kind)
        }
        _ => missing(),
    }
}

fn created(namespace: &str, arrived: &Arrived) -> Response<Body> {
    let Some(body) = &arrived.body else {
        let message = format!("Request entity too large: limit is {MOST_BODY}");
        let mut refused = status(
            StatusCode::PAYLOAD_TOO_LARGE,
            "RequestEntityTooLarge",
            &message,
        );
        if arrived.head.version == http::Version::HTTP_11 {
            refused
                .headers_mut()
                .insert(header::CONNECTION, value("close"));
        }
        return refused;
    };
    let mut response = object(&json!({
        "kind": "Pod",
        "apiVersion": "v1",
        "metadata": {"name": "created", "namespace": namespace},
        "status": {"message": format!("{} bytes", body.len())},
    }));
    *response.status_mut() = StatusCode::CREATED;
    response
}

fn pod(namespace: &str, name: &str) -> Value {
    json!({
        "kind": "Pod",
        "apiVersion": "v1",
        "metadata": {"name": name, "namespace": namespace, "uid": "33333333-3333-4333-8333-333333333333"},
        "spec": {"containers": [{"name": "main", "image": "none"}]},
        "status": {"phase": "Running"},
    })
}

fn list() -> Response<Body> {
    object(&json!({
        "kind": "PodList",
        "apiVersion": "v1",
        "metadata": {"resourceVersion": "1"},
        "items": [],
    }))
}

/// Two warnings in the namespace `deprecated`.
fn warned(namespace: &str, mut response: Response<Body>) -> Response<Body> {
    if namespace == "deprecated" {
        for warning in [
            "299 - \"v1 Pod is deprecated in v1.99+, unavailable in v2.0+\"",
            "299 - \"and a second one\"",
        ] {
            response
                .headers_mut()
                .append(header::WARNING, value(warning));
        }
    }
    response
}

fn missing() -> Response<Body> {
    status(
        StatusCode::NOT_FOUND,
        "NotFound",
        "the server could not find the requested resource",
    )
}
