//! The path of a Unix socket: whose it is before, and that it goes afterwards.

use std::fs::Permissions;
use std::io;
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::net::UnixStream;
use tokio::time::timeout;

/// The path of a Unix socket of ours, which goes when this is dropped: clients then see that nobody is there, not a
/// socket that nobody answers on. A path that another process has taken over meanwhile stays.
#[derive(Debug)]
pub(super) struct SocketPath {
    path: PathBuf,
    device: u64,
    inode: u64,
}

impl SocketPath {
    /// The path of a socket that was just bound there.
    pub(super) fn of_bound(path: &Path) -> io::Result<Self> {
        let found = std::fs::symlink_metadata(path)?;
        Ok(Self { path: path.to_owned(), device: found.dev(), inode: found.ino() })
    }
}

impl Drop for SocketPath {
    fn drop(&mut self) {
        let removed = match std::fs::symlink_metadata(&self.path) {
            Ok(found) if (found.dev(), found.ino()) == (self.device, self.inode) => std::fs::remove_file(&self.path),
            Ok(_) => return log::info!("{} is another's socket by now, and stays", self.path.display()),
            Err(e) => Err(e),
        };
        if let Err(e) = removed
            && e.kind() != io::ErrorKind::NotFound
        {
            log::warn!("the socket {} could not be removed: {e}", self.path.display());
        }
    }
}

/// What may connect to a Unix socket: its owner and group, so nobody whom the operator did not let in.
pub(super) fn permissions() -> Permissions {
    Permissions::from_mode(0o660)
}

/// Removes a socket that nobody listens on any more.
///
/// # Errors
/// If somebody does, or if there is anything but a socket.
pub(super) async fn remove_stale(path: &Path) -> io::Result<()> {
    let in_use = || io::Error::new(io::ErrorKind::AddrInUse, "another process listens on it");
    match std::fs::symlink_metadata(path) {
        // A process that hangs has a full queue: connecting would block there, and fails at once here.
        Ok(found) if found.file_type().is_socket() => match timeout(ANSWER, UnixStream::connect(path)).await {
            Ok(Err(e)) if e.kind() == io::ErrorKind::ConnectionRefused => std::fs::remove_file(path),
            Ok(Err(e)) if e.kind() == io::ErrorKind::WouldBlock => Err(in_use()),
            Ok(Err(e)) => Err(e),
            Ok(Ok(_)) | Err(_) => Err(in_use()),
        },
        Ok(_) => Err(io::Error::new(io::ErrorKind::AlreadyExists, "there is a file of another kind at this path")),
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(e) => Err(e),
    }
}

/// A kernel says at once whether anybody listens on a path; this is only so that nothing can wait for ever.
const ANSWER: Duration = Duration::from_secs(1);
