//! Streams through `config/kubelet.yaml`, in front of the stand-in, which answers a kubelet's paths, too.

use std::time::Duration;

use http::Method;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::pki::Pki;
use super::ready_made::kubelet;
use super::tunnels::{OLD_WEBSOCKET, SPDY, echoes, head};
use super::{DEVELOPER, PROMPTLY, StandIn, bearer, connect, next_event, standin, stream};
use crate::caller::{Speaks, block_on, empty};
use crate::files::Issued;
use crate::proxy::Proxy;

/// Far shorter than [`SILENCE`], so that a stream it counted for would be cut.
const IDLE: &str = "idleTimeout: 100ms";
const SILENCE: Duration = Duration::from_millis(500);

const OWN: &str = "tracegate-kubelet-node-1";

/// The front, and the two callers it knows: who is spoken for, and who has a token.
fn rig() -> (
    Pki,
    StandIn,
    Proxy,
    [(Option<Issued>, String, &'static str); 2],
) {
    let pki = Pki::new();
    let server = standin(&pki);
    let proxy = kubelet(&pki, &server, &[("idleTimeout: 5m", IDLE)]);
    let apiserver = pki.user("kube-apiserver-kubelet-client", &[]);
    let callers = [
        (Some(apiserver), String::new(), OWN),
        (None, format!("Authorization: {}\r\n", bearer()), DEVELOPER),
    ];
    (pki, server, proxy, callers)
}

/// As whom the last request came.
fn last_user(server: &StandIn) -> String {
    let event = server.audit().pop().expect("an event");
    event.user.expect("authenticated").name
}

#[test]
fn exec_through_the_kubelets_front_echoes_and_outlives_silence_for_either_caller() {
    let (pki, server, proxy, callers) = rig();
    for (identity, fields, name) in &callers {
        for ask in [&SPDY, &OLD_WEBSOCKET] {
            block_on(async {
                let caller = stream(&pki, identity.as_ref(), proxy.at(0), &[]).await;
                let asked = ask.at("/exec/default/p/main?command=sh&input=1", fields);
                echoes(caller, ask, &asked, SILENCE).await;
            });
            assert_eq!(last_user(&server), *name);
        }
    }
}

#[test]
fn logs_that_are_followed_outlive_silence_over_both_versions() {
    let (pki, server, proxy, callers) = rig();
    for (identity, _, name) in &callers {
        for speaks in Speaks::BOTH {
            block_on(async {
                let mut caller = connect(&pki, identity.as_ref(), proxy.at(0), speaks).await;
                let path = "/containerLogs/default/p/main?follow=true";
                let mut request = caller.request(Method::GET, path);
                if identity.is_none() {
                    request = request.header("authorization", bearer());
                }
                let response = caller.send(request.body(empty()).expect("a request")).await;
                assert_eq!(response.status(), 200, "{name}, {speaks:?}");
                let mut logs = response.into_body();
                for _ in 0..2 {
                    server.tick();
                    assert!(next_event(&mut logs).await.is_some(), "{name}, {speaks:?}");
                    tokio::time::sleep(SILENCE).await;
                }
                server.end_watches();
                assert_eq!(next_event(&mut logs).await, None, "a clean end");
            });
            assert_eq!(last_user(&server), *name);
        }
    }
}

/// Otherwise the tests above would show nothing.
#[test]
fn a_connection_to_the_kubelets_front_without_a_stream_ends_when_it_has_been_idle() {
    let (pki, _server, proxy, [(identity, ..), _]) = rig();
    block_on(async {
        let mut caller = stream(&pki, identity.as_ref(), proxy.at(0), &[]).await;
        let request = b"GET /healthz HTTP/1.1\r\nHost: node-1\r\n\r\n";
        caller.write_all(request).await.expect("sent");
        assert!(head(&mut caller).await.starts_with("HTTP/1.1 200 "));
        let mut rest = Vec::new();
        let end = tokio::time::timeout(PROMPTLY, caller.read_to_end(&mut rest));
        end.await.expect("promptly").expect("a clean end");
    });
}
