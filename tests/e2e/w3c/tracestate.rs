//! `tracestate`: combined, whole, in order, or not at all.

use super::{Context, PARENT, TRACE, rig};

#[test]
fn a_tracestate_is_handed_on_whole_or_not_at_all() {
    let parent = format!("traceparent: 00-{TRACE}-{PARENT}-00\r\n");
    let list = |count| {
        let members: Vec<String> = (0..count).map(|n| format!("bar{n:02}={n:02}")).collect();
        members.join(",")
    };
    let (most, too_many) = (list(32), list(33));
    let key = |length: usize| "k".repeat(length);
    let tenant = format!("{}@{}=1", "t".repeat(241), "v".repeat(14));
    let long = |length: usize| format!("foo={}", "v".repeat(length));
    let every_key = "a0123456789_-*/=1";
    let every_value = r#"foo= !"#.to_owned() + r##""#$%&'()*+-./0:;<>?@AZ[\]^_`az{|}~"##;
    // Given lines, what arrives, why.
    let rows: Vec<(Vec<&str>, Option<&str>, &str)> = vec![
        (vec!["foo=1"], Some("foo=1"), "one member"),
        (vec!["foo=1,bar=2"], Some("foo=1,bar=2"), "two members"),
        (
            vec!["foo=1", "bar=2"],
            Some("foo=1,bar=2"),
            "two fields combine in order",
        ),
        (
            vec!["foo=1,bar=2", "rojo=1,congo=2", "baz=3"],
            Some("foo=1,bar=2,rojo=1,congo=2,baz=3"),
            "three fields of two and one",
        ),
        (vec![""], None, "nothing in it"),
        (vec!["foo=1", ""], Some("foo=1"), "an empty field behind"),
        (vec!["", "foo=1"], Some("foo=1"), "an empty field before"),
        (vec!["foo=1,"], Some("foo=1"), "an empty member behind"),
        (vec![",foo=1"], Some("foo=1"), "an empty member before"),
        (
            vec!["foo=1,,bar=2"],
            Some("foo=1,bar=2"),
            "an empty member between",
        ),
        (
            vec!["foo=1 \t , \t bar=2, \t baz=3"],
            Some("foo=1,bar=2,baz=3"),
            "white space between members",
        ),
        (
            vec!["foo=1\t \t,\t \tbar=2,\t \tbaz=3"],
            Some("foo=1,bar=2,baz=3"),
            "tabs first",
        ),
        (
            vec![" foo=1", "\tbar=2\t"],
            Some("foo=1,bar=2"),
            "white space around fields",
        ),
        (vec!["foo =1"], None, "a space behind the key"),
        (vec!["FOO=1"], None, "a key in capitals"),
        (vec!["foo.bar=1"], None, "a dot in a key"),
        (
            vec!["foo@=1,bar=2"],
            Some("foo@=1,bar=2"),
            "an at sign may stand anywhere but first",
        ),
        (vec!["@foo=1,bar=2"], None, "an at sign first"),
        (vec!["foo bar=1"], None, "a space in a key"),
        (vec!["foo"], None, "no equals sign"),
        (vec!["=1"], None, "no key"),
        (vec!["foo=bar=baz"], None, "an equals sign in the value"),
        (vec!["foo=,bar=3"], None, "no value"),
        (vec!["foo=a\tb"], None, "a tab in a value"),
        (vec!["foo=1", "BAR=2"], None, "one bad member spoils all"),
        (vec![&most], Some(&most), "32 members"),
        (vec![&too_many], None, "33 members"),
        (vec![&tenant], Some(&tenant), "a tenant and a system"),
        (
            vec![every_key],
            Some(every_key),
            "every character a key may have",
        ),
        (
            vec![&every_value],
            Some(&every_value),
            "every character a value may have",
        ),
    ];
    let rig = rig();
    for (lines, expected, why) in rows {
        let lines: String = lines
            .iter()
            .map(|l| format!("tracestate: {l}\r\n"))
            .collect();
        let context = rig.call(&format!("{parent}{lines}"));
        assert!(context.continued(), "a state never harms the parent: {why}");
        assert_eq!(members(&context), expected.map(split), "{why}");
    }
    for (member, arrives, why) in [
        (format!("{}=1", key(256)), true, "a key of 256"),
        (format!("{}=1", key(257)), false, "a key of 257"),
        (long(256), true, "a value of 256"),
        (long(257), false, "a value of 257"),
        (
            format!(
                "{},{},{}",
                long(150),
                "b=".to_owned() + &key(150),
                "c=".to_owned() + &key(150)
            ),
            true,
            "512 characters in all",
        ),
    ] {
        let context = rig.call(&format!("{parent}tracestate: {member}\r\n"));
        assert!(context.continued(), "{why}");
        assert_eq!(members(&context), arrives.then(|| split(&member)), "{why}");
    }
}

fn split(state: &str) -> Vec<String> {
    let members = state
        .split(',')
        .map(|member| member.trim_matches([' ', '\t']));
    members
        .filter(|m| !m.is_empty())
        .map(str::to_owned)
        .collect()
}

fn members(context: &Context) -> Option<Vec<String>> {
    let members = split(context.state.as_deref()?);
    (!members.is_empty()).then_some(members)
}

#[test]
fn a_tracestate_is_nothing_without_its_traceparent() {
    let rig = rig();
    let good = format!("traceparent: 00-{TRACE}-{PARENT}-01\r\n");
    for (parent, why) in [
        (String::new(), "missing"),
        (good.replace("00-1", "00-x"), "invalid"),
        (format!("{good}{good}"), "two"),
    ] {
        let context = rig.call(&format!("{parent}tracestate: foo=1,bar=2\r\n"));
        assert!(!context.continued(), "{why}");
        // A new root says its own threshold and nothing else.
        assert_eq!(context.state.as_deref(), Some("ot=th:0"), "{why}");
    }
    for name in ["trace-state", "trace.state", "trace_state"] {
        let context = rig.call(&format!("{good}{name}: foo=1\r\n"));
        assert!(context.continued(), "{name}");
        assert_eq!(context.state, None, "{name}");
    }
    for name in ["TraceState", "TrAcEsTaTe", "TRACESTATE"] {
        let context = rig.call(&format!("{good}{name}: foo=1\r\n"));
        assert_eq!(context.state.as_deref(), Some("foo=1"), "{name}");
    }
}
