//! Servers that end connections for their pings are pinged less often.

use std::net::TcpListener;
use std::sync::mpsc::{self, Receiver};
use std::time::{Duration, Instant};

use http::Method;

use super::component::PATIENCE;
use super::frames::{Came, Frames};
use super::proxy::{self, Proxy};
use super::streams::{self, soon};

const ENHANCE_YOUR_CALM: u32 = 0xb;
const CONNECTIONS: usize = 2;

/// A component that answers one request on each of its connections and ends it at the first ping, in these
/// words; how long after the answer that came.
fn irritable(words: &'static [u8]) -> (String, Receiver<Duration>) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let url = format!("http://{}", listener.local_addr().expect("an address"));
    let (told, pings) = mpsc::channel();
    std::thread::spawn(move || {
        for _ in 0..CONNECTIONS {
            let mut frames = Frames::accept(&listener);
            assert_eq!(frames.came(), Came::Head(1));
            frames.head(1, &[(b":status", b"200")], true);
            let answered = Instant::now();
            assert!(frames.pinged());
            let _ = told.send(answered.elapsed());
            frames.goaway(1, ENHANCE_YOUR_CALM, words);
        }
    });
    (url, pings)
}

/// How long the component's connections were silent before they were pinged.
fn silences(words: &'static [u8]) -> Vec<Duration> {
    let (url, pings) = irritable(words);
    let upstream = format!("{{url: \"{url}\", protocol: http2, keepalive: {{http2Ping: 1s}}}}");
    let proxy = Proxy::start(&proxy::quiet(&upstream, ""));
    let address = proxy.at(0);
    (0..CONNECTIONS)
        .map(|_| {
            streams::run(async {
                let (mut caller, _ended) = streams::connect(address).await;
                let request = streams::request(Method::GET, address, "/");
                let (response, _) = caller.send_request(request, true).expect("sent");
                assert_eq!(soon(response).await.expect("an answer").status(), 200);
            });
            let silence = pings.recv_timeout(PATIENCE).expect("a ping");
            // The GOAWAY behind it is dealt with before the next request comes.
            std::thread::sleep(Duration::from_millis(100));
            silence
        })
        .collect()
}

#[test]
fn an_upstream_that_complains_of_pings_is_pinged_half_as_often_from_then_on() {
    let others = std::thread::spawn(|| silences(b"too many of something else"));
    let complained = silences(b"too_many_pings");
    let others = others.join().expect("it runs");
    // An answer in an interval is a sign of life: the first ping comes after the one behind it.
    let twice = Duration::from_secs(2);
    assert!(complained[0] < twice * 3 / 2, "{complained:?}");
    assert!(complained[1] > twice * 3 / 2, "{complained:?}");
    assert!(others[1] < twice * 3 / 2, "{others:?}");
}
