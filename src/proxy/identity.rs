//! Who the upstream is told asks, where a certificate proved it (`listeners[].identity`).
//!
//! An upstream takes a proxy's word by the proxy's own certificate, so that one is presented for
//! verified callers alone, on connections of their own. Everybody else's requests go by
//! connections without a certificate, as if the caller had connected itself.

use http::header::{AUTHORIZATION, HeaderName, HeaderValue, SEC_WEBSOCKET_PROTOCOL};
use rustls::pki_types::UnixTime;

use super::caller::{Caller, Standing};
use super::head::{self, Head};
use super::listener::Listener;
use super::pipeline::Wanted;
use super::settings::{Identity, RequestHeader};
use crate::context::certificate::Subject;
use crate::span::record::Fault;

/// Beginning of the subprotocol that carries a bearer token.
const WEBSOCKET_BEARER: &[u8] = b"base64url.bearer.authorization.k8s.io.";

/// Key of the extra that says which certificate it was, escaped as names of fields need it.
const CREDENTIAL_ID: &str = "authentication.kubernetes.io%2fcredential-id";

/// For whom a request is made: by its position among [`Identity::certificates`], whose certificate
/// is presented. `None`: nobody's.
///
/// # Errors
/// When the caller has a certificate that makes it nobody, and shows nothing else that could: it
/// must not become anonymous by that.
pub fn establish(
    caller: &Caller,
    listener: &Listener,
    wanted: &Wanted,
    headers: &mut impl Head,
) -> Result<Option<usize>, Fault> {
    let Some(identity) = &listener.settings.identity else {
        return Ok(None);
    };
    strip(identity, headers);
    let standing = caller.standing(listener.clients.as_ref(), UnixTime::now);
    let known = match standing {
        Standing::Anonymous => return Ok(None),
        Standing::Unverified => None,
        Standing::Verified(names) => match identity {
            Identity::RequestHeader(fields) => {
                let subject = names.subject.as_ref();
                let said = subject.and_then(|subject| said(fields, subject, caller));
                said.map(|said| {
                    for (name, value) in said {
                        headers.add(name, value);
                    }
                    0
                })
            }
            Identity::Reoriginate(mapped) => {
                let caller = caller.with_certificate(names);
                mapped.iter().position(|one| one.from.pick(&caller))
            }
        },
    };
    if known.is_none() && !has_token(wanted, headers) {
        return Err(Fault::Unauthorized);
    }
    Ok(known)
}

/// Nobody but this proxy says who asks: every name is removed that a server could take for one of
/// the identity's, however it is spelt.
fn strip(identity: &Identity, headers: &mut impl Head) {
    headers.remove_if(|name| identity.claims(name));
}

/// The fields that say who it is; `None` if a field can't carry a name as it is.
fn said(
    fields: &RequestHeader,
    subject: &Subject,
    caller: &Caller,
) -> Option<Vec<(HeaderName, HeaderValue)>> {
    let mut said = vec![(fields.username.clone(), value(&subject.common_name)?)];
    for group in subject.groups.iter().filter(|group| !group.is_empty()) {
        said.push((fields.group.clone(), value(group)?));
    }
    if let Some(uid) = &subject.uid {
        said.push((fields.uid.clone(), value(uid)?));
    }
    if let Some(digest) = caller.digest() {
        let name = format!("{}{CREDENTIAL_ID}", fields.extra_prefix);
        let name = HeaderName::from_bytes(name.as_bytes()).ok()?;
        said.push((name, value(&format!("X509SHA256={digest}"))?));
    }
    Some(said)
}

/// Spaces at its ends would be lost on the way (RFC 9110, section 5.5), and it be another's name.
fn value(name: &str) -> Option<HeaderValue> {
    let whole = !name.starts_with([' ', '\t']) && !name.ends_with([' ', '\t']);
    whole.then(|| HeaderValue::from_bytes(name.as_bytes()).ok())?
}

/// Whether there is a bearer token, right or wrong: in `Authorization`, or where browsers put it.
fn has_token(wanted: &Wanted, headers: &impl Head) -> bool {
    let bearer = headers.first(&AUTHORIZATION).is_some_and(|value| {
        let (scheme, token) = value.split_at_checked(7).unwrap_or_default();
        scheme.eq_ignore_ascii_case(b"bearer ") && is_token(token)
    });
    let websocket = match wanted {
        Wanted::Upgrade(protocol) => protocol.as_bytes().eq_ignore_ascii_case(b"websocket"),
        Wanted::Response | Wanted::Connect => false,
    };
    bearer
        || websocket
            && headers
                .lines(&SEC_WEBSOCKET_PROTOCOL)
                .flat_map(head::members)
                .filter_map(|member| member.strip_prefix(WEBSOCKET_BEARER))
                .any(is_token)
}

/// Servers end a token at a space, and trim spaces beyond ASCII, too: what begins with one is an
/// empty token to them, and its caller anonymous.
fn is_token(token: &[u8]) -> bool {
    token.first().is_some_and(u8::is_ascii_graphic)
}

#[cfg(test)]
mod tests {
    use http::HeaderMap;

    use super::*;

    #[test]
    fn a_name_that_a_field_would_change_is_no_identity() {
        for (name, carried, why) in [
            ("alice", true, "plain"),
            ("alice smith, dev", true, "inner spaces and commas"),
            ("zoë", true, "a letter beyond ASCII"),
            (" admin", false, "a space in front"),
            ("admin\t", false, "a tab behind"),
            ("a\r\nX-Remote-Group: b", false, "a second line"),
            ("a\0", false, "NUL"),
        ] {
            let carries = value(name).is_some_and(|value| value.as_bytes() == name.as_bytes());
            assert_eq!(carries, carried, "{why}");
        }
    }

    #[test]
    fn a_token_that_a_server_finds_empty_is_none() {
        for (token, expected, why) in [
            (&b"t"[..], true, "a token"),
            (b"t u", true, "the server reads the first word"),
            (b"", false, "nothing"),
            (b" t", false, "the first of two words is empty"),
            (b"\tt", false, "a tab"),
            (b"\xc2\xa0", false, "a space beyond ASCII"),
            (b"\xc2\xa0t", false, "it may be trimmed"),
        ] {
            let mut headers = HeaderMap::new();
            let value = HeaderValue::from_bytes(&[b"Bearer ", token].concat()).unwrap();
            headers.insert(AUTHORIZATION, value);
            assert_eq!(has_token(&Wanted::Response, &headers), expected, "{why}");
            let value = [b"a, ", WEBSOCKET_BEARER, token].concat();
            headers.clear();
            headers.insert(
                SEC_WEBSOCKET_PROTOCOL,
                HeaderValue::from_bytes(&value).unwrap(),
            );
            let websocket = Wanted::Upgrade(HeaderValue::from_static("websocket"));
            assert_eq!(
                has_token(&websocket, &headers),
                expected,
                "WebSocket: {why}"
            );
        }
    }

    #[test]
    fn only_a_bearer_token_speaks_for_a_caller_whose_certificate_does_not() {
        let websocket = || Wanted::Upgrade(HeaderValue::from_static("websocket"));
        let spdy = || Wanted::Upgrade(HeaderValue::from_static("SPDY/3.1"));
        let offered = "v5.channel.k8s.io, base64url.bearer.authorization.k8s.io.dG9rZW4";
        let none = "base64url.bearer.authorization.k8s.io.";
        for (wanted, name, field, expected, why) in [
            (Wanted::Response, AUTHORIZATION, "Bearer t", true, "a token"),
            (
                Wanted::Response,
                AUTHORIZATION,
                "bEARER t",
                true,
                "any case",
            ),
            (Wanted::Response, AUTHORIZATION, "Bearer ", false, "empty"),
            (
                Wanted::Response,
                AUTHORIZATION,
                "Basic dDp0",
                false,
                "another scheme",
            ),
            (
                websocket(),
                SEC_WEBSOCKET_PROTOCOL,
                offered,
                true,
                "a browser's",
            ),
            (websocket(), SEC_WEBSOCKET_PROTOCOL, none, false, "empty"),
            (
                Wanted::Response,
                SEC_WEBSOCKET_PROTOCOL,
                offered,
                false,
                "no upgrade",
            ),
            (
                spdy(),
                SEC_WEBSOCKET_PROTOCOL,
                offered,
                false,
                "another upgrade",
            ),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(name, HeaderValue::from_static(field));
            assert_eq!(has_token(&wanted, &headers), expected, "{why}");
        }
    }
}
