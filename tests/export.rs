//! The exporter against a real OTLP receiver: what arrives, what doesn't, and that every span is
//! accounted for.

#[path = "support/receiver.rs"]
mod receiver;

use std::sync::Arc;
use std::time::{Duration, Instant};

use receiver::{At, Behaviour, Receiver, Scratch, Speaks, attribute};
use tracegate::context::ids::{Flags, SpanId, TraceId};
use tracegate::export::ring::Producer;
use tracegate::export::settings::{Compression, Otlp, Settings, Sink, Tls, Transport};
use tracegate::export::{self, BuildError, Handle, Reason, Retry, SinkStatus, State, Status};
use tracegate::span::record::{Direction, Outcome, Record};

/// Retries that fit into a test.
const QUICK: Retry = Retry {
    attempts: 3,
    initial: Duration::from_millis(20),
    max: Duration::from_millis(50),
};

/// Retries that outlast any test.
const PATIENT: Retry = Retry {
    attempts: u32::MAX,
    ..QUICK
};

const FLUSH: Duration = Duration::from_secs(10);

fn otlp(receiver: &Receiver, transport: Transport) -> Otlp {
    Otlp {
        transport,
        endpoint: receiver.endpoint().to_owned(),
        headers: Vec::new(),
        compression: Compression::None,
        tls: Tls::default(),
        timeout: Duration::from_secs(5),
    }
}

fn grpc(receiver: &Receiver) -> Otlp {
    otlp(receiver, Transport::Grpc)
}

fn settings(sinks: impl IntoIterator<Item = Otlp>) -> Settings {
    Settings {
        sinks: sinks.into_iter().map(Sink::Otlp).collect(),
        metrics: None,
        resource: vec![("service.name".to_owned(), "shop".to_owned())],
        queue_spans: 4096,
        max_batch: 64,
        schedule_delay: Duration::from_millis(10),
    }
}

fn start(settings: &Settings, retry: Retry) -> (Producer, Handle) {
    let (mut producers, handle) = export::start_with(settings, Arc::default(), 1, retry).unwrap();
    (producers.pop().unwrap(), handle)
}

fn record(number: u64) -> Box<Record> {
    let now = Instant::now();
    Box::new(Record {
        trace_id: TraceId::new(0xfeed).unwrap(),
        span_id: SpanId::new(number + 1).unwrap(),
        parent: SpanId::new(0xabc),
        flags: Flags::SAMPLED,
        tracestate: Some("ot=th:8".into()),
        link: None,
        direction: Direction::Ingress,
        listener: Arc::from("public"),
        start: now - Duration::from_millis(5),
        headers: None,
        end: now,
        method: "GET".into(),
        scheme: "https",
        host: Some("api.example.com".into()),
        port: Some(443),
        path: "/api".into(),
        query: Some("token=s3cret".into()),
        user_agent: None,
        peer: None,
        client: None,
        protocol_version: "1.1",
        grpc: false,
        status: Some(200),
        grpc_status: None,
        outcome: Outcome::Done,
        resends: 0,
        request_bytes: 0,
        response_bytes: 0,
        request_messages: 0,
        response_messages: 0,
        moments: Default::default(),
        segment: 0,
        continued: false,
        upgraded: false,
        routes: Arc::default(),
        captured: Vec::new(),
        audit_id: None,
        kept: None,
        capped: 0,
    })
}

fn push(producer: &mut Producer, count: u64) {
    for number in 0..count {
        producer.push(record(number));
    }
}

/// The only sink's status.
fn sink(handle: &Handle) -> Arc<SinkStatus> {
    let sinks = handle.status().sinks();
    assert_eq!(sinks.len(), 1);
    Arc::clone(&sinks[0])
}

fn wait_until(what: &str, mut holds: impl FnMut() -> bool) {
    let end = Instant::now() + Duration::from_secs(20);
    while !holds() {
        assert!(Instant::now() < end, "never happened: {what}");
        // Counters have no event to await; looking at them often is all there is.
        std::thread::sleep(Duration::from_millis(2));
    }
}

/// After a shutdown nothing is under way, and every span is in exactly one counter.
fn accounted_for(status: &Status) {
    let early = status.dropped(Reason::QueueFull) + status.dropped(Reason::Shutdown);
    assert_eq!(status.recorded(), early + status.drained());
    assert_eq!(status.waiting(), 0);
    if let [only] = &status.sinks()[..] {
        assert_eq!(status.drained(), only.offered());
    }
    for sink in status.sinks() {
        let dropped: u64 = Reason::ALL.iter().map(|r| sink.dropped(*r)).sum();
        assert_eq!(sink.offered(), sink.exported() + dropped, "{}", sink.name());
        assert_eq!(sink.in_flight(), 0, "{}", sink.name());
    }
}

#[test]
fn exactly_the_spans_pushed_arrive() {
    let receiver = Receiver::start(Speaks::Grpc);
    let (mut producers, handle) =
        export::start(&settings([grpc(&receiver)]), Arc::default(), 3).unwrap();
    for (worker, producer) in producers.iter_mut().enumerate() {
        for number in 0..100 {
            assert!(producer.push(record(worker as u64 * 100 + number)));
        }
    }
    receiver.wait_for_spans(300);
    let (status, sink) = (handle.status(), sink(&handle));
    handle.shutdown(FLUSH);
    let mut ids: Vec<_> = receiver
        .spans()
        .into_iter()
        .map(|span| span.span_id)
        .collect();
    ids.sort();
    let expected: Vec<_> = (1..=300_u64).map(|id| id.to_be_bytes().to_vec()).collect();
    assert_eq!(ids, expected);
    assert_eq!((status.recorded(), sink.exported()), (300, 300));
    assert_eq!(sink.state(), State::Ok);
    accounted_for(&status);
}

#[test]
fn a_span_arrives_as_the_conventions_say() {
    let receiver = Receiver::start(Speaks::Grpc);
    let (mut producer, handle) = start(&settings([grpc(&receiver)]), QUICK);
    producer.push(record(0));
    let spans = receiver.wait_for_spans(1);
    handle.shutdown(FLUSH);
    let [span] = &spans[..] else {
        panic!("{spans:?}")
    };
    assert_eq!(span.trace_id, 0xfeed_u128.to_be_bytes());
    assert_eq!(span.parent_span_id, 0xabc_u64.to_be_bytes());
    assert_eq!(span.trace_state, "ot=th:8");
    assert_eq!(span.name, "GET");
    assert_eq!(
        span.end_time_unix_nano - span.start_time_unix_nano,
        5_000_000
    );
    for (key, expected) in [
        ("http.request.method", "GET"),
        ("http.response.status_code", "200"),
        ("url.query", "token=REDACTED"),
        ("server.address", "api.example.com"),
    ] {
        let value = attribute(&span.attributes, key);
        assert_eq!(value.as_deref(), Some(expected), "{key}");
    }
    let request = receiver.requests().remove(0);
    let resource = &request.resource_spans[0];
    let attributes = &resource.resource.as_ref().unwrap().attributes;
    assert_eq!(
        attribute(attributes, "service.name").as_deref(),
        Some("shop")
    );
    let scope = &resource.scope_spans[0];
    assert_eq!(scope.scope.as_ref().unwrap().name, "tracegate");
    assert_eq!(scope.schema_url, tracegate::span::semconv::SCHEMA_URL);
}

#[test]
fn an_absent_collector_costs_bounded_memory_and_every_drop_is_counted() {
    let receiver = Receiver::start(Speaks::Grpc);
    let mut settings = settings([grpc(&receiver)]);
    drop(receiver);
    settings.queue_spans = 200;
    let (mut producer, handle) = start(&settings, PATIENT);
    let (status, sink) = (handle.status(), sink(&handle));
    wait_until("both halves of the queue are full", || {
        push(&mut producer, 10);
        sink.in_flight() == 100 && status.waiting() == 100
    });
    assert!(!producer.push(record(0)), "there is no room left");
    let full = status.dropped(Reason::QueueFull);
    assert_eq!(status.recorded(), 200 + full);
    assert!(matches!(sink.state(), State::Failing { .. }));
    handle.shutdown(Duration::from_millis(200));
    assert_eq!(sink.exported(), 0);
    accounted_for(&status);
    assert!(!producer.push(record(0)), "nobody is left to take it");
    accounted_for(&status);
}

#[test]
fn a_batch_that_fails_too_often_is_dropped_and_counted() {
    for (speaks, transport, behaviour) in [
        (
            Speaks::Grpc,
            Transport::Grpc,
            Behaviour::Code(tonic::Code::Unavailable),
        ),
        (
            Speaks::Http,
            Transport::HttpProtobuf,
            Behaviour::Status(503, Vec::new()),
        ),
    ] {
        let receiver = Receiver::start(speaks);
        receiver.behave(behaviour);
        let (mut producer, handle) = start(&settings([otlp(&receiver, transport)]), QUICK);
        push(&mut producer, 5);
        let (status, sink) = (handle.status(), sink(&handle));
        wait_until("the batch is given up", || {
            sink.in_flight() == 0 && sink.offered() == 5
        });
        assert_eq!(receiver.calls().len(), 3, "as many attempts as allowed");
        assert_eq!(sink.dropped(Reason::ExportFailed), 5);
        handle.shutdown(FLUSH);
        accounted_for(&status);
    }
}

#[test]
fn a_refusal_is_not_tried_again() {
    for (speaks, transport, behaviour, error) in [
        (
            Speaks::Grpc,
            Transport::Grpc,
            Behaviour::Code(tonic::Code::Unauthenticated),
            "gRPC status Unauthenticated",
        ),
        (
            Speaks::Http,
            Transport::HttpProtobuf,
            Behaviour::Status(401, Vec::new()),
            "HTTP status 401",
        ),
    ] {
        let receiver = Receiver::start(speaks);
        receiver.behave(behaviour);
        let (mut producer, handle) = start(&settings([otlp(&receiver, transport)]), QUICK);
        push(&mut producer, 5);
        let (status, sink) = (handle.status(), sink(&handle));
        wait_until("the batch is refused", || {
            sink.dropped(Reason::Rejected) == 5
        });
        let State::Failing { error: seen, .. } = sink.state() else {
            panic!("{:?}", sink.state());
        };
        assert_eq!(&*seen, error);
        handle.shutdown(FLUSH);
        assert_eq!(receiver.calls().len(), 1);
        accounted_for(&status);
    }
}

#[test]
fn a_hung_collector_times_out_is_retried_and_recovers() {
    let receiver = Receiver::start(Speaks::Grpc);
    receiver.behave(Behaviour::Hang);
    let mut sinks = grpc(&receiver);
    sinks.timeout = Duration::from_millis(50);
    let (mut producer, handle) = start(&settings([sinks]), PATIENT);
    push(&mut producer, 5);
    receiver.wait_for_calls(3);
    let (status, sink) = (handle.status(), sink(&handle));
    let State::Failing { error, since } = sink.state() else {
        panic!("{:?}", sink.state());
    };
    assert_eq!(&*error, "no answer within 50ms");
    receiver.wait_for_calls(5);
    assert!(matches!(sink.state(), State::Failing { since: s, .. } if s == since));
    receiver.behave(Behaviour::Accept);
    wait_until("the sink is well again", || sink.state() == State::Ok);
    assert_eq!(sink.exported(), 5);
    handle.shutdown(FLUSH);
    accounted_for(&status);
}

#[test]
fn a_collector_that_comes_back_gets_what_waited() {
    let receiver = Receiver::start(Speaks::Grpc);
    let settings = settings([grpc(&receiver)]);
    let address = receiver.address().unwrap();
    drop(receiver);
    let (mut producer, handle) = start(&settings, PATIENT);
    push(&mut producer, 100);
    let (status, sink) = (handle.status(), sink(&handle));
    wait_until("the sink fails", || sink.state() != State::Ok);
    let receiver = Receiver::start_at(Speaks::Grpc, At::Tcp(address), None);
    assert_eq!(receiver.wait_for_spans(100).len(), 100);
    handle.shutdown(FLUSH);
    assert_eq!(sink.state(), State::Ok);
    assert_eq!(sink.exported(), 100);
    accounted_for(&status);
}

#[test]
fn a_partial_success_counts_the_rejected_spans() {
    for (speaks, transport) in [
        (Speaks::Grpc, Transport::Grpc),
        (Speaks::Http, Transport::HttpProtobuf),
    ] {
        let receiver = Receiver::start(speaks);
        receiver.behave(Behaviour::Partial(2));
        let (mut producer, handle) = start(&settings([otlp(&receiver, transport)]), QUICK);
        push(&mut producer, 5);
        let (status, sink) = (handle.status(), sink(&handle));
        wait_until("the answer is counted", || {
            sink.offered() == 5 && sink.in_flight() == 0
        });
        assert_eq!((sink.exported(), sink.dropped(Reason::Rejected)), (3, 2));
        handle.shutdown(FLUSH);
        accounted_for(&status);
    }
}

#[test]
fn a_shutdown_flushes_what_is_left() {
    let receiver = Receiver::start(Speaks::Grpc);
    let mut settings = settings([grpc(&receiver)]);
    settings.schedule_delay = Duration::from_secs(3600);
    settings.queue_spans = 400;
    let (mut producer, handle) = start(&settings, QUICK);
    push(&mut producer, 200);
    let status = handle.status();
    handle.shutdown(FLUSH);
    assert_eq!(receiver.spans().len(), 200);
    accounted_for(&status);
}

#[test]
fn a_shutdown_keeps_its_deadline_and_counts_what_is_lost() {
    let receiver = Receiver::start(Speaks::Grpc);
    receiver.behave(Behaviour::Hang);
    let mut settings = settings([grpc(&receiver)]);
    settings.queue_spans = 200;
    let (mut producer, handle) = start(&settings, PATIENT);
    let (status, sink) = (handle.status(), sink(&handle));
    push(&mut producer, 80);
    receiver.wait_for_calls(1);
    push(&mut producer, 80);
    let begin = Instant::now();
    handle.shutdown(Duration::from_millis(300));
    let took = begin.elapsed();
    assert!(
        took >= Duration::from_millis(300),
        "the time is used: {took:?}"
    );
    assert!(took < Duration::from_secs(3), "and not exceeded: {took:?}");
    assert_eq!(sink.exported(), 0);
    let lost = sink.dropped(Reason::Shutdown) + status.dropped(Reason::Shutdown);
    assert_eq!(lost + status.dropped(Reason::QueueFull), 160);
    accounted_for(&status);
}

#[test]
fn a_refusing_collector_does_not_hold_up_a_shutdown() {
    let receiver = Receiver::start(Speaks::Grpc);
    let settings = settings([grpc(&receiver)]);
    drop(receiver);
    let (mut producer, handle) = start(&settings, PATIENT);
    push(&mut producer, 1000);
    let status = handle.status();
    let begin = Instant::now();
    handle.shutdown(Duration::from_secs(60));
    assert!(
        begin.elapsed() < Duration::from_secs(10),
        "{:?}",
        begin.elapsed()
    );
    accounted_for(&status);
}

#[test]
fn a_stuck_sink_does_not_stop_another() {
    let stuck = Receiver::start(Speaks::Grpc);
    stuck.behave(Behaviour::Hang);
    let well = Receiver::start(Speaks::Http);
    let mut settings = settings([grpc(&stuck), otlp(&well, Transport::HttpProtobuf)]);
    settings.queue_spans = 256;
    let (mut producer, handle) = start(&settings, PATIENT);
    let status = handle.status();
    let [first, second] = &status.sinks()[..] else {
        panic!()
    };
    // Ten times what the stuck sink may hold, in portions the other one keeps up with.
    for round in 1..=20 {
        push(&mut producer, 32);
        wait_until("the well sink has it", || second.exported() == round * 32);
    }
    assert!(first.in_flight() <= 64, "its share of the queue");
    assert!(first.dropped(Reason::QueueFull) >= 640 - 64);
    assert_eq!(second.dropped(Reason::QueueFull), 0);
    handle.shutdown(Duration::from_millis(200));
    assert_eq!(well.spans().len(), 640);
    accounted_for(&status);
}

#[test]
fn headers_and_compression_arrive_over_both_transports() {
    for (speaks, transport, field) in [
        (Speaks::Grpc, Transport::Grpc, "grpc-encoding"),
        (Speaks::Http, Transport::HttpProtobuf, "content-encoding"),
    ] {
        for (compression, expected) in [
            (Compression::None, None),
            (Compression::Gzip, Some("gzip")),
            (Compression::Zstd, Some("zstd")),
        ] {
            let receiver = Receiver::start(speaks);
            let mut sink = otlp(&receiver, transport);
            sink.headers = vec![("Authorization".to_owned(), "Bearer t".to_owned())];
            sink.compression = compression;
            let (mut producer, handle) = start(&settings([sink]), QUICK);
            push(&mut producer, 50);
            assert_eq!(receiver.wait_for_spans(50).len(), 50);
            handle.shutdown(FLUSH);
            let call = receiver.calls().remove(0);
            let header = |name| call.headers.get(name).and_then(|value| value.to_str().ok());
            assert_eq!(header("authorization"), Some("Bearer t"));
            assert_eq!(header(field), expected, "{speaks:?}");
            assert!(
                header("user-agent")
                    .is_some_and(|agent| agent.starts_with("OTel-OTLP-Exporter-Rust/"))
            );
            let path = match speaks {
                Speaks::Grpc => "/opentelemetry.proto.collector.trace.v1.TraceService/Export",
                Speaks::Http => "/v1/traces",
            };
            assert_eq!(call.path, path);
        }
    }
}

#[test]
fn a_unix_socket_takes_grpc() {
    let scratch = Scratch::new("unix");
    let receiver = Receiver::start_at(Speaks::Grpc, At::Unix(scratch.join("otel.sock")), None);
    let (mut producer, handle) = start(&settings([grpc(&receiver)]), QUICK);
    push(&mut producer, 5);
    assert_eq!(receiver.wait_for_spans(5).len(), 5);
    handle.shutdown(FLUSH);
}

#[test]
fn an_abstract_socket_takes_grpc() {
    // The namespace is the host's: a name of this process's own.
    let name = format!("/tracegate-export-{}", std::process::id());
    let at = At::Unix(format!("\0{name}").into());
    let receiver = Receiver::start_at(Speaks::Grpc, at, None);
    let mut sink = grpc(&receiver);
    sink.endpoint = format!("unix-abstract:{name}");
    let (mut producer, handle) = start(&settings([sink]), QUICK);
    push(&mut producer, 5);
    assert_eq!(receiver.wait_for_spans(5).len(), 5);
    handle.shutdown(FLUSH);
}

/// A CA, and certificates for a server (`localhost`) and a client under it.
struct Pki {
    scratch: Scratch,
    server: rustls::ServerConfig,
}

impl Pki {
    fn new(name: &str) -> Self {
        use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
        let scratch = Scratch::new(name);
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let ca = params.self_signed(&key).unwrap();
        let issuer = Issuer::from_params(&params, &key);
        let issue = |name: &str| {
            let key = KeyPair::generate().unwrap();
            let params = CertificateParams::new(vec![name.to_owned()]).unwrap();
            (params.signed_by(&key, &issuer).unwrap(), key)
        };
        let write = |name: &str, text: String| std::fs::write(scratch.join(name), text).unwrap();
        let (client, client_key) = issue("client");
        write("ca.pem", ca.pem());
        write("client.pem", client.pem());
        write("client.key", client_key.serialize_pem());
        let mut roots = rustls::RootCertStore::empty();
        roots.add(ca.der().clone()).unwrap();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let verifier = rustls::server::WebPkiClientVerifier::builder_with_provider(
            Arc::new(roots),
            Arc::clone(&provider),
        );
        let (cert, cert_key) = issue("localhost");
        let server = rustls::ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_client_cert_verifier(verifier.build().unwrap())
            .with_single_cert(
                vec![cert.der().clone()],
                rustls::pki_types::PrivatePkcs8KeyDer::from(cert_key.serialize_der()).into(),
            )
            .unwrap();
        Self { scratch, server }
    }

    fn tls(&self) -> Tls {
        Tls {
            ca_file: Some(self.scratch.join("ca.pem")),
            identity: Some((
                self.scratch.join("client.pem"),
                self.scratch.join("client.key"),
            )),
        }
    }
}

#[test]
fn tls_with_a_client_certificate_works_over_both_transports() {
    let pki = Pki::new("mtls");
    for (speaks, transport) in [
        (Speaks::Grpc, Transport::Grpc),
        (Speaks::Http, Transport::HttpProtobuf),
    ] {
        let receiver = Receiver::start_at(speaks, At::AnyPort, Some(pki.server.clone()));
        let mut sink = otlp(&receiver, transport);
        sink.tls = pki.tls();
        let (mut producer, handle) = start(&settings([sink]), QUICK);
        push(&mut producer, 5);
        assert_eq!(receiver.wait_for_spans(5).len(), 5);
        handle.shutdown(FLUSH);
    }
}

#[test]
fn a_collector_of_another_ca_gets_nothing() {
    let (pki, other) = (Pki::new("ours"), Pki::new("theirs"));
    for (speaks, transport) in [
        (Speaks::Grpc, Transport::Grpc),
        (Speaks::Http, Transport::HttpProtobuf),
    ] {
        let receiver = Receiver::start_at(speaks, At::AnyPort, Some(other.server.clone()));
        let mut settings_of = otlp(&receiver, transport);
        settings_of.tls = pki.tls();
        let (mut producer, handle) = start(&settings([settings_of]), QUICK);
        push(&mut producer, 5);
        let (status, sink) = (handle.status(), sink(&handle));
        wait_until("the batch is given up", || {
            sink.dropped(Reason::ExportFailed) == 5
        });
        handle.shutdown(FLUSH);
        assert!(receiver.calls().is_empty());
        accounted_for(&status);
    }
}

#[test]
fn a_reconfiguration_sends_to_the_new_sink_from_then_on() {
    let (old, new) = (Receiver::start(Speaks::Grpc), Receiver::start(Speaks::Grpc));
    let (mut producer, handle) = start(&settings([grpc(&old)]), QUICK);
    push(&mut producer, 5);
    old.wait_for_spans(5);
    handle.reconfigure(&settings([grpc(&new)])).unwrap();
    wait_until("the new sink is used", || {
        push(&mut producer, 1);
        !new.spans().is_empty()
    });
    let status = handle.status();
    handle.shutdown(FLUSH);
    let sent = old.spans().len() + new.spans().len();
    assert_eq!(sent as u64, status.recorded(), "none is lost in between");
    assert_eq!(status.sinks().len(), 2, "the old sink's counters stay");
    accounted_for(&status);
}

#[test]
fn a_bad_reconfiguration_changes_nothing() {
    let receiver = Receiver::start(Speaks::Grpc);
    let good = settings([grpc(&receiver)]);
    let (mut producer, handle) = start(&good, QUICK);
    let mut bad = good.clone();
    bad.sinks = vec![Sink::Otlp(Otlp {
        endpoint: "nonsense".to_owned(),
        ..grpc(&receiver)
    })];
    assert!(handle.reconfigure(&bad).is_err());
    push(&mut producer, 5);
    assert_eq!(receiver.wait_for_spans(5).len(), 5);
    assert_eq!(handle.status().sinks().len(), 1);
    handle.shutdown(FLUSH);
}

#[test]
fn without_sinks_nothing_is_taken_and_nothing_runs() {
    let (mut producers, handle) = export::start(&settings([]), Arc::default(), 2).unwrap();
    assert_eq!(producers.len(), 2);
    assert!(!handle.enabled());
    assert!(!producers[0].enabled());
    assert!(!producers[0].push(record(0)));
    assert_eq!(handle.status().recorded(), 0);
    let receiver = Receiver::start(Speaks::Grpc);
    let late = handle.reconfigure(&settings([grpc(&receiver)]));
    assert!(matches!(late, Err(BuildError::Restart)));
    handle.shutdown(FLUSH);
}

#[test]
fn faults_of_the_settings_are_found_at_the_start() {
    let receiver = Receiver::start(Speaks::Grpc);
    let good = grpc(&receiver);
    let https = "https://localhost:4317".to_owned();
    let missing = Tls {
        ca_file: Some("/nonexistent/ca.pem".into()),
        identity: None,
    };
    let header = vec![("bad name".to_owned(), "x".to_owned())];
    for (sink, expected) in [
        (
            Otlp {
                endpoint: "localhost:4317".to_owned(),
                ..good.clone()
            },
            "localhost:4317",
        ),
        (
            Otlp {
                endpoint: https,
                tls: missing,
                ..good.clone()
            },
            "/nonexistent/ca.pem",
        ),
        (
            Otlp {
                headers: header,
                ..good.clone()
            },
            "bad name",
        ),
        (
            Otlp {
                transport: Transport::HttpProtobuf,
                endpoint: "unix:///run/x.sock".to_owned(),
                ..good.clone()
            },
            "unix:///run/x.sock",
        ),
    ] {
        let error = export::start(&settings([sink]), Arc::default(), 1).unwrap_err();
        assert!(error.to_string().contains(expected), "{error}");
    }
}
