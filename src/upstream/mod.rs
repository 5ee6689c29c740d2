//! Upstreams: named groups of endpoints, and which of them gets the next request.
//!
//! Everything that can be prepared is prepared when the file is loaded: names are resolved, and each address has its
//! peer, Pingora's word for how a server is reached, with every timeout set. The request path only picks.
//!
//! # A pick
//!
//! [`Upstream::pick`] asks, in this order: is there room within `limits`; who is used; whom of these does `balance`
//! want; does the `breaker` let it through. What comes back is [`Picked`]: the endpoint, and all that the request holds
//! until it is dropped. [`Picked::report`] says how the try ended, from which ejection and breaker learn.
//!
//! # Who is used
//!
//! An endpoint **can be used** if its weight is above 0, checks don't find it unhealthy and it is not ejected. Of the
//! primaries, those that can be used are used; if there are none, those of the backups. If too few primaries can be
//! used (`panic`) and no backup, all primaries are. A request that no primary can take, since all have failed it or are
//! full, goes to a backup, too.
//!
//! All that is laid down in one immutable set of members, which is made anew when one of these things changes and
//! swapped in; the request path only reads it. The one that makes it anew holds a lock; no request ever waits for that,
//! but the one whose failure ejects an endpoint.
//!
//! # What survives
//!
//! A reload takes over by name: what is known of each endpoint, the breaker if its settings are the same, the retry
//! budget, what is in flight. So does a discovery for the endpoints that it finds again.
//!
//! Time is an argument everywhere (`now`), so that nothing here needs to sleep to be tested.

mod backoff;
mod balance;
mod breaker;
#[allow(dead_code, reason = "no upstream starts its checks yet")]
mod check;
mod choice;
mod clock;
#[allow(dead_code, reason = "the upstreams do not use it yet")]
mod discover;
mod ejection;
mod endpoint;
mod hysteresis;
mod limits;
mod members;
mod pick;
mod retry_budget;
mod slow_start;
mod state;
mod status;
#[cfg(test)]
mod tests;
mod tls;
mod transport;
mod window;

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;
use parking_lot::Mutex;
use pingora::upstreams::peer::HttpPeer;

use crate::config;
use crate::config::{EndpointAddress, HostPolicy};
pub use backoff::backoff;
use balance::check_weights;
pub use balance::{RoundRobin, hash_key};
use breaker::Breaker;
use clock::{Clock, Nanos};
pub use endpoint::Endpoint;
use hysteresis::Hysteresis;
use limits::Gauge;
pub use members::Using;
use members::{Members, Membership};
pub use pick::{Ask, Limit, NoPick, Outcome, Picked};
pub use retry_budget::RetryBudget;
pub use status::{EndpointStatus, Status};
pub use tls::{Remark, TlsFault, classify, system_roots};
pub use transport::{Transport, only_http1};

/// A named group of endpoints that serve the same thing.
#[derive(Debug)]
pub struct Upstream {
    name: Arc<str>,
    transport: Transport,
    settings: config::Upstream,
    hysteresis: Hysteresis,
    clock: Clock,
    members: ArcSwap<Members>,
    /// Held by whoever makes the members anew; the same over reloads, so that two generations don't eject at once.
    rebuilding: Arc<Mutex<()>>,
    turn: AtomicUsize,
    in_flight: Arc<Gauge>,
    breaker: Option<Arc<Breaker>>,
    retry_budget: Arc<RetryBudget>,
}

impl Upstream {
    /// Makes an upstream of its part of the file, and of what the files hold that are named there. What is known of
    /// `previous`, which had its name, is taken over.
    ///
    /// # Errors
    /// Each endpoint that can't be used, by its index, and why: a name that doesn't resolve, a socket path that is
    /// too long, nothing that TLS could verify. `None` stands for the upstream as a whole.
    pub fn new(
        name: &str,
        settings: &config::Upstream,
        transport: Transport,
        previous: Option<&Self>,
    ) -> Result<Self, Vec<(Option<usize>, String)>> {
        Self::made(name, settings, transport, previous, Instant::now())
    }

    fn made(
        name: &str,
        settings: &config::Upstream,
        transport: Transport,
        previous: Option<&Self>,
        now: Instant,
    ) -> Result<Self, Vec<(Option<usize>, String)>> {
        let hysteresis = Hysteresis::default();
        let mut endpoints = endpoints(name, settings, &transport)?;
        let same_checks = previous.is_some_and(|previous| previous.hysteresis == hysteresis);
        let clock = previous.map_or_else(|| Clock::new(now), |previous| previous.clock);
        let at = clock.at(now);
        let before = previous.map(|previous| previous.members.load_full());
        if let Some(before) = &before {
            follow(&mut endpoints, before, same_checks);
        }
        let endpoints = endpoints.into_iter().map(Arc::new).collect();
        let members = Members::new(Membership::new(endpoints, &settings.balance), settings, at);
        if let (Some(before), Some(_)) = (&before, settings.slow_start.after()) {
            members.warm_up(before, at);
        }
        Ok(Self {
            name: name.into(),
            transport,
            settings: settings.clone(),
            hysteresis,
            clock,
            members: ArcSwap::from_pointee(members),
            rebuilding: previous.map(|previous| previous.rebuilding.clone()).unwrap_or_default(),
            turn: AtomicUsize::new(0),
            in_flight: previous.map(|previous| previous.in_flight.clone()).unwrap_or_default(),
            breaker: breaker(settings.breaker.as_ref(), previous),
            retry_budget: previous
                .map_or_else(|| Arc::new(RetryBudget::new(clock)), |previous| previous.retry_budget.clone()),
        })
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
        &self.settings.host
    }

    /// Whether every weight is 0, so that no request can be passed on.
    pub fn is_drained(&self) -> bool {
        self.members.load().is_drained()
    }

    /// Its endpoints, whether they can be used or not.
    pub fn endpoints(&self) -> Vec<Arc<Endpoint>> {
        self.members.load().all().to_vec()
    }

    /// Whom it uses.
    pub fn using(&self) -> Using {
        self.members.load().using()
    }

    /// How many retries it can bear.
    pub fn retry_budget(&self) -> &RetryBudget {
        &self.retry_budget
    }

    /// Takes in what an active check of an endpoint found: so many in a row as the file says change whether it is used.
    /// Of an endpoint that has left nothing is taken in.
    pub fn checked(&self, endpoint: &str, passed: Result<(), String>, now: Instant) {
        self.note_check(endpoint, passed, self.clock.at(now));
    }

    /// Takes in what discovery found: these are its endpoints from now on. Those that were there before keep what is
    /// known of them; of those that stand there twice the first counts. With weights that can't be used everything
    /// stays as it is.
    pub fn replace(&self, mut endpoints: Vec<Endpoint>, now: Instant) {
        let mut names: HashSet<Box<str>> = HashSet::new();
        endpoints.retain(|endpoint| names.insert(endpoint.name().into()));
        let weights: Vec<u16> = endpoints.iter().map(Endpoint::weight).collect();
        if let Err(why) = check_weights(&weights) {
            log::warn!("upstream `{}`: what was discovered is not used: {why}", self.name);
            return;
        }
        let _rebuilding = self.rebuilding.lock();
        follow(&mut endpoints, &self.members.load(), true);
        let endpoints = endpoints.into_iter().map(Arc::new).collect();
        self.rebuild(Membership::new(endpoints, &self.settings.balance), self.clock.at(now));
    }

    /// Finds out anew who is used. Only under the lock.
    fn rebuild(&self, membership: Arc<Membership>, at: Nanos) {
        let members = Members::new(membership, &self.settings, at);
        let before = self.members.load();
        if self.settings.slow_start.after().is_some() {
            members.warm_up(&before, at);
        }
        if members.using() != before.using() {
            self.tell(&members);
        }
        self.members.store(Arc::new(members));
    }

    fn tell(&self, members: &Members) {
        let name = &self.name;
        let (usable, all) = members.count();
        match members.using() {
            Using::Primaries => {
                log::info!("upstream `{name}`: {usable} of {all} endpoints can be used, as it should be")
            }
            Using::Backups => log::warn!("upstream `{name}`: no primary endpoint can be used; its backups are"),
            Using::Everyone => {
                log::warn!(
                    "upstream `{name}`: only {usable} of {all} endpoints can be used (`panic`); all of them are"
                );
            }
            Using::Nobody => log::error!("upstream `{name}`: no endpoint can be used"),
        }
    }
}

/// The endpoints of the file.
fn endpoints(
    name: &str,
    settings: &config::Upstream,
    transport: &Transport,
) -> Result<Vec<Endpoint>, Vec<(Option<usize>, String)>> {
    let mut problems = Vec::new();
    let mut endpoints: Vec<Endpoint> = Vec::new();
    let mut addresses = HashSet::new();
    for (index, endpoint) in settings.endpoints.iter().enumerate() {
        if !addresses.insert(&endpoint.address) {
            let address = &endpoint.address;
            let message = format!("`{address}` stands here twice; write it once, with a `weight` for a larger share");
            problems.push((Some(index), message));
            continue;
        }
        match Endpoint::new(name, endpoint, &settings.timeouts, transport) {
            Ok(endpoint) => endpoints.push(endpoint),
            Err(problem) => problems.push((Some(index), problem)),
        }
    }
    let weights: Vec<u16> = settings.endpoints.iter().map(|endpoint| endpoint.weight.0).collect();
    problems.extend(check_weights(&weights).err().map(|problem| (None, problem)));
    if problems.is_empty() { Ok(endpoints) } else { Err(problems) }
}

/// Endpoints take over what is known of those of the same name.
fn follow(endpoints: &mut [Endpoint], before: &Members, same_checks: bool) {
    let known: HashMap<&str, &Arc<Endpoint>> = before.all().iter().map(|member| (member.name(), member)).collect();
    for endpoint in endpoints {
        if let Some(previous) = known.get(endpoint.name()) {
            endpoint.follow(previous, same_checks);
        }
    }
}

/// The breaker, as it stood if its settings are the same.
fn breaker(settings: Option<&config::Breaker>, previous: Option<&Upstream>) -> Option<Arc<Breaker>> {
    let settings = settings?;
    let kept = previous.and_then(|previous| previous.breaker.clone()).filter(|kept| kept.settings() == settings);
    Some(kept.unwrap_or_else(|| Arc::new(Breaker::new(settings))))
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
