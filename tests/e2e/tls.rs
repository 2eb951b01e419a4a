//! TLS towards callers and towards the upstream, and certificates that change.

mod listener;
mod reload;
pub mod upstream;

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;

use rustls::crypto::CryptoProvider;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, ProtocolVersion, SupportedProtocolVersion};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use super::caller::{Caller, Speaks};
use super::files::Authority;

pub fn provider() -> Arc<CryptoProvider> {
    Arc::new(rustls::crypto::ring::default_provider())
}

/// `certFile` and `keyFile` as the configuration says them.
fn files((cert, key): &(impl AsRef<Path>, impl AsRef<Path>)) -> String {
    let (cert, key) = (cert.as_ref().display(), key.as_ref().display());
    format!("certFile: \"{cert}\", keyFile: \"{key}\"")
}

/// How a caller shakes hands.
#[derive(Clone)]
pub struct Hello {
    pub name: &'static str,
    pub alpn: &'static [&'static str],
    pub versions: &'static [&'static SupportedProtocolVersion],
}

impl Hello {
    /// The usual caller.
    pub const USUAL: Self = Self {
        name: "a.example",
        alpn: &["h2", "http/1.1"],
        versions: rustls::ALL_VERSIONS,
    };
}

/// What a handshake settled.
pub struct Settled {
    pub caller: Caller,
    pub certificate: CertificateDer<'static>,
    pub version: ProtocolVersion,
    pub speaks: Speaks,
}

/// Shakes hands, trusting `authority` alone.
pub async fn shake(
    at: SocketAddr,
    authority: &Authority,
    hello: Hello,
) -> std::io::Result<Settled> {
    let mut config = ClientConfig::builder_with_provider(provider())
        .with_protocol_versions(hello.versions)
        .expect("versions")
        .with_root_certificates(authority.roots())
        .with_no_client_auth();
    config.alpn_protocols = hello
        .alpn
        .iter()
        .map(|name| name.as_bytes().to_vec())
        .collect();
    let stream = TcpStream::connect(at).await?;
    let name = ServerName::try_from(hello.name).expect("a name");
    let stream = TlsConnector::from(Arc::new(config))
        .connect(name, stream)
        .await?;
    let session = stream.get_ref().1;
    let speaks = match session.alpn_protocol() {
        Some(b"h2") => Speaks::Http2,
        _ => Speaks::Http1,
    };
    let chain = session.peer_certificates().expect("a certificate");
    let certificate = chain[0].clone().into_owned();
    let version = session.protocol_version().expect("a version");
    Ok(Settled {
        caller: Caller::over(stream, speaks).await,
        certificate,
        version,
        speaks,
    })
}
