//! One server of an upstream.

use std::net::ToSocketAddrs;

use pingora::upstreams::peer::HttpPeer;

use crate::config;
use crate::config::EndpointAddress;

use super::Transport;

/// One server of an upstream: its name for people, and a prepared peer for each of its addresses.
#[derive(Debug)]
pub struct Endpoint {
    name: Box<str>,
    peers: Box<[HttpPeer]>,
}

impl Endpoint {
    /// Resolves and prepares an endpoint. Names are resolved here, when the file is loaded, and never again.
    pub(super) fn new(
        upstream: &str,
        endpoint: &config::Endpoint,
        timeouts: &config::UpstreamTimeouts,
        transport: &Transport,
    ) -> Result<Self, String> {
        let name = endpoint.address.to_string();
        let peers = match &endpoint.address {
            EndpointAddress::Socket(address) => vec![HttpPeer::new(address, false, String::new())],
            EndpointAddress::Unix(path) => {
                let path = path.to_str().ok_or_else(|| format!("the path {} is not UTF-8", path.display()))?;
                let peer = HttpPeer::new_uds(path, false, String::new());
                vec![peer.map_err(|_| format!("`{path}` cannot be a socket's path: at most 107 bytes, no NUL"))?]
            }
            EndpointAddress::Name { host, port } => {
                let addresses = (host.as_str(), *port).to_socket_addrs().map_err(|error| {
                    format!("the name `{host}` cannot be resolved ({error}); check it, or give an address")
                })?;
                addresses.map(|address| HttpPeer::new(address, false, String::new())).collect()
            }
        };
        if peers.is_empty() {
            return Err(format!("the name `{name}` has no address"));
        }
        let prepared = |peer| {
            let mut peer = super::prepare(peer, timeouts);
            transport.prepare(&mut peer, upstream, &endpoint.address, timeouts.idle)?;
            Ok(peer)
        };
        let peers = peers.into_iter().map(prepared).collect::<Result<_, String>>()?;
        Ok(Self { name: name.into(), peers })
    }

    /// Its address as the file has it.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// How to reach it, one peer for each of its addresses: when the first can't be connected to, the next may be.
    pub fn peers(&self) -> &[HttpPeer] {
        &self.peers
    }
}
