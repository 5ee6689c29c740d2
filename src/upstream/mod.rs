//! Upstreams: named groups of endpoints, and which of them gets the next request.
//!
//! Everything that can be prepared is prepared when the file is loaded: names are resolved, and each address has its
//! peer, Pingora's word for how a server is reached, with every timeout set. The request path only picks.

mod balance;
mod endpoint;
mod tls;
mod transport;

use std::sync::Arc;
use std::time::Duration;

use pingora::upstreams::peer::HttpPeer;

use crate::config;
use crate::config::{EndpointAddress, HostPolicy};
pub use balance::RoundRobin;
pub use endpoint::Endpoint;
pub use tls::{Remark, TlsFault, classify, system_roots};
pub use transport::{Transport, only_http1};

/// A named group of endpoints that serve the same thing.
#[derive(Debug)]
pub struct Upstream {
    name: Arc<str>,
    endpoints: Vec<Arc<Endpoint>>,
    turns: RoundRobin,
    host: HostPolicy,
    transport: Transport,
    settings: config::Upstream,
}

impl Upstream {
    /// Makes an upstream of its part of the file, and of what the files hold that are named there.
    ///
    /// # Errors
    /// Each endpoint that can't be used, by its index, and why: a name that doesn't resolve, a socket path that is
    /// too long, nothing that TLS could verify. `None` stands for the upstream as a whole.
    pub fn new(
        name: &str,
        settings: &config::Upstream,
        transport: Transport,
    ) -> Result<Self, Vec<(Option<usize>, String)>> {
        let mut problems = Vec::new();
        let mut endpoints = Vec::new();
        for (index, endpoint) in settings.endpoints.iter().enumerate() {
            match Endpoint::new(name, endpoint, &settings.timeouts, &transport) {
                Ok(endpoint) => endpoints.push(Arc::new(endpoint)),
                Err(problem) => problems.push((Some(index), problem)),
            }
        }
        let weights: Vec<u16> = settings.endpoints.iter().map(|endpoint| endpoint.weight.0).collect();
        let turns = RoundRobin::new(&weights).map_err(|problem| (None, problem));
        match turns {
            Ok(turns) if problems.is_empty() => Ok(Self {
                name: name.into(),
                endpoints,
                turns,
                host: settings.host.clone(),
                transport,
                settings: settings.clone(),
            }),
            Ok(_) => Err(problems),
            Err(problem) => {
                problems.push(problem);
                Err(problems)
            }
        }
    }

    /// Its name in the file, or the URL that it was made of.
    pub fn name(&self) -> &Arc<str> {
        &self.name
    }

    /// The part of the file that it was made of: an upstream whose part has not changed is kept over a reload.
    pub fn settings(&self) -> &config::Upstream {
        &self.settings
    }

    /// How its endpoints are spoken to: another one, if files that the settings name have changed.
    pub fn transport(&self) -> &Transport {
        &self.transport
    }

    /// Whether all its endpoints are addresses: names may resolve to others by the time of a reload.
    pub fn is_literal(&self) -> bool {
        self.settings.endpoints.iter().all(|endpoint| !matches!(endpoint.address, EndpointAddress::Name { .. }))
    }

    /// What it wants to see in `Host`.
    pub fn host(&self) -> &HostPolicy {
        &self.host
    }

    /// Whether every weight is 0, so that no request can be passed on.
    pub fn is_drained(&self) -> bool {
        self.turns.is_empty()
    }

    /// The endpoint whose turn it is; `None` when every weight is 0.
    pub fn pick(&self) -> Option<&Arc<Endpoint>> {
        self.endpoints.get(self.turns.next()?)
    }

    /// The endpoint whose turn it would be, without taking the turn: what `explain` shows.
    pub fn peek(&self) -> Option<&Arc<Endpoint>> {
        self.endpoints.get(self.turns.peek()?)
    }
}

/// How a server is reached, with Pingora's open defaults closed: a timeout for every wait.
fn prepare(mut peer: HttpPeer, timeouts: &config::UpstreamTimeouts) -> HttpPeer {
    let connect = timeouts.connect.0;
    let options = &mut peer.options;
    options.connection_timeout = Some(connect);
    options.total_connection_timeout = Some(connect);
    options.read_timeout = timeouts.idle.after();
    options.write_timeout = timeouts.idle.after();
    // Zero means that a connection is not kept, `None` would mean for ever.
    options.idle_timeout = Some(timeouts.keepalive.after().unwrap_or(Duration::ZERO));
    peer
}
