//! The app of the W3C suite's rig: it does as the suite tells, and propagates by copying
//! `traceparent` and `tracestate`, nothing else.
//!
//! The suite posts `[{"url": …, "arguments": …}, …]`; each `url` is posted its `arguments`, one
//! after the other, all by way of the egress listener.

use std::convert::Infallible;
use std::net::SocketAddr;

use bytes::Bytes;
use http::{HeaderMap, Request, Response, StatusCode, Uri, header};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::server::conn::http1 as server;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::net::{TcpListener, TcpStream};

/// Anything that may go wrong with one request.
type Fault = Box<dyn std::error::Error + Send + Sync>;

/// Serves for ever.
pub async fn serve(listener: TcpListener, egress: SocketAddr) {
    while let Ok((stream, _)) = listener.accept().await {
        let service =
            service_fn(
                move |request| async move { Ok::<_, Infallible>(answer(request, egress).await) },
            );
        tokio::spawn(server::Builder::new().serve_connection(TokioIo::new(stream), service));
    }
}

async fn answer(request: Request<Incoming>, egress: SocketAddr) -> Response<Full<Bytes>> {
    let (status, text) = match obey(request, egress).await {
        Ok(()) => (StatusCode::OK, "null".to_owned()),
        Err(fault) => (StatusCode::BAD_GATEWAY, fault.to_string()),
    };
    let mut response = Response::new(Full::from(text));
    *response.status_mut() = status;
    response
}

async fn obey(request: Request<Incoming>, egress: SocketAddr) -> Result<(), Fault> {
    let (parts, body) = request.into_parts();
    let told: Value = serde_json::from_slice(&body.collect().await?.to_bytes())?;
    let calls = match &told {
        Value::Array(calls) => calls.as_slice(),
        one => std::slice::from_ref(one),
    };
    for told in calls {
        let url: Uri = told["url"].as_str().ok_or("expected a url")?.parse()?;
        // What else there might be to call stands in the arguments, and is the callee's to do.
        let arguments = match &told["arguments"] {
            Value::Null => "[]".to_owned(),
            arguments => arguments.to_string(),
        };
        call(egress, &url, &parts.headers, arguments).await?;
    }
    Ok(())
}

async fn call(
    egress: SocketAddr,
    url: &Uri,
    context: &HeaderMap,
    arguments: String,
) -> Result<(), Fault> {
    let stream = TcpStream::connect(egress).await?;
    let (mut sender, connection) =
        hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
    tokio::spawn(connection);
    let target = url.path_and_query().map_or("/", |target| target.as_str());
    let authority = url.authority().ok_or("expected a host")?;
    let mut request = Request::post(target)
        .header(header::HOST, authority.as_str())
        .header(header::CONTENT_TYPE, "application/json")
        .body(Full::new(Bytes::from(arguments)))?;
    for name in ["traceparent", "tracestate"] {
        for value in context.get_all(name) {
            request.headers_mut().append(name, value.clone());
        }
    }
    let status = sender.send_request(request).await?.status();
    if status.is_success() {
        Ok(())
    } else {
        Err(format!("{url}: {status}").into())
    }
}
