//! The socket of a container runtime: unix on both sides, gRPC and HTTP/1.1, a real containerd.

mod authorities;
mod containerd;
mod ctr;
mod messages;
mod runtime;

use std::path::{Path, PathBuf};

use http::{Method, Request, Response};
use hyper::body::Incoming;

use super::caller::{Body, Caller, Speaks, block_on, empty, full};
use super::files::TempDir;
use super::proxy::{self, Proxy};
use super::server::{Listen, Server};
use super::wire;

/// A proxy on a unix socket in front of one.
struct Listener {
    socket: PathBuf,
    proxy: Proxy,
}

fn listener(directory: &TempDir, upstream: &Path, protocol: &str) -> Listener {
    let socket = directory.join("proxy");
    let url = upstream.display();
    let upstream = format!("{{url: \"unix://{url}\", protocol: {protocol}}}");
    let bind = format!("unix://{}", socket.display());
    let yaml = proxy::quiet(&upstream, "").replace("127.0.0.1:0", &bind);
    let proxy = Proxy::start(&yaml);
    Listener { socket, proxy }
}

/// Tells what it was asked in.
async fn tell(request: Request<Incoming>) -> Response<Body> {
    let path = request.uri().path().to_owned();
    Response::new(full(format!("{path} by {:?}", request.version())))
}

#[test]
fn plain_http1_and_grpcs_http2_are_served_on_one_socket() {
    let directory = TempDir::new();
    let upstream = directory.join("runtime");
    let server = Server::start(Listen::Unix(upstream.clone()), tell);
    let listener = listener(&directory, &upstream, "auto");
    block_on(async {
        let mut grpc = Caller::unix(&listener.socket, Speaks::Http2).await;
        for _ in 0..2 {
            let call = grpc.request(Method::POST, "/runtime.v1.RuntimeService/Version");
            let call = call.header("content-type", "application/grpc");
            let call = call.header("te", "trailers").body(empty());
            let answer = grpc.exchange(call.expect("a request")).await;
            let text = answer.text();
            assert_eq!(text, "/runtime.v1.RuntimeService/Version by HTTP/2.0");
            // As cAdvisor asks CRI-O.
            let info = "GET /info HTTP/1.1\r\nHost: crio\r\nConnection: close\r\n\r\n";
            let socket = listener.socket.clone();
            let asked = tokio::task::spawn_blocking(move || wire::exchange_unix(&socket, info));
            let answer = asked.await.expect("an answer");
            assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{answer}");
            assert!(answer.ends_with("/info by HTTP/1.1"), "{answer}");
        }
    });
    assert!(server.connections() >= 2, "one of each version");
    listener.proxy.stop();
    assert!(!listener.socket.exists());
}
