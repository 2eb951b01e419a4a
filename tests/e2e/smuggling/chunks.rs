//! Chunks that go wrong when the head has left already.

use super::{HIDDEN, Rig};
use crate::wire::Wire;

#[test]
fn a_body_whose_chunks_go_wrong_never_reaches_its_end() {
    let rows = [
        ("no size", "\r\nhi\r\n0\r\n\r\n"),
        ("a signed size", "+2\r\nhi\r\n0\r\n\r\n"),
        ("a negative size", "-2\r\nhi\r\n0\r\n\r\n"),
        ("a size with prefix", "0x2\r\nhi\r\n0\r\n\r\n"),
        ("a size in words", "two\r\nhi\r\n0\r\n\r\n"),
        ("an inner space", "1 0\r\nhi\r\n0\r\n\r\n"),
        (
            "a size beyond 64 bits",
            "fffffffffffffffff\r\nhi\r\n0\r\n\r\n",
        ),
        ("a size that wraps", "10000000000000002\r\nhi\r\n0\r\n\r\n"),
        ("a chunk too long", "2\r\nhi!\r\n0\r\n\r\n"),
        ("a chunk too short", "3\r\nhi\r\n0\r\n\r\n"),
        ("a bare line feed behind a size", "2\nhi\r\n0\r\n\r\n"),
        ("a bare line feed in an extension", "2;a\nhi\r\n0\r\n\r\n"),
        ("a bare CR behind a size", "2\rhi\r\n0\r\n\r\n"),
    ];
    for (why, chunks) in rows {
        let rig = Rig::start();
        let mut wire = Wire::connect(rig.proxy.at(0));
        wire.send(format!(
            "POST /a HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n{chunks}{HIDDEN}"
        ));
        let answer = String::from_utf8_lossy(&wire.rest()).into_owned();
        assert!(!answer.contains(" 200 "), "{why}: {answer}");
        drop(rig.proxy);
        // The component learns of it by the end of the connection, not by an end of the body.
        let (cut, whole) = rig.component.finish();
        assert!(cut <= 1 && whole.is_empty(), "{why}: {whole:#?}");
    }
}
