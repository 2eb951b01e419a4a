use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

use http::Method;

use self::reader::Read;
use super::labels::Label;
use super::*;
use crate::context::trust::{Trust, Verdict};

mod reader;

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
                for &status in StatusClass::ALL {
                    listener.finished(method, status, Duration::from_millis(3 << at));
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
fn a_request_is_counted_by_direction_method_class_and_duration() {
    let registry = registry();
    let shard = registry.shard(0);
    let get = MethodClass::of(&Method::GET);
    for (index, status, ms) in [(0, Some(200), 4), (0, Some(204), 600), (1, None, 20_000)] {
        shard
            .listener(index)
            .finished(get, StatusClass::of(status), Duration::from_millis(ms));
    }
    let text = registry.render(Format::OpenMetrics);
    let read = Read::strictly(&text, Format::OpenMetrics).unwrap();
    let server = |name: &str, le: Option<&'static str>| {
        let mut labels = vec![
            ("listener", "public"),
            ("http_request_method", "GET"),
            ("http_response_status_class", "2xx"),
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
        ("http_response_status_class", "none"),
    ];
    assert_eq!(
        read.get("http_client_request_duration_seconds_sum", &client),
        Some(20.0)
    );
    let series = text.matches("_request_duration_seconds_count{").count();
    assert_eq!(series, 2, "series that counted nothing are left out");
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
