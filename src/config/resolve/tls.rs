//! `listeners[].tls`: certificates towards callers, and those asked of them.

use std::path::PathBuf;

use crate::config::files;
use crate::config::reader::{Field, Map};
use crate::listen::settings::{CertificateFiles, ClientAuth, TlsSettings, TlsVersion};

/// What could be read of it.
pub(super) struct Tls {
    /// `None` if it is absent or faulty.
    pub settings: Option<TlsSettings>,
    /// Why callers aren't asked for certificates; `None` if they are, or if that couldn't be read.
    pub no_certificates: Option<&'static str>,
}

pub(super) fn read(field: &Field<'_>) -> Tls {
    let no_certificates = match field.is_present() {
        true => None,
        false => Some("the listener has no tls"),
    };
    let Some(map) = field.map() else {
        return Tls {
            settings: None,
            no_certificates,
        };
    };
    let unasked = match map.get("clientCAFile").is_present() {
        true => "tls.clientAuth is none",
        false => "tls has no clientCAFile",
    };
    let client_auth = client_auth(&map);
    Tls {
        no_certificates: (client_auth == Some(ClientAuth::None)).then_some(unasked),
        settings: settings(&map, client_auth),
    }
}

fn settings(map: &Map<'_>, client_auth: Option<ClientAuth>) -> Option<TlsSettings> {
    let min_version = map
        .get("minVersion")
        .one_of(&[("1.2", TlsVersion::V1_2), ("1.3", TlsVersion::V1_3)], &[]);
    let field = map.get("certificates").required();
    let items = field.list();
    if items.is_empty() && field.is_list() {
        field.fault("expected at least one certificate");
    }
    let certificates: Vec<_> = items.iter().map(certificate).collect();
    Some(TlsSettings {
        min_version: min_version.unwrap_or(TlsVersion::V1_2),
        certificates: certificates.into_iter().collect::<Option<_>>()?,
        client_auth: client_auth?,
    })
}

/// `request` is the default where there is a file of authorities: it would have no use otherwise.
fn client_auth(map: &Map<'_>) -> Option<ClientAuth> {
    #[derive(Clone, Copy, PartialEq)]
    enum Asked {
        None,
        Request,
        Require,
    }
    let words = [
        ("none", Asked::None),
        ("request", Asked::Request),
        ("require", Asked::Require),
    ];
    let file = map.get("clientCAFile");
    let field = map.get("clientAuth");
    let asked = match (field.one_of(&words, &[]), file.is_present()) {
        (Some(asked), _) => asked,
        (None, true) => Asked::Request,
        (None, false) => Asked::None,
    };
    if asked != Asked::None && !file.is_present() {
        field.fault("expected clientCAFile beside it");
    }
    let ca_file: Option<PathBuf> = files::authorities(&file);
    Some(match asked {
        Asked::None => ClientAuth::None,
        Asked::Request => ClientAuth::Request { ca_file: ca_file? },
        Asked::Require => ClientAuth::Require { ca_file: ca_file? },
    })
}

pub(super) fn certificate(field: &Field<'_>) -> Option<CertificateFiles> {
    let map = field.map()?;
    let cert_file: Option<PathBuf> = files::certificates(&map.get("certFile").required());
    let key_file = files::private_key(&map.get("keyFile").required());
    Some(CertificateFiles {
        cert_file: cert_file?,
        key_file: key_file?,
    })
}
