//! One server of an upstream.

use std::net::ToSocketAddrs;
use std::sync::Arc;

use parking_lot::Mutex;
use pingora::upstreams::peer::HttpPeer;

use super::Transport;
use super::clock::Nanos;
use super::hysteresis::Checks;
use super::limits::Gauge;
use super::state::State;
use crate::config;
use crate::config::{Discover, EndpointAddress, is_inside};

/// One server of an upstream: its name for people, its part in the whole, a prepared peer for each of its addresses;
/// and what is known of it while it runs, which goes along to the next endpoint of this name.
#[derive(Debug)]
pub struct Endpoint {
    name: Box<str>,
    authority: Box<str>,
    weight: u16,
    backup: bool,
    peers: Box<[HttpPeer]>,
    pub(super) state: Arc<State>,
    /// By itself, since what checks have found is worth nothing once there are other checks.
    pub(super) checks: Arc<Mutex<Checks>>,
}

impl Endpoint {
    /// Resolves and prepares an endpoint of an upstream with these settings. Names are resolved here, when the file is
    /// loaded, and never again; what was discovered has none.
    pub(super) fn new(
        upstream: &str,
        endpoint: &config::Endpoint,
        settings: &config::Upstream,
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
        let identity = identity(&endpoint.address, settings);
        let prepared = |peer| {
            let mut peer = super::prepare(peer, &settings.timeouts);
            transport.prepare(&mut peer, upstream, &identity, settings.timeouts.idle)?;
            Ok(peer)
        };
        let peers = peers.into_iter().map(prepared).collect::<Result<_, String>>()?;
        Ok(Self {
            name: name.into(),
            authority: identity.to_string().into(),
            weight: endpoint.weight.0,
            backup: endpoint.backup,
            peers,
            state: Arc::default(),
            checks: Arc::default(),
        })
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

    /// Its host and port as a request has them in `Host`: of one that was discovered by DNS the name that was asked
    /// about, of others the name. A Unix socket's has no meaning there.
    pub fn authority(&self) -> &str {
        &self.authority
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

    /// Until when it is ejected, if the settings eject anybody.
    pub(super) fn ejected_until(&self, settings: &config::Upstream, at: Nanos) -> Option<Nanos> {
        self.state.ejected.until(at).filter(|_| settings.ejection.is_some())
    }

    /// Whether neither checks nor requests speak against it.
    pub(super) fn can_be_used(&self, settings: &config::Upstream, at: Nanos) -> bool {
        self.checks.lock().is_healthy() && self.ejected_until(settings, at).is_none()
    }

    /// Whether what is sent to it stays on this machine or in a private network.
    pub fn is_inside(&self) -> bool {
        self.peers.iter().all(|peer| peer._address.as_inet().is_none_or(|address| is_inside(address.ip())))
    }

    /// How to reach it, one peer for each of its addresses: when the first can't be connected to, the next may be.
    pub fn peers(&self) -> &[HttpPeer] {
        &self.peers
    }
}

/// Who it is to be, by TLS: what was discovered is known by the name that it was discovered by.
fn identity(address: &EndpointAddress, settings: &config::Upstream) -> EndpointAddress {
    match (address, settings.discover.as_ref().and_then(Discover::host)) {
        (EndpointAddress::Socket(address), Some(host)) => {
            EndpointAddress::Name { host: host.to_owned(), port: address.port() }
        }
        _ => address.clone(),
    }
}

impl AsRef<Gauge> for Endpoint {
    fn as_ref(&self) -> &Gauge {
        &self.state.in_flight
    }
}
