//! What a caller that reads nothing can make the proxy hold: with `share: connection` it gets an
//! upstream connection by connecting, so that one's window bounds what the upstream may send.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::SeqCst};
use std::time::Duration;

use bytes::Bytes;
use h2::client;
use http::{Method, Response};
use tokio::net::TcpStream;

use super::files::TempDir;
use super::frames::{Frames, pseudo};
use super::proxy::{self, Proxy};
use super::streams::{self, Upstream, soon};

const REQUESTS: usize = 100;

/// What one caller's connection may hold of answers, as `src/proxy/upstream/h2/windows.rs` says.
const WINDOW: u64 = 1024 * 1024;

/// Bytes of a frame.
const FRAME: usize = 16 * 1024;

/// A component that takes 100 streams a connection, and answers each with a body of this size as
/// quickly as it may; counts the bytes it was allowed to send.
fn generous(size: usize, sent: &Arc<AtomicU64>) -> Upstream {
    let sent = Arc::clone(sent);
    Upstream::start(move |listener| async move {
        loop {
            let (socket, _) = listener.accept().await.expect("a connection");
            let mut builder = h2::server::Builder::new();
            builder.max_concurrent_streams(100);
            let sent = Arc::clone(&sent);
            tokio::spawn(async move {
                let mut connection = builder.handshake::<_, Bytes>(socket).await.expect("HTTP/2");
                while let Some(Ok((_, mut respond))) = connection.accept().await {
                    let stream = respond.send_response(Response::new(()), false);
                    tokio::spawn(send(stream.expect("sent"), size, Arc::clone(&sent)));
                }
            });
        }
    })
}

async fn send(mut stream: h2::SendStream<Bytes>, size: usize, sent: Arc<AtomicU64>) {
    let mut left = size;
    while left > 0 {
        stream.reserve_capacity(left.min(FRAME));
        let granted = std::future::poll_fn(|cx| stream.poll_capacity(cx)).await;
        let Some(Ok(granted)) = granted else { return };
        let part = granted.min(left);
        sent.fetch_add(part as u64, SeqCst);
        left -= part;
        if stream
            .send_data(vec![b'x'; part].into(), left == 0)
            .is_err()
        {
            return;
        }
    }
}

/// Waits until a counter stands still; where it stands.
async fn standstill(counter: &AtomicU64) -> u64 {
    let (mut last, mut still) = (0, 0);
    while still < 30 {
        tokio::time::sleep(Duration::from_millis(10)).await;
        let now = counter.load(SeqCst);
        still = if now == last && now > 0 { still + 1 } else { 0 };
        last = now;
    }
    last
}

#[test]
fn a_caller_that_reads_nothing_holds_no_more_than_one_window_of_answers() {
    for (size, window, why) in [
        (
            512 * 1024,
            0,
            "documents of a shared connection's stream window",
        ),
        (FRAME, 0, "documents of a frame, each its stream's last"),
        (64 * 1024, 1, "a byte of each is taken"),
    ] {
        let sent = Arc::new(AtomicU64::new(0));
        let upstream = generous(size, &sent);
        let yaml = proxy::quiet(
            &format!("{{url: \"{}\", share: connection}}", upstream.url()),
            "",
        );
        let proxy = Proxy::start(&yaml);
        let address = proxy.at(0);
        streams::run(async {
            let socket = TcpStream::connect(address).await.expect("a connection");
            let mut builder = client::Builder::new();
            builder.initial_window_size(window);
            let handshake = builder.handshake::<_, Bytes>(socket).await;
            let (caller, mut connection) = handshake.expect("HTTP/2");
            let (grow, mut grown) = tokio::sync::mpsc::channel::<u32>(1);
            tokio::spawn(async move {
                loop {
                    tokio::select! {
                        _ = &mut connection => return,
                        Some(window) = grown.recv() => {
                            connection.set_target_window_size(1 << 27);
                            connection.set_initial_window_size(window).expect("settings");
                        }
                    }
                }
            });
            let mut caller = soon(caller.ready()).await.expect("SETTINGS");
            let mut bodies = Vec::new();
            for _ in 0..REQUESTS {
                let request = streams::request(Method::GET, address, "/");
                let (response, _) = caller.send_request(request, true).expect("sent");
                bodies.push(soon(response).await.expect("an answer").into_body());
            }
            let stood = standstill(&sent).await;
            assert!(stood <= WINDOW + FRAME as u64, "{stood} bytes: {why}");
            // Nothing is lost by it.
            grow.send(1 << 20).await.expect("it runs");
            for body in &mut bodies {
                let (read, _) = soon(streams::collect(body)).await.expect("a body");
                assert_eq!(read.len(), size, "{why}");
            }
        });
    }
}

#[test]
fn a_caller_that_leaves_its_socket_unread_holds_a_frame_for_each_stream_besides() {
    // Of unix sockets, which are small.
    const SOCKETS: u64 = 512 * 1024;
    let (sent, directory) = (Arc::new(AtomicU64::new(0)), TempDir::new());
    let component = generous(512 * 1024, &sent);
    let path = directory.join("proxy");
    let upstream = format!(
        "{{url: \"{}\", protocol: http2, share: connection}}",
        component.url()
    );
    let yaml =
        proxy::quiet(&upstream, "").replace("127.0.0.1:0", &format!("unix://{}", path.display()));
    let _proxy = Proxy::start(&yaml);
    let mut caller = Frames::connect_unix(&path);
    caller.widen(1 << 30);
    for at in 0..REQUESTS as u32 {
        assert!(caller.head(1 + 2 * at, &pseudo("GET", "/"), true));
    }
    let stood = streams::run(standstill(&sent));
    let most = WINDOW + (REQUESTS * FRAME) as u64 + SOCKETS;
    assert!(stood <= most, "{stood} bytes, expected {most} at most");
}
