use super::*;
use crate::span::capture::{Captured, Side};
use crate::span::record::Fault;
use crate::span::record::{MAX_TEXT, fixture, text};
use crate::span::routes::Routes;
use crate::span::routes::kubernetes::Kubernetes;
use crate::span::routes::pattern::Pattern;
use crate::span::routes::patterns::{Methods, Patterns};

fn convert(record: &Record) -> SpanData {
    Converter::new(Arc::default()).span(record, Anchor::now())
}

fn attribute(span: &SpanData, key: &str) -> Option<String> {
    let mut found = span
        .attributes
        .iter()
        .filter(|pair| pair.key.as_str() == key);
    let value = found.next().map(|pair| pair.value.to_string());
    assert!(found.next().is_none(), "{key} stands twice");
    value
}

/// Key and value of every attribute, sorted.
fn all(span: &SpanData) -> Vec<(String, String)> {
    let mut all: Vec<_> = span
        .attributes
        .iter()
        .map(|pair| (pair.key.to_string(), pair.value.to_string()))
        .collect();
    all.sort();
    all
}

fn pairs(expected: &[(&str, &str)]) -> Vec<(String, String)> {
    expected
        .iter()
        .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()))
        .collect()
}

fn server() -> Box<Record> {
    let mut record = fixture();
    record.host = Some("api.example.com".into());
    record.port = Some(6443);
    record.scheme = "https";
    record.path = "/api/v1/pods".into();
    record.query = Some("limit=500&token=s3cret".into());
    record.user_agent = Some("kubectl/1.36".into());
    record.peer = Some("[::ffff:10.1.2.3]:40000".parse().unwrap());
    record.client = Some("192.0.2.7".parse().unwrap());
    record.protocol_version = "2";
    record
}

fn client() -> Box<Record> {
    let mut record = server();
    record.direction = Direction::Egress;
    record.peer = Some("10.9.8.7:6443".parse().unwrap());
    record.client = None;
    record
}

fn rpc(direction: Direction, code: Option<u16>) -> Box<Record> {
    let mut record = match direction {
        Direction::Ingress => server(),
        Direction::Egress => client(),
    };
    record.grpc = true;
    record.method = "POST".into();
    record.path = "/etcdserverpb.KV/Range".into();
    record.query = None;
    record.grpc_status = code;
    record
}

fn failed(span: &SpanData) -> bool {
    matches!(span.status, Status::Error { .. })
}

#[test]
fn a_server_span_has_the_attributes_of_the_http_conventions() {
    let span = convert(&server());
    assert_eq!(span.span_kind, SpanKind::Server);
    assert_eq!(span.name, "GET");
    assert_eq!(span.status, Status::Unset);
    let expected = [
        ("client.address", "192.0.2.7"),
        ("http.request.method", "GET"),
        ("http.response.status_code", "200"),
        ("network.peer.address", "10.1.2.3"),
        ("network.peer.port", "40000"),
        ("network.protocol.version", "2"),
        ("server.address", "api.example.com"),
        ("server.port", "6443"),
        ("tracegate.listener", "public"),
        ("url.path", "/api/v1/pods"),
        ("url.query", "limit=500&token=REDACTED"),
        ("url.scheme", "https"),
        ("user_agent.original", "kubectl/1.36"),
    ];
    assert_eq!(all(&span), pairs(&expected));
}

#[test]
fn a_client_span_has_the_attributes_of_the_http_conventions() {
    let mut record = client();
    record.resends = 2;
    let span = convert(&record);
    assert_eq!(span.span_kind, SpanKind::Client);
    assert_eq!(span.name, "GET");
    let expected = [
        ("http.request.method", "GET"),
        ("http.request.resend_count", "2"),
        ("http.response.status_code", "200"),
        ("network.peer.address", "10.9.8.7"),
        ("network.peer.port", "6443"),
        ("network.protocol.version", "2"),
        ("server.address", "api.example.com"),
        ("server.port", "6443"),
        ("tracegate.listener", "public"),
        (
            "url.full",
            "https://api.example.com:6443/api/v1/pods?limit=500&token=REDACTED",
        ),
    ];
    assert_eq!(all(&span), pairs(&expected));
}

#[test]
fn a_grpc_span_has_the_attributes_of_the_rpc_conventions() {
    let mut record = rpc(Direction::Ingress, Some(0));
    (record.request_messages, record.response_messages) = (1, 2);
    let span = convert(&record);
    assert_eq!(span.name, "etcdserverpb.KV/Range");
    assert_eq!(span.status, Status::Unset);
    let expected = [
        ("client.address", "192.0.2.7"),
        ("network.peer.address", "10.1.2.3"),
        ("network.peer.port", "40000"),
        ("network.protocol.name", "http"),
        ("network.protocol.version", "2"),
        ("network.transport", "tcp"),
        ("rpc.method", "etcdserverpb.KV/Range"),
        ("rpc.response.status_code", "OK"),
        ("rpc.system.name", "grpc"),
        ("server.address", "api.example.com"),
        ("server.port", "6443"),
        ("tracegate.listener", "public"),
        ("tracegate.rpc.request_messages", "1"),
        ("tracegate.rpc.response_messages", "2"),
        ("user_agent.original", "kubectl/1.36"),
    ];
    assert_eq!(all(&span), pairs(&expected));
}

#[test]
fn a_caller_cannot_mint_names() {
    for (method, name, recorded, original, why) in [
        ("GET", "GET", "GET", None, "known"),
        ("QUERY", "QUERY", "QUERY", None, "known"),
        (
            "get",
            "HTTP",
            "_OTHER",
            Some("get"),
            "methods are case-sensitive",
        ),
        ("BREW", "HTTP", "_OTHER", Some("BREW"), "unknown"),
        ("", "HTTP", "_OTHER", Some(""), "none"),
    ] {
        let mut record = server();
        record.method = method.into();
        let span = convert(&record);
        assert_eq!(span.name, name, "{why}");
        assert_eq!(
            attribute(&span, "http.request.method").as_deref(),
            Some(recorded),
            "{why}"
        );
        let seen = attribute(&span, "http.request.method_original");
        assert_eq!(seen.as_deref(), original, "{why}");
    }
}

#[test]
fn an_unknown_rpc_method_is_other() {
    let mut record = rpc(Direction::Ingress, Some(12));
    record.path = "/evil.Service/Mint1".into();
    let span = convert(&record);
    assert_eq!(span.name, "grpc");
    assert_eq!(attribute(&span, "rpc.method").as_deref(), Some("_OTHER"));
    let original = attribute(&span, "rpc.method_original");
    assert_eq!(original.as_deref(), Some("evil.Service/Mint1"));
}

#[test]
fn http_errors_are_judged_by_kind_status_and_fault() {
    use Direction::{Egress, Ingress};
    use Outcome::{Cancelled, Done, Refused, Upstream};
    for (direction, status, outcome, expected, why) in [
        (Ingress, Some(200), Done, None, "success"),
        (Ingress, Some(302), Done, None, "redirect"),
        (Ingress, Some(404), Done, None, "4xx is the caller's fault"),
        (Egress, Some(404), Done, Some("404"), "we are the caller"),
        (Ingress, Some(500), Done, Some("500"), "5xx"),
        (Egress, Some(503), Done, Some("503"), "5xx"),
        (Ingress, None, Cancelled, None, "the caller went away"),
        (Egress, None, Cancelled, None, "the caller meant to"),
        (
            Egress,
            Some(200),
            Cancelled,
            None,
            "in the middle of an answer",
        ),
        (
            Ingress,
            Some(500),
            Cancelled,
            Some("500"),
            "an error before the caller left",
        ),
        (
            Ingress,
            Some(502),
            Upstream(Fault::Connect),
            Some("connect_error"),
            "the fault names it",
        ),
        (
            Ingress,
            Some(200),
            Upstream(Fault::StreamReset),
            Some("stream_reset"),
            "broken after a good start",
        ),
        (
            Egress,
            None,
            Upstream(Fault::Tls),
            Some("tls_error"),
            "no answer at all",
        ),
        (
            Ingress,
            Some(400),
            Refused(Fault::BadRequest),
            None,
            "4xx of ours is the caller's fault",
        ),
        (
            Egress,
            Some(400),
            Refused(Fault::BadTarget),
            Some("bad_target"),
            "4xx on a client span",
        ),
        (
            Ingress,
            Some(500),
            Refused(Fault::Internal),
            Some("internal_error"),
            "our fault",
        ),
        (
            Ingress,
            None,
            Refused(Fault::Internal),
            Some("internal_error"),
            "refused without an answer",
        ),
    ] {
        let mut record = if direction == Ingress {
            server()
        } else {
            client()
        };
        record.status = status;
        record.outcome = outcome;
        let span = convert(&record);
        assert_eq!(attribute(&span, "error.type").as_deref(), expected, "{why}");
        assert_eq!(failed(&span), expected.is_some(), "{why}");
        assert_eq!(
            attribute(&span, "tracegate.cancelled").is_some(),
            outcome == Cancelled,
            "{why}"
        );
        assert_eq!(
            attribute(&span, "tracegate.refused").is_some(),
            matches!(outcome, Refused(_)),
            "{why}"
        );
    }
}

#[test]
fn grpc_codes_are_errors_by_the_table_of_the_conventions() {
    for (code, name, server_error) in [
        (0, "OK", false),
        (1, "CANCELLED", false),
        (2, "UNKNOWN", true),
        (3, "INVALID_ARGUMENT", false),
        (4, "DEADLINE_EXCEEDED", true),
        (5, "NOT_FOUND", false),
        (6, "ALREADY_EXISTS", false),
        (7, "PERMISSION_DENIED", false),
        (8, "RESOURCE_EXHAUSTED", false),
        (9, "FAILED_PRECONDITION", false),
        (10, "ABORTED", false),
        (11, "OUT_OF_RANGE", false),
        (12, "UNIMPLEMENTED", true),
        (13, "INTERNAL", true),
        (14, "UNAVAILABLE", true),
        (15, "DATA_LOSS", true),
        (16, "UNAUTHENTICATED", false),
        (17, "17", true),
        (u16::MAX, "65535", true),
    ] {
        for (direction, error) in [
            (Direction::Ingress, server_error),
            (Direction::Egress, code != 0),
        ] {
            let span = convert(&rpc(direction, Some(code)));
            let recorded = attribute(&span, "rpc.response.status_code");
            assert_eq!(recorded.as_deref(), Some(name));
            assert_eq!(failed(&span), error, "{name} {direction:?}");
            let kind = attribute(&span, "error.type");
            assert_eq!(
                kind.as_deref(),
                error.then_some(name),
                "{name} {direction:?}"
            );
        }
    }
}

#[test]
fn a_grpc_call_without_a_code_is_judged_by_what_there_is() {
    use Direction::{Egress, Ingress};
    use Outcome::{Cancelled, Done, Refused, Upstream};
    for (direction, code, status, outcome, expected, why) in [
        (
            Egress,
            Some(1),
            Some(200),
            Cancelled,
            None,
            "cancelled on purpose",
        ),
        (
            Egress,
            None,
            Some(200),
            Cancelled,
            None,
            "cancelled before the trailers",
        ),
        (
            Egress,
            None,
            Some(404),
            Done,
            Some("404"),
            "something answered in plain HTTP",
        ),
        (
            Ingress,
            None,
            Some(404),
            Done,
            None,
            "the same, to a server",
        ),
        (
            Ingress,
            None,
            Some(503),
            Done,
            Some("503"),
            "a gateway's answer",
        ),
        (
            Ingress,
            Some(14),
            Some(200),
            Upstream(Fault::Connect),
            Some("connect_error"),
            "the fault names it",
        ),
        (
            Ingress,
            Some(13),
            Some(200),
            Refused(Fault::Internal),
            Some("internal_error"),
            "refused by us",
        ),
        (
            Ingress,
            Some(3),
            Some(200),
            Refused(Fault::BadRequest),
            None,
            "the caller's fault",
        ),
        (
            Ingress,
            None,
            None,
            Refused(Fault::BadRequest),
            Some("bad_request"),
            "no answer",
        ),
    ] {
        let mut record = rpc(direction, code);
        record.status = status;
        record.outcome = outcome;
        let span = convert(&record);
        assert_eq!(attribute(&span, "error.type").as_deref(), expected, "{why}");
        assert_eq!(failed(&span), expected.is_some(), "{why}");
        let plain = code.is_none() && status.is_some_and(|status| status != 200);
        let shown = attribute(&span, "http.response.status_code").is_some();
        assert_eq!(shown, plain, "{why}");
    }
}

#[test]
fn a_clients_url_is_rebuilt_without_userinfo_and_secrets() {
    for (scheme, host, port, path, query, expected, why) in [
        (
            "http",
            "h",
            Some(80),
            "/a",
            None,
            "http://h/a",
            "the scheme's port is left out",
        ),
        (
            "https",
            "h",
            Some(80),
            "/",
            None,
            "https://h:80/",
            "another scheme's isn't",
        ),
        (
            "http",
            "h",
            None,
            "/",
            Some("a=b"),
            "http://h/?a=REDACTED",
            "query",
        ),
        (
            "http",
            "user:pw@h",
            None,
            "/",
            None,
            "http://h/",
            "userinfo",
        ),
        (
            "http",
            "[::1]",
            Some(8080),
            "/",
            None,
            "http://[::1]:8080/",
            "bracketed IPv6",
        ),
        (
            "http",
            "::1",
            Some(8080),
            "/",
            None,
            "http://[::1]:8080/",
            "bare IPv6",
        ),
        ("http", "h", None, "*", None, "http://h", "OPTIONS *"),
        (
            "http",
            "",
            Some(6443),
            "/",
            None,
            "http://10.9.8.7:6443/",
            "no host: the peer",
        ),
    ] {
        let mut record = client();
        record.scheme = scheme;
        record.host = Some(host.into());
        record.port = port;
        record.path = path.into();
        record.query = query.map(Into::into);
        let span = convert(&record);
        assert_eq!(
            attribute(&span, "url.full").as_deref(),
            Some(expected),
            "{why}"
        );
        let address = attribute(&span, "server.address").unwrap();
        assert!(!address.contains(['@', '[']), "{why}: {address}");
    }
}

#[test]
fn a_client_span_names_its_server_even_if_nobody_named_a_host() {
    let mut record = client();
    record.host = None;
    record.port = None;
    let span = convert(&record);
    assert_eq!(
        attribute(&span, "server.address").as_deref(),
        Some("10.9.8.7")
    );
    assert_eq!(attribute(&span, "server.port").as_deref(), Some("6443"));
}

#[test]
fn ids_flags_state_parent_and_link_arrive() {
    let mut record = server();
    record.parent = ids::SpanId::new(0xabc);
    record.flags = ids::Flags::from_bits(3);
    record.tracestate = Some("ot=th:fd70a4,other=1".into());
    let old = ids::TraceId::new(7).unwrap();
    record.link = Some((old, ids::SpanId::new(8).unwrap(), ids::Flags::SAMPLED));
    let span = convert(&record);
    let context = &span.span_context;
    assert_eq!(context.trace_id().to_string(), record.trace_id.to_string());
    assert_eq!(context.span_id().to_string(), record.span_id.to_string());
    assert_eq!(context.trace_flags().to_u8(), 3);
    assert_eq!(context.trace_state().header(), "ot=th:fd70a4,other=1");
    assert_eq!(span.parent_span_id, SpanId::from(0xabc));
    assert!(span.parent_span_is_remote);
    let link = &span.links.links[0].span_context;
    assert_eq!(link.trace_id(), TraceId::from(7));
    assert_eq!(link.span_id(), SpanId::from(8));
    assert!(link.is_remote() && link.is_sampled());
}

#[test]
fn a_root_without_a_past_has_neither_parent_nor_link() {
    let span = convert(&server());
    assert_eq!(span.parent_span_id, SpanId::INVALID);
    assert!(!span.parent_span_is_remote);
    assert!(span.links.links.is_empty());
}

#[test]
fn a_tracestate_the_library_cannot_read_costs_only_itself() {
    let mut record = server();
    record.tracestate = Some("===,\u{7f}".into());
    let span = convert(&record);
    assert!(span.span_context.is_valid());
    assert_eq!(span.span_context.trace_state().header(), "");
}

#[test]
fn scope_and_schema_name_this_program_and_its_conventions() {
    let scope = convert(&server()).instrumentation_scope;
    assert_eq!(scope.name(), "tracegate");
    assert_eq!(scope.version(), Some(env!("CARGO_PKG_VERSION")));
    assert_eq!(scope.schema_url(), Some(SCHEMA_URL));
}

#[test]
fn times_are_the_anchors_date_corrected_by_the_monotonic_clock() {
    let anchor = Anchor::now();
    let mut record = server();
    record.start = anchor.mono - Duration::from_secs(3);
    record.headers = Some(anchor.mono - Duration::from_secs(2));
    record.end = anchor.mono + Duration::from_secs(1);
    let span = Converter::new(Arc::default()).span(&record, anchor);
    assert_eq!(span.start_time, anchor.wall - Duration::from_secs(3));
    assert_eq!(span.end_time, anchor.wall + Duration::from_secs(1));
    let event = &span.events.events[0];
    assert_eq!(event.name, HEADERS_EVENT);
    assert_eq!(event.timestamp, anchor.wall - Duration::from_secs(2));
}

#[test]
fn a_span_never_ends_before_it_starts() {
    let mut record = server();
    record.end = record.start;
    record.start = record.end + Duration::from_secs(1);
    let span = convert(&record);
    assert!(span.end_time >= span.start_time);
}

#[test]
fn only_lasting_responses_mark_their_heads() {
    let start = Instant::now();
    for (lasting, upgraded, marked, why) in [
        (LASTING, false, true, "a watch"),
        (
            LASTING - Duration::from_nanos(1),
            false,
            false,
            "an ordinary response",
        ),
        (Duration::ZERO, true, true, "a tunnel, however short"),
    ] {
        let mut record = server();
        record.start = start;
        record.headers = Some(start);
        record.end = start + lasting;
        record.upgraded = upgraded;
        let span = convert(&record);
        assert_eq!(!span.events.events.is_empty(), marked, "{why}");
    }
}

#[test]
fn no_attribute_outgrows_its_bound() {
    let long = || text(&"ä".repeat(MAX_TEXT));
    for mut record in [server(), client(), rpc(Direction::Ingress, Some(0))] {
        record.method = long();
        record.path = format!("/{}", long()).into();
        record.query = Some(format!("a={}&{}", long(), long()).into());
        record.user_agent = Some(long());
        let span = convert(&record);
        assert!(span.name.len() <= MAX_TEXT);
        for pair in &span.attributes {
            let length = pair.value.to_string().len();
            assert!(length <= 4 * MAX_TEXT, "{} has {length}", pair.key);
        }
    }
}

/// Routes of the Kubernetes API, and a pattern.
fn routes() -> Arc<Routes> {
    let mut patterns = Patterns::default();
    let pattern = Pattern::parse("/users/{id}").unwrap();
    patterns.insert(&pattern, Methods::Any).unwrap();
    Arc::new(Routes {
        kubernetes: Some(Kubernetes::default()),
        patterns,
        ..Routes::default()
    })
}

#[test]
fn a_route_is_part_of_the_name() {
    for (mut record, key, other) in [
        (server(), "http.route", "url.template"),
        (client(), "url.template", "http.route"),
    ] {
        record.routes = routes();
        for (method, path, name, route) in [
            (
                "GET",
                "/api/v1/namespaces/a/pods/b",
                "GET /api/v1/namespaces/{namespace}/pods/{name}",
                Some("/api/v1/namespaces/{namespace}/pods/{name}"),
            ),
            ("PUT", "/users/7", "PUT /users/{id}", Some("/users/{id}")),
            ("BREW", "/users/7", "HTTP /users/{id}", Some("/users/{id}")),
            ("GET", "/minted", "GET", None),
            ("BREW", "/minted", "HTTP", None),
        ] {
            record.method = method.into();
            record.path = path.into();
            let span = convert(&record);
            assert_eq!(span.name, name);
            assert_eq!(attribute(&span, key).as_deref(), route, "{name}");
            assert_eq!(attribute(&span, other), None, "{name}");
        }
    }
}

#[test]
fn a_request_to_the_kubernetes_api_says_what_it_asks_for() {
    let mut record = server();
    record.routes = routes();
    record.audit_id = Some("a-1".into());
    record.path = "/apis/apps/v1/namespaces/shop/deployments".into();
    record.query = Some("watch=true".into());
    let of_the_api = |span: &SpanData| {
        let mut pairs = all(span);
        pairs.retain(|(key, _)| key.starts_with("k8s.") || key == "audit-id");
        pairs
    };
    let expected = [
        ("audit-id", "a-1"),
        ("k8s.api.group", "apps"),
        ("k8s.api.resource", "deployments"),
        ("k8s.api.verb", "watch"),
        ("k8s.api.version", "v1"),
        ("k8s.namespace.name", "shop"),
    ];
    assert_eq!(of_the_api(&convert(&record)), pairs(&expected));

    record.path = "/api/v1/nodes/n/status".into();
    record.audit_id = None;
    let expected = [
        ("k8s.api.resource", "nodes"),
        ("k8s.api.subresource", "status"),
        ("k8s.api.verb", "get"),
        ("k8s.api.version", "v1"),
    ];
    assert_eq!(of_the_api(&convert(&record)), pairs(&expected));
    record.path = "/livez".into();
    let span = convert(&record);
    assert_eq!(of_the_api(&span), pairs(&[("k8s.api.verb", "get")]));
    record.path = "/minted".into();
    assert_eq!(of_the_api(&convert(&record)), pairs(&[]));
}

#[test]
fn an_rpcs_name_is_its_method_whatever_the_routes_say() {
    let mut record = rpc(Direction::Ingress, Some(0));
    record.routes = routes();
    record.path = "/users/7".into();
    let span = convert(&record);
    assert_eq!(span.name, "grpc");
    assert_eq!(attribute(&span, "http.route"), None);
}

#[test]
fn captured_fields_are_lists_under_the_names_of_the_conventions() {
    let field = |side, name: &'static str, values: &[&str]| Captured {
        side,
        name: ::http::HeaderName::from_static(name),
        values: values.iter().map(|&value| value.into()).collect(),
    };
    let fields = vec![
        field(Side::Request, "x-a", &["1", "2, 3"]),
        field(Side::Response, "x-a", &[""]),
    ];
    for (mut record, names) in [
        (
            server(),
            ["http.request.header.x-a", "http.response.header.x-a"],
        ),
        (
            client(),
            ["http.request.header.x-a", "http.response.header.x-a"],
        ),
        (
            rpc(Direction::Ingress, Some(0)),
            ["rpc.request.metadata.x-a", "rpc.response.metadata.x-a"],
        ),
    ] {
        record.captured.clone_from(&fields);
        let span = convert(&record);
        for (name, expected) in names.into_iter().zip([&["1", "2, 3"][..], &[""]]) {
            let mut found = span.attributes.iter().filter(|a| a.key.as_str() == name);
            let Some(Value::Array(opentelemetry::Array::String(values))) =
                found.next().map(|pair| &pair.value)
            else {
                panic!("{name} is no list: {:?}", span.attributes);
            };
            let values: Vec<_> = values.iter().map(|value| value.as_str()).collect();
            assert_eq!(values, expected, "{name}");
        }
    }
}

proptest::proptest! {
    #[test]
    fn a_path_is_never_a_name(path in "(/(api|v1|users|[a-z]{0,9}|\\PC{0,9})){0,6}") {
        let mut record = server();
        record.path = path.as_str().into();
        let bare = convert(&record).name;
        proptest::prop_assert_eq!(bare, "GET");
        record.routes = routes();
        let found = record.routes.find("GET", &path, None);
        let name = convert(&record).name;
        let expected = found.route.map_or("GET".to_owned(), |route| format!("GET {route}"));
        proptest::prop_assert_eq!(name, expected);
    }
}
