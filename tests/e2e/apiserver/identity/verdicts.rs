//! Certificates that verify no more, not yet, or never.

use std::time::{Duration, SystemTime};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use rcgen::date_time_ymd;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio_rustls::client::TlsStream;
use tracegate::lifecycle::Signal;

use super::super::pki::{Pki, user};
use super::super::{DEVELOPER, Rig, TOKEN, bearer, get, seen_values, username, whoami};
use super::{REQUEST_HEADER, certificate_of};
use crate::caller::{Caller, Speaks, block_on, block_on_for};
use crate::files::{Authority, Issued};
use crate::trust::until;

/// One caller, one connection: verified at first, later by a token only, then not at all.
#[test]
fn a_certificate_that_expires_on_an_open_connection_is_an_identity_no_longer() {
    let rig = Rig::start(REQUEST_HEADER);
    let end = SystemTime::now() + Duration::from_secs(6);
    let short = rig.pki.clients.sign(until(user("alice", &["dev"]), end));
    alice_until(&rig, &short, end);
}

/// Of this certificate the holder is known until then.
pub fn alice_until(rig: &Rig, certificate: &Issued, end: SystemTime) {
    block_on_for(Duration::from_secs(40), async {
        let mut callers = Vec::new();
        for speaks in Speaks::BOTH {
            let mut caller = rig.caller(Some(certificate), speaks).await;
            assert_eq!(username(&whoami(&mut caller, &[]).await), "alice");
            callers.push(caller);
        }
        let left = end.duration_since(SystemTime::now()).unwrap_or_default();
        tokio::time::sleep(left + Duration::from_secs(1)).await;
        for caller in &mut callers {
            nobody_but_by_token(caller).await;
        }
    });
}

/// 401 without another credential, and with one that is right its own user, on no proxy's word.
pub async fn nobody_but_by_token(caller: &mut Caller) {
    let seen = whoami(caller, &[("authorization", &bearer())]).await;
    assert_eq!(username(&seen), DEVELOPER);
    assert_eq!(certificate_of(&seen), None, "no proxy's word");
    unauthorized(caller, &[]).await;
}

/// The server's own words for a credential that is wrong where none is right.
async fn unauthorized(caller: &mut Caller, fields: &[(&str, &str)]) {
    for path in ["/whoami", "/livez", "/api/v1/namespaces/default/pods"] {
        let answer = get(caller, path, fields).await;
        assert_eq!(answer.status, 401, "{path}: {}", answer.text());
        assert_eq!(
            answer.field("content-type").as_deref(),
            Some("application/json")
        );
        let status: Value = serde_json::from_str(&answer.text()).expect("JSON");
        let expected = json!({
            "kind": "Status",
            "apiVersion": "v1",
            "metadata": {},
            "status": "Failure",
            "message": "Unauthorized",
            "reason": "Unauthorized",
            "code": 401,
        });
        assert_eq!(status, expected, "{path}");
    }
}

/// Certificates that don't verify, and why.
fn bad(pki: &Pki) -> Vec<(Issued, &'static str)> {
    let past = SystemTime::now() - Duration::from_secs(60);
    let mut early = user("alice", &["system:masters"]);
    early.not_before = date_time_ymd(2099, 1, 1);
    early.not_after = date_time_ymd(2100, 1, 1);
    let masters = || user("alice", &["system:masters"]);
    vec![
        (pki.clients.sign(until(masters(), past)), "expired"),
        (pki.clients.sign(early), "not valid yet"),
        (Authority::new().sign(masters()), "an unknown authority's"),
        (
            pki.front_proxies.sign(masters()),
            "the front proxies' authority's",
        ),
        (pki.front_proxy(), "a front proxy's own"),
    ]
}

#[test]
fn a_certificate_that_does_not_verify_is_401_and_never_anonymous() {
    let rig = Rig::start(REQUEST_HEADER);
    let bearer = bearer();
    let coded = URL_SAFE_NO_PAD.encode(TOKEN);
    let offered = format!("v5.channel.k8s.io, base64url.bearer.authorization.k8s.io.{coded}");
    for (certificate, why) in bad(&rig.pki) {
        block_on(async {
            for speaks in Speaks::BOTH {
                // The handshake doesn't fail.
                let mut caller = rig.caller(Some(&certificate), speaks).await;
                unauthorized(&mut caller, &[]).await;
                unauthorized(&mut caller, &[("x-remote-user", "admin")]).await;
                // The connection goes on, and another credential may be right, or wrong, too.
                let field = ("authorization", bearer.as_str());
                let seen = whoami(&mut caller, &[field]).await;
                assert_eq!(username(&seen), DEVELOPER, "{why}, {speaks:?}");
                assert_eq!(certificate_of(&seen), None, "{why}, {speaks:?}");
                // It counts where a WebSocket is asked for.
                unauthorized(&mut caller, &[("sec-websocket-protocol", &offered)]).await;
                let wrong = [("authorization", "Bearer wrong")];
                assert_eq!(get(&mut caller, "/whoami", &wrong).await.status, 401);
                unauthorized(&mut caller, &[]).await;
            }
            let asked = format!(
                "GET /api/v1/namespaces/default/pods/p/exec?command=sh HTTP/1.1\r\n\
                 Host: kubernetes.example\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
                 Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\
                 Sec-WebSocket-Protocol: {offered}\r\n\r\n"
            );
            let mut caller = rig.stream(Some(&certificate), &[]).await;
            caller.write_all(asked.as_bytes()).await.expect("sent");
            let mut status = [0; 13];
            caller.read_exact(&mut status).await.expect("an answer");
            assert_eq!(&status, b"HTTP/1.1 101 ", "{why}: a browser's token");
        });
    }
    for event in rig.server.audit() {
        assert!(event.user.is_none_or(|user| user.name == DEVELOPER));
    }
}

#[test]
fn a_certificate_without_a_common_name_is_no_identity() {
    let rig = Rig::start(REQUEST_HEADER);
    let nameless = rig.pki.user("", &["system:masters"]);
    block_on(async {
        for speaks in Speaks::BOTH {
            let mut caller = rig.caller(Some(&nameless), speaks).await;
            unauthorized(&mut caller, &[]).await;
            unauthorized(&mut caller, &[("x-remote-user", "admin")]).await;
            nobody_but_by_token(&mut caller).await;
        }
    });
    for event in rig.server.audit() {
        let user = event.user.map(|user| user.name);
        assert_eq!(user.as_deref(), Some(DEVELOPER), "nobody else was seen");
    }
}

#[test]
fn authorities_taken_out_of_the_file_revoke_identities_on_open_connections() {
    let rig = Rig::start(REQUEST_HEADER);
    let alice = rig.pki.user("alice", &["dev"]);
    block_on_for(Duration::from_secs(40), async {
        let mut callers = Vec::new();
        for speaks in Speaks::BOTH {
            let mut caller = rig.caller(Some(&alice), speaks).await;
            assert_eq!(username(&whoami(&mut caller, &[]).await), "alice");
            callers.push(caller);
        }
        let other = Authority::new().pem();
        rig.pki.directory.file("clients-ca.pem", other);
        for caller in &mut callers {
            becomes(caller, 401).await;
            unauthorized(caller, &[]).await;
        }
        rig.pki
            .directory
            .file("clients-ca.pem", rig.pki.clients.pem());
        for caller in &mut callers {
            becomes(caller, 200).await;
            assert_eq!(username(&whoami(caller, &[]).await), "alice");
        }
    });
}

/// The connection stays after a 401, but not once it is for another engine: the caller is told.
#[test]
fn a_refused_caller_is_told_when_its_connection_ends() {
    let rig = Rig::with_upstream("protocol: http1,", REQUEST_HEADER);
    let stranger = Authority::new().sign(user("alice", &["dev"]));
    let file = rig.pki.directory.join("tracegate.yaml");
    let text = std::fs::read_to_string(file).expect("the configuration");
    block_on(async {
        let mut caller = rig.stream(Some(&stranger), &[]).await;
        for _ in 0..2 {
            let answer = refused(&mut caller).await;
            assert!(!answer.contains("connection: close"), "{answer}");
        }
        let text = text.replace("protocol: http1,", "protocol: auto,");
        rig.pki.directory.file("tracegate.yaml", text);
        // It blocks, which it may not here.
        std::thread::scope(|scope| {
            scope.spawn(|| rig.proxy.signal(Signal::Hangup));
        });
        while !refused(&mut caller).await.contains("connection: close") {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        assert_eq!(caller.read(&mut [0; 1]).await.ok(), Some(0), "it ended");
    });
}

/// Asks on a connection of HTTP/1.1, and is answered 401.
async fn refused(caller: &mut TlsStream<TcpStream>) -> String {
    let asked = b"GET /whoami HTTP/1.1\r\nHost: kubernetes.example\r\n\r\n";
    caller.write_all(asked).await.expect("sent");
    let mut answer = Vec::new();
    while !answer.ends_with(b"\"code\":401}\n") {
        answer.push(caller.read_u8().await.expect("an answer"));
    }
    String::from_utf8(answer).expect("UTF-8")
}

/// Asks until the answer is that one, soon.
async fn becomes(caller: &mut Caller, status: u16) {
    let changed = async {
        while get(caller, "/whoami", &[]).await.status != status {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    let changed = tokio::time::timeout(Duration::from_secs(5), changed).await;
    changed.expect("within seconds");
}

/// One verdict on a certificate decides both: who its holder is, and whether their trace goes on.
#[test]
fn identity_and_trust_follow_one_verdict() {
    const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";
    let rules = "  trust:
    rules:
    - {from: {clientCert: {groups: [system:masters, system:monitoring]}}, as: full}
";
    let rig = Rig::start(&format!("{REQUEST_HEADER}{rules}"));
    let admin = || user("admin", &["system:masters"]);
    let past = SystemTime::now() - Duration::from_secs(60);
    let token = bearer();
    let context = format!("00-{TRACE}-b7ad6b7169203331-01");
    let traced = ("traceparent", context.as_str());
    let known = [traced, ("authorization", token.as_str())];
    for (certificate, fields, expected, continues) in [
        (rig.pki.clients.sign(admin()), &[traced][..], "admin", true),
        (
            rig.pki.user("prometheus", &["system:monitoring"]),
            &[traced],
            "prometheus",
            true,
        ),
        (rig.pki.user("alice", &["dev"]), &[traced], "alice", false),
        (
            rig.pki.clients.sign(until(admin(), past)),
            &known,
            DEVELOPER,
            false,
        ),
        (Authority::new().sign(admin()), &known, DEVELOPER, false),
    ] {
        block_on(async {
            for speaks in Speaks::BOTH {
                let mut caller = rig.caller(Some(&certificate), speaks).await;
                let seen = whoami(&mut caller, fields).await;
                assert_eq!(username(&seen), expected, "{speaks:?}");
                let context = seen_values(&seen, "traceparent").concat();
                assert_eq!(context.contains(TRACE), continues, "{expected}: {seen}");
            }
        });
    }
}
