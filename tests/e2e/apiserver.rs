//! In front of a kube-apiserver, or rather of a stand-in that does on the wire what one does.

mod pki;
mod standin;

mod context;
mod credentials;
mod goaway;
mod itself;
mod kubectl;
mod passes;
mod tunnels;
mod watches;

use std::net::SocketAddr;
use std::sync::Arc;

use http::Method;
use rustls::pki_types::ServerName;
use serde_json::Value;
use tokio::net::TcpSocket;
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
        let (pki, receiver) = (Pki::new(), Receiver::start(receiver::Speaks::Grpc));
        let server = standin(&pki);
        let upstream = format!(
            "{{{upstream} url: \"https://{}\", tls: {{caFile: \"{}\", serverName: {}}}}}",
            server.address(),
            pki.path("serving-ca.pem"),
            Pki::NAME,
        );
        let more = format!(
            "  tls:
    certificates: [{{certFile: \"{}\", keyFile: \"{}\"}}]
    clientCAFile: \"{}\"
  span: {{templates: {{kubernetes: true}}}}
{more}",
            pki.path("serving.crt"),
            pki.path("serving.key"),
            pki.path("clients-ca.pem"),
        );
        let yaml = proxy::listening(
            "ingress",
            "127.0.0.1:0",
            &upstream,
            receiver.endpoint(),
            &more,
        );
        let yaml = proxy::with_top(&yaml, "health: {bind: \"127.0.0.1:0\"}");
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
    async fn stream(&self, alpn: &[&str]) -> TlsStream<tokio::net::TcpStream> {
        stream(&self.pki, None, self.proxy.at(0), alpn).await
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
) -> TlsStream<tokio::net::TcpStream> {
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
