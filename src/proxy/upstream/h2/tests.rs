//! Which connections are worth keeping.

use tokio::io::duplex;

use super::*;

#[tokio::test(start_paused = true)]
async fn a_connection_without_streams_is_let_go_after_a_while_and_no_other() {
    let (ours, theirs) = duplex(1024);
    let serving = async move {
        let mut served = h2::server::handshake(theirs).await.expect("HTTP/2");
        while served.accept().await.is_some() {}
    };
    tokio::spawn(serving);
    let (sender, engine) = h2::client::handshake(ours).await.expect("HTTP/2");
    tokio::spawn(engine);
    let connection = Rc::new(Connection {
        sender,
        streams: Cell::new(0),
        used: Cell::new(false),
        idle: Cell::new(None),
        state: Rc::default(),
    });
    let nearly = IDLE_TIMEOUT - std::time::Duration::from_millis(1);
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
