use std::time::{Duration, SystemTime};

use rustls::pki_types::pem::PemObject;

use super::super::settings::CertificateFiles;
use super::super::testing::{Authority, TempDir};
use super::*;

/// An authority whose key is of P-521, and a caller's certificate from it, whose key is of P-256;
/// until 2126. Made by openssl, for the provider can make no such keys either.
const P521: [&str; 2] = [
    "-----BEGIN CERTIFICATE-----
MIICIzCCAYSgAwIBAgIUcb1ZONp90SGor8vC8qyo6j2nOQIwCgYIKoZIzj0EAwQw
GjEYMBYGA1UEAwwPUC01MjEgYXV0aG9yaXR5MCAXDTI2MTEyNTE1MTI1OFoYDzIx
MjYxMTAxMTUxMjU4WjAaMRgwFgYDVQQDDA9QLTUyMSBhdXRob3JpdHkwgZswEAYH
KoZIzj0CAQYFK4EEACMDgYYABADf0fHwQRm9IyW05ChioGYidtNp6LlY/NfvDfrE
5+V6agnONi4z3alkXhlOWf3OQ4g2waXsThfxmC5yiqOvW6G6WwAB19qlv0Se/CdZ
761lcG62QeFb5Tk09rVoko7Oz6hT4WT06ENOvjjXdMZgTIDymnftPeqT4DzewPGx
kNwdgotTpKNjMGEwHQYDVR0OBBYEFJ/p8yW9kGqxK0EkiS6iFQ99pwaXMB8GA1Ud
IwQYMBaAFJ/p8yW9kGqxK0EkiS6iFQ99pwaXMA8GA1UdEwEB/wQFMAMBAf8wDgYD
VR0PAQH/BAQDAgIEMAoGCCqGSM49BAMEA4GMADCBiAJCAd+8F7MAhN3bdYPuJwpC
lpCkdVEVphNWMFAG6oMJ51NWRo4N1YSRBfP7xq59tVrU3PJeRsUL97oPRI7+/CbU
fZGWAkIAisJA5Rb5COxWVz5rmUP4atJpFS7kcWvfCbX6egDZIhGLdMiBQkyQoOC1
rGNjtFDedLeI2IIo3AQq9biCqR/K/cY=
-----END CERTIFICATE-----
",
    "-----BEGIN CERTIFICATE-----
MIIByjCCASygAwIBAgIUSUHlNqJcycLNZuthTQTP9oeRf+owCgYIKoZIzj0EAwQw
GjEYMBYGA1UEAwwPUC01MjEgYXV0aG9yaXR5MCAXDTI2MTEyNTE1MTI1OFoYDzIx
MjYwNzI0MTUxMjU4WjARMQ8wDQYDVQQDDAZjYWxsZXIwWTATBgcqhkjOPQIBBggq
hkjOPQMBBwNCAASXzQgbZvpQfI4d7byEWUi5dbQs5QCqtUrbS1G8ebTDNa0r06vu
2fz8hCmHpupp8ixcuXXr0IKBtPGeyA4n9Bt1o1cwVTATBgNVHSUEDDAKBggrBgEF
BQcDAjAdBgNVHQ4EFgQUtEbIIMQTBzBo2b1+kvij2hcjnTUwHwYDVR0jBBgwFoAU
n+nzJb2QarErQSSJLqIVD32nBpcwCgYIKoZIzj0EAwQDgYsAMIGHAkEoDXQRdwdX
aYD62aHth1bfQG0Hk4EW5Ho0pDgJi6IMw1WIJzFvrGO0pY0zYHg5qiBNE9O1ccA+
FRKooPBD24ytvAJCANxHCfJKcs6RJJ4VY7RZQhDo0fGsMZPhRzkKymRGystWEOkf
XgndpX32Wz8iIbXh54mqV/GD6VxKbP1ceqHcojJ3
-----END CERTIFICATE-----
",
];

fn load(authority: &Authority, required: bool) -> Arc<Authorities> {
    let ca_file = authority.ca_file.clone();
    let settings = match required {
        true => ClientAuth::Require { ca_file },
        false => ClientAuth::Request { ca_file },
    };
    Authorities::load(&settings)
        .expect("loaded")
        .expect("asked")
}

fn chain(files: &CertificateFiles) -> Vec<CertificateDer<'static>> {
    vec![CertificateDer::from_pem_file(&files.cert_file).expect("a certificate")]
}

fn at(time: SystemTime) -> UnixTime {
    UnixTime::since_unix_epoch(time.duration_since(SystemTime::UNIX_EPOCH).expect("later"))
}

#[test]
fn chains_are_verified_by_authority_and_time() {
    let [ours, another] = [Authority::new(), Authority::new()];
    let authorities = load(&ours, false);
    let now = SystemTime::now();
    let year = Duration::from_secs(365 * 24 * 3600);
    let [mine, theirs] = [&ours, &another].map(|a| chain(&a.issue(&["caller"])));
    // Tests' certificates are valid from 1975 to 4096.
    for (chain, time, expected, why) in [
        (&mine[..], at(now), true, "ours"),
        (&theirs[..], at(now), false, "another authority's"),
        (&[], at(now), false, "nothing"),
        (
            &mine[..],
            at(SystemTime::UNIX_EPOCH),
            false,
            "not yet valid",
        ),
        (&mine[..], at(now + year * 3000), false, "expired"),
    ] {
        assert_eq!(authorities.verify(chain, time).is_ok(), expected, "{why}");
    }
}

#[test]
fn the_handshake_takes_any_certificate_that_can_be_read_within_bounds() {
    let [ours, another] = [Authority::new(), Authority::new()];
    let possession = Possession(load(&ours, false));
    let theirs = chain(&another.issue(&["caller"])).remove(0);
    let short = CertificateDer::from(vec![0x30, 0x00]);
    let large = CertificateDer::from(vec![0; MOST_BYTES]);
    let long_ago = UnixTime::since_unix_epoch(Duration::ZERO);
    for (own, others, expected, why) in [
        (
            &theirs,
            vec![],
            true,
            "another authority's, and not yet valid",
        ),
        (
            &theirs,
            vec![theirs.clone(); MOST_CERTIFICATES - 1],
            true,
            "as many as may be",
        ),
        (
            &theirs,
            vec![theirs.clone(); MOST_CERTIFICATES],
            false,
            "one more",
        ),
        (&theirs, vec![large], false, "too many bytes"),
        (&short, vec![], false, "no certificate"),
    ] {
        let taken = possession.verify_client_cert(own, &others, long_ago);
        assert_eq!(taken.is_ok(), expected, "{why}");
    }
}

#[test]
fn the_authorities_are_named_to_callers_and_a_certificate_is_demanded_only_if_required() {
    let ours = Authority::new();
    for required in [false, true] {
        let possession = Possession(load(&ours, required));
        assert!(possession.offer_client_auth());
        assert_eq!(possession.client_auth_mandatory(), required);
        let hints = possession.root_hint_subjects();
        assert_eq!(hints.len(), 1);
        let name = b"tests' authority";
        let named = hints[0].as_ref().windows(name.len()).any(|w| w == name);
        assert!(named, "{hints:?}");
    }
}

#[test]
fn nobody_is_asked_without_authorities_and_a_file_at_fault_is_named() {
    assert!(
        Authorities::load(&ClientAuth::None)
            .expect("loaded")
            .is_none()
    );
    let directory = TempDir::new();
    let ca_file = directory.file("ca.pem", "nothing\n");
    let error = Authorities::load(&ClientAuth::Require { ca_file }).expect_err("refused");
    assert!(error.to_string().contains("ca.pem"), "{error}");
}

#[test]
fn a_callers_certificate_in_the_file_is_refused_by_position_and_name() {
    let (ours, directory) = (Authority::new(), TempDir::new());
    let [authority, own] = [&ours.ca_file, &ours.issue(&["caller"]).cert_file]
        .map(|file| std::fs::read_to_string(file).expect("PEM"));
    let ca_file = directory.file("ca.pem", authority + &own);
    let expected = format!(
        "{}: expected certificates of authorities in PEM, found that certificate 2 \
         (\"CN=rcgen self signed cert\") is no authority's: no basic constraints say CA:TRUE",
        ca_file.display()
    );
    let error = Authorities::load(&ClientAuth::Request { ca_file }).expect_err("refused");
    assert_eq!(error.to_string(), expected);
}

#[test]
fn nobody_is_known_by_keys_of_p521_which_the_provider_does_not_verify() {
    let directory = TempDir::new();
    let ca_file = directory.file("ca.pem", P521[0]);
    let authorities = Authorities::load(&ClientAuth::Request { ca_file })
        .expect("loaded")
        .expect("asked");
    let own = CertificateDer::from_pem_slice(P521[1].as_bytes()).expect("a certificate");
    let in_2033 = UnixTime::since_unix_epoch(Duration::from_secs(2_000_000_000));
    let error = authorities.verify(&[own], in_2033);
    let error = error.expect_err("not verified");
    assert!(
        matches!(
            error,
            webpki::Error::UnsupportedSignatureAlgorithmContext(_)
        ),
        "{error}"
    );
    // So callers with such keys of their own have nothing to prove them by.
    let schemes = Possession(authorities).supported_verify_schemes();
    assert!(!schemes.contains(&SignatureScheme::ECDSA_NISTP521_SHA512));
    assert!(schemes.contains(&SignatureScheme::ECDSA_NISTP384_SHA384));
}
