//! What a connection to an endpoint begins with where the file asks for the PROXY protocol.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;

use pingora::upstreams::peer::HttpPeer;
use pingora::{Error, ErrorType};
use tokio::io::{AsyncWrite, AsyncWriteExt};

use super::dial::Dial;
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
        peer.options.custom_l4 = Some(Arc::new(Dial { announce: Some(self), within }));
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
