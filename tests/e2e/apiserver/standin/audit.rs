//! What the server writes down of its requests, and whom it believes they came from.

use std::net::IpAddr;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use http::HeaderMap;
use serde_json::{Value, json};

use super::Peer;
use super::answer::Arrived;
use super::authenticate::{User, common_name, text};

/// A request in the audit log, with what else of it tests ask about.
#[derive(Clone, Debug)]
pub struct Event {
    /// `Audit-ID`.
    pub id: String,
    /// `None`: unauthorized.
    pub user: Option<User>,
    /// Whom the user has impersonated.
    pub impersonated: Option<User>,
    /// As the server believes them.
    pub source_ips: Vec<IpAddr>,
    pub method: http::Method,
    /// Path and query.
    pub target: String,
    pub version: http::Version,
    /// Status of the answer.
    pub code: u16,
    /// Number of the connection it came on.
    pub connection: usize,
    /// Common name of the certificate that connection presented.
    pub certificate: Option<String>,
    pub headers: HeaderMap,
    pub trailers: HeaderMap,
}

impl Event {
    /// Before it is answered.
    pub fn new(id: String, peer: &Peer, arrived: &Arrived) -> Self {
        let head = &arrived.head;
        let target = head
            .uri
            .path_and_query()
            .map_or("/", |target| target.as_str());
        Self {
            id,
            user: None,
            impersonated: None,
            source_ips: source_ips(&head.headers, peer.address.ip()),
            method: head.method.clone(),
            target: target.to_owned(),
            version: head.version,
            code: 0,
            connection: peer.connection,
            certificate: common_name(peer),
            headers: head.headers.clone(),
            trailers: arrived.trailers.clone(),
        }
    }

    /// Values of a field.
    pub fn values(&self, name: &str) -> Vec<String> {
        self.headers.get_all(name).iter().map(text).collect()
    }

    /// As JSON, for whoever asked.
    pub fn json(&self) -> Value {
        json!({
            "auditID": self.id,
            "user": self.user.as_ref().map(describe),
            "impersonatedUser": self.impersonated.as_ref().map(describe),
            "sourceIPs": self.source_ips,
            "version": format!("{:?}", self.version),
            "connection": self.connection,
            "certificate": self.certificate,
            "headers": fields(&self.headers),
            "trailers": fields(&self.trailers),
        })
    }
}

/// A user as `authentication.k8s.io/v1` writes one.
pub fn describe(user: &User) -> Value {
    json!({
        "username": user.name,
        "uid": user.uid,
        "groups": user.groups,
        "extra": user.extra,
    })
}

fn fields(headers: &HeaderMap) -> Value {
    headers
        .iter()
        .map(|(name, value)| json!([name.as_str(), text(value)]))
        .collect()
}

/// Every address of the first `X-Forwarded-For`, then `X-Real-Ip`, then the peer's: what callers
/// write there is believed.
fn source_ips(headers: &HeaderMap, peer: IpAddr) -> Vec<IpAddr> {
    let first = |name| headers.get(name).map(text).unwrap_or_default();
    let forwarded = first("x-forwarded-for");
    let mut found: Vec<IpAddr> = forwarded
        .split(',')
        .filter_map(|ip| ip.trim().parse().ok())
        .collect();
    if let Ok(real) = first("x-real-ip").parse()
        && !found.contains(&real)
    {
        found.push(real);
    }
    if found.last() != Some(&peer) {
        found.push(peer);
    }
    found
}

/// The log.
#[derive(Default)]
pub struct Audit {
    events: Mutex<Vec<Event>>,
    ids: AtomicUsize,
}

impl Audit {
    /// The caller's id, or a new one.
    pub fn id(&self, headers: &HeaderMap) -> String {
        headers.get("audit-id").map(text).unwrap_or_else(|| {
            let number = self.ids.fetch_add(1, Ordering::SeqCst);
            format!("5a4d0000-0000-4000-8000-{number:012x}")
        })
    }

    pub fn write(&self, event: Event) {
        self.events.lock().expect("no panic").push(event);
    }

    pub fn events(&self) -> Vec<Event> {
        self.events.lock().expect("no panic").clone()
    }
}
