//! Who an upstream's endpoints are: those of the file, or those that discovery has found.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Instant;

use super::balance::check_weights;
use super::discover::Discovery;
use super::members::{Members, Membership};
use super::{Endpoint, Refusal, Transport, Upstream};
use crate::config;
use crate::config::{Discover, EndpointAddress};

/// Those that an upstream begins with.
pub(super) fn first(
    name: &str,
    settings: &config::Upstream,
    transport: &Transport,
    discovery: Option<&Discovery>,
) -> Result<Vec<Endpoint>, Vec<Refusal>> {
    match discovery {
        None => listed(name, settings, transport),
        Some(discovery) => {
            let found = verifiable(discovery.settings(), transport)
                .and_then(|()| found(name, settings, transport, &discovery.known()));
            found.map_err(|why| vec![Refusal::new(["discover", discovery.settings().key()], why)])
        }
    }
}

/// Whether by TLS there is something to verify of whoever will be found by DNS. Of those in a file, each is asked.
fn verifiable(discover: &Discover, transport: &Transport) -> Result<(), String> {
    match discover.host() {
        Some(host) => transport.verifies(&EndpointAddress::Name { host: host.to_owned(), port: 443 }),
        None => Ok(()),
    }
}

/// The endpoints of the file.
fn listed(name: &str, settings: &config::Upstream, transport: &Transport) -> Result<Vec<Endpoint>, Vec<Refusal>> {
    let mut problems = Vec::new();
    let mut endpoints: Vec<Endpoint> = Vec::new();
    let mut addresses = HashSet::new();
    for (index, endpoint) in settings.endpoints.iter().enumerate() {
        let mut refuse = |why| problems.push(Refusal::new(["endpoints", &index.to_string()], why));
        if !addresses.insert(&endpoint.address) {
            let address = &endpoint.address;
            refuse(format!("`{address}` stands here twice; write it once, with a `weight` for a larger share"));
            continue;
        }
        match one(name, endpoint, settings, transport) {
            Ok(endpoint) => endpoints.push(endpoint),
            Err(why) => refuse(why),
        }
    }
    let weights: Vec<u16> = settings.endpoints.iter().map(|endpoint| endpoint.weight.0).collect();
    problems.extend(check_weights(&weights).err().map(|why| Refusal::new(["endpoints"], why)));
    if problems.is_empty() { Ok(endpoints) } else { Err(problems) }
}

/// The endpoints that were found; of those that stand there twice the first counts.
fn found(
    name: &str,
    settings: &config::Upstream,
    transport: &Transport,
    found: &[config::Endpoint],
) -> Result<Vec<Endpoint>, String> {
    let weights: Vec<u16> = found.iter().map(|endpoint| endpoint.weight.0).collect();
    check_weights(&weights)?;
    let mut addresses = HashSet::new();
    let once = found.iter().filter(|endpoint| addresses.insert(&endpoint.address));
    let made = once.map(|endpoint| {
        one(name, endpoint, settings, transport).map_err(|why| format!("{} cannot be used: {why}", endpoint.address))
    });
    made.collect()
}

fn one(
    name: &str,
    endpoint: &config::Endpoint,
    settings: &config::Upstream,
    transport: &Transport,
) -> Result<Endpoint, String> {
    settings.health.as_ref().map_or(Ok(()), |health| health.fits(&endpoint.address))?;
    Endpoint::new(name, endpoint, settings, transport)
}

/// Endpoints take over what is known of those of the same name.
pub(super) fn follow(endpoints: &mut [Endpoint], before: &Members, same_checks: bool) {
    let known: HashMap<&str, &Arc<Endpoint>> = before.all().iter().map(|member| (member.name(), member)).collect();
    for endpoint in endpoints {
        if let Some(previous) = known.get(endpoint.name()) {
            endpoint.follow(previous, same_checks);
        }
    }
}

impl Upstream {
    /// Takes in what discovery found: these are its endpoints from now on, none of them a name. Those that were there
    /// before keep what is known of them; of those that stand there twice the first counts.
    ///
    /// # Errors
    /// Why one of them, or their weights, can't be used. Then everything stays as it is.
    pub fn replace(&self, found: &[config::Endpoint], now: Instant) -> Result<(), String> {
        let mut endpoints = self::found(&self.name, &self.settings, &self.transport, found)?;
        let _rebuilding = self.rebuilding.lock();
        follow(&mut endpoints, &self.members.load(), true);
        let endpoints = endpoints.into_iter().map(Arc::new).collect();
        self.rebuild(Membership::new(endpoints, &self.settings.balance), self.clock.at(now));
        Ok(())
    }
}
