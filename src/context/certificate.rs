//! What a client certificate says of its holder: names (RFC 5280, sections 4.1.2.6 and 4.2.1.6).
//! Whether any of it is true isn't asked here.

use x509_cert::Certificate;
use x509_cert::attr::AttributeTypeAndValue;
use x509_cert::der::asn1::ObjectIdentifier;
use x509_cert::der::{Decode, Tag, Tagged};
use x509_cert::ext::pkix::SubjectAltName;
use x509_cert::ext::pkix::name::GeneralName;

const COMMON_NAME: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.5.4.3");
const ORGANIZATION: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.5.4.10");
const UID: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.6.1.4.1.57683.2");

/// The most names of one kind that are read.
pub const MOST_NAMES: usize = 64;

/// The longest name that is read, in bytes.
pub const LONGEST_NAME: usize = 1024;

/// The names of a certificate's holder.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Names {
    /// The user as Kubernetes reads it; `None` if there isn't exactly one, non-empty common name,
    /// or if there is a user id that isn't such.
    pub subject: Option<Subject>,
    /// DNS names among the alternative names, as they stand there.
    pub dns: Box<[Box<str>]>,
    /// URIs among the alternative names, as they stand there.
    pub uris: Box<[Box<str>]>,
}

/// A user: groups and uid mean something beside a common name only.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Subject {
    /// The common name; never empty.
    pub common_name: Box<str>,
    /// The organizations: the groups of a Kubernetes user.
    pub groups: Box<[Box<str>]>,
    /// Kubernetes' own attribute for a user id (not RFC 4519's `uid`); never empty.
    pub uid: Option<Box<str>>,
}

impl Names {
    /// Reads a DER certificate. All or nothing: `None` if a name that counts here can't be read,
    /// is longer than [`LONGEST_NAME`] or holds control characters, or if there are more than
    /// [`MOST_NAMES`] of a kind. Half the names could slip past a rule that the others would meet.
    pub fn parse(der: &[u8]) -> Option<Self> {
        let certificate = Certificate::from_der(der).ok()?;
        let holder = certificate.tbs_certificate();
        let of = |kind| {
            let of_kind = holder.subject().iter().filter(move |a| a.oid == kind);
            all(of_kind.map(attribute))
        };
        let [common_names, groups, uids] = [of(COMMON_NAME)?, of(ORGANIZATION)?, of(UID)?];
        let alternatives = holder.get_extension::<SubjectAltName>().ok()?;
        let alternatives = alternatives.map_or_else(Vec::new, |(_, names)| names.0);
        let dns = alternatives.iter().filter_map(|name| match name {
            GeneralName::DnsName(name) => Some(readable(name.as_str())),
            _ => None,
        });
        let uris = alternatives.iter().filter_map(|name| match name {
            GeneralName::UniformResourceIdentifier(name) => Some(readable(name.as_str())),
            _ => None,
        });
        Some(Self {
            subject: Subject::of(common_names, groups, uids),
            dns: all(dns)?,
            uris: all(uris)?,
        })
    }
}

impl Subject {
    /// Of several common names or user ids none is picked: two readers might pick differently. An
    /// empty user id makes nobody, as it does to Kubernetes.
    fn of(
        common_names: Box<[Box<str>]>,
        groups: Box<[Box<str>]>,
        uids: Box<[Box<str>]>,
    ) -> Option<Self> {
        let mut common_names = common_names.into_iter();
        let common_name = common_names.next().filter(|name| !name.is_empty())?;
        let mut uids = uids.into_iter();
        let uid = uids.next();
        let empty = uid.as_deref().is_some_and(str::is_empty);
        (common_names.next().is_none() && uids.next().is_none() && !empty).then_some(Self {
            common_name,
            groups,
            uid,
        })
    }
}

/// All names, if they can all be read and aren't too many.
fn all<'a>(names: impl Iterator<Item = Option<&'a str>>) -> Option<Box<[Box<str>]>> {
    let read: Option<Box<[Box<str>]>> = names
        .take(MOST_NAMES + 1)
        .map(|name| name.map(Box::from))
        .collect();
    read.filter(|names| names.len() <= MOST_NAMES)
}

fn attribute(attribute: &AttributeTypeAndValue) -> Option<&str> {
    let value = &attribute.value;
    match value.tag() {
        Tag::Utf8String | Tag::PrintableString | Tag::Ia5String => {
            readable(std::str::from_utf8(value.value()).ok()?)
        }
        _ => None,
    }
}

fn readable(name: &str) -> Option<&str> {
    (name.len() <= LONGEST_NAME && !name.chars().any(char::is_control)).then_some(name)
}

#[cfg(test)]
mod tests;
