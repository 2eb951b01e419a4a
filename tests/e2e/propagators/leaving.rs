//! What leaves, and who decided it.

use crate::component::Component;
use crate::proxy::{self, Proxy};
use crate::wire::Wire;

use super::{
    ALL, FORMATS, Fields, PARENT, PLANTED, Rig, TRACE, TRUSTS, brought, context, fields, hex, names,
};

/// A caller's own fields of every format, and of some that aren't spoken.
fn everything() -> Fields {
    let mut all: Fields = FORMATS.iter().flat_map(|f| brought(f, true)).collect();
    all.extend([
        ("tracestate", format!("a={PLANTED}")),
        ("baggage", format!("k={PLANTED}")),
        ("x-b3-parentspanid", PARENT.to_owned()),
        ("x-b3-flags", "1".to_owned()),
        ("jaeger-debug-id", PLANTED.to_owned()),
        ("x-datadog-origin", PLANTED.to_owned()),
        ("uberctx-user", PLANTED.to_owned()),
        ("sentry-trace", PLANTED.to_owned()),
    ]);
    all
}

#[test]
fn exactly_the_configured_format_leaves_and_nothing_that_contradicts_it() {
    // Fields of a trusted caller that belong to the same family.
    let family = |format: &str| -> &[&str] {
        match format {
            "b3" | "b3multi" => &[
                "b3",
                "x-b3-traceid",
                "x-b3-spanid",
                "x-b3-sampled",
                "x-b3-parentspanid",
                "x-b3-flags",
            ],
            "jaeger" => &["uber-trace-id", "jaeger-debug-id"],
            "xray" => &["x-amzn-trace-id"],
            "datadog" => &[
                "x-datadog-trace-id",
                "x-datadog-parent-id",
                "x-datadog-sampling-priority",
                "x-datadog-tags",
                "x-datadog-origin",
            ],
            "grpc-trace-bin" => &["grpc-trace-bin"],
            _ => &[],
        }
    };
    for format in FORMATS {
        for trust in TRUSTS {
            let why = format!("{format} under {trust}");
            let rig = Rig::start(trust, "[tracecontext]", &format!("[{format}]"));
            let seen = rig.http1("/a", &everything());
            let span = rig.spans(1)("/a");
            assert_eq!(hex(&span.trace_id) == TRACE, trust != "drop", "{why}");
            let flags = match trust {
                "drop" => 3,
                _ => 1,
            };
            let ours = fields(format, &hex(&span.trace_id), &hex(&span.span_id), flags);
            let mut expected: std::collections::BTreeSet<String> =
                ours.iter().map(|(name, _)| (*name).to_owned()).collect();
            for (name, value) in ours {
                assert_eq!(seen.values(name), [value], "{why}: {name}");
            }
            if format == "tracecontext" {
                expected.insert("tracestate".to_owned());
            }
            if trust == "full" {
                // What isn't configured passes as it came, W3C's own fields apart.
                let gone = ["traceparent", "tracestate", "baggage"];
                for (name, value) in everything() {
                    if !family(format).contains(&name) && !gone.contains(&name) {
                        assert_eq!(seen.values(name), [value], "{why}: {name}");
                        expected.insert(name.to_owned());
                    }
                }
            }
            assert_eq!(names(&seen), expected, "{why}");
        }
    }
}

#[test]
fn what_was_read_ends_here_even_where_it_is_not_written() {
    let rig = Rig::start("full", "[datadog, b3]", "[tracecontext]");
    let mut fields = brought("b3", true);
    fields.extend(brought("b3multi", false));
    fields.extend(brought("jaeger", true));
    fields.push(("x-datadog-origin", PLANTED.to_owned()));
    fields.push(("traceparent", format!("00-{TRACE}-ffffffffffffffff-00")));
    fields.push(("tracestate", format!("a={PLANTED}")));
    let seen = rig.http1("/a", &fields);
    let (trace, _, flags) = context(&seen);
    assert_eq!(
        (trace.as_str(), flags),
        (TRACE, 1),
        "of B3, not of W3C, which isn't read"
    );
    let expected = ["traceparent", "uber-trace-id"].map(str::to_owned);
    assert_eq!(
        names(&seen),
        expected.into(),
        "Jaeger isn't configured and passes"
    );
    assert_eq!(hex(&rig.spans(1)("/a").parent_span_id), PARENT);
}

#[test]
fn of_two_contexts_the_first_of_the_list_is_the_parent_and_only_its_state_goes_on() {
    let both = |state: &str| {
        let mut fields = brought("b3", true);
        fields.push(("traceparent", format!("00-{}-{PARENT}-00", "12".repeat(16))));
        fields.push(("tracestate", state.to_owned()));
        fields.push(("baggage", "k=v".to_owned()));
        fields
    };
    for (extract, trace, flags, state) in [
        ("[b3, tracecontext, baggage]", TRACE, 1, None),
        (
            "[tracecontext, b3, baggage]",
            &"12".repeat(16)[..],
            0,
            Some("a=1"),
        ),
    ] {
        let rig = Rig::start("full", extract, "[tracecontext, baggage]");
        let seen = rig.http1("/a", &both("a=1"));
        let (continued, _, said) = context(&seen);
        assert_eq!((continued.as_str(), said), (trace, flags), "{extract}");
        assert_eq!(seen.value("tracestate").as_deref(), state, "{extract}");
        assert_eq!(seen.value("baggage").as_deref(), Some("k=v"), "{extract}");
        assert!(seen.values("b3").is_empty(), "{extract}");
    }
}

#[test]
fn a_decision_without_ids_is_a_trusted_callers_to_make() {
    let b3 = |value: &str| vec![("b3", value.to_owned())];
    for (rate, here) in [(0, false), (1_000_000, true)] {
        for (trust, value, sampled, why) in [
            ("full", "0", false, "denied"),
            ("full", "1", true, "accepted"),
            ("full", "d", true, "debug"),
            ("ids", "0", here, "an `ids` caller doesn't decide"),
            ("ids", "1", here, "an `ids` caller doesn't decide"),
            ("drop", "1", here, "nor does a dropped one"),
        ] {
            let rig = Rig::with(trust, ALL, ALL, rate, "");
            let seen = rig.http1("/a", &b3(value));
            super::assert_all_agree(&seen, why);
            assert_eq!(
                context(&seen).2,
                2 | u8::from(sampled),
                "{trust} {value} {rate}: {why}"
            );
            if sampled {
                let span = rig.spans(1)("/a");
                assert!(
                    span.parent_span_id.is_empty() && span.links.is_empty(),
                    "{why}"
                );
            }
        }
    }
}

#[test]
fn a_deferred_decision_is_made_here_and_the_ids_are_kept() {
    let mut datadog = brought("datadog", true);
    datadog.retain(|(name, _)| *name != "x-datadog-sampling-priority");
    let xray = format!(
        "Root=1-{}-{};Parent={PARENT};Sampled=?",
        &TRACE[..8],
        &TRACE[8..]
    );
    let contexts: [Fields; 4] = [
        vec![("b3", format!("{TRACE}-{PARENT}"))],
        vec![
            ("x-b3-traceid", TRACE.to_owned()),
            ("x-b3-spanid", PARENT.to_owned()),
        ],
        vec![("x-amzn-trace-id", xray)],
        datadog,
    ];
    for (rate, sampled) in [(0, false), (1_000_000, true)] {
        let rig = Rig::with("full", ALL, ALL, rate, "");
        for fields in &contexts {
            let why = format!("{rate} {fields:?}");
            let seen = rig.http1("/a", fields);
            super::assert_all_agree(&seen, &why);
            let (trace, span, flags) = context(&seen);
            assert_eq!((trace.as_str(), flags), (TRACE, u8::from(sampled)), "{why}");
            assert_ne!(span, PARENT, "{why}");
        }
    }
}

#[test]
fn what_the_caller_began_goes_on_where_no_trace_is_started_or_kept() {
    let deferred = ("b3", format!("{TRACE}-{PARENT}"));
    let omit = "  unsampledRoot: omit\n";
    let drop = "  samplingRatePerMillion: 1000000\n  rules: [{match: {path: /a}, drop: true}]\n";
    let b3 = |value: &str| ("b3", value.to_owned());
    // Flags that leave, if a context does.
    let rows = [
        (
            omit,
            deferred.clone(),
            Some((true, 0)),
            "the trace isn't new",
        ),
        (
            omit,
            b3("0"),
            Some((false, 2)),
            "the decision is the caller's",
        ),
        (
            omit,
            ("x-none", "1".to_owned()),
            None,
            "a new trace says nothing",
        ),
        (
            drop,
            deferred,
            Some((true, 0)),
            "the ids were left standing",
        ),
        (
            drop,
            b3("0"),
            Some((false, 2)),
            "the decision was left standing",
        ),
        (drop, b3("1"), Some((false, 3)), "the other one, too"),
        (
            drop,
            ("x-none", "1".to_owned()),
            None,
            "nothing was left standing",
        ),
    ];
    for (tracing, field, expected, why) in rows {
        let component = Component::start();
        let listeners = format!(
            "- name: a\n  bind: 127.0.0.1:0\n  trust: {{default: full}}\n  upstream: {{url: \"{}\"}}\n\
             propagation: {{extract: {ALL}, inject: [tracecontext]}}\n",
            component.url()
        );
        let tracing = format!("{tracing}  export: {{endpoint: \"http://127.0.0.1:9\"}}");
        let proxy = Proxy::start(&proxy::custom(&tracing, &listeners));
        let (name, value) = field;
        Wire::connect(proxy.at(0)).ask(format!(
            "GET /a HTTP/1.1\r\nHost: a\r\n{name}: {value}\r\n\r\n"
        ));
        let seen = component.wait_for(1).remove(0);
        assert!(seen.values("b3").is_empty(), "{why}");
        let said = seen.value("traceparent").map(|_| context(&seen));
        let said = said.map(|(trace, _, flags)| (trace == TRACE, flags));
        assert_eq!(said, expected, "{name}: {value}: {why}");
    }
}

#[test]
fn propagate_none_reads_every_format_and_lets_none_leave() {
    for format in FORMATS {
        let rig = Rig::with("full", ALL, ALL, 0, "  propagate: none\n");
        let mut fields = brought(format, true);
        fields.push(("sentry-trace", PLANTED.to_owned()));
        let seen = rig.http1("/a", &fields);
        assert_eq!(names(&seen), [].into(), "{format}");
        assert_eq!(hex(&rig.spans(1)("/a").parent_span_id), PARENT, "{format}");
    }
}

#[test]
fn no_format_at_all_reads_nothing_and_writes_nothing() {
    let rig = Rig::start("full", "[]", "[]");
    let mut fields = brought("tracecontext", true);
    fields.extend(brought("b3", true));
    fields.push(("tracestate", "a=1".to_owned()));
    fields.push(("baggage", "k=v".to_owned()));
    let seen = rig.http1("/a", &fields);
    assert_eq!(
        names(&seen),
        ["b3".to_owned()].into(),
        "it isn't configured and passes"
    );
    let span = rig.spans(1)("/a");
    assert!(span.parent_span_id.is_empty() && span.links.is_empty());
    assert_ne!(hex(&span.trace_id), TRACE);
}
