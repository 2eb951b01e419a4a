//! Which fields are trace context: the one place that says what an untrusted caller may not
//! bring along, in any format.
//!
//! Names are compared lower-cased with `-`, `_` and `.` removed, because servers fold these into
//! each other: `X_B3_TraceId` reaches a CGI or WSGI component as `X-B3-TraceId`.

/// Fields that say the same thing, so that at most one of a family may be believed.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Hash)]
pub enum Family {
    /// `traceparent` and `tracestate`.
    TraceContext,
    /// W3C Baggage.
    Baggage,
    /// B3 in one field and in several.
    B3,
    /// Jaeger's context, without its baggage.
    Jaeger,
    /// AWS X-Ray.
    XRay,
    /// Datadog.
    Datadog,
    /// OpenCensus over gRPC, without its tags.
    GrpcTraceBin,
    /// Every format that is only taken away, never spoken.
    Unspoken,
}
use Family::{B3, Baggage, Datadog, GrpcTraceBin, Jaeger, TraceContext, Unspoken, XRay};

/// A name of the list, normalised, and whose it is.
#[derive(Clone, Copy)]
enum Name {
    /// The whole name.
    Is(&'static str, Family),
    /// The name starts like this.
    Starts(&'static str, Family),
}
use Name::{Is, Starts};

impl Name {
    const fn text(self) -> &'static str {
        match self {
            Is(text, _) | Starts(text, _) => text,
        }
    }

    const fn family(self) -> Family {
        match self {
            Is(_, family) | Starts(_, family) => family,
        }
    }
}

/// Every name, ordered by its first letter (the filter below relies on it; a test checks).
const NAMES: &[Name] = &[
    Is("b3", B3),                           // B3, single header
    Is("baggage", Baggage),                 // W3C Baggage; also Sentry, OpenTelemetry
    Is("correlationcontext", Unspoken), // W3C Baggage as it was called in drafts; Application Insights
    Starts("eagleeye", Unspoken),       // Alibaba EagleEye: eagleeye-traceid, -rpcid, …
    Is("elasticapmtraceparent", Unspoken), // Elastic APM before W3C
    Is("grpctagsbin", Unspoken),        // OpenCensus tags over gRPC
    Is("grpctracebin", GrpcTraceBin),   // OpenCensus over gRPC
    Is("jaegerbaggage", Unspoken),      // Jaeger: baggage set by hand
    Is("jaegerdebugid", Jaeger),        // Jaeger: forces sampling
    Is("l5dctxtrace", Unspoken),        // linkerd 1
    Is("l5dsample", Unspoken),          // linkerd 1: the caller chooses the rate
    Is("newrelic", Unspoken),           // New Relic distributed tracing
    Starts("otbaggage", Unspoken),      // OpenTracing baggage: ot-baggage-*
    Starts("ottracer", Unspoken), // OpenTracing basic tracers: ot-tracer-traceid, -spanid, -sampled
    Is("pinpointflags", Unspoken), // Pinpoint
    Is("pinpointpspanid", Unspoken), // Pinpoint
    Is("pinpointsampled", Unspoken), // Pinpoint
    Is("pinpointspanid", Unspoken), // Pinpoint
    Is("pinpointtraceid", Unspoken), // Pinpoint
    Is("sentrytrace", Unspoken),  // Sentry
    Is("singularityheader", Unspoken), // AppDynamics
    Is("sw3", Unspoken),          // Apache SkyWalking 3 to 5
    Is("sw6", Unspoken),          // Apache SkyWalking 6 and 7
    Starts("sw8", Unspoken),      // Apache SkyWalking 8 and later: sw8, sw8-correlation, sw8-x
    Is("traceparent", TraceContext), // W3C Trace Context
    Is("traceresponse", Unspoken), // W3C Trace Context Level 2 draft
    Is("tracestate", TraceContext), // W3C Trace Context
    Starts("uberctx", Unspoken),  // Jaeger baggage: uberctx-*
    Is("ubertraceid", Jaeger),    // Jaeger
    Is("xamzntraceid", XRay),     // AWS X-Ray
    Starts("xb3", B3),            // B3, several headers: x-b3-traceid, -sampled, -flags, …
    Is("xclienttraceid", Unspoken), // Envoy: forces tracing
    Is("xcloudtracecontext", Unspoken), // Google Cloud Trace
    Starts("xdatadog", Datadog),  // Datadog: x-datadog-trace-id, -sampling-priority, -tags, …
    Is("xdynatrace", Unspoken),   // Dynatrace before W3C
    Is("xenvoyforcetrace", Unspoken), // Envoy: forces sampling
    Is("xhoneycombtrace", Unspoken), // Honeycomb beelines
    Starts("xinstana", Unspoken), // Instana: x-instana-t, -s, -l, …
    Is("xmsrequestrootid", Unspoken), // Application Insights before W3C
    Starts("xnewrelic", Unspoken), // New Relic before distributed tracing: -id, -transaction, …
    Is("xotspancontext", Unspoken), // Envoy with LightStep / OpenTracing
    Is("xtrace", Unspoken),       // SolarWinds / AppOptics
    Is("xtraceoptions", Unspoken), // SolarWinds: triggers sampling
    Is("xtraceoptionssignature", Unspoken), // SolarWinds: triggers sampling
];

/// Where the names of one first letter stand in [`NAMES`], and which second letters they have.
#[derive(Clone, Copy)]
struct Bucket {
    start: u8,
    end: u8,
    /// Bit `c & 31` for every second character: letters don't collide, digits may let a few
    /// names through to the full comparison.
    seconds: u32,
}

/// By the low five bits of the first letter; derived from the list, so it can't disagree.
const BUCKETS: [Bucket; 32] = buckets();

const fn buckets() -> [Bucket; 32] {
    let mut out = [Bucket {
        start: 0,
        end: 0,
        seconds: 0,
    }; 32];
    let mut at = 0;
    while at < NAMES.len() {
        let text = NAMES[at].text().as_bytes();
        let bucket = &mut out[(text[0] & 31) as usize];
        if bucket.end == 0 {
            bucket.start = at as u8;
        }
        bucket.end = at as u8 + 1;
        bucket.seconds |= 1 << (text[1] & 31);
        at += 1;
    }
    out
}

/// Whether a field of this name carries trace context (or baggage, or forces a sampling
/// decision) in a format of the list.
///
/// `x-request-id` and `request-id` don't count: they identify requests for people, too. Whoever
/// wants them gone lists them in `trust.alsoContext`, see [`Stripper`].
#[inline]
pub fn is_context(name: &str) -> bool {
    family(name).is_some()
}

/// Whose a field of this name is, if it is trace context; other spellings count, too.
#[inline]
pub fn family(name: &str) -> Option<Family> {
    let mut rest = Normalised(name.as_bytes());
    let first = rest.next()?;
    let bucket = BUCKETS[usize::from(first & 31)];
    if bucket.seconds == 0 {
        return None;
    }
    let second = rest.next()?;
    if bucket.seconds & (1 << (second & 31)) == 0 {
        return None;
    }
    listed(name, bucket)
}

/// A name in lower case without `-`, `_` and `.`, as some servers fold names.
pub fn fold(name: &str) -> String {
    Normalised(name.as_bytes()).map(char::from).collect()
}

/// Whether a name begins like this once it is folded; `start` is written folded.
pub fn starts_folded(name: &str, start: &str) -> bool {
    let mut rest = Normalised(name.as_bytes());
    start.bytes().all(|byte| rest.next() == Some(byte))
}

/// The comparison in full, for the few names the filter lets through.
#[inline(never)]
fn listed(name: &str, bucket: Bucket) -> Option<Family> {
    NAMES[usize::from(bucket.start)..usize::from(bucket.end)]
        .iter()
        .find(|entry| {
            let mut rest = Normalised(name.as_bytes());
            let starts = entry.text().bytes().all(|byte| rest.next() == Some(byte));
            starts && (matches!(entry, Starts(..)) || rest.next().is_none())
        })
        .map(|entry| entry.family())
}

/// The bytes of a name as they are compared.
struct Normalised<'a>(&'a [u8]);

impl Iterator for Normalised<'_> {
    type Item = u8;

    #[inline]
    fn next(&mut self) -> Option<u8> {
        loop {
            let (&byte, rest) = self.0.split_first()?;
            self.0 = rest;
            if !matches!(byte, b'-' | b'_' | b'.') {
                return Some(byte.to_ascii_lowercase());
            }
        }
    }
}

/// [`is_context`] with further names that the configuration counts as trace context.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Stripper {
    extra: Box<[Box<str>]>,
}

impl Stripper {
    /// Further names, written in any case and with any separators. Empty ones are ignored.
    pub fn new<'a>(extra: impl IntoIterator<Item = &'a str>) -> Self {
        let named = |name: &&str| Normalised(name.as_bytes()).next().is_some();
        let extra = extra.into_iter().filter(named);
        Self {
            extra: extra.map(Box::from).collect(),
        }
    }

    /// The further names, as they were given.
    pub fn extra(&self) -> &[Box<str>] {
        &self.extra
    }

    /// Whether a field of this name is trace context.
    #[inline]
    pub fn is_context(&self, name: &str) -> bool {
        is_context(name) || self.is_extra(name)
    }

    /// Whether it is one of the further names, however it is spelt.
    #[inline]
    pub fn is_extra(&self, name: &str) -> bool {
        let mut extra = self.extra.iter();
        extra.any(|extra| Normalised(name.as_bytes()).eq(Normalised(extra.as_bytes())))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn every_format_is_context() {
        for name in [
            "traceparent",
            "tracestate",
            "baggage",
            "traceresponse",
            "b3",
            "x-b3-traceid",
            "x-b3-spanid",
            "x-b3-parentspanid",
            "x-b3-sampled",
            "x-b3-flags",
            "uber-trace-id",
            "uberctx-anything",
            "jaeger-debug-id",
            "jaeger-baggage",
            "x-datadog-trace-id",
            "x-datadog-sampling-priority",
            "x-amzn-trace-id",
            "x-cloud-trace-context",
            "grpc-trace-bin",
            "grpc-tags-bin",
            "sw8",
            "sw8-correlation",
            "sw8-x",
            "sentry-trace",
            "x-ot-span-context",
            "ot-tracer-traceid",
            "ot-tracer-sampled",
            "ot-baggage-user",
            "x-honeycomb-trace",
            "newrelic",
            "x-newrelic-id",
            "elastic-apm-traceparent",
            "x-instana-t",
            "x-dynatrace",
            "singularityheader",
            "correlation-context",
            "x-envoy-force-trace",
            "x-client-trace-id",
            "l5d-ctx-trace",
            "pinpoint-traceid",
            "eagleeye-traceid",
            "x-trace-options",
        ] {
            assert!(is_context(name), "{name}");
        }
    }

    #[test]
    fn aliases_that_servers_fold_are_context_too() {
        for name in [
            "Traceparent",
            "TRACEPARENT",
            "trace-parent",
            "trace_parent",
            "Trace.Parent",
            "X_B3_TraceId",
            "x.b3.sampled",
            "-traceparent",
            "traceparent_",
            "_b3",
            "B3",
            "UBER_TRACE_ID",
            "grpc_trace_bin",
            "x__datadog--trace.id",
        ] {
            assert!(is_context(name), "{name}");
        }
    }

    #[test]
    fn ordinary_names_are_not_context() {
        for name in [
            "",
            "-",
            "a",
            "x",
            "t",
            "host",
            "accept",
            "accept-encoding",
            "authorization",
            "baggage-allowance",
            "b",
            "b30",
            "bb3",
            "cache-control",
            "connection",
            "content-type",
            "cookie",
            "date",
            "etag",
            "expect",
            "forwarded",
            "grpc-encoding",
            "grpc-timeout",
            "grpc-trace",
            "location",
            "origin",
            "pinpoint",
            "referer",
            "request-id",
            "sentry",
            "server",
            "server-timing",
            "sw",
            "te",
            "trace",
            "traceparents",
            "trailer",
            "transfer-encoding",
            "uber",
            "upgrade",
            "user-agent",
            "x-amz-cf-id",
            "x-amzn-trace-ids",
            "x-b",
            "x-cloud-trace",
            "x-correlation-id",
            "x-envoy-attempt-count",
            "x-forwarded-for",
            "x-kubernetes-pf-flowschema-uid",
            "x-real-ip",
            "x-remote-user",
            "x-request-id",
            "x-trace-id",
        ] {
            assert!(!is_context(name), "{name}");
        }
    }

    #[test]
    fn a_field_belongs_to_the_format_it_would_contradict() {
        let rows = [
            ("traceparent", Some(TraceContext), "the context itself"),
            ("Trace_State", Some(TraceContext), "another spelling of it"),
            (
                "traceresponse",
                Some(Unspoken),
                "says nothing to a component",
            ),
            ("baggage", Some(Baggage), "no context"),
            ("b3", Some(B3), "one field"),
            ("X.B3.Sampled", Some(B3), "several fields, the same truth"),
            ("uber-trace-id", Some(Jaeger), "the context itself"),
            ("jaeger-debug-id", Some(Jaeger), "overrules its flags"),
            ("uberctx-user", Some(Unspoken), "baggage"),
            ("x-amzn-trace-id", Some(XRay), "the context itself"),
            ("x-datadog-origin", Some(Datadog), "belongs to a context"),
            ("grpc-trace-bin", Some(GrpcTraceBin), "the context itself"),
            ("grpc-tags-bin", Some(Unspoken), "tags"),
            ("sentry-trace", Some(Unspoken), "never spoken here"),
            ("x-request-id", None, "no context"),
        ];
        for (name, expected, reason) in rows {
            assert_eq!(family(name), expected, "{name}: {reason}");
        }
    }

    #[test]
    fn configured_names_are_context_beside_the_listed_ones() {
        let stripper = Stripper::new(["X-Request-ID", "", "--"]);
        assert!(stripper.is_context("x-request-id"));
        assert!(stripper.is_context("X_Request_Id"));
        assert!(stripper.is_context("traceparent"));
        assert!(!stripper.is_context("x-request-id-2"));
        assert!(!stripper.is_context("x-request"));
        assert!(!stripper.is_context(""));
        assert!(!Stripper::default().is_context("x-request-id"));
        assert_eq!(stripper.extra(), ["X-Request-ID".into()]);
        assert!(stripper.is_extra("x.request.id") && !stripper.is_extra("traceparent"));
    }

    #[test]
    fn the_list_is_normalised_sorted_and_wide_enough_for_the_filter() {
        for name in NAMES {
            let text = name.text();
            assert!(
                Normalised(text.as_bytes()).eq(text.bytes()),
                "{text} is normalised"
            );
            assert!(text.len() >= 2, "{text} has a second character");
            assert!(
                text.as_bytes()[0].is_ascii_lowercase(),
                "{text} starts with a letter"
            );
        }
        assert!(NAMES.is_sorted_by_key(|name| name.text()));
        assert!(u8::try_from(NAMES.len()).is_ok());
    }

    /// The rule without the filter.
    fn plainly(name: &str) -> bool {
        let name: String = name
            .chars()
            .filter(|c| !matches!(c, '-' | '_' | '.'))
            .map(|c| c.to_ascii_lowercase())
            .collect();
        NAMES.iter().any(|entry| match entry {
            Is(text, _) => name == *text,
            Starts(text, _) => name.starts_with(text),
        })
    }

    proptest! {
        #[test]
        fn the_filter_changes_no_verdict(name in "[-_.]?[a-zA-Z0-9]{0,4}[-_.]?[a-z0-9]{0,6}\\PC{0,3}") {
            prop_assert_eq!(is_context(&name), plainly(&name));
        }

        #[test]
        fn case_and_separators_change_no_verdict(
            entry in 0..NAMES.len(),
            noise in proptest::collection::vec((0..4_usize, any::<bool>()), 32),
        ) {
            let mut name = String::new();
            for (c, (separator, upper)) in NAMES[entry].text().chars().zip(noise) {
                name.push_str(["", "-", "_", "."][separator]);
                name.push(if upper { c.to_ascii_uppercase() } else { c });
            }
            prop_assert!(is_context(&name), "{}", name);
        }
    }
}
