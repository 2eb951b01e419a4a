//! Which fields count changes with the configuration; what is open stays.

use std::time::{Duration, Instant};

use tracegate::lifecycle::Signal;

use super::{DEFAULT, Rig, Setup, handed, left};
use crate::component::{Component, PATIENCE};
use crate::files::TempDir;
use crate::proxy::{Proxy, document};
use crate::receiver::{Receiver, Speaks};

#[test]
fn open_requests_are_found_after_a_reload_by_what_is_listed_then() {
    let directory = TempDir::new();
    let inside = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
    let url = format!("http://{}", inside.local_addr().expect("an address"));
    let (outside, receiver) = (Component::start(), Receiver::start(Speaks::Grpc));
    let yaml = |fields| {
        let setup = Setup { fields, ..DEFAULT };
        setup.yaml(&url, &outside.url(), receiver.endpoint())
    };
    let first = yaml("x-request-id");
    let path = directory.file("tracegate.yaml", document(&first));
    let proxy = Proxy::start_file(path.clone(), &first);
    let second = yaml("audit-id, x-request-id");
    let rig = Rig {
        proxy,
        inside,
        outside,
        receiver,
    };
    let names = "x-request-id: a\r\naudit-id: b\r\n";
    let before = rig.open(names);
    assert_eq!(left(&rig.ask("x-request-id: a\r\n"))[0], handed(&before)[0]);
    std::fs::write(&path, document(&second)).expect("a file");
    rig.proxy.signal(Signal::Hangup);
    let until = Instant::now() + PATIENCE;
    let after = loop {
        // Each with a name of its own; the first that is found by the new field shows the reload.
        let name = format!("audit-id: {:?}\r\n", Instant::now());
        let open = rig.open(&name);
        if left(&rig.ask(&name))[0] == handed(&open)[0] {
            break open;
        }
        assert!(Instant::now() < until, "no reload");
        rig.end(open);
        std::thread::sleep(Duration::from_millis(5));
    };
    let [trace, ..] = handed(&before);
    assert_eq!(
        left(&rig.ask("x-request-id: a\r\n"))[0],
        trace,
        "still open"
    );
    assert_ne!(
        left(&rig.ask("audit-id: b\r\n"))[0],
        trace,
        "wasn't listed then"
    );
    rig.end(before);
    assert_ne!(
        left(&rig.ask("x-request-id: a\r\n"))[0],
        trace,
        "it has ended"
    );
    rig.end(after);
}
