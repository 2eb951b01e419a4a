//! What the engine of HTTP/2 counts against a connection must not end it for those who share it.

use std::time::Duration;

use bytes::Bytes;
use http::{Method, Response};
use tokio::net::TcpStream;

use super::frames::{Answered, Came, Frames, pseudo};
use super::http2_faults::{framed, hasty};
use super::proxy::{self, Proxy};
use super::streams::{self, Upstream, soon};

const NOWHERE: &str = "http://127.0.0.1:1";

#[test]
fn readers_that_stall_amid_tiny_messages_cost_others_of_the_connection_nothing() {
    const STALLED: u32 = 3;
    // A stream's window, nearly.
    const MESSAGES: usize = 60_000;
    let url = framed(|mut frames| {
        let ok: super::frames::Field<'_> = (b":status", b"200");
        for at in 0..STALLED {
            let stream = 1 + 2 * at;
            assert_eq!(frames.came(), Came::Head(stream));
            frames.head(stream, &[ok], false);
        }
        for at in 0..STALLED {
            frames.flood(1 + 2 * at, b"8 bytes!", MESSAGES);
        }
        while let Came::Head(stream) = frames.came() {
            frames.head(stream, &[ok], true);
        }
    });
    let proxy = Proxy::start(&proxy::ingress(&url, NOWHERE, ""));
    let address = proxy.at(0);
    streams::run(async {
        let get = || streams::request(Method::GET, address, "/");
        let socket = TcpStream::connect(address).await.expect("a connection");
        let mut builder = h2::client::Builder::new();
        builder.data_frame_budget(usize::MAX);
        builder.initial_connection_window_size(1 << 20);
        let (stalling, connection) = builder.handshake::<_, Bytes>(socket).await.expect("HTTP/2");
        tokio::spawn(connection);
        let mut stalling = soon(stalling.ready()).await.expect("SETTINGS");
        let mut unread = Vec::new();
        for _ in 0..STALLED {
            let (response, _) = stalling.send_request(get(), true).expect("sent");
            unread.push(soon(response).await.expect("an answer").into_body());
        }
        let (mut caller, _ended) = streams::connect(address).await;
        let (response, _) = caller.send_request(get(), true).expect("sent");
        assert_eq!(soon(response).await.expect("an answer").status(), 200);
        // They have lost nothing either.
        for body in &mut unread {
            let mut read = 0;
            while read < MESSAGES * 8 {
                let data = soon(body.data()).await.expect("more").expect("no error");
                let _ = body.flow_control().release_capacity(data.len());
                read += data.len();
            }
        }
    });
}

#[test]
fn a_caller_may_stream_tiny_messages_to_an_upstream_that_stalls() {
    const MESSAGES: usize = 40_000;
    let upstream = Upstream::start(|listener| async move {
        let mut connection = streams::accept(&listener).await;
        let mut unread = Vec::new();
        while let Some(Ok((request, mut respond))) = connection.accept().await {
            if request.method() == Method::GET {
                let _ = respond.send_response(Response::new(()), true);
            }
            unread.push((request, respond));
        }
    });
    let proxy = Proxy::start(&proxy::ingress(&upstream.url(), NOWHERE, ""));
    let mut caller = Frames::connect(proxy.at(0));
    caller.head(1, &pseudo("POST", "/"), false);
    caller.flood(1, b"8 bytes!", MESSAGES);
    caller.head(3, &pseudo("GET", "/"), true);
    assert_eq!(caller.answered(3), Answered::Status(200));
}

#[test]
fn uploads_that_were_answered_early_may_go_on_for_a_moment() {
    // More than the engine forgives in a connection's life, and than it remembers at a time.
    const AT_ONCE: u32 = 100;
    const ROUNDS: u32 = 90;
    const NO_ERROR: u32 = 0;
    let proxy = Proxy::start(&proxy::ingress(NOWHERE, NOWHERE, ""));
    let mut caller = Frames::connect(proxy.at(0));
    // Its refusals have no body, whose window would have to be given.
    let mut post = pseudo("POST", "/");
    post.push((b"content-type", b"application/grpc"));
    let mut next = 1;
    for _ in 0..ROUNDS {
        let streams: Vec<u32> = (0..AT_ONCE).map(|at| next + 2 * at).collect();
        next += 2 * AT_ONCE;
        for stream in &streams {
            caller.head(*stream, &post, false);
        }
        let mut reset = 0;
        while reset < AT_ONCE {
            match caller.came() {
                Came::Reset(_, NO_ERROR) => reset += 1,
                Came::Head(_) | Came::Reset(..) => {}
                Came::End(code) => panic!("the connection has ended: {code:?}"),
            }
        }
        for stream in streams {
            caller.data(stream, b"late");
        }
    }
    caller.head(next, &pseudo("GET", "/"), true);
    assert_eq!(caller.answered(next), Answered::Status(503));
}

#[test]
fn uploads_that_wait_for_the_upstreams_window_are_counted_until_they_have_left() {
    const ALLOWED: u32 = 4;
    let upstream = hasty(ALLOWED, 10);
    let proxy = Proxy::start(&proxy::ingress(&upstream.url(), NOWHERE, ""));
    let address = proxy.at(0);
    streams::run(async {
        let (mut caller, _ended) = streams::connect(address).await;
        for _ in 0..ALLOWED {
            let request = streams::request(Method::POST, address, "/");
            let (response, mut upload) = caller.send_request(request, false).expect("sent");
            upload.send_data(vec![7; 100].into(), true).expect("sent");
            assert_eq!(soon(response).await.expect("an answer").status(), 200);
        }
        // The ends of the uploads have arrived by now.
        tokio::time::sleep(Duration::from_millis(50)).await;
        let request = streams::request(Method::GET, address, "/");
        let (response, _) = caller.send_request(request, true).expect("sent");
        assert_eq!(soon(response).await.expect("an answer").status(), 200);
    });
}
