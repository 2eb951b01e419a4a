//! Unix sockets that replace stale ones, never anything else, and clean up after themselves.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

use rustix::fs::{FlockOperation, Mode, fchmod, flock};
use socket2::{Domain, SockAddr, Socket, Type};

use super::BACKLOG;
use super::error::{BindError, Reason};

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

/// Binds and listens at `path` with exactly those permission bits.
pub(super) fn bind(path: &Path, mode: u32) -> Result<(UnixListener, OwnedPath), BindError> {
    const EXPECTED: &str = "a path for a socket that nobody listens on";
    let fail = |reason| BindError::new(format!("unix://{}", path.display()), EXPECTED, reason);
    let failed = |error| fail(Reason::Io(error));

    let address = SockAddr::unix(path).map_err(failed)?;
    // Held until the socket listens, so that no second instance takes it for stale before.
    let _lock = lock_directory(path).map_err(fail)?;
    clear(path, &address).map_err(fail)?;

    let socket = Socket::new(Domain::UNIX, Type::STREAM.nonblocking(), None).map_err(failed)?;
    // The file is created with the socket's own mode less the umask, so never with more.
    fchmod(&socket, Mode::from_raw_mode(mode)).map_err(|error| failed(error.into()))?;
    socket.bind(&address).map_err(failed)?;
    let made = fs::symlink_metadata(path).map_err(failed)?;
    let owned = OwnedPath {
        path: path.to_owned(),
        device: made.dev(),
        inode: made.ino(),
    };
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).map_err(failed)?;
    socket.listen(BACKLOG).map_err(failed)?;
    Ok((socket.into(), owned))
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
