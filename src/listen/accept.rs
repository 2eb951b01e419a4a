//! The accept loop of one listener.
//!
//! Sockets are accepted here and served elsewhere: what comes out is registered with no reactor,
//! so that a worker can register it with its own.

mod backoff;

use std::io;
use std::net::{SocketAddr, TcpStream};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;

use rustix::net::{SocketAddrAny, SocketFlags, acceptfrom_with};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

use super::bind::Bound;
pub use super::stream::Socket;
use backoff::{Backoff, Step};

/// A new connection.
#[derive(Debug)]
pub struct Accepted {
    /// The socket, non-blocking.
    pub socket: Socket,
    /// Who connected; `None` on unix sockets. IPv4-mapped addresses are given as IPv4.
    pub peer: Option<SocketAddr>,
    /// The address it connected to; `None` on unix sockets. Likewise as IPv4.
    pub local: Option<SocketAddr>,
}

/// Accepts connections of one bound address. Dropping it closes the listener.
#[derive(Debug)]
pub struct Acceptor {
    listener: AsyncFd<Bound>,
    backoff: Backoff,
}

impl Acceptor {
    /// Registers with the reactor of the runtime this is called on.
    ///
    /// # Errors
    /// When the reactor can't take another descriptor.
    #[expect(
        deprecated,
        reason = "its replacement is unsafe and asks for what Bound guarantees: one descriptor, \
                  the same on every call, open until the AsyncFd drops it"
    )]
    pub fn new(bound: Bound) -> io::Result<Self> {
        Ok(Self {
            listener: AsyncFd::with_interest(bound, Interest::READABLE)?,
            backoff: Backoff::default(),
        })
    }

    /// The listener.
    pub fn bound(&self) -> &Bound {
        self.listener.get_ref()
    }

    /// The next connection. Faults are waited out, however long they last: of the peer's making
    /// at once, of a scarce resource (descriptors, memory) with growing pauses of up to a
    /// second. Nothing is lost when it is cancelled.
    pub async fn accept(&mut self) -> Accepted {
        self.accept_by(take).await
    }

    async fn accept_by(&mut self, take: impl Fn(&Bound) -> io::Result<Accepted>) -> Accepted {
        loop {
            let error = match self.ready(&take).await {
                Ok(accepted) => {
                    if self.backoff.recovered() {
                        tracing::info!(listener = %self.bound(), "accepts connections again");
                    }
                    return accepted;
                }
                Err(error) => error,
            };
            match self.backoff.failed(&error) {
                Step::Again => {}
                Step::Pause { time, report } => {
                    if report {
                        tracing::warn!(
                            listener = %self.bound(), %error,
                            "can't accept connections, keeps trying"
                        );
                    }
                    tokio::time::sleep(time).await;
                }
            }
        }
    }

    /// Waits until there may be a connection, and takes it.
    async fn ready(&self, take: impl Fn(&Bound) -> io::Result<Accepted>) -> io::Result<Accepted> {
        loop {
            let mut guard = self.listener.readable().await?;
            if let Ok(result) = guard.try_io(|listener| take(listener.get_ref())) {
                return result;
            }
        }
    }
}

/// Takes one connection off the queue, without waiting.
fn take(bound: &Bound) -> io::Result<Accepted> {
    let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
    let (fd, peer) = acceptfrom_with(bound, flags)?;
    if bound.is_unix() {
        return Ok(Accepted {
            socket: Socket::Unix(UnixStream::from(fd)),
            peer: None,
            local: None,
        });
    }
    tcp(fd, peer)
}

fn tcp(fd: OwnedFd, peer: Option<SocketAddrAny>) -> io::Result<Accepted> {
    let socket = TcpStream::from(fd);
    // Without it small frames wait for acknowledgements; a peer that is gone already is found
    // out by the first read.
    let _ = socket.set_nodelay(true);
    Ok(Accepted {
        peer: peer
            .and_then(|peer| SocketAddr::try_from(peer).ok())
            .map(canonical),
        local: socket.local_addr().ok().map(canonical),
        socket: Socket::Tcp(socket),
    })
}

/// Trust rules and logs are written in IPv4 where the caller came by IPv4.
fn canonical(address: SocketAddr) -> SocketAddr {
    SocketAddr::new(address.ip().to_canonical(), address.port())
}
