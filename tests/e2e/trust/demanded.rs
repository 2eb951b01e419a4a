//! Where a certificate is required, and whose are asked for.

use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

use http::Method;
use rustls::SignatureScheme;
use rustls::client::ResolvesClientCert;
use rustls::sign::CertifiedKey;

use super::{Dialer, Rig, ask, holder, trust_of, until};
use crate::caller::{Caller, Speaks, block_on, empty};
use crate::files::Authority;
use crate::metrics;

const REQUIRE: &str = "    clientAuth: require\n";

/// The handshake fails: under TLS 1.3 a caller learns that with the first thing it reads.
pub async fn is_refused(dialer: &mut Dialer, rig: &Rig) {
    if let Ok((mut caller, _)) = dialer.dial(rig.at(), Speaks::Http1).await {
        let request = caller.request(Method::GET, "/").body(empty());
        let answer = caller.try_send(request.expect("a request")).await;
        assert!(answer.is_err(), "{answer:?}");
    }
    let labels = [("listener", "quiet"), ("reason", "tls_handshake")];
    let name = "tracegate_connections_refused_total";
    metrics::wait_for(rig.proxy.health(), name, &labels, 1);
}

#[test]
fn a_required_certificate_has_to_be_presented() {
    let rig = Rig::start(REQUIRE, super::RULES);
    block_on(async { is_refused(&mut rig.dialer(None), &rig).await });
    assert!(rig.component.seen().is_empty());
}

#[test]
fn a_required_certificate_has_to_verify_at_every_request() {
    let rig = Rig::start(REQUIRE, super::RULES);
    let end = SystemTime::now() + Duration::from_secs(6);
    let short = rig
        .clients
        .sign(until(holder("a", "system:monitoring"), end));
    let stranger = Authority::new().sign(holder("a", "system:monitoring"));
    block_on(async {
        for speaks in Speaks::BOTH {
            let mut caller = rig
                .dialer(Some(&rig.monitor()))
                .connect(rig.at(), speaks)
                .await;
            assert_eq!(trust_of(&rig.arrives(&mut caller).await), "full");
            let mut caller = rig.dialer(Some(&stranger)).connect(rig.at(), speaks).await;
            refused(&mut caller).await;
        }
        let mut caller = rig
            .dialer(Some(&short))
            .connect(rig.at(), Speaks::Http2)
            .await;
        assert_eq!(trust_of(&rig.arrives(&mut caller).await), "full");
        let left = end.duration_since(SystemTime::now()).unwrap_or_default();
        tokio::time::sleep(left + Duration::from_secs(1)).await;
        refused(&mut caller).await;

        let call = caller.request(Method::POST, "/a.B/C");
        let call = call
            .header("content-type", "application/grpc")
            .body(empty());
        let answer = caller.exchange(call.expect("a request")).await;
        assert_eq!(answer.status, 200, "in gRPC's own words");
        assert_eq!(answer.field("grpc-status").as_deref(), Some("16"));
    });
    assert_eq!(rig.component.seen().len(), 3);
    let labels = [("listener", "quiet"), ("reason", "client_certificate")];
    let scrape = metrics::Scrape::of(rig.proxy.health());
    assert_eq!(scrape.get("tracegate_requests_refused_total", &labels), 4);
}

async fn refused(caller: &mut Caller) {
    let answer = ask(caller).await;
    assert_eq!(answer.status, 403);
    assert_eq!(
        answer.text(),
        "tracegate: the client certificate doesn't verify"
    );
}

/// Writes down whose certificates are asked for, as callers do that withhold others.
#[derive(Debug, Default)]
struct Hints(Mutex<Vec<Vec<u8>>>);

impl ResolvesClientCert for Hints {
    fn resolve(&self, hints: &[&[u8]], _: &[SignatureScheme]) -> Option<Arc<CertifiedKey>> {
        let hints = hints.iter().map(|hint| hint.to_vec());
        self.0.lock().expect("no panic").extend(hints);
        None
    }

    fn has_certs(&self) -> bool {
        true
    }
}

#[test]
fn callers_are_told_whose_certificates_are_asked_for() {
    let rig = Rig::start("", "");
    let hints = Arc::new(Hints::default());
    let mut dialer = rig.dialer(None);
    dialer.config.client_auth_cert_resolver = Arc::<Hints>::clone(&hints);
    block_on(async { dialer.connect(rig.at(), Speaks::Http1).await });
    let hints = hints.0.lock().expect("no panic");
    let expected = rig.clients.roots().subjects();
    assert_eq!(hints.len(), 1);
    assert_eq!(hints[0], expected[0].as_ref());
}
