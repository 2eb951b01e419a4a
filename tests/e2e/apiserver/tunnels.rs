//! exec, attach and port-forward, with TLS on both sides of the proxy.

use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::client::TlsStream;

use super::standin::GOODBYE;
use super::{Rig, bearer, stream};
use crate::caller::block_on;
use crate::span_view::views;

const MEGABYTE: usize = 1 << 20;

/// How a client asks for another protocol.
pub struct Ask {
    action: &'static str,
    upgrade: &'static str,
    fields: &'static str,
    /// What the answer must have.
    agreed: &'static str,
}

pub const SPDY: Ask = Ask {
    action: "exec?command=sh&stdin=true",
    upgrade: "SPDY/3.1",
    fields: "X-Stream-Protocol-Version: v5.channel.k8s.io\r\n\
             X-Stream-Protocol-Version: v4.channel.k8s.io\r\n\
             X-Stream-Protocol-Version: channel.k8s.io\r\n",
    agreed: "x-stream-protocol-version: v4.channel.k8s.io\r\n",
};

const WEBSOCKET: Ask = Ask {
    action: "attach?stdin=true",
    upgrade: "websocket",
    fields: "Sec-WebSocket-Version: 13\r\n\
             Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\
             Sec-WebSocket-Protocol: v5.channel.k8s.io\r\n",
    agreed: "sec-websocket-protocol: v5.channel.k8s.io\r\n",
};

pub const OLD_WEBSOCKET: Ask = Ask {
    action: "exec?command=sh",
    upgrade: "websocket",
    fields: "Sec-WebSocket-Version: 13\r\n\
             Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\
             Sec-WebSocket-Protocol: v4.channel.k8s.io,channel.k8s.io\r\n",
    agreed: "sec-websocket-protocol: v4.channel.k8s.io\r\n",
};

const PORTS: Ask = Ask {
    action: "portforward?ports=80",
    upgrade: "SPDY/3.1",
    fields: "X-Stream-Protocol-Version: portforward.k8s.io\r\n",
    agreed: "x-stream-protocol-version: portforward.k8s.io\r\n",
};

const TUNNELLED_PORTS: Ask = Ask {
    action: "portforward?ports=80",
    upgrade: "websocket",
    fields: "Sec-WebSocket-Version: 13\r\n\
             Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\
             Sec-WebSocket-Protocol: SPDY/3.1+portforward.k8s.io\r\n",
    agreed: "sec-websocket-protocol: spdy/3.1+portforward.k8s.io\r\n",
};

impl Ask {
    fn head(&self, more: &str) -> String {
        let path = format!("/api/v1/namespaces/default/pods/p/{}", self.action);
        self.at(&path, more)
    }

    /// The same wherever it may be asked for.
    pub fn at(&self, path: &str, more: &str) -> String {
        let Self {
            upgrade, fields, ..
        } = self;
        format!(
            "POST {path} HTTP/1.1\r\n\
             Host: kubernetes.example\r\n\
             Connection: Upgrade\r\n\
             Upgrade: {upgrade}\r\n\
             {fields}{more}\r\n"
        )
    }
}

/// Reads up to and including the empty line that ends a head.
pub async fn head(stream: &mut TlsStream<TcpStream>) -> String {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await.expect("a whole head"));
    }
    String::from_utf8(head).expect("text")
}

/// Asks, is agreed with, and reads back all it sends, `silence` lying between two halves, until it
/// ends its direction and hears goodbye.
pub async fn echoes(mut caller: TlsStream<TcpStream>, ask: &Ask, asked: &str, silence: Duration) {
    caller.write_all(asked.as_bytes()).await.expect("sent");
    let answered = head(&mut caller).await.to_ascii_lowercase();
    assert!(answered.starts_with("http/1.1 101 "), "{answered}");
    assert!(answered.contains(ask.agreed), "{answered}");
    let upgrade = format!("upgrade: {}\r\n", ask.upgrade.to_ascii_lowercase());
    assert!(answered.contains(&upgrade), "{answered}");
    let payload: Vec<u8> = (0..MEGABYTE).map(|i| (i ^ (i >> 8)) as u8).collect();
    let (before, after) = payload.split_at(MEGABYTE / 2);
    let (mut read, mut write) = tokio::io::split(caller);
    let send = async {
        write.write_all(before).await.expect("sent");
        tokio::time::sleep(silence).await;
        write.write_all(after).await.expect("sent");
        write.shutdown().await.expect("the direction ends");
    };
    let receive = async {
        let mut back = Vec::new();
        read.read_to_end(&mut back).await.expect("a clean end");
        back
    };
    let ((), back) = tokio::join!(send, receive);
    assert_eq!(back.len(), MEGABYTE + GOODBYE.len(), "{}", ask.upgrade);
    assert!(back[..MEGABYTE] == payload, "{}", ask.upgrade);
    assert_eq!(&back[MEGABYTE..], GOODBYE);
}

#[test]
fn tunnels_echo_until_the_caller_ends_its_direction_and_say_goodbye() {
    let rig = Rig::start("");
    let authorized = format!("Authorization: {}\r\n", bearer());
    // Clients of upgrades often have no ALPN.
    for (ask, alpn) in [
        (&SPDY, &[][..]),
        (&SPDY, &["http/1.1"]),
        (&WEBSOCKET, &[]),
        (&WEBSOCKET, &["http/1.1"]),
        (&OLD_WEBSOCKET, &[]),
        (&PORTS, &[]),
        (&TUNNELLED_PORTS, &["http/1.1"]),
    ] {
        block_on(async {
            let caller = rig.stream(None, alpn).await;
            echoes(caller, ask, &ask.head(&authorized), Duration::ZERO).await;
        });
    }
    rig.proxy.stop();
    let spans = views(&rig.receiver);
    assert_eq!(spans.len(), 7);
    let template = "POST /api/v1/namespaces/{namespace}/pods/{name}";
    assert_eq!(spans[0].0.name, format!("{template}/exec"));
    assert_eq!(spans[2].0.name, format!("{template}/attach"));
    assert_eq!(spans[6].0.name, format!("{template}/portforward"));
    for span in &spans {
        assert_eq!(span.text("http.response.status_code"), "101");
        assert_eq!(span.text("k8s.api.verb"), "create");
        assert_eq!(
            span.text("tracegate.tunnel.request_bytes"),
            MEGABYTE.to_string()
        );
    }
}

/// An answer's head and body, whose length it says.
async fn answer(rig: &Rig, at: SocketAddr, request: &str) -> (Vec<String>, String) {
    let mut caller = stream(&rig.pki, None, at, &[]).await;
    caller.write_all(request.as_bytes()).await.expect("sent");
    let head = head(&mut caller).await;
    let mut lines: Vec<String> = head.trim_end().split("\r\n").map(str::to_owned).collect();
    let length = lines.iter().find_map(|line| {
        let (name, value) = line.split_once(": ")?;
        name.eq_ignore_ascii_case("content-length")
            .then(|| value.parse().ok())?
    });
    let mut body = vec![0; length.expect("a length")];
    caller.read_exact(&mut body).await.expect("a whole body");
    // What the proxy may say for itself, for it won't read on after a refused upgrade.
    lines.retain(|line| !line.eq_ignore_ascii_case("connection: close"));
    (lines, String::from_utf8(body).expect("text"))
}

/// kubectl falls back from WebSocket to SPDY by status and body, and tells users what it reads.
#[test]
fn an_upgrade_that_is_refused_is_answered_as_the_server_does() {
    let rig = Rig::start("");
    let authorized = format!("Authorization: {}\r\n", bearer());
    let nameless = Ask {
        fields: "",
        ..WEBSOCKET
    };
    let unknown = Ask {
        upgrade: "something-else",
        ..WEBSOCKET
    };
    let old = Ask {
        fields: "X-Stream-Protocol-Version: v9.channel.k8s.io\r\n",
        ..SPDY
    };
    for (ask, fields, expected, why) in [
        (&SPDY, "", "403 Forbidden", "anonymous callers may not"),
        (&WEBSOCKET, "", "403 Forbidden", "by WebSocket neither"),
        (
            &WEBSOCKET,
            "Authorization: Bearer x\r\n",
            "401 Unauthorized",
            "a wrong token",
        ),
        (
            &nameless,
            &authorized,
            "400 Bad Request",
            "no protocol in the protocol",
        ),
        (
            &unknown,
            &authorized,
            "400 Bad Request",
            "a protocol nobody knows",
        ),
        (&old, &authorized, "403 Forbidden", "a version nobody knows"),
    ] {
        block_on(async {
            let request = ask.head(&format!("{fields}Audit-ID: the-same\r\n"));
            let direct = answer(&rig, rig.server.address(), &request).await;
            let proxied = answer(&rig, rig.proxy.at(0), &request).await;
            let status = format!("HTTP/1.1 {expected}");
            assert_eq!(direct.0[0], status, "{why}");
            assert_eq!(proxied, direct, "{why}");
        });
    }
}
