//! Upgrades that would let requests through unseen.

use super::Rig;

#[test]
fn an_upgrade_to_cleartext_http2_is_never_forwarded() {
    let rows = [
        (
            "as specified",
            "Connection: Upgrade, HTTP2-Settings, close\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAARAAAAAAAIAAAAA\r\n",
        ),
        (
            "in capitals",
            "Connection: upgrade, close\r\nUpgrade: H2C\r\nhttp2-settings: AAMAAABk\r\n",
        ),
        (
            "in a list",
            "Connection: Upgrade, close\r\nUpgrade: websocket, h2c\r\nHTTP2-Settings: AAMAAABk\r\n",
        ),
        (
            "on two lines",
            "Connection: Upgrade, close\r\nUpgrade: websocket\r\nUpgrade: h2c\r\n",
        ),
        (
            "not nominated",
            "Connection: close\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABk\r\n",
        ),
        (
            "with a version",
            "Connection: Upgrade, close\r\nUpgrade: h2c/1\r\n",
        ),
        (
            "the settings alone",
            "Connection: close\r\nHTTP2-Settings: AAMAAABk\r\n",
        ),
    ];
    let rig = Rig::start();
    for (why, fields) in rows {
        let request = format!("GET /a HTTP/1.1\r\nHost: a\r\n{fields}\r\n");
        let (status, seen) = rig.attack(request.as_bytes());
        assert_eq!((status, seen.len()), (200, 1), "{why}");
        for name in ["upgrade", "http2-settings", "connection"] {
            assert!(seen[0].values(name).is_empty(), "{why}: {}", seen[0].head);
        }
    }
}
