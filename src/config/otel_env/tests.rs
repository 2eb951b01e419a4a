//! The environment against files and flags; the process's own environment is never read.

use std::path::PathBuf;
use std::time::Duration;

use crate::config::{Config, Faults, FileText, Flags, Loaded, Source, Strictness, load};
use crate::context::formats::Format;
use crate::export::settings::{Compression, Otlp, Sink, Transport};
use crate::proxy::settings::Propagate;

const FILE: &str = "\
apiVersion: tracegate.dev/v1alpha1
kind: TracegateConfiguration
service: {name: of-file, attributes: {a: file, b: file}}
tracing:
  samplingRatePerMillion: 7
  export:
    endpoint: http://of-file:4317
    headers: {x-file: hunter2}
    queueSpans: 1000
listeners:
- {name: a, bind: 127.0.0.1:8080, upstream: {url: http://h}}
- {name: b, bind: 127.0.0.1:8081, propagate: w3c, upstream: {url: http://h}}
";

const BARE: &str = "\
apiVersion: tracegate.dev/v1alpha1
kind: TracegateConfiguration
listeners:
- {name: a, bind: 127.0.0.1:8080, upstream: {url: http://h}}
";

fn with(
    text: &str,
    variables: &[(&str, &str)],
    flags: Flags,
    strictness: Strictness,
) -> Result<Loaded, Faults> {
    let path = PathBuf::from("f.yaml");
    let text = text.to_owned();
    let owned = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
    let source = Source {
        file: Some(FileText { path, text }),
        environment: variables.iter().map(owned).collect(),
        flags,
    };
    load(&source, strictness)
}

fn config(text: &str, variables: &[(&str, &str)]) -> Config {
    let loaded = with(text, variables, Flags::default(), Strictness::Check).unwrap();
    assert_eq!(loaded.warnings, [""; 0]);
    loaded.config
}

fn otlp(config: &Config) -> &Otlp {
    match config.export.sinks.as_slice() {
        [Sink::Otlp(otlp)] => otlp,
        other => panic!("expected one collector: {other:?}"),
    }
}

fn rate(config: &Config) -> u32 {
    config.sampling.rate.get()
}

#[test]
fn flags_beat_the_environment_which_beats_the_file() {
    let variables = [
        ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://of-env:4317"),
        ("OTEL_TRACES_SAMPLER", "parentbased_always_on"),
    ];
    let flags = Flags {
        sampling_rate_per_million: Some("9".into()),
        otlp_endpoint: Some("http://of-flag:4317".into()),
        ..Flags::default()
    };
    let file = config(FILE, &[]);
    assert_eq!(
        (otlp(&file).endpoint.as_str(), rate(&file)),
        ("http://of-file:4317", 7)
    );
    let env = config(FILE, &variables);
    assert_eq!(
        (otlp(&env).endpoint.as_str(), rate(&env)),
        ("http://of-env:4317", 1_000_000)
    );
    let all = with(FILE, &variables, flags, Strictness::Check)
        .unwrap()
        .config;
    assert_eq!(
        (otlp(&all).endpoint.as_str(), rate(&all)),
        ("http://of-flag:4317", 9)
    );
    let none = config(BARE, &[]);
    assert_eq!(
        (otlp(&none).endpoint.as_str(), rate(&none)),
        ("http://localhost:4317", 0)
    );
}

#[test]
fn what_wins_over_the_file_is_noted() {
    let notes = config(FILE, &[("OTEL_TRACES_SAMPLER", "parentbased_always_off")]).notes;
    let expected = "OTEL_TRACES_SAMPLER wins over tracing.samplingRatePerMillion of f.yaml:5";
    assert_eq!(notes, [expected]);
    assert_eq!(
        config(BARE, &[("OTEL_TRACES_SAMPLER", "parentbased_always_off")]).notes,
        [""; 0]
    );
}

#[test]
fn signal_specific_variables_beat_general_ones_and_empty_ones_are_unset() {
    let general = ("OTEL_EXPORTER_OTLP_TIMEOUT", "2000");
    let specific = "OTEL_EXPORTER_OTLP_TRACES_TIMEOUT";
    for (value, expected) in [("3000", 3), ("", 2), ("  ", 2)] {
        let config = config(BARE, &[general, (specific, value)]);
        assert_eq!(
            otlp(&config).timeout,
            Duration::from_secs(expected),
            "{value:?}"
        );
    }
}

#[test]
fn an_http_endpoint_gets_its_path_by_who_named_it() {
    const GENERAL: &str = "OTEL_EXPORTER_OTLP_ENDPOINT";
    const TRACES: &str = "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT";
    for (name, value, expected) in [
        (GENERAL, "http://c:4318", "http://c:4318/v1/traces"),
        (GENERAL, "http://c:4318/", "http://c:4318/v1/traces"),
        (GENERAL, "https://c/base/", "https://c/base/v1/traces"),
        (
            GENERAL,
            "https://c/base?key=1",
            "https://c/base/v1/traces?key=1",
        ),
        (TRACES, "http://c:4318", "http://c:4318/"),
        (TRACES, "http://c:4318/", "http://c:4318/"),
        (TRACES, "http://c/otlp/spans", "http://c/otlp/spans"),
    ] {
        let config = config(
            BARE,
            &[
                ("OTEL_EXPORTER_OTLP_PROTOCOL", "http/protobuf"),
                (name, value),
            ],
        );
        assert_eq!(otlp(&config).endpoint, expected, "{name}={value}");
        assert_eq!(otlp(&config).transport, Transport::HttpProtobuf);
    }
    let default = config(
        BARE,
        &[("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "http/protobuf")],
    );
    assert_eq!(otlp(&default).endpoint, "http://localhost:4318/v1/traces");
}

#[test]
fn an_endpoint_without_scheme_needs_to_know_whether_tls_is_meant() {
    let endpoint = ("OTEL_EXPORTER_OTLP_ENDPOINT", "collector:4317");
    let faults = with(BARE, &[endpoint], Flags::default(), Strictness::Check).unwrap_err();
    assert_eq!(
        faults.to_string(),
        "OTEL_EXPORTER_OTLP_ENDPOINT: expected http://host:port, https://host:port, \
         unix:///path or unix-abstract:name; got \"collector:4317\"\n1 fault"
    );
    for (insecure, expected) in [
        ("true", "http://collector:4317"),
        ("FALSE", "https://collector:4317"),
    ] {
        let config = config(BARE, &[endpoint, ("OTEL_EXPORTER_OTLP_INSECURE", insecure)]);
        assert_eq!(otlp(&config).endpoint, expected);
    }
}

#[test]
fn headers_replace_the_files_and_are_masked() {
    let variables = [(
        "OTEL_EXPORTER_OTLP_HEADERS",
        "Authorization=Bearer%20hunter3,x=a=b",
    )];
    let config = config(FILE, &variables);
    let expected = [("authorization", "Bearer hunter3"), ("x", "a=b")];
    let expected = expected.map(|(name, value)| (name.to_owned(), value.to_owned()));
    assert_eq!(otlp(&config).headers, expected);
    let shown = config.effective.to_string();
    assert!(
        shown.contains("authorization") && !shown.contains("hunter"),
        "{shown}"
    );
    assert!(!format!("{:?}", config.notes).contains("hunter"));
}

#[test]
fn no_fault_repeats_a_header_s_value() {
    for value in ["hunter2", "a=hunter2%0A", "a=hunter2%zz", "b c=hunter2"] {
        let variables = [("OTEL_EXPORTER_OTLP_HEADERS", value)];
        let faults = with(BARE, &variables, Flags::default(), Strictness::Check).unwrap_err();
        assert!(!faults.to_string().contains("hunter2"), "{faults}");
    }
}

#[test]
fn resource_attributes_are_merged_and_the_service_name_has_an_order() {
    let attributes = (
        "OTEL_RESOURCE_ATTRIBUTES",
        "a=env,c=e%20nv,service.name=of-attributes",
    );
    let resource = |variables: &[(&str, &str)]| {
        let pairs = config(FILE, variables).export.resource;
        pairs
            .into_iter()
            .map(|(k, v)| format!("{k}={v}"))
            .collect::<Vec<_>>()
    };
    assert_eq!(resource(&[]), ["service.name=of-file", "a=file", "b=file"]);
    let merged = resource(&[attributes]);
    assert_eq!(
        merged,
        ["service.name=of-attributes", "a=env", "b=file", "c=e nv"]
    );
    let named = resource(&[attributes, ("OTEL_SERVICE_NAME", "of-name")]);
    assert_eq!(named[0], "service.name=of-name");
    let bare = config(BARE, &[]).export.resource;
    assert_eq!(
        bare,
        [("service.name".into(), "unknown_service:tracegate".into())]
    );
}

#[test]
fn samplers_become_the_rate_of_roots() {
    const ON: u32 = 1_000_000;
    for (sampler, argument, expected, warned) in [
        ("parentbased_always_on", "", ON, false),
        ("PARENTBASED_ALWAYS_OFF", "", 0, false),
        ("parentbased_traceidratio", "0.25", 250_000, false),
        ("parentbased_traceidratio", "", ON, false),
        ("parentbased_traceidratio", "1e-6", 1, false),
        ("parentbased_traceidratio", "0", 0, false),
        ("always_on", "", ON, true),
        ("always_off", "", 0, true),
        ("traceidratio", "0.5", 500_000, true),
        ("parentbased_always_on", "0.5", ON, true),
    ] {
        let variables = [
            ("OTEL_TRACES_SAMPLER", sampler),
            ("OTEL_TRACES_SAMPLER_ARG", argument),
        ];
        let loaded = with(FILE, &variables, Flags::default(), Strictness::Check).unwrap();
        assert_eq!(rate(&loaded.config), expected, "{sampler} {argument}");
        assert_eq!(!loaded.warnings.is_empty(), warned, "{sampler} {argument}");
    }
}

#[test]
fn a_sampler_argument_alone_changes_nothing_and_is_warned_of() {
    let variables = [("OTEL_TRACES_SAMPLER_ARG", "0.5")];
    let loaded = with(FILE, &variables, Flags::default(), Strictness::Check).unwrap();
    assert_eq!(rate(&loaded.config), 7);
    assert_eq!(loaded.warnings.len(), 1);
}

#[test]
fn exporters_and_the_switch_choose_the_sinks() {
    let sinks = |variables: &[(&str, &str)]| {
        let sinks = config(BARE, variables).export.sinks;
        let word = |sink: &Sink| match sink {
            Sink::Console => "console",
            Sink::Memory(_) => "memory",
            Sink::Otlp(otlp) if otlp.transport == Transport::Grpc => "grpc",
            Sink::Otlp(_) => "http",
        };
        sinks.iter().map(word).collect::<Vec<_>>()
    };
    let exporter = |value| ("OTEL_TRACES_EXPORTER", value);
    let http = ("OTEL_EXPORTER_OTLP_PROTOCOL", "http/protobuf");
    assert_eq!(sinks(&[exporter("otlp")]), ["grpc"]);
    assert_eq!(
        sinks(&[exporter("console, otlp"), http]),
        ["http", "console"]
    );
    assert_eq!(sinks(&[exporter("console"), http]), ["console"]);
    assert_eq!(sinks(&[exporter("none")]), [""; 0]);
    assert_eq!(
        sinks(&[("OTEL_SDK_DISABLED", "true"), exporter("otlp")]),
        [""; 0]
    );
    assert_eq!(sinks(&[("OTEL_SDK_DISABLED", "false")]), ["grpc"]);
}

#[test]
fn batching_and_compression_are_taken_over() {
    let config = config(
        FILE,
        &[
            ("OTEL_BSP_SCHEDULE_DELAY", "250"),
            ("OTEL_BSP_EXPORT_TIMEOUT", "4000"),
            ("OTEL_BSP_MAX_QUEUE_SIZE", "64"),
            ("OTEL_BSP_MAX_EXPORT_BATCH_SIZE", "32"),
            ("OTEL_EXPORTER_OTLP_COMPRESSION", "gzip"),
        ],
    );
    assert_eq!(config.export.schedule_delay, Duration::from_millis(250));
    assert_eq!(config.export.queue_spans, 64);
    assert_eq!(config.export.max_batch, 32);
    assert_eq!(
        otlp(&config).timeout,
        Duration::from_secs(4),
        "the smaller of both bounds"
    );
    assert_eq!(otlp(&config).compression, Compression::Gzip);
}

#[test]
fn a_batch_is_no_longer_than_its_queue() {
    let queue = ("OTEL_BSP_MAX_QUEUE_SIZE", "64");
    assert_eq!(config(BARE, &[queue]).export.max_batch, 64);
    let variables = [queue, ("OTEL_BSP_MAX_EXPORT_BATCH_SIZE", "65")];
    let faults = with(BARE, &variables, Flags::default(), Strictness::Check).unwrap_err();
    assert!(
        faults.to_string().contains("at most the queue's 64"),
        "{faults}"
    );
}

#[test]
fn propagators_none_lets_no_context_leave() {
    let propagate = |value| {
        let config = config(FILE, &[("OTEL_PROPAGATORS", value)]);
        config
            .listeners
            .iter()
            .map(|l| l.proxy.propagate)
            .collect::<Vec<_>>()
    };
    assert_eq!(propagate("baggage, TraceContext"), [Propagate::W3c; 2]);
    assert_eq!(propagate("none"), [Propagate::None; 2]);
    assert_eq!(propagate("none, NONE"), [Propagate::None; 2]);
}

#[test]
fn propagators_are_the_formats_of_every_listener() {
    use Format::{B3, B3Multi, Baggage, Jaeger, TraceContext, XRay};
    let rows: [(&str, &[Format], &[Format], &str); 6] = [
        (
            "tracecontext,baggage",
            &[TraceContext, Baggage],
            &[TraceContext, Baggage],
            "the default",
        ),
        (
            "XRay, jaeger,xray",
            &[XRay, Jaeger],
            &[XRay, Jaeger],
            "case, order and repetition",
        ),
        ("b3", &[B3, B3Multi], &[B3], "reads both encodings"),
        (
            "b3multi",
            &[B3, B3Multi],
            &[B3Multi],
            "the single one first",
        ),
        (
            "tracecontext,b3multi,b3",
            &[TraceContext, B3, B3Multi],
            &[TraceContext, B3Multi, B3],
            "both",
        ),
        ("baggage", &[Baggage], &[Baggage], "no context at all"),
    ];
    for (value, extract, inject, reason) in rows {
        for listener in config(FILE, &[("OTEL_PROPAGATORS", value)]).listeners {
            let made = listener.proxy.propagation;
            assert_eq!(made.extract(), extract, "{value}: {reason}");
            assert_eq!(made.inject(), inject, "{value}: {reason}");
        }
    }
}

#[test]
fn a_propagator_that_is_not_spoken_is_named() {
    for (value, phrase) in [
        (
            "tracecontext,ottrace",
            "ottrace (OT Trace) is not supported",
        ),
        (
            "datadog",
            "expected tracecontext, baggage, b3, b3multi, jaeger or xray, or none alone",
        ),
        ("b3,", "got \"b3,\""),
        ("none,b3", "or none alone; got \"none,b3\""),
    ] {
        let variables = [("OTEL_PROPAGATORS", value)];
        let faults = with(FILE, &variables, Flags::default(), Strictness::Check).unwrap_err();
        assert!(faults.to_string().contains(phrase), "{faults}");
    }
}

#[test]
fn a_bad_variable_is_a_fault_in_check_and_a_warning_in_run() {
    for (name, value) in [
        ("OTEL_TRACES_SAMPLER", "jaeger_remote"),
        ("OTEL_PROPAGATORS", "ottrace"),
        ("OTEL_PROPAGATORS", "none,tracecontext"),
        ("OTEL_TRACES_EXPORTER", "zipkin"),
        ("OTEL_TRACES_EXPORTER", "otlp,none"),
        ("OTEL_SDK_DISABLED", "yes"),
        ("OTEL_RESOURCE_ATTRIBUTES", "a"),
        ("OTEL_BSP_SCHEDULE_DELAY", "5s"),
        ("OTEL_BSP_EXPORT_TIMEOUT", "0"),
        ("OTEL_BSP_MAX_QUEUE_SIZE", "0"),
        ("OTEL_BSP_MAX_EXPORT_BATCH_SIZE", "many"),
        ("OTEL_EXPORTER_OTLP_ENDPOINT", "ftp://x"),
        ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "http://c:4317/path"),
        ("OTEL_EXPORTER_OTLP_PROTOCOL", "http/json"),
        ("OTEL_EXPORTER_OTLP_HEADERS", "x"),
        ("OTEL_EXPORTER_OTLP_TIMEOUT", "-1"),
        ("OTEL_EXPORTER_OTLP_COMPRESSION", "snappy"),
        ("OTEL_EXPORTER_OTLP_CERTIFICATE", "/nonexistent/ca.pem"),
        (
            "OTEL_EXPORTER_OTLP_CLIENT_CERTIFICATE",
            "/nonexistent/client.pem",
        ),
        ("OTEL_EXPORTER_OTLP_CLIENT_KEY", "/nonexistent/client.key"),
    ] {
        let variables = [(name, value)];
        let faults = with(FILE, &variables, Flags::default(), Strictness::Check).unwrap_err();
        let named = faults.iter().all(|fault| fault.at.variable() == Some(name));
        assert!(named, "{faults}");
        let loaded = with(FILE, &variables, Flags::default(), Strictness::Run).unwrap();
        assert!(
            loaded.warnings[0].starts_with(name),
            "{:?}",
            loaded.warnings
        );
        assert!(
            loaded.warnings[0].ends_with("; ignored"),
            "{:?}",
            loaded.warnings
        );
        assert_eq!(loaded.config, config(FILE, &[]), "{name}={value}");
    }
}

#[test]
fn a_bad_ratio_leaves_the_sampler_at_its_default_argument() {
    for ratio in ["2", "-0.1", "NaN", "half", "1e-9"] {
        let variables = [
            ("OTEL_TRACES_SAMPLER", "parentbased_traceidratio"),
            ("OTEL_TRACES_SAMPLER_ARG", ratio),
        ];
        let faults = with(FILE, &variables, Flags::default(), Strictness::Check).unwrap_err();
        assert_eq!(faults.len(), 1, "{faults}");
        let loaded = with(FILE, &variables, Flags::default(), Strictness::Run).unwrap();
        assert_eq!(
            rate(&loaded.config),
            1_000_000,
            "as the specification says: {ratio}"
        );
        assert_eq!(loaded.warnings.len(), 1);
    }
}

#[test]
fn a_file_right_by_itself_runs_even_where_the_environment_does_not_fit_it() {
    let file = BARE.to_owned()
        + "tracing: {export: {protocol: http/protobuf, endpoint: \"http://c/otlp\"}}\n";
    let variables = [("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc")];
    assert!(with(&file, &variables, Flags::default(), Strictness::Check).is_err());
    let loaded = with(&file, &variables, Flags::default(), Strictness::Run).unwrap();
    assert_eq!(otlp(&loaded.config).transport, Transport::HttpProtobuf);
    assert_eq!(loaded.warnings.len(), 1, "{:?}", loaded.warnings);
    assert!(loaded.warnings[0].contains("are ignored"));
}

#[test]
fn a_faulty_file_stops_run_whatever_the_environment_says() {
    let file = FILE.replace("samplingRatePerMillion: 7", "samplingRatePerMillion: x");
    // The variable hides the file's value, which is checked all the same.
    let variables = [
        ("OTEL_TRACES_SAMPLER", "parentbased_always_on"),
        ("OTEL_PROPAGATORS", "ottrace"),
    ];
    let faults = with(&file, &variables, Flags::default(), Strictness::Run).unwrap_err();
    assert_eq!(faults.len(), 1, "{faults}");
    assert!(
        faults
            .to_string()
            .starts_with("f.yaml:5: tracing.samplingRatePerMillion: ")
    );
}

#[test]
fn metrics_travel_as_spans_do_unless_a_variable_says_otherwise() {
    const TRACES: &str = "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT";
    const GENERAL: &str = "OTEL_EXPORTER_OTLP_ENDPOINT";
    const METRICS: &str = "OTEL_EXPORTER_OTLP_METRICS_ENDPOINT";
    const PROTOCOL: (&str, &str) = ("OTEL_EXPORTER_OTLP_PROTOCOL", "http/protobuf");
    for (variables, endpoint, why) in [
        (vec![], "http://localhost:4317", "the default"),
        (
            vec![PROTOCOL],
            "http://localhost:4318/v1/metrics",
            "by HTTP",
        ),
        (
            vec![(GENERAL, "http://all:1")],
            "http://all:1",
            "one for both",
        ),
        (
            vec![PROTOCOL, (GENERAL, "http://all:1/x/")],
            "http://all:1/x/v1/metrics",
            "a base",
        ),
        (
            vec![
                PROTOCOL,
                (TRACES, "http://spans:1/v1/traces"),
                (GENERAL, "http://all:1"),
            ],
            "http://all:1/v1/metrics",
            "spans have their own",
        ),
        (
            vec![PROTOCOL, (TRACES, "http://spans:1/v1/traces?k=v")],
            "http://spans:1/v1/metrics?k=v",
            "beside those of spans",
        ),
        (
            vec![
                PROTOCOL,
                (METRICS, "http://m:1/any/path"),
                (GENERAL, "http://all:1"),
            ],
            "http://m:1/any/path",
            "taken as it is",
        ),
        (
            vec![(METRICS, "m:1"), ("OTEL_EXPORTER_OTLP_INSECURE", "true")],
            "http://m:1",
            "the scheme said elsewhere",
        ),
    ] {
        let on = [
            &[("OTEL_METRICS_EXPORTER", "otlp,prometheus")],
            &variables[..],
        ]
        .concat();
        let metrics = config(BARE, &on).export.metrics.expect(why);
        assert_eq!(metrics.otlp.endpoint, endpoint, "{why}");
        assert_eq!(metrics.interval, Duration::from_secs(60));
        assert_eq!(config(BARE, &variables).export.metrics, None, "{why}: off");
    }
}

#[test]
fn metrics_have_headers_and_an_interval_of_their_own() {
    let variables = [
        ("OTEL_METRICS_EXPORTER", "otlp"),
        ("OTEL_METRIC_EXPORT_INTERVAL", "1500"),
        ("OTEL_EXPORTER_OTLP_METRICS_HEADERS", "x-key=m"),
    ];
    let loaded = config(FILE, &variables);
    let metrics = loaded.export.metrics.as_ref().unwrap();
    let pair = |key: &str, value: &str| (key.to_owned(), value.to_owned());
    assert_eq!(metrics.interval, Duration::from_millis(1500));
    assert_eq!(metrics.otlp.headers, [pair("x-key", "m")]);
    assert_eq!(
        otlp(&loaded).headers,
        [pair("x-file", "hunter2")],
        "of spans"
    );
    let metrics = config(FILE, &variables[..1]).export.metrics.unwrap();
    assert_eq!(
        metrics.otlp.headers,
        [pair("x-file", "hunter2")],
        "as spans"
    );
}

#[test]
fn what_metrics_cannot_do_is_said() {
    let load = |text: &str, variables: &[(&str, &str)]| {
        with(text, variables, Flags::default(), Strictness::Check)
    };
    let on = format!("{BARE}metrics: {{otlp: true}}\n");
    for (variables, phrase) in [
        (
            vec![("OTEL_METRICS_EXPORTER", "console")],
            "expected otlp, prometheus or none; got \"console\"",
        ),
        (
            vec![("OTEL_METRICS_EXPORTER", "none,otlp")],
            "none can't stand beside others",
        ),
        (
            vec![("OTEL_METRIC_EXPORT_INTERVAL", "1s")],
            "(milliseconds)",
        ),
        (
            vec![("OTEL_EXPORTER_OTLP_METRICS_ENDPOINT", "nonsense")],
            "OTEL_EXPORTER_OTLP_METRICS_ENDPOINT: expected http://",
        ),
    ] {
        let faults = load(&on, &variables).unwrap_err().to_string();
        assert!(faults.contains(phrase), "{faults}");
    }
    let warned = load(&on, &[("OTEL_EXPORTER_OTLP_METRICS_PROTOCOL", "grpc")]).unwrap();
    assert!(warned.warnings[0].contains("metrics travel as spans do"));
    // An environment that switches export off isn't at odds with the file.
    for off in [
        ("OTEL_SDK_DISABLED", "true"),
        ("OTEL_TRACES_EXPORTER", "none"),
    ] {
        let loaded = load(&on, &[off]).unwrap();
        assert_eq!(loaded.config.export.metrics, None);
    }
    let off = load(&on, &[("OTEL_METRICS_EXPORTER", "none")]).unwrap();
    assert_eq!(
        off.config.export.metrics, None,
        "the environment beats the file"
    );
}
