use proptest::prelude::*;

use super::*;

const MILLISECOND: u64 = 1_000_000;

/// How many of that many requests are admitted at the same moment.
fn at_once(cap: &SharedCap, rule: usize, now: u64, count: usize) -> usize {
    (0..count).filter(|_| cap.admit(rule, Nanos(now))).count()
}

#[test]
fn a_flood_leaves_the_other_rules_their_share() {
    let cap = SharedCap::new(100, 4);
    assert_eq!(at_once(&cap, 0, 0, 10_000), 25, "its own share and no more");
    for rule in 1..4 {
        assert_eq!(at_once(&cap, rule, 0, 10_000), 25, "{rule}");
    }
    assert_eq!(at_once(&cap, 0, 0, 10_000), 0, "the cap is used up");
}

#[test]
fn what_nobody_asks_for_goes_to_whoever_does() {
    let cap = SharedCap::new(100, 4);
    // A flood of one rule alone: 10 000 a second for ten seconds.
    let alone = (0..100_000).filter(|i| cap.admit(0, Nanos(i * MILLISECOND / 10)));
    let alone = alone.count();
    assert!((990..=1_100).contains(&alone), "{alone} in ten seconds");
}

#[test]
fn floods_of_two_rules_get_half_each_whoever_is_louder() {
    let cap = SharedCap::new(100, 2);
    let mut admitted = [0; 2];
    for millisecond in 0..20_000 {
        let now = Nanos(millisecond * MILLISECOND);
        // Rule 0 asks fifty times as often.
        for rule in [[0; 50].as_slice(), &[1]].concat() {
            admitted[rule] += usize::from(cap.admit(rule, now));
        }
    }
    let [loud, quiet] = admitted;
    assert!(quiet >= 980, "{quiet} of the quiet one in twenty seconds");
    assert!(loud >= 980 && loud + quiet <= 2_100, "{loud} and {quiet}");
}

#[test]
fn what_a_rule_has_saved_towards_its_next_request_is_spent_on_one_it_borrows() {
    let cap = SharedCap::new(2, 2);
    let admit = |rule, milliseconds| cap.admit(rule, Nanos(milliseconds * MILLISECOND));
    assert!(admit(1, 0), "its share of one a second");
    assert!(admit(1, 900), "borrowed: nobody else came");
    assert!(!admit(1, 1_000), "not its share again, so soon after");
    assert!(admit(0, 1_000), "this one is due");
}

#[test]
fn a_cap_of_one_rule_is_a_plain_cap() {
    let (shared, plain) = (SharedCap::new(7, 1), Cap::new(7));
    for i in 0..1_000 {
        let now = Nanos(i * 37 * MILLISECOND);
        assert_eq!(shared.admit(0, now), plain.admit(now), "{i}");
    }
    assert_eq!(
        at_once(&SharedCap::new(0, 3), 1, 0, 10),
        0,
        "nothing of nothing"
    );
}

#[test]
fn the_ends_of_time_and_rate_do_not_overflow() {
    for (per_second, rules) in [(1, 256), (1_000_000, 256), (u32::MAX, 2), (1, 1_000)] {
        let cap = SharedCap::new(per_second, rules);
        for now in [0, u64::MAX / 2, u64::MAX] {
            assert!(cap.admit(0, Nanos(now)), "{per_second} for {rules}");
            at_once(&cap, 0, now, 10);
        }
    }
}

#[test]
fn workers_together_never_exceed_the_cap_and_starve_nobody() {
    const RULES: usize = 4;
    let cap = SharedCap::new(1_000, RULES);
    let (flood, quiet) = std::thread::scope(|scope| {
        let floods = (0..3).map(|_| scope.spawn(|| at_once(&cap, 0, 5, 20_000)));
        let floods: Vec<_> = floods.collect();
        let quiet = scope.spawn(|| at_once(&cap, 1, 5, 250)).join().unwrap();
        let floods = floods.into_iter().map(|flood| flood.join().unwrap());
        (floods.sum::<usize>(), quiet)
    });
    assert!(flood + quiet <= 1_000, "{flood} and {quiet}");
    // One may be lost to each of the other workers' races.
    assert!(quiet >= 240, "{quiet} of a share of 250");
}

proptest! {
    #[test]
    fn a_rule_within_its_share_is_never_refused_whatever_the_others_do(
        per_second in 1..60_u32,
        rules in 2..7_usize,
        steps in proptest::collection::vec((0..400 * MILLISECOND, 1..7_usize, 0..80_usize), 1..120),
        more in 0..MILLISECOND,
    ) {
        let cap = SharedCap::new(per_second, rules);
        // Rule 0 asks exactly as often as it may, or a little less often.
        let interval = Nanos::SECOND.0.div_ceil(per_second.into());
        let pause = interval * rules as u64 + more;
        let (mut now, mut next) = (0, 0);
        let mut admitted: Vec<u64> = Vec::new();
        for (gap, rule, count) in steps {
            let until = now + gap;
            while next <= until {
                prop_assert!(cap.admit(0, Nanos(next)), "at {next}, after {} others", admitted.len());
                admitted.push(next);
                next += pause;
            }
            now = until;
            // Its next request can't come before `now` any more.
            next = next.max(now);
            let others = at_once(&cap, 1 + rule % (rules - 1), now, count);
            admitted.extend(std::iter::repeat_n(now, others));
        }
        // And all together are within the cap, over every stretch of time.
        let burst = f64::from(per_second.max(rules as u32));
        for (first, from) in admitted.iter().enumerate() {
            let (last, until) = (admitted.len() - 1, admitted[admitted.len() - 1]);
            let stretch = (until - from) as f64 / 1e9;
            let count = (last - first + 1) as f64;
            prop_assert!(count <= f64::from(per_second) * stretch + burst + 1e-6);
        }
    }
}
