//! A component behind the proxy: an HTTP server that remembers what reached it and answers as
//! the request's path tells. HTTP/1.1 and HTTP/2 by prior knowledge on one port.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::{Arc, Condvar, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::{HeaderMap, Method, Request, Response, StatusCode, Uri, Version};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use tokio::net::TcpListener;
use tokio::sync::oneshot;

/// How long a test waits for an event before it fails.
pub const PATIENCE: Duration = Duration::from_secs(20);

/// A request as it reached the component.
#[derive(Clone, Debug)]
pub struct Seen {
    /// Method.
    pub method: Method,
    /// Target.
    pub uri: Uri,
    /// Version.
    pub version: Version,
    /// Fields.
    pub headers: HeaderMap,
    /// The whole body.
    pub body: Bytes,
    /// Trailers.
    pub trailers: Option<HeaderMap>,
}

impl Seen {
    /// Values of a field, as text.
    pub fn values(&self, name: &str) -> Vec<String> {
        let text = |v: &http::HeaderValue| String::from_utf8_lossy(v.as_bytes()).into_owned();
        self.headers.get_all(name).iter().map(text).collect()
    }

    /// The one value of a field.
    pub fn value(&self, name: &str) -> Option<String> {
        let values = self.values(name);
        assert!(values.len() <= 1, "{name} came {} times", values.len());
        values.into_iter().next()
    }
}

#[derive(Default)]
struct Log {
    seen: Mutex<Vec<Seen>>,
    changed: Condvar,
}

/// A running component; ends when dropped.
pub struct Component {
    address: SocketAddr,
    log: Arc<Log>,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Component {
    /// Answers 200 with the request's body, or `/status/N` with status N.
    pub fn start() -> Self {
        Self::answering(echo)
    }

    /// The same at an address where another one was.
    pub fn start_at(address: SocketAddr) -> Self {
        let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None)
            .expect("a socket");
        socket.set_reuse_address(true).expect("an option");
        socket.bind(&address.into()).expect("a free address");
        socket.listen(64).expect("a listener");
        Self::serving(socket.into(), echo)
    }

    /// Answers as `answer` says.
    pub fn answering(
        answer: impl Fn(&Seen) -> Response<Full<Bytes>> + Send + Sync + 'static,
    ) -> Self {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
        Self::serving(listener, answer)
    }

    fn serving(
        listener: std::net::TcpListener,
        answer: impl Fn(&Seen) -> Response<Full<Bytes>> + Send + Sync + 'static,
    ) -> Self {
        listener.set_nonblocking(true).expect("a usable socket");
        let address = listener.local_addr().expect("an address");
        let log = Arc::new(Log::default());
        let (stop, stopped) = oneshot::channel();
        let (shared, answer) = (Arc::clone(&log), Arc::new(answer));
        let thread = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .expect("a runtime");
            runtime.block_on(async move {
                let listener = TcpListener::from_std(listener).expect("a usable socket");
                tokio::select! {
                    () = accept(listener, shared, answer) => {}
                    _ = stopped => {}
                }
            });
        });
        Self {
            address,
            log,
            stop: Some(stop),
            thread: Some(thread),
        }
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Its URL.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// What has reached it.
    pub fn seen(&self) -> Vec<Seen> {
        self.log.seen.lock().expect("no panic").clone()
    }

    /// Waits until that many requests have reached it.
    pub fn wait_for(&self, count: usize) -> Vec<Seen> {
        let until = Instant::now() + PATIENCE;
        let mut seen = self.log.seen.lock().expect("no panic");
        while seen.len() < count {
            let left = until.saturating_duration_since(Instant::now());
            assert!(!left.is_zero(), "{} of {count} requests came", seen.len());
            seen = self
                .log
                .changed
                .wait_timeout(seen, left)
                .expect("no panic")
                .0;
        }
        seen.clone()
    }
}

impl Drop for Component {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn echo(seen: &Seen) -> Response<Full<Bytes>> {
    let status = seen
        .uri
        .path()
        .strip_prefix("/status/")
        .and_then(|s| s.parse().ok())
        .unwrap_or(StatusCode::OK);
    let mut response = Response::new(Full::new(seen.body.clone()));
    *response.status_mut() = status;
    response
}

async fn accept<A>(listener: TcpListener, log: Arc<Log>, answer: Arc<A>)
where
    A: Fn(&Seen) -> Response<Full<Bytes>> + Send + Sync + 'static,
{
    while let Ok((stream, _)) = listener.accept().await {
        let (log, answer) = (Arc::clone(&log), Arc::clone(&answer));
        tokio::spawn(async move {
            let service = service_fn(move |request| {
                let (log, answer) = (Arc::clone(&log), Arc::clone(&answer));
                async move {
                    let seen = read(request).await;
                    let response = answer(&seen);
                    log.seen.lock().expect("no panic").push(seen);
                    log.changed.notify_all();
                    Ok::<_, Infallible>(response)
                }
            });
            let _ = auto::Builder::new(TokioExecutor::new())
                .serve_connection_with_upgrades(TokioIo::new(stream), service)
                .await;
        });
    }
}

async fn read(request: Request<Incoming>) -> Seen {
    let (parts, body) = request.into_parts();
    let (body, trailers) = match body.collect().await {
        Ok(collected) => {
            let trailers = collected.trailers().cloned();
            (collected.to_bytes(), trailers)
        }
        Err(_) => (Bytes::new(), None),
    };
    Seen {
        method: parts.method,
        uri: parts.uri,
        version: parts.version,
        headers: parts.headers,
        body,
        trailers,
    }
}
