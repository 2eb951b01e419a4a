//! Answers: short, plain, never cached.

use bytes::Bytes;
use http::header::{ALLOW, CACHE_CONTROL, CONTENT_TYPE, X_CONTENT_TYPE_OPTIONS};
use http::{HeaderValue, Response, StatusCode};
use http_body_util::Full;
use serde_json::Value;

/// What every handler answers with.
pub(super) type Reply = Response<Full<Bytes>>;

/// An answer that ends the handling early, in a few words.
pub(super) struct Refusal {
    status: StatusCode,
    text: String,
    allow: Option<&'static str>,
}

const PLAIN: &str = "text/plain; charset=utf-8";

/// Plain text; a newline is put behind it if there is none.
pub(super) fn text(status: StatusCode, text: impl Into<String>) -> Reply {
    let mut text = text.into();
    if !text.ends_with('\n') {
        text.push('\n');
    }
    of_type(status, PLAIN, text)
}

/// JSON for people: indented.
pub(super) fn json(value: &Value) -> Reply {
    of_type(StatusCode::OK, "application/json", format!("{value:#}\n"))
}

/// Any type of content.
pub(super) fn of_type(status: StatusCode, content_type: &'static str, body: String) -> Reply {
    let mut reply = Response::new(Full::new(Bytes::from(body)));
    *reply.status_mut() = status;
    let headers = reply.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    // A browser must not take text for a page.
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    reply
}

impl Refusal {
    /// A refusal with this status and text.
    pub(super) fn new(status: StatusCode, text: impl Into<String>) -> Self {
        Self {
            status,
            text: text.into(),
            allow: None,
        }
    }

    /// 405 with what is allowed instead.
    pub(super) fn method(allow: &'static str) -> Self {
        Self {
            status: StatusCode::METHOD_NOT_ALLOWED,
            text: format!("expected one of these methods: {allow}"),
            allow: Some(allow),
        }
    }
}

impl From<Refusal> for Reply {
    fn from(refusal: Refusal) -> Self {
        let mut reply = text(refusal.status, refusal.text);
        if let Some(allow) = refusal.allow {
            reply
                .headers_mut()
                .insert(ALLOW, HeaderValue::from_static(allow));
        }
        reply
    }
}
