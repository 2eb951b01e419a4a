//! Listening sockets: TCP, unix, or handed over by the service manager.

mod error;
mod inherited;
mod unix;

use std::fmt;
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, RawFd};
use std::os::unix::net::UnixListener;

use socket2::{Domain, Protocol, Socket, Type};

pub use error::{BindError, Reason};
pub use inherited::{InheritError, Inherited};

use super::settings::Bind;
use unix::OwnedPath;

/// Connections that may wait to be accepted; the kernel cuts it to `net.core.somaxconn`.
const BACKLOG: i32 = 4096;

/// A non-blocking listening socket. Closing it removes the unix socket's file that it made, if
/// that is still the one at its path.
#[derive(Debug)]
pub struct Bound {
    // Dropped before the listener, which must still hold its inode when the two are compared.
    _path: Option<OwnedPath>,
    listener: Listener,
    address: String,
}

/// The socket itself.
#[derive(Debug)]
enum Listener {
    Tcp(TcpListener),
    Unix(UnixListener),
}

impl Bound {
    /// Binds and listens.
    ///
    /// - TCP: a port that anybody listens on is refused, ours included. `[::]` takes IPv4
    ///   callers as well, whatever the system's default is; any other IPv6 address doesn't.
    /// - Unix: the file never grants more than its mode, not even for a moment, and belongs to its
    ///   owner before anybody can connect. A socket that
    ///   nobody listens on any more is replaced; a live one, or anything that isn't a socket, is
    ///   left alone and refused. Relative paths are relative to the working directory.
    /// - `fd:NAME`: takes the first unclaimed descriptor of that name out of `inherited`.
    ///
    /// # Errors
    /// Which address, what was expected there, and what was found.
    pub fn bind(bind: &Bind, inherited: &mut Inherited) -> Result<Self, BindError> {
        match bind {
            Bind::Tcp(address) => {
                let listener = tcp(*address).map_err(|error| {
                    BindError::new(
                        address.to_string(),
                        "a local address with a free port",
                        Reason::Io(error),
                    )
                })?;
                Ok(Self {
                    _path: None,
                    listener: Listener::Tcp(listener),
                    address: address.to_string(),
                })
            }
            Bind::Unix { path, mode, owner } => {
                let (listener, path) = unix::bind(path, *mode, *owner)?;
                Ok(Self {
                    address: format!("unix://{}", path.as_path().display()),
                    _path: Some(path),
                    listener: Listener::Unix(listener),
                })
            }
            Bind::Fd(name) => {
                let listener = inherited.claim(name)?;
                Ok(Self {
                    _path: None,
                    listener,
                    address: format!("fd:{name}"),
                })
            }
        }
    }

    /// The address as configured; for logs.
    pub fn address(&self) -> &str {
        &self.address
    }

    /// The address bound, the port chosen by the kernel included; `None` for unix sockets.
    ///
    /// # Errors
    /// When the kernel won't tell.
    pub fn local_addr(&self) -> io::Result<Option<SocketAddr>> {
        match &self.listener {
            Listener::Tcp(listener) => listener.local_addr().map(Some),
            Listener::Unix(_) => Ok(None),
        }
    }

    /// Whether what is accepted are unix sockets.
    pub(super) fn is_unix(&self) -> bool {
        matches!(self.listener, Listener::Unix(_))
    }
}

impl AsFd for Bound {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match &self.listener {
            Listener::Tcp(listener) => listener.as_fd(),
            Listener::Unix(listener) => listener.as_fd(),
        }
    }
}

impl AsRawFd for Bound {
    fn as_raw_fd(&self) -> RawFd {
        self.as_fd().as_raw_fd()
    }
}

impl fmt::Display for Bound {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.address)
    }
}

fn tcp(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = Socket::new(
        Domain::for_address(address),
        Type::STREAM.nonblocking(),
        Some(Protocol::TCP),
    )?;
    // Connections of an earlier process that linger must not keep this one from starting.
    socket.set_reuse_address(true)?;
    if address.is_ipv6() {
        socket.set_only_v6(!address.ip().is_unspecified())?;
    }
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    Ok(socket.into())
}

#[cfg(test)]
mod tests {
    use std::net::TcpStream;

    use super::*;

    fn bind(address: SocketAddr) -> Result<Bound, BindError> {
        Bound::bind(&Bind::Tcp(address), &mut Inherited::default())
    }

    fn on(address: &str) -> (Bound, u16) {
        let bound = bind(address.parse().expect("an address")).expect("bound");
        let port = bound.local_addr().expect("known").expect("TCP").port();
        (bound, port)
    }

    #[test]
    fn port_zero_becomes_a_real_one_that_listens() {
        let (_bound, port) = on("127.0.0.1:0");
        assert_ne!(port, 0);
        TcpStream::connect(("127.0.0.1", port)).expect("connected");
    }

    #[test]
    fn a_port_in_use_is_refused_even_our_own() {
        let (_first, port) = on("127.0.0.1:0");
        let address = SocketAddr::from(([127, 0, 0, 1], port));
        let error = bind(address).expect_err("refused");
        assert_eq!(
            error.to_string(),
            format!(
                "127.0.0.1:{port}: expected a local address with a free port, \
                 but Address already in use (os error 98)"
            )
        );
    }

    #[test]
    fn a_port_can_be_bound_again_though_its_connections_linger() {
        let (bound, port) = on("127.0.0.1:0");
        let _caller = TcpStream::connect(("127.0.0.1", port)).expect("connected");
        let accepted = rustix::net::accept(&bound).expect("accepted");
        // Closing first leaves our side of the connection lingering on the port.
        drop((accepted, bound));
        bind(SocketAddr::from(([127, 0, 0, 1], port))).expect("bound again");
    }

    #[test]
    fn the_ipv6_wildcard_takes_ipv4_and_other_ipv6_addresses_do_not() {
        if std::net::TcpListener::bind("[::1]:0").is_err() {
            return; // No IPv6 here.
        }
        let (_bound, port) = on("[::]:0");
        TcpStream::connect(("127.0.0.1", port)).expect("connected");
        let (_bound, port) = on("[::1]:0");
        assert!(TcpStream::connect(("127.0.0.1", port)).is_err());
    }

    #[test]
    fn a_listener_is_non_blocking() {
        let (bound, _) = on("127.0.0.1:0");
        let error = rustix::net::accept(&bound).expect_err("nobody there");
        assert_eq!(error, rustix::io::Errno::WOULDBLOCK);
    }
}
