//! A stand-in for a kube-apiserver: it is none, and does on the wire what one does, where a proxy in
//! front of it has to cope with that.
//!
//! - TLS with `h2` and `http/1.1`; client certificates are asked for, and a bad one doesn't fail the
//!   handshake.
//! - The authenticators in the server's order, 401 where a credential is wrong and none is right.
//! - Audit events with the addresses it believes; `Audit-ID`, `Warning` and the fields of priority
//!   and fairness on answers.
//! - HTTP/2 connections of callers it doesn't know end with their first answer.
//! - Watches flushed per event; exec, attach and port-forward by SPDY and WebSocket; both by a kubelet's
//!   paths as well.
//! - The limits: 100 streams a connection, 1 MiB of fields, 3 MiB of body.

mod answer;
mod audit;
mod authenticate;
mod goaway;
mod http1;
mod http2;
mod routes;
mod tls;
mod upgrade;
mod watch;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use rustls::pki_types::CertificateDer;
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

pub use audit::Event;
pub use authenticate::User;
pub use upgrade::GOODBYE;

use self::audit::Audit;
use self::authenticate::Authenticators;
use self::watch::Ticks;
use super::pki::Pki;
use crate::background::{self, Background};

/// A running stand-in; ends when dropped.
pub struct StandIn {
    address: SocketAddr,
    shared: Arc<Shared>,
    _running: Background,
}

/// What all its connections share.
struct Shared {
    authenticators: Authenticators,
    audit: Audit,
    ticks: Ticks,
    connections: AtomicUsize,
    open: AtomicUsize,
    ignored: AtomicUsize,
    /// After how many answers an HTTP/2 connection is taken leave of; 0: never. The real server draws
    /// lots (`--goaway-chance`).
    goaway_after: AtomicUsize,
}

/// Who is at the other end of a connection.
#[derive(Clone)]
pub struct Peer {
    /// Number of the connection, from 1.
    connection: usize,
    address: SocketAddr,
    /// As presented, its own certificate first.
    certificates: Arc<[CertificateDer<'static>]>,
}

impl StandIn {
    /// Starts one with these bearer tokens.
    pub fn start(pki: &Pki, tokens: BTreeMap<String, User>) -> Self {
        let (listener, address) = background::listener();
        let config = tls::config(pki);
        let shared = Arc::new(Shared {
            authenticators: Authenticators::new(pki, tokens),
            audit: Audit::default(),
            ticks: Ticks::default(),
            connections: AtomicUsize::new(0),
            open: AtomicUsize::new(0),
            ignored: AtomicUsize::new(0),
            goaway_after: AtomicUsize::new(0),
        });
        let server = Arc::clone(&shared);
        let running = Background::run(move || async move {
            let listener = TcpListener::from_std(listener).expect("a usable socket");
            let acceptor = TlsAcceptor::from(config);
            loop {
                let (stream, address) = listener.accept().await.expect("a connection");
                let _ = stream.set_nodelay(true);
                let handshake = acceptor.accept(stream);
                let shared = Arc::clone(&server);
                tokio::spawn(async move {
                    let Ok(stream) = handshake.await else { return };
                    let session = stream.get_ref().1;
                    let peer = Peer {
                        connection: shared.connections.fetch_add(1, Ordering::SeqCst) + 1,
                        address,
                        certificates: tls::presented(session),
                    };
                    shared.open.fetch_add(1, Ordering::SeqCst);
                    let _open = Open(Arc::clone(&shared));
                    if session.alpn_protocol() == Some(b"h2") {
                        http2::serve(stream, peer, shared).await;
                    } else {
                        http1::serve(stream, peer, shared).await;
                    }
                });
            }
        });
        Self {
            address,
            shared,
            _running: running,
        }
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Its audit log.
    pub fn audit(&self) -> Vec<Event> {
        self.shared.audit.events()
    }

    /// Connections it has accepted, after the handshake.
    pub fn connections(&self) -> usize {
        self.shared.connections.load(Ordering::SeqCst)
    }

    /// Of those, the ones that are open; a tunnel's is none of them.
    pub fn open(&self) -> usize {
        self.shared.open.load(Ordering::SeqCst)
    }

    /// Requests that came too late for their connection, and were never answered.
    pub fn ignored(&self) -> usize {
        self.shared.ignored.load(Ordering::SeqCst)
    }

    /// Watches that are open.
    pub fn watches(&self) -> usize {
        self.shared.ticks.watches()
    }

    /// Sends one event to every watch.
    pub fn tick(&self) {
        self.shared.ticks.tick();
    }

    /// Ends every watch, as its time limit would.
    pub fn end_watches(&self) {
        self.shared.ticks.end();
    }

    /// Takes leave of HTTP/2 connections after so many answers.
    pub fn goaway_after(&self, answers: usize) {
        self.shared.goaway_after.store(answers, Ordering::SeqCst);
    }
}

impl Shared {
    /// Whether a connection that has had so many answers is taken leave of.
    fn is_enough(&self, answers: usize) -> bool {
        let enough = self.goaway_after.load(Ordering::SeqCst);
        enough > 0 && answers >= enough
    }
}

/// A connection that is open.
struct Open(Arc<Shared>);

impl Drop for Open {
    fn drop(&mut self) {
        self.0.open.fetch_sub(1, Ordering::SeqCst);
    }
}
