//! One server of an upstream.

use std::net::ToSocketAddrs;
use std::sync::Arc;

use parking_lot::Mutex;
use pingora::upstreams::peer::HttpPeer;

use super::Transport;
use super::hysteresis::Checks;
use super::limits::Gauge;
use super::state::State;
use crate::config;
use crate::config::EndpointAddress;

/// One server of an upstream: its name for people, its part in the whole, a prepared peer for each of its addresses;
/// and what is known of it while it runs, which goes along to the next endpoint of this name.
#[derive(Debug)]
pub struct Endpoint {
    name: Box<str>,
    weight: u16,
    backup: bool,
    peers: Box<[HttpPeer]>,
    pub(super) state: Arc<State>,
    /// By itself, since what checks have found is worth nothing once there are other checks.
    pub(super) checks: Arc<Mutex<Checks>>,
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
        let (state, checks) = (Arc::default(), Arc::default());
        Ok(Self { name: name.into(), weight: endpoint.weight.0, backup: endpoint.backup, peers, state, checks })
    }

    /// Takes over what is known of an endpoint of the same name; what checks have found only if they are the same.
    pub(super) fn follow(&mut self, previous: &Self, same_checks: bool) {
        self.state = previous.state.clone();
        if same_checks {
            self.checks = previous.checks.clone();
        }
    }

    /// Its address as the file has it.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its share of the requests beside the others'.
    pub fn weight(&self) -> u16 {
        self.weight
    }

    /// Whether it is used only when no primary endpoint can be.
    pub fn is_backup(&self) -> bool {
        self.backup
    }

    /// Whether this is the same server, perhaps of another generation.
    pub(super) fn is(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.state, &other.state)
    }

    pub(super) fn is_healthy(&self) -> bool {
        self.checks.lock().is_healthy()
    }

    /// How to reach it, one peer for each of its addresses: when the first can't be connected to, the next may be.
    pub fn peers(&self) -> &[HttpPeer] {
        &self.peers
    }
}

impl AsRef<Gauge> for Endpoint {
    fn as_ref(&self) -> &Gauge {
        &self.state.in_flight
    }
}
