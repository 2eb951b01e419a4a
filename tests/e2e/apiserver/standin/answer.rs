//! The chain of handlers every request goes through: audit, authentication, impersonation,
//! authorization, and then what was asked for.

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Response, StatusCode, header, request};
use hyper::upgrade::OnUpgrade;
use serde_json::json;

use super::audit::Event;
use super::authenticate::{User, text};
use super::{Peer, Shared, routes};
use crate::caller::{Body, full};

/// The most bytes of a request's fields: Go's default, and what it adds for the request line.
pub const MOST_FIELDS: usize = (1 << 20) + 4096;

/// The most bytes of a request's body.
pub const MOST_BODY: usize = 3 * 1024 * 1024;

/// A request as it arrived.
pub struct Arrived {
    pub head: request::Parts,
    /// `None`: larger than [`MOST_BODY`].
    pub body: Option<Bytes>,
    pub trailers: HeaderMap,
    /// The connection, should it become a tunnel; HTTP/1.1 only.
    pub upgrade: Option<OnUpgrade>,
}

/// What it is answered.
pub struct Answered {
    pub response: Response<Body>,
    /// Whether the caller is anonymous or unauthorized: then an HTTP/2 connection is taken leave of.
    pub unknown: bool,
}

impl Shared {
    /// Answers a request.
    pub fn answer(&self, peer: &Peer, arrived: Arrived) -> Answered {
        let id = self.audit.id(&arrived.head.headers);
        let mut event = Event::new(id, peer, &arrived);
        let mut response = self.judge(peer, arrived, &mut event);
        event.code = response.status().as_u16();
        let fields = response.headers_mut();
        fields.insert("audit-id", value(&event.id));
        fields.insert(header::CACHE_CONTROL, value("no-cache, private"));
        let unknown = event.user.as_ref().is_none_or(User::is_anonymous);
        self.audit.write(event);
        Answered { response, unknown }
    }

    fn judge(&self, peer: &Peer, arrived: Arrived, event: &mut Event) -> Response<Body> {
        let headers = &arrived.head.headers;
        let Ok(user) = self.authenticators.authenticate(peer, headers) else {
            return status(StatusCode::UNAUTHORIZED, "Unauthorized", "Unauthorized");
        };
        event.user = Some(user.clone());
        let mut response = match impersonated(headers, &user) {
            Err(denied) => status(StatusCode::FORBIDDEN, "Forbidden", &denied),
            Ok(other) => {
                event.impersonated = other.clone();
                let user = other.unwrap_or(user);
                routes::answer(self, arrived, &user, event)
            }
        };
        // What a request of known priority gets, whatever its answer.
        let fields = response.headers_mut();
        for (name, uid) in [
            (
                "x-kubernetes-pf-flowschema-uid",
                "11111111-1111-4111-8111-111111111111",
            ),
            (
                "x-kubernetes-pf-prioritylevel-uid",
                "22222222-2222-4222-8222-222222222222",
            ),
        ] {
            fields.insert(name, HeaderValue::from_static(uid));
        }
        response
    }
}

/// Whom the request is for, or why its user may not say that.
fn impersonated(headers: &HeaderMap, user: &User) -> Result<Option<User>, String> {
    let Some(name) = headers.get("impersonate-user").map(text) else {
        return Ok(None);
    };
    if !user.is_in("system:masters") {
        let message = format!(
            "users {name:?} is forbidden: User {:?} cannot impersonate resource \"users\" in API group \"\" at the cluster scope",
            user.name
        );
        return Err(message);
    }
    let groups = headers.get_all("impersonate-group").iter().map(text);
    Ok(Some(User {
        name,
        groups: groups.chain(["system:authenticated".to_owned()]).collect(),
        ..User::default()
    }))
}

/// A `Status`, the body of every failure.
pub fn status(code: StatusCode, reason: &str, message: &str) -> Response<Body> {
    let status = json!({
        "kind": "Status",
        "apiVersion": "v1",
        "metadata": {},
        "status": "Failure",
        "message": message,
        "reason": reason,
        "code": code.as_u16(),
    });
    let mut response = object(&status);
    *response.status_mut() = code;
    response
}

/// A JSON object.
pub fn object(object: &serde_json::Value) -> Response<Body> {
    of("application/json", format!("{object}\n"))
}

/// Text.
pub fn plain(text: &str) -> Response<Body> {
    let mut response = of("text/plain; charset=utf-8", text.to_owned());
    let fields = response.headers_mut();
    fields.insert(header::X_CONTENT_TYPE_OPTIONS, value("nosniff"));
    response
}

fn of(kind: &'static str, body: String) -> Response<Body> {
    let length = HeaderValue::from(body.len());
    let mut response = Response::new(full(body));
    let fields = response.headers_mut();
    fields.insert(header::CONTENT_LENGTH, length);
    fields.insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
    response
}

/// A field's value.
pub fn value(text: &str) -> HeaderValue {
    HeaderValue::from_str(text).expect("a value")
}
