//! The component behind every proxy: a fixed body over HTTP/1.1 or HTTP/2 with prior knowledge.
//!
//! Asked to, it also looks at the `traceparent` of every request (not while anything is timed).

use std::collections::HashSet;
use std::convert::Infallible;
use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Request, Response, header};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::server::conn::{http1, http2};
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::net::{TcpListener, TcpStream};

use crate::control;

/// About what a small JSON answer weighs.
const BODY: &[u8] = b"{\"kind\":\"Status\",\"apiVersion\":\"v1\",\"metadata\":{},\"status\":\"Success\",\"message\":\"fixed body, one hundred ten\"}";
/// What the verifying load sends as its own context; no proxy that distrusts it may hand it on.
pub const FORGED: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
/// The most requests that are looked at.
const MOST: u64 = 500_000;

#[derive(Default)]
struct Watch {
    on: AtomicBool,
    seen: Mutex<Seen>,
}

#[derive(Default)]
struct Seen {
    requests: u64,
    malformed: u64,
    forged: u64,
    repeated: u64,
    traces: HashSet<u128>,
    spans: HashSet<u64>,
}

/// Serves until standard input ends. `watch` starts looking, `report` stops and tells
/// `requests malformed forged repeated`.
pub fn main() -> Result<ExitCode, String> {
    let watch = Arc::new(Watch::default());
    control::runtime()?.block_on(async {
        let listener = TcpListener::bind("127.0.0.1:0")
            .await
            .map_err(|error| error.to_string())?;
        let address = listener.local_addr().map_err(|error| error.to_string())?;
        let asked = Arc::clone(&watch);
        control::serve(address, move |question| asked.answer(question));
        loop {
            let (stream, _) = listener.accept().await.map_err(|error| error.to_string())?;
            tokio::spawn(connection(stream, Arc::clone(&watch)));
        }
    })
}

async fn connection(stream: TcpStream, watch: Arc<Watch>) {
    let mut first = [0; 3];
    let http2 = matches!(stream.peek(&mut first).await, Ok(3)) && &first == b"PRI";
    drop(stream.set_nodelay(true));
    let service = service_fn(move |request| {
        let response = respond(&request, &watch);
        async move { Ok::<_, Infallible>(response) }
    });
    // A connection that breaks shows as a failed request at the load generator.
    if http2 {
        let mut server = http2::Builder::new(TokioExecutor::new());
        let served = server
            .max_concurrent_streams(1000)
            .serve_connection(TokioIo::new(stream), service)
            .await;
        drop(served);
    } else {
        drop(
            http1::Builder::new()
                .serve_connection(TokioIo::new(stream), service)
                .await,
        );
    }
}

fn respond(request: &Request<Incoming>, watch: &Watch) -> Response<Full<Bytes>> {
    if watch.on.load(Ordering::Relaxed) {
        watch
            .seen
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .look(request.headers());
    }
    let mut response = Response::new(Full::new(Bytes::from_static(BODY)));
    response.headers_mut().insert(
        header::CONTENT_TYPE,
        HeaderValue::from_static("application/json"),
    );
    response
}

impl Watch {
    fn answer(&self, question: &str) -> String {
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        if question == "watch" {
            *seen = Seen::default();
            self.on.store(true, Ordering::Relaxed);
            return String::new();
        }
        self.on.store(false, Ordering::Relaxed);
        format!(
            "{} {} {} {}",
            seen.requests, seen.malformed, seen.forged, seen.repeated
        )
    }
}

impl Seen {
    fn look(&mut self, headers: &HeaderMap) {
        if self.requests == MOST {
            return;
        }
        self.requests += 1;
        let mut values = headers.get_all("traceparent").iter();
        let (Some(value), None) = (values.next(), values.next()) else {
            self.malformed += 1;
            return;
        };
        let Some((trace, span)) = value.to_str().ok().and_then(ids) else {
            self.malformed += 1;
            return;
        };
        let forged = ids(FORGED);
        self.forged +=
            u64::from(forged.is_some_and(|forged| forged.0 == trace || forged.1 == span));
        let new = self.traces.insert(trace) & self.spans.insert(span);
        self.repeated += u64::from(!new);
    }
}

/// Trace id and parent id of a version 00 traceparent.
fn ids(text: &str) -> Option<(u128, u64)> {
    let lower = text
        .bytes()
        .all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f' | b'-'));
    let parts: Vec<&str> = text.split('-').collect();
    let ["00", trace, span, flags] = parts[..] else {
        return None;
    };
    if !lower || (trace.len(), span.len(), flags.len()) != (32, 16, 2) {
        return None;
    }
    Some((
        u128::from_str_radix(trace, 16).ok()?,
        u64::from_str_radix(span, 16).ok()?,
    ))
}
