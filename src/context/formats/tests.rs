//! A table per format: what is read, what is written, what is refused.

use proptest::prelude::*;

use super::testing::Lines;
use super::*;
use crate::context::ids::Flags;
use crate::context::untrusted;

const TRACE: u128 = 0x0af7_6519_16cd_43dd_8448_eb21_1c80_319c;
/// The same, its upper half gone.
const SHORT: u128 = 0x8448_eb21_1c80_319c;
const SPAN: u64 = 0xb7ad_6b71_6920_3331;

/// Written out: 32, 16 and 16 digits.
const T: &str = "0af7651916cd43dd8448eb211c80319c";
const T64: &str = "8448eb211c80319c";
const S: &str = "b7ad6b7169203331";

type Row<'a> = (Vec<(&'a str, String)>, Result<Found, Malformed>, &'a str);

fn context(trace_id: u128, sampled: Option<bool>) -> Result<Found, Malformed> {
    Remote::new(trace_id, SPAN, sampled).map(Found::Context)
}

fn check(format: Format, rows: Vec<Row<'_>>) {
    for (lines, expected, reason) in rows {
        let found = format.read(&Lines::new(&lines));
        assert_eq!(found, expected, "{format:?}: {reason}: {lines:?}");
    }
}

/// Rows of formats with one field.
fn single<'a>(
    name: &'a str,
    rows: Vec<(String, Result<Found, Malformed>, &'a str)>,
) -> Vec<Row<'a>> {
    rows.into_iter()
        .map(|(value, expected, reason)| (vec![(name, value)], expected, reason))
        .collect()
}

fn written(format: Format, trace_id: u128, sampled: bool) -> Vec<(String, String)> {
    let context = TraceParent {
        trace_id: TraceId::new(trace_id).unwrap(),
        parent_id: SpanId::new(SPAN).unwrap(),
        flags: Flags::RANDOM.with_sampled(sampled),
    };
    write(format, &context)
}

fn write(format: Format, context: &TraceParent) -> Vec<(String, String)> {
    let mut lines = Vec::new();
    format.write(context, &mut |name, value| {
        let value = String::from_utf8(value.to_vec()).unwrap();
        lines.push((name.as_str().to_owned(), value));
    });
    lines
}

#[test]
#[rustfmt::skip]
fn b3_in_one_field_is_read_by_the_specification() {
    use Malformed::{Sampling, Shape, SpanId, TraceId, ZeroSpanId, ZeroTraceId};
    let sampled = context(TRACE, Some(true));
    check(
        Format::B3,
        single(
            "b3",
            vec![
                (format!("{T}-{S}-1"), sampled, "accepted"),
                (format!("{T}-{S}-0"), context(TRACE, Some(false)), "denied"),
                (format!("{T}-{S}-d"), sampled, "debug is accepted"),
                (format!("{T}-{S}"), context(TRACE, None), "deferred"),
                (format!("{T}-{S}-1-{S}"), sampled, "with its parent"),
                (format!("{T64}-{S}-1"), context(SHORT, Some(true)), "64 bits are padded"),
                ("0".into(), Ok(Found::Decision(false)), "denied without ids"),
                ("1".into(), Ok(Found::Decision(true)), "accepted without ids"),
                ("d".into(), Ok(Found::Decision(true)), "debug without ids"),
                (String::new(), Err(Sampling), "nothing"),
                ("2".into(), Err(Sampling), "no such state"),
                ("true".into(), Err(Sampling), "only several fields had words"),
                (format!("{T}-{S}-"), Err(Sampling), "an empty state"),
                (format!("{T}-{S}-D"), Err(Sampling), "a capital state"),
                (format!("{T}-{S}-01"), Err(Sampling), "a state of two digits"),
                (format!("{T}-{S}--{S}"), Err(Sampling), "no state before the parent"),
                (format!("{T}-{S}-1-{S}-1"), Err(Shape), "five parts"),
                (format!("{T}-{S}-1-x"), Err(SpanId), "no id of a parent"),
                (format!("{}-{S}-1", &T[1..]), Err(TraceId), "31 digits"),
                (format!("{}-{S}-1", &T64[1..]), Err(TraceId), "15 digits"),
                (format!("{}-{S}-1", T.to_uppercase()), Err(TraceId), "capitals"),
                (format!("+{}-{S}-1", &T[1..]), Err(TraceId), "a sign"),
                (format!(" {T}-{S}-1"), Err(TraceId), "a blank"),
                (format!("{T}-{}-1", &S[1..]), Err(SpanId), "a short span id"),
                (format!("{T}-0{S}-1"), Err(SpanId), "a long span id"),
                (format!("{:032}-{S}-1", 0), Err(ZeroTraceId), "a trace id of zeros"),
                (format!("{T}-{:016}-1", 0), Err(ZeroSpanId), "a span id of zeros"),
                (format!("{T}-{S}-1,{T}-{S}-1"), Err(Sampling), "two in one field"),
                (T.into(), Err(Sampling), "a trace id alone"),
            ],
        ),
    );
    let twice = vec![("b3", "0".to_owned()), ("b3", "0".to_owned())];
    check(Format::B3, vec![(twice, Err(Malformed::Several), "two fields")]);
    check(Format::B3, vec![(vec![], Ok(Found::Nothing), "no field")]);
    let expected = [("b3".to_owned(), format!("{T}-{S}-1"))];
    assert_eq!(written(Format::B3, TRACE, true), expected);
    let expected = [("b3".to_owned(), format!("{:016}{T64}-{S}-0", 0))];
    assert_eq!(written(Format::B3, SHORT, false), expected);
}

#[test]
#[rustfmt::skip]
fn b3_in_several_fields_is_read_by_the_specification() {
    use Malformed::{Incomplete, Sampling, Several, SpanId, TraceId, ZeroSpanId, ZeroTraceId};
    let fields = |pairs: &[(&'static str, &str)]| -> Vec<(&'static str, String)> {
        pairs.iter().map(|(n, v)| (*n, (*v).to_owned())).collect()
    };
    let (t, s, parent) = (("x-b3-traceid", T), ("x-b3-spanid", S), ("x-b3-parentspanid", S));
    let state = |value| ("x-b3-sampled", value);
    let flags = |value| ("x-b3-flags", value);
    let zeros = "0".repeat(32);
    let sampled = context(TRACE, Some(true));
    let denied = context(TRACE, Some(false));
    let rows: Vec<Row<'_>> = vec![
        (fields(&[t, s, state("1")]), sampled, "accepted"),
        (fields(&[t, s, state("0")]), denied, "denied"),
        (fields(&[t, s, state("true")]), sampled, "a word from before the specification"),
        (fields(&[t, s, state("false")]), denied, "another"),
        (fields(&[t, s]), context(TRACE, None), "deferred"),
        (fields(&[t, s, flags("1")]), sampled, "debug is accepted"),
        (fields(&[t, s, flags("1"), state("0")]), sampled, "debug implies an accept"),
        (fields(&[t, s, flags("0"), state("0")]), denied, "other flags mean nothing"),
        (fields(&[t, s, parent, state("1")]), sampled, "with its parent"),
        (fields(&[("x-b3-traceid", T64), s]), context(SHORT, None), "64 bits are padded"),
        (fields(&[state("0")]), Ok(Found::Decision(false)), "denied without ids"),
        (fields(&[state("1")]), Ok(Found::Decision(true)), "accepted without ids"),
        (fields(&[flags("1")]), Ok(Found::Decision(true)), "debug without ids"),
        (fields(&[flags("0")]), Ok(Found::Nothing), "nothing said"),
        (vec![], Ok(Found::Nothing), "no field"),
        (fields(&[t, state("1")]), Err(Incomplete), "no span id"),
        (fields(&[s, state("1")]), Err(Incomplete), "no trace id"),
        (fields(&[parent, state("1")]), Err(Incomplete), "nothing but a parent"),
        (fields(&[t, s, state("d")]), Err(Sampling), "debug is said by flags"),
        (fields(&[t, s, state("")]), Err(Sampling), "an empty state"),
        (fields(&[t, s, ("x-b3-parentspanid", "0")]), Err(SpanId), "a parent of one digit"),
        (fields(&[("x-b3-traceid", "1"), s]), Err(TraceId), "one digit"),
        (fields(&[t, ("x-b3-spanid", T)]), Err(SpanId), "32 digits"),
        (fields(&[("x-b3-traceid", &zeros), s]), Err(ZeroTraceId), "a trace id of zeros"),
        (fields(&[t, ("x-b3-spanid", &zeros[..16])]), Err(ZeroSpanId), "a span id of zeros"),
        (fields(&[t, t, s]), Err(Several), "two trace ids"),
        (fields(&[t, s, s]), Err(Several), "two span ids"),
        (fields(&[t, s, state("1"), state("0")]), Err(Several), "two states"),
        (fields(&[t, s, flags("1"), flags("1")]), Err(Several), "two flags"),
        (fields(&[t, s, parent, parent]), Err(Several), "two parents"),
    ];
    check(Format::B3Multi, rows);
    let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
    assert_eq!(
        written(Format::B3Multi, TRACE, false),
        [pair("x-b3-traceid", T), pair("x-b3-spanid", S), pair("x-b3-sampled", "0")]
    );
}

#[test]
#[rustfmt::skip]
fn jaegers_field_is_read_with_and_without_leading_zeros() {
    use Malformed::{Sampling, Several, Shape, SpanId, TraceId, ZeroSpanId, ZeroTraceId};
    let sampled = context(TRACE, Some(true));
    let small = Remote::new(0xf, 1, Some(true)).map(Found::Context);
    check(
        Format::Jaeger,
        single(
            "uber-trace-id",
            vec![
                (format!("{T}:{S}:0:1"), sampled, "sampled"),
                (format!("{T}:{S}:0:0"), context(TRACE, Some(false)), "not sampled"),
                (format!("{T}:{S}:{S}:01"), sampled, "a parent, flags of two digits"),
                (format!("{T}:{S}:0:3"), sampled, "debug and sampled"),
                (format!("{T}:{S}:0:2"), sampled, "debug forces a trace"),
                (format!("{T}:{S}:0:8"), context(TRACE, Some(false)), "other flags mean nothing"),
                (format!("{T64}:{S}:0:1"), context(SHORT, Some(true)), "64 bits are padded"),
                ("f:1:0:1".into(), small, "numbers without leading zeros"),
                (format!("{T}%3A{S}%3a0%3A1"), sampled, "encoded as in URLs"),
                (String::new(), Err(Shape), "nothing"),
                (format!("{T}:{S}:0"), Err(Shape), "three parts"),
                (format!("{T}:{S}:0:1:1"), Err(Sampling), "five parts"),
                (format!("{T}%3B{S}:0:1"), Err(Shape), "another sign encoded"),
                (format!("{T}:{S}:0:"), Err(Sampling), "no flags"),
                (format!("{T}:{S}:0:001"), Err(Sampling), "flags of three digits"),
                (format!("{T}:{S}:0:x"), Err(Sampling), "flags not hexadecimal"),
                (format!("{T}:{S}::1"), Err(SpanId), "an empty parent"),
                (format!(":{S}:0:1"), Err(TraceId), "an empty trace id"),
                (format!("0{T}:{S}:0:1"), Err(TraceId), "33 digits"),
                (format!("{}:{S}:0:1", T.to_uppercase()), Err(TraceId), "capitals"),
                (format!("{T}:1{S}:0:1"), Err(SpanId), "17 digits"),
                (format!("0:{S}:0:1"), Err(ZeroTraceId), "a trace id of zero"),
                (format!("{T}:0:0:1"), Err(ZeroSpanId), "a span id of zero"),
            ],
        ),
    );
    let value = ("uber-trace-id", format!("{T}:{S}:0:1"));
    let twice = vec![value.clone(), value];
    check(Format::Jaeger, vec![(twice, Err(Several), "two fields")]);
    let expected = [("uber-trace-id".to_owned(), format!("{T}:{S}:0:1"))];
    assert_eq!(written(Format::Jaeger, TRACE, true), expected);
}

#[test]
#[rustfmt::skip]
fn xrays_field_is_read_whatever_else_stands_in_it() {
    use Malformed::{
        Incomplete, Sampling, Several, Shape, SpanId, TraceId, Version, ZeroSpanId, ZeroTraceId,
    };
    let (time, unique) = T.split_at(8);
    let root = format!("Root=1-{time}-{unique}");
    let all = format!("{root};Parent={S};Sampled=1");
    let sampled = context(TRACE, Some(true));
    check(
        Format::XRay,
        single(
            "x-amzn-trace-id",
            vec![
                (all.clone(), sampled, "sampled"),
                (format!("{root};Parent={S};Sampled=0"), context(TRACE, Some(false)), "not sampled"),
                (format!("{root};Parent={S};Sampled=?"), context(TRACE, None), "asked for a decision"),
                (format!("{root};Parent={S}"), context(TRACE, None), "no word of sampling"),
                (format!("Sampled=1;Parent={S};{root}"), sampled, "in any order"),
                (format!("Self=1-a-b; {all} ;Lineage=1:2:3;"), sampled, "other keys and blanks"),
                (root.clone(), Ok(Found::Nothing), "a load balancer's trace"),
                (format!("{root};Sampled=0"), Ok(Found::Decision(false)), "a client's decision"),
                ("Sampled=1".into(), Ok(Found::Decision(true)), "a decision alone"),
                ("Self=1-67891233-abcdef012345678912345678".into(), Ok(Found::Nothing), "no key of ours"),
                (String::new(), Err(Shape), "nothing"),
                (format!("{all};junk"), Err(Shape), "no pair"),
                (format!("Parent={S};Sampled=1"), Err(Incomplete), "a parent without trace"),
                (format!("{all};Sampled=0"), Err(Several), "two decisions"),
                (format!("{all};{root}"), Err(Several), "two roots"),
                (format!("{all};Parent={S}"), Err(Several), "two parents"),
                (format!("{root};Parent={S};Sampled=2"), Err(Sampling), "no such decision"),
                (format!("{root};Parent={S};Sampled="), Err(Sampling), "an empty decision"),
                (format!("Root=2-{time}-{unique};Parent={S}"), Err(Version), "another version"),
                (format!("Root={T};Parent={S}"), Err(Version), "no version"),
                (format!("Root=1-{time}{unique};Parent={S}"), Err(TraceId), "no dash"),
                (format!("Root=1-{time}-{};Parent={S}", &unique[1..]), Err(TraceId), "23 digits"),
                (format!("Root=1-{};Parent={S}", &time[1..]), Err(TraceId), "too short"),
                (format!("Root=1-{}-{unique}", time.to_uppercase()), Err(TraceId), "capitals"),
                (format!("Root=1-+{}-{unique}", &time[1..]), Err(TraceId), "a sign"),
                (format!("{root};Parent={}", &S[1..]), Err(SpanId), "15 digits"),
                (format!("{root};Parent={:016}", 0), Err(ZeroSpanId), "a parent of zeros"),
                (format!("Root=1-{:08}-{:024};Parent={S}", 0, 0), Err(ZeroTraceId), "zeros"),
                (format!("Root=1-{:08}-{:024}", 0, 0), Err(ZeroTraceId), "zeros alone"),
            ],
        ),
    );
    let value = ("x-amzn-trace-id", all.clone());
    let twice = vec![value.clone(), value];
    check(Format::XRay, vec![(twice, Err(Several), "two fields")]);
    let expected = [("x-amzn-trace-id".to_owned(), all)];
    assert_eq!(written(Format::XRay, TRACE, true), expected);
}

#[test]
#[rustfmt::skip]
fn datadogs_fields_are_read_together() {
    use Malformed::{Incomplete, Sampling, Several, SpanId, TraceId, ZeroSpanId, ZeroTraceId};
    let (lower, span) = (SHORT.to_string(), SPAN.to_string());
    let t = ("x-datadog-trace-id", lower.clone());
    let s = ("x-datadog-parent-id", span.clone());
    let priority = |value: &str| ("x-datadog-sampling-priority", value.to_owned());
    let tags = |value: &str| ("x-datadog-tags", value.to_owned());
    let tid = "_dd.p.tid=0af7651916cd43dd";
    let with = |more: &[(&'static str, String)]| {
        let mut fields = vec![t.clone(), s.clone()];
        fields.extend(more.iter().cloned());
        fields
    };
    let id = |value: &str| vec![("x-datadog-trace-id", value.to_owned()), s.clone()];
    let parent = |value: &str| vec![t.clone(), ("x-datadog-parent-id", value.to_owned())];
    let short = |sampled| context(SHORT, sampled);
    check(
        Format::Datadog,
        vec![
            (with(&[priority("1"), tags(tid)]), context(TRACE, Some(true)), "128 bits, kept"),
            (with(&[priority("1")]), short(Some(true)), "64 bits are padded"),
            (with(&[priority("2")]), short(Some(true)), "kept by a user"),
            (with(&[priority("0")]), short(Some(false)), "rejected"),
            (with(&[priority("-1")]), short(Some(false)), "rejected by a user"),
            (with(&[]), short(None), "no word of sampling"),
            (
                with(&[tags(&format!("_dd.p.dm=-4, {tid},_dd.p.usr=x"))]),
                context(TRACE, None),
                "among other tags",
            ),
            (with(&[tags("_dd.p.tid=0000000000000000")]), short(None), "an upper half of zeros"),
            (with(&[tags("_dd.p.dm=-4")]), short(None), "other tags"),
            (with(&[tags("")]), short(None), "empty tags"),
            (with(&[("x-datadog-origin", "rum".into())]), short(None), "other fields"),
            (vec![], Ok(Found::Nothing), "no field"),
            (vec![priority("2")], Ok(Found::Nothing), "a priority of no trace"),
            (vec![t.clone()], Err(Incomplete), "no parent"),
            (vec![s.clone()], Err(Incomplete), "no trace"),
            (with(&[priority("3")]), Err(Sampling), "no such priority"),
            (with(&[priority("+1")]), Err(Sampling), "a sign"),
            (with(&[priority("")]), Err(Sampling), "an empty priority"),
            (vec![priority("x")], Err(Sampling), "no priority, of no trace"),
            (with(&[tags("_dd.p.tid=af7651916cd43dd")]), Err(TraceId), "15 digits above"),
            (with(&[tags("_dd.p.tid=0AF7651916CD43DD")]), Err(TraceId), "capitals above"),
            (with(&[tags(&format!("{tid},{tid}"))]), Err(Several), "two upper halves"),
            (id("18446744073709551616"), Err(TraceId), "2^64"),
            (id("-1"), Err(TraceId), "a sign"),
            (id(T64), Err(TraceId), "hexadecimal"),
            (id(""), Err(TraceId), "an empty id"),
            (id("0"), Err(ZeroTraceId), "a trace id of zero"),
            (parent("x"), Err(SpanId), "no number"),
            (parent("0"), Err(ZeroSpanId), "a parent of zero"),
            (with(std::slice::from_ref(&t)), Err(Several), "two trace ids"),
            (with(std::slice::from_ref(&s)), Err(Several), "two parents"),
            (with(&[priority("1"), priority("0")]), Err(Several), "two priorities"),
            (with(&[tags(tid), tags(tid)]), Err(Several), "two fields of tags"),
        ],
    );
    let pair = |name: &str, value: &str| (format!("x-datadog-{name}"), value.to_owned());
    let ids = [pair("trace-id", &lower), pair("parent-id", &span)];
    let mut long = ids.to_vec();
    long.extend([pair("sampling-priority", "1"), pair("tags", tid)]);
    assert_eq!(written(Format::Datadog, TRACE, true), long);
    let mut short = ids.to_vec();
    short.push(pair("sampling-priority", "0"));
    assert_eq!(written(Format::Datadog, SHORT, false), short);
    assert_eq!(written(Format::Datadog, 1 << 64, true), [], "no reader could follow it");
}

#[test]
#[rustfmt::skip]
fn grpcs_field_is_read_in_any_order_and_padding() {
    use base64::Engine as _;
    use base64::prelude::{BASE64_STANDARD, BASE64_STANDARD_NO_PAD};
    use Malformed::{Base64, Incomplete, Several, Shape, Version, ZeroSpanId, ZeroTraceId};
    let t = [&[0], &TRACE.to_be_bytes()[..]].concat();
    let s = [&[1], &SPAN.to_be_bytes()[..]].concat();
    let options = |bits: u8| vec![2, bits];
    let zero = |id: u8, len: usize| [vec![id], vec![0; len]].concat();
    let all = |parts: &[Vec<u8>]| BASE64_STANDARD_NO_PAD.encode([&[0][..], &parts.concat()].concat());
    let whole = [&[0][..], &t, &s, &[2, 1]].concat();
    let (padded, bare) = (BASE64_STANDARD.encode(&whole), BASE64_STANDARD_NO_PAD.encode(&whole));
    let parts = |list: &[&Vec<u8>]| all(&list.iter().map(|p| (*p).clone()).collect::<Vec<_>>());
    let sampled = context(TRACE, Some(true));
    let mut loose = bare.clone().into_bytes();
    *loose.last_mut().unwrap() += 1;
    check(
        Format::GrpcTraceBin,
        single(
            "grpc-trace-bin",
            vec![
                (bare.clone(), sampled, "without padding"),
                (padded.clone(), sampled, "with padding"),
                (parts(&[&t, &s, &options(0)]), context(TRACE, Some(false)), "not sampled"),
                (parts(&[&t, &s, &options(0xff)]), sampled, "other bits mean nothing"),
                (parts(&[&t, &s]), context(TRACE, None), "no options"),
                (parts(&[&options(1), &s, &t]), sampled, "in another order"),
                (parts(&[&t, &s, &options(1), &vec![3, 9, 9]]), sampled, "a later field"),
                (parts(&[&t, &s, &vec![200], &t]), context(TRACE, None), "anything behind it"),
                (String::new(), Err(Version), "nothing"),
                (BASE64_STANDARD.encode([1, 2, 3]), Err(Version), "another version"),
                (all(&[]), Err(Incomplete), "a version alone"),
                (parts(&[&t]), Err(Incomplete), "no span id"),
                (parts(&[&s]), Err(Incomplete), "no trace id"),
                (parts(&[&t, &t, &s]), Err(Several), "two trace ids"),
                (parts(&[&t, &s, &options(0), &options(1)]), Err(Several), "two options"),
                (parts(&[&t, &s, &vec![2]]), Err(Shape), "cut off"),
                (parts(&[&t[..9].to_vec()]), Err(Shape), "half a trace id"),
                (parts(&[&zero(0, 16), &s]), Err(ZeroTraceId), "a trace id of zeros"),
                (parts(&[&t, &zero(1, 8)]), Err(ZeroSpanId), "a span id of zeros"),
                (format!("{bare}!"), Err(Base64), "no letter of base64"),
                (format!("{padded},{padded}"), Err(Base64), "two in one field"),
                (format!("{padded}="), Err(Base64), "too much padding"),
                (String::from_utf8(loose).unwrap(), Err(Base64), "bits that say nothing"),
                ("A".repeat(4096), Err(Base64), "far too long"),
            ],
        ),
    );
    let value = ("grpc-trace-bin", bare.clone());
    let twice = vec![value.clone(), value];
    check(Format::GrpcTraceBin, vec![(twice, Err(Several), "two fields")]);
    let expected = [("grpc-trace-bin".to_owned(), bare)];
    assert_eq!(written(Format::GrpcTraceBin, TRACE, true), expected);
}

#[test]
fn w3c_is_written_with_its_flags_and_baggage_says_nothing() {
    let expected = [("traceparent".to_owned(), format!("00-{T}-{S}-03"))];
    assert_eq!(written(Format::TraceContext, TRACE, true), expected);
    assert_eq!(written(Format::Baggage, TRACE, true), []);
}

#[test]
fn what_a_format_writes_belongs_to_its_family() {
    for format in Format::ALL {
        for (name, _) in written(format, TRACE, true) {
            assert_eq!(untrusted::family(&name), Some(format.family()), "{name}");
        }
    }
}

/// Formats with readers of their own kind.
fn any_format() -> impl Strategy<Value = Format> {
    prop::sample::select(&Format::ALL[2..])
}

/// Names of all fields of all formats.
const NAMES: [&str; 13] = [
    "b3",
    "x-b3-traceid",
    "x-b3-spanid",
    "x-b3-parentspanid",
    "x-b3-sampled",
    "x-b3-flags",
    "uber-trace-id",
    "x-amzn-trace-id",
    "x-datadog-trace-id",
    "x-datadog-parent-id",
    "x-datadog-sampling-priority",
    "x-datadog-tags",
    "grpc-trace-bin",
];

proptest! {
    #[test]
    fn every_format_reads_what_it_wrote(
        format in any_format(), trace: u128, span in 1..=u64::MAX, sampled: bool, short: bool,
    ) {
        let lower = u128::from(trace as u64 | 1);
        let trace_id = if short { lower } else { trace >> 64 << 64 | lower };
        let context = TraceParent {
            trace_id: TraceId::new(trace_id).unwrap(),
            parent_id: SpanId::new(span).unwrap(),
            flags: Flags::default().with_sampled(sampled),
        };
        let lines = write(format, &context);
        let lines: Vec<_> = lines.iter().map(|(n, v)| (n.as_str(), v)).collect();
        let expected = Remote::new(trace_id, span, Some(sampled)).map(Found::Context);
        prop_assert_eq!(format.read(&Lines::new(&lines)), expected);
    }

    #[test]
    fn arbitrary_bytes_never_panic(
        lines in prop::collection::vec(
            (prop::sample::select(&NAMES[..]), prop::collection::vec(any::<u8>(), 0..120)), 0..6),
    ) {
        for format in Format::ALL {
            let _ = format.read(&Lines::new(&lines));
        }
    }

    #[test]
    fn nearly_right_values_never_panic(
        format in any_format(), at: prop::sample::Index, byte: u8, cut: prop::sample::Index,
    ) {
        let context = TraceParent {
            trace_id: TraceId::new(TRACE).unwrap(),
            parent_id: SpanId::new(SPAN).unwrap(),
            flags: Flags::SAMPLED,
        };
        let mut lines: Vec<_> = write(format, &context)
            .into_iter()
            .map(|(name, value)| (name, value.into_bytes()))
            .collect();
        for (_, value) in &mut lines {
            let place = at.index(value.len());
            value[place] = byte;
            value.truncate(cut.index(value.len() + 1));
        }
        let lines: Vec<_> = lines.iter().map(|(n, v)| (n.as_str(), v)).collect();
        let _ = format.read(&Lines::new(&lines));
    }
}
