//! Unix sockets that replace stale ones, never anything else, and clean up after themselves.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt, lchown};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

use rustix::fs::{FlockOperation, Mode, fchmod, flock};
use socket2::{Domain, SockAddr, Socket, Type};

use super::BACKLOG;
use super::error::{BindError, Reason};
use crate::listen::settings::Owner;

/// How often, and how far apart, a locked directory is tried.
const LOCK_ATTEMPTS: u32 = 50;
const LOCK_PAUSE: Duration = Duration::from_millis(20);

/// The path of a socket that this process made.
#[derive(Debug)]
pub(super) struct OwnedPath {
    path: PathBuf,
    device: u64,
    inode: u64,
}

impl OwnedPath {
    pub(super) fn as_path(&self) -> &Path {
        &self.path
    }

    fn is_ours(&self) -> bool {
        // The inode can't have been given to another file: our open listener still holds it.
        fs::symlink_metadata(&self.path)
            .is_ok_and(|now| now.dev() == self.device && now.ino() == self.inode)
    }
}

impl Drop for OwnedPath {
    fn drop(&mut self) {
        if self.is_ours()
            && let Err(error) = fs::remove_file(&self.path)
        {
            tracing::warn!(path = %self.path.display(), %error, "socket could not be removed");
        }
    }
}

/// Binds and listens at `path` with exactly those permission bits, as that owner's.
pub(super) fn bind(
    path: &Path,
    mode: u32,
    owner: Owner,
) -> Result<(UnixListener, OwnedPath), BindError> {
    const EXPECTED: &str = "a path for a socket that nobody listens on";
    let fail = |reason| BindError::new(format!("unix://{}", path.display()), EXPECTED, reason);
    let failed = |error| fail(Reason::Io(error));

    let address = SockAddr::unix(path).map_err(failed)?;
    // Held until the socket listens, so that no second instance takes it for stale before.
    let _lock = lock_directory(path).map_err(fail)?;
    clear(path, &address).map_err(fail)?;

    let (socket, owned) = create(path, &address, mode).map_err(failed)?;
    if owner != Owner::default() {
        lchown(path, owner.uid, owner.gid).map_err(|error| fail(Reason::Owner(error)))?;
    }
    // The umask may have taken bits away.
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).map_err(failed)?;
    socket.listen(BACKLOG).map_err(failed)?;
    Ok((socket.into(), owned))
}

/// Makes the file. It is born with the socket's own mode less the umask, so never with more.
fn create(path: &Path, address: &SockAddr, mode: u32) -> io::Result<(Socket, OwnedPath)> {
    let socket = Socket::new(Domain::UNIX, Type::STREAM.nonblocking(), None)?;
    fchmod(&socket, Mode::from_raw_mode(mode))?;
    socket.bind(address)?;
    let made = fs::symlink_metadata(path)?;
    let owned = OwnedPath {
        path: path.to_owned(),
        device: made.dev(),
        inode: made.ino(),
    };
    Ok((socket, owned))
}

/// Locks the directory against other instances; the lock ends with the value. A directory that
/// may not be read can't be locked, and is used without.
fn lock_directory(path: &Path) -> Result<Option<File>, Reason> {
    let directory = match path.parent() {
        Some(parent) if parent != Path::new("") => parent,
        _ => Path::new("."),
    };
    let Ok(directory) = File::open(directory) else {
        return Ok(None);
    };
    for _ in 0..LOCK_ATTEMPTS {
        match flock(&directory, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => return Ok(Some(directory)),
            Err(rustix::io::Errno::WOULDBLOCK) => thread::sleep(LOCK_PAUSE),
            Err(_) => return Ok(None),
        }
    }
    Err(Reason::Contended)
}

/// Makes way at `path`: removes a socket that nobody listens on, refuses anything else.
fn clear(path: &Path, address: &SockAddr) -> Result<(), Reason> {
    let found = match fs::symlink_metadata(path) {
        Ok(found) => found,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(Reason::Io(error)),
    };
    if !found.file_type().is_socket() {
        return Err(Reason::NotASocket);
    }
    let probe = Socket::new(Domain::UNIX, Type::STREAM.nonblocking(), None).map_err(Reason::Io)?;
    match probe.connect(address) {
        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => {
            fs::remove_file(path).map_err(Reason::Io)
        }
        // A full backlog and a datagram socket are answers of somebody alive.
        Ok(()) => Err(Reason::InUse),
        Err(error) if is_alive(&error) => Err(Reason::InUse),
        Err(error) => Err(Reason::Io(error)),
    }
}

fn is_alive(error: &io::Error) -> bool {
    use rustix::io::Errno;
    [Errno::AGAIN, Errno::PROTOTYPE]
        .iter()
        .any(|errno| error.raw_os_error() == Some(errno.raw_os_error()))
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::{UnixDatagram, UnixStream};

    use super::*;
    use crate::listen::testing::TempDir;

    fn mode_of(path: &Path) -> u32 {
        let metadata = fs::symlink_metadata(path).expect("a file");
        metadata.permissions().mode() & 0o7777
    }

    fn reason(path: &Path) -> String {
        let error = bind(path, 0o600, Owner::default()).expect_err("refused");
        error.reason().to_string()
    }

    #[test]
    fn a_socket_has_exactly_its_mode() {
        let directory = TempDir::new();
        for mode in [0o600, 0o660, 0o666, 0o777] {
            let path = directory.path().join(format!("{mode:o}"));
            let _bound = bind(&path, mode, Owner::default()).expect("bound");
            assert_eq!(mode_of(&path), mode, "{mode:o}");
        }
    }

    #[test]
    fn a_socket_never_grants_more_than_its_mode_not_even_before_it_is_set() {
        let directory = TempDir::new();
        let path = directory.path().join("s");
        let address = SockAddr::unix(&path).expect("an address");
        let _made = create(&path, &address, 0o600).expect("made");
        assert_eq!(mode_of(&path) & !0o600, 0);
    }

    #[test]
    fn a_socket_belongs_to_its_owner_or_is_not_bound() {
        let directory = TempDir::new();
        let own = fs::metadata(directory.path()).expect("a directory");
        let root = rustix::process::geteuid().is_root();
        for (uid, gid) in [
            (None, None),
            (Some(own.uid()), None),
            (None, Some(own.gid())),
            (Some(own.uid() + 1), None),
            (Some(own.uid() + 1), Some(own.gid() + 2)),
        ] {
            let path = directory.path().join("s");
            let bound = bind(&path, 0o640, Owner { uid, gid });
            let theirs = uid.is_some_and(|uid| uid != own.uid());
            if theirs && !root {
                // Who may not give it away must not serve it as its own.
                let error = bound.expect_err("refused").reason().to_string();
                assert!(
                    error.starts_with("it can't be given to its owner"),
                    "{error}"
                );
                assert!(!path.exists());
                continue;
            }
            let _bound = bound.expect("bound");
            let found = fs::symlink_metadata(&path).expect("a file");
            assert_eq!(found.uid(), uid.unwrap_or(own.uid()), "{uid:?} {gid:?}");
            assert_eq!(found.gid(), gid.unwrap_or(own.gid()), "{uid:?} {gid:?}");
            assert_eq!(mode_of(&path), 0o640, "{uid:?} {gid:?}");
        }
    }

    #[test]
    fn a_stale_socket_is_replaced() {
        let directory = TempDir::new();
        let path = directory.path().join("s");
        drop(UnixListener::bind(&path).expect("a socket"));
        assert!(path.exists());
        let (_listener, _owned) = bind(&path, 0o600, Owner::default()).expect("bound");
        UnixStream::connect(&path).expect("somebody listens");
    }

    #[test]
    fn a_live_socket_is_left_alone_and_refused() {
        let directory = TempDir::new();
        let path = directory.path().join("s");
        let (_listener, _owned) = bind(&path, 0o600, Owner::default()).expect("bound");
        assert_eq!(reason(&path), "another process listens on it");
        UnixStream::connect(&path).expect("the first one still listens");

        let datagrams = directory.path().join("d");
        let _bound = UnixDatagram::bind(&datagrams).expect("a socket");
        assert_eq!(reason(&datagrams), "another process listens on it");
    }

    #[test]
    fn what_is_not_a_socket_is_never_deleted() {
        let directory = TempDir::new();
        let file = directory.file("precious", "content");
        let link = directory.path().join("link");
        std::os::unix::fs::symlink(&file, &link).expect("a link");
        for path in [&file, &link, &directory.path().to_owned()] {
            let text = reason(path);
            assert_eq!(text, "the path holds something that is not a socket");
        }
        assert_eq!(fs::read(&link).expect("still there"), b"content");
    }

    #[test]
    fn a_socket_is_removed_on_drop() {
        let directory = TempDir::new();
        let path = directory.path().join("s");
        drop(bind(&path, 0o600, Owner::default()).expect("bound"));
        assert!(!path.exists());
    }

    #[test]
    fn somebody_elses_replacement_survives_the_drop() {
        let directory = TempDir::new();
        let path = directory.path().join("s");
        let (listener, owned) = bind(&path, 0o600, Owner::default()).expect("bound");
        fs::remove_file(&path).expect("removed");
        let _other = UnixListener::bind(&path).expect("a socket of another process");
        drop((owned, listener));
        UnixStream::connect(&path).expect("the other one still listens");
    }

    #[test]
    fn a_directory_that_stays_locked_is_reported() {
        let directory = TempDir::new();
        let holder = File::open(directory.path()).expect("a directory");
        flock(&holder, FlockOperation::LockExclusive).expect("locked");
        let text = reason(&directory.path().join("s"));
        assert!(text.contains("keeps the directory locked"), "{text}");
    }

    #[test]
    fn an_error_names_the_path_what_was_expected_and_why() {
        let error =
            bind(Path::new("/nonexistent/s"), 0o600, Owner::default()).expect_err("refused");
        assert_eq!(
            error.to_string(),
            "unix:///nonexistent/s: expected a path for a socket that nobody listens on, \
             but No such file or directory (os error 2)"
        );
        let long = PathBuf::from(format!("/tmp/{}", "x".repeat(200)));
        assert!(bind(&long, 0o600, Owner::default()).is_err());
    }
}
