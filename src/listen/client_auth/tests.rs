use std::time::{Duration, SystemTime};

use rustls::pki_types::pem::PemObject;

use super::super::settings::CertificateFiles;
use super::super::testing::{Authority, TempDir};
use super::*;

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
