//! The shortest way through: a request goes in, a true span comes out.

use super::component::Component;
use super::proxy::{self, Proxy};
use super::receiver::{Receiver, Speaks};
use super::wire;

#[test]
fn a_request_goes_in_and_a_true_span_comes_out() {
    let (component, receiver) = (Component::start(), Receiver::start(Speaks::Grpc));
    let proxy = Proxy::start(&proxy::ingress(&component.url(), receiver.endpoint(), ""));
    let answer = wire::exchange(
        proxy.at(0),
        "GET /a HTTP/1.1\r\nHost: example.com\r\nConnection: close\r\n\r\n",
    );
    assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{answer}");
    let seen = component.wait_for(1).remove(0);
    proxy.stop();

    let spans = receiver.wait_for_spans(1);
    let hex = |bytes: &[u8]| bytes.iter().map(|b| format!("{b:02x}")).collect::<String>();
    let (trace, span) = (hex(&spans[0].trace_id), hex(&spans[0].span_id));
    assert_eq!(
        seen.value("traceparent").as_deref(),
        Some(format!("00-{trace}-{span}-03").as_str())
    );
    assert_eq!(spans[0].name, "GET");
}
