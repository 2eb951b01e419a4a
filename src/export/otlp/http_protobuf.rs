//! OTLP/HTTP with binary protobuf, over a pooled client of our own.

use std::time::SystemTime;

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, Request, Uri, header};
use http_body_util::{BodyExt, Full, Limited};
use hyper_rustls::HttpsConnector;
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;

use super::answer::Answer;
use super::courier::Payload;
use super::{USER_AGENT, endpoint, tls};
use crate::export::BuildError;
use crate::export::settings::Otlp;

/// An answer's message is a few bytes; more is not read.
const MAX_ANSWER: usize = 64 * 1024;

#[derive(Debug)]
pub(super) struct HttpProtobuf {
    client: Client<HttpsConnector<HttpConnector>, Full<Bytes>>,
    uri: Uri,
    headers: HeaderMap,
}

impl HttpProtobuf {
    pub(super) fn new(settings: &Otlp, mut headers: HeaderMap) -> Result<Self, BuildError> {
        let uri = endpoint(&settings.endpoint, &["http", "https"])?;
        let config = tls::for_rustls(&settings.tls, uri.scheme_str() == Some("https"))?;
        let mut tcp = HttpConnector::new();
        tcp.enforce_http(false);
        tcp.set_connect_timeout(Some(settings.timeout));
        let connector = HttpsConnector::from((tcp, config));
        headers.insert(
            header::CONTENT_TYPE,
            HeaderValue::from_static("application/x-protobuf"),
        );
        headers
            .entry(header::USER_AGENT)
            .or_insert(HeaderValue::from_static(USER_AGENT));
        Ok(Self {
            client: Client::builder(TokioExecutor::new()).build(connector),
            uri,
            headers,
        })
    }

    pub(super) async fn send(&self, payload: Payload) -> Answer {
        let mut request = Request::new(Full::new(payload.body));
        *request.method_mut() = Method::POST;
        *request.uri_mut() = self.uri.clone();
        *request.headers_mut() = self.headers.clone();
        if let Some(encoding) = payload.encoding {
            let headers = request.headers_mut();
            headers.insert(header::CONTENT_ENCODING, encoding);
        }
        let response = match self.client.request(request).await {
            Ok(response) => response,
            Err(error) => return Answer::unreachable(&error),
        };
        let (head, body) = response.into_parts();
        if !head.status.is_success() {
            return Answer::http(head.status, &head.headers, SystemTime::now());
        }
        // What the status promised stands, even if the rest can't be read.
        match Limited::new(body, MAX_ANSWER).collect().await {
            Ok(body) => Answer::accepted(&body.to_bytes()),
            Err(_) => Answer::accepted(&[]),
        }
    }
}
