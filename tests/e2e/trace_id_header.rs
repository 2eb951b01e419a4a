//! The response header that tells trusted callers the trace id.

use bytes::Bytes;
use http::{Method, Response};
use http_body_util::Full;

use super::caller::{Caller, Speaks, block_on, empty};
use super::component::Component;
use super::proxy::{self, Proxy};

const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";

/// Answers with the same header itself, twice.
fn component() -> Component {
    Component::answering(|_| {
        let mut response = Response::new(Full::new(Bytes::new()));
        for value in ["planted", "planted too"] {
            let value = http::HeaderValue::from_static(value);
            response.headers_mut().append("x-trace-id", value);
        }
        response
    })
}

#[test]
fn trusted_callers_are_told_the_trace_id_that_went_on_and_others_nothing() {
    let component = component();
    let mut count = 0;
    for (trust, rate, context, told, why) in [
        ("full", 0, Some("01"), true, "a sampled parent"),
        ("full", 0, Some("00"), true, "an unsampled one"),
        ("ids", 0, Some("01"), true, "ids alone"),
        ("full", 0, None, true, "a trace that begins here, unsampled"),
        ("full", 1_000_000, None, true, "and sampled"),
        (
            "drop",
            1_000_000,
            Some("01"),
            false,
            "a caller that isn't trusted",
        ),
        ("drop", 0, None, false, "and brought nothing"),
    ] {
        let upstream = format!("{{url: \"{}\"}}", component.url());
        let more = format!("  trust: {{default: {trust}}}\n  traceIdHeader: X-Trace-Id\n");
        let rate = format!("tracing: {{samplingRatePerMillion: {rate}, ");
        let yaml = proxy::quiet(&upstream, &more).replacen("tracing: {", &rate, 1);
        let proxy = Proxy::start(&yaml);
        block_on(async {
            for speaks in Speaks::BOTH {
                let mut caller = Caller::tcp(proxy.at(0), speaks).await;
                let mut request = caller.request(Method::GET, "/");
                if let Some(flags) = context {
                    let value = format!("00-{TRACE}-b7ad6b7169203331-{flags}");
                    request = request.header("traceparent", value);
                }
                let request = request.body(empty()).expect("a request");
                let answer = caller.exchange(request).await;
                count += 1;
                let seen = component.wait_for(count).remove(count - 1);
                let went_on = seen.value("traceparent").expect("a context");
                let expected = told.then(|| went_on[3..35].to_owned());
                assert_eq!(answer.field("x-trace-id"), expected, "{why}, {speaks:?}");
                assert_eq!(went_on.contains(TRACE), told && context.is_some(), "{why}");
            }
        });
    }
}

#[test]
fn a_context_that_does_not_go_on_is_not_told() {
    let component = component();
    let upstream = format!("{{url: \"{}\"}}", component.url());
    let more = "  trust: {default: full}\n  traceIdHeader: X-Trace-Id\n";
    let omit = "tracing: {unsampledRoot: omit, ";
    let yaml = proxy::quiet(&upstream, more).replacen("tracing: {", omit, 1);
    let proxy = Proxy::start(&yaml);
    block_on(async {
        for speaks in Speaks::BOTH {
            let answer = Caller::tcp(proxy.at(0), speaks).await.get("/").await;
            assert_eq!(answer.field("x-trace-id"), None, "{speaks:?}");
        }
    });
    assert_eq!(component.wait_for(2)[0].value("traceparent"), None);
}

#[test]
fn without_the_setting_the_upstreams_header_passes() {
    let component = component();
    let upstream = format!("{{url: \"{}\"}}", component.url());
    let proxy = Proxy::start(&proxy::quiet(&upstream, ""));
    block_on(async {
        for speaks in Speaks::BOTH {
            let answer = Caller::tcp(proxy.at(0), speaks).await.get("/").await;
            let passed = Some("planted | planted too".to_owned());
            assert_eq!(answer.field("x-trace-id"), passed, "{speaks:?}");
        }
    });
}
