//! What HTTP/2 callers get beyond a head and a body: interim responses, `Expect`, tunnels.

use std::future::poll_fn;

use bytes::Bytes;
use http::{HeaderMap, Method, Request, Response, StatusCode};
use tokio::sync::mpsc;

use super::proxy::{self, Proxy};
use super::streams::{self, Upstream, soon};
use super::wire::Scripted;

const NOWHERE: &str = "http://127.0.0.1:1";

fn hints() -> Response<()> {
    Response::builder()
        .status(StatusCode::EARLY_HINTS)
        .header("link", "</a>; rel=preload")
        .header("server-timing", "trace;desc=00-secret, db;dur=3")
        .body(())
        .expect("a head")
}

/// The next interim response.
async fn interim(response: &mut h2::client::ResponseFuture) -> Response<()> {
    let next = poll_fn(|cx| response.poll_informational(cx));
    soon(next).await.expect("one").expect("an open stream")
}

fn assert_are_hints(head: &Response<()>) {
    assert_eq!(head.status(), StatusCode::EARLY_HINTS);
    assert_eq!(head.headers()["link"], "</a>; rel=preload");
    // The caller isn't trusted with the upstream's trace.
    assert_eq!(head.headers()["server-timing"], "db;dur=3");
}

#[test]
fn interim_responses_of_http2_are_relayed_as_they_come() {
    let (go_on, mut told) = mpsc::channel::<()>(1);
    let upstream = Upstream::start(move |listener| async move {
        let mut connection = streams::accept(&listener).await;
        while let Some(Ok((_, mut respond))) = connection.accept().await {
            respond.send_informational(hints()).expect("sent");
            // The answer waits until the caller has said that it got the hints.
            while told.try_recv().is_err() {
                let moment = std::time::Duration::from_millis(2);
                tokio::select! {
                    () = tokio::time::sleep(moment) => {}
                    _ = poll_fn(|cx| connection.poll_closed(cx)) => return,
                }
            }
            respond
                .send_response(Response::new(()), true)
                .expect("sent");
        }
    });
    let proxy = Proxy::start(&proxy::ingress(&upstream.url(), NOWHERE, ""));
    let address = proxy.at(0);
    streams::run(async {
        let (mut caller, _ended) = streams::connect(address).await;
        // The first request waits for a connection, the second one has it at hand.
        for _ in 0..2 {
            let request = streams::request(Method::GET, address, "/");
            let (mut response, _) = caller.send_request(request, true).expect("sent");
            assert_are_hints(&interim(&mut response).await);
            go_on.send(()).await.expect("the component waits");
            assert_eq!(soon(response).await.expect("an answer").status(), 200);
        }
    });
}

#[test]
fn interim_responses_of_http1_reach_callers_of_http2() {
    let component = Scripted::start(1, |_, mut wire| {
        wire.head();
        wire.send(concat!(
            "HTTP/1.1 103 Early Hints\r\nLink: </a>; rel=preload\r\n",
            "Server-Timing: trace;desc=00-secret, db;dur=3\r\n\r\n",
        ));
        // The end of the caller's body says that it got the hints.
        assert_eq!(wire.exactly(5), b"0\r\n\r\n");
        wire.send("HTTP/1.1 204 No Content\r\n\r\n");
    });
    let yaml = proxy::ingress(&component.url(), NOWHERE, "");
    let proxy = Proxy::start(&proxy::with_upstream(&yaml, "protocol: http1"));
    let address = proxy.at(0);
    streams::run(async {
        let (mut caller, _ended) = streams::connect(address).await;
        let request = streams::request(Method::POST, address, "/");
        let (mut response, mut body) = caller.send_request(request, false).expect("sent");
        assert_are_hints(&interim(&mut response).await);
        body.send_data(Bytes::new(), true).expect("sent");
        assert_eq!(soon(response).await.expect("an answer").status(), 204);
    });
    component.join();
}

#[test]
fn an_upstream_of_http2_hears_what_the_caller_expects_and_says_when_to_go_on() {
    let upstream = Upstream::start(|listener| async move {
        let mut connection = streams::accept(&listener).await;
        while let Some(Ok((request, mut respond))) = connection.accept().await {
            assert_eq!(request.headers()["expect"], "100-continue");
            tokio::spawn(async move {
                let mut body = request.into_body();
                let go_on = Response::builder().status(StatusCode::CONTINUE);
                respond
                    .send_informational(go_on.body(()).expect("a head"))
                    .expect("sent");
                let (bytes, _) = streams::collect(&mut body).await.expect("a body");
                let mut send = respond
                    .send_response(Response::new(()), false)
                    .expect("sent");
                send.send_data(bytes.into(), true).expect("sent");
            });
        }
    });
    let proxy = Proxy::start(&proxy::ingress(&upstream.url(), NOWHERE, ""));
    let address = proxy.at(0);
    streams::run(async {
        let (mut caller, _ended) = streams::connect(address).await;
        let mut request = streams::request(Method::PUT, address, "/");
        let expect = "100-continue".parse().expect("a value");
        request.headers_mut().insert("expect", expect);
        let (mut response, mut send) = caller.send_request(request, false).expect("sent");
        assert_eq!(interim(&mut response).await.status(), StatusCode::CONTINUE);
        send.send_data("body".into(), true).expect("sent");
        let mut body = soon(response).await.expect("an answer").into_body();
        let (bytes, trailers): (_, Option<HeaderMap>) =
            streams::collect(&mut body).await.expect("a body");
        assert_eq!((&*bytes, trailers), (&b"body"[..], None));
    });
}

/// CONNECT to some authority.
pub fn connect() -> Request<()> {
    Request::builder()
        .method(Method::CONNECT)
        .uri("example.com:443")
        .body(())
        .expect("a request")
}

#[test]
fn connect_over_http2_makes_a_tunnel_of_the_stream_alone() {
    const MUCH: usize = 300_000;
    let component = Scripted::start(1, |_, mut wire| {
        let head = wire.head();
        assert!(
            head.starts_with("CONNECT example.com:443 HTTP/1.1\r\n"),
            "{head}"
        );
        wire.send("HTTP/1.1 200 OK\r\n\r\nhello");
        // The caller ends its direction first and still hears.
        let came = wire.rest();
        assert!(came.len() == MUCH && came.iter().all(|byte| *byte == 7));
        wire.send(vec![9; MUCH]);
    });
    let allowed = "  allowConnect: true\n";
    let proxy = Proxy::start(&proxy::ingress(&component.url(), NOWHERE, allowed));
    let address = proxy.at(0);
    streams::run(async {
        let (mut caller, _ended) = streams::connect(address).await;
        let (response, mut send) = caller.send_request(connect(), false).expect("sent");
        let response = soon(response).await.expect("an answer");
        assert_eq!(response.status(), 200);
        let mut body = response.into_body();
        let first = soon(body.data()).await.expect("bytes").expect("bytes");
        assert_eq!(first, "hello");
        let _ = body.flow_control().release_capacity(first.len());
        send.send_data(vec![7; MUCH].into(), true).expect("sent");
        let (rest, _) = streams::collect(&mut body).await.expect("the rest");
        assert!(rest.len() == MUCH && rest.iter().all(|byte| *byte == 9));
    });
    component.join();
}

#[test]
fn connect_over_http2_is_refused_unless_allowed_and_opens_no_tunnel_unless_answered_so() {
    for (allowed, answer, expected) in [
        ("", None, 405),
        (
            "  allowConnect: true\n",
            Some("HTTP/1.1 407 Who are you\r\nContent-Length: 3\r\n\r\nno!"),
            407,
        ),
    ] {
        let component = Scripted::start(usize::from(answer.is_some()), move |_, mut wire| {
            wire.head();
            wire.send(answer.unwrap_or_default());
            assert_eq!(wire.rest(), b"", "nothing of the caller's stream");
        });
        let proxy = Proxy::start(&proxy::ingress(&component.url(), NOWHERE, allowed));
        let address = proxy.at(0);
        streams::run(async {
            let (mut caller, _ended) = streams::connect(address).await;
            let (response, mut send) = caller.send_request(connect(), false).expect("sent");
            let _ = send.send_data("early".into(), false);
            let response = soon(response).await.expect("an answer");
            assert_eq!(response.status(), expected);
        });
        drop(proxy);
        component.join();
    }
}

#[test]
fn an_upstream_that_answers_no_ping_is_given_up_and_one_that_does_may_be_slow() {
    use tokio::io::AsyncWriteExt as _;
    let slow = std::time::Duration::from_millis(3500);
    let upstream = Upstream::start(move |listener| async move {
        // The first connection has had enough of HTTP/2 once it has said hello.
        let (mut deaf, _) = listener.accept().await.expect("a connection");
        deaf.write_all(b"\0\0\0\x04\0\0\0\0\0").await.expect("sent");
        let mut connection = streams::accept(&listener).await;
        while let Some(Ok((_, mut respond))) = connection.accept().await {
            tokio::spawn(async move {
                tokio::time::sleep(slow).await;
                let _ = respond.send_response(Response::new(()), true);
            });
        }
    });
    let yaml = proxy::ingress(&upstream.url(), NOWHERE, "");
    let pings = "keepalive: {http2Ping: 1s, timeout: 1s}";
    let proxy = Proxy::start(&proxy::with_upstream(&yaml, pings));
    let address = proxy.at(0);
    streams::run(async {
        let (mut caller, _ended) = streams::connect(address).await;
        for (expected, why) in [(502, "deaf"), (200, "slow")] {
            let request = streams::request(Method::POST, address, "/");
            let (response, _) = caller.send_request(request, true).expect("sent");
            assert_eq!(soon(response).await.expect(why).status(), expected, "{why}");
        }
    });
}

#[test]
fn an_upstream_that_takes_leave_of_every_connection_at_once_is_not_called_for_ever() {
    use tokio::io::AsyncWriteExt as _;
    const HELLO_AND_GOODBYE: &[u8] = b"\0\0\0\x04\0\0\0\0\0\0\0\x08\x07\0\0\0\0\0\0\0\0\0\0\0\0\0";
    let upstream = Upstream::start(|listener| async move {
        let mut kept = Vec::new();
        loop {
            let (mut socket, _) = listener.accept().await.expect("a connection");
            let _ = socket.write_all(HELLO_AND_GOODBYE).await;
            kept.push(socket);
        }
    });
    let proxy = Proxy::start(&proxy::ingress(&upstream.url(), NOWHERE, ""));
    let address = proxy.at(0);
    streams::run(async {
        let (mut caller, _ended) = streams::connect(address).await;
        let request = streams::request(Method::GET, address, "/");
        let (response, _) = caller.send_request(request, true).expect("sent");
        assert_eq!(soon(response).await.expect("an answer").status(), 502);
    });
}
