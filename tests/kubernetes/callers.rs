//! Who callers are: by certificate, by token, anonymous, and what the audit log says of them.

use http::Method;
use serde_json::{Value, json};

use super::assets::Assets;
use super::audit::is;
use super::client::{Client, FROM, block_on, config_map};
use super::cluster::Cluster;
use super::commands::{BOT, TOKEN};
use super::kubectl::Who;
use super::pki::{FRONT_PROXY, UID};

const ADMIN: Who<'_> = Who::Certificate("admin");
const ALICE: Who<'_> = Who::Certificate("alice");
/// Of names that a field has to carry as they are.
const ZOE: Who<'_> = Who::Certificate("zoë");

/// Who asks, what a thing of theirs is called, whom the server knows them as.
const CALLERS: [(Who<'_>, &str, &str); 3] = [
    (ADMIN, "by-admin", "kubernetes-admin"),
    (ALICE, "by-alice", "alice"),
    (Who::Token, "by-bot", BOT[0]),
];

#[test]
fn callers_are_who_they_are_without_the_proxy_and_the_audit_log_says_so() {
    let Some(assets) = Assets::find() else { return };
    let mut cluster = Cluster::start(&assets, "callers", false);
    for who in CALLERS.map(|(who, ..)| who).into_iter().chain([ZOE]) {
        same_user(&cluster, who);
    }
    for (who, thing, user) in CALLERS {
        applied_watched_and_deleted(&cluster, who, thing);
        audited(&cluster, thing, user);
    }
    others_are_kept_out(&cluster);
    impersonated(&cluster);
    forged(&cluster);
    for event in cluster.audit.events() {
        assert_ne!(event["user"]["username"], FRONT_PROXY, "{event}");
    }
    cluster.assert_runs();
}

/// What the server says of them is the same with the proxy and without.
fn same_user(cluster: &Cluster, who: Who<'_>) {
    let asked = ["auth", "whoami", "-o", "json"];
    let read = |printed: String| -> Value {
        let review: Value = serde_json::from_str(&printed).expect("JSON");
        review["status"]["userInfo"].clone()
    };
    let proxied = read(cluster.kubectl(who).prints(&asked, ""));
    let direct = cluster.kubectl(who).at(cluster.apiserver);
    let direct = read(direct.prints(&asked, ""));
    assert!(direct["username"].is_string(), "{direct}");
    assert_eq!(proxied, direct, "{who:?}");
}

fn applied_watched_and_deleted(cluster: &Cluster, who: Who<'_>, thing: &str) {
    let kubectl = cluster.kubectl(who);
    let selected = format!("--field-selector=metadata.name={thing}");
    let watch = kubectl.follow(&["get", "configmaps", "--watch", "-o", "name", &selected]);
    let manifest = config_map(thing, "1");
    let printed = kubectl.prints(&["apply", "-f", "-"], &manifest);
    assert!(printed.contains("created"), "{printed}");
    assert_eq!(watch.line(), format!("configmap/{thing}"));
    let value = ["get", "configmap", thing, "-o", "jsonpath={.data.key}"];
    assert_eq!(kubectl.prints(&value, ""), "1");
    let manifest = config_map(thing, "2");
    let printed = kubectl.prints(&["apply", "-f", "-"], &manifest);
    assert!(printed.contains("configured"), "{printed}");
    // An event for the change, on the same connection.
    assert_eq!(watch.line(), format!("configmap/{thing}"));
    assert_eq!(kubectl.prints(&value, ""), "2");
    kubectl.prints(&["delete", "configmap", thing], "");
    let gone = kubectl.run(&value);
    assert!(!gone.ok && gone.err.contains("NotFound"), "{gone:?}");
}

fn audited(cluster: &Cluster, thing: &str, user: &str) {
    for verb in ["create", "get", "patch", "delete"] {
        let event = cluster.audit.wait_for(&format!("{verb} {thing}"), |event| {
            is(event, verb, "configmaps", thing)
        });
        assert_eq!(event["user"]["username"], user, "{event}");
        assert_eq!(event["sourceIPs"], json!(["127.0.0.1"]), "{event}");
    }
    let created = cluster
        .audit
        .wait_for("create", |event| is(event, "create", "configmaps", thing));
    let groups = created["user"]["groups"].as_array().expect("groups");
    assert!(groups.contains(&json!("system:authenticated")), "{created}");
    let credential = &created["user"]["extra"]["authentication.kubernetes.io/credential-id"];
    // A certificate's, for those who have one.
    let said = credential[0].as_str().unwrap_or_default();
    assert_eq!(said.starts_with("X509SHA256="), user != BOT[0], "{created}");
    let uid = match user {
        "alice" => json!(UID),
        "bot" => json!(BOT[1]),
        _ => Value::Null,
    };
    assert_eq!(created["user"]["uid"], uid, "{created}");
}

fn others_are_kept_out(cluster: &Cluster) {
    let list = ["get", "configmaps"];
    let path = "/api/v1/namespaces/default/configmaps";
    let refused = cluster.kubectl(Who::Anonymous).run(&["get", "--raw", path]);
    assert!(
        !refused.ok && refused.err.contains("Forbidden"),
        "{refused:?}"
    );
    cluster.audit.wait_for("an anonymous list", |event| {
        let anonymous = event["user"]["username"] == "system:anonymous";
        // kubectl adds its timeout to the query.
        let uri = event["requestURI"].as_str().unwrap_or_default();
        anonymous && uri.starts_with(path) && event["responseStatus"]["code"] == 403
    });
    let health = cluster.kubectl(Who::Anonymous);
    assert_eq!(health.prints(&["get", "--raw", "/livez"], ""), "ok");
    let refused = cluster.kubectl(Who::Certificate("carol")).run(&list);
    assert!(
        !refused.ok && refused.err.contains("Forbidden"),
        "{refused:?}"
    );
    cluster.audit.wait_for("a list of carol's", |event| {
        let carol = event["user"]["username"] == "carol";
        let listed = event["verb"] == "list" && event["objectRef"]["resource"] == "configmaps";
        carol && listed && event["responseStatus"]["code"] == 403
    });
    // Nobody's: 401, in the same words as without the proxy.
    for certificate in ["expired", "empty-uid"] {
        let nobody = cluster.kubectl(Who::Certificate(certificate));
        let proxied = nobody.run(&list);
        let direct = nobody.at(cluster.apiserver).run(&list);
        assert!(!proxied.ok && !direct.ok, "{certificate}: {proxied:?}");
        let last = |text: &str| text.lines().last().unwrap_or_default().to_owned();
        assert_eq!(last(&proxied.err), last(&direct.err), "{certificate}");
        let refused = proxied.err.contains("logged in");
        assert!(refused, "{certificate}: {proxied:?}");
    }
}

fn impersonated(cluster: &Cluster) {
    let asked = ["--as=bob", "--as-group=dev", "auth", "whoami", "-o", "json"];
    let printed = cluster.kubectl(ADMIN).prints(&asked, "");
    let review: Value = serde_json::from_str(&printed).expect("JSON");
    assert_eq!(review["status"]["userInfo"]["username"], "bob");
    let event = cluster.audit.wait_for("impersonation", |event| {
        event["impersonatedUser"]["username"] == "bob" && event["responseStatus"]["code"] == 201
    });
    assert_eq!(event["user"]["username"], "kubernetes-admin", "{event}");
    let refused = cluster.kubectl(ALICE).run(&asked);
    assert!(!refused.ok, "{refused:?}");
    cluster.audit.wait_for("a refused impersonation", |event| {
        let alice = event["user"]["username"] == "alice";
        alice && event["verb"] == "create" && event["responseStatus"]["code"] == 403
    });
}

/// Fields that say whom one would like to be, and where from.
fn forged(cluster: &Cluster) {
    let bearer = format!("Bearer {TOKEN}");
    let claims = [
        ("x-remote-user", "kubernetes-admin"),
        ("x-remote-group", "system:masters"),
        ("x-remote-extra-scopes", "all"),
        ("x_remote_user", "kubernetes-admin"),
        ("x-forwarded-for", "203.0.113.9"),
        ("x-real-ip", "203.0.113.9"),
    ];
    let known = [&[("authorization", bearer.as_str())], &claims[..]].concat();
    let rows = [
        (None, &known[..], 200, BOT[0]),
        (None, &claims[..], 403, "system:anonymous"),
        (Some("alice"), &claims, 200, "alice"),
        // A certificate comes before a token, as without the proxy.
        (Some("alice"), &known, 200, "alice"),
        (Some("carol"), &claims, 403, "carol"),
    ];
    for (row, (certificate, fields, expected, user)) in rows.into_iter().enumerate() {
        let id = format!("forged-{row}");
        let fields = [fields, &[("audit-id", id.as_str())]].concat();
        let path = "/api/v1/namespaces/default/configmaps";
        let (status, body) = block_on(async {
            let mut client = Client::connect(cluster, certificate).await;
            client.ask(Method::GET, path, &fields, String::new()).await
        });
        assert_eq!(status, expected, "row {row}: {body}");
        let event = cluster
            .audit
            .wait_for(&id, |event| event["auditID"] == id.as_str());
        assert_eq!(event["user"]["username"], user, "{event}");
        assert_eq!(event["sourceIPs"], json!([FROM, "127.0.0.1"]), "{event}");
        let text = event["user"].to_string();
        assert!(
            !text.contains("scopes") && !text.contains("masters"),
            "{text}"
        );
    }
}
