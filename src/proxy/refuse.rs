//! Answers made here: short, plain, and in the caller's own protocol.

use bytes::Bytes;
use http::header::{self, HeaderValue};
use http::{HeaderMap, HeaderName, Response, StatusCode};

use crate::span::record::Fault;

const GRPC_STATUS: HeaderName = HeaderName::from_static("grpc-status");
const GRPC_MESSAGE: HeaderName = HeaderName::from_static("grpc-message");

/// What a Kubernetes client reads, as from the server itself (`metav1.Status`).
const UNAUTHORIZED: &str = concat!(
    r#"{"kind":"Status","apiVersion":"v1","metadata":{},"status":"Failure","#,
    r#""message":"Unauthorized","reason":"Unauthorized","code":401}"#,
    "\n"
);

/// The answer to a request that can't be forwarded, or whose upstream failed.
///
/// A gRPC caller gets a trailers-only response: HTTP 200 with `grpc-status`, so that its
/// library reports the cause instead of a malformed reply.
pub fn answer(fault: Fault, grpc: bool, text: &'static str) -> Response<Option<Bytes>> {
    if grpc {
        grpc_answer(fault, text)
    } else {
        http_answer(fault, text)
    }
}

/// Status of a fault as HTTP tells it.
pub const fn status(fault: Fault) -> StatusCode {
    match fault {
        Fault::BadRequest | Fault::BadTarget => StatusCode::BAD_REQUEST,
        Fault::HeadTooLarge => StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
        Fault::Unauthorized => StatusCode::UNAUTHORIZED,
        // 401 would have to offer a way to authenticate; there is none in HTTP.
        Fault::ClientCertificate => StatusCode::FORBIDDEN,
        Fault::MethodNotAllowed => StatusCode::METHOD_NOT_ALLOWED,
        Fault::Connect => StatusCode::SERVICE_UNAVAILABLE,
        Fault::ConnectTimeout | Fault::ResponseHeaderTimeout => StatusCode::GATEWAY_TIMEOUT,
        Fault::Internal => StatusCode::INTERNAL_SERVER_ERROR,
        Fault::Tls | Fault::ConnectionClosed | Fault::StreamReset | Fault::Protocol => {
            StatusCode::BAD_GATEWAY
        }
    }
}

/// Status of a fault as gRPC tells it (`doc/statuscodes.md` of gRPC).
///
/// UNAVAILABLE (14) invites a library to try again. An upstream that took the request and then
/// kept silent may have acted on it: that is DEADLINE_EXCEEDED (4).
pub const fn grpc_status(fault: Fault) -> u16 {
    match fault {
        Fault::BadRequest | Fault::BadTarget | Fault::Internal => 13,
        Fault::HeadTooLarge => 8,
        Fault::ClientCertificate | Fault::Unauthorized => 16,
        Fault::MethodNotAllowed => 12,
        Fault::ResponseHeaderTimeout => 4,
        Fault::ConnectTimeout
        | Fault::Connect
        | Fault::Tls
        | Fault::ConnectionClosed
        | Fault::StreamReset
        | Fault::Protocol => 14,
    }
}

fn http_answer(fault: Fault, text: &'static str) -> Response<Option<Bytes>> {
    let (kind, text) = match fault {
        Fault::Unauthorized => ("application/json", UNAUTHORIZED),
        _ => ("text/plain; charset=utf-8", text),
    };
    let mut response = Response::new(Some(Bytes::from_static(text.as_bytes())));
    *response.status_mut() = status(fault);
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
    if fault == Fault::MethodNotAllowed {
        let allowed = "GET, HEAD, POST, PUT, DELETE, OPTIONS, PATCH, TRACE";
        headers.insert(header::ALLOW, HeaderValue::from_static(allowed));
    }
    response
}

fn grpc_answer(fault: Fault, text: &'static str) -> Response<Option<Bytes>> {
    let mut response = Response::new(None);
    let headers = response.headers_mut();
    headers.insert(
        header::CONTENT_TYPE,
        HeaderValue::from_static("application/grpc"),
    );
    say(fault, text, headers);
    response
}

/// What ends a gRPC response whose upstream was lost behind the head.
///
/// A reset would say less: of its codes only REFUSED_STREAM is UNAVAILABLE to gRPC, and that one
/// claims that nothing was processed (RFC 9113, section 8.7).
pub fn grpc_trailers(fault: Fault) -> HeaderMap {
    let mut trailers = HeaderMap::with_capacity(2);
    say(fault, text(fault), &mut trailers);
    trailers
}

fn say(fault: Fault, text: &'static str, fields: &mut HeaderMap) {
    fields.insert(GRPC_STATUS, HeaderValue::from(grpc_status(fault)));
    fields.insert(GRPC_MESSAGE, HeaderValue::from_static(text));
}

/// Whether a response ends by trailers that say how a call went. That of gRPC-Web has them in its
/// body.
pub fn ends_by_grpc_trailers(headers: &HeaderMap) -> bool {
    let kind = headers.get(header::CONTENT_TYPE).map(HeaderValue::as_bytes);
    let rest = kind.and_then(|kind| kind.strip_prefix(b"application/grpc"));
    matches!(rest, Some([] | [b'+' | b';', ..]))
}

/// What the caller reads about a fault of the upstream's.
pub const fn text(fault: Fault) -> &'static str {
    match fault {
        Fault::Connect => "tracegate: no connection to the upstream",
        Fault::ConnectTimeout => "tracegate: the upstream took too long to connect",
        Fault::Tls => "tracegate: no TLS with the upstream",
        Fault::ResponseHeaderTimeout => "tracegate: the upstream took too long to answer",
        Fault::ConnectionClosed => "tracegate: the upstream closed the connection",
        Fault::StreamReset => "tracegate: the upstream reset the stream",
        Fault::Protocol => "tracegate: the upstream broke the protocol",
        Fault::BadRequest => "tracegate: malformed request",
        Fault::HeadTooLarge => "tracegate: too many header fields",
        Fault::MethodNotAllowed => "tracegate: CONNECT is not allowed here",
        Fault::Unauthorized => {
            "tracegate: the client certificate makes nobody known, and no bearer token is beside it"
        }
        Fault::ClientCertificate => "tracegate: the client certificate doesn't verify",
        Fault::BadTarget => "tracegate: expected one valid Host and a target that can be forwarded",
        Fault::Internal => "tracegate: internal error",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_responses_of_grpc_itself_end_by_its_trailers() {
        for (kind, expected, why) in [
            (Some("application/grpc"), true, "as it is"),
            (
                Some("application/grpc+proto"),
                true,
                "with its messages' format",
            ),
            (
                Some("application/grpc;charset=utf-8"),
                true,
                "with parameters",
            ),
            (
                Some("application/grpc-web+proto"),
                false,
                "whose end is in its body",
            ),
            (
                Some("text/html"),
                false,
                "a server's that doesn't speak gRPC",
            ),
            (None, false, "nobody knows"),
        ] {
            let mut headers = HeaderMap::new();
            if let Some(kind) = kind {
                headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
            }
            assert_eq!(ends_by_grpc_trailers(&headers), expected, "{why}");
        }
    }
}
