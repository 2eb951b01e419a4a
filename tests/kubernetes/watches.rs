//! A thousand watches for a minute, all of which hear everything.

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use http::Method;
use http_body_util::BodyExt;
use hyper::body::Incoming;
use tokio::task::{JoinError, JoinSet};

use super::assets::Assets;
use super::client::{Client, block_on, config_map};
use super::cluster::{Cluster, PATIENCE};
use super::kubectl::Who;
use super::process::until;

const WATCHES: usize = 1000;
/// Fewer than the 100 streams an apiserver takes on a connection.
const A_CONNECTION: usize = 50;

/// Changes, and the time between two of them.
const CHANGES: usize = 6;
const PAUSE: Duration = Duration::from_secs(10);

/// How long an event may take to get to all of them.
const PROMPTLY: Duration = Duration::from_secs(30);
/// How long everything may take.
const BOUND: Duration = Duration::from_secs(400);

const WATCH: &str = "/api/v1/namespaces/default/configmaps?watch=true&timeoutSeconds=600\
                     &fieldSelector=metadata.name%3Dwatched";
const MAPS: &str = "/api/v1/namespaces/default/configmaps";

#[test]
fn a_thousand_watches_hear_every_change_for_a_minute() {
    let Some(assets) = Assets::find() else { return };
    let mut cluster = Cluster::start(&assets, "watches", false);
    block_on(async {
        let bounded = tokio::time::timeout(BOUND, watched(&cluster)).await;
        bounded.expect("it ends in time");
    });
    // The server has known each of them as who it is. It may write that when they are over.
    until("an audit event of every watch", PATIENCE, || {
        let events = cluster.audit.events().into_iter();
        let watches = events.filter(|event| {
            event["verb"] == "watch" && event["user"]["username"] == "kubernetes-admin"
        });
        // A watch has an event when it begins and one when it ends.
        let watches: HashSet<String> = watches.map(|event| event["auditID"].to_string()).collect();
        (watches.len() >= WATCHES).then_some(())
    });
    let left = cluster.kubectl(Who::Token);
    assert!(left.run(&["get", "configmap", "watched"]).ok);
    cluster.assert_runs();
}

async fn watched(cluster: &Cluster) {
    let mut connections = Vec::new();
    let heard: Arc<[AtomicUsize]> = (0..WATCHES).map(|_| AtomicUsize::new(0)).collect();
    let mut watches = JoinSet::new();
    for index in 0..WATCHES {
        if index % A_CONNECTION == 0 {
            connections.push(Client::connect(cluster, Some("admin")).await);
        }
        let client = connections.last_mut().expect("a connection");
        let response = client.send(Method::GET, WATCH, &[], String::new()).await;
        assert_eq!(response.status(), 200, "watch {index}");
        let heard = Arc::clone(&heard);
        watches.spawn(count(response.into_body(), move || {
            heard[index].fetch_add(1, Ordering::SeqCst);
        }));
        if let Some(ended) = watches.try_join_next() {
            over(ended);
        }
    }
    let mut writer = Client::connect(cluster, Some("alice")).await;
    let json = [("content-type", "application/json")];
    for change in 0..=CHANGES {
        let body = config_map("watched", &change.to_string());
        let (status, answer) = if change == 0 {
            writer.ask(Method::POST, MAPS, &json, body).await
        } else {
            tokio::time::sleep(PAUSE).await;
            let path = format!("{MAPS}/watched");
            writer.ask(Method::PUT, &path, &json, body).await
        };
        assert!(status < 300, "change {change}: {status} {answer}");
        let all = async {
            while heard
                .iter()
                .any(|heard| heard.load(Ordering::SeqCst) <= change)
            {
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        };
        let heard_by_all = tokio::select! {
            heard = tokio::time::timeout(PROMPTLY, all) => heard.is_ok(),
            Some(ended) = watches.join_next() => over(ended),
        };
        if !heard_by_all {
            let late = heard.iter().filter(|h| h.load(Ordering::SeqCst) <= change);
            panic!(
                "{} of {WATCHES} watches missed change {change}",
                late.count()
            );
        }
    }
    for heard in heard.iter() {
        assert_eq!(
            heard.load(Ordering::SeqCst),
            CHANGES + 1,
            "each change once"
        );
    }
}

/// None of them ends before the test does.
fn over(ended: Result<String, JoinError>) -> ! {
    panic!("a watch is over: {}", ended.expect("a watch"));
}

/// Counts events, a line each, as long as they come; why no more do.
async fn count(mut body: Incoming, event: impl Fn()) -> String {
    let mut rest = Vec::new();
    loop {
        let data = match body.frame().await {
            None => return "its body has ended".to_owned(),
            Some(Err(error)) => return format!("its body has broken: {error:?}"),
            Some(Ok(frame)) => frame.into_data().unwrap_or_default(),
        };
        rest.extend_from_slice(&data);
        while let Some(end) = rest.iter().position(|&byte| byte == b'\n') {
            let line: Vec<u8> = rest.drain(..=end).collect();
            match serde_json::from_slice::<serde_json::Value>(&line) {
                Ok(value) if value["type"] != "ERROR" => event(),
                _ => return String::from_utf8_lossy(&line).into_owned(),
            }
        }
    }
}
