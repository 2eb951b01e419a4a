//! Which connections are worth keeping.

use tokio::io::duplex;

use super::*;
use crate::metrics::Registry;
use crate::proxy::settings::{Share, Target, UpstreamProtocol, UpstreamSettings};
use crate::proxy::upstream::Upstream;
use crate::proxy::upstream::connect::HeadLimits;
use crate::span::record::Direction;

/// A connection to a peer that accepts streams.
async fn connection() -> Rc<Connection> {
    let (ours, theirs) = duplex(1024);
    let serving = async move {
        let mut served = h2::server::handshake(theirs).await.expect("HTTP/2");
        while served.accept().await.is_some() {}
    };
    tokio::spawn(serving);
    let (sender, engine) = h2::client::handshake(ours).await.expect("HTTP/2");
    tokio::spawn(engine);
    Rc::new(Connection {
        sender,
        via: Via {
            member: 0,
            peer: None,
        },
        streams: Cell::new(0),
        used: Cell::new(false),
        idle: Cell::new(None),
        state: Rc::default(),
    })
}

#[tokio::test(start_paused = true)]
async fn connections_of_one_callers_own_are_let_go_with_the_shared_ones() {
    let settings = UpstreamSettings {
        share: Share::Connection,
        protocol: UpstreamProtocol::Http2,
        ..UpstreamSettings::bare(Target::Unix("/nowhere".into()))
    };
    let limits = HeadLimits {
        bytes: 8192,
        fields: 100,
    };
    let counters = Registry::new(&[("public".into(), Direction::Ingress)], 1)
        .shard(0)
        .listener(0);
    let shared = Upstream::new(settings, limits, None, &counters);
    let own = shared.twin(&Rc::default());
    shared.twin(&Rc::default());
    let connection = connection().await;
    own.h2.connections.borrow_mut().push(connection);
    shared.sweep();
    tokio::time::advance(IDLE_TIMEOUT - Duration::from_millis(1)).await;
    shared.sweep();
    assert_eq!(own.h2.connections.borrow().len(), 1, "not yet");
    assert_eq!(
        shared.twins.borrow().len(),
        1,
        "the other's caller has gone"
    );
    tokio::time::advance(Duration::from_millis(1)).await;
    shared.sweep();
    assert!(own.h2.connections.borrow().is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_connection_without_streams_is_let_go_after_a_while_and_no_other() {
    let connection = connection().await;
    let nearly = IDLE_TIMEOUT - Duration::from_millis(1);
    let rest = IDLE_TIMEOUT - nearly;
    assert!(connection.is_wanted(), "new");
    tokio::time::advance(nearly).await;
    assert!(connection.is_wanted(), "not yet");
    let slot = connection.slot().expect("a stream");
    tokio::time::advance(IDLE_TIMEOUT * 2).await;
    assert!(connection.is_wanted(), "it has a stream");
    drop(slot);
    assert!(connection.is_wanted(), "idle from now on");
    tokio::time::advance(nearly).await;
    assert!(connection.is_wanted(), "not yet again");
    tokio::time::advance(rest).await;
    assert!(!connection.is_wanted(), "idle for too long");
    connection.state.closed.set(true);
    let _slot = connection.slot();
    assert!(!connection.is_wanted(), "over");
}
