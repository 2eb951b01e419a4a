//! Calls to a real service: every kind, every way to end, metadata.

use bytes::Bytes;
use tonic::metadata::MetadataValue;
use tonic::{Code, Request};

use super::super::background::within;
use super::super::receiver::{Receiver, Speaks};
use super::service::{Client, Server};
use super::{ingress, recorded, spans};

#[tokio::test]
async fn every_kind_of_call_comes_through_as_one_span() {
    let (server, receiver) = (Server::start(), Receiver::start(Speaks::Grpc));
    let proxy = ingress(&server.url(), &receiver);
    let mut client = Client::connect(proxy.at(0)).await;

    let request = Request::new(Bytes::from("one"));
    let unary = client.unary("/test.Echo/Unary", request).await.unwrap();
    assert_eq!(unary.into_inner(), "one");

    let joined = client.client_stream("/test.Echo/ClientStream", vec!["a", "b", "c"]);
    assert_eq!(joined.await.unwrap().into_inner(), "abc");

    let streamed = client.server_stream("/test.Echo/ServerStream", "100");
    let mut streamed = streamed.await.unwrap().into_inner();
    for index in 0..100 {
        let message = within(streamed.message()).await.unwrap();
        assert_eq!(message.unwrap(), index.to_string());
    }
    assert_eq!(within(streamed.message()).await.unwrap(), None);

    recorded(&proxy, 3).await;
    drop((client, streamed));
    let spans = spans(proxy, &receiver).await;
    let names: Vec<&str> = spans.iter().map(|span| span.0.name.as_str()).collect();
    let methods = ["Unary", "ClientStream", "ServerStream"].map(|m| format!("test.Echo/{m}"));
    assert_eq!(names, methods);
    for (span, method) in spans.iter().zip(&methods) {
        assert_eq!(span.text("rpc.system.name"), "grpc");
        assert_eq!(span.text("rpc.method"), *method);
        assert_eq!(span.text("rpc.response.status_code"), "OK");
        assert_eq!(span.text("network.protocol.version"), "2");
        assert!(!span.failed() && span.get("error.type").is_none());
        assert_eq!(span.parent(), "", "{method} begins a trace");
    }
    // What went upstream is the context of exactly these spans.
    let context = |headers: &http::HeaderMap| {
        let lines: Vec<_> = headers.get_all("traceparent").iter().collect();
        assert_eq!(lines.len(), 1);
        lines[0].to_str().unwrap().to_owned()
    };
    let sent: Vec<String> = server.calls().iter().map(|(_, h)| context(h)).collect();
    let told = |span: &super::View| format!("00-{}-{}-03", span.trace(), span.id());
    assert_eq!(sent, spans.iter().map(told).collect::<Vec<_>>());
}

#[tokio::test]
async fn a_bidirectional_call_is_relayed_message_by_message_and_ends_its_span_last() {
    let (server, receiver) = (Server::start(), Receiver::start(Speaks::Grpc));
    let proxy = ingress(&server.url(), &receiver);
    let mut client = Client::connect(proxy.at(0)).await;
    let (send, mut receive) = client.bidi("/test.Echo/Bidi").await.unwrap();
    for turn in 0..50 {
        // The next message leaves only when the last one has come back: nothing is held back.
        send.send(Bytes::from(format!("turn {turn}")))
            .await
            .unwrap();
        let back = within(receive.message()).await.unwrap();
        assert_eq!(back.unwrap(), format!("turn {turn}"));
    }
    assert_eq!(proxy.export().recorded(), 0, "the call is still open");
    drop(send);
    assert_eq!(within(receive.message()).await.unwrap(), None);
    recorded(&proxy, 1).await;
    drop((client, receive));
    let spans = spans(proxy, &receiver).await;
    assert_eq!(spans.len(), 1);
    assert_eq!(spans[0].0.name, "test.Echo/Bidi");
    assert_eq!(spans[0].text("rpc.response.status_code"), "OK");
}

#[tokio::test]
async fn status_codes_arrive_and_stand_on_the_span_wherever_they_are_sent() {
    let (server, receiver) = (Server::start(), Receiver::start(Speaks::Grpc));
    let proxy = ingress(&server.url(), &receiver);
    let mut client = Client::connect(proxy.at(0)).await;
    // Whether the code is an error of the server's, by the conventions.
    let codes = [
        (Code::InvalidArgument, "INVALID_ARGUMENT", false),
        (Code::NotFound, "NOT_FOUND", false),
        (Code::Unimplemented, "UNIMPLEMENTED", true),
        (Code::Internal, "INTERNAL", true),
        (Code::Unavailable, "UNAVAILABLE", true),
        (Code::Unauthenticated, "UNAUTHENTICATED", false),
    ];
    let detail = |status: &tonic::Status| status.metadata().get_bin("detail-bin").cloned();
    let sent = MetadataValue::from_bytes(&[0, 255, 7]);
    for (code, ..) in codes {
        let number = Bytes::from((code as i32).to_string());
        let early = client.unary("/test.Echo/Fail", Request::new(number.clone()));
        let early = early.await.unwrap_err();
        assert_eq!((early.code(), early.message()), (code, "told to"));
        assert_eq!(detail(&early), Some(sent.clone()));

        let text = (code as i32).to_string().leak();
        let late = client.server_stream("/test.Echo/FailLate", text).await;
        let mut late = late.unwrap().into_inner();
        assert_eq!(within(late.message()).await.unwrap().unwrap(), "first");
        let late = within(late.message()).await.unwrap_err();
        assert_eq!((late.code(), late.message()), (code, "told to"));
        assert_eq!(detail(&late), Some(sent.clone()));
    }
    recorded(&proxy, 2 * codes.len() as u64).await;
    drop(client);
    let spans = spans(proxy, &receiver).await;
    for ((_, name, error), pair) in codes.iter().zip(spans.chunks(2)) {
        for span in pair {
            assert_eq!(span.text("rpc.response.status_code"), *name);
            assert_eq!(span.failed(), *error, "{name}");
            let kind = error.then(|| (*name).to_owned());
            assert_eq!(span.get("error.type"), kind, "{name}");
        }
    }
}

#[tokio::test]
async fn a_method_not_known_in_advance_mints_no_name() {
    let (server, receiver) = (Server::start(), Receiver::start(Speaks::Grpc));
    let proxy = ingress(&server.url(), &receiver);
    let mut client = Client::connect(proxy.at(0)).await;
    let request = Request::new(Bytes::new());
    let status = client.unary("/test.Echo/Strange", request).await;
    let status = status.unwrap_err();
    assert_eq!(status.code(), Code::Unimplemented);
    assert_eq!(status.message(), "no such method");
    recorded(&proxy, 1).await;
    drop(client);
    let span = spans(proxy, &receiver).await.remove(0);
    assert_eq!(span.0.name, "grpc");
    assert_eq!(span.text("rpc.method"), "_OTHER");
    assert_eq!(span.text("rpc.method_original"), "test.Echo/Strange");
    assert_eq!(span.text("rpc.response.status_code"), "UNIMPLEMENTED");
}

#[tokio::test]
async fn metadata_survives_both_ways() {
    let (server, receiver) = (Server::start(), Receiver::start(Speaks::Grpc));
    let proxy = ingress(&server.url(), &receiver);
    let mut client = Client::connect(proxy.at(0)).await;
    let mut request = Request::new(Bytes::from("x"));
    let metadata = request.metadata_mut();
    metadata.insert("hasleader", "true".parse().unwrap());
    metadata.insert("grpc-timeout", "5S".parse().unwrap());
    metadata.append("echo", "one".parse().unwrap());
    metadata.append("echo", "two".parse().unwrap());
    let binary = MetadataValue::from_bytes(&[0, 1, 254, 255]);
    metadata.insert_bin("echo-bin", binary.clone());
    let response = client.unary("/test.Echo/Unary", request).await.unwrap();

    let (_, upstream) = server.calls().remove(0);
    let lines = |name: &str| -> Vec<String> {
        let values = upstream.get_all(name).iter();
        values.map(|v| v.to_str().unwrap().to_owned()).collect()
    };
    assert_eq!(lines("hasleader"), ["true"]);
    assert_eq!(lines("grpc-timeout"), ["5S"]);
    assert_eq!(lines("te"), ["trailers"]);
    assert_eq!(lines("echo"), ["one", "two"]);
    let back = response.metadata();
    let echoed: Vec<_> = back.get_all("echo").iter().collect();
    assert_eq!(echoed, ["one", "two"]);
    assert_eq!(back.get_bin("echo-bin"), Some(&binary));
    drop(client);
    spans(proxy, &receiver).await;
}
