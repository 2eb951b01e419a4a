//! One stream's fault is that stream's alone, and it is put down to whoever committed it.

use std::net::TcpListener;
use std::sync::mpsc;
use std::time::Duration;

use bytes::Bytes;
use http::{Method, Response};

use super::frames::{Answered, Came, Field, Frames};
use super::http2_relay::connect;
use super::proxy::{self, Proxy};
use super::receiver::{Receiver, Speaks, attribute};
use super::streams::{self, Upstream, soon};
use super::wire::Scripted;

const NOWHERE: &str = "http://127.0.0.1:1";
/// "At once" for a machine that does other things too.
const PROMPTLY: Duration = Duration::from_secs(5);

const OK: Field<'static> = (b":status", b"200");

/// A component that writes frames as they are, on one connection.
pub fn framed(script: impl FnOnce(Frames) + Send + 'static) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let url = format!("http://{}", listener.local_addr().expect("an address"));
    std::thread::spawn(move || script(Frames::accept(&listener)));
    url
}

/// A component that answers at once and reads no body; it allows so many streams a connection, and
/// so many bytes ahead on each.
pub fn hasty(streams: u32, window: u32) -> Upstream {
    Upstream::start(move |listener| async move {
        loop {
            let (socket, _) = listener.accept().await.expect("a connection");
            let mut builder = h2::server::Builder::new();
            builder
                .max_concurrent_streams(streams)
                .initial_window_size(window);
            tokio::spawn(async move {
                let mut connection = builder.handshake::<_, Bytes>(socket).await.expect("HTTP/2");
                let mut unread = Vec::new();
                while let Some(Ok((request, mut respond))) = connection.accept().await {
                    // It may want to read the rest, and doesn't say that it won't.
                    unread.push(request.into_body());
                    let _ = respond.send_response(Response::new(()), true);
                }
            });
        }
    })
}

#[test]
fn late_frames_of_streams_that_were_cancelled_cost_the_other_streams_nothing() {
    // More than the engine remembers at a time, often enough for what it forgives otherwise.
    const AT_ONCE: usize = 100;
    const ROUNDS: usize = 25;
    let url = framed(|mut frames| {
        loop {
            match frames.came() {
                Came::Head(stream) => {
                    frames.head(stream, &[OK], false);
                }
                // It was under way when the stream was cancelled.
                Came::Reset(stream, _) => {
                    frames.data(stream, b"late");
                }
                Came::End(_) => return,
            }
        }
    });
    let proxy = Proxy::start(&proxy::ingress(&url, NOWHERE, ""));
    let address = proxy.at(0);
    streams::run(async {
        let get = || streams::request(Method::GET, address, "/");
        let (mut watcher, _ended) = streams::connect(address).await;
        let (watch, _) = watcher.send_request(get(), true).expect("sent");
        let mut watch = soon(watch).await.expect("an answer").into_body();
        let (mut caller, _ended) = streams::connect(address).await;
        for _ in 0..ROUNDS {
            let mut open = Vec::new();
            for _ in 0..AT_ONCE {
                let (response, _) = caller.send_request(get(), true).expect("sent");
                open.push(response);
            }
            for response in open.drain(..) {
                soon(response).await.expect("an answer");
            }
        }
        // Nothing must come, the end of the watch least of all.
        let ended = tokio::time::timeout(Duration::from_millis(500), watch.data()).await;
        assert!(ended.is_err(), "{ended:?}");
    });
}

#[test]
fn answers_to_unfinished_uploads_leave_room_for_other_requests() {
    const ALLOWED: u32 = 4;
    let upstream = hasty(ALLOWED, 65_535);
    let proxy = Proxy::start(&proxy::ingress(&upstream.url(), NOWHERE, ""));
    let address = proxy.at(0);
    streams::run(async {
        let (mut caller, _ended) = streams::connect(address).await;
        let mut uploads = Vec::new();
        for _ in 0..ALLOWED {
            let request = streams::request(Method::POST, address, "/");
            let (response, upload) = caller.send_request(request, false).expect("sent");
            uploads.push(upload);
            assert_eq!(soon(response).await.expect("an answer").status(), 200);
        }
        let request = streams::request(Method::GET, address, "/");
        let (response, _) = caller.send_request(request, true).expect("sent");
        assert_eq!(soon(response).await.expect("an answer").status(), 200);
    });
}

#[test]
fn an_answer_that_breaks_the_protocol_is_the_upstreams_fault() {
    let rows: [(&str, &[Field<'_>], Option<&[u8]>); 3] = [
        (
            "a connection's field",
            &[OK, (b"connection", b"close")],
            None,
        ),
        ("no status", &[(b"x-a", b"b")], None),
        (
            "a body longer than said",
            &[OK, (b"content-length", b"2")],
            Some(b"long"),
        ),
    ];
    for (why, head, body) in rows {
        let (head, body) = (head.to_vec(), body);
        let receiver = Receiver::start(Speaks::Grpc);
        let url = framed(move |mut frames| {
            while let Came::Head(stream) = frames.came() {
                frames.head(stream, &head, body.is_none());
                frames.last_data(stream, body.unwrap_or_default());
            }
        });
        let proxy = Proxy::start(&proxy::ingress(&url, receiver.endpoint(), ""));
        let address = proxy.at(0);
        streams::run(async {
            let (mut caller, _ended) = streams::connect(address).await;
            let request = streams::request(Method::GET, address, "/");
            let (response, _) = caller.send_request(request, true).expect("sent");
            match soon(response).await {
                Ok(answer) if body.is_none() => assert_eq!(answer.status(), 502, "{why}"),
                Ok(answer) => {
                    let mut body = answer.into_body();
                    let error = soon(streams::collect(&mut body)).await.expect_err(why);
                    assert_eq!(error.reason(), Some(h2::Reason::INTERNAL_ERROR), "{why}");
                }
                // Over before its head was sent.
                Err(error) => {
                    assert!(body.is_some(), "{why}: {error}");
                    assert_eq!(error.reason(), Some(h2::Reason::INTERNAL_ERROR), "{why}");
                }
            }
        });
        let span = proxy.spans(&receiver, 1).remove(0);
        let named = attribute(&span.attributes, "error.type");

        assert_eq!(named.as_deref(), Some("protocol_error"), "{why}");
    }
}

#[test]
fn a_request_that_breaks_the_protocol_is_cancelled_and_not_put_down_to_us() {
    const CANCEL: u32 = 8;
    for answered in [false, true] {
        let (told, tells) = mpsc::channel();
        let url = framed(move |mut frames| {
            let came = frames.came();
            if answered {
                frames.head(1, &[OK], false);
            }
            told.send(came).expect("the test waits");
            told.send(frames.came()).expect("the test waits");
        });
        let proxy = Proxy::start(&proxy::ingress(&url, NOWHERE, ""));
        let mut caller = Frames::connect(proxy.at(0));
        let mut fields = super::frames::pseudo("POST", "/");
        fields.push((b"content-length", b"2"));
        caller.head(1, &fields, false);
        assert_eq!(tells.recv_timeout(PROMPTLY), Ok(Came::Head(1)));
        if answered {
            assert_eq!(caller.answered(1), Answered::Status(200));
        }
        caller.last_data(1, b"long");
        let came = tells.recv_timeout(PROMPTLY);
        assert_eq!(came, Ok(Came::Reset(1, CANCEL)), "answered: {answered}");
    }
}

#[test]
fn a_connect_that_announces_a_body_is_refused_like_over_http1() {
    let component = Scripted::start(1, |_, mut wire| {
        // An upstream that heard of a body would have waited for this as its first bytes.
        let head = wire.head();
        assert!(head.starts_with("GET /next "), "{head}");
        wire.send("HTTP/1.1 204 No Content\r\n\r\n");
    });
    let yaml = proxy::ingress(&component.url(), NOWHERE, "  allowConnect: true\n");
    let proxy = Proxy::start(&proxy::with_upstream(&yaml, "protocol: http1"));
    let address = proxy.at(0);
    streams::run(async {
        let (mut caller, _ended) = streams::connect(address).await;
        let mut request = connect();
        let length = "5".parse().expect("a value");
        request.headers_mut().insert("content-length", length);
        let (response, _send) = caller.send_request(request, false).expect("sent");
        assert_eq!(soon(response).await.expect("an answer").status(), 400);
        let request = streams::request(Method::GET, address, "/next");
        let (response, _) = caller.send_request(request, true).expect("sent");
        assert_eq!(soon(response).await.expect("an answer").status(), 204);
    });
    component.join();
}

#[test]
fn a_tunnels_caller_that_goes_away_after_it_ended_its_direction_ends_it() {
    for whole_connection in [false, true] {
        let receiver = Receiver::start(Speaks::Grpc);
        let (ended, ends) = mpsc::channel();
        let (done, over) = mpsc::channel::<()>();
        let component = Scripted::start(1, move |_, mut wire| {
            wire.head();
            wire.send("HTTP/1.1 200 OK\r\n\r\n");
            assert_eq!(wire.exactly(3), b"bye");
            // The caller's end; this side could still speak, and doesn't.
            assert_eq!(wire.some(), b"");
            ended.send(()).expect("the test waits");
            let _ = over.recv();
        });
        let allowed = "  allowConnect: true\n";
        let yaml = proxy::ingress(&component.url(), receiver.endpoint(), allowed);
        let proxy = Proxy::start(&yaml);
        let address = proxy.at(0);
        streams::run(async {
            let (mut caller, connection) = streams::connect(address).await;
            let (response, mut send) = caller.send_request(connect(), false).expect("sent");
            let _body = soon(response).await.expect("an answer").into_body();
            send.send_data("bye".into(), true).expect("sent");
            tokio::task::spawn_blocking(move || ends.recv_timeout(PROMPTLY))
                .await
                .expect("no panic")
                .expect("the end arrives");
            if whole_connection {
                connection.abort();
            } else {
                send.send_reset(h2::Reason::CANCEL);
            }
            streams::until(|| proxy.export().recorded() == 1).await;
        });
        let span = proxy.spans(&receiver, 1).remove(0);
        let cancelled = attribute(&span.attributes, "tracegate.cancelled");
        assert_eq!(cancelled.as_deref(), Some("true"));
        drop(done);
        component.join();
    }
}

#[test]
fn a_switch_of_protocols_among_interim_responses_never_reaches_the_caller() {
    let url = framed(|mut frames| {
        while let Came::Head(stream) = frames.came() {
            frames.head(stream, &[(b":status", b"101")], false);
            frames.head(stream, &[OK], true);
        }
    });
    let proxy = Proxy::start(&proxy::ingress(&url, NOWHERE, ""));
    let address = proxy.at(0);
    streams::run(async {
        let (mut caller, _ended) = streams::connect(address).await;
        for _ in 0..2 {
            let request = streams::request(Method::GET, address, "/");
            let (mut response, _) = caller.send_request(request, true).expect("sent");
            let interim = std::future::poll_fn(|cx| response.poll_informational(cx));
            let interim = soon(interim).await;
            assert!(!matches!(interim, Some(Ok(_))), "{interim:?}");
        }
    });
}
