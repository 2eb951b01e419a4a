//! `listeners[].identity`: how the holder of a verified certificate is made known to the upstream.

use http::HeaderName;

use crate::config::reader::{Field, Map};
use crate::config::values::{self, Expected};
use crate::context::untrusted;
use crate::proxy::settings::{Identity, Reoriginate, RequestHeader, UpstreamSettings};

use super::trust::{self, Reach};
use super::{tls, trace_id_header};

const MOST_MAPPED: usize = 64;

pub(super) fn read<'a>(
    field: &Field<'_>,
    reach: &Reach<'_>,
    upstreams: impl Iterator<Item = &'a UpstreamSettings>,
) -> Option<Identity> {
    let map = field.map()?;
    if let Some(why) = reach.no_certificates {
        field.fault(format!("can never be known: {why}"));
    }
    for upstream in upstreams {
        match &upstream.tls {
            None => field.fault("expected https upstreams: they are told by a certificate"),
            Some(tls) if tls.identity.is_some() => field.fault(
                "expected no upstream.tls.certFile beside it: that would be presented for everybody",
            ),
            Some(_) => {}
        }
    }
    let (fields, mapped) = (map.get("requestHeader"), map.get("reoriginate"));
    match (fields.is_present(), mapped.is_present()) {
        (true, false) => request_header(&fields).map(Identity::RequestHeader),
        (false, true) => reoriginate(&mapped, reach).map(Identity::Reoriginate),
        _ => {
            field.fault("expected either requestHeader or reoriginate");
            // Their own faults are told, too.
            request_header(&fields);
            reoriginate(&mapped, reach);
            None
        }
    }
}

fn request_header(field: &Field<'_>) -> Option<RequestHeader> {
    let map = field.map()?;
    let name = |key, default| name(&map, key, default);
    let username = name("username", "x-remote-user");
    let uid = name("uid", "x-remote-uid");
    let group = name("group", "x-remote-group");
    let extra_prefix = map
        .get("extraPrefix")
        .read(prefix)
        .unwrap_or_else(|| "x-remote-extra-".to_owned());
    let certificate = tls::certificate(&map.get("tls").required());
    let own = [
        username.as_str(),
        uid.as_str(),
        group.as_str(),
        &extra_prefix,
    ];
    if own[..3]
        .iter()
        .any(|one| own[..3].iter().filter(|two| one == *two).count() > 1)
    {
        field.fault("expected three different names for username, uid and group");
    }
    Some(RequestHeader {
        folded: own.map(|name| untrusted::fold(name).into()).into(),
        extra_prefix: extra_prefix.into(),
        username,
        uid,
        group,
        certificate: certificate?,
    })
}

fn name(map: &Map<'_>, key: &'static str, default: &'static str) -> HeaderName {
    let read = map.get(key).read(own_name);
    read.unwrap_or(HeaderName::from_static(default))
}

/// What a caller's fields say beside, folded: taken away with an identity's name that begins one,
/// a body would lose its length, and become the next request.
const MEANT: &[&str] = &[
    "accept",
    "authorization",
    "connection",
    "contentencoding",
    "contentlength",
    "contenttype",
    "cookie",
    "expect",
    "forwarded",
    "host",
    "impersonate",
    "secwebsocket",
    "te",
    "trailer",
    "transferencoding",
    "upgrade",
    "xforwarded",
    "xrealip",
];

/// Whether it would take what means something else, or be it.
fn is_meant(name: &str) -> bool {
    let folded = untrusted::fold(name);
    MEANT.iter().any(|meant| meant.starts_with(&folded))
        || ["authorization", "forwarded", "impersonate", "xforwarded"]
            .iter()
            .any(|meant| folded.starts_with(meant))
        || untrusted::is_context(name)
}

/// A name that means nothing else, or a caller's field would be lost.
pub(super) fn own_name(text: &str) -> Expected<HeaderName> {
    trace_id_header::read(text)
        .ok()
        .filter(|name| !is_meant(name.as_str()))
        .ok_or_else(|| "a header name that means nothing else".to_owned())
}

fn prefix(text: &str) -> Expected<String> {
    let expected = || "a header name's beginning of at least 3 letters, ending in -".to_owned();
    let name = values::header_name(text).map_err(|_| expected())?;
    let name = name.as_str();
    let fits = name.ends_with('-') && untrusted::fold(name).len() >= 3 && !is_meant(name);
    fits.then(|| name.to_owned()).ok_or_else(expected)
}

fn reoriginate(field: &Field<'_>, reach: &Reach<'_>) -> Option<Box<[Reoriginate]>> {
    let items = field.list();
    if !(1..=MOST_MAPPED).contains(&items.len()) && field.is_list() {
        field.fault(format!("expected 1 to {MOST_MAPPED} entries"));
    }
    items.iter().map(|item| mapped(item, reach)).collect()
}

fn mapped(field: &Field<'_>, reach: &Reach<'_>) -> Option<Reoriginate> {
    let map = field.map()?;
    let from = map.get("from").required();
    let certificate = tls::certificate(&map.get("tls").required());
    let callers = trust::callers(&from, reach);
    if callers
        .as_ref()
        .is_some_and(|callers| callers.client_cert.is_none())
    {
        from.fault("expected clientCert: nobody else has proved who it is");
    }
    Some(Reoriginate {
        from: callers?,
        certificate: certificate?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_name_takes_what_means_something_else() {
        for (name, taken, why) in [
            ("X-Remote-User", false, "its own"),
            ("X-User", false, "its own"),
            (
                "Con",
                true,
                "begins Content-Length: a body would become a request",
            ),
            ("Content", true, "the same"),
            ("Auth", true, "begins Authorization"),
            ("H", true, "begins Host"),
            ("Sec_Web", true, "begins Sec-WebSocket-Protocol"),
            ("X-Forwarded-User", true, "is told of the caller's way"),
            ("X-Real-Ip", true, "says where it is"),
            ("Impersonate-User", true, "is the caller's to say"),
            ("Baggage", true, "is context"),
        ] {
            assert_eq!(own_name(name).is_err(), taken, "{name} {why}");
            let start = format!("{name}--");
            assert_eq!(prefix(&start).is_err(), taken, "{start} {why}");
        }
    }
}
