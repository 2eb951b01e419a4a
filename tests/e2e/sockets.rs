//! Sockets that aren't a TCP port of our own: unix, handed over, or somebody else's.

use std::fs;
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::os::unix::net::UnixListener;
use std::process::Command;

use http::{Method, Request, Response};
use hyper::body::Incoming;

use super::caller::{Body, Caller, Speaks, block_on, empty, full};
use super::component::Component;
use super::files::TempDir;
use super::process::{Process, skipped};
use super::proxy::{self, Proxy};
use super::server::{Listen, Server};
use super::wire;

/// A listener at `bind` in front of a component.
fn listening(bind: &str, component: &Component) -> String {
    let upstream = format!("{{url: \"{}\"}}", component.url());
    proxy::quiet(&upstream, "").replace("127.0.0.1:0", bind)
}

/// Requests over a unix socket in both versions are answered.
fn serves(socket: &std::path::Path) {
    block_on(async {
        for down in Speaks::BOTH {
            let mut caller = Caller::unix(socket, down).await;
            assert_eq!(caller.get("/").await.status, 200, "{down:?}");
        }
    });
}

#[test]
fn a_unix_listener_has_its_mode_and_is_removed_at_the_stop() {
    let (component, directory) = (Component::start(), TempDir::new());
    let socket = directory.join("socket");
    for (query, expected) in [("", 0o660), ("?mode=0600", 0o600), ("?mode=0777", 0o777)] {
        let bind = format!("unix://{}{query}", socket.display());
        let proxy = Proxy::start(&listening(&bind, &component));
        let found = fs::metadata(&socket).expect("a socket");
        assert!(found.file_type().is_socket());
        assert_eq!(found.permissions().mode() & 0o777, expected, "{query}");
        serves(&socket);
        proxy.stop();
        assert!(!socket.exists(), "{query}");
    }
    let seen = component.wait_for(1).remove(0);
    assert_eq!(seen.value("x-forwarded-for"), None);
}

#[test]
fn a_stale_socket_is_replaced_and_a_live_one_is_not() {
    let (component, directory) = (Component::start(), TempDir::new());
    let socket = directory.join("socket");
    let bind = format!("unix://{}", socket.display());
    drop(UnixListener::bind(&socket).expect("a socket"));
    assert!(socket.exists());
    let proxy = Proxy::start(&listening(&bind, &component));
    serves(&socket);

    let yaml = listening(&bind, &component);
    let second = Process::spawn(&mut Process::command(&directory, &yaml));
    let (code, log) = second.end();
    assert_eq!(code, Some(69), "{log}");
    assert!(log.contains(&socket.display().to_string()), "{log}");
    serves(&socket);
    proxy.stop();
}

#[test]
fn the_program_leaves_no_socket_behind() {
    let (component, directory) = (Component::start(), TempDir::new());
    let socket = directory.join("socket");
    let bind = format!("unix://{}", socket.display());
    let process = Process::start(&directory, &listening(&bind, &component));
    serves(&socket);
    process.terminate();
    let (code, log) = process.end();
    assert_eq!(code, Some(0), "{log}");
    assert!(!socket.exists());
}

#[test]
fn a_second_process_on_the_same_port_ends_with_69_and_the_first_goes_on() {
    let (component, directory) = (Component::start(), TempDir::new());
    let first = Process::start(&directory, &listening("127.0.0.1:0", &component));
    let at = first.address("quiet");
    let yaml = listening(&at.to_string(), &component);
    let second = Process::spawn(&mut Process::command(&directory, &yaml));
    let (code, log) = second.end();
    assert_eq!(code, Some(69), "{log}");
    assert!(
        log.contains(&format!("{at}: expected a local address with a free port")),
        "{log}"
    );
    let answer = wire::exchange(at, "GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
    assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{answer}");
}

/// Tells who it was asked for.
async fn tell(request: Request<Incoming>) -> Response<Body> {
    let host = request
        .headers()
        .get("host")
        .map(|h| h.to_str().map(str::to_owned));
    let host = host.and_then(Result::ok).unwrap_or_default();
    let authority = request.uri().authority().map_or("", |a| a.as_str());
    Response::new(full(format!("{:?} {authority}{host}", request.version())))
}

#[test]
fn a_unix_upstream_is_spoken_to_in_both_versions_and_asked_for_whom_the_caller_named() {
    let directory = TempDir::new();
    let socket = directory.join("component");
    let server = Server::start(Listen::Unix(socket.clone()), tell);
    for (protocol, down, expected) in [
        ("http1", Speaks::Http1, "HTTP/1.1 example.com"),
        ("http1", Speaks::Http2, "HTTP/1.1 example.com"),
        ("http2", Speaks::Http1, "HTTP/2.0 example.com"),
        ("http2", Speaks::Http2, "HTTP/2.0 example.com"),
        ("auto", Speaks::Http1, "HTTP/1.1 example.com"),
        ("auto", Speaks::Http2, "HTTP/2.0 example.com"),
    ] {
        let url = format!("unix://{}", socket.display());
        let upstream = format!("{{url: \"{url}\", protocol: {protocol}}}");
        let proxy = Proxy::start(&proxy::quiet(&upstream, ""));
        let answer = block_on(async { Caller::tcp(proxy.at(0), down).await.get("/").await });
        assert_eq!(answer.text(), expected, "{protocol}, {down:?}");
        let answer = wire::exchange(proxy.at(0), "GET / HTTP/1.0\r\n\r\n");
        assert!(answer.ends_with(" localhost"), "{protocol}: {answer}");
    }
    assert!(server.connections() > 0);
}

#[test]
fn an_upstream_socket_that_is_made_later_is_found() {
    let directory = TempDir::new();
    let socket = directory.join("component");
    let upstream = format!("{{url: \"unix://{}\"}}", socket.display());
    let proxy = Proxy::start(&proxy::quiet(&upstream, ""));
    block_on(async {
        let mut caller = Caller::tcp(proxy.at(0), Speaks::Http1).await;
        assert_eq!(caller.get("/").await.status, 503);
        let _server = Server::start(Listen::Unix(socket.clone()), tell);
        let request = caller.request(Method::GET, "/").body(empty());
        let answer = caller.exchange(request.expect("a request")).await;
        assert_eq!(answer.status, 200);
    });
}

/// Hands over a TCP and a unix socket, as a service manager does, and becomes the program.
const HAND_OVER: &str = r#"
use Socket; use POSIX ();
my $path = shift @ARGV;
socket(my $tcp, PF_INET, SOCK_STREAM, 0) or die;
bind($tcp, sockaddr_in(0, INADDR_LOOPBACK)) or die;
socket(my $unix, PF_UNIX, SOCK_STREAM, 0) or die;
bind($unix, sockaddr_un($path)) or die;
listen($_, 16) or die for ($tcp, $unix);
POSIX::dup2(fileno($tcp), 20) or die; POSIX::dup2(fileno($unix), 21) or die;
POSIX::dup2(20, 3) or die; POSIX::dup2(21, 4) or die;
POSIX::close(20); POSIX::close(21);
$ENV{LISTEN_PID} = $$; $ENV{LISTEN_FDS} = 2; $ENV{LISTEN_FDNAMES} = 'public:local';
exec @ARGV or die;
"#;

#[test]
fn sockets_handed_over_by_name_are_served_and_stay_the_service_managers() {
    const PERL: &str = "/usr/bin/perl";
    if !std::path::Path::new(PERL).exists() {
        skipped("socket activation: expected Debian's perl at /usr/bin/perl");
        return;
    }
    let (component, directory) = (Component::start(), TempDir::new());
    let socket = directory.join("socket");
    let url = component.url();
    // Not in the order in which they are handed over.
    let mut yaml = "tracing: {export: {protocol: none}}\nworkers: 1\nlisteners:\n".to_owned();
    for name in ["local", "public"] {
        yaml += &format!("- {{name: {name}, bind: \"fd:{name}\", upstream: {{url: \"{url}\"}}}}\n");
    }
    let program = Process::command(&directory, &yaml);
    let mut command = Command::new(PERL);
    command.args(["-e", HAND_OVER]).arg(&socket);
    command.arg(program.get_program()).args(program.get_args());
    let mut process = Process::spawn(&mut command);
    process.wait_for("ready");
    serves(&socket);
    let at = process.address("public");
    let answer = wire::exchange(at, "GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
    assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{answer}");
    process.terminate();
    let (code, log) = process.end();
    assert_eq!(code, Some(0), "{log}");
    assert!(socket.exists());
}

#[test]
fn a_name_that_nobody_hands_over_ends_with_69() {
    let (component, directory) = (Component::start(), TempDir::new());
    let yaml = listening("fd:public", &component);
    let process = Process::spawn(&mut Process::command(&directory, &yaml));
    let (code, log) = process.end();
    assert_eq!(code, Some(69), "{log}");
    assert!(log.contains("fd:public"), "{log}");
}
