//! A thousand watches for a minute, all of which hear everything.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use http::Method;
use http_body_util::BodyExt;
use hyper::body::Incoming;

use super::assets::Assets;
use super::client::{Client, block_on, config_map};
use super::cluster::Cluster;
use super::kubectl::Who;

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
    // The server has known each of them as who it is.
    let watches = cluster.audit.events().into_iter().filter(|event| {
        event["verb"] == "watch" && event["user"]["username"] == "kubernetes-admin"
    });
    assert!(watches.count() >= WATCHES);
    let left = cluster.kubectl(Who::Token);
    assert!(left.run(&["get", "configmap", "watched"]).ok);
    cluster.assert_runs();
}

async fn watched(cluster: &Cluster) {
    let mut connections = Vec::new();
    let heard: Arc<[AtomicUsize]> = (0..WATCHES).map(|_| AtomicUsize::new(0)).collect();
    for index in 0..WATCHES {
        if index % A_CONNECTION == 0 {
            connections.push(Client::connect(cluster, Some("admin")).await);
        }
        let client = connections.last_mut().expect("a connection");
        let response = client.send(Method::GET, WATCH, &[], String::new()).await;
        assert_eq!(response.status(), 200, "watch {index}");
        let heard = Arc::clone(&heard);
        tokio::spawn(count(response.into_body(), move || {
            heard[index].fetch_add(1, Ordering::SeqCst);
        }));
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
        if tokio::time::timeout(PROMPTLY, all).await.is_err() {
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

/// Counts events, a line each, as long as they come.
async fn count(mut body: Incoming, event: impl Fn()) {
    let mut rest = Vec::new();
    while let Some(Ok(frame)) = body.frame().await {
        let Ok(data) = frame.into_data() else {
            continue;
        };
        rest.extend_from_slice(&data);
        while let Some(end) = rest.iter().position(|&byte| byte == b'\n') {
            let line: Vec<u8> = rest.drain(..=end).collect();
            let value: serde_json::Value = serde_json::from_slice(&line).expect("JSON");
            assert_ne!(value["type"], "ERROR", "{value}");
            event();
        }
    }
}
