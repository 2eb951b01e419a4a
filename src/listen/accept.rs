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

#[cfg(test)]
mod tests {
    use std::cell::Cell;
    use std::io::{Read, Write};
    use std::time::Duration;

    use rustix::io::Errno;
    use tokio::time::Instant;

    use super::super::bind::Inherited;
    use super::super::settings::{Bind, Owner};
    use super::super::stream::Plain;
    use super::super::testing::TempDir;
    use super::*;

    fn acceptor(bind: &Bind) -> Acceptor {
        let bound = Bound::bind(bind, &mut Inherited::default()).expect("bound");
        Acceptor::new(bound).expect("registered")
    }

    fn loopback() -> (Acceptor, SocketAddr) {
        let acceptor = acceptor(&Bind::Tcp(SocketAddr::from(([127, 0, 0, 1], 0))));
        let address = acceptor.bound().local_addr().expect("known").expect("TCP");
        (acceptor, address)
    }

    #[tokio::test]
    async fn a_connection_comes_with_both_its_addresses_and_without_delay() {
        let (mut acceptor, address) = loopback();
        let caller = TcpStream::connect(address).expect("connected");
        let accepted = acceptor.accept().await;
        assert_eq!(accepted.peer, caller.local_addr().ok());
        assert_eq!(accepted.local, Some(address));
        let Socket::Tcp(mut socket) = accepted.socket else {
            panic!("expected TCP");
        };
        assert!(socket.nodelay().expect("an option"));
        let error = socket.read(&mut [0]).expect_err("nothing to read");
        assert_eq!(error.kind(), io::ErrorKind::WouldBlock);
    }

    #[tokio::test]
    async fn ipv4_callers_of_an_ipv6_wildcard_have_ipv4_addresses() {
        if std::net::TcpListener::bind("[::1]:0").is_err() {
            return; // No IPv6 here.
        }
        let mut acceptor = acceptor(&Bind::Tcp("[::]:0".parse().expect("an address")));
        let bound = acceptor.bound().local_addr().expect("known").expect("TCP");
        let caller = TcpStream::connect(("127.0.0.1", bound.port())).expect("connected");
        let accepted = acceptor.accept().await;
        assert_eq!(accepted.peer, caller.local_addr().ok());
        assert_eq!(accepted.local, caller.peer_addr().ok());
    }

    #[tokio::test]
    async fn unix_sockets_have_no_addresses() {
        let directory = TempDir::new();
        let path = directory.path().join("s");
        let mut acceptor = acceptor(&Bind::Unix {
            path: path.clone(),
            mode: 0o600,
            owner: Owner::default(),
        });
        let _caller = UnixStream::connect(&path).expect("connected");
        let accepted = acceptor.accept().await;
        assert!(matches!(accepted.socket, Socket::Unix(_)));
        assert_eq!((accepted.peer, accepted.local), (None, None));
        drop(acceptor);
        assert!(!path.exists());
    }

    #[tokio::test]
    async fn a_connection_is_served_on_another_thread() {
        let (mut acceptor, address) = loopback();
        let mut caller = TcpStream::connect(address).expect("connected");
        let accepted = acceptor.accept().await;
        drop(acceptor);
        let worker = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_io()
                .build()
                .expect("a runtime");
            runtime.block_on(async {
                let mut stream = Plain::register(accepted.socket).expect("registered");
                tokio::io::AsyncWriteExt::write_all(&mut stream, b"served")
                    .await
                    .expect("written");
            });
        });
        let mut text = String::new();
        caller.read_to_string(&mut text).expect("read");
        assert_eq!(text, "served");
        worker.join().expect("no panic");
    }

    #[tokio::test(start_paused = true)]
    async fn running_out_of_descriptors_pauses_and_then_goes_on() {
        let (mut acceptor, address) = loopback();
        let mut caller = TcpStream::connect(address).expect("connected");
        let attempts = Cell::new(0);
        let begun = Instant::now();
        let accepted = acceptor
            .accept_by(|bound| {
                attempts.set(attempts.get() + 1);
                match attempts.get() {
                    1 => Err(Errno::CONNABORTED.into()),
                    2..5 => Err(Errno::MFILE.into()),
                    _ => take(bound),
                }
            })
            .await;
        assert_eq!(attempts.get(), 5);
        assert_eq!(begun.elapsed(), Duration::from_millis(5 + 10 + 20));
        caller.write_all(b"x").expect("the connection is intact");
        assert!(matches!(accepted.socket, Socket::Tcp(_)));
    }
}
