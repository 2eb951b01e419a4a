//! Servers that are lost while they answer. gRPC's libraries call that UNAVAILABLE where the
//! connection is their own, and clients go on elsewhere then: so it is called that here.

use std::sync::Arc;

use bytes::Bytes;
use h2::Reason;
use http::{HeaderValue, Response};
use tokio::net::TcpListener;
use tokio::sync::Notify;
use tonic::Code;

use super::super::background::{Background, listener, within};
use super::super::receiver::{Receiver, Speaks};
use super::peer::{self, Caller};
use super::service::Client;
use super::{ingress, recorded, spans};

/// How a server takes leave of a call it has begun to answer.
#[derive(Clone, Copy, Debug)]
enum Leave {
    /// It is killed.
    Killed,
    /// It is told to stop, and doesn't wait for its streams.
    Stopped,
    /// It ends the connection for a fault.
    Blames(Reason),
}

/// Answers one call with a head of this type and a message, and takes leave when told.
struct Lost {
    url: String,
    leave: Arc<Notify>,
    _running: Background,
}

impl Lost {
    fn start(kind: &'static str, how: Leave) -> Self {
        let (listener, address) = listener();
        let leave = Arc::<Notify>::default();
        let told = Arc::clone(&leave);
        let running = Background::run(move || async move {
            let listener = TcpListener::from_std(listener).expect("a usable socket");
            let (stream, _) = listener.accept().await.expect("a connection");
            let mut connection = h2::server::handshake(stream).await.expect("HTTP/2");
            let call = connection.accept().await.expect("a call").expect("a call");
            let (_request, mut respond) = call;
            let mut head = Response::new(());
            let kind = HeaderValue::from_static(kind);
            head.headers_mut().insert("content-type", kind);
            let mut body = respond.send_response(head, false).expect("sent");
            let message = Bytes::from_static(b"\0\0\0\0\x04part");
            body.send_data(message, false).expect("sent");
            tokio::select! {
                _ = connection.accept() => panic!("no other call"),
                () = told.notified() => {}
            }
            match how {
                Leave::Killed => return,
                Leave::Stopped => connection.graceful_shutdown(),
                Leave::Blames(reason) => connection.abrupt_shutdown(reason),
            }
            // Says goodbye.
            let goodbye = connection.accept();
            let _ = tokio::time::timeout(std::time::Duration::from_millis(50), goodbye).await;
        });
        Self {
            url: format!("http://{address}"),
            leave,
            _running: running,
        }
    }
}

#[tokio::test]
async fn a_call_whose_server_is_lost_in_mid_stream_is_unavailable() {
    for how in [
        Leave::Killed,
        Leave::Stopped,
        Leave::Blames(Reason::ENHANCE_YOUR_CALM),
    ] {
        let receiver = Receiver::start(Speaks::Grpc);
        let server = Lost::start("application/grpc+proto", how);
        let proxy = ingress(&server.url, &receiver);
        let mut client = Client::connect(proxy.at(0)).await;
        let (_messages, mut answers) = client.bidi("/test.Echo/Bidi").await.expect("a head");
        let first = within(answers.message()).await.expect("a message");
        assert_eq!(first.as_deref(), Some(&b"part"[..]), "{how:?}");
        server.leave.notify_one();
        let status = within(answers.message()).await.expect_err("not an end");
        assert_eq!(status.code(), Code::Unavailable, "{how:?}: {status}");
        assert!(status.message().contains("closed the connection"));
        recorded(&proxy, 1).await;
        drop(client);
        let span = spans(proxy, &receiver).await.remove(0);
        assert!(span.failed());
        assert_eq!(span.text("error.type"), "connection_closed", "{how:?}");
        assert_eq!(span.text("rpc.response.status_code"), "UNAVAILABLE");
    }
}

#[tokio::test]
async fn a_response_that_does_not_end_by_trailers_is_reset_when_its_server_is_lost() {
    for kind in ["application/grpc-web+proto", "text/plain"] {
        let receiver = Receiver::start(Speaks::Grpc);
        let server = Lost::start(kind, Leave::Killed);
        let proxy = ingress(&server.url, &receiver);
        let caller = Caller::connect(proxy.at(0)).await;
        let mut call = caller.call("/test.Echo/Bidi").await;
        let mut body = call.head().await.expect("a head").into_body();
        within(body.data()).await.expect("data").expect("data");
        server.leave.notify_one();
        let error = peer::read(&mut body).await.expect_err("not an end");
        assert_eq!(error.reason(), Some(Reason::INTERNAL_ERROR), "{kind}");
        recorded(&proxy, 1).await;
        drop(caller);
        let span = spans(proxy, &receiver).await.remove(0);
        assert_eq!(span.text("error.type"), "connection_closed", "{kind}");
        assert_eq!(span.get("rpc.response.status_code"), None, "{kind}");
    }
}
