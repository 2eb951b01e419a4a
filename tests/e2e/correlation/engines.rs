//! Whatever is spoken on either side of the component.

use std::net::SocketAddr;
use std::sync::OnceLock;

use http::{Method, Request, Response};
use hyper::body::Incoming;

use crate::caller::{self, Caller, Speaks, block_on};
use crate::component::Component;
use crate::proxy::Proxy;
use crate::server::{Listen, Server};

static EGRESS: OnceLock<SocketAddr> = OnceLock::new();

/// Asks the outside over the egress listener, in the version it was asked in, and copies nothing
/// but the request's name.
async fn component(request: Request<Incoming>) -> Response<caller::Body> {
    let speaks = match request.version() {
        http::Version::HTTP_2 => Speaks::Http2,
        _ => Speaks::Http1,
    };
    let egress = *EGRESS.get().expect("the proxy runs");
    let mut caller = Caller::tcp(egress, speaks).await;
    let name = request.headers().get("x-request-id").expect("a name");
    let asked = caller
        .request(Method::POST, "/out")
        .header("x-request-id", name);
    let answer = caller
        .exchange(asked.body(caller::full("hello")).expect("a request"))
        .await;
    assert_eq!(answer.status, 200);
    let context = &request.headers()["traceparent"];
    let response = Response::builder().header("handed-on", context);
    response.body(caller::empty()).expect("a response")
}

#[test]
fn whatever_is_spoken_the_requests_are_joined() {
    let outside = Component::start();
    let inside = Server::start(Listen::Tcp, component);
    let proxy = Proxy::start(&format!(
        "workers: 2
tracing: {{samplingRatePerMillion: 1000000, export: {{protocol: none}}}}
propagation: {{correlateBy: [x-request-id]}}
listeners:
- name: in
  bind: 127.0.0.1:0
  upstream: {{url: \"{}\"}}
- name: in-http1
  bind: 127.0.0.1:0
  upstream: {{url: \"{0}\", protocol: http1}}
- name: out
  bind: 127.0.0.1:0
  direction: egress
  upstream: {{url: \"{}\"}}
",
        inside.url(),
        outside.url()
    ));
    EGRESS.set(proxy.at(2)).expect("once");
    for speaks in Speaks::BOTH {
        for listener in [0, 1] {
            let answer = block_on(async {
                let mut caller = Caller::tcp(proxy.at(listener), speaks).await;
                let request = caller
                    .request(Method::GET, "/in")
                    .header("x-request-id", "a");
                let request = request.body(caller::empty()).expect("a request");
                caller.exchange(request).await
            });
            assert_eq!(answer.status, 200);
            let handed = answer.field("handed-on").expect("a context");
            let seen = outside.seen().pop().expect("it was asked");
            assert_eq!(&seen.body[..], b"hello");
            let left = seen.value("traceparent").expect("a context");
            // Where nothing is exported the parent's id is relayed.
            assert_eq!(left, handed, "{speaks:?}, listener {listener}");
        }
    }
}
