//! Small services beside the door, on addresses of the kernel's choosing: for demonstrations.

use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use pingora::apps::ServerApp;
use tokio::sync::watch;

use super::accepting::serve;
use super::socket::{Bound, BoundAddress};

/// A service that is served until this is dropped.
pub struct SideService {
    address: SocketAddr,
    _stop: watch::Sender<bool>,
}

impl SideService {
    /// Serves an application on a port of 127.0.0.1.
    ///
    /// # Errors
    /// If there is no port left.
    pub fn start<A: ServerApp + Send + Sync + 'static>(app: A) -> io::Result<Self> {
        let Bound { socket, twin } = Bound::tcp(SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 0))?;
        let &BoundAddress::Tcp(address) = socket.address() else {
            return Err(io::Error::other("a TCP socket has no TCP address"));
        };
        let (stop, stopped) = watch::channel(false);
        drop(serve(socket.address(), twin, app, stopped));
        Ok(Self { address, _stop: stop })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }
}
