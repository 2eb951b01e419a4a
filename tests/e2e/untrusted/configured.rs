//! Names that the configuration counts as context (`trust.alsoContext`), and those it doesn't.

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Request};

use super::{CONTEXT, PLANTED, Rig, aliases, lines};
use crate::http2::Caller;
use crate::wire::{self, Wire};

/// Of a listener under this trust.
fn listing(trust: &str, names: &str) -> String {
    format!("  trust: {{default: {trust}, alsoContext: [{names}]}}\n")
}

/// How many lines of a request with the name in many spellings reach the component.
fn arrive(rig: &Rig, name: &str, why: &str) -> usize {
    let spelt = aliases(name).into_iter();
    let sent: String = spelt
        .map(|alias| format!("{alias}: {PLANTED}\r\n"))
        .chain([format!("traceparent: {CONTEXT}\r\n")])
        .collect();
    let arrived = [rig.http1(&sent), rig.http2(&lines(sent.as_bytes()))].map(|seen| {
        let planted = |value: &&HeaderValue| value.as_bytes() == PLANTED.as_bytes();
        seen.headers.values().filter(planted).count()
    });
    assert_eq!(arrived[0], arrived[1], "{why}: over both versions");
    arrived[0]
}

#[test]
fn configured_names_reach_the_component_from_trusted_callers_alone() {
    let all = aliases("requestid").len();
    for (trust, names, expected, why) in [
        ("drop", "Request-ID, x_request_id", 0, "listed"),
        (
            "ids",
            "request.id",
            0,
            "listed, for all but trusted callers",
        ),
        ("full", "request-id", all, "trusted"),
        ("drop", "", all, "nothing is listed"),
        ("drop", "x-request-id", all, "another name is listed"),
        ("ids", "", all, "nothing is listed"),
    ] {
        let rig = Rig::with(&listing(trust, names));
        let why = format!("{why}, {trust}");
        assert_eq!(arrive(&rig, "requestid", &why), expected, "{why}");
    }
}

#[test]
fn a_broken_context_takes_configured_names_along() {
    let rig = Rig::with(&listing("full", "x-request-id"));
    let seen = rig.http1(format!("traceparent: 1\r\nx-request-id: {PLANTED}\r\n"));
    assert_eq!(seen.values("x-request-id"), [""; 0]);
    let seen = rig.http1(format!("x-request-id: {PLANTED}\r\n"));
    assert_eq!(seen.values("x-request-id"), [PLANTED]);
}

#[test]
fn configured_names_in_trailers_never_reach_the_component() {
    for (trust, listed, expected) in [
        ("drop", true, 1),
        ("ids", true, 1),
        ("full", true, 1),
        ("drop", false, 2),
    ] {
        let names = if listed { "x-request-id" } else { "" };
        let rig = Rig::with(&listing(trust, names));
        let sent = format!(
            "POST /a HTTP/1.1\r\nHost: example.com\r\nTransfer-Encoding: chunked\r\n\
             Trailer: X_Request_ID, x-checksum\r\n\r\n\
             2\r\nhi\r\n0\r\nX_Request_ID: {PLANTED}\r\nx-checksum: 7\r\n\r\n"
        );
        let (head, _) = Wire::connect(rig.proxy.at(0)).ask(sent);
        assert_eq!(wire::status(&head), 200);

        let mut trailers = HeaderMap::new();
        trailers.append("x_request_id", HeaderValue::from_static(PLANTED));
        trailers.append("x-checksum", HeaderValue::from_static("7"));
        let request = Request::post("http://example.com/a").body(Bytes::from("hi"));
        let mut caller = Caller::connect(rig.proxy.at(0));
        caller.send_with_trailers(request.expect("a request"), trailers);

        for (seen, version) in rig.component.wait_for(2).iter().zip(["1.1", "2"]) {
            let trailers = seen.trailers.as_ref().expect("trailers");
            let why = format!("{trust}, HTTP/{version}: {trailers:?}");
            assert_eq!(trailers.len(), expected, "{why}");
            assert_eq!(trailers["x-checksum"], "7", "{why}");
        }
    }
}

/// What doesn't count can't pick a rule for sampling either.
#[test]
fn configured_names_of_untrusted_callers_pick_no_rule() {
    for (trust, picked) in [("drop", false), ("full", true)] {
        let component = crate::component::Component::start();
        let more = listing(trust, "x-request-id");
        let yaml = crate::proxy::ingress(&component.url(), "http://127.0.0.1:9", &more).replace(
            "  samplingRatePerMillion: 1000000\n",
            "  rules: [{match: {header: {x_request_id: \"*\"}}, samplingRatePerMillion: 1000000}]\n",
        );
        let proxy = crate::proxy::Proxy::start(&yaml);
        let rig = Rig { component, proxy };
        let seen = rig.http1("x_request_id: 1\r\n");
        let context = seen.value("traceparent").expect("a context");
        // The random flag stands beside it.
        assert_eq!(context.ends_with("-03"), picked, "{trust}: {context}");
    }
}
