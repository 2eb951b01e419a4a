//! In front of a kube-apiserver, or rather of a stand-in that does on the wire what one does.

mod pki;
mod standin;

mod context;
mod credentials;
mod goaway;
mod identity;
mod itself;
mod kubectl;
mod kubelet;
mod passes;
mod ready_made;
mod share;
mod tunnels;
mod watches;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use http::Method;
use http_body_util::BodyExt;
use hyper::body::Incoming;
use rustls::pki_types::ServerName;
use serde_json::Value;
use tokio::net::{TcpSocket, TcpStream};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use self::pki::Pki;
use self::standin::{StandIn, User};
use super::caller::{Answer, Caller, Speaks, empty};
use super::files::Issued;
use super::proxy::{self, Proxy};
use super::receiver::{self, Receiver};
use super::trust::Dialer;

/// A bearer token, and whose it is.
const TOKEN: &str = "dev-token";
const DEVELOPER: &str = "developer";
/// An administrator's.
const ADMIN_TOKEN: &str = "admin-token";

/// "At once" for a machine that does other things too.
const PROMPTLY: Duration = Duration::from_secs(5);

/// A stand-in behind a proxy.
struct Rig {
    pki: Pki,
    server: StandIn,
    receiver: Receiver,
    proxy: Proxy,
}

impl Rig {
    /// `more` are further keys of the listener.
    fn start(more: &str) -> Self {
        Self::with_upstream("", more)
    }

    /// `upstream` are further keys of the upstream, each followed by a comma.
    fn with_upstream(upstream: &str, more: &str) -> Self {
        Self::of(Pki::new(), upstream, more)
    }

    /// The same with authorities that are there; in the configuration `$PKI` is their directory.
    fn of(pki: Pki, upstream: &str, more: &str) -> Self {
        let receiver = Receiver::start(receiver::Speaks::Grpc);
        let server = standin(&pki);
        let upstream = format!(
            "{{{upstream} url: \"https://{}\", tls: {{caFile: $PKI/serving-ca.pem, serverName: {}}}}}",
            server.address(),
            Pki::NAME,
        );
        let more = format!(
            "  tls:
    certificates: [{{certFile: $PKI/serving.crt, keyFile: $PKI/serving.key}}]
    clientCAFile: $PKI/clients-ca.pem
  span: {{templates: {{kubernetes: true}}}}
{more}"
        );
        let collector = receiver.endpoint();
        let yaml = proxy::listening("ingress", "127.0.0.1:0", &upstream, collector, &more);
        let directory = pki.directory.path().display().to_string();
        let yaml = yaml.replace("$PKI", &directory);
        let file = pki.directory.file("tracegate.yaml", proxy::document(&yaml));
        let proxy = Proxy::start_file(file, &yaml);
        Self {
            pki,
            server,
            receiver,
            proxy,
        }
    }

    /// A connection to the proxy.
    async fn caller(&self, identity: Option<&Issued>, speaks: Speaks) -> Caller {
        connect(&self.pki, identity, self.proxy.at(0), speaks).await
    }

    /// The same as a stream of bytes.
    async fn stream(&self, identity: Option<&Issued>, alpn: &[&str]) -> TlsStream<TcpStream> {
        stream(&self.pki, identity, self.proxy.at(0), alpn).await
    }
}

/// A stand-in that knows the tokens.
fn standin(pki: &Pki) -> StandIn {
    let tokens = [
        (TOKEN, User::of(DEVELOPER, &["dev"])),
        (ADMIN_TOKEN, User::of("admin", &["system:masters"])),
    ];
    let owned = |(token, user): (&str, User)| (token.to_owned(), user);
    StandIn::start(pki, tokens.map(owned).into())
}

/// A TLS connection with these protocols by ALPN, from another address of the loopback than the
/// proxy's own connections are.
async fn stream(
    pki: &Pki,
    identity: Option<&Issued>,
    at: SocketAddr,
    alpn: &[&str],
) -> TlsStream<TcpStream> {
    let mut config = Dialer::new(&pki.serving, identity, rustls::ALL_VERSIONS).config;
    config.alpn_protocols = alpn.iter().map(|name| name.as_bytes().to_vec()).collect();
    let socket = TcpSocket::new_v4().expect("a socket");
    let from = SocketAddr::new(CALLER.parse().expect("an address"), 0);
    socket.bind(from).expect("an address of the loopback");
    let stream = socket.connect(at).await.expect("a connection");
    stream.set_nodelay(true).expect("a socket");
    let name = ServerName::try_from(Pki::NAME).expect("a name");
    let connector = TlsConnector::from(Arc::new(config));
    connector.connect(name, stream).await.expect("a handshake")
}

/// Where callers are.
const CALLER: &str = "127.0.0.2";

/// A connection to anything that has the cluster's certificate.
async fn connect(pki: &Pki, identity: Option<&Issued>, at: SocketAddr, speaks: Speaks) -> Caller {
    let alpn = match speaks {
        Speaks::Http1 => "http/1.1",
        Speaks::Http2 => "h2",
    };
    Caller::over(stream(pki, identity, at, &[alpn]).await, speaks).await
}

/// Asks for a path with these fields; the whole answer.
async fn get(caller: &mut Caller, path: &str, fields: &[(&str, &str)]) -> Answer {
    let request = fields.iter().fold(
        caller.request(Method::GET, path),
        |request, (name, value)| request.header(*name, *value),
    );
    caller
        .exchange(request.body(empty()).expect("a request"))
        .await
}

/// What the server has seen of such a request.
async fn whoami(caller: &mut Caller, fields: &[(&str, &str)]) -> Value {
    let answer = get(caller, "/whoami", fields).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    serde_json::from_str(&answer.text()).expect("JSON")
}

/// Whom the server has taken the caller for.
fn username(seen: &Value) -> &str {
    seen["user"]["username"].as_str().expect("a user")
}

/// Values of a field among those the server has seen.
fn seen_values(seen: &Value, name: &str) -> Vec<String> {
    let fields = seen["headers"].as_array().expect("fields");
    let of_name = fields.iter().filter(|field| field[0] == name);
    of_name
        .map(|field| field[1].as_str().expect("text").to_owned())
        .collect()
}

/// `Authorization` of the developer.
fn bearer() -> String {
    format!("Bearer {TOKEN}")
}

/// Opens a watch as the developer.
async fn watch(caller: &mut Caller) -> Incoming {
    let request = caller.request(Method::GET, "/api/v1/namespaces/default/pods?watch=true");
    let request = request.header("authorization", bearer()).body(empty());
    let response = caller.send(request.expect("a request")).await;
    assert_eq!(response.status(), 200);
    response.into_body()
}

/// What a watch tells next, promptly; `None` at its end.
async fn next_event(watch: &mut Incoming) -> Option<String> {
    let event = async {
        loop {
            let frame = watch.frame().await?.expect("no error");
            let data = frame.into_data().expect("no trailers");
            // A stream may end with a frame that has nothing in it.
            if !data.is_empty() {
                return Some(String::from_utf8(data.into()).expect("text"));
            }
        }
    };
    let event = tokio::time::timeout(PROMPTLY, event);
    event.await.expect("promptly")
}
