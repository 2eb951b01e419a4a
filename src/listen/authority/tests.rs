use rcgen::{
    BasicConstraints as Constraints, CertificateParams, CustomExtension, DistinguishedName, DnType,
    ExtendedKeyUsagePurpose, IsCa, KeyPair, KeyUsagePurpose, date_time_ymd,
};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;

use super::*;

/// Of version 1, as openssl makes them without extensions; until 2126.
const VERSION_1: &str = "-----BEGIN CERTIFICATE-----
MIIBLTCB0wIUAlEHJaas2D29r2W15Orx3GaJbxkwCgYIKoZIzj0EAwIwGDEWMBQG
A1UEAwwNb2xkIGF1dGhvcml0eTAgFw0yNjExMjUxNTA0MjdaGA8yMTI2MTEwMTE1
MDQyN1owGDEWMBQGA1UEAwwNb2xkIGF1dGhvcml0eTBZMBMGByqGSM49AgEGCCqG
SM49AwEHA0IABJbwaTsv3dCaNEDndii1DMnDve0LeXKsWlm6HEf/m5QjUOTDOfBj
Irc5R6RG1Xp5sjmRyMFeggVpUZwfF9Rv2ncwCgYIKoZIzj0EAwIDSQAwRgIhAMAb
stpvpA+HxOao5sjgB3xhP+eFyDMQ9tc45QTA31PkAiEAz1uipLnbQ584C+KapVFQ
nPD74hUPdOru2PP21by16Qk=
-----END CERTIFICATE-----
";

const BASIC_CONSTRAINTS: &[u64] = &[2, 5, 29, 19];
const KEY_USAGE: &[u64] = &[2, 5, 29, 15];

/// A certificate of `a, b` that is otherwise as it is changed.
fn der(change: impl FnOnce(&mut CertificateParams)) -> Vec<u8> {
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, "a, b");
    change(&mut params);
    let key = KeyPair::generate().unwrap();
    params.self_signed(&key).unwrap().der().to_vec()
}

fn extension(oid: &[u64], content: &[u8]) -> CustomExtension {
    CustomExtension::from_oid_content(oid, content.to_vec())
}

fn at(seconds: u64) -> UnixTime {
    UnixTime::since_unix_epoch(Duration::from_secs(seconds))
}

#[test]
fn validity_is_told_to_the_second() {
    let epoch = date_time_ymd(1970, 1, 1);
    let certificate = der(|params| {
        params.not_before = epoch + Duration::from_secs(1_700_000_000);
        params.not_after = epoch + Duration::from_secs(2_600_000_001);
    });
    let validity = Validity::parse(&certificate).unwrap();
    let expected = Validity {
        not_before: 1_700_000_000,
        not_after: 2_600_000_001,
    };
    assert_eq!(validity, expected);
    assert_eq!(validity.turns(), [1_700_000_000, 2_600_000_002]);
    for (now, expected, why) in [
        (1_699_999_999, "CertNotValidYet", "a second too early"),
        (1_700_000_000, "", "the first second"),
        (2_600_000_001, "", "the last second"),
        (2_600_000_002, "CertExpired", "a second too late"),
    ] {
        let found = validity.check(at(now)).err();
        let found = found.map_or_else(String::new, |error| error.to_string());
        assert!(found.starts_with(expected), "{why}: {found}");
        assert_eq!(found.is_empty(), expected.is_empty(), "{why}: {found}");
    }
}

#[test]
fn only_a_certificate_that_may_issue_others_is_an_authoritys() {
    let authority = |params: &mut CertificateParams| {
        params.is_ca = IsCa::Ca(Constraints::Unconstrained);
    };
    let using = |usages: &[KeyUsagePurpose]| {
        der(|params| {
            authority(params);
            params.key_usages = usages.to_vec();
        })
    };
    let extended = |extension: CustomExtension| {
        der(|params| {
            params.custom_extensions.push(extension);
        })
    };
    let version_1 = CertificateDer::from_pem_slice(VERSION_1.as_bytes()).unwrap();
    let no_flag = "(\"CN=a\\\\, b\") is no authority's: no basic constraints say CA:TRUE";
    let no_usage = "(\"CN=a\\\\, b\") is no authority's: its key usage has no keyCertSign";
    for (der, expected, why) in [
        (der(authority), "", "no word on its key's usage"),
        (using(&[KeyUsagePurpose::KeyCertSign]), "", "may sign"),
        (
            using(&[KeyUsagePurpose::CrlSign, KeyUsagePurpose::KeyCertSign]),
            "",
            "among other usages",
        ),
        (version_1.to_vec(), "", "before there were extensions"),
        (der(|_| {}), no_flag, "a caller's own: no basic constraints"),
        (
            extended(extension(BASIC_CONSTRAINTS, &[0x30, 0])),
            no_flag,
            "basic constraints at their default",
        ),
        (
            using(&[KeyUsagePurpose::DigitalSignature, KeyUsagePurpose::CrlSign]),
            no_usage,
            "another usage",
        ),
        (
            extended(extension(BASIC_CONSTRAINTS, &[1, 2])),
            "(\"CN=a\\\\, b\") has basic constraints that can't be read",
            "broken constraints",
        ),
        (
            der(|params| {
                authority(params);
                params.custom_extensions = vec![extension(KEY_USAGE, &[1])];
            }),
            "(\"CN=a\\\\, b\") has a key usage that can't be read",
            "a broken usage",
        ),
        (vec![0x30, 0], "can't be read as X.509", "no certificate"),
    ] {
        let found = Authority::parse(&der).err();
        let found = found.map_or_else(String::new, |error| error.to_string());
        assert_eq!(found, expected, "{why}");
    }
}

#[test]
fn what_an_authority_says_of_itself_binds_it() {
    let parse = |constraints, purposes: &[ExtendedKeyUsagePurpose]| {
        let certificate = der(|params| {
            params.is_ca = IsCa::Ca(constraints);
            params.extended_key_usages = purposes.to_vec();
        });
        Authority::parse(&certificate).unwrap()
    };
    let any = parse(Constraints::Unconstrained, &[]);
    let direct = parse(Constraints::Constrained(0), &[]);
    let one = parse(Constraints::Constrained(1), &[]);
    let of = |purpose| parse(Constraints::Unconstrained, &[purpose]);
    for (authority, below, expected, why) in [
        (&any, 0, true, "unbound"),
        (&any, 9, true, "unbound"),
        (&direct, 0, true, "it issued to the caller"),
        (&direct, 1, false, "it may make no authorities"),
        (&one, 1, true, "it may make one"),
        (&one, 2, false, "and that one none"),
        (&of(ExtendedKeyUsagePurpose::ClientAuth), 0, true, "clients"),
        (&of(ExtendedKeyUsagePurpose::Any), 0, true, "anybody"),
        (
            &of(ExtendedKeyUsagePurpose::ServerAuth),
            0,
            false,
            "servers alone",
        ),
    ] {
        let found = authority.check(below, at(1_800_000_000));
        assert_eq!(found.is_ok(), expected, "{why}");
    }
}

#[test]
fn bytes_that_are_no_certificate_are_no_authoritys_wherever_they_are_cut() {
    let whole = der(|params| params.is_ca = IsCa::Ca(Constraints::Unconstrained));
    for length in 0..whole.len() {
        assert!(Validity::parse(&whole[..length]).is_none(), "{length}");
        assert!(Authority::parse(&whole[..length]).is_err(), "{length}");
    }
}
