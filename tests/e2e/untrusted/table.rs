//! The whole list of names, in every spelling, doubled and over both versions, on the verdicts that
//! let something pass: `ids` and `full`. What `drop` lets pass, nothing, is the parent's table.

use std::collections::BTreeMap;

use tracegate::context::untrusted::{Family, family};

use super::{
    CONTEXT, Component, PARENT, PLANTED, Rig, Seen, TRACE, aliases, assert_clean, lines, listed,
    random_case,
};
use crate::proxy::{self, Proxy};

const W3C: &str = "tracecontext, baggage";
const ALL: &str = "tracecontext, baggage, b3, b3multi, jaeger, xray, datadog, grpc-trace-bin";

/// A proxy with that verdict and those formats.
fn rig(trust: &str, extract: &str, inject: &str) -> Rig {
    let component = Component::start();
    let more = format!("  trust: {{default: {trust}}}\n");
    let yaml = proxy::ingress(&component.url(), "http://127.0.0.1:9", &more);
    let formats = format!("propagation: {{extract: [{extract}], inject: [{inject}]}}");
    let proxy = Proxy::start(&proxy::with_top(&yaml, &formats));
    Rig { component, proxy }
}

/// Every spelling of a name twice but for `real`, which says itself what it says; each value is one that
/// baggage could have.
fn planted(name: &str, real: &[&str]) -> Vec<(String, String)> {
    let mut fields = Vec::new();
    for (n, alias) in aliases(name).into_iter().enumerate() {
        if !real.contains(&alias.as_str()) {
            for spelling in [random_case(&alias), alias] {
                fields.push((spelling, format!("{PLANTED}={n}")));
            }
        }
    }
    fields
}

/// What arrives of these fields, over either version.
fn both(rig: &Rig, fields: &[(String, String)]) -> [(Seen, &'static str); 2] {
    let text: String = fields
        .iter()
        .map(|(name, value)| format!("{name}: {value}\r\n"))
        .collect();
    [
        (rig.http1(&text), "HTTP/1.1"),
        (rig.http2(&lines(text.as_bytes())), "HTTP/2"),
    ]
}

/// Values by name of what came and was planted.
fn arrived(seen: &Seen) -> BTreeMap<String, Vec<String>> {
    let mut found: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for (name, value) in &seen.headers {
        let value = String::from_utf8_lossy(value.as_bytes()).into_owned();
        if value.to_lowercase().contains(PLANTED) {
            found.entry(name.to_string()).or_default().push(value);
        }
    }
    found
}

/// Exactly one context, of the caller's trace, and no word of who the parent was.
fn assert_continued(seen: &Seen, why: &str) {
    let context = seen.values("traceparent");
    assert_eq!(context.len(), 1, "{why}: {context:?}");
    let ours = context[0].starts_with(&format!("00-{TRACE}-")) && context[0].ends_with("-01");
    assert!(ours, "{why}: {context:?}");
    for (name, value) in &seen.headers {
        let text = String::from_utf8_lossy(value.as_bytes());
        assert!(!text.contains(PARENT), "{why}: {name}: {text}");
    }
}

#[test]
fn under_ids_no_listed_name_in_any_spelling_reaches_the_component() {
    let context = ("traceparent".to_owned(), CONTEXT.to_owned());
    for extract in [W3C, ALL] {
        let rig = rig("ids", extract, W3C);
        for name in listed() {
            // Alone, and real names with nonsense twice: no context is whole, all are gone.
            for (seen, version) in both(&rig, &planted(&name, &[])) {
                assert_clean(&seen, &format!("{name} over {version}, {extract}"));
            }
            // Beside a good context whose trace goes on, and nothing else does.
            let mut fields = planted(&name, &["traceparent", "b3"]);
            fields.push(context.clone());
            for (seen, version) in both(&rig, &fields) {
                let why = format!("{name} beside a context over {version}, {extract}");
                assert_continued(&seen, &why);
                assert_eq!(arrived(&seen), BTreeMap::new(), "{why}");
                let state = seen.value("tracestate").expect("a state");
                assert!(state.starts_with("ot=th:0;rv:"), "{why}: {state}");
            }
        }
    }
}

#[test]
#[rustfmt::skip]
fn under_ids_a_trace_goes_on_by_the_formats_that_are_read_and_by_no_other() {
    let (low, b3) = (&TRACE[16..], format!("{TRACE}-{PARENT}-1"));
    let long = u64::from_str_radix(low, 16).expect("an id").to_string();
    let parent = u64::from_str_radix(PARENT, 16).expect("an id").to_string();
    let (jaeger, xray) = (
        format!("{TRACE}:{PARENT}:0:1"),
        format!("Root=1-{}-{};Parent={PARENT};Sampled=1", &TRACE[..8], &TRACE[8..]),
    );
    let binary = "AAAK92UZFs1D3YRI6yEcgDGcAbeta3FpIDMxAgE";
    let rows: &[(&str, &[(&str, &str)])] = &[
        ("tracecontext", &[("traceparent", CONTEXT)]),
        ("b3", &[("b3", &b3)]),
        ("b3multi", &[("x-b3-traceid", TRACE), ("x-b3-spanid", PARENT), ("x-b3-sampled", "1")]),
        ("jaeger", &[("uber-trace-id", &jaeger)]),
        ("xray", &[("x-amzn-trace-id", &xray)]),
        ("datadog", &[("x-datadog-trace-id", &long), ("x-datadog-parent-id", &parent), ("x-datadog-sampling-priority", "1")]),
        ("grpc-trace-bin", &[("grpc-trace-bin", binary)]),
    ];
    let rigs: Vec<_> = rows.iter().map(|(format, _)| rig("ids", format, "tracecontext")).collect();
    for (of, fields) in rows {
        let owned = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
        let fields: Vec<_> = fields.iter().map(owned).collect();
        for ((read, _), rig) in rows.iter().zip(&rigs) {
            for (seen, version) in both(rig, &fields) {
                let why = format!("{of} where {read} is read, over {version}");
                let context = seen.value("traceparent").expect("a context");
                // All of these formats but Datadog's say the whole id.
                assert_eq!(context[19..35] == *low, of == read, "{why}: {context}");
                for (name, _) in fields.iter().filter(|(name, _)| name != "traceparent") {
                    assert!(seen.values(name).is_empty(), "{why}: {name} arrived");
                }
            }
        }
    }
}

/// Whether a trusted caller's field goes on as it came, by whose it is and how it is spelt, where all
/// formats are configured or those of W3C alone.
fn goes_on(name: &str, all: bool) -> bool {
    match family(name).expect("a listed name") {
        Family::Unspoken => true,
        Family::TraceContext => false,
        Family::Baggage => name == "baggage",
        Family::B3 | Family::Jaeger | Family::XRay | Family::Datadog | Family::GrpcTraceBin => !all,
    }
}

#[test]
fn under_full_what_goes_on_is_by_family_and_aliases_of_what_is_spoken_never_do() {
    let context = ("traceparent".to_owned(), CONTEXT.to_owned());
    for (extract, inject, all) in [(W3C, W3C, false), (ALL, W3C, true), (W3C, ALL, true)] {
        let rig = rig("full", extract, inject);
        for name in listed() {
            let mut fields = planted(&name, &["traceparent", "tracestate", "b3"]);
            let mut expected: BTreeMap<String, Vec<String>> = BTreeMap::new();
            for (name, value) in &fields {
                let name = name.to_lowercase();
                if goes_on(&name, all) {
                    expected.entry(name).or_default().push(value.clone());
                }
            }
            fields.push(context.clone());
            for (seen, version) in both(&rig, &fields) {
                let why = format!("{name} over {version}, read {extract}, written {inject}");
                assert_continued(&seen, &why);
                assert_eq!(arrived(&seen), expected, "{why}");
            }
        }
    }
}

#[test]
fn a_doubled_context_restarts_whoever_brings_it() {
    let [one, other] = ["01", "00"].map(|flags| format!("00-{TRACE}-{PARENT}-{flags}"));
    for trust in ["ids", "full"] {
        let rig = rig(trust, ALL, W3C);
        for (names, values, why) in [
            (["traceparent"; 2], [&one; 2], "the same twice"),
            (["traceparent"; 2], [&one, &other], "two decisions"),
            (["TraceParent", "TRACEPARENT"], [&one; 2], "in two cases"),
        ] {
            let pair = names.iter().zip(values);
            let mut fields: Vec<_> = pair
                .map(|(name, value)| ((*name).to_owned(), value.clone()))
                .collect();
            // Nothing of the old trace goes on beside the new one, in whatever format.
            for name in listed() {
                fields.extend(planted(&name, &["traceparent"]).into_iter().take(2));
            }
            for (seen, version) in both(&rig, &fields) {
                assert_clean(&seen, &format!("{trust}, {why} over {version}"));
            }
        }
    }
}
