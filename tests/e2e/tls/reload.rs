//! Certificates and authorities whose files change: new connections see it, old ones go on.

use std::net::SocketAddr;
use std::os::unix::fs::symlink;
use std::time::{Duration, Instant};

use tracegate::lifecycle::Signal;

use super::upstream::Secured;
use super::{Hello, files, shake};
use crate::caller::{Caller, Speaks, block_on};
use crate::component::{Component, PATIENCE};
use crate::files::{Authority, Issued, TempDir};
use crate::process::Process;
use crate::proxy::{self, Proxy, document};

/// A listener's settings with the certificate at `live/` of a directory.
fn listener(component: &Component, directory: &TempDir) -> String {
    let live = directory.join("live");
    let tls = files(&(live.join("tls.crt"), live.join("tls.key")));
    let upstream = format!("{{url: \"{}\"}}", component.url());
    proxy::quiet(
        &upstream,
        &format!("  tls: {{certificates: [{{{tls}}}]}}\n"),
    )
}

/// A proxy from a file that is there, so that it can be read again.
fn start(directory: &TempDir, yaml: &str) -> Proxy {
    let file = directory.file("tracegate.yaml", document(yaml));
    Proxy::start_file(file, yaml)
}

/// Puts a certificate where Kubernetes would: another directory, and a link that is swapped.
fn publish(directory: &TempDir, issued: &Issued, version: &str) {
    std::fs::create_dir(directory.join(version)).expect("a directory");
    directory.file(&format!("{version}/tls.crt"), &issued.cert);
    directory.file(&format!("{version}/tls.key"), &issued.key);
    symlink(version, directory.join("next")).expect("a link");
    std::fs::rename(directory.join("next"), directory.join("live")).expect("a swap");
}

/// Shakes hands anew until that certificate is served.
async fn until_served(at: SocketAddr, authority: &Authority, expected: &Issued) {
    let expected = &expected.der().0[0];
    let end = Instant::now() + PATIENCE;
    loop {
        let settled = shake(at, authority, Hello::USUAL).await;
        if settled.expect("a handshake").certificate == *expected {
            return;
        }
        assert!(Instant::now() < end, "the new certificate is never served");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[test]
fn a_swapped_certificate_is_served_to_new_connections_and_old_ones_go_on() {
    let (authority, directory) = (Authority::new(), TempDir::new());
    let [first, second] = [(), ()].map(|()| authority.issue(&["a.example"]));
    publish(&directory, &first, "1");
    let component = Component::start();
    let proxy = start(&directory, &listener(&component, &directory));
    block_on(async {
        let mut old = Vec::new();
        for alpn in [&["h2"], &["http/1.1"]] {
            let hello = Hello {
                alpn,
                ..Hello::USUAL
            };
            let settled = shake(proxy.at(0), &authority, hello).await;
            let mut settled = settled.expect("a handshake");
            assert_eq!(settled.certificate, first.der().0[0]);
            assert_eq!(settled.caller.get("/").await.status, 200);
            old.push(settled.caller);
        }
        publish(&directory, &second, "2");
        until_served(proxy.at(0), &authority, &second).await;
        for caller in &mut old {
            assert_eq!(caller.get("/").await.status, 200);
        }
    });
}

#[test]
fn a_hangup_reloads_certificates() {
    let (authority, directory) = (Authority::new(), TempDir::new());
    let [first, second] = [(), ()].map(|()| authority.issue(&["a.example"]));
    publish(&directory, &first, "1");
    let component = Component::start();
    let proxy = start(&directory, &listener(&component, &directory));
    publish(&directory, &second, "2");
    proxy.signal(Signal::Hangup);
    block_on(until_served(proxy.at(0), &authority, &second));
}

#[test]
fn certificates_that_cannot_be_used_leave_the_old_ones_in_place() {
    let (authority, directory) = (Authority::new(), TempDir::new());
    let [first, second] = [(), ()].map(|()| authority.issue(&["a.example"]));
    publish(&directory, &first, "1");
    let component = Component::start();
    let mut process = Process::start(&directory, &listener(&component, &directory));
    let at = process.address("quiet");
    // A key that is another certificate's.
    let mixed = Issued {
        cert: second.cert.clone(),
        key: first.key.clone(),
    };
    publish(&directory, &mixed, "2");
    process.wait_for("the configuration was not reloaded; the running one stays");
    block_on(until_served(at, &authority, &first));
    // And on a hangup the same again, though nothing has changed since.
    process.hang_up();
    process.wait_for("the configuration was not reloaded; the running one stays");
    publish(&directory, &second, "3");
    process.wait_for("configuration reloaded");
    block_on(until_served(at, &authority, &second));
}

#[test]
fn an_upstreams_authority_is_reloaded() {
    let secured = Secured::start(&["h2", "http/1.1"], None);
    secured.directory.file("ca.pem", Authority::new().pem());
    let upstream = secured.upstream("", ", serverName: component.example");
    let proxy = start(&secured.directory, &proxy::quiet(&upstream, ""));
    block_on(async {
        let mut caller = Caller::tcp(proxy.at(0), Speaks::Http1).await;
        assert_eq!(caller.get("/").await.status, 502);
        secured.directory.file("ca.pem", secured.authority.pem());
        let end = Instant::now() + PATIENCE;
        while caller.get("/").await.status != 200 {
            assert!(Instant::now() < end, "the new authority is never trusted");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    });
}
