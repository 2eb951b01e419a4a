//! gRPC through the proxy: every kind of call, its end and its faults, with a real service and
//! with peers that look beneath gRPC.

mod calls;
mod faults;
mod lost;
mod peer;
pub mod service;
mod streams;

use super::background::within;
use super::proxy::{self, Proxy};
use super::receiver::Receiver;
use super::span_view::{View, views};

/// The service's methods, but for one.
const KNOWN: &str = "  span: {knownRpcMethods: [test.Echo/Unary, test.Echo/ClientStream, \
     test.Echo/ServerStream, test.Echo/Bidi, test.Echo/Fail, test.Echo/FailLate]}\n";

/// An ingress listener that knows the service's methods.
fn ingress(upstream: &str, receiver: &Receiver) -> Proxy {
    Proxy::start(&proxy::ingress(upstream, receiver.endpoint(), KNOWN))
}

/// Drains the proxy while the test's own connections can still take part, and reads the spans.
async fn spans(proxy: Proxy, receiver: &Receiver) -> Vec<View> {
    let status = proxy.export().recorded();
    let stopped = tokio::task::spawn_blocking(move || proxy.stop());
    within(stopped).await.expect("a clean stop");
    let views = views(receiver);
    assert_eq!(views.len() as u64, status, "every span made is received");
    views
}

/// Waits until that many spans have been made: requests end after their callers have read on.
async fn recorded(proxy: &Proxy, count: u64) {
    within(async {
        while proxy.export().recorded() < count {
            tokio::time::sleep(std::time::Duration::from_millis(1)).await;
        }
    })
    .await;
}
