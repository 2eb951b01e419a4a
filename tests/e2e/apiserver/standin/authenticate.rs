//! Who asks: a kube-apiserver's authenticators, in its order.
//!
//! A wrong credential doesn't end the search, a later one may be right; but where none is, it makes
//! the request unauthorized instead of anonymous.

use std::collections::BTreeMap;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::{HeaderMap, header};
use percent_encoding::percent_decode_str;
use rustls::pki_types::{CertificateDer, UnixTime};
use rustls::server::WebPkiClientVerifier;
use rustls::server::danger::ClientCertVerifier;
use sha2::{Digest, Sha256};
use x509_cert::Certificate;
use x509_cert::der::Decode;
use x509_cert::der::asn1::ObjectIdentifier;

use super::super::pki::Pki;
use super::Peer;
use crate::files::Authority;
use crate::span_view::hex;
use crate::tls::provider;

const COMMON_NAME: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.5.4.3");
const ORGANIZATION: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.5.4.10");
const UID: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.6.1.4.1.57683.2");

const AUTHENTICATED: &str = "system:authenticated";
const UNAUTHENTICATED: &str = "system:unauthenticated";
const WEBSOCKET_TOKEN: &str = "base64url.bearer.authorization.k8s.io.";
const EXTRA: &str = "x-remote-extra-";

/// A user as the server knows it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct User {
    pub name: String,
    pub uid: String,
    pub groups: Vec<String>,
    pub extra: BTreeMap<String, Vec<String>>,
}

impl User {
    /// Of that name, in these groups.
    pub fn of(name: &str, groups: &[&str]) -> Self {
        Self {
            name: name.to_owned(),
            groups: groups.iter().map(|&group| group.to_owned()).collect(),
            ..Self::default()
        }
    }

    /// Whoever shows no credential.
    pub fn anonymous() -> Self {
        Self::of("system:anonymous", &[UNAUTHENTICATED])
    }

    pub fn is_anonymous(&self) -> bool {
        self.name == "system:anonymous"
    }

    pub fn is_in(&self, group: &str) -> bool {
        self.groups.iter().any(|own| own == group)
    }

    fn authenticated(mut self) -> Self {
        if !self.is_anonymous() && !self.is_in(AUTHENTICATED) {
            self.groups.push(AUTHENTICATED.to_owned());
        }
        self
    }
}

/// A credential is wrong and none is right.
#[derive(Debug)]
pub struct Unauthorized;

/// What an authenticator says: a user, nothing as far as it is concerned, or a wrong credential.
type Verdict = Result<Option<User>, Unauthorized>;

/// All of them.
pub struct Authenticators {
    clients: Arc<dyn ClientCertVerifier>,
    front_proxies: Arc<dyn ClientCertVerifier>,
    tokens: BTreeMap<String, User>,
}

impl Authenticators {
    pub fn new(pki: &Pki, tokens: BTreeMap<String, User>) -> Self {
        Self {
            clients: verifier(&pki.clients),
            front_proxies: verifier(&pki.front_proxies),
            tokens,
        }
    }

    /// Judges a request, and takes the credentials from it as the server does.
    pub fn authenticate(&self, peer: &Peer, headers: &HeaderMap) -> Result<User, Unauthorized> {
        let mut wrong = false;
        for verdict in [
            self.request_header(peer, headers),
            self.x509(peer),
            self.bearer(headers),
            self.websocket(headers),
        ] {
            match verdict {
                Ok(Some(user)) => return Ok(user.authenticated()),
                Ok(None) => {}
                Err(Unauthorized) => wrong = true,
            }
        }
        if wrong {
            return Err(Unauthorized);
        }
        Ok(User::anonymous())
    }

    /// `--requestheader-*`: what a front proxy says, if its certificate says that it is one.
    fn request_header(&self, peer: &Peer, headers: &HeaderMap) -> Verdict {
        let Some(certificate) = verified(&*self.front_proxies, peer)? else {
            return Ok(None);
        };
        if attributes(certificate, COMMON_NAME) != [Pki::FRONT_PROXY] {
            return Err(Unauthorized);
        }
        let all = |name: &str| -> Vec<String> { headers.get_all(name).iter().map(text).collect() };
        let first = |name: &str| headers.get(name).map(text).unwrap_or_default();
        let name = first("x-remote-user");
        if name.is_empty() {
            return Ok(None);
        }
        let mut extra = BTreeMap::<_, Vec<_>>::new();
        for (field, value) in headers {
            if let Some(key) = field.as_str().strip_prefix(EXTRA) {
                let key = percent_decode_str(key).decode_utf8_lossy().into_owned();
                extra.entry(key).or_default().push(text(value));
            }
        }
        Ok(Some(User {
            name,
            uid: first("x-remote-uid"),
            groups: all("x-remote-group"),
            extra,
        }))
    }

    /// `--client-ca-file`: the certificate's own names.
    fn x509(&self, peer: &Peer) -> Verdict {
        let Some(certificate) = verified(&*self.clients, peer)? else {
            return Ok(None);
        };
        let Some(name) = attributes(certificate, COMMON_NAME)
            .pop()
            .filter(|n| !n.is_empty())
        else {
            return Ok(None);
        };
        let uids = attributes(certificate, UID);
        if uids.len() > 1 || uids.iter().any(String::is_empty) {
            return Err(Unauthorized);
        }
        let credential = format!("X509SHA256={}", hex(&Sha256::digest(certificate)));
        let key = "authentication.kubernetes.io/credential-id".to_owned();
        Ok(Some(User {
            name,
            uid: uids.concat(),
            groups: attributes(certificate, ORGANIZATION),
            extra: BTreeMap::from([(key, vec![credential])]),
        }))
    }

    fn bearer(&self, headers: &HeaderMap) -> Verdict {
        let value = headers
            .get(header::AUTHORIZATION)
            .map(text)
            .unwrap_or_default();
        match value.split_once(' ') {
            Some((scheme, token)) if scheme.eq_ignore_ascii_case("bearer") => self.token(token),
            _ => Ok(None),
        }
    }

    fn websocket(&self, headers: &HeaderMap) -> Verdict {
        let value = headers.get(header::SEC_WEBSOCKET_PROTOCOL).map(text);
        let value = value.unwrap_or_default();
        let mut offered = value.split(',').map(str::trim);
        let Some(coded) = offered.find_map(|offer| offer.strip_prefix(WEBSOCKET_TOKEN)) else {
            return Ok(None);
        };
        let token = URL_SAFE_NO_PAD.decode(coded).map_err(|_| Unauthorized)?;
        self.token(&String::from_utf8_lossy(&token))
    }

    /// `--token-auth-file`.
    fn token(&self, token: &str) -> Verdict {
        let user = self.tokens.get(token.trim()).cloned();
        user.map(Some).ok_or(Unauthorized)
    }
}

fn verifier(authority: &Authority) -> Arc<dyn ClientCertVerifier> {
    WebPkiClientVerifier::builder_with_provider(Arc::new(authority.roots()), provider())
        .build()
        .expect("a verifier")
}

/// The peer's certificate, if it presented one and that leads to these authorities now.
fn verified<'a>(
    authorities: &dyn ClientCertVerifier,
    peer: &'a Peer,
) -> Result<Option<&'a CertificateDer<'static>>, Unauthorized> {
    let Some((own, others)) = peer.certificates.split_first() else {
        return Ok(None);
    };
    match authorities.verify_client_cert(own, others, UnixTime::now()) {
        Ok(_) => Ok(Some(own)),
        Err(_) => Err(Unauthorized),
    }
}

/// Values of the subject's attributes of one kind.
fn attributes(certificate: &CertificateDer<'_>, kind: ObjectIdentifier) -> Vec<String> {
    let certificate = Certificate::from_der(certificate).expect("a certificate");
    let subject = certificate.tbs_certificate().subject();
    let of_kind = subject.iter().filter(|attribute| attribute.oid == kind);
    of_kind
        .map(|attribute| String::from_utf8_lossy(attribute.value.value()).into_owned())
        .collect()
}

/// The common name of a peer's certificate, verified or not.
pub fn common_name(peer: &Peer) -> Option<String> {
    let own = peer.certificates.first()?;
    attributes(own, COMMON_NAME).pop()
}

/// A field's value as text.
pub fn text(value: &http::HeaderValue) -> String {
    String::from_utf8_lossy(value.as_bytes()).into_owned()
}
