use std::collections::HashMap;

use http::{HeaderName, Method};
use proptest::prelude::*;

use super::*;
use crate::sample::generator::IdGenerator;
use crate::sample::settings::{Glob, Rule as RuleSettings};

const KEY: [u8; 16] = [1; 16];
const NOW: Nanos = Nanos(0);

fn per_million(rate: u32) -> PerMillion {
    PerMillion::new(rate).unwrap()
}

fn settings(rate: u32) -> Settings {
    Settings {
        rate: per_million(rate),
        ..Settings::default()
    }
}

fn sampler(rate: u32) -> Sampler {
    Sampler::new(&settings(rate), KEY)
}

fn ratio_sampler(rate: u32) -> Sampler {
    let ratio_rule = RatioRule::TraceIdRatio;
    Sampler::new(
        &Settings {
            ratio_rule,
            ..settings(rate)
        },
        KEY,
    )
}

fn sample_rule(rate: u32, cap: Option<u32>) -> RuleSettings {
    let rate = per_million(rate);
    let action = Action::Sample {
        rate,
        max_traces_per_second: cap,
    };
    RuleSettings {
        matches: Match::default(),
        action,
    }
}

fn drop_rule() -> RuleSettings {
    RuleSettings {
        matches: Match::default(),
        action: Action::Drop,
    }
}

fn id(value: u128) -> TraceId {
    TraceId::new(value).unwrap()
}

fn root(value: u128) -> Parent {
    Parent::Root {
        trace_id: id(value),
    }
}

fn th(text: &str) -> Option<U56> {
    crate::context::ot::parse_th(text)
}

// --- roots -------------------------------------------------------------------------------------

#[test]
fn a_root_is_kept_iff_its_randomness_reaches_the_threshold() {
    let sampler = sampler(10_000);
    for (trace_id, expected) in [
        (0xfd70a4_00000000, true),
        (0xfd70a3_ffffffff, false),
        (0xffffffff_ffffffff_fffd70a4_00000000_u128, true),
        (0xffffffff_ffffffff_fffd70a3_ffffffff_u128, false),
    ] {
        let decision = sampler.decide(RuleId::NONE, root(trace_id), NOW);
        assert_eq!(decision.sampled, expected, "{trace_id:x}");
        assert_eq!(decision.reason, Reason::Rate(RuleId::NONE));
        let written = if expected { th("fd70a4") } else { None };
        assert_eq!(
            decision.ot,
            Ot {
                th: written,
                rv: None
            },
            "th says only what was kept"
        );
    }
}

#[test]
fn under_kubernetes_rule_bytes_8_to_16_decide_and_nothing_is_written() {
    let sampler = ratio_sampler(500_000);
    for (trace_id, expected) in [
        (0xffffffff_ffffffff_7fffffff_ffffffff_u128, true),
        (0x00000000_00000001_80000000_00000000_u128, false),
    ] {
        let decision = sampler.decide(RuleId::NONE, root(trace_id), NOW);
        let got = (decision.sampled, decision.ot);
        assert_eq!(got, (expected, Ot::NONE), "{trace_id:x}");
    }
    let decision = sampler.decide(RuleId::NONE, Parent::Ids { trace_id: id(1) }, NOW);
    assert_eq!(decision.ot, Ot::NONE);
}

#[test]
fn rate_zero_is_never_and_a_million_is_always() {
    for make in [sampler, ratio_sampler] {
        for trace_id in [1, u128::MAX] {
            assert!(!make(0).decide(RuleId::NONE, root(trace_id), NOW).sampled);
            assert!(
                make(1_000_000)
                    .decide(RuleId::NONE, root(trace_id), NOW)
                    .sampled
            );
        }
    }
}

/// Draws with a fixed seed, so that three standard deviations never flicker.
fn share_is_right(sampler: &Sampler, rate: u32, draws: u32) {
    let mut ids = IdGenerator::new([42; 32]);
    let kept = (0..draws)
        .filter(|_| {
            let parent = Parent::Root {
                trace_id: ids.trace_id(),
            };
            sampler.decide(RuleId::NONE, parent, NOW).sampled
        })
        .count();
    let p = f64::from(rate) / 1e6;
    let (mean, variance) = (f64::from(draws) * p, f64::from(draws) * p * (1.0 - p));
    let off = (kept as f64 - mean).abs();
    assert!(
        off <= 3.0 * variance.sqrt(),
        "{rate} per million: {kept} of {draws}"
    );
}

#[test]
fn the_share_of_kept_roots_is_the_rate() {
    for make in [sampler, ratio_sampler] {
        for (rate, draws) in [
            (100, 2_000_000),
            (10_000, 200_000),
            (500_000, 100_000),
            (1_000_000, 10_000),
        ] {
            share_is_right(&make(rate), rate, draws);
        }
    }
}

/// One draw from each of 2^26 equal parts of all randomness keeps 67.1 ± 1 at one in a million:
/// sharper than random draws, and only the parts near the bound need to be looked at.
#[test]
fn one_in_a_million_is_one_in_a_million() {
    const PARTS: u64 = 1 << 26;
    let wanted = PARTS as f64 / 1e6;
    let count = |make: fn(u32) -> Sampler, bits: u32, parts: std::ops::Range<u64>| {
        let sampler = make(1);
        let mut ids = IdGenerator::new([3; 32]);
        let width = bits - PARTS.trailing_zeros();
        parts
            .filter(|part| {
                let offset = ids.trace_id().get() as u64 >> (64 - width);
                let luck = u128::from(part << width | offset) | 1 << 127;
                sampler.decide(RuleId::NONE, root(luck), NOW).sampled
            })
            .count() as f64
    };
    let high = count(sampler, 56, PARTS - 1000..PARTS);
    assert!((high - wanted).abs() <= 1.0, "{high} at the upper end");
    assert_eq!(count(sampler, 56, 0..1000), 0.0, "none at the lower end");
    let low = count(ratio_sampler, 64, 0..1000);
    assert!((low - wanted).abs() <= 1.0, "{low} at the lower end");
    assert_eq!(
        count(ratio_sampler, 64, PARTS - 1000..PARTS),
        0.0,
        "none at the upper end"
    );
}

proptest! {
    #[test]
    fn what_is_kept_at_a_rate_is_kept_at_every_higher_one(
        trace_id in 1..=u128::MAX, a in 0..=1_000_000_u32, b in 0..=1_000_000_u32, ids: bool,
    ) {
        let parent = if ids { Parent::Ids { trace_id: id(trace_id) } } else { root(trace_id) };
        for make in [sampler, ratio_sampler] {
            let keeps = |rate| make(rate).decide(RuleId::NONE, parent, NOW).sampled;
            prop_assert!(!keeps(a.min(b)) || keeps(a.max(b)));
        }
    }

    #[test]
    fn what_is_written_lets_the_next_hop_come_to_the_same_decision(
        trace_id in 1..=u128::MAX, rate in 0..=1_000_000_u32, ids: bool,
    ) {
        let trace_id = id(trace_id);
        let parent = if ids { Parent::Ids { trace_id } } else { Parent::Root { trace_id } };
        let here = sampler(rate).decide(RuleId::NONE, parent, NOW);
        let flags = Flags::default().with_sampled(here.sampled);
        let next = Parent::Full { trace_id, flags, ot: here.ot };
        let there = sampler(0).decide(RuleId::NONE, next, NOW);
        prop_assert_eq!((there.sampled, there.ot), (here.sampled, here.ot));
    }
}

// --- ids ---------------------------------------------------------------------------------------

#[test]
fn under_ids_the_trace_id_does_not_choose_its_luck() {
    // Ids that a root would always be kept with at one in a million.
    let lucky = (1..=100_000_u128).map(|high| high << 64 | u128::from(u64::MAX));
    let sampler = sampler(10_000);
    let kept = lucky
        .filter(|trace_id| {
            let parent = Parent::Ids {
                trace_id: id(*trace_id),
            };
            sampler.decide(RuleId::NONE, parent, NOW).sampled
        })
        .count();
    assert!((906..=1094).contains(&kept), "{kept} of 100 000 at 1 %");
}

#[test]
fn under_ids_the_randomness_used_is_written() {
    let sampler = sampler(500_000);
    let mut seen = HashMap::new();
    for trace_id in 1..100 {
        let decision = sampler.decide(
            RuleId::NONE,
            Parent::Ids {
                trace_id: id(trace_id),
            },
            NOW,
        );
        let rv = decision.ot.rv.unwrap();
        assert_eq!(decision.sampled, rv >= th("8").unwrap());
        assert_eq!(decision.ot.th, decision.sampled.then(|| th("8").unwrap()));
        *seen.entry(decision.sampled).or_insert(0) += 1;
    }
    assert_eq!(seen.len(), 2, "both happen: {seen:?}");
}

#[test]
fn fleets_with_different_keys_have_different_luck_and_one_fleet_has_one() {
    let luck = |key| {
        let sampler = Sampler::new(&settings(500_000), key);
        let decide = |i| sampler.decide(RuleId::NONE, Parent::Ids { trace_id: id(i) }, NOW);
        (1..200).map(decide).collect::<Vec<_>>()
    };
    assert_eq!(luck([1; 16]), luck([1; 16]));
    let (one, other) = (luck([1; 16]), luck([2; 16]));
    let same = one
        .iter()
        .zip(&other)
        .filter(|(a, b)| a.sampled == b.sampled)
        .count();
    assert!((60..140).contains(&same), "{same} of 199 agree");
    assert!(one.iter().zip(&other).all(|(a, b)| a.ot.rv != b.ot.rv));
}

#[test]
fn the_hash_is_siphash_2_4_of_the_id_as_written() {
    // Reference vector: key 00..0f over the bytes 00..0e is a129ca6149be45e5; over 00..0f it is
    // 3f2acc7f57c29bdb.
    let key = std::array::from_fn(|i| i as u8);
    let trace_id = id(u128::from_be_bytes(key));
    let decision =
        Sampler::new(&settings(0), key).decide(RuleId::NONE, Parent::Ids { trace_id }, NOW);
    assert_eq!(decision.ot.rv, Some(U56::low(0x3f2a_cc7f_57c2_9bdb)));
}

// --- trusted parents ---------------------------------------------------------------------------

fn any_ot() -> impl Strategy<Value = Ot> {
    let any = || proptest::option::of((0..=U56::MAX.get()).prop_map(U56::low));
    (any(), any()).prop_map(|(th, rv)| Ot { th, rv })
}

proptest! {
    #[test]
    fn a_trusted_parents_decision_is_never_overridden(
        trace_id in 1..=u128::MAX, flags in 0..4_u8, ot in any_ot(), rate in 0..=1_000_000_u32,
        ruled: bool, kubernetes: bool, cap in proptest::option::of(0..3_u32), now: u64,
    ) {
        let flags = Flags::from_bits(flags);
        let settings = Settings {
            rules: vec![sample_rule(rate / 2, cap)],
            max_traces_per_second: cap,
            ratio_rule: if kubernetes { RatioRule::TraceIdRatio } else { RatioRule::Consistent },
            ..settings(rate)
        };
        let sampler = Sampler::new(&settings, KEY);
        let rule = if ruled { RuleId::new(0) } else { RuleId::NONE };
        let parent = Parent::Full { trace_id: id(trace_id), flags, ot };
        for _ in 0..3 {
            let decision = sampler.decide(rule, parent, Nanos(now));
            prop_assert_eq!(decision.sampled, flags.sampled());
            prop_assert_eq!(decision.reason, Reason::Parent);
            prop_assert_eq!(decision.ot.rv, ot.rv, "rv is never overwritten");
            prop_assert!(decision.ot.th.is_none() || decision.ot.th == ot.th, "nor th invented");
        }
    }
}

#[test]
fn th_is_continued_only_where_it_tells_the_truth() {
    let rv = |text| crate::context::ot::parse_rv(text);
    let high = rv("ffffffffffffff");
    let rows = [
        (1, true, th("8"), high, true, "sampled, rv above"),
        (
            1,
            false,
            th("8"),
            high,
            false,
            "unsampled although rv is above",
        ),
        (
            1,
            true,
            th("8"),
            rv("00000000000001"),
            false,
            "sampled although rv is below",
        ),
        (
            1,
            false,
            th("8"),
            rv("00000000000001"),
            true,
            "unsampled, rv below",
        ),
        (
            u128::MAX,
            true,
            th("8"),
            None,
            true,
            "sampled, trace id above",
        ),
        (
            1,
            true,
            th("8"),
            None,
            false,
            "sampled although the trace id is below",
        ),
        (
            1 << 56,
            true,
            th("8"),
            None,
            false,
            "bits above the 56 don't count",
        ),
        (
            1,
            true,
            th("8"),
            rv("80000000000000"),
            true,
            "equal is kept",
        ),
        (1, true, th("0"), None, true, "everything is kept"),
        (
            1,
            true,
            None,
            high,
            false,
            "sampled without th: none is emitted",
        ),
    ];
    for (trace_id, sampled, th, rv, stays, reason) in rows {
        let flags = Flags::default().with_sampled(sampled);
        let parent = Parent::Full {
            trace_id: id(trace_id),
            flags,
            ot: Ot { th, rv },
        };
        let decision = sampler(1_000_000).decide(RuleId::NONE, parent, NOW);
        assert_eq!(decision.ot.th, th.filter(|_| stays), "{reason}");
        assert_eq!(decision.ot.rv, rv, "{reason}");
    }
}

// --- rules -------------------------------------------------------------------------------------

struct Path(&'static str);

impl RequestView for Path {
    fn method(&self) -> &Method {
        &Method::GET
    }
    fn path(&self) -> &str {
        self.0
    }
    fn host(&self) -> Option<&str> {
        None
    }
    fn header_any(&self, _: &HeaderName, _: &mut dyn FnMut(&[u8]) -> bool) -> bool {
        false
    }
    fn listener(&self) -> &str {
        "public"
    }
}

fn on_path(path: &str, rule: RuleSettings) -> RuleSettings {
    let path = Some(Glob::new(path));
    RuleSettings {
        matches: Match {
            path,
            ..Match::default()
        },
        ..rule
    }
}

#[test]
fn the_first_rule_that_matches_counts() {
    let rules = vec![
        on_path("/livez*", drop_rule()),
        on_path("/api/*", sample_rule(1_000_000, None)),
        on_path("/api/v1/*", sample_rule(0, None)),
    ];
    let sampler = Sampler::new(
        &Settings {
            rules,
            ..settings(0)
        },
        KEY,
    );
    for (path, expected, sampled) in [
        ("/livez/ping", RuleId::new(0), false),
        ("/api/v1/pods", RuleId::new(1), true),
        ("/version", RuleId::NONE, false),
    ] {
        let rule = sampler.rule(&Path(path));
        assert_eq!(rule, expected, "{path}");
        assert_eq!(
            sampler.decide(rule, root(1), NOW).sampled,
            sampled,
            "{path}"
        );
    }
    assert_eq!(
        super::Sampler::new(&settings(0), KEY).rule(&Path("/livez")),
        RuleId::NONE
    );
}

#[test]
fn a_dropped_request_keeps_what_trust_left() {
    let sampler = Sampler::new(
        &Settings {
            rules: vec![drop_rule()],
            ..settings(1_000_000)
        },
        KEY,
    );
    let rule = RuleId::new(0);
    let ot = Ot {
        th: th("8"),
        rv: th("1"),
    };
    let trusted = Parent::Full {
        trace_id: id(1),
        flags: Flags::SAMPLED,
        ot,
    };
    for (parent, left) in [
        (root(1), Ot::NONE),
        (Parent::Ids { trace_id: id(1) }, Ot::NONE),
        (trusted, ot),
    ] {
        let expected = Decision {
            sampled: false,
            ot: left,
            reason: Reason::Dropped(rule),
        };
        assert_eq!(sampler.decide(rule, parent, NOW), expected);
    }
}

#[test]
fn a_rule_id_from_another_sampler_falls_back_to_the_general_rate() {
    assert!(
        sampler(1_000_000)
            .decide(RuleId::new(7), root(1), NOW)
            .sampled
    );
}

#[test]
fn rates_change_with_one_store_and_read_back_exactly() {
    for ratio_rule in [RatioRule::Consistent, RatioRule::TraceIdRatio] {
        let rules = vec![sample_rule(10, None), drop_rule()];
        let sampler = Sampler::new(
            &Settings {
                rules,
                ratio_rule,
                ..settings(100)
            },
            KEY,
        );
        let (general, ruled) = (per_million(100), per_million(10));
        assert_eq!(
            sampler.rates(),
            Rates {
                default: general,
                rules: vec![Some(ruled), None]
            }
        );
        assert!(!sampler.decide(RuleId::new(0), root(1 << 60), NOW).sampled);
        sampler.set_rate(Some(0), per_million(1_000_000)).unwrap();
        sampler.set_rate(None, per_million(333_333)).unwrap();
        assert!(sampler.decide(RuleId::new(0), root(1 << 60), NOW).sampled);
        let rates = sampler.rates();
        assert_eq!(rates.default.get(), 333_333);
        assert_eq!(rates.rules, [Some(per_million(1_000_000)), None]);
        for index in [1, 2, usize::MAX] {
            let refused = sampler.set_rate(Some(index), general);
            assert_eq!(refused, Err(NoSuchRule { index, rules: 2 }));
        }
    }
}

// --- caps --------------------------------------------------------------------------------------

#[test]
fn the_general_cap_stops_roots_and_resampled_traces_together() {
    let settings = Settings {
        max_traces_per_second: Some(2),
        ..settings(1_000_000)
    };
    let sampler = Sampler::new(&settings, KEY);
    let ids = Parent::Ids { trace_id: id(1) };
    let decide = |parent, now| {
        let decision = sampler.decide(RuleId::NONE, parent, now);
        assert_eq!(
            decision.ot.th, None,
            "under a cap the probability is unknown"
        );
        (decision.sampled, decision.reason)
    };
    let rate = Reason::Rate(RuleId::NONE);
    assert_eq!(decide(root(1), NOW), (true, rate));
    assert_eq!(decide(ids, NOW), (true, rate));
    assert_eq!(decide(root(2), NOW), (false, Reason::Cap));
    assert_eq!(decide(ids, NOW), (false, Reason::Cap));
    assert_eq!(
        decide(root(3), Nanos::SECOND),
        (true, rate),
        "a second later"
    );
}

#[test]
fn a_rules_cap_counts_only_its_own_traces_and_the_general_one_all() {
    let settings = Settings {
        max_traces_per_second: Some(3),
        rules: vec![sample_rule(1_000_000, Some(1))],
        ..settings(1_000_000)
    };
    let sampler = Sampler::new(&settings, KEY);
    let decide = |rule| {
        let decision = sampler.decide(rule, root(1), NOW);
        (decision.sampled, decision.reason)
    };
    let rule = RuleId::new(0);
    assert_eq!(decide(rule), (true, Reason::Rate(rule)));
    assert_eq!(decide(rule), (false, Reason::RuleCap(rule)));
    assert_eq!(decide(RuleId::NONE), (true, Reason::Rate(RuleId::NONE)));
    assert_eq!(decide(RuleId::NONE), (true, Reason::Rate(RuleId::NONE)));
    assert_eq!(decide(RuleId::NONE), (false, Reason::Cap));
}

#[test]
fn what_luck_refuses_does_not_count_against_a_cap() {
    let settings = Settings {
        max_traces_per_second: Some(1),
        ..settings(500_000)
    };
    let sampler = Sampler::new(&settings, KEY);
    for _ in 0..10 {
        assert!(!sampler.decide(RuleId::NONE, root(1), NOW).sampled);
    }
    assert!(sampler.decide(RuleId::NONE, root(u128::MAX), NOW).sampled);
}

#[test]
fn a_cap_without_a_rule_cap_leaves_th_of_uncapped_buckets_alone() {
    let rules = vec![sample_rule(1_000_000, Some(9))];
    let sampler = Sampler::new(
        &Settings {
            rules,
            ..settings(1_000_000)
        },
        KEY,
    );
    assert_eq!(sampler.decide(RuleId::new(0), root(1), NOW).ot.th, None);
    assert_eq!(sampler.decide(RuleId::NONE, root(1), NOW).ot.th, th("0"));
}

#[test]
fn the_trusted_cap_stops_sampled_parents_and_erases_th() {
    let settings = Settings {
        max_trusted_traces_per_second: Some(1),
        ..settings(0)
    };
    let sampler = Sampler::new(&settings, KEY);
    let rv = Some(U56::MAX);
    let full = |flags| Parent::Full {
        trace_id: id(1),
        flags,
        ot: Ot { th: th("8"), rv },
    };
    let decide = |flags| sampler.decide(RuleId::NONE, full(flags), NOW);
    assert!(
        !decide(Flags::default()).sampled,
        "unsampled ones don't count"
    );
    assert!(decide(Flags::SAMPLED).sampled);
    let capped = decide(Flags::SAMPLED);
    let expected = Decision {
        sampled: false,
        ot: Ot { th: None, rv },
        reason: Reason::TrustedCap,
    };
    assert_eq!(capped, expected);
}

#[test]
fn what_a_trusted_cap_lets_pass_has_no_probability_either_and_stands_for_what_it_stopped() {
    let settings = Settings {
        max_trusted_traces_per_second: Some(2),
        ..settings(0)
    };
    let sampler = Sampler::new(&settings, KEY);
    let ot = Ot {
        th: th("0"),
        rv: None,
    };
    let decide = |flags, now| {
        let parent = Parent::Full {
            trace_id: id(1),
            flags,
            ot,
        };
        sampler.decide(RuleId::NONE, parent, now)
    };
    let mut admitted = 0;
    for _ in 0..10 {
        let decision = decide(Flags::SAMPLED, NOW);
        admitted += u32::from(decision.sampled);
        assert_eq!(decision.ot.th, None, "a cap thins what th counts");
    }
    assert_eq!(admitted, 2);
    assert_eq!(sampler.take_refused(), 8);
    assert_eq!(sampler.take_refused(), 0, "told once");
    let unsampled = Flags::default();
    assert!(!decide(unsampled, NOW).sampled);
    assert_eq!(
        sampler.take_refused(),
        0,
        "what wasn't sampled isn't missing"
    );
    assert_eq!(self::sampler(0).take_refused(), 0, "without a cap");
}

#[test]
fn a_rules_flood_leaves_the_others_their_share_of_the_general_cap() {
    let settings = Settings {
        max_traces_per_second: Some(30),
        rules: vec![
            sample_rule(1_000_000, None),
            drop_rule(),
            sample_rule(1_000_000, None),
        ],
        ..settings(1_000_000)
    };
    let sampler = Sampler::new(&settings, KEY);
    let sampled = |rule, count| {
        let decide = |_: &u32| sampler.decide(rule, root(1), NOW).sampled;
        (0..count).filter(decide).count()
    };
    // Two rules that sample and what no rule matches: three shares.
    assert_eq!(sampled(RuleId::new(0), 10_000), 10);
    assert_eq!(sampled(RuleId::NONE, 10_000), 10);
    assert_eq!(sampled(RuleId::new(1), 10_000), 0);
    assert_eq!(sampled(RuleId::new(2), 10_000), 10);
}

#[test]
fn keeping_is_as_the_settings_say() {
    assert!(sampler(0).keep().is_none());
    let keep = crate::sample::settings::Keep {
        errors: true,
        slower_than: None,
        max_per_second: 1,
    };
    let settings = Settings {
        keep: Some(keep),
        ..settings(0)
    };
    assert!(Sampler::new(&settings, KEY).keep().is_some());
}
