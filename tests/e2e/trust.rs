//! Who is trusted, by certificate and by process: judged at every request, through real handshakes.

mod authorities;
mod change;
mod demanded;
mod sockets;

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use http::Method;
use rcgen::{CertificateParams, DistinguishedName, DnType, SanType, date_time_ymd};
use rustls::pki_types::ServerName;
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use rustls::{ClientConfig, HandshakeKind, SupportedProtocolVersion};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use super::caller::{Answer, Caller, Speaks, block_on, empty};
use super::component::{Component, Seen};
use super::files::{Authority, Issued, TempDir};
use super::proxy::{self, Proxy, document};

const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";
const PARENT: &str = "b7ad6b7169203331";
const PLANTED: &str = "planted";

const V1_2: &[&SupportedProtocolVersion] = &[&rustls::version::TLS12];
const V1_3: &[&SupportedProtocolVersion] = &[&rustls::version::TLS13];

/// Full trust for a group, ids for a gateway.
const RULES: &str = "  trust:
    rules:
    - {from: {clientCert: {groups: [system:monitoring]}}, as: full}
    - {from: {clientCert: {uriSANs: [\"spiffe://prod/ns/*/sa/gateway\"]}}, as: ids}
";

/// A component behind a listener that asks for certificates.
struct Rig {
    server: Authority,
    clients: Authority,
    component: Component,
    proxy: Proxy,
    directory: TempDir,
}

impl Rig {
    /// `tls` are more keys of `tls`, `more` more keys of the listener.
    fn start(tls: &str, more: &str) -> Self {
        Self::of(Authority::new(), tls, more)
    }

    /// The same with this authority of callers.
    fn of(clients: Authority, tls: &str, more: &str) -> Self {
        let server = Authority::new();
        let (directory, component) = (TempDir::new(), Component::start());
        let (cert, key) = server.issue(&["a.example"]).write(&directory, "server");
        let ca = directory.file("clients.pem", clients.pem());
        let upstream = format!("{{url: \"{}\"}}", component.url());
        let more = format!(
            "  tls:
    certificates: [{{certFile: \"{}\", keyFile: \"{}\"}}]
    clientCAFile: \"{}\"
{tls}{more}",
            cert.display(),
            key.display(),
            ca.display()
        );
        let yaml = format!(
            "health: {{bind: \"127.0.0.1:0\"}}\n{}",
            proxy::quiet(&upstream, &more)
        );
        let file = directory.file("tracegate.yaml", document(&yaml));
        let proxy = Proxy::start_file(file, &yaml);
        Self {
            server,
            clients,
            component,
            proxy,
            directory,
        }
    }

    fn at(&self) -> SocketAddr {
        self.proxy.at(0)
    }

    /// A certificate of the authority the listener knows.
    fn monitor(&self) -> Issued {
        self.clients.sign(holder("prometheus", "system:monitoring"))
    }

    fn dialer(&self, identity: Option<&Issued>) -> Dialer {
        Dialer::new(&self.server, identity, rustls::ALL_VERSIONS)
    }

    /// What arrives of the next request that brings every kind of context.
    async fn arrives(&self, caller: &mut Caller) -> Seen {
        let before = self.component.seen().len();
        let answer = ask(caller).await;
        assert_eq!(answer.status, 200);
        self.component.wait_for(before + 1).remove(before)
    }
}

/// A holder of a certificate that is valid for as long as tests last.
pub fn holder(common_name: &str, group: &str) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    let name = &mut params.distinguished_name;
    name.push(DnType::CommonName, common_name);
    name.push(DnType::OrganizationName, group);
    params
}

/// A holder known by a URI alone.
fn workload(uri: &str) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    params.subject_alt_names = vec![SanType::URI(uri.try_into().expect("a URI"))];
    params
}

/// Ends a certificate's life at that moment, to the second.
pub fn until(mut params: CertificateParams, end: SystemTime) -> CertificateParams {
    let end = end.duration_since(SystemTime::UNIX_EPOCH).expect("later");
    params.not_after = date_time_ymd(1970, 1, 1) + Duration::from_secs(end.as_secs());
    params
}

/// A caller's side of handshakes; it keeps what resumes a session.
pub struct Dialer {
    pub config: ClientConfig,
    preface: &'static str,
}

impl Dialer {
    pub fn new(
        server: &Authority,
        identity: Option<&Issued>,
        versions: &[&'static SupportedProtocolVersion],
    ) -> Self {
        let builder = ClientConfig::builder_with_provider(super::tls::provider())
            .with_protocol_versions(versions)
            .expect("versions")
            .with_root_certificates(server.roots());
        let config = match identity {
            Some(identity) => {
                let (chain, key) = identity.der();
                builder.with_client_auth_cert(chain, key).expect("a key")
            }
            None => builder.with_no_client_auth(),
        };
        Self {
            config,
            preface: "",
        }
    }

    /// The same with a certificate that is another key's: rustls would refuse to be set up so.
    fn presenting(server: &Authority, certificate: &Issued, key: &Issued) -> Self {
        let mut dialer = Self::new(server, None, rustls::ALL_VERSIONS);
        let provider = super::tls::provider();
        let key = provider.key_provider.load_private_key(key.der().1);
        let mixed = CertifiedKey {
            cert: certificate.der().0,
            key: key.expect("a key"),
            ocsp: None,
        };
        dialer.config.client_auth_cert_resolver = Arc::new(SingleCertAndKey::from(mixed));
        dialer
    }

    async fn dial(
        &mut self,
        at: SocketAddr,
        speaks: Speaks,
    ) -> io::Result<(Caller, HandshakeKind)> {
        let alpn: &[u8] = match speaks {
            Speaks::Http1 => b"http/1.1",
            Speaks::Http2 => b"h2",
        };
        self.config.alpn_protocols = vec![alpn.to_vec()];
        let mut stream = TcpStream::connect(at).await?;
        stream.write_all(self.preface.as_bytes()).await?;
        let name = ServerName::try_from("a.example").expect("a name");
        let connector = TlsConnector::from(Arc::new(self.config.clone()));
        let stream = connector.connect(name, stream).await?;
        let kind = stream.get_ref().1.handshake_kind().expect("a handshake");
        Ok((Caller::over(stream, speaks).await, kind))
    }

    async fn connect(&mut self, at: SocketAddr, speaks: Speaks) -> Caller {
        self.dial(at, speaks).await.expect("a handshake").0
    }
}

/// A request with a context, aliases of it, and other formats.
async fn ask(caller: &mut Caller) -> Answer {
    let context = format!("00-{TRACE}-{PARENT}-01");
    let mut request = caller.request(Method::GET, "/");
    for (name, value) in [
        ("traceparent", context.as_str()),
        ("tracestate", "planted=1"),
        ("baggage", "k=planted"),
        ("trace_parent", PLANTED),
        ("trace.parent", PLANTED),
        ("trace--state", "planted=2"),
        ("b3", PLANTED),
        ("x-b3-traceid", TRACE),
        ("uber-trace-id", PLANTED),
        ("x-datadog-trace-id", PLANTED),
        ("grpc-trace-bin", PLANTED),
        ("x-client-cert", "monitoring"),
    ] {
        request = request.header(name, value);
    }
    caller
        .exchange(request.body(empty()).expect("a request"))
        .await
}

/// `full`, `ids` or `drop`, by what arrived, of which nothing may be more than it should.
fn trust_of(seen: &Seen) -> &'static str {
    let context = seen.value("traceparent").expect("one context");
    let says = |needle: &str| {
        let mut values = seen.headers.values();
        values.any(|value| String::from_utf8_lossy(value.as_bytes()).contains(needle))
    };
    if !context.contains(TRACE) {
        assert!(!says(TRACE) && !says(PARENT) && !says(PLANTED), "{seen:?}");
        return "drop";
    }
    for alias in ["trace_parent", "trace.parent", "trace--state"] {
        assert!(seen.values(alias).is_empty(), "{alias}: {seen:?}");
    }
    if says(PLANTED) {
        assert_eq!(seen.values("tracestate"), ["planted=1"]);
        "full"
    } else {
        "ids"
    }
}

#[test]
fn a_verified_certificate_is_trusted_by_its_names_and_no_other_is() {
    let rig = Rig::start("", RULES);
    let stranger = Authority::new();
    let past = SystemTime::now() - Duration::from_secs(60);
    let monitor = || holder("prometheus", "system:monitoring");
    let gateway = |namespace: &str| workload(&format!("spiffe://prod/ns/{namespace}/sa/gateway"));
    let sign = |params| rig.clients.sign(params);
    for (identity, expected, why) in [
        (Some(sign(monitor())), "full", "a group that is trusted"),
        (Some(sign(gateway("edge"))), "ids", "a URI that is trusted"),
        (
            Some(sign(gateway("a/b"))),
            "drop",
            "a star is one part of a path",
        ),
        (Some(sign(gateway(".."))), "drop", "and no way up"),
        (
            Some(sign(holder("x", "system:nodes"))),
            "drop",
            "another group",
        ),
        (
            Some(sign(holder("", "system:monitoring"))),
            "drop",
            "a group without a user",
        ),
        (
            Some(sign(holder("system:monitoring", "x"))),
            "drop",
            "a user is no group",
        ),
        (Some(sign(until(monitor(), past))), "drop", "expired"),
        (
            Some(stranger.sign(monitor())),
            "drop",
            "another authority's word",
        ),
        (None, "drop", "no certificate, but a field that claims one"),
    ] {
        block_on(async {
            for (speaks, versions) in [
                (Speaks::Http1, V1_2),
                (Speaks::Http1, V1_3),
                (Speaks::Http2, V1_3),
            ] {
                let mut dialer = Dialer::new(&rig.server, identity.as_ref(), versions);
                let mut caller = dialer.connect(rig.at(), speaks).await;
                for _ in 0..2 {
                    let seen = rig.arrives(&mut caller).await;
                    assert_eq!(trust_of(&seen), expected, "{why}, {speaks:?}");
                }
            }
        });
    }
    let rules = |rule, trust| {
        let labels = [("listener", "quiet"), ("trust", trust), ("rule", rule)];
        let scrape = super::metrics::Scrape::of(rig.proxy.health());
        scrape.get("tracegate_trust_verdicts_total", &labels)
    };
    let counted = [
        rules("0", "full"),
        rules("1", "ids"),
        rules("default", "drop"),
    ];
    assert_eq!(counted, [6, 6, 48]);
}

#[test]
fn without_the_key_no_certificate_is_presented() {
    let rig = Rig::start("", RULES);
    let [mine, theirs] = [rig.monitor(), rig.monitor()];
    block_on(async {
        for speaks in Speaks::BOTH {
            let mut dialer = Dialer::presenting(&rig.server, &theirs, &theirs);
            let mut caller = dialer.connect(rig.at(), speaks).await;
            assert_eq!(trust_of(&rig.arrives(&mut caller).await), "full");
        }
        let before = rig.component.seen().len();
        let mut dialer = Dialer::presenting(&rig.server, &theirs, &mine);
        demanded::is_refused(&mut dialer, &rig).await;
        assert_eq!(rig.component.seen().len(), before);
    });
}
