use proptest::prelude::*;

use super::*;
use crate::context::ot::{U56, parse_rv, parse_th};

fn parse<'a>(values: &[&'a str]) -> Result<TraceState<'a>, Invalid> {
    TraceState::parse(values.iter().map(|value| value.as_bytes()))
}

fn th(text: &str) -> Ot {
    Ot {
        th: parse_th(text),
        rv: None,
    }
}

fn list(count: usize) -> String {
    (0..count)
        .map(|i| format!("k{i}=v"))
        .collect::<Vec<_>>()
        .join(",")
}

#[test]
fn every_rule_of_the_list_has_a_row() {
    use Invalid::*;
    let k256 = "k".repeat(256);
    let rows = [
        ("", Ok(0), "empty"),
        ("a=1", Ok(1), "one member"),
        ("a=1,b=2", Ok(2), "two members"),
        ("a=1, b=2 ,\tc=3", Ok(3), "white space around members"),
        ("a=1,,b=2,", Ok(2), "empty members"),
        ("a=1, ,b=2", Ok(2), "blank members"),
        ("a=1,a=2", Ok(2), "the same key twice is kept as it is"),
        ("0a=1", Ok(1), "a key may start with a digit"),
        ("a_-*/@=1", Ok(1), "every character of keys"),
        ("tenant@system=1", Ok(1), "a key with a tenant"),
        ("a= 1", Ok(1), "a value may start with a space"),
        (
            "a=!#$%&'()*+-./:;<>?@[]^_`{|}~\"\\",
            Ok(1),
            "every sign of values",
        ),
        ("a", Err(Key), "no equals sign"),
        ("=1", Err(Key), "no key"),
        ("A=1", Err(Key), "upper-case key"),
        ("_a=1", Err(Key), "key starting with a sign"),
        ("@a=1", Err(Key), "key starting with an at sign"),
        ("a b=1", Err(Key), "space in a key"),
        ("a =1", Err(Key), "space behind a key"),
        ("a.b=1", Err(Key), "dot in a key"),
        ("a=", Err(Value), "no value"),
        ("a= ", Err(Value), "a blank value"),
        ("a=1=2", Err(Value), "equals sign in a value"),
        ("a=1\t2", Err(Value), "tab in a value"),
        ("a=\u{e9}", Err(Value), "not ASCII"),
        ("a=1,b", Err(Key), "one bad member spoils the list"),
    ];
    for (value, expected, reason) in rows {
        assert_eq!(parse(&[value]).map(|list| list.len), expected, "{reason}");
    }
    assert!(parse(&[&format!("{k256}=1")]).is_ok());
    assert_eq!(
        parse(&[&format!("{k256}k=1")]).map(|_| ()),
        Err(Key),
        "key too long"
    );
    assert!(parse(&[&format!("a={k256}")]).is_ok());
    assert_eq!(
        parse(&[&format!("a={k256}v")]).map(|_| ()),
        Err(Value),
        "value too long"
    );
    assert_eq!(
        TraceState::parse([&b"a=\xff"[..]]).map(|_| ()),
        Err(Value),
        "no text"
    );
}

#[test]
fn thirty_two_members_are_allowed_over_all_fields_together() {
    assert_eq!(parse(&[&list(32)]).unwrap().len, 32);
    assert_eq!(
        parse(&[&list(32), ",, ,"]).unwrap().len,
        32,
        "empty ones don't count"
    );
    let refused = parse(&[&list(16), &list(17)]).map(|_| ());
    assert_eq!(refused, Err(Invalid::TooManyMembers));
}

#[test]
fn fields_combine_in_order() {
    let combined = parse(&["a=1,b=2", "", "c=3"]).unwrap().outgoing(th("8"));
    assert_eq!(combined.value(), Some("ot=th:8,a=1,b=2,c=3"));
}

#[test]
fn what_does_not_change_is_left_as_it_came() {
    let rv = parse_rv("0123456789abcd");
    for (values, ot) in [
        (&[][..], Ot::NONE),
        (&["a=1", "b=2"][..], Ot::NONE),
        (&["a=1,ot=th:8"][..], th("8")),
        (
            &["a=1,ot=rv:0123456789abcd;x:1;th:80"][..],
            Ot { rv, ..th("8") },
        ),
    ] {
        let outgoing = parse(values).unwrap().outgoing(ot);
        assert!(
            matches!(outgoing, Outgoing::Keep),
            "{values:?}: {outgoing:?}"
        );
    }
}

#[test]
fn a_changed_member_moves_to_the_left_and_the_others_stay() {
    for (value, ot, expected) in [
        ("a=1,b=2", th("8"), Some("ot=th:8,a=1,b=2")),
        ("a=1,ot=th:c,b=2", th("8"), Some("ot=th:8,a=1,b=2")),
        ("a=1,ot=th:c,b=2", Ot::NONE, Some("a=1,b=2")),
        ("a=1,ot=th:c;x:1", Ot::NONE, Some("ot=x:1,a=1")),
        ("ot=th:c;x:1", th("8"), Some("ot=th:8;x:1")),
        ("ot=th:c", th("8"), Some("ot=th:8")),
        ("ot=th:c", Ot::NONE, None),
        ("", th("8"), Some("ot=th:8")),
        ("ot=th:wrong,a=1", Ot::NONE, Some("a=1")),
        ("a=1,ot=th:8,ot=th:c", th("4"), Some("ot=th:4,a=1")),
        ("a=1,other=1", th("8"), Some("ot=th:8,a=1,other=1")),
    ] {
        let outgoing = parse(&[value]).unwrap().outgoing(ot);
        assert_eq!(outgoing.value(), expected, "{value}");
        assert!(!matches!(outgoing, Outgoing::Keep), "{value}");
    }
}

#[test]
fn a_forgotten_member_leaves_none_of_its_sub_keys() {
    let rv = Ot {
        th: None,
        rv: Some(U56::MAX),
    };
    let forgotten = |value| parse(&[value]).unwrap().without_ot();
    assert_eq!(forgotten("ot=th:8;x:1").ot(), Ot::NONE);
    let outgoing = forgotten("a=1,ot=th:8;x:1").outgoing(rv);
    assert_eq!(outgoing.value(), Some("ot=rv:ffffffffffffff,a=1"));
    let outgoing = forgotten("a=1,ot=th:8;x:1,ot=y:2").outgoing(Ot::NONE);
    assert_eq!(outgoing.value(), Some("a=1"));
    assert!(matches!(
        forgotten("ot=x:1").outgoing(Ot::NONE),
        Outgoing::Remove
    ));
    assert!(matches!(
        forgotten("a=1").outgoing(Ot::NONE),
        Outgoing::Keep
    ));
}

#[test]
fn a_dropped_list_leaves_only_ours() {
    assert!(matches!(Outgoing::fresh(Ot::NONE), Outgoing::Remove));
    assert_eq!(Outgoing::fresh(th("8")).value(), Some("ot=th:8"));
}

#[test]
fn a_list_of_thirty_two_makes_room_for_ours_at_its_end() {
    let outgoing = parse(&[&list(32)]).unwrap().outgoing(th("8"));
    assert_eq!(outgoing.value(), Some(&*format!("ot=th:8,{}", list(31))));
}

#[test]
fn long_members_go_first_then_the_last() {
    let long = format!("long={}", "x".repeat(245));
    let mid = |key: &str| format!("{key}={}", "y".repeat(98));
    let (a, b, c, d, e) = (mid("a"), mid("b"), mid("c"), mid("d"), mid("e"));
    // 100 bytes each: with ours, four of them fit and five don't.
    for (members, expected, reason) in [
        (
            vec![&a, &long, &b, &c],
            vec![&a, &b, &c],
            "the long one, though not last",
        ),
        (
            vec![&long, &a, &b, &c, &d],
            vec![&a, &b, &c, &d],
            "the long one is enough",
        ),
        (
            vec![&long, &a, &b, &c, &d, &e],
            vec![&a, &b, &c, &d],
            "then from the end",
        ),
        (
            vec![&long, &long, &a],
            vec![&long, &a],
            "of two long ones the last, if that's enough",
        ),
        (
            vec![&long, &a, &b],
            vec![&long, &a, &b],
            "a long one stays where there is room",
        ),
    ] {
        let join = |members: Vec<&String>| {
            members
                .into_iter()
                .map(String::as_str)
                .collect::<Vec<_>>()
                .join(",")
        };
        let outgoing = parse(&[&join(members)]).unwrap().outgoing(Ot {
            rv: Some(U56::MAX),
            ..th("0")
        });
        let expected = format!("ot=th:0;rv:ffffffffffffff,{}", join(expected));
        assert_eq!(outgoing.value(), Some(&*expected), "{reason}");
    }
}

proptest! {
    #[test]
    fn arbitrary_bytes_never_panic(
        values in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..60), 0..4),
    ) {
        let _ = TraceState::parse(values.iter().map(Vec::as_slice));
    }

    #[test]
    fn what_we_write_is_valid_short_enough_and_says_what_was_asked(
        keys in proptest::collection::vec(("[a-z]{1,9}", 1..200_usize), 0..33),
        th in proptest::option::of(0..=U56::MAX.get()),
    ) {
        let members: Vec<_> =
            keys.iter().take(32).map(|(key, len)| format!("{key}={}", "v".repeat(*len))).collect();
        let value = members.join(",");
        let ot = Ot { th: th.and_then(U56::new), rv: None };
        let inbound = TraceState::parse([value.as_bytes()]).unwrap();
        if let Some(out) = inbound.outgoing(ot).value() {
            prop_assert!(out.len() <= MAX_LEN);
            let again = TraceState::parse([out.as_bytes()]).unwrap();
            prop_assert_eq!(again.ot(), ot);
            // Order is kept: what is left is a subsequence.
            let mut rest = members.iter();
            for member in again.members().filter(|member| !is_ot(member)) {
                prop_assert!(rest.any(|inbound| inbound == member));
            }
        }
    }
}
