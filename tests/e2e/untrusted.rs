//! What callers bring along and what of it may reach the component: nothing that isn't trusted,
//! whatever it is called, however often it comes and whoever is asked to take it away.

mod answers;
mod configured;
mod ids;
mod nominated;
mod table;
mod trusted;

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Request};

use super::component::{Component, Seen};
use super::http2::Caller;
use super::proxy::{self, Proxy};
use super::receiver::{Receiver, Speaks};
use super::wire::{self, Wire};

/// A caller's trace, span and context.
const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";
const PARENT: &str = "b7ad6b7169203331";
const CONTEXT: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

/// Part of every other value that must not arrive.
const PLANTED: &str = "planted";

/// The names as the proxy keeps them, so that none can be added without being tried.
fn listed() -> Vec<String> {
    let source = include_str!("../../src/context/untrusted.rs");
    let (_, list) = source.split_once("NAMES: &[Name] = &[").expect("the list");
    let (list, _) = list.split_once("];").expect("its end");
    let name = |line: &str| line.split('"').nth(1).map(str::to_owned);
    let starts = |line: &str| line.trim().starts_with("Starts(");
    let names: Vec<_> = list
        .lines()
        .filter_map(|line| Some((name(line)?, starts(line))))
        .map(|(name, starts)| if starts { name + "-x-1" } else { name })
        .collect();
    assert!(names.len() > 40, "the list is read as it is written");
    for promised in [
        "traceparent",
        "tracestate",
        "baggage",
        "b3",
        "xb3-x-1",
        "ubertraceid",
        "uberctx-x-1",
        "xdatadog-x-1",
        "xamzntraceid",
        "xcloudtracecontext",
        "grpctracebin",
        "sw3",
        "sw6",
        "sw8-x-1",
        "sentrytrace",
        "xotspancontext",
    ] {
        assert!(names.iter().any(|name| name == promised), "{promised}");
    }
    names
}

/// Other spellings of a name that a server may fold into it.
fn aliases(name: &str) -> Vec<String> {
    let parted = |separator: &str| {
        let (head, tail) = name.split_at(name.len() / 2);
        format!("{head}{separator}{tail}")
    };
    let mut all: Vec<_> = ["", "-", "_", ".", "--", "__", "_-.", "-_-"]
        .into_iter()
        .map(parted)
        .collect();
    all.extend([format!("_{name}"), format!("-{name}"), format!("{name}_")]);
    let letters: Vec<String> = name.chars().map(String::from).collect();
    all.push(letters.join("-"));
    all
}

fn random_case(name: &str) -> String {
    let upper = |(at, c): (usize, char)| match at % 3 {
        0 => c.to_ascii_uppercase(),
        _ => c,
    };
    name.chars().enumerate().map(upper).collect()
}

/// Exactly one context arrived, our own, and nothing of the caller's.
fn assert_clean(seen: &Seen, why: &str) {
    let context = seen.values("traceparent");
    assert_eq!(context.len(), 1, "{why}: {context:?}");
    assert_eq!(context[0].len(), 55, "{why}: {context:?}");
    assert_eq!(seen.values("tracestate"), ["ot=th:0"], "{why}");
    let trailers = seen.trailers.iter().flat_map(HeaderMap::iter);
    for (name, value) in seen.headers.iter().chain(trailers) {
        let text = String::from_utf8_lossy(value.as_bytes()).to_lowercase();
        for planted in [TRACE, PARENT, PLANTED] {
            assert!(!text.contains(planted), "{why}: {name:?}: {text}");
        }
    }
}

/// A proxy that trusts nobody, and the component behind it.
struct Rig {
    component: Component,
    proxy: Proxy,
}

impl Rig {
    fn start() -> Self {
        Self::with("")
    }

    fn with(more: &str) -> Self {
        let component = Component::start();
        let yaml = proxy::ingress(&component.url(), "http://127.0.0.1:9", more);
        let proxy = Proxy::start(&yaml);
        Self { component, proxy }
    }

    /// What arrives of a request over HTTP/1.1 with these fields.
    fn http1(&self, fields: impl AsRef<[u8]>) -> Seen {
        let before = self.component.seen().len();
        let mut request = b"GET /a HTTP/1.1\r\nHost: example.com\r\n".to_vec();
        request.extend(fields.as_ref());
        request.extend(b"\r\n");
        let mut wire = Wire::connect(self.proxy.at(0));
        let (head, _) = wire.ask(&request);
        assert_eq!(
            wire::status(&head),
            200,
            "{}",
            String::from_utf8_lossy(&request)
        );
        self.component.wait_for(before + 1).remove(before)
    }

    /// The same over HTTP/2.
    fn http2(&self, fields: &[(String, Vec<u8>)]) -> Seen {
        let before = self.component.seen().len();
        let mut request = Caller::get("/a");
        for (name, value) in fields {
            let name = HeaderName::try_from(name).expect("a name");
            let value = HeaderValue::from_bytes(value).expect("a value");
            request.headers_mut().append(name, value);
        }
        let (answer, _) = Caller::connect(self.proxy.at(0)).send(request);
        assert_eq!(answer.status(), 200);
        self.component.wait_for(before + 1).remove(before)
    }
}

#[test]
fn no_listed_name_in_any_spelling_reaches_the_component() {
    let rig = Rig::start();
    for name in listed() {
        let mut lines = String::new();
        let mut fields = Vec::new();
        for (n, alias) in aliases(&name).into_iter().enumerate() {
            // Twice each: removal of the first line only would let the other through.
            for spelling in [random_case(&alias), alias.clone()] {
                lines.push_str(&format!("{spelling}: {PLANTED}-{n}\r\n"));
            }
            let value = format!("{PLANTED}-{n}").into_bytes();
            fields.extend([(alias.clone(), value.clone()), (alias, value)]);
        }
        assert_clean(&rig.http1(&lines), &format!("{name} over HTTP/1.1"));
        assert_clean(&rig.http2(&fields), &format!("{name} over HTTP/2"));
    }
}

#[test]
fn no_trick_with_fields_brings_context_to_the_component() {
    let hundred: String = (0..100)
        .map(|n| format!("traceparent: 00-{TRACE}-{n:016x}-01\r\n"))
        .collect();
    let rows: Vec<(&str, Vec<u8>)> = vec![
        ("alone", format!("traceparent: {CONTEXT}\r\n").into()),
        (
            "sampled or not",
            format!("traceparent: 00-{TRACE}-{PARENT}-00\r\n").into(),
        ),
        (
            "all three",
            format!(
                "traceparent: {CONTEXT}\r\ntracestate: {PLANTED}=1\r\nbaggage: {PLANTED}=1\r\n"
            )
            .into(),
        ),
        (
            "state without parent",
            format!("tracestate: {PLANTED}=1\r\n").into(),
        ),
        (
            "no colon space",
            format!("traceparent:{CONTEXT}\r\n").into(),
        ),
        (
            "white space around",
            format!("traceparent: \t {CONTEXT} \t\r\n").into(),
        ),
        ("a hundred at once", hundred.into()),
        (
            "one real, one odd",
            format!("traceparent: {CONTEXT}\r\nTraceParent: {PLANTED}\r\n").into(),
        ),
        (
            "a list",
            format!("traceparent: {CONTEXT},{CONTEXT}\r\n").into(),
        ),
        (
            "empty, then real",
            format!("traceparent:\r\ntraceparent: {CONTEXT}\r\n").into(),
        ),
        (
            "a future version",
            format!("traceparent: cc-{TRACE}-{PARENT}-01-{PLANTED}\r\n").into(),
        ),
        (
            "an alias beside",
            format!("traceparent: {CONTEXT}\r\nTRACE_PARENT: {CONTEXT}\r\n").into(),
        ),
        (
            "obs-text",
            [
                format!("traceparent: {CONTEXT}").as_bytes(),
                b"\xe9\r\nbaggage: \xff",
                PLANTED.as_bytes(),
                b"\xfe\r\nx-b3-traceid: \x80",
                PLANTED.as_bytes(),
                b"\r\n",
            ]
            .concat(),
        ),
    ];
    let rig = Rig::start();
    for (why, fields) in rows {
        let seen = rig.http1(&fields);
        assert_clean(&seen, why);
        let fields = lines(&fields);
        assert_clean(&rig.http2(&fields), &format!("{why}, over HTTP/2"));
    }
}

/// Field lines as HTTP/2 carries them.
fn lines(fields: &[u8]) -> Vec<(String, Vec<u8>)> {
    fields
        .split(|b| *b == b'\n')
        .filter_map(|line| {
            let colon = line.iter().position(|b| *b == b':')?;
            let name = String::from_utf8_lossy(&line[..colon]).to_lowercase();
            Some((name, line[colon + 1..].trim_ascii().to_vec()))
        })
        .collect()
}

#[test]
fn context_in_request_trailers_never_reaches_the_component() {
    for trust in ["drop", "ids", "full"] {
        let rig = Rig::with(&format!("  trust: {{default: {trust}}}\n"));
        let sent = format!(
            "POST /a HTTP/1.1\r\nHost: example.com\r\nTransfer-Encoding: chunked\r\n\
             Trailer: traceparent, trace_state, baggage, x-checksum\r\n\r\n\
             2\r\nhi\r\n0\r\ntraceparent: {CONTEXT}\r\nTrace_State: {PLANTED}=1\r\n\
             baggage: {PLANTED}=1\r\nx-checksum: 7\r\n\r\n"
        );
        let (head, body) = Wire::connect(rig.proxy.at(0)).ask(sent);
        assert_eq!(
            (wire::status(&head), &body[..]),
            (200, &b"hi"[..]),
            "{trust}"
        );

        let mut trailers = HeaderMap::new();
        for (name, value) in [
            ("traceparent", CONTEXT),
            ("trace_state", PLANTED),
            ("baggage", PLANTED),
            ("x-checksum", "7"),
        ] {
            trailers.append(name, HeaderValue::from_static(value));
        }
        let request = Request::post("http://example.com/a").body(Bytes::from("hi"));
        let mut caller = Caller::connect(rig.proxy.at(0));
        caller.send_with_trailers(request.expect("a request"), trailers);

        for (seen, version) in rig.component.wait_for(2).iter().zip(["1.1", "2"]) {
            let why = format!("{trust}, HTTP/{version}");
            let trailers = seen.trailers.as_ref().expect("trailers");
            assert_eq!(trailers.len(), 1, "{why}: {trailers:?}");
            assert_eq!(trailers["x-checksum"], "7", "{why}");
            assert_clean(seen, &why);
        }
    }
}

#[test]
fn a_restart_links_to_the_valid_context_it_dropped() {
    let (component, receiver) = (Component::start(), Receiver::start(Speaks::Grpc));
    let proxy = Proxy::start(&proxy::ingress(&component.url(), receiver.endpoint(), ""));
    let rows = [
        ("valid", format!("traceparent: {CONTEXT}\r\n"), true),
        (
            "a future version",
            format!("traceparent: 01-{TRACE}-{PARENT}-01-more\r\n"),
            true,
        ),
        (
            "not sampled",
            format!("traceparent: 00-{TRACE}-{PARENT}-00\r\n"),
            true,
        ),
        ("none", String::new(), false),
        (
            "malformed",
            format!("traceparent: 00-{TRACE}-{PARENT}\r\n"),
            false,
        ),
        (
            "two",
            format!("traceparent: {CONTEXT}\r\ntraceparent: {CONTEXT}\r\n"),
            false,
        ),
        (
            "an alias only",
            format!("trace-parent: {CONTEXT}\r\n"),
            false,
        ),
    ];
    let mut wire = Wire::connect(proxy.at(0));
    for (n, (_, fields, _)) in rows.iter().enumerate() {
        wire.ask(format!(
            "GET /{n} HTTP/1.1\r\nHost: example.com\r\n{fields}\r\n"
        ));
    }
    drop(wire);
    proxy.stop();
    let spans = receiver.wait_for_spans(rows.len());
    for (n, (why, _, linked)) in rows.iter().enumerate() {
        let path = format!("/{n}");
        let span = spans
            .iter()
            .find(|s| super::receiver::attribute(&s.attributes, "url.path").as_ref() == Some(&path))
            .unwrap_or_else(|| panic!("{why}: no span"));
        assert!(span.parent_span_id.is_empty(), "{why}");
        assert_ne!(hex(&span.trace_id), TRACE, "{why}");
        let links: Vec<_> = span
            .links
            .iter()
            .map(|link| (hex(&link.trace_id), hex(&link.span_id)))
            .collect();
        let expected = (TRACE.to_owned(), PARENT.to_owned());
        assert_eq!(
            links,
            linked.then_some(expected).into_iter().collect::<Vec<_>>(),
            "{why}"
        );
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
