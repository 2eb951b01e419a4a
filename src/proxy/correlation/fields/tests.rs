use std::sync::Arc;

use http::{HeaderMap, HeaderValue};

use super::super::Table;
use super::super::tests::{handed as handed_by, whose};
use super::*;
use crate::context::tracestate::Outgoing;

static ID: HeaderName = HeaderName::from_static("x-request-id");
static OTHER: HeaderName = HeaderName::from_static("x-correlation-id");

/// Some requests on one worker.
struct Rig {
    correlation: Correlation,
    listed: [HeaderName; 2],
}

impl Rig {
    fn new() -> Self {
        Self {
            correlation: Correlation::new(Arc::new(Table::new([7; 16]))),
            listed: [ID.clone(), OTHER.clone()],
        }
    }

    fn enter(&self, n: u64, fields: &[(&HeaderName, &str)]) -> Option<Held> {
        let mut held = None;
        let context = Some(handed_by(n).context);
        let state = Outgoing::Remove;
        let (correlation, listed) = (&self.correlation, &self.listed);
        let kept = enter(
            correlation,
            &mut held,
            listed,
            &head(fields),
            context,
            &state,
        );
        assert!(kept);
        held
    }

    fn find(&self, fields: &[(&HeaderName, &str)]) -> Result<u64, &'static str> {
        let found = find(&self.correlation, &self.listed, &head(fields));
        found.map_or(Err("not asked"), |found| whose(&found))
    }
}

fn head(fields: &[(&HeaderName, &str)]) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for (name, value) in fields {
        let value = HeaderValue::from_bytes(value.as_bytes()).unwrap();
        headers.append(*name, value);
    }
    headers
}

#[test]
fn only_a_single_value_that_is_an_identifiers_length_joins() {
    let long = "x".repeat(LONGEST_VALUE);
    let longer = "x".repeat(LONGEST_VALUE + 1);
    for (values, expected, why) in [
        (&["a"][..], Ok(1), "one"),
        (&[&*long], Ok(1), "just short enough"),
        (&["\u{e4}"], Ok(1), "any bytes"),
        (&[&*longer], Err("not asked"), "too long"),
        (&[""], Err("not asked"), "empty"),
        (&["a", "a"], Err("not asked"), "twice"),
        (&[], Err("not asked"), "absent"),
    ] {
        let rig = Rig::new();
        let fields: Vec<_> = values.iter().map(|value| (&ID, *value)).collect();
        let held = rig.enter(1, &fields);
        assert_eq!(rig.find(&fields), expected, "{why}");
        if let Some(held) = held {
            rig.correlation.release(held);
        }
        let ended = expected.map_or_else(Err, |_| Err("nothing"));
        assert_eq!(rig.find(&fields), ended, "{why}");
    }
}

#[test]
fn of_a_field_that_came_several_times_no_value_finds_anything() {
    let rig = Rig::new();
    let victim = rig.enter(1, &[(&ID, "a")]);
    let twice = rig.enter(2, &[(&ID, "b"), (&ID, "a"), (&ID, "c")]);
    // Whichever of them a component reads.
    for value in ["a", "b", "c"] {
        assert_eq!(rig.find(&[(&ID, value)]), Err("ambiguous"), "{value}");
    }
    for held in victim.into_iter().chain(twice) {
        rig.correlation.release(held);
    }
    assert_eq!(rig.find(&[(&ID, "a")]), Err("nothing"));
}

#[test]
fn the_component_may_copy_any_listed_field_and_the_first_known_decides() {
    let rig = Rig::new();
    let one = rig.enter(1, &[(&ID, "a"), (&OTHER, "b")]);
    let two = rig.enter(2, &[(&ID, "c"), (&OTHER, "d")]);
    for (fields, expected, why) in [
        (&[(&ID, "a")][..], Ok(1), "the first"),
        (&[(&OTHER, "b")], Ok(1), "the second"),
        (&[(&ID, "new"), (&OTHER, "b")], Ok(1), "a first of its own"),
        (
            &[(&ID, "a"), (&OTHER, "d")],
            Ok(1),
            "the first before the second",
        ),
        (&[(&ID, "new"), (&OTHER, "new")], Err("nothing"), "unknown"),
        (
            &[(&ID, ""), (&OTHER, "d")],
            Ok(2),
            "an empty one says nothing",
        ),
    ] {
        assert_eq!(rig.find(fields), expected, "{why}");
    }
    let three = rig.enter(3, &[(&ID, "a")]);
    let found = rig.find(&[(&ID, "a"), (&OTHER, "b")]);
    assert_eq!(found, Err("ambiguous"), "it decides, too");
    for held in [one, two, three].into_iter().flatten() {
        rig.correlation.release(held);
    }
}

#[test]
fn what_went_along_is_found_again_within_bounds() {
    let long = format!("ot=th:8;rv:00000000000001,a={}", "x".repeat(250));
    let longer = format!("{long},b={}", "x".repeat(250));
    let rv = "ot=th:8;rv:00000000000001";
    for (state, lines, expected, why) in [
        (Outgoing::Remove, &["a=1"][..], None, "removed"),
        (Outgoing::Keep, &[], None, "there was none"),
        (Outgoing::Keep, &["a=1"], Some("a=1"), "as it came"),
        (
            Outgoing::Keep,
            &["a=1", "b=2"],
            Some("a=1,b=2"),
            "several fields",
        ),
        (
            Outgoing::Combined("a=1".to_owned()),
            &[],
            Some("a=1"),
            "ours",
        ),
        (Outgoing::Combined(long.clone()), &[], Some(&*long), "long"),
        (
            Outgoing::Combined(longer),
            &[],
            Some(rv),
            "cut to our own member",
        ),
        (
            Outgoing::Combined("a".repeat(600)),
            &[],
            None,
            "nothing of ours in it",
        ),
    ] {
        let correlation = Correlation::new(Arc::new(Table::new([7; 16])));
        let tracestate = HeaderName::from_static("tracestate");
        let mut headers = head(&[(&ID, "a")]);
        for line in lines {
            headers.append(&tracestate, HeaderValue::from_static(line));
        }
        let (mut held, context) = (None, Some(handed_by(1).context));
        assert!(enter(
            &correlation,
            &mut held,
            std::slice::from_ref(&ID),
            &headers,
            context,
            &state
        ));
        let Found::One(handed) = correlation.find(&ID, b"a") else {
            panic!("{why}: not found");
        };
        let ot = handed.state().map_or(Ot::NONE, |state| state.ot());
        let goes_on = handed.outgoing(ot);
        assert_eq!(goes_on.value(), expected, "{why}");
        assert!(!matches!(goes_on, Outgoing::Keep), "{why}");
        held.into_iter().for_each(|held| correlation.release(held));
    }
}

#[test]
fn places_are_used_again() {
    let rig = Rig::new();
    for n in 0..10 {
        let held = rig.enter(n, &[(&ID, "a")]).expect("a hold");
        assert_eq!(
            rig.find(&[(&ID, "a")]),
            Ok(n),
            "nothing is left of the last"
        );
        rig.correlation.release(held);
    }
    assert_eq!(rig.correlation.spare(), 1);
}
