use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair, KeyUsagePurpose,
    date_time_ymd,
};

use super::*;
use crate::listen::settings::ClientAuth;
use crate::listen::testing::TempDir;

type Issuer = CertifiedIssuer<'static, KeyPair>;

/// What every certificate of these tests is valid for, in seconds since the Unix epoch.
const FIRST: u64 = 1_700_000_000;
const LAST: u64 = 1_700_000_060;

fn authority_params(name: &str) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
    params.distinguished_name.push(DnType::CommonName, name);
    params
}

fn authority() -> Issuer {
    let key = KeyPair::generate().unwrap();
    CertifiedIssuer::self_signed(authority_params("authority"), key).unwrap()
}

fn valid(params: &mut CertificateParams, first: u64, last: u64) {
    let epoch = date_time_ymd(1970, 1, 1);
    params.not_before = epoch + Duration::from_secs(first);
    params.not_after = epoch + Duration::from_secs(last);
}

fn issue(issuer: &Issuer, change: impl FnOnce(&mut CertificateParams)) -> CertificateDer<'static> {
    let mut params = CertificateParams::default();
    params.distinguished_name.push(DnType::CommonName, "caller");
    valid(&mut params, FIRST, LAST);
    change(&mut params);
    let key = KeyPair::generate().unwrap();
    params.signed_by(&key, issuer).unwrap().der().clone()
}

fn authorities(issuer: &Issuer) -> Arc<Authorities> {
    listed(&issuer.pem())
}

/// Of a file that holds these.
fn listed(pem: &str) -> Arc<Authorities> {
    let directory = TempDir::new();
    let ca_file = directory.file("ca.pem", pem);
    Authorities::load(&ClientAuth::Request { ca_file })
        .unwrap()
        .unwrap()
}

fn caller(chain: Vec<CertificateDer<'static>>) -> Caller {
    Caller {
        address: None,
        unix: None,
        presented: (!chain.is_empty()).then(|| Presented::new(chain)),
    }
}

/// `anonymous`, `unverified`, or the common name.
fn standing(caller: &Caller, by: &Arc<Authorities>, now: u64) -> String {
    let now = || UnixTime::since_unix_epoch(Duration::from_secs(now));
    match caller.standing(Some(by), now) {
        Standing::Anonymous => "anonymous".to_owned(),
        Standing::Unverified => "unverified".to_owned(),
        Standing::Verified(names) => {
            let subject = names.subject.as_ref();
            subject.map_or_else(String::new, |s| s.common_name.to_string())
        }
    }
}

#[test]
fn a_verdict_holds_until_time_or_the_authorities_change_it() {
    let [ours, another] = [authority(), authority()];
    let [by_us, by_another] = [authorities(&ours), authorities(&another)];
    let caller = caller(vec![issue(&ours, |_| {})]);
    for (by, now, expected, why) in [
        (&by_us, FIRST - 1, "unverified", "a second too early"),
        (&by_us, FIRST, "caller", "the first second"),
        (&by_us, FIRST + 30, "caller", "kept"),
        (&by_us, LAST, "caller", "the last second"),
        (&by_us, LAST + 1, "unverified", "a second too late"),
        (&by_us, u64::MAX / 2, "unverified", "much later"),
        (&by_us, FIRST, "caller", "a clock that was set back"),
        (
            &by_another,
            FIRST,
            "unverified",
            "the authorities were replaced",
        ),
        (&by_us, FIRST, "caller", "and came back"),
    ] {
        assert_eq!(standing(&caller, by, now), expected, "{why}");
    }
    let again = authorities(&ours);
    assert_eq!(standing(&caller, &again, LAST), "caller", "loaded anew");
}

#[test]
fn a_kept_verdict_is_not_made_again() {
    let mut params = authority_params("authority");
    valid(&mut params, FIRST - 10, LAST + 10);
    let ours = Issuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
    let by = authorities(&ours);
    let caller = caller(vec![issue(&ours, |_| {})]);
    let presented = caller.presented.as_ref().unwrap();
    let window = || {
        let judged = presented.judged.borrow();
        judged
            .as_ref()
            .map(|judged| (judged.from, judged.until, judged.verified))
    };
    assert_eq!(window(), None, "nobody has asked");
    standing(&caller, &by, FIRST + 5);
    assert_eq!(window(), Some((FIRST, LAST + 1, true)));
    standing(&caller, &by, LAST + 5);
    assert_eq!(window(), Some((LAST + 1, LAST + 11, false)));
    standing(&caller, &by, LAST + 15);
    assert_eq!(window(), Some((LAST + 11, u64::MAX, false)));
    standing(&caller, &by, 5);
    assert_eq!(window(), Some((0, FIRST - 10, false)));
}

#[test]
fn an_intermediate_that_expires_ends_the_chain_with_it() {
    let ours = authority();
    let by = authorities(&ours);
    let mut params = authority_params("between");
    valid(&mut params, FIRST, FIRST + 20);
    let key = KeyPair::generate().unwrap();
    let between = CertifiedIssuer::signed_by(params, key, &ours).unwrap();
    let chain = vec![issue(&between, |_| {}), between.der().clone()];
    let caller = caller(chain);
    assert_eq!(standing(&caller, &by, FIRST + 10), "caller");
    assert_eq!(standing(&caller, &by, FIRST + 20), "caller");
    assert_eq!(standing(&caller, &by, FIRST + 21), "unverified");
}

#[test]
fn an_authority_vouches_for_nobody_before_and_after_its_own_time() {
    let mut params = authority_params("authority");
    valid(&mut params, FIRST + 10, FIRST + 20);
    let ours = Issuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
    let by = authorities(&ours);
    let between = authority_params("between");
    let between = Issuer::signed_by(between, KeyPair::generate().unwrap(), &ours).unwrap();
    for chain in [
        vec![issue(&ours, |_| {})],
        vec![issue(&between, |_| {}), between.der().clone()],
    ] {
        let length = chain.len();
        let caller = caller(chain);
        for (now, expected, why) in [
            (FIRST + 9, "unverified", "a second too early"),
            (FIRST + 10, "caller", "its first second"),
            (FIRST + 20, "caller", "its last second"),
            (FIRST + 21, "unverified", "a second too late"),
            (FIRST + 15, "caller", "a clock that was set back"),
        ] {
            assert_eq!(standing(&caller, &by, now), expected, "{why}, {length}");
        }
    }
}

#[test]
fn of_authorities_with_one_name_any_that_is_valid_will_do() {
    let mut params = authority_params("authority");
    valid(&mut params, FIRST, FIRST + 20);
    let old = Issuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
    let mut params = authority_params("authority");
    valid(&mut params, FIRST + 10, LAST);
    let renewed = params.self_signed(old.key()).unwrap();
    let rekeyed = Issuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
    let [by_old, by_new] = [issue(&old, |_| {}), issue(&rekeyed, |_| {})];
    let (old, renewed, rekeyed) = (old.pem(), renewed.pem(), rekeyed.pem());
    for (file, own, now, expected, why) in [
        (
            [&old, &renewed],
            &by_old,
            FIRST + 5,
            true,
            "before it is renewed",
        ),
        ([&old, &renewed], &by_old, FIRST + 15, true, "by both"),
        (
            [&old, &renewed],
            &by_old,
            FIRST + 30,
            true,
            "by the renewed one",
        ),
        ([&renewed, &old], &by_old, FIRST + 30, true, "in any order"),
        ([&renewed, &old], &by_old, FIRST + 5, true, "in any order"),
        (
            [&old, &rekeyed],
            &by_old,
            FIRST + 30,
            false,
            "the name alone is another's",
        ),
        (
            [&old, &rekeyed],
            &by_new,
            FIRST + 30,
            true,
            "the other's own",
        ),
        (
            [&old, &rekeyed],
            &by_new,
            FIRST + 5,
            false,
            "which isn't valid yet",
        ),
        ([&old, &old], &by_old, FIRST + 30, false, "twice the same"),
    ] {
        let by = listed(&file.map(String::as_str).concat());
        let expected = if expected { "caller" } else { "unverified" };
        let caller = caller(vec![own.clone()]);
        assert_eq!(standing(&caller, &by, now), expected, "{why}");
    }
}

#[test]
fn only_who_may_issue_stands_between_a_caller_and_an_authority() {
    let with = |issuer: &Issuer, change: &dyn Fn(&mut CertificateParams)| {
        let mut params = authority_params("between");
        change(&mut params);
        let key = KeyPair::generate().unwrap();
        Issuer::signed_by(params, key, issuer).unwrap()
    };
    let unbound = authority();
    let mut params = authority_params("authority");
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    let direct = Issuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
    for (issuer, change, expected, why) in [
        (
            &unbound,
            &(|_: &mut CertificateParams| {}) as &dyn Fn(&mut CertificateParams),
            "caller",
            "an authority",
        ),
        (
            &unbound,
            &|params| params.key_usages.clear(),
            "caller",
            "no word on its key's usage",
        ),
        (
            &unbound,
            &|params| params.key_usages = vec![KeyUsagePurpose::CrlSign],
            "unverified",
            "it may sign no certificates",
        ),
        (
            &unbound,
            &|params| params.is_ca = IsCa::ExplicitNoCa,
            "unverified",
            "it is no authority",
        ),
        (
            &unbound,
            &|params| params.is_ca = IsCa::NoCa,
            "unverified",
            "a caller's own certificate",
        ),
        (
            &direct,
            &|_| {},
            "unverified",
            "the authority may make no others",
        ),
    ] {
        let between = with(issuer, change);
        let chain = vec![issue(&between, |_| {}), between.der().clone()];
        let by = authorities(issuer);
        assert_eq!(standing(&caller(chain), &by, FIRST), expected, "{why}");
    }
}

#[test]
fn what_proves_nothing_is_told_apart_from_nothing() {
    let ours = authority();
    let by = authorities(&ours);
    let unreadable = issue(&ours, |params| {
        params
            .distinguished_name
            .push(DnType::OrganizationName, "a\nb");
    });
    let for_servers = issue(&ours, |params| {
        params.extended_key_usages = vec![rcgen::ExtendedKeyUsagePurpose::ServerAuth];
    });
    let for_clients = issue(&ours, |params| {
        params.extended_key_usages = vec![rcgen::ExtendedKeyUsagePurpose::ClientAuth];
    });
    let broken = CertificateDer::from(vec![1, 2, 3]);
    let good = issue(&ours, |_| {});
    for (chain, expected, why) in [
        (vec![], "anonymous", "no certificate"),
        (vec![good.clone()], "caller", "a good one"),
        (vec![for_clients], "caller", "meant for clients"),
        (vec![for_servers], "unverified", "meant for servers"),
        (vec![unreadable], "unverified", "a name that can't be read"),
        (
            vec![good.clone(), broken.clone()],
            "unverified",
            "what can't be read beside it",
        ),
        (vec![broken], "unverified", "no certificate in fact"),
        (
            vec![ours.der().clone()],
            "unverified",
            "the authority's own",
        ),
    ] {
        assert_eq!(standing(&caller(chain), &by, FIRST), expected, "{why}");
    }
    let certified = caller(vec![good]);
    let unasked = certified.standing(None, || panic!("the clock isn't needed"));
    assert_eq!(unasked, Standing::Anonymous, "nobody to ask");
}
