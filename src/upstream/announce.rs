//! What a connection to an endpoint begins with where the file asks for the PROXY protocol.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use pingora::connectors::L4Connect;
use pingora::protocols::l4::ext::{connect, connect_uds};
use pingora::protocols::l4::socket::SocketAddr;
use pingora::protocols::l4::stream::Stream;
use pingora::upstreams::peer::HttpPeer;
use pingora::{Error, ErrorType};
use tokio::io::{AsyncWrite, AsyncWriteExt};

use crate::config::ProxyVersion;
use crate::proxy_protocol::{Addresses, write};

/// What a connection says before all else, TLS included: whose it is.
#[derive(Debug, Clone, Copy)]
pub struct Announce {
    pub(super) version: ProxyVersion,
    /// Of the client's connection; `None` where the door speaks for itself.
    pub(super) addresses: Option<Addresses>,
}

impl Announce {
    /// Has a peer's connections say it.
    pub(super) fn on(self, peer: &mut HttpPeer) {
        let within = peer.options.connection_timeout;
        peer.options.custom_l4 = Some(Arc::new(Connector { announce: self, within }));
    }

    /// The same, on connections of which nobody else gets one: what they began with would be wrong for others. A client
    /// gets its own again, as with HAProxy.
    pub fn alone_on(self, peer: &mut HttpPeer) {
        if self.addresses.is_some() {
            let mut hasher = DefaultHasher::new();
            (peer.group_key, self.addresses).hash(&mut hasher);
            peer.group_key = hasher.finish();
        }
        self.on(peer);
    }

    /// Says it.
    pub(super) async fn say(self, to: &mut (impl AsyncWrite + Unpin)) -> pingora::Result<()> {
        let failed = |e| Error::because(ErrorType::ConnectError, "sending the PROXY header", e);
        let header = write(self.version, self.addresses).map_err(failed)?;
        to.write_all(&header).await.map_err(failed)?;
        to.flush().await.map_err(failed)
    }
}

/// Makes the connection as Pingora would.
#[derive(Debug)]
struct Connector {
    announce: Announce,
    /// For the connection and the header.
    within: Option<Duration>,
}

impl Connector {
    async fn begin(&self, address: &SocketAddr) -> pingora::Result<Stream> {
        let mut stream = match address {
            SocketAddr::Inet(address) => Stream::from(connect(address, None).await?),
            SocketAddr::Unix(address) => {
                let path = address.as_pathname();
                let path =
                    path.ok_or_else(|| Error::explain(ErrorType::SocketError, "a Unix socket without a path"))?;
                Stream::from(connect_uds(path).await?)
            }
        };
        self.announce.say(&mut stream).await?;
        Ok(stream)
    }
}

#[async_trait]
impl L4Connect for Connector {
    async fn connect(&self, address: &SocketAddr) -> pingora::Result<Stream> {
        let Some(limit) = self.within else { return self.begin(address).await };
        let connected = tokio::time::timeout(limit, self.begin(address)).await;
        connected.unwrap_or_else(|_| {
            Error::e_explain(ErrorType::ConnectTimedout, format!("no connection to {address} in {limit:?}"))
        })
    }
}
