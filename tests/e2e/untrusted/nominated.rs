//! Fields that `Connection` nominates: they end here, but for those somebody relies on.

use super::{CONTEXT, Rig, assert_clean};

#[test]
fn a_nomination_takes_away_neither_what_the_component_relies_on_nor_our_context() {
    const RELIED_ON: &[(&str, &str)] = &[
        ("X-Remote-User", "front-proxy-user"),
        ("X-Remote-Group", "viewers"),
        ("X-Remote-Extra-Scopes", "view"),
        ("Impersonate-User", "less-mighty"),
        ("Impersonate-Group", "nobodies"),
        ("Authorization", "Bearer token"),
        ("Cookie", "session=1"),
        ("Content-Type", "text/plain"),
        ("X-Forwarded-Host", "example.com"),
        ("X-Real-Ip", "127.0.0.1"),
        ("Forwarded", "for=127.0.0.1;proto=http"),
    ];
    let all: Vec<&str> = RELIED_ON.iter().map(|(name, _)| *name).collect();
    let rows = [
        ("one value", format!("Connection: {}\r\n", all.join(", "))),
        (
            "odd case",
            format!("cONNECTION: {}\r\n", all.join(",").to_uppercase()),
        ),
        (
            "odd spaces",
            format!("Connection: , ,\t{} ,,\r\n", all.join("\t , ")),
        ),
        (
            "several values",
            all.iter().map(|n| format!("Connection: {n}\r\n")).collect(),
        ),
        (
            "our context",
            "Connection: close, traceparent\r\nConnection: TraceState , baggage\r\n".to_owned(),
        ),
        (
            "framing and target",
            "Connection: Host, Content-Length, X-Forwarded-For, X-Forwarded-Proto\r\n".to_owned(),
        ),
        ("itself", "Connection: connection, close\r\n".to_owned()),
    ];
    let rig = Rig::start();
    for (why, connection) in rows {
        let mut fields = format!("traceparent: {CONTEXT}\r\n{connection}");
        for (name, value) in RELIED_ON {
            fields.push_str(&format!("{name}: {value}\r\n"));
        }
        let seen = rig.http1(&fields);
        assert_clean(&seen, why);
        for (name, value) in RELIED_ON {
            assert_eq!(seen.values(name), [*value], "{why}: {name}");
        }
        assert_eq!(seen.values("host"), ["example.com"], "{why}");
        assert_eq!(seen.values("x-forwarded-for"), ["127.0.0.1"], "{why}");
        assert_eq!(seen.values("x-forwarded-proto"), ["http"], "{why}");
        assert!(seen.values("connection").is_empty(), "{why}");
    }
}

#[test]
fn what_else_is_nominated_goes_and_nothing_beside() {
    let seen = Rig::start().http1(
        "Connection: X-Hop , close\r\nConnection:x-other\r\nX-Hop: 1\r\nx-OTHER: 2\r\nX-Stays: 3\r\n",
    );
    assert!(seen.values("x-hop").is_empty());
    assert!(seen.values("x-other").is_empty());
    assert_eq!(seen.values("x-stays"), ["3"]);
}
