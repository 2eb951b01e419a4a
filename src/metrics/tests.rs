use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::{Duration, Instant};

use http::Method;
use opentelemetry_proto::tonic::metrics::v1::{Metric, metric::Data};

use self::reader::Read;
use super::labels::{Label, Version};
use super::*;
use crate::context::ids::{SpanId, TraceId};
use crate::context::trust::{Trust, Verdict};
use crate::span::error_type::Ended;
use crate::span::record::{Fault, Outcome};

mod reader;

/// A request that was answered, HTTP/1.1 in cleartext.
fn call(direction: Direction, method: MethodClass, status: Option<u16>) -> Call {
    Call {
        method,
        https: false,
        version: Version::Http11,
        rpc_method: None,
        ended: Ended {
            direction,
            grpc: false,
            status,
            grpc_status: None,
            outcome: Outcome::Done,
        },
    }
}

/// A gRPC call of a path.
fn rpc(registry: &Registry, path: &str, code: Option<u16>) -> Call {
    let mut call = call(Direction::Ingress, MethodClass::Post, Some(200));
    call.ended.grpc = true;
    call.ended.grpc_status = code;
    call.rpc_method = registry.shard(0).listener(0).known_rpc().index(path);
    call
}

/// Counts a request that took so long.
fn finish(listener: &ListenerShard, call: &Call, duration: Duration) {
    let start = Instant::now();
    listener.finished(call, duration, start + duration, None);
}

fn read(registry: &Registry, format: Format) -> Read {
    let text = registry.render(format);
    Read::strictly(&text, format).unwrap_or_else(|fault| panic!("{fault}\n{text}"))
}

fn registry() -> Arc<Registry> {
    Registry::new(
        &[
            ("public".into(), Direction::Ingress),
            ("to \"etcd\"\\\n".into(), Direction::Egress),
        ],
        2,
    )
}

/// Every counter of every listener on every worker moves.
fn exercise(registry: &Registry) {
    for worker in 0..2 {
        for index in 0..2 {
            let listener = registry.shard(worker).listener(index);
            for (at, &method) in MethodClass::ALL.iter().enumerate() {
                let direction = [Direction::Ingress, Direction::Egress][index];
                for status in [None, Some(101), Some(200), Some(404), Some(503)] {
                    let call = call(direction, method, status);
                    finish(&listener, &call, Duration::from_millis(3 << at));
                }
            }
            Refusal::ALL
                .iter()
                .for_each(|why| listener.connection_refused(*why));
            RequestRefusal::ALL
                .iter()
                .for_each(|why| listener.request_refused(*why));
            for (trust, rule) in Trust::ALL.iter().zip([None, Some(3), Some(63)]) {
                listener.trust(Verdict {
                    trust: *trust,
                    rule,
                });
            }
            Decision::ALL
                .iter()
                .for_each(|decision| listener.sampling(*decision));
            listener.context_restarted();
            listener.upstream_connected();
            listener.upstream_connect_failed();
            listener.upstream_retried();
            listener.panicked();
            drop((listener.request(), listener.connection()));
        }
    }
}

#[test]
fn a_strict_reader_accepts_both_formats() {
    let registry = registry();
    registry.register(Box::new(|exposition| {
        exposition
            .counter("tracegate_spans_dropped_total", "Spans dropped.")
            .sample(&[("reason", "queue_full")], 3_u64);
        exposition
            .gauge("tracegate_queue_bytes", "Bytes \"waiting\"\\\nin queues.")
            .sample(&[], f64::INFINITY)
            .sample(&[("worker", "1")], -2_i64);
    }));
    for busy in [false, true] {
        if busy {
            exercise(&registry);
        }
        for format in [Format::Text, Format::OpenMetrics] {
            let text = registry.render(format);
            let read = Read::strictly(&text, format).unwrap_or_else(|fault| {
                panic!("{format:?}, busy {busy}: {fault}");
            });
            assert_eq!(
                read.get("tracegate_spans_dropped_total", &[("reason", "queue_full")]),
                Some(3.0)
            );
        }
    }
}

#[test]
fn workers_are_summed() {
    let registry = registry();
    exercise(&registry);
    let read = Read::strictly(&registry.render(Format::Text), Format::Text).unwrap();
    let public = ("listener", "public");
    for (labels, count) in [
        ([public, ("trust", "drop"), ("rule", "default")], Some(2.0)),
        ([public, ("trust", "ids"), ("rule", "default")], Some(0.0)),
        ([public, ("trust", "ids"), ("rule", "3")], Some(2.0)),
        ([public, ("trust", "full"), ("rule", "63")], Some(2.0)),
        ([public, ("trust", "full"), ("rule", "0")], None),
    ] {
        assert_eq!(
            read.get("tracegate_trust_verdicts_total", &labels),
            count,
            "{labels:?}"
        );
    }
    for (name, label, count) in [
        ("tracegate_context_restarted_total", None, 2.0),
        ("tracegate_connections_accepted_total", None, 2.0),
        ("tracegate_upstream_connections_total", None, 2.0),
        ("tracegate_upstream_connect_errors_total", None, 2.0),
        ("tracegate_upstream_retries_total", None, 2.0),
        ("tracegate_panics_total", None, 2.0),
        (
            "tracegate_sampling_decisions_total",
            Some(("decision", "capped")),
            2.0,
        ),
        (
            "tracegate_connections_refused_total",
            Some(("reason", "max_connections")),
            2.0,
        ),
        (
            "tracegate_requests_refused_total",
            Some(("reason", "head_too_large")),
            2.0,
        ),
        ("tracegate_requests_in_flight", None, 0.0),
        ("tracegate_connections", None, 0.0),
    ] {
        let labels: Vec<_> = [Some(public), label].into_iter().flatten().collect();
        assert_eq!(read.get(name, &labels), Some(count), "{name} {label:?}");
    }
}

#[test]
fn a_request_is_counted_by_direction_and_the_conventions_labels() {
    let registry = registry();
    let shard = registry.shard(0);
    for (index, status, ms) in [(0, Some(200), 4), (0, Some(200), 600), (1, None, 20_000)] {
        let direction = registry.listeners[index].1;
        let mut call = call(direction, MethodClass::Get, status);
        if status.is_none() {
            call.version = Version::Http2;
            call.https = true;
            call.ended.outcome = Outcome::Upstream(Fault::Connect);
        }
        finish(&shard.listener(index), &call, Duration::from_millis(ms));
    }
    let text = registry.render(Format::OpenMetrics);
    let read = Read::strictly(&text, Format::OpenMetrics).unwrap();
    let server = |name: &str, le: Option<&'static str>| {
        let mut labels = vec![
            ("listener", "public"),
            ("http_request_method", "GET"),
            ("url_scheme", "http"),
            ("network_protocol_version", "1.1"),
            ("http_response_status_code", "200"),
        ];
        labels.extend(le.map(|le| ("le", le)));
        read.get(
            &format!("http_server_request_duration_seconds{name}"),
            &labels,
        )
    };
    assert_eq!(server("_bucket", Some("0.005")), Some(1.0));
    assert_eq!(server("_bucket", Some("0.5")), Some(1.0));
    assert_eq!(server("_bucket", Some("0.75")), Some(2.0));
    assert_eq!(server("_bucket", Some("10.0")), Some(2.0));
    assert_eq!(server("_count", None), Some(2.0));
    assert_eq!(server("_sum", None), Some(0.604));
    let client = [
        ("listener", "to \"etcd\"\\\n"),
        ("http_request_method", "GET"),
        ("url_scheme", "https"),
        ("network_protocol_version", "2"),
        ("error_type", "connect_error"),
    ];
    assert_eq!(
        read.get("http_client_request_duration_seconds_sum", &client),
        Some(20.0)
    );
    let series = text.matches("_request_duration_seconds_count{").count();
    assert_eq!(series, 2, "series that counted nothing are left out");
}

#[test]
fn every_label_survives_being_packed() {
    let registry = registry();
    let http = |status, outcome, direction| {
        let mut call = call(direction, MethodClass::Query, status);
        call.ended.outcome = outcome;
        call
    };
    let listener = registry.shard(0).listener(0);
    let mut calls: Vec<(Call, Vec<(&str, &str)>, &str)> = Vec::new();
    let method = ("http.request.method", "QUERY");
    let (scheme, version) = (("url.scheme", "http"), ("network.protocol.version", "1.1"));
    let status = |text| ("http.response.status_code", text);
    let error = |text| ("error.type", text);
    let with = |more: &[(&'static str, &'static str)]| [&[method, scheme, version], more].concat();
    let (ingress, egress) = (Direction::Ingress, Direction::Egress);
    for (answered, outcome, direction, labels, why) in [
        (
            Some(200),
            Outcome::Done,
            ingress,
            vec![status("200")],
            "plain",
        ),
        (
            Some(599),
            Outcome::Done,
            ingress,
            vec![status("599"), error("599")],
            "last status",
        ),
        (
            Some(404),
            Outcome::Done,
            egress,
            vec![status("404"), error("404")],
            "client error",
        ),
        (
            Some(999),
            Outcome::Done,
            ingress,
            vec![error("_OTHER")],
            "no status of HTTP's",
        ),
        (None, Outcome::Cancelled, ingress, vec![], "gone"),
    ] {
        calls.push((http(answered, outcome, direction), with(&labels), why));
    }
    for fault in Fault::ALL {
        let failed = http(Some(200), Outcome::Upstream(fault), ingress);
        let labels = with(&[status("200"), error(fault.as_str())]);
        calls.push((failed, labels, "a fault"));
    }
    let name = |method| [("rpc.system.name", "grpc"), ("rpc.method", method)];
    let code = |text| ("rpc.response.status_code", text);
    let range = "etcdserverpb.KV/Range";
    for (path, grpc_status, more, why) in [
        ("/etcdserverpb.KV/Range", Some(0), vec![code("OK")], "good"),
        ("/etcdserverpb.KV/Range", None, vec![], "no status came"),
        (
            "/etcdserverpb.KV/Range",
            Some(14),
            vec![code("UNAVAILABLE"), error("UNAVAILABLE")],
            "bad",
        ),
        (
            "/etcdserverpb.KV/Range",
            Some(4711),
            vec![code("_OTHER"), error("_OTHER")],
            "no such code",
        ),
        ("/minted.By/ACaller", Some(0), vec![code("OK")], "not known"),
    ] {
        let method = if path.contains("minted") {
            "_OTHER"
        } else {
            range
        };
        let labels = [&name(method)[..], &more].concat();
        calls.push((rpc(&registry, path, grpc_status), labels, why));
    }
    let mut plain = rpc(&registry, "/etcdserverpb.KV/Range", None);
    plain.ended.status = Some(502);
    let labels = [&name(range)[..], &[error("502")]].concat();
    calls.push((plain, labels, "something on the way answered in plain HTTP"));
    for (call, labels, why) in &calls {
        let packed = series::Key::of(call).labels(listener.known_rpc());
        let packed: Vec<_> = packed.iter().map(|(n, v)| (*n, &**v)).collect();
        assert_eq!(&packed, labels, "{why}: {call:?}");
    }
}

#[test]
fn faults_stand_at_their_numbers() {
    for (at, fault) in Fault::ALL.into_iter().enumerate() {
        assert_eq!(fault as usize, at, "{fault:?}");
    }
}

#[test]
fn grpc_calls_are_counted_as_calls_and_not_again_as_requests() {
    let registry = registry();
    let listener = registry.shard(1).listener(0);
    let call = rpc(&registry, "/etcdserverpb.KV/Put", Some(5));
    finish(&listener, &call, Duration::from_millis(7));
    let read = read(&registry, Format::OpenMetrics);
    let labels = [
        ("listener", "public"),
        ("rpc_system_name", "grpc"),
        ("rpc_method", "etcdserverpb.KV/Put"),
        ("rpc_response_status_code", "NOT_FOUND"),
    ];
    let counted = |name: &str| read.sum(name);
    assert_eq!(
        read.get("rpc_server_call_duration_seconds_count", &labels),
        Some(1.0)
    );
    assert_eq!(counted("http_server_request_duration_seconds_count"), 0.0);
    assert_eq!(counted("rpc_client_call_duration_seconds_count"), 0.0);
}

#[test]
fn no_caller_can_mint_series() {
    let registry = registry();
    let series = |registry: &Registry| {
        let text = registry.render(Format::Text);
        text.lines()
            .filter(|line| line.contains("_duration_seconds_count{"))
            .count()
    };
    let listener = registry.shard(0).listener(0);
    for n in 0..10_000_u32 {
        let minted = format!("M{n}");
        let method = MethodClass::of(&Method::from_bytes(minted.as_bytes()).unwrap());
        let made_up = call(Direction::Ingress, method, Some(200));
        finish(&listener, &made_up, Duration::ZERO);
        let path = format!("/made.Up/Method{n}");
        finish(&listener, &rpc(&registry, &path, Some(0)), Duration::ZERO);
    }
    assert_eq!(series(&registry), 2, "one _OTHER each");
    // What an upstream says is bounded, too, over all workers.
    for n in 0..10_000_u16 {
        let listener = registry.shard(usize::from(n) % 2).listener(0);
        for version in Version::ALL {
            let mut answered = call(Direction::Ingress, MethodClass::Get, Some(n));
            answered.version = *version;
            finish(&listener, &answered, Duration::ZERO);
            let code = rpc(&registry, "/etcdserverpb.KV/Put", Some(n));
            finish(&listener, &code, Duration::ZERO);
        }
    }
    assert_eq!(series(&registry), MAX_SERIES + 1);
    let read = read(&registry, Format::Text);
    let overflow = [("listener", "public"), ("otel_metric_overflow", "true")];
    let name = "http_server_request_duration_seconds_count";
    assert!(read.get(name, &overflow) > Some(0.0), "and says so");
    let all = read.sum(name) + read.sum("rpc_server_call_duration_seconds_count");
    assert_eq!(all, 80_000.0, "and no request is lost");
}

#[test]
fn counts_add_up_whichever_workers_counted_them() {
    let registry = Registry::new(&[("only".into(), Direction::Ingress)], 4);
    std::thread::scope(|scope| {
        for worker in 0..8 {
            let listener = registry.shard(worker).listener(0);
            scope.spawn(move || {
                for n in 0..10_000 {
                    // Every worker meets the series in an order of its own.
                    let status = u16::try_from(200 + (n * 7 + worker * 13) % 100).unwrap();
                    let call = call(Direction::Ingress, MethodClass::Get, Some(status));
                    finish(&listener, &call, Duration::from_millis(1));
                }
            });
        }
    });
    let read = read(&registry, Format::OpenMetrics);
    let name = "http_server_request_duration_seconds";
    assert_eq!(read.sum(&format!("{name}_count")), 80_000.0);
    let labels = [
        ("listener", "only"),
        ("http_request_method", "GET"),
        ("url_scheme", "http"),
        ("network_protocol_version", "1.1"),
        ("http_response_status_code", "207"),
    ];
    assert_eq!(read.get(&format!("{name}_count"), &labels), Some(800.0));
}

/// A request recorded as a span, that took so long.
fn recorded(listener: &ListenerShard, span: u64, duration: Duration) {
    let call = call(Direction::Ingress, MethodClass::Get, Some(200));
    let ids = TraceId::new(0xabc).zip(SpanId::new(span));
    let start = Instant::now();
    listener.finished(&call, duration, start + duration, ids);
}

#[test]
fn buckets_show_the_newest_recorded_request_of_any_worker() {
    let registry = registry();
    recorded(&registry.shard(0).listener(0), 1, Duration::from_millis(7));
    recorded(&registry.shard(1).listener(0), 2, Duration::from_millis(9));
    recorded(&registry.shard(0).listener(0), 3, Duration::from_secs(100));
    let unrecorded = call(Direction::Ingress, MethodClass::Get, Some(200));
    finish(&registry.shard(0).listener(0), &unrecorded, Duration::ZERO);
    let read = read(&registry, Format::OpenMetrics);
    let spans: Vec<_> = read
        .exemplars()
        .map(|(le, labels, value)| (le, labels["span_id"].as_str(), value))
        .collect();
    let expected = [
        ("0.01", "0000000000000002", 0.009),
        ("+Inf", "0000000000000003", 100.0),
    ];
    assert_eq!(spans, expected);
    for (_, labels, _) in read.exemplars() {
        assert_eq!(labels["trace_id"], "00000000000000000000000000000abc");
    }
    let text = registry.render(Format::Text);
    assert!(!text.contains(" # "), "Prometheus' own format has none");
}

#[test]
fn otlp_says_what_the_text_says() {
    let registry = registry();
    exercise(&registry);
    recorded(&registry.shard(0).listener(0), 9, Duration::from_millis(1));
    let scope = registry.otlp();
    let find = |name: &str| -> &Metric {
        let found = scope.metrics.iter().find(|metric| metric.name == name);
        found.unwrap_or_else(|| panic!("no {name}"))
    };
    let duration = find("http.server.request.duration");
    assert_eq!(duration.unit, "s");
    let Some(Data::Histogram(histogram)) = &duration.data else {
        panic!("{duration:?}");
    };
    assert_eq!(histogram.aggregation_temporality, 2, "cumulative");
    let counted: u64 = histogram.data_points.iter().map(|point| point.count).sum();
    let read = read(&registry, Format::Text);
    let text = read.sum("http_server_request_duration_seconds_count");
    assert_eq!(counted as f64, text);
    for point in &histogram.data_points {
        assert_eq!(point.bucket_counts.len(), point.explicit_bounds.len() + 1);
        assert_eq!(point.bucket_counts.iter().sum::<u64>(), point.count);
        assert!(0 < point.start_time_unix_nano);
        assert!(point.start_time_unix_nano <= point.time_unix_nano);
    }
    let exemplars: Vec<_> = histogram
        .data_points
        .iter()
        .flat_map(|p| &p.exemplars)
        .collect();
    assert_eq!(exemplars.len(), 1);
    assert_eq!(exemplars[0].span_id, 9_u64.to_be_bytes());
    let Some(Data::Sum(sum)) = &find("tracegate.connections_accepted").data else {
        panic!("a counter is a sum");
    };
    assert!(sum.is_monotonic);
    assert!(matches!(
        &find("tracegate.connections").data,
        Some(Data::Gauge(_))
    ));
    let names: Vec<_> = scope.metrics.iter().map(|metric| &metric.name).collect();
    assert!(
        !names
            .iter()
            .any(|n| n.contains("build") || n.starts_with("process"))
    );
}

#[test]
fn gauges_fall_with_their_guards_even_on_panic() {
    let registry = registry();
    let listener = registry.shard(1).listener(0);
    let gauges = || {
        let read = Read::strictly(&registry.render(Format::Text), Format::Text).unwrap();
        let public = [("listener", "public")];
        (
            read.get("tracegate_requests_in_flight", &public),
            read.get("tracegate_connections", &public),
        )
    };
    let connection = listener.connection();
    let panicked = catch_unwind(AssertUnwindSafe(|| {
        let _request = listener.request();
        assert_eq!(gauges(), (Some(1.0), Some(1.0)));
        std::panic::resume_unwind(Box::new(()));
    }));
    assert!(panicked.is_err());
    assert_eq!(gauges(), (Some(0.0), Some(1.0)));
    // A guard may end on another thread than it began.
    std::thread::spawn(move || drop(connection)).join().unwrap();
    assert_eq!(gauges(), (Some(0.0), Some(0.0)));
}

#[test]
fn indices_nobody_has_are_harmless() {
    let registry = Registry::new(&[("only".into(), Direction::Ingress)], 0);
    registry.shard(7).listener(0).panicked();
    registry.shard(0).listener(9).panicked();
    let read = Read::strictly(&registry.render(Format::Text), Format::Text).unwrap();
    let only = [("listener", "only")];
    assert_eq!(read.get("tracegate_panics_total", &only), Some(1.0));
}

#[test]
fn a_family_registered_twice_is_written_once() {
    let registry = registry();
    for value in [1_u64, 2] {
        registry.register(Box::new(move |exposition| {
            exposition
                .counter("tracegate_twice", "Twice.")
                .sample(&[], value);
        }));
    }
    for format in [Format::Text, Format::OpenMetrics] {
        let read = Read::strictly(&registry.render(format), format).unwrap();
        assert_eq!(read.get("tracegate_twice_total", &[]), Some(1.0));
    }
}

#[test]
fn build_and_start_time_are_told() {
    let now = SystemTime::now()
        .duration_since(SystemTime::UNIX_EPOCH)
        .unwrap()
        .as_secs_f64();
    for format in [Format::Text, Format::OpenMetrics] {
        let read = Read::strictly(&registry().render(format), format).unwrap();
        let version = [("version", env!("CARGO_PKG_VERSION"))];
        assert_eq!(read.get("tracegate_build_info", &version), Some(1.0));
        let started = read.get("process_start_time_seconds", &[]).unwrap();
        assert!((started - now).abs() < 60.0, "{started} is about {now}");
    }
}

#[test]
fn the_strict_reader_refuses_what_scrapers_refuse() {
    for (text, why) in [
        ("a 1\n", "no TYPE"),
        ("# TYPE a gauge\n# HELP a A.\na 1", "no newline at the end"),
        ("# TYPE a gauge\n# HELP a A.\na one\n", "no number"),
        ("# TYPE a gauge\n# HELP a A.\na 1\na 1\n", "sample twice"),
        (
            "# TYPE a gauge\n# HELP a A.\na{b=\"1\",b=\"2\"} 1\n",
            "label twice",
        ),
        ("# TYPE a gauge\n# HELP a A.\na{b=\"\"\"} 1\n", "quote"),
        (
            "# TYPE a gauge\n# HELP a A.\n# TYPE a gauge\n",
            "family twice",
        ),
        (
            "# TYPE a_total counter\n# HELP a_total A.\na 1\n",
            "wrong suffix",
        ),
        (
            "# TYPE a histogram\n# HELP a A.\na_bucket{le=\"1.0\"} 2\na_bucket{le=\"+Inf\"} 1\na_sum 1\na_count 1\n",
            "falling buckets",
        ),
        (
            "# TYPE a histogram\n# HELP a A.\na_bucket{le=\"+Inf\"} 1\na_sum 1\na_count 2\n",
            "count isn't the last bucket",
        ),
    ] {
        assert!(Read::strictly(text, Format::Text).is_err(), "{why}");
    }
    for (text, why) in [
        ("# TYPE a gauge\n# HELP a A.\na 1\n", "no EOF"),
        (
            "# TYPE a gauge\n# HELP a A.\na 1 # {b=\"c\"} 1\n# EOF\n",
            "a gauge has no exemplars",
        ),
        (
            "# TYPE a histogram\n# HELP a A.\na_bucket{le=\"1.0\"} 1 # {b=\"c\"} 2\na_bucket{le=\"+Inf\"} 1\na_sum 1\na_count 1\n# EOF\n",
            "an exemplar outside of its bucket",
        ),
        (
            "# TYPE a_seconds gauge\n# HELP a_seconds A.\na_seconds 1\n# EOF\n",
            "no UNIT",
        ),
        (
            "# TYPE a gauge\n# HELP a A.\na 1\n# TYPE a_total counter\n# HELP a_total A.\na_total 1\n# EOF\n",
            "counter family with suffix",
        ),
        (
            "# TYPE a gauge\n# HELP a A.\na 1\n# TYPE a counter\n# HELP a A.\na_total 1\n# EOF\n",
            "a gauge and a counter of one name",
        ),
    ] {
        assert!(Read::strictly(text, Format::OpenMetrics).is_err(), "{why}");
    }
}
