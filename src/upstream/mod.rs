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
//! # What it does by itself
//!
//! While the door runs, [`Upstream::start`] lets tasks check the endpoints (`check`) and find them (`discover`). They
//! hold the upstream only weakly and report by [`Upstream::checked`] and [`Upstream::replace`].
//!
//! # What survives
//!
//! A reload takes over by name: what is known of each endpoint, the breaker if its settings are the same, the retry
//! budget, what is in flight. So does a discovery for the endpoints that it finds again.
//!
//! Time is an argument everywhere (`now`), so that nothing here needs to sleep to be tested.

mod announce;
mod backlog;
mod backoff;
mod balance;
mod breaker;
mod check;
mod choice;
mod client;
mod clock;
mod dial;
mod discover;
mod ejection;
mod endpoint;
mod endpoints;
mod hysteresis;
mod limits;
mod members;
mod pick;
mod retry_budget;
mod slow_start;
mod state;
mod status;
mod tasks;
#[cfg(test)]
mod tests;
mod tls;
mod transport;
mod upgrade;
mod window;

use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;
use parking_lot::Mutex;
use pingora::upstreams::peer::HttpPeer;

use crate::config;
use crate::config::{EndpointAddress, HostPolicy, is_inside_name};
pub use announce::Announce;
pub use backlog::Backlog;
pub use backoff::backoff;
pub use balance::{RoundRobin, hash_key};
use breaker::Breaker;
pub use check::{Checker, Connector};
pub(crate) use client::{Bounds, Client};
use clock::{Clock, Nanos};
pub use discover::{Discovery, DiscoveryState, Unknown};
pub use endpoint::Endpoint;
use endpoints::follow;
use hysteresis::Hysteresis;
use limits::Gauge;
pub use members::Using;
use members::{Members, Membership};
pub use pick::{Ask, Limit, NoPick, Outcome, Picked};
pub use retry_budget::RetryBudget;
pub use status::{DiscoveryStatus, EndpointStatus, Status};
use tasks::Tasks;
pub use tls::{Remark, TlsFault, ca_file, classify, connector_options, tls_reason};
pub use transport::Transport;
pub use upgrade::Upgrade;

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
    checker: Option<Arc<Checker>>,
    discovery: Option<Arc<Discovery>>,
    tasks: Tasks,
}

/// Something that keeps an upstream from being made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// The keys below the upstream's own that lead to the value that it is about.
    pub at: Vec<String>,
    /// A sentence for people.
    pub message: String,
}

impl Refusal {
    fn new<const N: usize>(at: [&str; N], message: String) -> Self {
        Self { at: at.map(str::to_owned).into(), message }
    }
}

impl Upstream {
    /// Makes an upstream of its part of the file, and of what the files hold that are named there. What is known of
    /// `previous`, which had its name, is taken over. Nothing is started.
    ///
    /// # Errors
    /// All that can't be used: a name that doesn't resolve, a socket path that is too long, nothing that TLS could
    /// verify, a file of endpoints that is none.
    pub fn new(
        name: &str,
        settings: &config::Upstream,
        transport: Transport,
        checker: Option<Checker>,
        previous: Option<&Self>,
    ) -> Result<Self, Vec<Refusal>> {
        Self::made(name, settings, transport, checker, previous, Instant::now())
    }

    fn made(
        name: &str,
        settings: &config::Upstream,
        transport: Transport,
        checker: Option<Checker>,
        previous: Option<&Self>,
        now: Instant,
    ) -> Result<Self, Vec<Refusal>> {
        let discovery = discovery(name, settings, previous)?;
        let endpoints = endpoints::first(name, settings, &transport, discovery.as_ref())?;
        let clock = previous.map_or_else(|| Clock::new(now), |previous| previous.clock);
        let members = first_members(endpoints, settings, previous, clock.at(now));
        Ok(Self {
            name: name.into(),
            transport,
            settings: settings.clone(),
            hysteresis: Hysteresis::of(settings.health.as_ref()),
            clock,
            members: ArcSwap::from_pointee(members),
            rebuilding: previous.map(|previous| previous.rebuilding.clone()).unwrap_or_default(),
            turn: AtomicUsize::new(0),
            in_flight: previous.map(|previous| previous.in_flight.clone()).unwrap_or_default(),
            breaker: breaker(settings.breaker.as_ref(), previous),
            retry_budget: previous
                .map_or_else(|| Arc::new(RetryBudget::new(clock)), |previous| previous.retry_budget.clone()),
            checker: checker.map(Arc::new),
            discovery: discovery.map(Arc::new),
            tasks: Tasks::default(),
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

    /// How its endpoints are checked, if they are: another one, if secrets that the settings name have changed.
    pub fn checker(&self) -> Option<&Checker> {
        self.checker.as_deref()
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

    /// An endpoint that is not on this machine or in a private network; of an upstream that knows no endpoint yet, the
    /// name that they are discovered by, if only names of private networks look otherwise.
    pub fn outside(&self) -> Option<String> {
        let endpoints = self.endpoints();
        let known = endpoints.iter().find(|endpoint| !endpoint.is_inside()).map(|endpoint| endpoint.name().to_owned());
        let host = self.settings.discover.as_ref().and_then(config::Discover::host);
        known.or_else(|| host.filter(|host| endpoints.is_empty() && !is_inside_name(host)).map(str::to_owned))
    }

    /// Whom it uses.
    pub fn using(&self) -> Using {
        self.members.load().using()
    }

    /// What is known of its endpoints while it has none because none was discovered yet.
    pub fn unknown(&self) -> Option<Unknown> {
        let discovery = self.discovery.as_ref().filter(|_| self.members.load().all().is_empty())?;
        Some(Unknown { source: discovery.settings().to_string(), why: discovery.state().last_error })
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

    /// Finds out anew who is used, as far as that has changed meanwhile elsewhere: in the generation before this one,
    /// which goes on until this one is served.
    pub fn refresh(&self, now: Instant) {
        let _rebuilding = self.rebuilding.lock();
        let membership = self.members.load().membership();
        self.rebuild(membership, self.clock.at(now));
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

/// Its discovery, with what that of the same settings has found.
fn discovery(
    name: &str,
    settings: &config::Upstream,
    previous: Option<&Upstream>,
) -> Result<Option<Discovery>, Vec<Refusal>> {
    let previous = previous.and_then(|previous| previous.discovery.as_deref());
    let made = settings.discover.as_ref().map(|discover| {
        Discovery::new(name, discover, previous).map_err(|why| vec![Refusal::new(["discover", discover.key()], why)])
    });
    made.transpose()
}

/// The members of an upstream that begins, with what is known of those of `previous`. What checks have found is worth
/// nothing where others check now.
fn first_members(
    mut endpoints: Vec<Endpoint>,
    settings: &config::Upstream,
    previous: Option<&Upstream>,
    at: Nanos,
) -> Members {
    let before = previous.map(|previous| previous.members.load_full());
    let same_checks = previous.is_some_and(|previous| previous.settings.health == settings.health);
    if let Some(before) = &before {
        follow(&mut endpoints, before, same_checks);
    }
    let endpoints = endpoints.into_iter().map(Arc::new).collect();
    let members = Members::new(Membership::new(endpoints, &settings.balance), settings, at);
    if let (Some(before), Some(_)) = (&before, settings.slow_start.after()) {
        members.warm_up(before, at);
    }
    members
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
