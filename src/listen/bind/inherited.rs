//! Descriptors handed over by systemd's socket activation protocol (`sd_listen_fds(3)`).

use std::fmt;
use std::os::fd::OwnedFd;

use rustix::io::{FdFlags, fcntl_getfd, fcntl_setfd, ioctl_fionbio};
use rustix::net::sockopt::{socket_acceptconn, socket_domain, socket_type};
use rustix::net::{AddressFamily, SocketType};

use super::Listener;
use super::error::{BindError, Reason};

/// The name that the protocol gives to descriptors passed without one.
const UNNAMED: &str = "unknown";
/// More descriptors than this are taken for a broken environment.
const MOST: u32 = 1024;

/// Descriptors that were handed over and that no listener has claimed yet.
#[derive(Debug, Default)]
pub struct Inherited {
    unclaimed: Vec<(String, OwnedFd)>,
}

/// The environment speaks the protocol, but wrongly.
#[derive(Debug)]
pub struct InheritError {
    found: String,
}

impl fmt::Display for InheritError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "LISTEN_FDS: expected the number of passed descriptors, at most {MOST}, \
             and LISTEN_PID a process id; found {}",
            self.found
        )
    }
}

impl std::error::Error for InheritError {}

impl Inherited {
    /// Takes what the environment announces, if it does so for this process. Call it once,
    /// before anything else opens a descriptor: the protocol gives numbers, and a number that
    /// was announced but not passed could otherwise be somebody else's.
    ///
    /// # Errors
    /// When the variables are set and can't be read.
    pub fn from_env() -> Result<Self, InheritError> {
        let variable = |name| std::env::var(name).unwrap_or_default();
        let own = std::process::id();
        if !announced(&variable("LISTEN_PID"), &variable("LISTEN_FDS"), own)? {
            return Ok(Self::default());
        }
        let passed = sd_listen_fds::get().map_err(|error| InheritError {
            found: error.to_string(),
        })?;
        Ok(Self::new(passed.into_iter().map(|(name, fd)| {
            (name.unwrap_or_else(|| UNNAMED.to_owned()), fd.into_std())
        })))
    }

    /// Takes descriptors as given, in the order in which those of one name are claimed.
    pub fn new(passed: impl IntoIterator<Item = (String, OwnedFd)>) -> Self {
        Self {
            unclaimed: passed.into_iter().collect(),
        }
    }

    /// Names of descriptors that no listener claimed: worth a warning once all are bound.
    pub fn unclaimed(&self) -> impl Iterator<Item = &str> {
        self.unclaimed.iter().map(|(name, _)| name.as_str())
    }

    /// Takes the first unclaimed descriptor of that name, which must be a listening stream
    /// socket.
    pub(super) fn claim(&mut self, name: &str) -> Result<Listener, BindError> {
        let fail = |expected, reason| BindError::new(format!("fd:{name}"), expected, reason);
        let Some(at) = self.unclaimed.iter().position(|(own, _)| own == name) else {
            return Err(fail(
                "a descriptor of that name in LISTEN_FDNAMES",
                Reason::NoDescriptor {
                    unclaimed: self.unclaimed().map(str::to_owned).collect(),
                },
            ));
        };
        let (_, fd) = self.unclaimed.remove(at);
        let family = listening(&fd)
            .map_err(|reason| fail("a listening TCP or unix stream socket", reason))?;
        prepare(&fd).map_err(|error| fail("a usable descriptor", Reason::Io(error.into())))?;
        Ok(if family == AddressFamily::UNIX {
            Listener::Unix(fd.into())
        } else {
            Listener::Tcp(fd.into())
        })
    }
}

/// Whether descriptors were announced to the process `own`. What is meant for another process
/// is none of our business, however odd; an odd number of ours must not be believed.
fn announced(pid: &str, fds: &str, own: u32) -> Result<bool, InheritError> {
    let wrong = || InheritError {
        found: format!("LISTEN_FDS={fds:?}, LISTEN_PID={pid:?}"),
    };
    if pid.is_empty() || fds.is_empty() {
        return Ok(false);
    }
    if pid.parse::<u32>().map_err(|_| wrong())? != own {
        return Ok(false);
    }
    match fds.parse::<u32>() {
        Ok(count) if count <= MOST => Ok(count > 0),
        _ => Err(wrong()),
    }
}

/// The family of a listening stream socket.
fn listening(fd: &OwnedFd) -> Result<AddressFamily, Reason> {
    let not = |found| Err(Reason::NotAListener { found });
    let Ok(kind) = socket_type(fd) else {
        return not("not a socket");
    };
    if kind != SocketType::STREAM {
        return not("not a stream socket");
    }
    if !socket_acceptconn(fd).map_err(|error| Reason::Io(error.into()))? {
        return not("a socket that does not listen");
    }
    match socket_domain(fd).map_err(|error| Reason::Io(error.into()))? {
        family @ (AddressFamily::INET | AddressFamily::INET6 | AddressFamily::UNIX) => Ok(family),
        _ => not("a socket of another family"),
    }
}

/// Makes it non-blocking, and keeps it from processes that this one may start.
fn prepare(fd: &OwnedFd) -> rustix::io::Result<()> {
    ioctl_fionbio(fd, true)?;
    fcntl_setfd(fd, fcntl_getfd(fd)? | FdFlags::CLOEXEC)
}

#[cfg(test)]
mod tests {
    use std::fs::File;
    use std::net::{TcpListener, UdpSocket};
    use std::os::unix::net::UnixListener;

    use super::*;
    use crate::listen::bind::Bound;
    use crate::listen::settings::Bind;
    use crate::listen::testing::TempDir;

    fn tcp() -> TcpListener {
        TcpListener::bind("127.0.0.1:0").expect("a listener")
    }

    fn named(name: &str, fd: impl Into<OwnedFd>) -> (String, OwnedFd) {
        (name.to_owned(), fd.into())
    }

    fn bind(inherited: &mut Inherited, name: &str) -> Result<Bound, BindError> {
        Bound::bind(&Bind::Fd(name.to_owned()), inherited)
    }

    #[test]
    fn descriptors_are_claimed_by_name_in_their_order() {
        let (first, second) = (tcp(), tcp());
        let addresses = [&first, &second].map(|one| one.local_addr().expect("an address"));
        let mut inherited = Inherited::new([
            named("other", tcp()),
            named("web", first),
            named("web", second),
        ]);
        for address in addresses {
            let bound = bind(&mut inherited, "web").expect("bound");
            assert_eq!(bound.local_addr().expect("an address"), Some(address));
        }
        assert_eq!(inherited.unclaimed().collect::<Vec<_>>(), ["other"]);
        let error = bind(&mut inherited, "web").expect_err("all claimed");
        assert_eq!(
            error.to_string(),
            "fd:web: expected a descriptor of that name in LISTEN_FDNAMES, \
             but the unclaimed ones are named other"
        );
    }

    #[test]
    fn an_inherited_unix_socket_is_recognised_and_its_file_is_left() {
        let directory = TempDir::new();
        let path = directory.path().join("s");
        let listener = UnixListener::bind(&path).expect("a listener");
        let mut inherited = Inherited::new([named("cri", listener)]);
        let bound = bind(&mut inherited, "cri").expect("bound");
        assert_eq!(bound.local_addr().expect("known"), None);
        drop(bound);
        assert!(path.exists());
    }

    #[test]
    fn an_inherited_socket_is_made_non_blocking_and_private() {
        let listener = tcp();
        fcntl_setfd(&listener, FdFlags::empty()).expect("as if passed by exec");
        let mut inherited = Inherited::new([named("web", listener)]);
        let bound = bind(&mut inherited, "web").expect("bound");
        let flags = rustix::fs::fcntl_getfl(&bound).expect("flags");
        assert!(flags.contains(rustix::fs::OFlags::NONBLOCK));
        let flags = fcntl_getfd(&bound).expect("flags");
        assert!(flags.contains(FdFlags::CLOEXEC));
    }

    #[test]
    fn what_does_not_listen_is_refused() {
        let directory = TempDir::new();
        let file = File::open(directory.file("f", "")).expect("a file");
        let datagrams = UdpSocket::bind("127.0.0.1:0").expect("a socket");
        let listener = tcp();
        let address = listener.local_addr().expect("an address");
        let connected = std::net::TcpStream::connect(address).expect("connected");
        let mut inherited = Inherited::new([
            named("file", file),
            named("udp", datagrams),
            named("connected", connected),
        ]);
        for (name, found) in [
            ("file", "it is not a socket"),
            ("udp", "it is not a stream socket"),
            ("connected", "it is a socket that does not listen"),
        ] {
            let error = bind(&mut inherited, name).expect_err("refused");
            assert_eq!(error.reason().to_string(), found, "{name}");
        }
        let error = bind(&mut inherited, "none").expect_err("refused");
        assert!(error.to_string().ends_with("was passed to this process"));
    }

    #[test]
    fn announcements_are_believed_only_if_ours_and_sane() {
        for (pid, fds, expected, why) in [
            ("", "", Some(false), "not activated"),
            ("", "1", Some(false), "nobody is addressed"),
            ("7", "", Some(false), "nothing is passed"),
            ("7", "0", Some(false), "nothing is passed"),
            ("7", "1", Some(true), "ours"),
            ("7", "1024", Some(true), "the most"),
            ("8", "1", Some(false), "another's"),
            ("8", "many", Some(false), "another's, however odd"),
            ("7", "1025", None, "too many"),
            ("7", "4294967290", None, "absurdly many"),
            ("7", "-1", None, "no number"),
            ("seven", "1", None, "no process"),
        ] {
            assert_eq!(announced(pid, fds, 7).ok(), expected, "{why}");
        }
        let error = announced("7", "many", 7).expect_err("refused").to_string();
        assert!(
            error.ends_with(r#"found LISTEN_FDS="many", LISTEN_PID="7""#),
            "{error}"
        );
    }
}
