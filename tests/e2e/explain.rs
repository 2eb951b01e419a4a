//! `tracegate explain`: what it says is what happens, and it says so in words.

mod agrees;
mod refuses;

use std::fs;
use std::time::{Duration, SystemTime};

use serde_json::Value;
use tracegate::config::{self, Config, FileText, Flags, Source, Strictness};
use tracegate::explain::{self, From, Question, Report};

use super::component::{Component, Seen};
use super::files::{Authority, TempDir};
use super::program;
use super::proxy::{self, Proxy, document};
use super::receiver::Scratch;
use super::trust::{holder, until};
use super::wire::{self, Wire};

const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";
const PARENT: &str = "b7ad6b7169203331";

fn load(yaml: &str) -> Config {
    let source = Source {
        file: Some(FileText {
            path: "explain.yaml".into(),
            text: document(yaml),
        }),
        environment: Default::default(),
        flags: Flags::default(),
    };
    match config::load(&source, Strictness::Check) {
        Ok(loaded) => loaded.config,
        Err(faults) => panic!("{faults}\n{yaml}"),
    }
}

/// A question about a GET without anything; the fields as a request would have them.
fn question(fields: &[(&str, &str)]) -> Question {
    let field = |(name, value): &(&str, &str)| {
        let name = name.parse().expect("a name");
        (name, value.parse().expect("a value"))
    };
    Question {
        listener: None,
        method: http::Method::GET,
        target: "/a".parse().expect("a path"),
        headers: fields.iter().map(field).collect(),
        http2: false,
        from: From::default(),
    }
}

fn ask(yaml: &str, fields: &[(&str, &str)]) -> Report {
    explain::explain(&load(yaml), &question(fields)).expect("an answer")
}

/// Whether a value is what a line with placeholders says.
fn fits(template: &str, value: &str) -> bool {
    if template == "<not shown>" {
        return true;
    }
    let Some((literal, rest)) = template.split_once('<') else {
        return template == value;
    };
    let (Some((_, rest)), Some(value)) = (rest.split_once('>'), value.strip_prefix(literal)) else {
        return false;
    };
    let made = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '+' | '/' | '=');
    let longest = value.find(|c| !made(c)).unwrap_or(value.len());
    (1..=longest).any(|end| fits(rest, &value[end..]))
}

/// The lines of an outcome, sorted.
fn lines(outcome: &Value) -> Vec<(String, String)> {
    let lines = outcome["upstream"]["headers"].as_array().expect("lines");
    let text = |value: &Value| value.as_str().expect("text").to_owned();
    let mut lines: Vec<_> = lines
        .iter()
        .map(|line| (text(&line[0]), text(&line[1])))
        .collect();
    lines.sort();
    lines
}

/// Whether lines (sorted by name and value) are those of an outcome.
fn is_outcome(outcome: &Value, found: &[(String, String)]) -> bool {
    let told = lines(outcome);
    told.len() == found.len()
        && told
            .iter()
            .zip(found)
            .all(|((name, template), (found, value))| name == found && fits(template, value))
}

#[test]
fn what_may_be_kept_is_said_where_it_may() {
    let context = |flags: &str| format!("00-{TRACE}-{PARENT}-{flags}");
    let yaml = |export: &str| {
        format!(
            "tracing:\n  keep: {{errors: true, slowerThan: 2s}}\n  \
             rules: [{{match: {{path: /b}}, drop: true}}]\n  export: {{protocol: {export}}}\n\
             listeners:\n- name: a\n  bind: 127.0.0.1:0\n  trust: {{default: full}}\n  \
             upstream: {{url: \"http://127.0.0.1:1\"}}\n"
        )
    };
    let note = "if it fails or takes more than 2s to be answered (tracing.keep)";
    for (export, path, flags, said, why) in [
        ("console", "/a", "00", true, "not sampled"),
        ("console", "/a", "01", false, "sampled"),
        ("console", "/b", "00", false, "a rule drops it"),
        ("none", "/a", "00", false, "nobody wants spans"),
    ] {
        let question = Question {
            target: path.parse().expect("a path"),
            ..question(&[("traceparent", &context(flags))])
        };
        let answer = explain::explain(&load(&yaml(export)), &question).expect("an answer");
        assert_eq!(answer.to_string().contains(note), said, "{why}: {answer}");
    }
}

#[test]
fn what_a_request_may_belong_to_by_a_field_is_said() {
    let listener = |name: &str, direction: &str| {
        format!(
            "- name: {name}\n  bind: 127.0.0.1:0\n  direction: {direction}\n  \
             upstream: {{url: \"http://127.0.0.1:1\"}}\n"
        )
    };
    let yaml = format!(
        "propagation: {{correlateBy: [x-request-id]}}\nlisteners:\n{}{}",
        listener("in", "ingress"),
        listener("out", "egress")
    );
    let context = format!("00-{TRACE}-{PARENT}-01");
    let (into, out) = (
        "egress requests with the same x-request-id and no context belong to it",
        "if exactly one open ingress request has the same x-request-id",
    );
    let (id, other) = (("x-request-id", "1"), ("x-request-id", "2"));
    for (listener, fields, said, why) in [
        ("in", &[id][..], Some(into), "it may be joined to"),
        ("in", &[], None, "it has no such field"),
        ("in", &[id, other], None, "nobody knows which counts"),
        ("out", &[id], Some(out), "it may belong to another"),
        (
            "out",
            &[id, ("traceparent", &context)],
            None,
            "it says itself",
        ),
    ] {
        let question = Question {
            listener: Some(listener.into()),
            ..question(fields)
        };
        let answer = explain::explain(&load(&yaml), &question).expect("an answer");
        let answer = answer.to_string();
        for note in [into, out] {
            assert_eq!(answer.contains(note), said == Some(note), "{why}: {answer}");
        }
    }
}

#[test]
fn a_real_proxy_does_what_was_explained() {
    let context = format!("00-{TRACE}-{PARENT}-01");
    let rows: &[(&str, &[(&str, &str)], &str)] = &[
        ("", &[("traceparent", &context)], "dropped and linked"),
        (
            "  trust: {default: full}\n",
            &[
                ("traceparent", &context),
                ("tracestate", "a=1"),
                ("baggage", "k=v"),
            ],
            "continued",
        ),
        (
            "  trust: {default: ids}\n",
            &[
                ("traceparent", &context),
                ("tracestate", "a=1"),
                ("x-b3-traceid", "1"),
            ],
            "its ids kept",
        ),
        (
            "  trust: {rules: [{from: {cidrs: [127.0.0.0/8]}, as: full}]}\n",
            &[("traceparent", &context), ("traceparent", &context)],
            "doubled",
        ),
        (
            "  propagate: none\n",
            &[("traceparent", &context)],
            "none leaves",
        ),
        (
            "  direction: egress\n  orphans: pass\n",
            &[("x-a", "1"), ("connection", "x-a")],
            "an orphan",
        ),
        (
            "",
            &[("x-forwarded-for", "1.2.3.4"), ("x_b3_traceid", "1")],
            "forged",
        ),
    ];
    let component = Component::start();
    for (more, fields, why) in rows {
        let listeners = format!(
            "- name: a\n  bind: 127.0.0.1:0\n  upstream: {{url: \"{}\"}}\n{more}",
            component.url()
        );
        let yaml = proxy::custom(
            "  samplingRatePerMillion: 1000000\n  export: {protocol: console}",
            &listeners,
        );
        let told = ask(&yaml, fields).json();
        let outcomes = told["outcomes"].as_array().expect("outcomes");
        assert_eq!(outcomes.len(), 1, "{why}: nothing is left to luck");
        let seen = send(&yaml, &component, fields);
        assert!(
            is_outcome(&outcomes[0], &came(&seen)),
            "{why}: {:#?} {:#?}",
            came(&seen),
            lines(&outcomes[0])
        );
    }
}

/// Every line that came, sorted.
fn came(seen: &Seen) -> Vec<(String, String)> {
    let line = |(name, value): (&http::HeaderName, &http::HeaderValue)| {
        let value = String::from_utf8_lossy(value.as_bytes()).into_owned();
        (name.as_str().to_owned(), value)
    };
    let mut lines: Vec<_> = seen.headers.iter().map(line).collect();
    lines.sort();
    lines
}

fn send(yaml: &str, component: &Component, fields: &[(&str, &str)]) -> Seen {
    let before = component.seen().len();
    let proxy = Proxy::start(yaml);
    let field = |(name, value): &(&str, &str)| format!("{name}: {value}\r\n");
    let fields: String = fields.iter().map(field).collect();
    let request = format!("GET /a HTTP/1.1\r\nHost: localhost\r\n{fields}\r\n");
    let (head, _) = Wire::connect(proxy.at(0)).ask(request);
    assert_eq!(wire::status(&head), 200);
    proxy.stop();
    component.wait_for(before + 1).remove(before)
}

const TWO: &str = "tracing:
  samplingRatePerMillion: 10000
  rules: [{match: {path: /livez}, drop: true}, {match: {method: PUT}, samplingRatePerMillion: 1000000}]
listeners:
- name: public
  bind: 127.0.0.1:8080
  trust: {rules: [{from: {cidrs: [10.0.0.0/8]}, as: full}]}
  upstream: {url: \"http://127.0.0.1:1\"}
- name: local
  bind: unix:///run/tracegate.sock
  trust: {rules: [{from: {unixPeer: {uids: [0]}}, as: ids}]}
  upstream: {url: \"http://127.0.0.1:1\"}
- name: out
  bind: 127.0.0.1:8081
  direction: egress
  upstream: {url: \"http://127.0.0.1:1\"}
";

struct Cli {
    scratch: Scratch,
}

impl Cli {
    fn new(name: &str, yaml: &str) -> Self {
        let scratch = Scratch::new(name);
        fs::write(scratch.join("tracegate.yaml"), document(yaml)).expect("written");
        Self { scratch }
    }

    fn run(&self, arguments: &[&str]) -> program::Finished {
        let path = self.scratch.join("tracegate.yaml");
        let path = path.to_str().expect("UTF-8");
        let mut all = vec!["explain", "--config", path];
        all.extend(arguments);
        program::finish(&mut program::command(&all))
    }

    fn says(&self, arguments: &[&str], phrases: &[&str], why: &str) {
        let finished = self.run(arguments);
        assert_eq!(finished.code, 0, "{why}: {}", finished.stderr);
        for phrase in phrases {
            let said = finished.stdout.contains(phrase);
            assert!(said, "{why}: {phrase:?} isn't in\n{}", finished.stdout);
        }
    }
}

#[test]
#[rustfmt::skip]
fn the_words_name_the_verdict_the_rule_and_what_leaves() {
    let cli = Cli::new("explain-words", TWO);
    let context = &format!("traceparent: 00-{TRACE}-{PARENT}-01");
    cli.says(&["--listener", "public", "-H", context, "-H", "baggage: a=1"], &[
        "trust     drop by listeners[0].trust.default",
        &format!("tracecontext: trace {TRACE}, parent {PARENT}, sampled"),
        "dropped: a new trace starts",
        "stripped  traceparent, baggage",
        "tracing.samplingRatePerMillion: 10000 per million, consistent",
        "with a probability of 0.999999 %",
        "traceparent: 00-<new trace id>-<new span id>-03",
        "tracestate: ot=th:fd70a4",
        "traceparent: 00-<new trace id>-<new span id>-02",
        "x-forwarded-for: 127.0.0.1",
        "span SERVER \"GET\"",
    ], "a stranger's context");
    cli.says(&["--listener", "public", "-H", context, "--from", "10.1.2.3"], &[
        "trust     full by listeners[0].trust.rules[0]",
        "continued",
        "the parent's flag decides",
        &format!("traceparent: 00-{TRACE}-<new span id>-01"),
        "x-forwarded-for: 10.1.2.3",
    ], "a trusted caller's");
    cli.says(&["--listener", "local", "-H", context, "--as-uid", "0", "--as-gid", "0"], &[
        "caller    a process on a unix socket",
        "trust     ids by listeners[1].trust.rules[0]",
        "tracing.fleetKey isn't given",
        "rv:<hash of the trace id>",
    ], "a process");
    cli.says(&["--listener", "out", "-H", "traceparent: 00-1"], &[
        "invalid traceparent: ", "the trace restarts", "stripped  traceparent",
    ], "a broken context");
    cli.says(&["--listener", "out", "--path", "/livez?a=b"], &[
        "tracing.rules[0] drops the request: no span", "no span",
    ], "a probe");
    cli.says(&["--listener", "out", "--method", "PUT"], &[
        "tracing.rules[1]: 1000000 per million", "span CLIENT \"PUT\"",
    ], "everything of a rule's");
    cli.says(&["--listener", "out", "--method", "CONNECT"], &[
        "refused   with status 405", "nothing reaches the upstream",
    ], "refused");
}

#[test]
fn randomness_and_threshold_are_shown_where_they_are_known() {
    let yaml = format!("propagation: {{extract: [b3], inject: [tracecontext]}}\n{TWO}");
    let cli = Cli::new("explain-numbers", &yaml);
    // The right-most 56 bits of the trace id, and 10,000 per million.
    cli.says(
        &["--listener", "out", "-H", &format!("b3: {TRACE}-{PARENT}")],
        &[
            "randomness 48eb211c80319c, kept from fd70a400000000 on",
            "not sampled\n",
        ],
        "ids without a decision",
    );
}

#[test]
fn what_the_configuration_counts_as_context_is_stripped_where_trust_says_so() {
    for (trust, stripped) in [("drop", true), ("ids", true), ("full", false)] {
        let yaml = format!(
            "tracing: {{export: {{protocol: none}}}}\nlisteners:\n- name: a\n  bind: 127.0.0.1:0\n  \
             trust: {{default: {trust}, alsoContext: [x-request-id]}}\n  \
             upstream: {{url: \"http://127.0.0.1:1\"}}\n"
        );
        let report = ask(&yaml, &[("x_request_id", "1"), ("x-checksum", "7")]);
        let words = report.to_string();
        assert_eq!(
            words.contains("stripped  x_request_id\n"),
            stripped,
            "{words}"
        );
    }
}

#[test]
fn a_certificate_is_judged_as_the_listener_would_now() {
    let directory = TempDir::new();
    let [known, other] = [(); 2].map(|()| Authority::new());
    let (cert, key) = known.issue(&["a.example"]).write(&directory, "server");
    let ca = directory.file("clients.pem", known.pem());
    let listener = |name: &str, auth: &str| {
        format!(
            "- name: {name}
  bind: 127.0.0.1:0
  tls:
    certificates: [{{certFile: \"{}\", keyFile: \"{}\"}}]
{auth}  trust: {{rules: [{{from: {{clientCert: {{groups: [system:monitoring]}}}}, as: full}}]}}
  upstream: {{url: \"http://127.0.0.1:1\"}}
",
            cert.display(),
            key.display()
        )
    };
    let asked = |auth: &str| {
        let ca = ca.display();
        format!("    clientCAFile: \"{ca}\"\n    clientAuth: {auth}\n")
    };
    let yaml = format!(
        "listeners:\n{}{}",
        listener("asks", &asked("request")),
        listener("needs", &asked("require"))
    );
    let cli = Cli::new("explain-certificate", &yaml);
    let expired = until(
        holder("prometheus", "system:monitoring"),
        SystemTime::now() - Duration::from_secs(3600),
    );
    for (name, certificate, listener, phrases, why) in [
        (
            "good",
            known.sign(holder("prometheus", "system:monitoring")),
            "asks",
            &[
                "its certificate: verified: CN=prometheus O=system:monitoring",
                "trust     full by listeners[0].trust.rules[0]",
            ][..],
            "the listener's authority vouches for it",
        ),
        (
            "other-group",
            known.sign(holder("prometheus", "system:nodes")),
            "asks",
            &[
                "verified: CN=prometheus O=system:nodes",
                "trust     drop by listeners[0].trust.default",
            ],
            "verified, but no rule's",
        ),
        (
            "foreign",
            other.sign(holder("prometheus", "system:monitoring")),
            "asks",
            &[
                "its certificate: proves nothing",
                "trust     drop by listeners[0].trust.default",
            ],
            "another authority's",
        ),
        (
            "expired",
            known.sign(expired),
            "needs",
            &[
                "its certificate: proves nothing",
                "refused   with status 403",
            ],
            "it was valid once, and one is required",
        ),
    ] {
        let (file, _) = certificate.write(&directory, name);
        let file = file.to_str().expect("UTF-8");
        cli.says(
            &["--listener", listener, "--as-certificate", file],
            phrases,
            why,
        );
    }
    cli.says(
        &["--listener", "needs"],
        &["refused   with status 403"],
        "none is presented",
    );
}

#[test]
fn what_says_who_asks_is_not_shown() {
    let cli = Cli::new("explain-secrets", TWO);
    let finished = cli.run(&["--listener", "out", "-H", "Authorization: Bearer planted"]);
    assert_eq!(finished.code, 0, "{}", finished.stderr);
    assert!(!finished.stdout.contains("planted"), "{}", finished.stdout);
    let shown = "authorization: <not shown>";
    assert!(finished.stdout.contains(shown), "{}", finished.stdout);
}

#[test]
fn machines_read_the_same() {
    let cli = Cli::new("explain-json", TWO);
    let finished = cli.run(&["--listener", "public", "--format", "json"]);
    assert_eq!(finished.code, 0, "{}", finished.stderr);
    let told: Value = serde_json::from_str(&finished.stdout).expect("JSON");
    assert_eq!(told["trust"]["verdict"], "drop");
    assert_eq!(told["context"]["state"], "absent");
    let outcomes = told["outcomes"].as_array().expect("outcomes");
    let sum: f64 = outcomes
        .iter()
        .filter_map(|o| o["probability"].as_f64())
        .sum();
    assert!((sum - 1.0).abs() < 1e-9 && outcomes.len() == 2, "{told:#}");
}

#[test]
fn questions_that_do_not_fit_exit_1_and_bad_files_78() {
    let cli = Cli::new("explain-errors", TWO);
    for (arguments, code, phrase, why) in [
        (
            &[][..],
            1,
            "name one with --listener: public, local, out",
            "several",
        ),
        (
            &["--listener", "x"],
            1,
            "there are: public, local, out",
            "no such one",
        ),
        (&["-H", "nonsense"], 1, "expected a field like", "no field"),
        (&["-H", "a b: c"], 1, "expected a header name", "no name"),
        (&["--method", "G T"], 1, "--method", "no method"),
        (&["--from", "localhost"], 1, "--from", "no address"),
        (
            &["--listener", "out", "--as-certificate", "/nowhere.pem"],
            1,
            "/nowhere.pem",
            "no certificate",
        ),
    ] {
        let finished = cli.run(arguments);
        assert_eq!(finished.code, code, "{why}");
        assert_eq!(finished.stdout, "", "{why}");
        assert!(
            finished.stderr.contains(phrase),
            "{why}: {}",
            finished.stderr
        );
    }
    let bad = Cli::new("explain-bad", "nonsense: 1\n").run(&[]);
    assert_eq!(bad.code, 78);
    assert!(bad.stderr.contains("nonsense"), "{}", bad.stderr);
}
