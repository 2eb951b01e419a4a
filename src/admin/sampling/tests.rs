use http::{HeaderName, Method};

use super::*;
use crate::sample::settings::Glob;

fn rate(value: u32) -> PerMillion {
    PerMillion::new(value).unwrap()
}

fn rates() -> Rates {
    let pods = Match {
        path: Some(Glob::new("/api/v1/pods*")),
        method: Some(Method::GET),
        host: Some(Glob::new("*.svc")),
        grpc_service: Some(Glob::new("etcdserverpb.KV")),
        listener: Some(Glob::new("public")),
        headers: vec![(HeaderName::from_static("user-agent"), Glob::new("kubelet*"))],
    };
    let livez = Match {
        path: Some(Glob::new("/livez*")),
        ..Match::default()
    };
    Rates {
        default: rate(100),
        rules: vec![
            RuleRate {
                matches: pods,
                rate: Some(rate(10)),
            },
            RuleRate {
                matches: livez,
                rate: None,
            },
            RuleRate {
                matches: Match::default(),
                rate: Some(rate(0)),
            },
        ],
    }
}

#[test]
fn rates_are_shown_with_what_their_rules_match() {
    let expected = json!({
        "samplingRatePerMillion": 100,
        "rules": [
            {
                "index": 0,
                "match": {
                    "path": "/api/v1/pods*",
                    "method": "GET",
                    "host": "*.svc",
                    "grpcService": "etcdserverpb.KV",
                    "listener": "public",
                    "header": {"user-agent": "kubelet*"},
                },
                "samplingRatePerMillion": 10,
            },
            {"index": 1, "match": {"path": "/livez*"}, "drop": true},
            {"index": 2, "match": {}, "samplingRatePerMillion": 0},
        ],
    });
    assert_eq!(show(&rates()), expected);
}

#[test]
fn what_is_shown_can_be_sent_back() {
    let shown = show(&rates()).to_string();
    let change = Change {
        default: Some(rate(100)),
        rules: vec![(0, rate(10)), (2, rate(0))],
    };
    assert_eq!(parse(shown.as_bytes(), &rates()), Ok(change));
}

#[test]
fn a_change_names_what_it_changes() {
    for (body, default, rules) in [
        (r#"{"samplingRatePerMillion":5}"#, Some(5), vec![]),
        (r#"{"samplingRatePerMillion":0}"#, Some(0), vec![]),
        (
            r#"{"samplingRatePerMillion":1000000}"#,
            Some(1_000_000),
            vec![],
        ),
        (
            r#"{"rules":[{"index":2,"samplingRatePerMillion":7}]}"#,
            None,
            vec![(2, 7)],
        ),
        (r#"{"rules":[]}"#, None, vec![]),
        (
            r#"{"samplingRatePerMillion":1,"rules":[{"index":0,"samplingRatePerMillion":2},{"index":2,"samplingRatePerMillion":3}]}"#,
            Some(1),
            vec![(0, 2), (2, 3)],
        ),
    ] {
        let change = Change {
            default: default.map(rate),
            rules: rules.into_iter().map(|(i, r)| (i, rate(r))).collect(),
        };
        assert_eq!(parse(body.as_bytes(), &rates()), Ok(change), "{body}");
    }
}

#[test]
fn bad_changes_are_refused_with_what_was_expected() {
    for (body, told) in [
        ("", "expected JSON"),
        ("{", "expected JSON"),
        ("\u{1}", "expected JSON"),
        ("5", "expected an object, got 5"),
        (
            "{}",
            "expected samplingRatePerMillion or rules, got neither",
        ),
        (
            r#"{"samplingRatePerMillion":1000001}"#,
            "samplingRatePerMillion: expected an integer from 0 to 1000000, got 1000001",
        ),
        (r#"{"samplingRatePerMillion":-1}"#, "got -1"),
        (r#"{"samplingRatePerMillion":5.0}"#, "got 5.0"),
        (r#"{"samplingRatePerMillion":0.5}"#, "got 0.5"),
        (r#"{"samplingRatePerMillion":"5"}"#, "got \"5\""),
        (r#"{"samplingRatePerMillion":null}"#, "got null"),
        (r#"{"samplingRatePerMillion":4294967301}"#, "got 4294967301"),
        (r#"{"samplingRatePerMillion":1e300}"#, "got 1e+300"),
        (
            r#"{"samplingRatePerMillion":5,"rules":[],"samplingRatePerMillion":6}"#,
            "key \"samplingRatePerMillion\" is given twice at line 1",
        ),
        (
            r#"{"rules":[{"index":0,"samplingRatePerMillion":7,"index":2}]}"#,
            "key \"index\" is given twice",
        ),
        (r#"{"rate":5}"#, "unknown key \"rate\""),
        (r#"{"rules":{}}"#, "rules: expected a list, got {}"),
        (r#"{"rules":[7]}"#, "rules[0]: expected an object, got 7"),
        (
            r#"{"rules":[{"samplingRatePerMillion":7}]}"#,
            "rules[0].index: expected the index of one of 3 rules, got null",
        ),
        (
            r#"{"rules":[{"index":3,"samplingRatePerMillion":7}]}"#,
            "got 3",
        ),
        (
            r#"{"rules":[{"index":-1,"samplingRatePerMillion":7}]}"#,
            "got -1",
        ),
        (
            r#"{"rules":[{"index":0}]}"#,
            "rules[0].samplingRatePerMillion: expected an integer from 0 to 1000000, got nothing",
        ),
        (
            r#"{"rules":[{"index":1,"samplingRatePerMillion":7}]}"#,
            "expected none: the rule drops such requests",
        ),
        (
            r#"{"rules":[{"index":0,"drop":true,"samplingRatePerMillion":7}]}"#,
            "rules[0].drop: expected false",
        ),
        (
            r#"{"rules":[{"index":1,"drop":false}]}"#,
            "rules[0].drop: expected true",
        ),
        (
            r#"{"rules":[{"index":0,"match":{"path":"/other"},"samplingRatePerMillion":7}]}"#,
            "rules[0].match: expected what rule 0 matches",
        ),
        (
            r#"{"rules":[{"index":0,"samplingRatePerMillion":7,"maxTracesPerSecond":1}]}"#,
            "rules[0]: unknown key \"maxTracesPerSecond\"",
        ),
        (
            r#"{"rules":[{"index":2,"samplingRatePerMillion":7},{"index":2,"samplingRatePerMillion":8}]}"#,
            "rules[1].index: rule 2 is named twice",
        ),
    ] {
        let faults = parse(body.as_bytes(), &rates()).unwrap_err();
        assert_eq!(faults.len(), 1, "{body}: {faults:?}");
        assert!(faults[0].contains(told), "{body}: {faults:?}");
    }
}

#[test]
fn every_fault_is_told_in_one_go() {
    let body = r#"{"samplingRatePerMillion":-1,"x":1,"rules":[{"index":9},{"index":0,"y":2,"samplingRatePerMillion":-3}]}"#;
    let faults = parse(body.as_bytes(), &rates()).unwrap_err();
    assert_eq!(faults.len(), 5, "{faults:?}");
}

#[test]
fn a_fault_shows_little_of_what_was_sent() {
    let body = format!(r#"{{"samplingRatePerMillion":"{}"}}"#, "é".repeat(10_000));
    let faults = parse(body.as_bytes(), &rates()).unwrap_err();
    assert!(faults[0].len() < 250, "{}", faults[0].len());
}
