//! Listening sockets: bound before anything is served.

use std::fmt;
use std::fs::Permissions;
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::os::fd::{IntoRawFd, OwnedFd, RawFd};
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};

use crate::config::ListenAddress;

/// Where a socket listens, with the port that the kernel chose where the file says 0.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum BoundAddress {
    /// An address.
    Tcp(SocketAddr),
    /// A path.
    Unix(PathBuf),
}

impl fmt::Display for BoundAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(address) => address.fmt(f),
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}

/// A socket that listens, and is not yet accepted from. Dropped, it leaves nothing behind.
#[derive(Debug)]
pub(super) struct Socket {
    fd: OwnedFd,
    path: SocketPath,
    address: BoundAddress,
}

/// The path of a Unix socket, if it is one, which goes when this is dropped: clients then see that nobody is there,
/// not a socket that nobody answers on.
#[derive(Debug)]
pub(super) struct SocketPath(Option<PathBuf>);

impl Drop for SocketPath {
    fn drop(&mut self) {
        if let Some(path) = &self.0
            && let Err(e) = std::fs::remove_file(path)
            && e.kind() != io::ErrorKind::NotFound
        {
            log::warn!("the socket {} could not be removed: {e}", path.display());
        }
    }
}

impl Socket {
    /// Takes an address. A Unix socket that nobody listens on any more is replaced; anything else at its path is not.
    pub(super) fn bind(address: &ListenAddress) -> io::Result<Self> {
        match address {
            ListenAddress::Tcp(address) => {
                let listener = TcpListener::bind(address)?;
                listener.set_nonblocking(true)?;
                let address = BoundAddress::Tcp(listener.local_addr()?);
                Ok(Self { address, fd: listener.into(), path: SocketPath(None) })
            }
            ListenAddress::Unix(path) => {
                remove_stale(path)?;
                let listener = UnixListener::bind(path)?;
                listener.set_nonblocking(true)?;
                let address = BoundAddress::Unix(path.clone());
                Ok(Self { address, fd: listener.into(), path: SocketPath(Some(path.clone())) })
            }
        }
    }

    /// Where it listens.
    pub(super) fn address(&self) -> &BoundAddress {
        &self.address
    }

    /// Gives the descriptor away, to whoever closes it, and the path, to whoever accepts.
    pub(super) fn into_parts(self) -> (RawFd, SocketPath) {
        (self.fd.into_raw_fd(), self.path)
    }
}

/// What may connect to a Unix socket: its owner and group, so nobody whom the operator did not let in.
pub(super) fn unix_permissions() -> Permissions {
    Permissions::from_mode(0o660)
}

fn remove_stale(path: &Path) -> io::Result<()> {
    match std::fs::symlink_metadata(path) {
        Ok(found) if found.file_type().is_socket() => match UnixStream::connect(path) {
            Ok(_) => Err(io::Error::new(io::ErrorKind::AddrInUse, "another process listens on it")),
            Err(e) if e.kind() == io::ErrorKind::ConnectionRefused => std::fs::remove_file(path),
            Err(e) => Err(e),
        },
        Ok(_) => Err(io::Error::new(io::ErrorKind::AlreadyExists, "there is a file of another kind at this path")),
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(e) => Err(e),
    }
}
