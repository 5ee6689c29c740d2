//! Listening sockets: bound before anything is served.

use std::fmt;
use std::io;
use std::net::{Shutdown, SocketAddr, TcpListener};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::net::UnixListener;
use std::path::PathBuf;

use pingora::protocols::l4::stream::Stream;
use pingora::protocols::{GetSocketDigest, SocketDigest};
use socket2::SockRef;

use super::shut;
use super::socket_path::{self, SocketPath};
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

/// A socket that listens. Dropped, it leaves nothing behind.
#[derive(Debug)]
pub(super) struct Socket {
    listener: Listener,
    path: Option<SocketPath>,
    address: BoundAddress,
}

#[derive(Debug)]
enum Listener {
    Tcp(TcpListener),
    Unix(UnixListener),
}

/// A socket that is not accepted from yet.
#[derive(Debug)]
pub(super) struct Bound {
    /// The socket, for whoever closes it.
    pub(super) socket: Socket,
    /// The same socket for whoever accepts, and closes this when it is told to stop.
    pub(super) twin: OwnedFd,
}

/// How many may wait to be accepted, as far as the kernel allows (`net.core.somaxconn`). The standard library's 128
/// is little for a burst that comes while the door starts.
const QUEUE: i32 = 65535;

impl Bound {
    /// Takes an address. A Unix socket that nobody listens on any more is replaced; anything else at its path is not.
    pub(super) async fn to(address: &ListenAddress) -> io::Result<Self> {
        match address {
            ListenAddress::Tcp(address) => Self::tcp(*address),
            ListenAddress::Unix(path) => {
                socket_path::remove_stale(path).await?;
                let listener = UnixListener::bind(path)?;
                let bound = SocketPath::of_bound(path)?;
                std::fs::set_permissions(path, socket_path::permissions())?;
                listener.set_nonblocking(true)?;
                SockRef::from(&listener).listen(QUEUE)?;
                let twin = listener.as_fd().try_clone_to_owned()?;
                let address = BoundAddress::Unix(path.clone());
                Ok(Self { socket: Socket { listener: Listener::Unix(listener), path: Some(bound), address }, twin })
            }
        }
    }

    /// The same for an address of the network, which never waits.
    pub(super) fn tcp(address: SocketAddr) -> io::Result<Self> {
        let listener = TcpListener::bind(address)?;
        listener.set_nonblocking(true)?;
        SockRef::from(&listener).listen(QUEUE)?;
        let twin = listener.as_fd().try_clone_to_owned()?;
        let address = BoundAddress::Tcp(listener.local_addr()?);
        Ok(Self { socket: Socket { listener: Listener::Tcp(listener), path: None, address }, twin })
    }
}

impl Socket {
    /// Where it listens.
    pub(super) fn address(&self) -> &BoundAddress {
        &self.address
    }

    /// Turns away whoever would connect from now on; who has connected, or is half-way there, can be accepted still.
    /// To be called when nobody waits for connections any more: a Unix socket looks ready for ever from now on.
    ///
    /// The path of a Unix socket goes at once, unless another socket has taken it meanwhile.
    pub(super) fn turn_away(&mut self) {
        self.path = None;
        let turned = match &self.listener {
            Listener::Tcp(listener) => shut::drop_first_packets(listener),
            Listener::Unix(listener) => SockRef::from(listener).shutdown(Shutdown::Read),
        };
        if let Err(e) = turned {
            log::debug!("{}: who connects just as it is closed may be reset: {e}", self.address);
        }
    }

    /// The next connection that waits; `None` when there is none.
    pub(super) fn accept_waiting(&self) -> io::Result<Option<Stream>> {
        loop {
            let accepted = match &self.listener {
                Listener::Tcp(listener) => listener.accept().and_then(|(stream, peer)| {
                    stream.set_nonblocking(true)?;
                    tokio::net::TcpStream::from_std(stream).map(|stream| (Stream::from(stream), Some(peer)))
                }),
                Listener::Unix(listener) => listener.accept().and_then(|(stream, _)| {
                    stream.set_nonblocking(true)?;
                    tokio::net::UnixStream::from_std(stream).map(|stream| (Stream::from(stream), None))
                }),
            };
            match accepted {
                Ok((mut stream, peer)) => {
                    let digest = SocketDigest::from_raw_fd(stream.as_raw_fd());
                    if let Some(peer) = peer {
                        // Of a connection that was reset meanwhile nobody could tell any more.
                        digest.peer_addr.set(Some(peer.into())).ok();
                    }
                    stream.set_socket_digest(digest);
                    return Ok(Some(stream));
                }
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => return Ok(None),
                // The client has gone already.
                Err(e) if matches!(e.kind(), io::ErrorKind::ConnectionAborted | io::ErrorKind::Interrupted) => {}
                Err(e) => return Err(e),
            }
        }
    }
}
