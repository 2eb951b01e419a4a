//! containerd's own client, which is Go's gRPC, through the proxy.

use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};

use sha2::{Digest, Sha256};

use super::containerd::Rig;
use super::runtime::Containerd;
use crate::span_view::{hex, views};

/// Runs a command of it with this input.
fn ctr(socket: &Path, arguments: &[&str], input: &[u8]) -> Vec<u8> {
    let mut child = Command::new("ctr")
        .arg("--address")
        .arg(socket)
        .args(["--timeout", "20s"])
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::inherit())
        .spawn()
        .expect("ctr runs");
    let mut stdin = child.stdin.take().expect("a pipe");
    stdin.write_all(input).expect("ctr reads");
    drop(stdin);
    let output = child.wait_with_output().expect("ctr ends");
    assert!(output.status.success(), "{arguments:?}");
    output.stdout
}

#[test]
fn containerds_own_client_sends_a_large_blob_and_reads_it_again() {
    let Some(containerd) = Containerd::start() else {
        return;
    };
    let rig = Rig::before(&containerd);
    let version = ctr(&rig.socket, &["version"], b"");
    let version = String::from_utf8_lossy(&version);
    assert!(version.contains("Server:"), "{version}");

    // Streams in both directions, as long as a layer of an image.
    let blob: Vec<u8> = (0..3_000_000_u32).flat_map(u32::to_be_bytes).collect();
    let digest = format!("sha256:{}", hex(&Sha256::digest(&blob)));
    let ingest = ["content", "ingest", "--expected-digest", &digest, "blob"];
    ctr(&rig.socket, &ingest, &blob);
    let back = ctr(&rig.socket, &["content", "get", &digest], b"");
    assert!(back == blob, "{} bytes", back.len());
    rig.proxy.stop();
    let spans = views(&rig.receiver);
    assert!(spans.iter().all(|span| span.text("rpc.method") == "_OTHER"));
    let called = |method: &str| {
        let called = spans.iter().map(|span| span.text("rpc.method_original"));
        called.into_iter().any(|called| called == method)
    };
    for method in ["version.v1.Version/Version", "content.v1.Content/Write"] {
        assert!(called(&format!("containerd.services.{method}")), "{method}");
    }
}
