//! `share: connection`: an upstream connection belongs to one caller's connection, so that what the
//! server does to it (GOAWAY above all) is that caller's affair alone.
//!
//! What a client-go client needs: a connection that has heard GOAWAY serves its open streams to
//! their end, takes no new ones, and the client dials anew. `--goaway-chance` spreads clients over
//! servers only if they do dial anew, and unknown callers are slowed down only then; so the leave
//! is handed on: the caller's connection is finished gracefully, and costs it no request.

use std::sync::Arc;
use std::time::Duration;

use http::{Method, Request};

use super::{PROMPTLY, Rig, StandIn, bearer, get, next_event, watch, whoami};
use crate::caller::{Caller, Speaks, block_on_for, empty};
use crate::streams;

const PATIENCE: Duration = Duration::from_secs(60);

const SHARE: &str = "share: connection,";

#[test]
fn a_callers_connection_has_an_upstream_connection_of_its_own() {
    let rig = Rig::with_upstream(SHARE, "");
    let bearer = bearer();
    let known = [("authorization", bearer.as_str())];
    block_on_for(PATIENCE, async {
        let mut callers = Vec::new();
        for speaks in [Speaks::Http2, Speaks::Http2, Speaks::Http1, Speaks::Http1] {
            callers.push((rig.caller(None, speaks).await, Vec::new()));
        }
        for _ in 0..10 {
            for (caller, connections) in &mut callers {
                let seen = whoami(caller, &known).await;
                connections.push(seen["connection"].as_u64().expect("a number"));
            }
        }
        let mut own: Vec<u64> = callers
            .iter_mut()
            .map(|(_, connections)| {
                connections.dedup();
                assert_eq!(connections.len(), 1, "one and the same");
                connections[0]
            })
            .collect();
        own.sort_unstable();
        own.dedup();
        assert_eq!(own.len(), callers.len(), "nobody else's");
        assert_eq!(rig.server.connections(), callers.len());
        // It ends with the caller's, and the others stay.
        callers.truncate(2);
        streams::until(|| rig.server.open() == 2).await;
        for (caller, connections) in &mut callers {
            let seen = whoami(caller, &known).await;
            assert_eq!(seen["connection"], connections[0]);
        }
    });
}

#[test]
fn requests_at_once_go_by_that_one_connection_too() {
    let rig = Rig::with_upstream(SHARE, "");
    block_on_for(PATIENCE, async {
        let mut caller = rig.caller(None, Speaks::Http2).await;
        let mut watches = Vec::new();
        for _ in 0..50 {
            watches.push(watch(&mut caller).await);
        }
        rig.server.tick();
        for watch in &mut watches {
            assert!(next_event(watch).await.is_some());
        }
        assert_eq!(rig.server.connections(), 1);
    });
}

/// The server takes 100 streams a connection, watches hold them, and nothing may wait for ever.
#[test]
fn more_watches_than_the_server_takes_on_a_connection_are_all_served() {
    let limits = "  limits: {maxConcurrentStreams: 250}\n";
    let rig = Rig::with_upstream(SHARE, limits);
    block_on_for(PATIENCE, async {
        let mut caller = rig.caller(None, Speaks::Http2).await;
        more_watches_than_a_connection_takes(&mut caller, &rig.server).await;
    });
}

/// Opens 130 watches on one connection: its own connections to the server are two then.
pub async fn more_watches_than_a_connection_takes(caller: &mut Caller, server: &StandIn) {
    let mut watches = Vec::new();
    for _ in 0..130 {
        let watch = tokio::time::timeout(PROMPTLY, watch(caller)).await;
        watches.push(watch.expect("none waits for another's end"));
    }
    assert_eq!(server.watches(), 130);
    assert_eq!(server.open(), 2, "100 streams each");
    for _ in 0..2 {
        server.tick();
        for watch in &mut watches {
            assert!(next_event(watch).await.is_some());
        }
    }
    server.end_watches();
    for watch in &mut watches {
        assert_eq!(next_event(watch).await, None, "a clean end");
    }
}

#[test]
fn goaway_to_an_anonymous_caller_disturbs_nobody_else() {
    let rig = Rig::with_upstream(SHARE, "");
    let bearer = bearer();
    let known = [("authorization", bearer.as_str())];
    block_on_for(PATIENCE, async {
        let mut watcher = rig.caller(None, Speaks::Http2).await;
        let mut open = watch(&mut watcher).await;
        let first = whoami(&mut watcher, &known).await["connection"].clone();
        for speaks in Speaks::BOTH {
            for fields in [&[][..], &[("authorization", "Bearer wrong")]] {
                for _ in 0..5 {
                    let mut caller = rig.caller(None, speaks).await;
                    let status = get(&mut caller, "/livez", fields).await.status;
                    assert_eq!(status, if fields.is_empty() { 200 } else { 401 });
                    rig.server.tick();
                    assert!(next_event(&mut open).await.is_some());
                }
            }
        }
        let last = whoami(&mut watcher, &known).await["connection"].clone();
        assert_eq!(last, first, "its connection was never taken leave of");
    });
}

/// Asks anonymously, again and again, as a client does that dials anew after GOAWAY.
async fn unknown(rig: Arc<Rig>, rounds: usize) {
    let mut caller = rig.caller(None, Speaks::Http2).await;
    let mut answered = 0;
    while answered < rounds {
        let request = caller.request(Method::GET, "/livez").body(empty());
        match caller.try_send(request.expect("a request")).await {
            Ok(response) => {
                assert_eq!(response.status(), 200);
                answered += 1;
            }
            Err(_) => caller = rig.caller(None, Speaks::Http2).await,
        }
    }
}

#[test]
fn floods_of_anonymous_callers_cost_a_known_one_nothing() {
    const FLOODS: usize = 4;
    const ROUNDS: usize = 50;
    let rig = Arc::new(Rig::with_upstream(SHARE, ""));
    let bearer = bearer();
    let known = [("authorization", bearer.as_str())];
    block_on_for(PATIENCE, async {
        let mut caller = rig.caller(None, Speaks::Http2).await;
        let mut open = watch(&mut caller).await;
        let mut floods = tokio::task::JoinSet::new();
        for _ in 0..FLOODS {
            floods.spawn(unknown(Arc::clone(&rig), ROUNDS));
        }
        let mut connections = Vec::new();
        while !floods.is_empty() || connections.len() < ROUNDS {
            let seen = whoami(&mut caller, &known).await;
            connections.push(seen["connection"].as_u64().expect("a number"));
            rig.server.tick();
            assert!(next_event(&mut open).await.is_some());
            if let Some(flood) = floods.try_join_next() {
                flood.expect("no request is lost");
            }
        }
        connections.dedup();
        assert_eq!(
            connections.len(),
            1,
            "its connection was never taken leave of"
        );
    });
}

#[test]
fn goaway_is_handed_on_and_costs_the_caller_no_request() {
    let rig = Rig::with_upstream(SHARE, "");
    let bearer = bearer();
    let known = [("authorization", bearer.as_str())];
    block_on_for(PATIENCE, async {
        let mut caller = rig.caller(None, Speaks::Http2).await;
        let mut open = watch(&mut caller).await;
        // An anonymous request on the same connection as a known caller's watch.
        assert_eq!(get(&mut caller, "/livez", &[]).await.status, 200);
        // The leave arrives: no new streams, by word, and within seconds.
        let left = async {
            loop {
                let request = caller.request(Method::GET, "/whoami");
                let request = request.header("authorization", &bearer).body(empty());
                match caller.try_send(request.expect("a request")).await {
                    // It was under way before the leave: answered like any other.
                    Ok(response) => assert_eq!(response.status(), 200),
                    Err(error) => return error,
                }
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        let left = tokio::time::timeout(PROMPTLY, left).await;
        left.expect("the leave is handed on");
        // What is open goes on to its own end.
        for _ in 0..3 {
            rig.server.tick();
            assert!(next_event(&mut open).await.is_some());
        }
        let mut again = rig.caller(None, Speaks::Http2).await;
        assert_eq!(
            whoami(&mut again, &known).await["user"]["username"],
            "developer"
        );
        rig.server.end_watches();
        assert_eq!(next_event(&mut open).await, None, "a clean end");
    });
}

/// Whoever only watches asks for nothing at which the leave could be noticed.
#[test]
fn a_caller_that_only_watches_hears_of_goaway_at_once_and_keeps_its_watch() {
    let rig = Rig::with_upstream(SHARE, "");
    rig.server.goaway_after(1);
    block_on_for(PATIENCE, async {
        let stream = rig.stream(None, &["h2"]).await;
        let (caller, connection) = h2::client::handshake(stream).await.expect("HTTP/2");
        tokio::spawn(connection);
        let mut caller = caller.ready().await.expect("SETTINGS");
        let request = Request::get("https://example.com/api/v1/namespaces/default/pods?watch=true")
            .header("authorization", bearer())
            .body(());
        let (response, _) = caller
            .send_request(request.expect("a request"), true)
            .expect("sent");
        let mut watch = response.await.expect("an answer").into_body();
        let left = async {
            loop {
                // Sends nothing.
                match caller.clone().ready().await {
                    Ok(_) => tokio::time::sleep(Duration::from_millis(5)).await,
                    Err(error) => return error,
                }
            }
        };
        let left = tokio::time::timeout(PROMPTLY, left).await;
        let left = left.expect("the leave is handed on");
        assert!(left.is_go_away() && left.is_remote(), "{left}");
        assert_eq!(left.reason(), Some(h2::Reason::NO_ERROR));
        for _ in 0..3 {
            rig.server.tick();
            let event = tokio::time::timeout(PROMPTLY, watch.data()).await;
            let event = event
                .expect("promptly")
                .expect("an event")
                .expect("no error");
            let _ = watch.flow_control().release_capacity(event.len());
        }
        rig.server.end_watches();
        while let Some(rest) = watch.data().await {
            assert_eq!(rest.expect("a clean end").len(), 0);
        }
    });
}

/// HTTP/1 has no word for it: the caller's connection stays, whatever becomes of the upstream's.
#[test]
fn a_caller_over_http1_never_notices_goaway() {
    let rig = Rig::with_upstream(SHARE, "");
    let bearer = bearer();
    rig.server.goaway_after(3);
    block_on_for(PATIENCE, async {
        let mut caller = rig.caller(None, Speaks::Http1).await;
        for round in 0..30 {
            let known = [("authorization", bearer.as_str())];
            let fields = if round % 3 == 0 { &[][..] } else { &known };
            assert_eq!(get(&mut caller, "/livez", fields).await.status, 200);
        }
    });
    assert_eq!(rig.server.audit().len(), 30);
}

/// A client that dials anew whenever its connection has been taken leave of loses nothing.
#[test]
fn a_client_that_dials_anew_after_goaway_loses_no_request() {
    let rig = Rig::with_upstream(SHARE, "");
    rig.server.goaway_after(5);
    let bearer = bearer();
    block_on_for(PATIENCE, async {
        let mut caller = rig.caller(None, Speaks::Http2).await;
        let mut answered = 0;
        for _ in 0..100 {
            let request = |caller: &Caller| {
                let request = caller.request(Method::GET, "/whoami");
                let request = request.header("authorization", &bearer).body(empty());
                request.expect("a request")
            };
            let first = request(&caller);
            let response = match caller.try_send(first).await {
                Ok(response) => response,
                // Declared unprocessed, or never sent: that is what it may do again.
                Err(_) => {
                    caller = rig.caller(None, Speaks::Http2).await;
                    let second = request(&caller);
                    caller.send(second).await
                }
            };
            assert_eq!(response.status(), 200);
            answered += 1;
        }
        assert_eq!(answered, 100);
    });
    assert_eq!(rig.server.audit().len(), 100, "and nothing is done twice");
}
