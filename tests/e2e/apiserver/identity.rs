//! Identity of verified client certificates: what the server takes callers for, and that nobody is
//! taken for somebody else.

use std::time::{Duration, SystemTime};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::{HeaderMap, Method};
use rcgen::date_time_ymd;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::pki::{Pki, user, user_with_uid};
use super::{DEVELOPER, Rig, TOKEN, bearer, connect, get, seen_values, username, whoami};
use crate::caller::{Caller, Speaks, block_on, block_on_for, trailed};
use crate::files::{Authority, Issued};
use crate::span_view::hex;
use crate::trust::until;

const REQUEST_HEADER: &str = "  identity:
    requestHeader:
      username: X-Remote-User
      uid: X-Remote-Uid
      group: X-Remote-Group
      extraPrefix: X-Remote-Extra-
      tls: {certFile: $PKI/front-proxy.crt, keyFile: $PKI/front-proxy.key}
";

const CREDENTIAL: &str = "authentication.kubernetes.io/credential-id";

fn certificate_of(seen: &Value) -> Option<&str> {
    seen["certificate"].as_str()
}

#[test]
fn a_verified_certificates_user_is_the_servers_user() {
    let rig = Rig::start(REQUEST_HEADER);
    let alice = rig
        .pki
        .clients
        .sign(user_with_uid("alice", &["dev", "ops"], "42"));
    let digest = hex(&Sha256::digest(&alice.der().0[0]));
    block_on(async {
        for speaks in Speaks::BOTH {
            let mut caller = rig.caller(Some(&alice), speaks).await;
            for _ in 0..3 {
                let seen = whoami(&mut caller, &[]).await;
                let expected = json!({
                    "username": "alice",
                    "uid": "42",
                    "groups": ["dev", "ops", "system:authenticated"],
                    "extra": {CREDENTIAL: [format!("X509SHA256={digest}")]},
                });
                assert_eq!(seen["user"], expected, "{speaks:?}");
                assert_eq!(certificate_of(&seen), Some(Pki::FRONT_PROXY));
            }
        }
    });
    // As the server itself would have read it.
    block_on(async {
        let mut direct = connect(&rig.pki, Some(&alice), rig.server.address(), Speaks::Http2).await;
        let mut proxied = rig.caller(Some(&alice), Speaks::Http2).await;
        let direct = whoami(&mut direct, &[]).await;
        assert_eq!(whoami(&mut proxied, &[]).await["user"], direct["user"]);
    });
}

#[test]
fn a_user_without_groups_or_uid_gains_none() {
    let rig = Rig::start(REQUEST_HEADER);
    let bare = rig.pki.user("bare", &[]);
    block_on(async {
        for speaks in Speaks::BOTH {
            let mut caller = rig.caller(Some(&bare), speaks).await;
            let seen = whoami(&mut caller, &[]).await;
            assert_eq!(username(&seen), "bare");
            assert_eq!(seen["user"]["groups"], json!(["system:authenticated"]));
            assert_eq!(seen["user"]["uid"], "");
            assert!(seen_values(&seen, "x-remote-group").is_empty());
        }
    });
}

/// The server asks authenticators in an order, in which x509 comes before tokens.
#[test]
fn beside_a_certificate_that_verifies_a_token_counts_nothing() {
    let rig = Rig::start(REQUEST_HEADER);
    let alice = rig.pki.user("alice", &["dev"]);
    let (bearer, coded) = (bearer(), URL_SAFE_NO_PAD.encode(TOKEN));
    let offered = format!("v5.channel.k8s.io, base64url.bearer.authorization.k8s.io.{coded}");
    block_on(async {
        for speaks in Speaks::BOTH {
            let mut caller = rig.caller(Some(&alice), speaks).await;
            for field in [
                ("authorization", bearer.as_str()),
                ("authorization", "Bearer wrong"),
                ("authorization", "Basic Zm9vOmJhcg=="),
                ("sec-websocket-protocol", offered.as_str()),
            ] {
                let seen = whoami(&mut caller, &[field]).await;
                assert_eq!(username(&seen), "alice", "{field:?}, {speaks:?}");
                assert_eq!(seen_values(&seen, field.0), [field.1], "it passes");
            }
        }
    });
}

#[test]
fn connections_with_the_front_proxys_certificate_carry_verified_callers_alone() {
    let rig = Rig::start(REQUEST_HEADER);
    let (alice, bearer) = (rig.pki.user("alice", &["dev"]), bearer());
    block_on(async {
        for speaks in Speaks::BOTH {
            let mut verified = rig.caller(Some(&alice), speaks).await;
            let mut others = rig.caller(None, speaks).await;
            for _ in 0..5 {
                let seen = whoami(&mut verified, &[]).await;
                assert_eq!(username(&seen), "alice");
                assert_eq!(certificate_of(&seen), Some(Pki::FRONT_PROXY));
                let seen = whoami(&mut others, &[("authorization", &bearer)]).await;
                assert_eq!(username(&seen), DEVELOPER);
                assert_eq!(certificate_of(&seen), None);
                let seen = whoami(&mut others, &[]).await;
                assert_eq!(username(&seen), "system:anonymous");
                assert_eq!(certificate_of(&seen), None);
            }
        }
    });
    for event in rig.server.audit() {
        let user = event.user.expect("authorized");
        let remote = event
            .headers
            .keys()
            .filter(|name| name.as_str().starts_with("x-remote-"));
        assert_eq!(remote.count() > 0, event.certificate.is_some());
        assert_eq!(user.name == "alice", event.certificate.is_some());
    }
}

/// One caller, one connection: verified at first, later by a token only, then not at all.
#[test]
fn a_certificate_that_expires_on_an_open_connection_is_an_identity_no_longer() {
    let rig = Rig::start(REQUEST_HEADER);
    let end = SystemTime::now() + Duration::from_secs(6);
    let short = rig.pki.clients.sign(until(user("alice", &["dev"]), end));
    let bearer = bearer();
    block_on_for(Duration::from_secs(40), async {
        let mut callers = Vec::new();
        for speaks in Speaks::BOTH {
            let mut caller = rig.caller(Some(&short), speaks).await;
            assert_eq!(username(&whoami(&mut caller, &[]).await), "alice");
            callers.push(caller);
        }
        let left = end.duration_since(SystemTime::now()).unwrap_or_default();
        tokio::time::sleep(left + Duration::from_secs(1)).await;
        for caller in &mut callers {
            let seen = whoami(caller, &[("authorization", &bearer)]).await;
            assert_eq!(username(&seen), DEVELOPER);
            assert_eq!(certificate_of(&seen), None, "no longer a proxy's word");
            unauthorized(caller, &[]).await;
        }
    });
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
                for field in [
                    ("authorization", bearer.as_str()),
                    ("sec-websocket-protocol", offered.as_str()),
                ] {
                    let seen = whoami(&mut caller, &[field]).await;
                    assert_eq!(username(&seen), DEVELOPER, "{why}, {speaks:?}");
                    assert_eq!(certificate_of(&seen), None, "{why}, {speaks:?}");
                }
                let wrong = [("authorization", "Bearer wrong")];
                assert_eq!(get(&mut caller, "/whoami", &wrong).await.status, 401);
                unauthorized(&mut caller, &[]).await;
            }
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
    let bearer = bearer();
    block_on(async {
        for speaks in Speaks::BOTH {
            let mut caller = rig.caller(Some(&nameless), speaks).await;
            let answer = get(&mut caller, "/whoami", &[]).await;
            if answer.status != 401 {
                let seen: Value = serde_json::from_str(&answer.text()).expect("JSON");
                assert_eq!(username(&seen), "system:anonymous");
                assert_eq!(certificate_of(&seen), None);
            }
            let seen = whoami(&mut caller, &[("authorization", &bearer)]).await;
            assert_eq!(username(&seen), DEVELOPER);
            assert_eq!(certificate_of(&seen), None);
        }
    });
    for event in rig.server.audit() {
        let groups = event.user.map(|user| user.groups).unwrap_or_default();
        assert!(!groups.contains(&"system:masters".to_owned()));
    }
}

/// Every way to say whom one would like to be.
const FORGED: [(&str, &str); 12] = [
    ("x-remote-user", "forged"),
    ("x-remote-group", "forged"),
    ("x-remote-group", "system:masters-forged"),
    ("x-remote-uid", "forged"),
    ("x-remote-extra-scopes", "forged"),
    (
        "x-remote-extra-authentication.kubernetes.io%2fcredential-id",
        "forged",
    ),
    ("x_remote_user", "forged"),
    ("x-remote.user", "forged"),
    ("x.remote.group", "forged"),
    ("x_remote-uid", "forged"),
    ("x_remote_extra_scopes", "forged"),
    ("xremoteuser", "forged"),
];

#[test]
fn no_forged_identity_reaches_the_server_on_any_verdict() {
    let rig = Rig::start(REQUEST_HEADER);
    let alice = rig.pki.user("alice", &["dev"]);
    let expired = SystemTime::now() - Duration::from_secs(60);
    let expired = rig
        .pki
        .clients
        .sign(until(user("alice", &["dev"]), expired));
    let bearer = bearer();
    let token = ("authorization", bearer.as_str());
    for (certificate, fields, expected) in [
        (Some(&alice), &[][..], "alice"),
        (Some(&alice), &[token], "alice"),
        (Some(&expired), &[token], DEVELOPER),
        (None, &[token], DEVELOPER),
        (None, &[], "system:anonymous"),
    ] {
        block_on(async {
            for speaks in Speaks::BOTH {
                let mut caller = rig.caller(certificate, speaks).await;
                let nominated = (
                    "connection",
                    "keep-alive, X-Remote-User, X-Remote-Group, X-Remote-Uid, X-Remote-Extra-Authentication.kubernetes.io%2fcredential-id",
                );
                let mut fields = [fields, &FORGED].concat();
                if speaks == Speaks::Http1 {
                    fields.push(nominated);
                }
                let seen = whoami(&mut caller, &fields).await;
                assert_eq!(username(&seen), expected, "{speaks:?}");
                nothing_forged(&seen, certificate.is_some() && expected == "alice");

                let seen = with_trailers(&mut caller, &fields).await;
                assert_eq!(username(&seen), expected, "{speaks:?}, with trailers");
                nothing_forged(&seen, certificate.is_some() && expected == "alice");
            }
        });
    }
}

/// The fields of the identity are the proxy's own, once each, or absent.
fn nothing_forged(seen: &Value, verified: bool) {
    assert!(!seen.to_string().contains("forged"), "{seen}");
    let users = seen_values(seen, "x-remote-user");
    assert_eq!(users.len(), usize::from(verified), "{seen}");
    let fields = seen["headers"].as_array().expect("fields").iter();
    let folded = fields.map(|field| {
        field[0]
            .as_str()
            .expect("a name")
            .replace(['-', '_', '.'], "")
    });
    let remote = folded.filter(|name| name.starts_with("xremote")).count();
    // User, group and credential.
    assert_eq!(remote, if verified { 3 } else { 0 }, "{seen}");
}

/// The same names in the trailers of a body.
async fn with_trailers(caller: &mut Caller, fields: &[(&str, &str)]) -> Value {
    let mut trailers = HeaderMap::new();
    for (name, value) in FORGED {
        let name: http::HeaderName = name.parse().expect("a name");
        trailers.append(name, value.parse().expect("a value"));
    }
    trailers.append("x-checksum", "passes".parse().expect("a value"));
    let announced: Vec<&str> = FORGED.iter().map(|(name, _)| *name).collect();
    let announced = format!("x-checksum, {}", announced.join(", "));
    let mut request = caller
        .request(Method::POST, "/whoami")
        .header("te", "trailers")
        .header("trailer", announced);
    for (name, value) in fields {
        request = request.header(*name, *value);
    }
    let request = request.body(trailed(&["a", "b"], trailers));
    let answer = caller.exchange(request.expect("a request")).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    let mut seen: Value = serde_json::from_str(&answer.text()).expect("JSON");
    assert_eq!(seen["trailers"], json!([["x-checksum", "passes"]]));
    // What the trailers are called may well be announced.
    let headers = seen["headers"].as_array_mut().expect("fields");
    headers.retain(|field| field[0] != "trailer");
    seen
}

/// Names and values that are no text of a field, or mean something in one.
#[test]
fn what_stands_in_a_certificate_is_one_value_of_one_field() {
    let rig = Rig::start(REQUEST_HEADER);
    for (name, why) in [
        ("a, b", "a comma"),
        ("system:node:worker-1", "colons"),
        ("alice smith", "a space"),
        ("alice%2fadmin", "an escape"),
        ("zo\u{eb}", "a letter beyond ASCII"),
    ] {
        let certificate = rig.pki.user(name, &["one, two"]);
        block_on(async {
            for speaks in Speaks::BOTH {
                let mut caller = rig.caller(Some(&certificate), speaks).await;
                let seen = whoami(&mut caller, &[]).await;
                assert_eq!(username(&seen), name, "{why}");
                let groups = json!(["one, two", "system:authenticated"]);
                assert_eq!(seen["user"]["groups"], groups, "{why}");
            }
        });
    }
}

/// What a field can't carry as it is must not arrive as something else.
#[test]
fn no_name_in_a_certificate_becomes_another() {
    for upstream in ["", "protocol: http1,"] {
        let rig = Rig::with_upstream(upstream, REQUEST_HEADER);
        for (name, group) in [
            (" admin", "dev"),
            ("admin ", "dev"),
            ("admin\t", "dev"),
            ("admin\0", "dev"),
            ("a\r\nX-Remote-Group: system:masters", "dev"),
            ("bob", " system:masters"),
            ("bob", "system:masters "),
            ("bob", "dev\r\nX-Remote-Group: system:masters"),
        ] {
            let certificate = rig.pki.user(name, &[group]);
            block_on(async {
                for speaks in Speaks::BOTH {
                    let mut caller = rig.caller(Some(&certificate), speaks).await;
                    let status = get(&mut caller, "/whoami", &[]).await.status;
                    assert!(status < 500, "{name:?} in {group:?}: {status}");
                }
            });
        }
        for event in rig.server.audit() {
            let Some(user) = event.user else { continue };
            assert_ne!(user.name, "admin");
            let masters = user.groups.iter().any(|group| group == "system:masters");
            assert!(!masters, "{user:?}");
        }
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

#[test]
fn impersonation_is_by_the_verified_user_and_cannot_be_nominated_away() {
    let rig = Rig::start(REQUEST_HEADER);
    let admin = rig.pki.user("admin", &["system:masters"]);
    let alice = rig.pki.user("alice", &["dev"]);
    block_on(async {
        for speaks in Speaks::BOTH {
            let mut fields = vec![("impersonate-user", "bob")];
            if speaks == Speaks::Http1 {
                fields.push(("connection", "keep-alive, Impersonate-User"));
            }
            let mut caller = rig.caller(Some(&admin), speaks).await;
            let seen = whoami(&mut caller, &fields).await;
            assert_eq!(username(&seen), "admin");
            assert_eq!(seen["impersonatedUser"]["username"], "bob");
            let mut caller = rig.caller(Some(&alice), speaks).await;
            assert_eq!(get(&mut caller, "/whoami", &fields).await.status, 403);
        }
    });
}

#[test]
fn a_verified_caller_may_open_tunnels_by_its_groups() {
    let rig = Rig::start(REQUEST_HEADER);
    let asked = "POST /api/v1/namespaces/default/pods/p/exec?command=sh HTTP/1.1\r\n\
                 Host: kubernetes.example\r\nConnection: Upgrade\r\nUpgrade: SPDY/3.1\r\n\
                 X-Remote-Group: system:masters\r\n\
                 X-Stream-Protocol-Version: v4.channel.k8s.io\r\n\r\n";
    for (name, group, expected) in [
        ("alice", "dev", "HTTP/1.1 101 "),
        ("carol", "guests", "HTTP/1.1 403 "),
    ] {
        let certificate = rig.pki.user(name, &[group]);
        block_on(async {
            let mut caller = rig.stream(Some(&certificate), &[]).await;
            caller.write_all(asked.as_bytes()).await.expect("sent");
            let mut status = vec![0; expected.len()];
            caller.read_exact(&mut status).await.expect("an answer");
            assert_eq!(String::from_utf8_lossy(&status), expected, "{name}");
        });
    }
    for event in rig.server.audit() {
        assert_eq!(event.certificate.as_deref(), Some(Pki::FRONT_PROXY));
        assert_eq!(event.values("x-remote-group").len(), 1);
    }
}

#[test]
fn a_front_proxys_renewed_certificate_is_presented_without_a_restart() {
    // A caller's connection has an upstream connection of its own: a new one reads the files anew.
    let rig = Rig::with_upstream("share: connection,", REQUEST_HEADER);
    let alice = rig.pki.user("alice", &["dev"]);
    let stranger = Authority::new().sign(user(Pki::FRONT_PROXY, &[]));
    block_on_for(Duration::from_secs(40), async {
        for (certificate, status) in [
            (rig.pki.front_proxy(), 200),
            // Of an authority the server doesn't know: nobody's word.
            (stranger, 401),
            (rig.pki.front_proxy(), 200),
        ] {
            certificate.write(&rig.pki.directory, "front-proxy");
            let changed = async {
                loop {
                    let mut caller = rig.caller(Some(&alice), Speaks::Http2).await;
                    if get(&mut caller, "/whoami", &[]).await.status == status {
                        return;
                    }
                    tokio::time::sleep(Duration::from_millis(20)).await;
                }
            };
            let changed = tokio::time::timeout(Duration::from_secs(5), changed).await;
            changed.expect("within seconds");
        }
    });
}

/// For servers that take no proxy's word, like a kubelet: a certificate per caller that it stands for.
#[test]
fn a_reoriginated_certificate_is_presented_for_the_caller_it_maps_to_alone() {
    let pki = Pki::new();
    pki.user("kubelet-api-client", &["dev"])
        .write(&pki.directory, "reoriginated");
    let identity = "  identity:
    reoriginate:
    - from: {clientCert: {commonNames: [kube-apiserver-kubelet-client]}}
      tls: {certFile: $PKI/reoriginated.crt, keyFile: $PKI/reoriginated.key}
";
    let rig = Rig::of(pki, "", identity);
    let mapped = rig
        .pki
        .user("kube-apiserver-kubelet-client", &["system:masters"]);
    let pretender = Authority::new().sign(user("kube-apiserver-kubelet-client", &[]));
    let alice = rig.pki.user("alice", &["dev"]);
    let bearer = bearer();
    let token = ("authorization", bearer.as_str());
    block_on(async {
        for speaks in Speaks::BOTH {
            let mut caller = rig.caller(Some(&mapped), speaks).await;
            let mut other = rig.caller(None, speaks).await;
            for _ in 0..3 {
                let seen = whoami(&mut caller, &[]).await;
                assert_eq!(username(&seen), "kubelet-api-client", "{speaks:?}");
                let seen = whoami(&mut other, &[token]).await;
                assert_eq!(username(&seen), DEVELOPER);
                assert_eq!(certificate_of(&seen), None);
            }
            // Verified, and mapped to nothing: it may be refused, but nobody's certificate is its.
            for stranger in [&alice, &pretender] {
                let mut caller = rig.caller(Some(stranger), speaks).await;
                let answer = get(&mut caller, "/whoami", &[]).await;
                if answer.status == 200 {
                    let seen: Value = serde_json::from_str(&answer.text()).expect("JSON");
                    assert_eq!(certificate_of(&seen), None, "{seen}");
                    assert_eq!(username(&seen), "system:anonymous");
                }
            }
        }
    });
}
