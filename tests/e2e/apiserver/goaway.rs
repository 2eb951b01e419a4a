//! The server takes leave of connections all the time, of those of unknown callers at once; through
//! the proxy that costs nobody a request.

use std::time::Duration;

use http::{Method, StatusCode};

use super::{Rig, bearer, get, next_event, watch};
use crate::caller::{Caller, Speaks, block_on_for, empty, full};

const PATIENCE: Duration = Duration::from_secs(60);

/// Reads and creates in turn.
async fn work(mut caller: Caller, rounds: usize) {
    for round in 0..rounds {
        let path = "/api/v1/namespaces/default/pods";
        let (method, body, expected) = if round % 2 == 0 {
            (Method::GET, empty(), StatusCode::OK)
        } else {
            (Method::POST, full("{}"), StatusCode::CREATED)
        };
        let request = caller.request(method, path);
        let request = request.header("authorization", bearer());
        let answer = caller
            .exchange(request.body(body).expect("a request"))
            .await;
        assert_eq!(answer.status, expected, "round {round}: {}", answer.text());
    }
}

#[test]
fn a_server_that_keeps_taking_leave_costs_no_request() {
    const AT_ONCE: usize = 4;
    const ROUNDS: usize = 50;
    for speaks in Speaks::BOTH {
        let rig = Rig::start("");
        rig.server.goaway_after(5);
        let mut asked = 0;
        // Until some came too late for their connection, which is what this is about.
        while asked == 0 || speaks == Speaks::Http2 && rig.server.ignored() == 0 {
            assert!(asked < 20 * AT_ONCE * ROUNDS, "nothing ever comes too late");
            block_on_for(PATIENCE, async {
                let mut working = tokio::task::JoinSet::new();
                for _ in 0..AT_ONCE {
                    working.spawn(work(rig.caller(None, speaks).await, ROUNDS));
                }
                while let Some(worked) = working.join_next().await {
                    worked.expect("no request is lost");
                }
            });
            asked += AT_ONCE * ROUNDS;
        }
        assert_eq!(rig.server.audit().len(), asked, "each is done once");
        let left = rig.server.connections();
        assert!(left >= asked / 10, "only {left} connections");
    }
}

#[test]
fn unknown_callers_cost_a_known_one_nothing() {
    let rig = Rig::start("");
    let token = bearer();
    let known = [("authorization", token.as_str())];
    block_on_for(PATIENCE, async {
        let mut watcher = rig.caller(None, Speaks::Http2).await;
        let mut watch = watch(&mut watcher).await;
        for speaks in Speaks::BOTH {
            let mut caller = rig.caller(None, speaks).await;
            for round in 0..20 {
                let unknown: &[_] = match round % 2 {
                    0 => &[],
                    _ => &[("authorization", "Bearer wrong")],
                };
                let expected = if unknown.is_empty() { 200 } else { 401 };
                assert_eq!(get(&mut caller, "/livez", unknown).await.status, expected);
                assert_eq!(get(&mut caller, "/livez", &known).await.status, 200);
                // Its connection has been taken leave of, and yet it goes on.
                rig.server.tick();
                assert!(next_event(&mut watch).await.is_some());
            }
        }
    });
}
