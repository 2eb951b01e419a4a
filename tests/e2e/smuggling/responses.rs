//! Answers that two clients might read differently: callers get one reading, or 502.

use super::Rig;
use crate::strict::Strict;
use crate::wire::{self, Wire};

#[test]
fn answers_with_two_readings_are_refused() {
    let rows: &[(&str, &[u8])] = &[
        ("two lengths", b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\nok!"),
        ("a list of lengths", b"HTTP/1.1 200 OK\r\nContent-Length: 2, 3\r\n\r\nok!"),
        ("a signed length", b"HTTP/1.1 200 OK\r\nContent-Length: +2\r\n\r\nok"),
        ("a coding beside chunked", b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n"),
        ("chunked twice", b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n"),
        ("chunks in HTTP/1.0", b"HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n"),
        ("a folded line", b"HTTP/1.1 200 OK\r\nX-A: b\r\n c\r\nContent-Length: 2\r\n\r\nok"),
        ("a space before the colon", b"HTTP/1.1 200 OK\r\nContent-Length : 2\r\n\r\nok"),
        ("a NUL in a value", b"HTTP/1.1 200 OK\r\nX-A: b\0c\r\nContent-Length: 2\r\n\r\nok"),
        ("a bare CR in a value", b"HTTP/1.1 200 OK\r\nX-A: b\rc\r\nContent-Length: 2\r\n\r\nok"),
        ("an upgrade nobody asked for", b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\n"),
        ("no HTTP", b"SSH-2.0-OpenSSH_9.2\r\n\r\n"),
    ];
    for (why, answer) in rows {
        let rig = Rig::with(Strict::answering(answer), "");
        let (head, body) = Wire::connect(rig.proxy.at(0)).ask("GET /a HTTP/1.1\r\nHost: a\r\n\r\n");
        let body = String::from_utf8_lossy(&body).into_owned();
        assert_eq!(wire::status(&head), 502, "{why}: {head}");
        assert!(body.starts_with("tracegate: "), "{why}: {body}");
    }
}

#[test]
fn answers_that_can_be_said_clearly_are_said_clearly() {
    let rows: &[(&str, &[u8])] = &[
        ("both, length first", b"HTTP/1.1 200 OK\r\nContent-Length: 50\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n"),
        ("both, coding first", b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nContent-Length: 1\r\n\r\n2\r\nok\r\n0\r\n\r\n"),
        ("the same length twice", b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 2\r\n\r\nok"),
        ("a list of the same length", b"HTTP/1.1 200 OK\r\nContent-Length: 2, 2\r\n\r\nok"),
    ];
    for (why, answer) in rows {
        let rig = Rig::with(Strict::answering(answer), "");
        let mut wire = Wire::connect(rig.proxy.at(0));
        wire.send("GET /a HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
        let text = String::from_utf8_lossy(&wire.rest()).to_lowercase();
        let (head, body) = text.split_once("\r\n\r\n").expect("a head");
        let count = |name: &str| head.matches(&format!("\r\n{name}: ")).count();
        let (lengths, codings) = (count("content-length"), count("transfer-encoding"));
        match (lengths, codings) {
            (1, 0) => {
                assert!(head.contains("content-length: 2"), "{why}: {text}");
                assert_eq!(body, "ok", "{why}");
            }
            (0, 1) => assert_eq!(body, "2\r\nok\r\n0\r\n\r\n", "{why}"),
            _ => panic!("{why}: {text}"),
        }
    }
}

#[test]
fn bytes_behind_an_answer_are_never_the_next_one() {
    let answer = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nokHTTP/1.1 200 OK\r\nContent-Length: 7\r\n\r\nplanted";
    let rig = Rig::with(Strict::answering(answer), "");
    let mut wire = Wire::connect(rig.proxy.at(0));
    for _ in 0..5 {
        let (head, body) = wire.ask("GET /a HTTP/1.1\r\nHost: a\r\n\r\n");
        assert_eq!((wire::status(&head), &body[..]), (200, &b"ok"[..]));
    }
}
