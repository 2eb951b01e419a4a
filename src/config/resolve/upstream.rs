//! `listeners[].upstream`: where requests go.

use std::time::Duration;

use http::HeaderValue;
use http::uri::Authority;
use rustls::pki_types::ServerName;

use crate::config::address::{self, Upstream};
use crate::config::files;
use crate::config::reader::{Field, Map};
use crate::config::values::{self, Expected};
use crate::listen::settings::CertificateFiles;
use crate::proxy::settings::{
    ClientTlsSettings, Share, Target, UpstreamProtocol, UpstreamSettings,
};

/// Members of one upstream.
const MAX_ENDPOINTS: usize = 16;

pub(super) fn read(field: &Field<'_>) -> Option<UpstreamSettings> {
    let map = field.map()?;
    let mut members = members(&map).into_iter();
    let url = members.next();
    let protocol = map.get("protocol").one_of(
        &[
            ("auto", UpstreamProtocol::Auto),
            ("http1", UpstreamProtocol::Http1),
            ("http2", UpstreamProtocol::Http2),
        ],
        &[],
    );
    let host = map.get("host").read(host);
    let share = map.get("share").one_of(
        &[("worker", Share::Worker), ("connection", Share::Connection)],
        &[],
    );
    let keepalive = map.get("keepalive").map_or_empty();
    let usual = Some(Duration::from_secs(30));
    let tcp_keepalive = interval(&keepalive, "tcp", usual);
    // Who ends closes a unix socket, and gRPC servers take pings in a long silence for an attack.
    let unix = url
        .as_ref()
        .is_some_and(|url| matches!(url.target, Target::Unix(_)));
    let http2_ping = interval(&keepalive, "http2Ping", usual.filter(|_| !unix));
    let ping_timeout = super::bound(&keepalive, "timeout", Duration::from_secs(15));
    let tls = tls(&map.get("tls"), url.as_ref());
    let connect_timeout = super::bound(&map, "connectTimeout", Duration::from_secs(5));
    let response_header_timeout = map
        .get("responseHeaderTimeout")
        .read(values::duration_or_none(
            Duration::from_millis(1)..=24 * super::HOUR,
        ))
        .flatten();
    let url = url?;
    Some(UpstreamSettings {
        target: url.target,
        further: members.map(|member| member.target).collect(),
        tls: url.https.then_some(tls),
        share: share.unwrap_or(Share::Worker),
        protocol: protocol.unwrap_or(UpstreamProtocol::Auto),
        host,
        tcp_keepalive,
        http2_ping,
        ping_timeout,
        connect_timeout,
        response_header_timeout,
    })
}

/// `url`, or each of `endpoints`; none after a fault.
fn members(map: &Map<'_>) -> Vec<Upstream> {
    let (url, endpoints) = (map.get("url"), map.get("endpoints"));
    if !endpoints.is_present() {
        return url.required().read(address::upstream).into_iter().collect();
    }
    if url.is_present() {
        endpoints.fault("expected either url or endpoints, not both");
    }
    let items = endpoints.list();
    if endpoints.is_list() && !(1..=MAX_ENDPOINTS).contains(&items.len()) {
        endpoints.fault(format!("expected 1 to {MAX_ENDPOINTS} URLs"));
    }
    let mut members: Vec<Upstream> = Vec::new();
    for item in items.iter().take(MAX_ENDPOINTS) {
        let Some(member) = item.read(address::upstream) else {
            continue;
        };
        if members.contains(&member) {
            item.fault("is there already");
        }
        if members
            .first()
            .is_some_and(|first| kind(first) != kind(&member))
        {
            item.fault("expected the first one's scheme: all http, all https or all unix");
        }
        members.push(member);
    }
    members
}

/// What all members have in common.
const fn kind(member: &Upstream) -> (bool, bool) {
    (member.https, matches!(member.target, Target::Unix(_)))
}

/// The default unless said otherwise; `none` turns it off.
fn interval(map: &Map<'_>, key: &'static str, default: Option<Duration>) -> Option<Duration> {
    map.get(key)
        .read(values::duration_or_none(
            Duration::from_secs(1)..=24 * super::HOUR,
        ))
        .unwrap_or(default)
}

fn host(text: &str) -> Expected<HeaderValue> {
    let expected = || "a host, or host:port".to_owned();
    let authority: Authority = text.parse().map_err(|_| expected())?;
    if authority.as_str().contains('@') || address::host_and_port(text).is_none() {
        return Err(expected());
    }
    HeaderValue::from_str(text).map_err(|_| expected())
}

fn tls(field: &Field<'_>, url: Option<&Upstream>) -> ClientTlsSettings {
    let map = field.map_or_empty();
    let ca_file = files::certificates(&map.get("caFile"));
    let identity = super::export::identity(&map);
    let identity = identity.map(|(cert_file, key_file)| CertificateFiles {
        cert_file,
        key_file,
    });
    let server_name = map.get("serverName").read(server_name);
    if field.is_present() && url.is_some_and(|url| !url.https) {
        field.fault("expected an https URL beside it");
    }
    ClientTlsSettings {
        ca_file,
        identity,
        server_name,
    }
}

fn server_name(text: &str) -> Expected<String> {
    ServerName::try_from(text)
        .map(|_| text.to_owned())
        .map_err(|_| "a DNS name or an IP address".to_owned())
}
