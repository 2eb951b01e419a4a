use rcgen::{CertificateParams, DistinguishedName, DnType, DnValue, KeyPair, SanType};

use super::*;

fn der(change: impl FnOnce(&mut CertificateParams)) -> Vec<u8> {
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    change(&mut params);
    let key = KeyPair::generate().unwrap();
    params.self_signed(&key).unwrap().der().to_vec()
}

fn subject(attributes: Vec<(DnType, DnValue)>) -> Option<Names> {
    let certificate = der(|params| {
        for (kind, value) in attributes {
            params.distinguished_name.push(kind, value);
        }
    });
    Names::parse(&certificate)
}

fn alternatives(names: Vec<SanType>) -> Option<Names> {
    Names::parse(&der(|params| params.subject_alt_names = names))
}

fn utf8(text: impl Into<String>) -> DnValue {
    DnValue::Utf8String(text.into())
}

fn printable(text: &str) -> DnValue {
    DnValue::PrintableString(text.try_into().unwrap())
}

fn dns(name: &str) -> SanType {
    SanType::DnsName(name.try_into().unwrap())
}

fn uri(name: &str) -> SanType {
    SanType::URI(name.try_into().unwrap())
}

/// The same kind of attribute under another key: rcgen keeps one of each.
fn again(oid: &[u64]) -> DnType {
    DnType::CustomDnType(oid.to_vec())
}

const CN: &[u64] = &[2, 5, 4, 3];
const O: &[u64] = &[2, 5, 4, 10];
const UID_OID: &[u64] = &[1, 3, 6, 1, 4, 1, 57_683, 2];

fn user(common_name: &str, groups: &[&str], uid: Option<&str>) -> Option<Subject> {
    Some(Subject {
        common_name: common_name.into(),
        groups: groups.iter().map(|group| Box::from(*group)).collect(),
        uid: uid.map(Box::from),
    })
}

#[test]
fn a_subject_is_read_as_kubernetes_reads_a_user() {
    use DnType::{CommonName, OrganizationName, OrganizationalUnitName};
    for (attributes, expected, why) in [
        (
            vec![(CommonName, utf8("admin"))],
            user("admin", &[], None),
            "a user",
        ),
        (
            vec![
                (CommonName, printable("admin")),
                (OrganizationName, printable("ops")),
            ],
            user("admin", &["ops"], None),
            "another kind of string",
        ),
        (
            vec![
                (OrganizationName, utf8("system:masters")),
                (CommonName, utf8("admin")),
                (again(O), utf8("ops")),
            ],
            user("admin", &["system:masters", "ops"], None),
            "several groups, in any place",
        ),
        (
            vec![(CommonName, utf8("admin")), (again(UID_OID), utf8("42"))],
            user("admin", &[], Some("42")),
            "a user id",
        ),
        (
            vec![(CommonName, utf8("admin")), (again(UID_OID), utf8(""))],
            None,
            "an empty user id makes nobody",
        ),
        (
            vec![(CommonName, utf8("a")), (OrganizationalUnitName, utf8("b"))],
            user("a", &[], None),
            "a unit is no group",
        ),
        (
            vec![(CommonName, utf8("zoë"))],
            user("zoë", &[], None),
            "beyond ASCII",
        ),
        (
            vec![(OrganizationName, utf8("system:masters"))],
            None,
            "no user, no groups",
        ),
        (
            vec![
                (CommonName, utf8("")),
                (OrganizationName, utf8("system:masters")),
            ],
            None,
            "an empty name is none",
        ),
        (
            vec![(CommonName, utf8("admin")), (again(CN), utf8("guest"))],
            None,
            "of several names none is picked",
        ),
        (
            vec![(CommonName, utf8("")), (again(CN), utf8("admin"))],
            None,
            "nor the one that isn't empty",
        ),
    ] {
        let names = subject(attributes).expect(why);
        assert_eq!(names.subject, expected, "{why}");
        assert!(names.dns.is_empty() && names.uris.is_empty(), "{why}");
    }
}

#[test]
fn a_name_that_cannot_be_read_leaves_none() {
    use DnType::{CommonName, OrganizationName};
    let bmp = |text: &str| DnValue::BmpString(text.try_into().unwrap());
    let long = |length| "x".repeat(length);
    for (attributes, read, why) in [
        (
            vec![(CommonName, utf8(long(LONGEST_NAME)))],
            true,
            "as long as may be",
        ),
        (
            vec![(CommonName, utf8(long(LONGEST_NAME + 1)))],
            false,
            "longer",
        ),
        (vec![(CommonName, utf8("ad\0min"))], false, "a zero byte"),
        (vec![(CommonName, utf8("ad\r\nmin"))], false, "a line's end"),
        (
            vec![
                (CommonName, utf8("admin")),
                (OrganizationName, utf8("a\nb")),
            ],
            false,
            "in a group",
        ),
        (
            vec![(CommonName, utf8("admin")), (OrganizationName, bmp("ops"))],
            false,
            "a string of another age",
        ),
    ] {
        assert_eq!(subject(attributes).is_some(), read, "{why}");
    }
    let many = |count: usize| alternatives((0..count).map(|n| dns(&format!("n{n}"))).collect());
    assert_eq!(many(MOST_NAMES).unwrap().dns.len(), MOST_NAMES);
    assert!(many(MOST_NAMES + 1).is_none());
}

#[test]
fn alternative_names_are_read_by_their_kind() {
    let names = alternatives(vec![
        dns("a.example"),
        uri("spiffe://prod/ns/a/sa/b"),
        SanType::Rfc822Name("admin@a.example".try_into().unwrap()),
        SanType::IpAddress([10, 0, 0, 1].into()),
        dns("*.b.example"),
    ])
    .unwrap();
    assert_eq!(&*names.dns, &["a.example".into(), "*.b.example".into()]);
    assert_eq!(&*names.uris, &["spiffe://prod/ns/a/sa/b".into()]);
    assert_eq!(names.subject, None);
}

#[test]
fn bytes_that_are_no_certificate_are_refused_wherever_they_are_cut() {
    let whole = der(|params| params.distinguished_name.push(DnType::CommonName, "admin"));
    for length in 0..whole.len() {
        assert!(Names::parse(&whole[..length]).is_none(), "{length}");
    }
    let more = [&whole[..], &[0]].concat();
    assert!(Names::parse(&more).is_none(), "a byte too many");
}
