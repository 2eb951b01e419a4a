//! Upgrades that a real apiserver takes: watches over WebSockets (RFC 6455), by a certificate and
//! by a token among the subprotocols, as browsers send it.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::Method;
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::client::TlsStream;

use super::assets::Assets;
use super::client::{Client, FROM, block_on, config_map, connect};
use super::cluster::{Cluster, PATIENCE};
use super::commands::{BOT, TOKEN};

const MAPS: &str = "/api/v1/namespaces/default/configmaps";

#[test]
fn watches_over_websockets_hear_and_are_their_callers() {
    let Some(assets) = Assets::find() else { return };
    let mut cluster = Cluster::start(&assets, "websockets", false);
    for (certificate, user) in [(Some("alice"), "alice"), (None, BOT[0])] {
        let id = format!("websocket-{user}");
        block_on(async {
            let heard = tokio::time::timeout(PATIENCE, heard(&cluster, certificate, &id)).await;
            heard.unwrap_or_else(|_| panic!("{user}: it hears in time"));
        });
        let event = cluster
            .audit
            .wait_for(&id, |event| event["auditID"] == id.as_str());
        assert_eq!(event["verb"], "watch", "{event}");
        assert_eq!(event["user"]["username"], user, "{event}");
        assert_eq!(event["sourceIPs"], json!([FROM, "127.0.0.1"]), "{event}");
    }
    refused(&cluster);
    cluster.assert_runs();
}

/// Watches something, makes it, and hears of it.
async fn heard(cluster: &Cluster, certificate: Option<&str>, id: &str) {
    let protocols = if certificate.is_none() {
        let token = URL_SAFE_NO_PAD.encode(TOKEN);
        format!("base64url.bearer.authorization.k8s.io.{token}, json")
    } else {
        "json".to_owned()
    };
    let (head, mut watch) = upgrade(cluster, certificate, &protocols, id).await;
    assert!(head.starts_with("HTTP/1.1 101 "), "{head}");
    // The token isn't echoed, the other protocol is.
    let lines = head.to_ascii_lowercase();
    assert!(
        lines.contains("\r\nsec-websocket-protocol: json\r\n"),
        "{head}"
    );
    let mut writer = Client::connect(cluster, Some("admin")).await;
    let json = [("content-type", "application/json")];
    let body = config_map(id, "1");
    let (status, answer) = writer.ask(Method::POST, MAPS, &json, body).await;
    assert_eq!(status, 201, "{answer}");
    let (mut frames, mut chunk) = (Vec::new(), [0; 4096]);
    loop {
        let read = watch.read(&mut chunk).await.expect("frames");
        assert_ne!(read, 0, "it goes on: {}", String::from_utf8_lossy(&frames));
        frames.extend_from_slice(&chunk[..read]);
        // A server's frames aren't masked.
        let text = String::from_utf8_lossy(&frames);
        if text.contains(r#""type":"ADDED""#) && text.contains(id) {
            return;
        }
    }
}

/// What isn't let in stays HTTP, and is told why.
fn refused(cluster: &Cluster) {
    let token = URL_SAFE_NO_PAD.encode("another");
    let wrong = format!("base64url.bearer.authorization.k8s.io.{token}, json");
    for (certificate, protocols, status) in [
        (None, "json", "403"),
        (None, wrong.as_str(), "401"),
        (Some("carol"), "json", "403"),
    ] {
        let asked = upgrade(cluster, certificate, protocols, "refused");
        let (head, _) = block_on(async { tokio::time::timeout(PATIENCE, asked).await })
            .expect("an answer in time");
        let expected = format!("HTTP/1.1 {status} ");
        assert!(head.starts_with(&expected), "{protocols}: {head}");
    }
}

/// Asks for a WebSocket; the answer's head, and what follows it.
async fn upgrade(
    cluster: &Cluster,
    certificate: Option<&str>,
    protocols: &str,
    id: &str,
) -> (String, TlsStream<TcpStream>) {
    let mut stream = connect(cluster, certificate, b"http/1.1").await;
    let at = cluster.ingress;
    let request = format!(
        "GET {MAPS}?watch=true&fieldSelector=metadata.name%3D{id} HTTP/1.1\r\n\
         Host: {at}\r\n\
         Connection: Upgrade\r\n\
         Upgrade: websocket\r\n\
         Sec-WebSocket-Version: 13\r\n\
         Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\
         Sec-WebSocket-Protocol: {protocols}\r\n\
         Origin: https://{at}\r\n\
         Audit-ID: {id}\r\n\r\n"
    );
    stream.write_all(request.as_bytes()).await.expect("sent");
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await.expect("a head"));
    }
    (String::from_utf8_lossy(&head).into_owned(), stream)
}
