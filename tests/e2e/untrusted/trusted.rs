//! Callers under `full`: their context goes on, but only in one piece and under one name.

use super::{CONTEXT, PARENT, PLANTED, Rig, TRACE};

const FULL: &str = "  trust: {default: full}\n";

#[test]
fn a_trusted_context_goes_on_and_its_aliases_do_not() {
    let rig = Rig::with(FULL);
    let fields = format!(
        "traceparent: {CONTEXT}\r\ntracestate: a=1\r\nbaggage: k=v\r\nb3: 1-2-1\r\n\
         Trace_Parent: {PLANTED}\r\ntrace.state: {PLANTED}=1\r\nbag--gage: {PLANTED}=1\r\n\
         _traceparent: {PLANTED}\r\nTRACE-PARENT: {PLANTED}\r\n"
    );
    for seen in [
        rig.http1(&fields),
        rig.http2(&super::lines(fields.as_bytes())),
    ] {
        let context = seen.value("traceparent").expect("a context");
        assert!(context.starts_with(&format!("00-{TRACE}-")), "{context}");
        assert!(context.ends_with("-01"), "the parent's flags: {context}");
        assert!(!context.contains(PARENT), "a span of its own: {context}");
        assert_eq!(seen.values("tracestate"), ["a=1"]);
        assert_eq!(seen.values("baggage"), ["k=v"]);
        assert_eq!(seen.values("b3"), ["1-2-1"]);
        let planted = |v: &http::HeaderValue| v.to_str().is_ok_and(|v| v.contains(PLANTED));
        assert!(!seen.headers.values().any(planted), "{:?}", seen.headers);
    }
}

#[test]
fn a_trusted_caller_with_no_usable_context_gets_a_new_trace_and_nothing_of_the_old() {
    let rows = [
        (
            "two",
            format!("traceparent: {CONTEXT}\r\ntraceparent: 00-{TRACE}-{PARENT}-00\r\n"),
        ),
        (
            "the same twice",
            format!("traceparent: {CONTEXT}\r\nTRACEPARENT: {CONTEXT}\r\n"),
        ),
        ("a list", format!("traceparent: {CONTEXT}, {CONTEXT}\r\n")),
        ("no flags", format!("traceparent: 00-{TRACE}-{PARENT}-\r\n")),
        (
            "zero trace id",
            format!("traceparent: 00-{:032x}-{PARENT}-01\r\n", 0),
        ),
        (
            "zero parent id",
            format!("traceparent: 00-{TRACE}-{:016x}-01\r\n", 0),
        ),
        (
            "upper case",
            format!("traceparent: {}\r\n", CONTEXT.to_uppercase()),
        ),
        (
            "version ff",
            format!("traceparent: ff-{TRACE}-{PARENT}-01\r\n"),
        ),
        ("too long", format!("traceparent: {CONTEXT}-00\r\n")),
        ("obs-text", format!("traceparent: {CONTEXT}é\r\n")),
        ("empty", "traceparent:\r\n".to_owned()),
    ];
    let rig = Rig::with(FULL);
    for (why, context) in rows {
        let fields = format!(
            "{context}tracestate: {PLANTED}=1\r\nbaggage: {PLANTED}=1\r\nx-b3-traceid: {PLANTED}\r\n"
        );
        super::assert_clean(&rig.http1(fields), why);
    }
}

#[test]
fn a_state_without_a_context_does_not_go_on() {
    let seen = Rig::with(FULL).http1(format!("tracestate: {PLANTED}=1\r\n"));
    super::assert_clean(&seen, "tracestate alone");
}
