//! exec, attach and port-forward: SPDY and WebSocket, whose bytes are echoed as they are.

use http::{HeaderMap, HeaderValue, Response, StatusCode, header};
use hyper::upgrade::{OnUpgrade, Upgraded};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::answer::{Arrived, plain, status, value};
use super::authenticate::{User, text};
use crate::caller::{Body, empty};

const STREAM_PROTOCOL: &str = "x-stream-protocol-version";

/// What a subresource speaks inside of SPDY and of WebSockets, the best first.
struct Speaks {
    spdy: &'static [&'static str],
    websocket: &'static [&'static str],
}

/// exec and attach.
const STREAMS: Speaks = Speaks {
    spdy: &[
        "v4.channel.k8s.io",
        "v3.channel.k8s.io",
        "v2.channel.k8s.io",
        "channel.k8s.io",
    ],
    websocket: &["v5.channel.k8s.io", "v4.channel.k8s.io"],
};

/// port-forward: over WebSockets it is SPDY in messages, or the older channels.
const PORTS: Speaks = Speaks {
    spdy: &["portforward.k8s.io"],
    websocket: &["SPDY/3.1+portforward.k8s.io", "v4.channel.k8s.io"],
};

/// What is sent after everything was echoed, before the end.
pub const GOODBYE: &[u8] = b"that was all";

/// Switches protocols for a subresource, or says why not.
pub fn answer(arrived: Arrived, user: &User, subresource: &str) -> Response<Body> {
    let speaks = match subresource {
        "portforward" => PORTS,
        _ => STREAMS,
    };
    let headers = &arrived.head.headers;
    if !user.is_in("dev") && !user.is_in("system:masters") {
        let message = format!(
            "pods \"p\" is forbidden: User {:?} cannot create resource \"pods/exec\" in API group \"\" in the namespace \"default\"",
            user.name
        );
        return status(StatusCode::FORBIDDEN, "Forbidden", &message);
    }
    let asked = headers.get(header::UPGRADE).map(text).unwrap_or_default();
    let response = match asked.to_ascii_lowercase().as_str() {
        "spdy/3.1" => spdy(headers, speaks.spdy),
        "websocket" => websocket(headers, speaks.websocket),
        _ => return bad("Upgrade request required"),
    };
    match arrived.upgrade {
        Some(upgrade) if response.status() == StatusCode::SWITCHING_PROTOCOLS => {
            tokio::spawn(echo(upgrade));
            response
        }
        Some(_) => response,
        None => bad("Upgrade request required"),
    }
}

fn bad(message: &str) -> Response<Body> {
    status(StatusCode::BAD_REQUEST, "BadRequest", message)
}

fn spdy(headers: &HeaderMap, known: &[&str]) -> Response<Body> {
    let asked = headers.get_all(STREAM_PROTOCOL).iter().map(text);
    let asked: Vec<String> = asked
        .collect::<Vec<_>>()
        .join(",")
        .split(',')
        .map(|version| version.trim().to_owned())
        .collect();
    let Some(picked) = known.iter().find(|known| asked.iter().any(|a| a == *known)) else {
        let mut refused = plain(&format!(
            "unable to upgrade: unable to negotiate protocol: client supports {asked:?}, server accepts {known:?}\n"
        ));
        *refused.status_mut() = StatusCode::FORBIDDEN;
        for known in known {
            let name = "x-accepted-stream-protocol-versions";
            refused.headers_mut().append(name, value(known));
        }
        return refused;
    };
    let mut response = switching("SPDY/3.1");
    let fields = response.headers_mut();
    fields.insert(STREAM_PROTOCOL, value(picked));
    response
}

fn websocket(headers: &HeaderMap, known: &[&str]) -> Response<Body> {
    let offered = headers.get(header::SEC_WEBSOCKET_PROTOCOL).map(text);
    let offered = offered.unwrap_or_default();
    let offers = |known: &str| offered.split(',').any(|offer| offer.trim() == known);
    let Some(picked) = known.iter().find(|known| offers(known)) else {
        return bad("unable to negotiate protocol");
    };
    let Some(key) = headers.get(header::SEC_WEBSOCKET_KEY) else {
        return bad("missing Sec-WebSocket-Key");
    };
    let mut response = switching("websocket");
    let fields = response.headers_mut();
    fields.insert(header::SEC_WEBSOCKET_PROTOCOL, value(picked));
    // The key as it came instead of its digest: whether a proxy leaves both alone is what counts.
    fields.insert(header::SEC_WEBSOCKET_ACCEPT, key.clone());
    response
}

fn switching(protocol: &'static str) -> Response<Body> {
    let mut response = Response::new(empty());
    *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
    let fields = response.headers_mut();
    fields.insert(header::CONNECTION, HeaderValue::from_static("Upgrade"));
    fields.insert(header::UPGRADE, HeaderValue::from_static(protocol));
    response
}

/// Echoes until the caller has ended its direction, and then says so before ending its own.
async fn echo(upgrade: OnUpgrade) {
    let Ok(upgraded) = upgrade.await else { return };
    let mut stream: TokioIo<Upgraded> = TokioIo::new(upgraded);
    let mut bytes = vec![0; 16 * 1024];
    loop {
        match stream.read(&mut bytes).await {
            Err(_) => return,
            Ok(0) => break,
            Ok(count) => {
                let echoed = stream.write_all(&bytes[..count]).await;
                if echoed.is_err() || stream.flush().await.is_err() {
                    return;
                }
            }
        }
    }
    let _ = stream.write_all(GOODBYE).await;
    let _ = stream.shutdown().await;
}
