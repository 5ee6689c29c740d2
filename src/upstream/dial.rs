//! Connections that Pingora does not make by itself, since something of ours comes first on them.

use std::os::fd::{AsRawFd, RawFd};
use std::pin::Pin;
use std::time::Duration;

use async_trait::async_trait;
use pingora::connectors::L4Connect;
use pingora::protocols::l4::ext::{connect, connect_uds};
use pingora::protocols::l4::socket::SocketAddr;
use pingora::protocols::l4::stream::Stream;
use pingora::{Error, ErrorType};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpStream, UnixStream};

use super::announce::Announce;

/// Makes a connection as Pingora would.
#[derive(Debug, Clone, Copy)]
pub(super) struct Dial {
    /// What it says first.
    pub(super) announce: Option<Announce>,
    /// For the connection and what it says first.
    pub(super) within: Option<Duration>,
}

/// A connection of either kind.
#[derive(Debug)]
pub(super) enum Dialled {
    Tcp(TcpStream),
    Unix(UnixStream),
}

/// What can be read and written.
pub(super) trait Duplex: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Duplex for T {}

impl Dial {
    /// Connects, and says what is to be said.
    pub(super) async fn dial(self, address: &SocketAddr) -> pingora::Result<Dialled> {
        let Some(limit) = self.within else { return self.begin(address).await };
        tokio::time::timeout(limit, self.begin(address)).await.map_err(|elapsed| {
            Error::because(ErrorType::ConnectTimedout, format!("no connection to {address} in {limit:?}"), elapsed)
        })?
    }

    async fn begin(self, address: &SocketAddr) -> pingora::Result<Dialled> {
        let mut dialled = match address {
            SocketAddr::Inet(address) => Dialled::Tcp(connect(address, None).await?),
            SocketAddr::Unix(address) => {
                let path = address.as_pathname();
                let path =
                    path.ok_or_else(|| Error::explain(ErrorType::SocketError, "a Unix socket without a path"))?;
                Dialled::Unix(connect_uds(path).await?)
            }
        };
        if let Some(announce) = self.announce {
            announce.say(&mut dialled.pinned()).await?;
        }
        Ok(dialled)
    }
}

#[async_trait]
impl L4Connect for Dial {
    async fn connect(&self, address: &SocketAddr) -> pingora::Result<Stream> {
        Ok(match self.dial(address).await? {
            Dialled::Tcp(stream) => stream.into(),
            Dialled::Unix(stream) => stream.into(),
        })
    }
}

impl Dialled {
    pub(super) fn socket(&self) -> RawFd {
        match self {
            Self::Tcp(stream) => stream.as_raw_fd(),
            Self::Unix(stream) => stream.as_raw_fd(),
        }
    }

    pub(super) fn pinned(&mut self) -> Pin<&mut dyn Duplex> {
        match self {
            Self::Tcp(stream) => Pin::new(stream),
            Self::Unix(stream) => Pin::new(stream),
        }
    }
}
