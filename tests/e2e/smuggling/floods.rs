//! Heads and streams without end: bounded, each by a number.

use super::Rig;
use crate::frames::{Answered, Field, Frames, block, pseudo};
use crate::strict::Strict;
use crate::wire::{self, Wire};

/// REFUSED_STREAM, ENHANCE_YOUR_CALM (RFC 9113, section 7).
const REFUSED_STREAM: u32 = 7;
const ENHANCE_YOUR_CALM: u32 = 11;

#[test]
fn heads_beyond_a_limit_are_answered_431_and_one_below_it_passes() {
    let limits = "  limits: {maxHeaders: 20, maxHeaderBytes: 8KiB}\n";
    let rig = Rig::with(Strict::start(), limits);
    let many = |count| "X-A: b\r\n".repeat(count);
    let long = |bytes| format!("X-A: {}\r\n", "b".repeat(bytes));
    let target = |bytes| format!("/{}", "a".repeat(bytes));
    let rows = [
        ("few fields", "/a".to_owned(), many(10), 200),
        ("many fields", "/a".to_owned(), many(30), 431),
        ("a long field", "/a".to_owned(), long(7_000), 200),
        ("a longer field", "/a".to_owned(), long(9_000), 431),
        ("an endless field", "/a".to_owned(), long(1_000_000), 431),
        ("a long target", target(7_000), String::new(), 200),
        ("a longer target", target(9_000), String::new(), 431),
        ("an endless target", target(1_000_000), String::new(), 431),
        (
            "many crumbs",
            "/a".to_owned(),
            "Cookie: a=b\r\n".repeat(30),
            431,
        ),
    ];
    for (why, target, fields, expected) in rows {
        let request =
            format!("GET {target} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n{fields}\r\n");
        let mut wire = Wire::connect(rig.proxy.at(0));
        wire.send(request);
        assert_eq!(wire::status(&wire.head()), expected, "{why}");
        assert_eq!(
            rig.component.take().len(),
            usize::from(expected == 200),
            "{why}"
        );
    }
}

#[test]
fn http2_heads_beyond_a_limit_are_answered_431_and_crumbs_count() {
    let limits = "  limits: {maxHeaders: 20, maxHeaderBytes: 8KiB}\n";
    let rig = Rig::with(Strict::start(), limits);
    let long = vec![b'b'; 7_000];
    let longer = vec![b'b'; 9_000];
    let rows: Vec<(&str, Vec<Field<'_>>, u16)> = vec![
        ("few fields", vec![(b"x-a", b"b"); 10], 200),
        ("many fields", vec![(b"x-a", b"b"); 30], 431),
        ("few crumbs", vec![(b"cookie", b"a=b"); 10], 200),
        ("many crumbs", vec![(b"cookie", b"a=b"); 30], 431),
        ("a flood of crumbs", vec![(b"cookie", b"a"); 400], 431),
        ("a long field", vec![(b"x-a", &long)], 200),
        ("a longer field", vec![(b"x-a", &longer)], 431),
    ];
    for (why, more, expected) in rows {
        let mut fields = pseudo("GET", "/a");
        fields.extend(more);
        let mut frames = Frames::connect(rig.proxy.at(0));
        frames.head(1, &fields, true);
        assert_eq!(frames.answered(1), Answered::Status(expected), "{why}");
        assert_eq!(
            rig.component.take().len(),
            usize::from(expected == 200),
            "{why}"
        );
    }
}

#[test]
fn a_flood_of_continuations_ends_the_connection() {
    const BOUND: usize = 1_000;
    let rig = Rig::start();
    let rows: [(&str, Vec<u8>); 3] = [
        ("empty frames", Vec::new()),
        ("small frames", block(&[(b"x-a", b"b")])),
        ("large frames", block(&[(b"x-a", &[b'b'; 16_000])])),
    ];
    for (why, more) in rows {
        let mut frames = Frames::connect(rig.proxy.at(0));
        frames.open_head(1, &block(&pseudo("GET", "/a")));
        let taken = (0..BOUND)
            .take_while(|_| frames.continuation(1, &more))
            .count();
        // What was on its way when the proxy hung up counts as taken, too.
        match frames.answered(1) {
            Answered::GoAway(_) | Answered::Closed | Answered::Status(431) => {}
            other => panic!("{why}: {other:?} after {taken}"),
        }
        assert!(rig.component.take().is_empty(), "{why}");
    }
}

#[test]
fn a_flood_of_cancelled_streams_ends_the_connection() {
    const BOUND: u32 = 5_000;
    let rig = Rig::start();
    let mut frames = Frames::connect(rig.proxy.at(0));
    let fields = pseudo("GET", "/a");
    let mut sent = 0;
    while sent < BOUND {
        let stream = sent * 2 + 1;
        if !frames.head(stream, &fields, true) || !frames.cancel(stream) {
            break;
        }
        sent += 1;
    }
    match frames.answered(u32::MAX) {
        Answered::GoAway(ENHANCE_YOUR_CALM) | Answered::Closed => {}
        other => panic!("{other:?} after {sent}"),
    }
    let served = rig.component.take().len();
    assert!(served < 1_000, "{served} of {sent} reached the component");
}

#[test]
fn streams_beyond_the_limit_are_refused() {
    let rig = Rig::with(Strict::start(), "  limits: {maxConcurrentStreams: 5}\n");
    let mut frames = Frames::connect(rig.proxy.at(0));
    // Their bodies never end, so they stay open.
    for stream in (1..=13).step_by(2) {
        frames.head(stream, &pseudo("POST", "/a"), false);
    }
    assert_eq!(frames.answered(11), Answered::Reset(REFUSED_STREAM));
}
