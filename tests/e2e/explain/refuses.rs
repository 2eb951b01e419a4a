//! What can't happen isn't explained, and what is secret isn't shown.

use super::{Cli, PARENT, TRACE, TWO};

const FORMS: &str = "listeners:
- name: one
  bind: 127.0.0.1:8080
  protocol: http1
  allowConnect: true
  upstream: {url: \"https://upstream.example\"}
";

#[test]
#[rustfmt::skip]
fn complaints_say_where_what_came_and_what_was_expected() {
    let two = Cli::new("explain-refuses", TWO);
    let one = Cli::new("explain-forms", FORMS);
    let rows: &[(&Cli, &[&str], &[&str], &str)] = &[
        (&one, &["-H", "Authorization Bearer planted"],
            &["-H: expected a field like", "behind \"Authorization\""], "no colon"),
        (&one, &["-H", ":authority: x"],
            &["expected a header name before ':', got none", "-H 'Host: …'"], "HTTP/2's own"),
        (&one, &["-H", "a b: c"], &["expected a header name before ':', got \"a b\""], "no name"),
        (&one, &["-H", "authorization: planted\u{1}"],
            &["control characters for authorization, got byte 0x01"], "no value"),
        (&one, &["-H", "a", "-H", "b", "--as-certificate", "/nowhere.pem"],
            &["behind \"a\"", "behind \"b\"", "--as-certificate: /nowhere.pem"], "every fault at once"),
        (&one, &["--path", "livez"],
            &["--path: expected a path that begins with '/'", "got \"livez\""], "no slash"),
        (&one, &["--path", "a:443"], &["got \"a:443\""], "an authority without CONNECT"),
        (&one, &["--path", "/a b"], &["'/a b' for '--path <PATH>': expected a path like"], "a space"),
        (&one, &["--path", "/a#b"], &["'/a#b' for '--path <PATH>': expected", "%23"], "a fragment"),
        (&one, &["--method", "CONNECT"], &["--path: expected host:port", "got \"/\""], "nobody to connect to"),
        (&one, &["--http2"], &["listener \"one\" speaks HTTP/1.1 alone"], "another version"),
        (&two, &["--listener", "public", "--as-uid", "0", "--as-gid", "0"],
            &["listener \"public\" is bound to 127.0.0.1:8080", "expected --from, got --as-uid"],
            "no process calls over TCP"),
        (&two, &["--listener", "local", "--from", "10.1.2.3"],
            &["listener \"local\" is bound to unix:///run/tracegate.sock", "got --from"],
            "no address calls on a unix socket"),
        (&two, &["--listener", "local", "--from", "10.1.2.3", "--as-uid", "0", "--as-gid", "0"],
            &["'--from <IP>' cannot be used with '--as-uid <UID>'"], "one caller is not both"),
        (&two, &["--listener", "nope"], &["no listener \"nope\"", "public, local, out"], "unknown"),
    ];
    for (cli, arguments, phrases, why) in rows {
        let finished = cli.run(arguments);
        assert_eq!((finished.code, &*finished.stdout), (1, ""), "{why}: {}", finished.stderr);
        assert!(!finished.stderr.contains("planted"), "{why}: {}", finished.stderr);
        for phrase in *phrases {
            assert!(finished.stderr.contains(phrase), "{why}: {phrase:?} isn't in\n{}", finished.stderr);
        }
    }
}

#[test]
fn every_form_of_target_that_can_be_sent_is_explained() {
    let one = Cli::new("explain-targets", FORMS);
    for (arguments, phrase, why) in [
        (
            &["--path", "/a?limit=5"][..],
            "GET /a?limit=5 HTTP/1.1",
            "origin-form",
        ),
        (
            &["--path", "http://a.example/b"],
            "GET /b HTTP/1.1",
            "absolute-form",
        ),
        (
            &["--method", "OPTIONS", "--path", "*"],
            "OPTIONS * HTTP/1.1",
            "asterisk-form",
        ),
        (
            &["--method", "CONNECT", "--path", "a:443"],
            "CONNECT a:443 HTTP/1.1",
            "authority-form",
        ),
    ] {
        one.says(arguments, &[phrase], why);
    }
}

#[test]
fn credentials_are_shown_neither_in_words_nor_to_machines() {
    let cli = Cli::new("explain-credentials", TWO);
    let secrets = [
        "--listener",
        "out",
        "--path",
        "/a?access_token=planted&limit=5",
        "-H",
        "X-Api-Key: planted",
        "-H",
        "cookie: planted",
        "-H",
        "x-auth-token: planted",
    ];
    for format in ["text", "json"] {
        let arguments = [&secrets[..], &["--format", format]].concat();
        cli.says(
            &arguments,
            &["/a?access_token=<not shown>&limit=5", "x-api-key"],
            format,
        );
        let finished = cli.run(&arguments);
        assert!(
            !finished.stdout.contains("planted"),
            "{format}: {}",
            finished.stdout
        );
    }
}

#[test]
fn what_a_lone_request_does_not_meet_is_said_where_it_is_so() {
    let capped = format!(
        "tracing:\n  maxTrustedTracesPerSecond: 5\n{}",
        FORMS.replace("  protocol: http1\n", "  trust: {default: full}\n")
    );
    let cli = Cli::new("explain-asides", &capped);
    let context = |flags: &str| format!("traceparent: 00-{TRACE}-{PARENT}-{flags}");
    let cap = "at most 5 times a second (tracing.maxTrustedTracesPerSecond)";
    let version = "chooses HTTP/2 or HTTP/1.1 in its TLS handshake";
    for (field, path, capped, sent, why) in [
        (context("01"), "/", true, true, "a sampled parent"),
        (context("00"), "/", false, true, "nothing to cap"),
        (
            "host: a b".to_owned(),
            "/",
            false,
            false,
            "refused: nothing is sent",
        ),
    ] {
        let finished = cli.run(&["-H", &field, "--path", path]);
        assert_eq!(finished.code, 0, "{why}: {}", finished.stderr);
        let said = [cap, version].map(|phrase| finished.stdout.contains(phrase));
        assert_eq!(said, [capped, sent], "{why}: {}", finished.stdout);
    }
}
