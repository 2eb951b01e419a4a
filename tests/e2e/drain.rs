//! The life of the program: bind, be ready, stop in order, lose nothing.

use std::io::Write;
use std::net::{SocketAddr, TcpStream};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use http::Method;
use rustix::process::Signal;

use super::component::{Component, PATIENCE};
use super::program::{self, Program};
use super::proxy::document;
use super::receiver::{Receiver, Scratch, Speaks};
use super::streams::{self, soon};
use super::wire::{self, Scripted, Wire};

const NOWHERE: &str = "http://127.0.0.1:1";
const GET: &str = "GET / HTTP/1.1\r\nHost: h\r\n\r\n";

/// The program on a file that serves health, and everything sampled.
fn start(scratch: &Scratch, upstream: &str, collector: &str, top: &str) -> Program {
    let yaml = format!(
        "{top}
health: {{bind: \"127.0.0.1:0\"}}
workers: 2
tracing: {{samplingRatePerMillion: 1000000, export: {{endpoint: \"{collector}\"}}}}
listeners: [{{name: public, bind: \"127.0.0.1:0\", upstream: {{url: \"{upstream}\"}}}}]
"
    );
    let path = scratch.join("tracegate.yaml");
    std::fs::write(&path, document(&yaml)).expect("written");
    let mut program = Program::start(&["run", "--config", path.to_str().expect("UTF-8")]);
    program.says("ready");
    program
}

fn readyz(health: SocketAddr) -> u16 {
    let request = format!("GET /readyz HTTP/1.1\r\nHost: {health}\r\nConnection: close\r\n\r\n");
    let answer = wire::exchange(health, &request);
    answer.get(9..12).and_then(|s| s.parse().ok()).unwrap_or(0)
}

fn wait_until(mut holds: impl FnMut() -> bool, what: &str) {
    let until = Instant::now() + PATIENCE;
    while !holds() {
        assert!(Instant::now() < until, "{what}");
        std::thread::sleep(Duration::from_millis(2));
    }
}

#[test]
fn neither_an_absent_upstream_nor_an_absent_collector_stops_the_start() {
    let scratch = Scratch::new("drain-absent");
    let mut program = start(&scratch, NOWHERE, NOWHERE, "");
    assert_eq!(readyz(program.address("health")), 200);
    let mut caller = Wire::connect(program.address("public"));
    caller.send(GET);
    assert!(caller.message().0.starts_with("HTTP/1.1 503 "));
}

#[test]
fn nothing_is_served_before_every_address_is_bound() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
    let yaml = format!(
        "listeners:\n- {{name: a, bind: \"127.0.0.1:0\", upstream: {{url: \"{NOWHERE}\"}}}}\n\
         - {{name: b, bind: \"{}\", upstream: {{url: \"{NOWHERE}\"}}}}\n",
        taken.local_addr().expect("an address")
    );
    let scratch = Scratch::new("drain-bind");
    let path = scratch.join("tracegate.yaml");
    std::fs::write(&path, document(&yaml)).expect("written");
    let path = path.to_str().expect("UTF-8");
    let finished = program::finish(&mut program::command(&["run", "--config", path]));
    assert_eq!(finished.code, 69);
    assert!(
        !finished.stderr.contains("listening"),
        "{}",
        finished.stderr
    );
}

#[test]
fn sigterm_makes_unready_at_once_accepts_for_the_delay_and_then_finishes_what_is_in_flight() {
    let (release, wait) = mpsc::channel::<()>();
    let (came, comes) = mpsc::channel();
    let component = Scripted::start(3, move |index, mut wire| {
        wire.head();
        if index == 1 {
            came.send(()).expect("the test waits");
            wait.recv_timeout(PATIENCE).expect("the test speaks");
        }
        wire.send("HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nlate");
    });
    let receiver = Receiver::start(Speaks::Grpc);
    let scratch = Scratch::new("drain-term");
    let top = "drainDelay: 1s\ndrainTimeout: 20s";
    let mut program = start(&scratch, &component.url(), receiver.endpoint(), top);
    let (public, health) = (program.address("public"), program.address("health"));
    // An idle connection, and a request in flight.
    let mut idle = Wire::connect(public);
    idle.send(GET);
    idle.message();
    let mut busy = Wire::connect(public);
    busy.send(GET);
    comes.recv_timeout(PATIENCE).expect("the request came");

    let told = Instant::now();
    program.signal(Signal::TERM);
    wait_until(|| readyz(health) == 503, "unready");
    assert!(told.elapsed() < Duration::from_millis(900), "at once");
    // New connections are still served.
    let _ = TcpStream::connect(public).expect("accepted during the delay");
    // The delay over, nobody accepts any more; the idle connection is closed.
    assert_eq!(idle.rest(), b"");
    assert!(
        told.elapsed() >= Duration::from_millis(950),
        "{:?}",
        told.elapsed()
    );
    wait_until(
        || TcpStream::connect(public).is_err(),
        "the listener is closed",
    );
    assert!(program.runs(), "a request is in flight");
    assert_eq!(readyz(health), 503);
    release.send(()).expect("the component waits");
    let (head, body) = busy.message();
    assert!(head.starts_with("HTTP/1.1 200 "), "{head}");
    assert!(
        head.to_ascii_lowercase().contains("connection: close"),
        "{head}"
    );
    assert_eq!(body, b"late");
    assert_eq!(busy.rest(), b"");
    assert_eq!(program.exit().code(), Some(0));
    assert_eq!(receiver.spans().len(), 2, "flushed");
}

#[test]
fn an_http2_caller_hears_goaway_and_its_streams_finish() {
    let (release, wait) = mpsc::channel::<()>();
    let (came, comes) = mpsc::channel();
    let component = Scripted::start(1, move |_, mut wire| {
        wire.head();
        came.send(()).expect("the test waits");
        wait.recv_timeout(PATIENCE).expect("the test speaks");
        wire.send("HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nlate");
    });
    let scratch = Scratch::new("drain-h2");
    let url = component.url();
    let path = scratch.join("tracegate.yaml");
    std::fs::write(
        &path,
        document(&format!(
            "tracing: {{export: {{protocol: none}}}}\nlisteners: [{{name: public, bind: \"127.0.0.1:0\", \
             upstream: {{url: \"{url}\", protocol: http1}}}}]\n"
        )),
    )
    .expect("written");
    let mut program = Program::start(&["run", "--config", path.to_str().expect("UTF-8")]);
    program.says("ready");
    let public = program.address("public");
    streams::run(async {
        let (mut caller, ended) = streams::connect(public).await;
        let request = streams::request(Method::GET, public, "/");
        let (response, _) = caller.send_request(request, true).expect("sent");
        streams::until(|| comes.try_recv().is_ok()).await;
        program.signal(Signal::TERM);
        // GOAWAY: no new streams, by word and not by the connection's end.
        soon(async {
            while caller.clone().ready().await.is_ok() {
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
        })
        .await;
        assert!(!ended.is_finished(), "the open stream keeps the connection");
        release.send(()).expect("the component waits");
        let response = soon(response).await.expect("an answer");
        let mut body = response.into_body();
        let (bytes, _) = soon(streams::collect(&mut body))
            .await
            .expect("a whole body");
        assert_eq!(bytes, b"late");
        drop((caller, body));
        soon(ended).await.expect("no panic").expect("a clean end");
    });
    assert_eq!(program.exit().code(), Some(0));
}

/// Answers with a stream that never ends by itself.
fn endless() -> (Scripted, mpsc::Receiver<()>) {
    let (came, comes) = mpsc::channel();
    let component = Scripted::start(1, move |_, mut wire| {
        wire.head();
        wire.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nevent\r\n");
        came.send(()).expect("the test waits");
        wire.rest();
    });
    (component, comes)
}

#[test]
fn endless_streams_are_cut_at_the_drain_timeout_and_their_spans_leave() {
    let (component, comes) = endless();
    let receiver = Receiver::start(Speaks::Grpc);
    let scratch = Scratch::new("drain-endless");
    let top = "drainTimeout: 500ms";
    let mut program = start(&scratch, &component.url(), receiver.endpoint(), top);
    let mut caller = Wire::connect(program.address("public"));
    caller.send(GET);
    caller.head();
    caller.exactly(10);
    comes.recv_timeout(PATIENCE).expect("the request came");
    let told = Instant::now();
    program.signal(Signal::TERM);
    let rest = caller.rest();
    assert!(!rest.ends_with(b"0\r\n\r\n"), "no clean end: {rest:?}");
    assert!(
        told.elapsed() >= Duration::from_millis(450),
        "{:?}",
        told.elapsed()
    );
    assert_eq!(program.exit().code(), Some(0));
    assert!(
        told.elapsed() < Duration::from_secs(4),
        "{:?}",
        told.elapsed()
    );
    assert_eq!(receiver.spans().len(), 1);
    component.join();
}

#[test]
fn a_second_signal_ends_at_once() {
    let (component, comes) = endless();
    let scratch = Scratch::new("drain-twice");
    let top = "drainDelay: 1m\ndrainTimeout: 1m";
    let mut program = start(&scratch, &component.url(), NOWHERE, top);
    let health = program.address("health");
    let mut caller = Wire::connect(program.address("public"));
    caller.send(GET);
    comes.recv_timeout(PATIENCE).expect("the request came");
    program.signal(Signal::TERM);
    wait_until(|| readyz(health) == 503, "unready");
    assert!(program.runs());
    let told = Instant::now();
    program.signal(Signal::INT);
    assert_eq!(program.exit().code(), Some(0));
    assert!(
        told.elapsed() < Duration::from_secs(5),
        "{:?}",
        told.elapsed()
    );
    component.join();
}

#[test]
fn post_drain_drains_and_post_quitquitquit_ends_at_once() {
    for (path, top) in [
        ("/drain", "drainTimeout: 1m"),
        ("/quitquitquit", "drainDelay: 1m"),
    ] {
        let component = Component::start();
        let scratch = Scratch::new("drain-post");
        let socket = scratch.join("admin.sock");
        let receiver = Receiver::start(Speaks::Grpc);
        let top = format!("{top}\nadmin: {{bind: \"unix://{}\"}}", socket.display());
        let mut program = start(&scratch, &component.url(), receiver.endpoint(), &top);
        let mut caller = Wire::connect(program.address("public"));
        caller.send(GET);
        assert!(caller.message().0.starts_with("HTTP/1.1 200 "));
        let mut admin = std::os::unix::net::UnixStream::connect(&socket).expect("connected");
        let request = format!("POST {path} HTTP/1.1\r\nHost: admin\r\nContent-Length: 0\r\n\r\n");
        admin.write_all(request.as_bytes()).expect("written");
        let mut answer = String::new();
        std::io::Read::read_to_string(&mut admin, &mut answer).expect("an answer");
        assert!(answer.starts_with("HTTP/1.1 202 "), "{answer}");
        assert_eq!(program.exit().code(), Some(0), "{path}");
        assert_eq!(receiver.spans().len(), 1, "{path}");
        assert!(!socket.exists(), "the socket is removed");
    }
}
