//! Back-pressure: who doesn't read stops who sends, within bytes that can be counted, and
//! nobody else. On unix sockets, whose own buffers are small.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use http::{Method, Request, Response};
use hyper::body::Incoming;
use tokio::sync::watch;

use super::made::{made, made_counting, read};
use super::{MIB, PAIRINGS};
use crate::caller::{Body, Caller, Speaks, block_on, empty, full};
use crate::files::TempDir;
use crate::proxy::{self, Proxy};
use crate::server::{Listen, Server};

/// A body that is larger than everything on the way may hold.
const BODY: u64 = 64 * MIB;

/// What may be on the way at most: windows, buffers of the engines of caller, proxy and
/// component, and sockets.
const ON_THE_WAY: u64 = 8 * MIB;

/// A component behind a proxy, both on unix sockets.
struct Setup {
    _proxy: Proxy,
    server: Server,
    /// How much of the answers' bodies has been taken from the component.
    sent: Arc<AtomicU64>,
    /// Lets requests to `/stuck` go on.
    go: watch::Sender<bool>,
    directory: TempDir,
}

impl Setup {
    fn start(up: Speaks) -> Self {
        let directory = TempDir::new();
        let sent = Arc::new(AtomicU64::new(0));
        let (go, gone) = watch::channel(false);
        let counter = Arc::clone(&sent);
        let listen = Listen::Unix(directory.join("component"));
        let server = Server::start(listen, move |request| {
            answer(request, Arc::clone(&counter), gone.clone())
        });
        let root = directory.path().display();
        let yaml = proxy::quiet(
            &format!(
                "{{url: \"unix://{root}/component\", protocol: {}}}",
                up.name()
            ),
            "",
        )
        .replace("127.0.0.1:0", &format!("unix://{root}/proxy"));
        Self {
            _proxy: Proxy::start(&yaml),
            server,
            sent,
            go,
            directory,
        }
    }

    async fn caller(&self, down: Speaks) -> Caller {
        Caller::unix(&self.directory.join("proxy"), down).await
    }
}

/// GET answers a large body. PUT to `/stuck` reads nothing until it may, any other at once.
async fn answer(
    request: Request<Incoming>,
    sent: Arc<AtomicU64>,
    mut go: watch::Receiver<bool>,
) -> Response<Body> {
    if request.method() == Method::GET {
        let size = if request.uri().path() == "/large" {
            BODY
        } else {
            MIB
        };
        return Response::new(made_counting(size, true, sent));
    }
    if request.uri().path() == "/stuck" {
        go.wait_for(|go| *go).await.expect("the test runs");
    }
    let check = read(request.into_body(), None).await.expect("a body");
    Response::new(full(check.verdict()))
}

fn whole(size: u64, verdict: &str) {
    assert!(
        verdict.starts_with(&format!("{size} bytes, as made")),
        "{verdict}"
    );
}

/// Waits until a counter has moved and then stands still; where it stands.
async fn standstill(counter: &AtomicU64) -> u64 {
    let (mut last, mut still) = (0, 0);
    while still < 20 {
        tokio::time::sleep(Duration::from_millis(10)).await;
        let now = counter.load(Ordering::SeqCst);
        still = if now == last && now > 0 { still + 1 } else { 0 };
        last = now;
    }
    last
}

#[test]
fn an_upstream_that_does_not_read_stops_the_caller() {
    for (down, up) in PAIRINGS {
        let setup = Setup::start(up);
        block_on(async {
            let mut caller = setup.caller(down).await;
            let taken = Arc::new(AtomicU64::new(0));
            let body = made_counting(BODY, true, Arc::clone(&taken));
            let request = caller.request(Method::PUT, "/stuck").body(body);
            let exchange = caller.exchange(request.expect("a request"));
            let stopped = async {
                let stood = standstill(&taken).await;
                setup.go.send(true).expect("it waits");
                stood
            };
            let (answer, stood) = tokio::join!(exchange, stopped);
            println!("{down:?} to {up:?}: stopped after {} KiB", stood >> 10);
            assert!(stood <= ON_THE_WAY, "{stood} bytes, {down:?} to {up:?}");
            whole(BODY, &answer.text());
        });
    }
}

#[test]
fn a_caller_that_does_not_read_stops_the_upstream() {
    for (down, up) in PAIRINGS {
        let setup = Setup::start(up);
        block_on(async {
            let mut caller = setup.caller(down).await;
            let request = caller.request(Method::GET, "/large").body(empty());
            let response = caller.send(request.expect("a request")).await;
            let stood = standstill(&setup.sent).await;
            println!("{down:?} to {up:?}: stopped after {} KiB", stood >> 10);
            assert!(stood <= ON_THE_WAY, "{stood} bytes, {down:?} to {up:?}");
            let check = read(response.into_body(), None).await.expect("a body");
            whole(BODY, &check.verdict());
        });
    }
}

#[test]
fn slow_readers_do_not_block_others_on_the_same_upstream_connection() {
    let setup = Setup::start(Speaks::Http2);
    block_on(async {
        let mut stuck = Vec::new();
        for number in 0..20 {
            let down = Speaks::BOTH[number % 2];
            let mut caller = setup.caller(down).await;
            let request = caller.request(Method::GET, "/large").body(empty());
            let response = caller.send(request.expect("a request")).await;
            stuck.push((caller, response));
        }
        standstill(&setup.sent).await;
        for down in Speaks::BOTH {
            let mut caller = setup.caller(down).await;
            let request = caller.request(Method::GET, "/small").body(empty());
            let response = caller.send(request.expect("a request")).await;
            let check = read(response.into_body(), None).await.expect("a body");
            whole(MIB, &check.verdict());
        }
        assert_eq!(setup.server.connections(), 1);
    });
}

#[test]
fn uploads_that_are_stuck_do_not_block_others_of_the_same_caller() {
    for up in Speaks::BOTH {
        let setup = Setup::start(up);
        block_on(async {
            let taken = Arc::new(AtomicU64::new(0));
            let Caller::Http2(sender) = setup.caller(Speaks::Http2).await else {
                panic!("HTTP/2 was asked for");
            };
            let stuck: Vec<_> = (0..4)
                .map(|_| {
                    let mut caller = Caller::Http2(sender.clone());
                    let body = made_counting(BODY, true, Arc::clone(&taken));
                    let request = caller.request(Method::PUT, "/stuck").body(body);
                    tokio::spawn(async move {
                        let answer = caller.exchange(request.expect("a request")).await;
                        answer.text()
                    })
                })
                .collect();
            standstill(&taken).await;
            let mut caller = Caller::Http2(sender);
            let request = caller.request(Method::PUT, "/").body(made(MIB, true));
            let answer = caller.exchange(request.expect("a request")).await;
            whole(MIB, &answer.text());
            setup.go.send(true).expect("they wait");
            for exchange in stuck {
                whole(BODY, &exchange.await.expect("an answer"));
            }
        });
    }
}
