//! How an upstream is, for people and programs that look.

use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant};

use serde::Serialize;

use super::clock::nanos;
use super::discover::{Discovery, DiscoveryState};
use super::members::Using;
use super::slow_start::Ramp;
use super::{Endpoint, Upstream};

/// How an upstream is.
#[derive(Debug, Clone, Serialize)]
pub struct Status {
    /// Its name.
    pub upstream: String,
    /// Whom it uses.
    pub using: Using,
    /// For how many milliseconds its breaker refuses everything yet; 0 while one request tries; `None` while it is
    /// closed.
    pub breaker_open_ms: Option<u64>,
    /// How its discovery goes, if it has one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub discovery: Option<DiscoveryStatus>,
    /// Its endpoints, in the order of the file.
    pub endpoints: Vec<EndpointStatus>,
}

/// How a discovery goes.
#[derive(Debug, Clone, Serialize)]
pub struct DiscoveryStatus {
    /// Where it looks: `dns users.internal:8080`.
    pub source: String,
    /// How many turns gave a set of endpoints, the same one or another.
    pub ok: u64,
    /// How many turns gave none, so that the last good set stayed.
    pub failed: u64,
    /// Why the last turn gave none; `None` if it gave one.
    pub last_error: Option<String>,
}

/// How an endpoint is.
#[derive(Debug, Clone, Serialize)]
pub struct EndpointStatus {
    /// Its name.
    pub endpoint: String,
    /// Its weight.
    pub weight: u16,
    /// Whether it is one.
    pub backup: bool,
    /// Requests in flight.
    pub in_flight: u32,
    /// Failures since the last success.
    pub failures: u32,
    /// Why checks find it unhealthy; `None` while they don't.
    pub unhealthy: Option<String>,
    /// For how many milliseconds it is ejected yet; `None` while it is not.
    pub ejected_ms: Option<u64>,
    /// The part of its share that it takes, below 1 while it starts slowly.
    pub share: f64,
}

impl Upstream {
    /// How it is.
    pub fn status(&self, now: Instant) -> Status {
        let members = self.members.load();
        let at = self.clock.at(now);
        let breaker = self.breaker.as_ref().and_then(|breaker| breaker.check(at).err());
        Status {
            upstream: self.name.to_string(),
            using: members.using(),
            breaker_open_ms: breaker.map(millis),
            discovery: self.discovery.as_deref().map(discovery_status),
            endpoints: members.all().iter().map(|endpoint| self.endpoint_status(endpoint, at)).collect(),
        }
    }

    fn endpoint_status(&self, endpoint: &Endpoint, at: u64) -> EndpointStatus {
        let ramp = self.settings.slow_start.after().map(|length| Ramp { length: nanos(length), at });
        let ejected = endpoint.ejected_until(&self.settings, at);
        EndpointStatus {
            endpoint: endpoint.name().to_owned(),
            weight: endpoint.weight(),
            backup: endpoint.is_backup(),
            in_flight: endpoint.state.in_flight.count(),
            failures: endpoint.state.failures.load(Relaxed),
            unhealthy: endpoint.checks.lock().why().map(str::to_owned),
            ejected_ms: ejected.map(|until| millis(Duration::from_nanos(until - at))),
            share: ramp.map_or(1.0, |ramp| ramp.share(&endpoint.state.warm_up)),
        }
    }
}

fn discovery_status(discovery: &Discovery) -> DiscoveryStatus {
    let DiscoveryState { ok, failed, last_error, .. } = discovery.state();
    let last_error = last_error.map(|why| why.to_string());
    DiscoveryStatus { source: discovery.settings().to_string(), ok, failed, last_error }
}

fn millis(span: Duration) -> u64 {
    u64::try_from(span.as_millis()).unwrap_or(u64::MAX)
}
