//! The formats of `propagation` through the whole proxy: what callers bring in each of them under
//! each trust, what leaves, and what never does.

mod leaving;

use std::collections::BTreeSet;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD_NO_PAD;
use http::{HeaderName, HeaderValue};
use opentelemetry_proto::tonic::trace::v1::Span;

use super::component::{Component, Seen};
use super::http2::Caller;
use super::proxy::{self, Proxy};
use super::receiver::{Receiver, Speaks, attribute};
use super::wire::{self, Wire};

const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";
const PARENT: &str = "b7ad6b7169203331";
/// Part of every other value that must not arrive.
const PLANTED: &str = "planted";

const ALL: &str = "[b3, b3multi, jaeger, xray, datadog, grpc-trace-bin, tracecontext, baggage]";
const FORMATS: [&str; 7] = [
    "tracecontext",
    "b3",
    "b3multi",
    "jaeger",
    "xray",
    "datadog",
    "grpc-trace-bin",
];
const TRUSTS: [&str; 3] = ["drop", "ids", "full"];

type Fields = Vec<(&'static str, String)>;

/// A context as a format writes it; flags are those of W3C.
fn fields(format: &str, trace: &str, span: &str, flags: u8) -> Fields {
    let sampled = flags & 1;
    let (upper, lower) = trace.split_at(16);
    let decimal = |hex: &str| {
        u64::from_str_radix(hex, 16)
            .expect("hexadecimal")
            .to_string()
    };
    match format {
        "tracecontext" => vec![("traceparent", format!("00-{trace}-{span}-{flags:02x}"))],
        "b3" => vec![("b3", format!("{trace}-{span}-{sampled}"))],
        "b3multi" => vec![
            ("x-b3-traceid", trace.to_owned()),
            ("x-b3-spanid", span.to_owned()),
            ("x-b3-sampled", sampled.to_string()),
        ],
        "jaeger" => vec![("uber-trace-id", format!("{trace}:{span}:0:{sampled}"))],
        "xray" => vec![(
            "x-amzn-trace-id",
            format!(
                "Root=1-{}-{};Parent={span};Sampled={sampled}",
                &trace[..8],
                &trace[8..]
            ),
        )],
        "datadog" => vec![
            ("x-datadog-trace-id", decimal(lower)),
            ("x-datadog-parent-id", decimal(span)),
            ("x-datadog-sampling-priority", sampled.to_string()),
            ("x-datadog-tags", format!("_dd.p.tid={upper}")),
        ],
        "grpc-trace-bin" => {
            let mut bytes = vec![0, 0];
            bytes.extend(unhex(trace));
            bytes.push(1);
            bytes.extend(unhex(span));
            bytes.extend([2, sampled]);
            vec![("grpc-trace-bin", BASE64_STANDARD_NO_PAD.encode(bytes))]
        }
        other => panic!("no format {other}"),
    }
}

/// The caller's context.
fn brought(format: &str, sampled: bool) -> Fields {
    fields(format, TRACE, PARENT, u8::from(sampled))
}

fn unhex(text: &str) -> Vec<u8> {
    let digits = |at| u8::from_str_radix(&text[at..at + 2], 16).expect("hexadecimal");
    (0..text.len()).step_by(2).map(digits).collect()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// A proxy in front of a component.
struct Rig {
    component: Component,
    receiver: Receiver,
    proxy: Proxy,
}

impl Rig {
    /// Everything that starts here is sampled.
    fn start(trust: &str, extract: &str, inject: &str) -> Self {
        Self::with(trust, extract, inject, 1_000_000, "")
    }

    fn with(trust: &str, extract: &str, inject: &str, rate: u32, more: &str) -> Self {
        let (component, receiver) = (Component::start(), Receiver::start(Speaks::Grpc));
        let more = format!("  trust: {{default: {trust}}}\n{more}");
        let yaml = proxy::ingress(&component.url(), receiver.endpoint(), &more)
            .replace("1000000", &rate.to_string());
        let propagation = format!("propagation: {{extract: {extract}, inject: {inject}}}");
        let proxy = Proxy::start(&proxy::with_top(&yaml, &propagation));
        Self {
            component,
            receiver,
            proxy,
        }
    }

    /// What arrives of a request over HTTP/1.1 with these fields.
    fn http1(&self, path: &str, fields: &[(impl AsRef<str>, String)]) -> Seen {
        let before = self.component.seen().len();
        let mut request = format!("GET {path} HTTP/1.1\r\nHost: example.com\r\n");
        for (name, value) in fields {
            request.push_str(&format!("{}: {value}\r\n", name.as_ref()));
        }
        request.push_str("\r\n");
        let (head, _) = Wire::connect(self.proxy.at(0)).ask(&request);
        assert_eq!(wire::status(&head), 200, "{request}");
        self.component.wait_for(before + 1).remove(before)
    }

    /// The same over HTTP/2.
    fn http2(&self, path: &str, fields: &[(impl AsRef<str>, String)]) -> Seen {
        let before = self.component.seen().len();
        let mut request = Caller::get(path);
        for (name, value) in fields {
            let name = name.as_ref().to_lowercase();
            let name = HeaderName::try_from(name).expect("a name");
            let value = HeaderValue::try_from(value).expect("a value");
            request.headers_mut().append(name, value);
        }
        let (answer, _) = Caller::connect(self.proxy.at(0)).send(request);
        assert_eq!(answer.status(), 200);
        self.component.wait_for(before + 1).remove(before)
    }

    /// All spans, by path.
    fn spans(self, count: usize) -> impl Fn(&str) -> Span {
        let spans = self.proxy.spans(&self.receiver, count);
        move |path| {
            let of_path = |s: &&Span| attribute(&s.attributes, "url.path").as_deref() == Some(path);
            spans
                .iter()
                .find(of_path)
                .unwrap_or_else(|| panic!("no span of {path}"))
                .clone()
        }
    }
}

/// Trace, span and flags that reached the component as `traceparent`.
fn context(seen: &Seen) -> (String, String, u8) {
    let value = seen.value("traceparent").expect("a context");
    let parts: Vec<_> = value.split('-').collect();
    let flags = u8::from_str_radix(parts[3], 16).expect("hexadecimal");
    (parts[1].to_owned(), parts[2].to_owned(), flags)
}

/// Names that arrived and don't stand in every request.
fn names(seen: &Seen) -> BTreeSet<String> {
    let usual = [
        "host",
        "x-forwarded-for",
        "x-forwarded-proto",
        "x-forwarded-host",
        "forwarded",
        "x-real-ip",
    ];
    seen.headers
        .keys()
        .map(|name| name.as_str().to_owned())
        .filter(|name| !usual.contains(&name.as_str()))
        .collect()
}

/// Nothing of the caller's arrived, in any field.
fn assert_clean(seen: &Seen, why: &str) {
    let decimal = |hex: &str| {
        u64::from_str_radix(hex, 16)
            .expect("hexadecimal")
            .to_string()
    };
    let forbidden = [
        TRACE.to_owned(),
        TRACE[16..].to_owned(),
        PARENT.to_owned(),
        decimal(&TRACE[16..]),
        decimal(PARENT),
        brought("grpc-trace-bin", true)[0].1[..20].to_owned(),
        PLANTED.to_owned(),
    ];
    for (name, value) in &seen.headers {
        let text = String::from_utf8_lossy(value.as_bytes()).into_owned();
        for part in &forbidden {
            assert!(!text.contains(part.as_str()), "{why}: {name}: {text}");
        }
    }
}

/// Every format says the same, each once.
fn assert_all_agree(seen: &Seen, why: &str) {
    let (trace, span, flags) = context(seen);
    for format in FORMATS {
        for (name, value) in fields(format, &trace, &span, flags) {
            assert_eq!(seen.values(name), [value], "{why}: {name}");
        }
    }
}

#[test]
fn every_format_is_continued_or_linked_as_trust_says() {
    for trust in TRUSTS {
        let rig = Rig::start(trust, ALL, ALL);
        let mut sent = 0;
        for format in FORMATS {
            for sampled in [true, false] {
                let path = format!("/{format}/{sampled}");
                let why = format!("{trust} {path}");
                let brought = brought(format, sampled);
                let seen = if sampled {
                    rig.http1(&path, &brought)
                } else {
                    rig.http2(&path, &brought)
                };
                assert_all_agree(&seen, &why);
                let (trace, span, flags) = context(&seen);
                assert_eq!(trace == TRACE, trust != "drop", "{why}: {trace}");
                assert_ne!(span, PARENT, "{why}");
                // Only an id made here is known to be random, and only `full` lets callers decide.
                let expected = match trust {
                    "drop" => 3,
                    "ids" => 1,
                    _ => u8::from(sampled),
                };
                assert_eq!(flags, expected, "{why}");
                sent += usize::from(trust != "full" || sampled);
            }
        }
        let span_of = rig.spans(sent);
        for format in FORMATS {
            let span = span_of(&format!("/{format}/true"));
            let why = format!("{trust} {format}");
            let links: Vec<_> = span
                .links
                .iter()
                .map(|link| (hex(&link.trace_id), hex(&link.span_id)))
                .collect();
            if trust == "drop" {
                assert!(span.parent_span_id.is_empty(), "{why}");
                assert_eq!(links, [(TRACE.to_owned(), PARENT.to_owned())], "{why}");
            } else {
                assert_eq!(hex(&span.trace_id), TRACE, "{why}");
                assert_eq!(hex(&span.parent_span_id), PARENT, "{why}");
                assert_eq!(links, [], "{why}");
            }
        }
    }
}

#[test]
fn what_is_doubled_or_malformed_restarts_whoever_sends_it() {
    for trust in TRUSTS {
        let rig = Rig::start(trust, ALL, "[tracecontext, b3]");
        let mut sent = 0;
        let mut try_one = |fields: &[(String, String)], why: &str| {
            let why = format!("{trust}: {why}");
            for seen in [rig.http1("/", fields), rig.http2("/", fields)] {
                assert_clean(&seen, &why);
                let (trace, span, flags) = context(&seen);
                assert_eq!(flags, 3, "{why}: a new trace");
                assert_eq!(seen.values("b3"), [format!("{trace}-{span}-1")], "{why}");
                let expected = ["b3", "traceparent", "tracestate"].map(str::to_owned);
                assert_eq!(names(&seen), expected.into(), "{why}");
                sent += 1;
            }
        };
        for format in FORMATS {
            let brought: Vec<(String, String)> = brought(format, true)
                .into_iter()
                .map(|(name, value)| (name.to_owned(), value))
                .collect();
            for (at, (name, value)) in brought.iter().enumerate() {
                let mut doubled = brought.clone();
                doubled.push((name.to_uppercase(), value.clone()));
                doubled.push(("baggage".to_owned(), format!("{PLANTED}=1")));
                try_one(&doubled, &format!("{name} twice"));
                let mut broken = brought.clone();
                // `x-datadog-tags` says what it likes, but for the upper half.
                broken[at].1 = format!("{value}{PLANTED}").replace("-", "_");
                // Another format, valid, is no way out.
                broken.extend(super_valid(format));
                try_one(&broken, &format!("{name} broken, another format valid"));
            }
        }
        let spans = rig.proxy.spans(&rig.receiver, sent);
        assert!(
            spans
                .iter()
                .all(|s| s.links.is_empty() && s.parent_span_id.is_empty())
        );
    }
}

/// A valid context in a format that isn't this one.
fn super_valid(format: &str) -> Vec<(String, String)> {
    let other = if format == "jaeger" {
        "tracecontext"
    } else {
        "jaeger"
    };
    brought(other, true)
        .into_iter()
        .map(|(name, value)| (name.to_owned(), value))
        .collect()
}

#[test]
fn other_spellings_are_neither_read_nor_handed_on() {
    for trust in TRUSTS {
        let rig = Rig::start(trust, ALL, "[b3, tracecontext]");
        for format in FORMATS {
            for (from, to) in [("-", "_"), ("-", "."), ("", "-"), ("", "_")] {
                let alias = |name: &str| match from {
                    "" => format!("{to}{name}"),
                    _ if name.contains(from) => name.replace(from, to),
                    _ => format!("{to}{name}"),
                };
                let aliased: Vec<_> = brought(format, true)
                    .into_iter()
                    .map(|(name, value)| (alias(name), value))
                    .collect();
                let why = format!("{trust} {format} {aliased:?}");
                let seen = rig.http1("/", &aliased);
                assert_clean(&seen, &why);
                assert_eq!(context(&seen).2, 3, "{why}: a new trace");
                // Beside the real one, too.
                let mut both: Vec<_> = aliased
                    .iter()
                    .map(|(n, _)| (n.clone(), PLANTED.to_owned()))
                    .collect();
                both.extend(
                    brought(format, true)
                        .into_iter()
                        .map(|(n, v)| (n.to_owned(), v)),
                );
                let seen = rig.http2("/", &both);
                let (trace, _, _) = context(&seen);
                assert_eq!(trace == TRACE, trust != "drop", "{why}");
                let planted = |v: &HeaderValue| v.to_str().is_ok_and(|v| v.contains(PLANTED));
                assert!(
                    !seen.headers.values().any(planted),
                    "{why}: {:?}",
                    seen.headers
                );
            }
        }
    }
}
