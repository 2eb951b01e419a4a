//! `th` and `rv` on the wire: true, or not there.

use super::{PARENT, Rig, TRACE, sampled};
use crate::component::Seen;

/// The low 56 bits of the trace id that went on.
fn randomness(seen: &Seen) -> u64 {
    let context = seen.value("traceparent").expect("a context");
    u64::from_str_radix(&context[21..35], 16).expect("hexadecimal")
}

#[test]
fn a_roots_threshold_is_the_one_that_decided() {
    for (rate, th, threshold) in [
        (1_000_000, "0", 0),
        (500_000, "8", 0x80_0000_0000_0000),
        (250_000, "c", 0xc0_0000_0000_0000),
        (100_000, "e6666", 0xe6_6660_0000_0000_u64),
    ] {
        let rig = Rig::start(&format!("  samplingRatePerMillion: {rate}"));
        let mut wire = rig.connect("drop");
        let mut kept = 0;
        for _ in 0..150 {
            let seen = rig.get(&mut wire, "");
            let expected = randomness(&seen) >= threshold;
            assert_eq!(sampled(&seen), Some(expected), "{rate}");
            let state = expected.then(|| format!("ot=th:{th}"));
            assert_eq!(seen.value("tracestate"), state, "{rate}");
            let context = seen.value("traceparent").expect("a context");
            assert!(
                context.ends_with(if expected { "-03" } else { "-02" }),
                "{context}"
            );
            kept += usize::from(expected);
        }
        // Chances of none in 150: below one in a million for the least of these rates.
        assert!(kept > 0, "{rate}: {kept}");
    }
}

#[test]
fn kubernetes_own_rule_decides_bit_for_bit_and_writes_no_threshold() {
    let rig = Rig::start("  samplingRatePerMillion: 300000\n  ratioRule: traceidratio");
    let bound = (0.3 * (1_u64 << 63) as f64) as u64;
    let mut wire = rig.connect("drop");
    let mut kept = 0;
    for _ in 0..200 {
        let seen = rig.get(&mut wire, "");
        let context = seen.value("traceparent").expect("a context");
        let low = u64::from_str_radix(&context[19..35], 16).expect("hexadecimal");
        assert_eq!(sampled(&seen), Some(low >> 1 < bound), "{context}");
        assert!(seen.values("tracestate").is_empty());
        kept += usize::from(sampled(&seen) == Some(true));
    }
    assert!((1..200).contains(&kept), "{kept}");
}

#[test]
fn a_parents_threshold_goes_on_as_long_as_it_is_true() {
    let rig = Rig::start("  samplingRatePerMillion: 1000000");
    let mut wire = rig.connect("full");
    // The trace id's low 56 bits begin with 48.
    let rows = [
        ("01", "ot=th:4", Some("ot=th:4"), "sampled, R above T"),
        ("01", "ot=th:8", None, "sampled, R below T: erased"),
        ("00", "ot=th:8", Some("ot=th:8"), "not sampled, R below T"),
        ("00", "ot=th:4", None, "not sampled, R above T: erased"),
        (
            "01",
            "ot=th:8;rv:90000000000000",
            Some("ot=th:8;rv:90000000000000"),
            "explicit randomness counts",
        ),
        (
            "01",
            "ot=th:8;rv:70000000000000",
            Some("ot=rv:70000000000000"),
            "it is never lost",
        ),
        (
            "01",
            "ot=rv:70000000000000",
            Some("ot=rv:70000000000000"),
            "sampled without threshold: none is made up",
        ),
        (
            "01",
            "a=1,ot=th:8;p:8,b=2",
            Some("ot=p:8,a=1,b=2"),
            "a changed member moves to the left",
        ),
        (
            "01",
            "a=1,ot=th:4;p:8,b=2",
            Some("a=1,ot=th:4;p:8,b=2"),
            "an unchanged one stays",
        ),
        ("01", "ot=th:xyz", None, "a threshold that is none"),
    ];
    for (flags, given, expected, why) in rows {
        let fields = format!("traceparent: 00-{TRACE}-{PARENT}-{flags}\r\ntracestate: {given}\r\n");
        let seen = rig.get(&mut wire, &fields);
        assert_eq!(seen.value("tracestate").as_deref(), expected, "{why}");
    }
}
