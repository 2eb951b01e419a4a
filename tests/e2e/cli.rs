//! The command line: exit codes, what goes where, and what beats what.

use std::fs;
use std::net::TcpListener;

use rustix::process::Signal;

use super::component::Component;
use super::program::{self, Program};
use super::proxy::document;
use super::receiver::{Receiver, Scratch, Speaks};
use super::wire;

const GET: &str = "GET / HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n";

fn file(scratch: &Scratch, yaml: &str) -> String {
    let path = scratch.join("tracegate.yaml");
    fs::write(&path, document(yaml)).expect("written");
    path.to_str().expect("UTF-8").to_owned()
}

fn listener(upstream: &str) -> String {
    format!(
        "listeners: [{{name: public, bind: \"127.0.0.1:0\", upstream: {{url: \"{upstream}\"}}}}]\n"
    )
}

#[test]
fn check_says_good_and_exits_0() {
    let scratch = Scratch::new("cli-good");
    let path = file(&scratch, &listener("http://127.0.0.1:1"));
    let finished = program::finish(&mut program::command(&["check", "--config", &path]));
    assert_eq!(finished.code, 0, "{}", finished.stderr);
    assert!(
        finished
            .stdout
            .contains(&format!("{path}: good, 1 listener")),
        "{}",
        finished.stdout
    );
    assert_eq!(finished.stderr, "");
}

#[test]
fn check_names_every_fault_with_its_line_and_field_and_exits_78() {
    let scratch = Scratch::new("cli-bad");
    let yaml = "drainTimeout: soon\nnonsense: 1\nlisteners:\n- name: public\n  bind: 127.0.0.1\n  \
                upstream: {url: \"ftp://x\"}\n  limits: {maxHeaders: many}\n";
    let path = file(&scratch, yaml);
    for command in ["check", "run"] {
        let finished = program::finish(&mut program::command(&[command, "--config", &path]));
        assert_eq!(finished.code, 78, "{command}");
        assert_eq!(finished.stdout, "", "{command}");
        for (line, field) in [
            (3, "drainTimeout"),
            (4, "nonsense"),
            (7, "listeners[0].bind"),
            (8, "listeners[0].upstream.url"),
            (9, "listeners[0].limits.maxHeaders"),
        ] {
            let fault = format!("{path}:{line}: {field}");
            assert!(
                finished.stderr.contains(&fault),
                "{command}: {fault}\n{}",
                finished.stderr
            );
        }
    }
}

#[test]
fn a_file_that_cannot_be_read_exits_78() {
    let scratch = Scratch::new("cli-absent");
    let path = scratch.join("absent.yaml");
    let path = path.to_str().expect("UTF-8");
    for command in ["check", "run"] {
        let finished = program::finish(&mut program::command(&[command, "--config", path]));
        assert_eq!(finished.code, 78, "{command}");
        assert!(finished.stderr.contains(path), "{}", finished.stderr);
    }
}

#[test]
fn an_address_in_use_exits_69_and_names_it() {
    let taken = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = taken.local_addr().expect("an address").to_string();
    for arguments in [
        vec![
            "run",
            "--listen",
            &address,
            "--upstream",
            "http://127.0.0.1:1",
        ],
        vec![
            "run",
            "--listen",
            "127.0.0.1:0",
            "--upstream",
            "http://127.0.0.1:1",
            "--admin",
            &address,
        ],
    ] {
        let finished = program::finish(&mut program::command(&arguments));
        assert_eq!(finished.code, 69, "{}", finished.stderr);
        assert!(finished.stderr.contains(&address), "{}", finished.stderr);
    }
}

#[test]
fn a_command_line_that_is_none_exits_1_and_help_exits_0() {
    for arguments in [&["run", "--nonsense"][..], &["nonsense"], &[]] {
        let finished = program::finish(&mut program::command(arguments));
        assert_eq!(finished.code, 1, "{arguments:?}");
        assert_eq!(finished.stdout, "");
        assert!(!finished.stderr.is_empty());
    }
    let finished = program::finish(&mut program::command(&["--help"]));
    assert_eq!(finished.code, 0);
    assert!(finished.stdout.contains("check"), "{}", finished.stdout);
}

#[test]
fn every_log_line_is_json_if_asked_for_faults_included() {
    let mut program = Program::start(&[
        "run",
        "--listen",
        "127.0.0.1:0",
        "--upstream",
        "http://127.0.0.1:1",
    ]);
    program.says("ready");
    program.signal(Signal::TERM);
    assert_eq!(program.exit().code(), Some(0));
    for line in program.log() {
        for key in ["timestamp", "level", "message"] {
            assert!(line[key].is_string(), "{key}: {line}");
        }
    }
    let scratch = Scratch::new("cli-json");
    let path = file(&scratch, "workers: many\n");
    for arguments in [
        ["run", "--config", &path],
        ["run", "--config", "/nonexistent/tracegate.yaml"],
    ] {
        let arguments = [&["--log-format", "json"][..], &arguments].concat();
        let finished = program::finish(&mut program::command(&arguments));
        assert_eq!(finished.code, 78);
        assert!(!finished.stderr.is_empty());
        for line in finished.stderr.lines() {
            let line: serde_json::Value = serde_json::from_str(line)
                .unwrap_or_else(|error| panic!("not JSON ({error}): {line}"));
            assert_eq!(line["level"], "ERROR");
        }
    }
}

#[test]
fn flags_beat_the_environment_and_the_environment_beats_the_file() {
    let component = Component::start();
    let scratch = Scratch::new("cli-precedence");
    let collectors: Vec<_> = (0..3).map(|_| Receiver::start(Speaks::Grpc)).collect();
    let yaml = format!(
        "tracing: {{samplingRatePerMillion: 1000000, export: {{endpoint: \"{}\"}}}}\n{}",
        collectors[0].endpoint(),
        listener(&component.url())
    );
    let path = file(&scratch, &yaml);
    for told in 0..3 {
        let mut arguments = vec!["--log-format", "json", "run", "--config", &path];
        if told == 2 {
            arguments.extend(["--otlp-endpoint", collectors[2].endpoint()]);
        }
        let mut command = program::command(&arguments);
        if told >= 1 {
            command.env("OTEL_EXPORTER_OTLP_ENDPOINT", collectors[1].endpoint());
            command.env("OTEL_SERVICE_NAME", "from-the-environment");
        }
        let mut program = Program::spawn(&mut command);
        let answer = wire::exchange(program.address("public"), GET);
        assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
        program.signal(Signal::TERM);
        assert_eq!(program.exit().code(), Some(0));
        let spans: Vec<_> = collectors.iter().map(|c| c.spans().len()).collect();
        let expected: Vec<_> = (0..3).map(|i| usize::from(i <= told)).collect();
        assert_eq!(spans, expected, "flushed to the one that was meant");
    }
}

#[test]
fn a_stray_variable_fails_check_and_warns_run() {
    let scratch = Scratch::new("cli-stray");
    let path = file(&scratch, &listener("http://127.0.0.1:1"));
    let stray = ("OTEL_TRACES_SAMPLER_ARG", "lots");
    let sampler = ("OTEL_TRACES_SAMPLER", "traceidratio");
    let finished =
        program::finish(program::command(&["check", "--config", &path]).envs([stray, sampler]));
    assert_eq!(finished.code, 78);
    assert!(finished.stderr.contains(stray.0), "{}", finished.stderr);

    let arguments = ["--log-format", "json", "run", "--config", &path];
    let mut program = Program::spawn(program::command(&arguments).envs([stray, sampler]));
    program.says("ready");
    program.wait_for(|line| {
        line["level"] == "WARN"
            && line["message"]
                .as_str()
                .is_some_and(|text| text.contains(stray.0))
    });
}
