//! A client that says what kubectl wouldn't.

use std::net::SocketAddr;
use std::sync::Arc;

use bytes::Bytes;
use http::{Method, Request, Response};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::client::conn::http2::{SendRequest, handshake};
use hyper_util::rt::{TokioExecutor, TokioIo};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use serde_json::Value;
use tokio::net::{TcpSocket, TcpStream};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::cluster::{Cluster, PATIENCE};

/// Where it calls from: not where the proxies' own connections come from.
pub const FROM: &str = "127.0.0.2";

/// A connection of HTTP/2.
pub struct Client {
    sender: SendRequest<Full<Bytes>>,
    at: SocketAddr,
}

impl Client {
    /// Connects to the cluster's front, with the certificate of that name.
    pub async fn connect(cluster: &Cluster, certificate: Option<&str>) -> Self {
        let io = TokioIo::new(connect(cluster, certificate, b"h2").await);
        let (sender, connection) = handshake(TokioExecutor::new(), io).await.expect("HTTP/2");
        tokio::spawn(connection);
        Self {
            sender,
            at: cluster.ingress,
        }
    }

    /// Sends a request; the answer's head.
    pub async fn send(
        &mut self,
        method: Method,
        path: &str,
        fields: &[(&str, &str)],
        body: String,
    ) -> Response<Incoming> {
        let uri = format!("https://{}{path}", self.at);
        let mut request = Request::builder().method(method).uri(uri);
        for (name, value) in fields {
            request = request.header(*name, *value);
        }
        let request = request.body(Full::from(body)).expect("a request");
        let answer = async {
            self.sender.ready().await.expect("a connection");
            self.sender.send_request(request).await.expect("an answer")
        };
        let answer = tokio::time::timeout(PATIENCE, answer).await;
        answer.expect("an answer in time")
    }

    /// Sends a request; status and body, as JSON if it is.
    pub async fn ask(
        &mut self,
        method: Method,
        path: &str,
        fields: &[(&str, &str)],
        body: String,
    ) -> (u16, Value) {
        let (head, body) = self.send(method, path, fields, body).await.into_parts();
        let body = tokio::time::timeout(PATIENCE, body.collect()).await;
        let body = body.expect("in time").expect("a whole body").to_bytes();
        let text = String::from_utf8_lossy(&body).into_owned();
        let value = serde_json::from_str(&text).unwrap_or(Value::String(text));
        (head.status.as_u16(), value)
    }
}

/// Connects to the cluster's front and negotiates that protocol.
pub async fn connect(
    cluster: &Cluster,
    certificate: Option<&str>,
    protocol: &[u8],
) -> TlsStream<TcpStream> {
    let socket = TcpSocket::new_v4().expect("a socket");
    let from = SocketAddr::new(FROM.parse().expect("an address"), 0);
    socket.bind(from).expect("an address of the loopback");
    let stream = socket.connect(cluster.ingress).await.expect("a connection");
    stream.set_nodelay(true).expect("a socket");
    let config = config(cluster, certificate, protocol);
    let name = ServerName::from(cluster.ingress.ip());
    let connecting = TlsConnector::from(Arc::new(config)).connect(name, stream);
    connecting.await.expect("a handshake")
}

fn config(cluster: &Cluster, certificate: Option<&str>, protocol: &[u8]) -> ClientConfig {
    let mut roots = RootCertStore::empty();
    let authority = CertificateDer::from_pem_file(cluster.pki.file("ca.crt"));
    roots
        .add(authority.expect("a certificate"))
        .expect("an anchor");
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_root_certificates(roots);
    let mut config = match certificate {
        None => builder.with_no_client_auth(),
        Some(name) => {
            let file = |end: &str| cluster.pki.file(&format!("{name}.{end}"));
            let chain = CertificateDer::from_pem_file(file("crt")).expect("a certificate");
            let key = PrivateKeyDer::from_pem_file(file("key")).expect("a key");
            builder
                .with_client_auth_cert(vec![chain], key)
                .expect("a key")
        }
    };
    config.alpn_protocols = vec![protocol.to_vec()];
    config
}

/// Runs a test's asynchronous part.
pub fn block_on<T>(work: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime")
        .block_on(work)
}

/// A config map's manifest.
pub fn config_map(name: &str, value: &str) -> String {
    serde_json::json!({
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": name, "namespace": "default"},
        "data": {"key": value},
    })
    .to_string()
}
