//! An endpoint for a request, and what became of it.

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant};

use arc_swap::Guard;

use super::breaker::{Change, Probe};
use super::choice::{Choice, Turns};
use super::clock::{Nanos, nanos};
use super::limits::{Gauge, Permit};
use super::members::Members;
use super::slow_start::Ramp;
use super::{Endpoint, Upstream};

/// A request that asks for an endpoint.
#[derive(Debug, Clone, Copy)]
pub struct Ask<'a> {
    /// When.
    pub now: Instant,
    /// The number of its key ([`hash_key`](super::hash_key)) where `balance` is a hash. Without it, it goes by turns.
    pub key: Option<u64>,
    /// The endpoints that have failed it already: another one is picked, if there is one.
    pub tried: &'a [Arc<Endpoint>],
}

impl Ask<'_> {
    /// Without key or history.
    pub fn at(now: Instant) -> Self {
        Self { now, key: None, tried: &[] }
    }
}

/// Why there is no endpoint for a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NoPick {
    /// None can be used.
    NoEndpoint,
    /// The breaker is open, for so long at least; for no time at all while a request tries whether it may close.
    BreakerOpen(Duration),
    /// As much is under way as may be.
    Limit(Limit),
}

/// Which of the bounds of `limits`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Limit {
    /// Every endpoint has as many connections in use as it may.
    Connections,
    /// The upstream has as many requests in flight as it may.
    Requests,
}

/// How a try ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// It got a whole response, and the status is not the server's fault.
    Succeeded,
    /// There was no connection, no good response, or a status from 500 to 599.
    Failed,
    /// Nothing was learned of the endpoint: the client left, for example.
    Abandoned,
}

/// An endpoint that has a request. Dropped, the request counts no more as under way; without a report it is
/// [abandoned](Outcome::Abandoned).
#[derive(Debug)]
pub struct Picked {
    upstream: Arc<Upstream>,
    endpoint: Permit<Endpoint>,
    _request: Option<Permit<Gauge>>,
    probe: Option<Probe>,
    is_reported: bool,
}

impl Upstream {
    /// The endpoint that gets the next request.
    ///
    /// # Errors
    /// Why none does. Then nothing was taken.
    pub fn pick(self: &Arc<Self>, ask: &Ask<'_>) -> Result<Picked, NoPick> {
        let at = self.clock.at(ask.now);
        let request = match self.settings.limits.requests {
            None => None,
            Some(limit) => Some(Permit::take(&self.in_flight, Some(limit.0)).ok_or(NoPick::Limit(Limit::Requests))?),
        };
        let endpoint = self.take(&self.members_at(at), ask, at)?;
        let probe = match &self.breaker {
            None => None,
            Some(breaker) => breaker.admit(at).map_err(NoPick::BreakerOpen)?,
        };
        Ok(Picked { upstream: self.clone(), endpoint, _request: request, probe, is_reported: false })
    }

    /// The endpoint that would get the next request, without giving it one: what `explain` shows.
    ///
    /// # Errors
    /// Why none would.
    pub fn peek(&self, ask: &Ask<'_>) -> Result<Arc<Endpoint>, NoPick> {
        let at = self.clock.at(ask.now);
        if !self.in_flight.has_room(self.settings.limits.requests.map(|limit| limit.0)) {
            return Err(NoPick::Limit(Limit::Requests));
        }
        let members = self.members_at(at);
        let mut turns = Turns::Look(self.turn.load(Relaxed));
        let endpoint = self.choice(ask, at).make(&members, &mut turns).cloned();
        let endpoint = endpoint.ok_or_else(|| nobody(&members))?;
        match &self.breaker {
            None => Ok(endpoint),
            Some(breaker) => breaker.check(at).map(|()| endpoint).map_err(NoPick::BreakerOpen),
        }
    }

    fn take(&self, members: &Members, ask: &Ask<'_>, at: Nanos) -> Result<Permit<Endpoint>, NoPick> {
        let choice = self.choice(ask, at);
        // The last room that one had may be gone by the time that it is chosen.
        for _ in 0..3 {
            let endpoint = choice.make(members, &mut Turns::Take(&self.turn)).ok_or_else(|| nobody(members))?;
            if let Some(permit) = Permit::take(endpoint, choice.limit) {
                return Ok(permit);
            }
        }
        Err(NoPick::Limit(Limit::Connections))
    }

    fn choice<'a>(&'a self, ask: &Ask<'a>, at: Nanos) -> Choice<'a> {
        let ramp = self.settings.slow_start.after().map(|length| Ramp { length: nanos(length), at });
        Choice {
            balance: &self.settings.balance,
            key: ask.key,
            tried: ask.tried,
            limit: self.settings.limits.connections.map(|limit| limit.0),
            ramp,
        }
    }

    /// Who is used now. If somebody has come back meanwhile, the first request that finds out makes the members anew,
    /// and the others go on with what there is.
    fn members_at(&self, at: Nanos) -> Guard<Arc<Members>> {
        let members = self.members.load();
        if at < members.next_change() {
            return members;
        }
        drop(members);
        if let Some(_rebuilding) = self.rebuilding.try_lock() {
            let members = self.members.load_full();
            if at >= members.next_change() {
                self.rebuild(members.membership(), at);
            }
        }
        self.members.load()
    }

    fn note_change(&self, change: Option<Change>) {
        match change {
            None => {}
            Some(Change::Closed) => log::info!("upstream `{}`: the breaker is closed again", self.name),
            Some(Change::Opened) => {
                log::warn!("upstream `{}`: too many requests fail, the breaker is open", self.name);
            }
        }
    }
}

/// Why nobody was chosen.
fn nobody(members: &Members) -> NoPick {
    match members.used().len() {
        0 => NoPick::NoEndpoint,
        _ => NoPick::Limit(Limit::Connections),
    }
}

impl Picked {
    /// The endpoint.
    pub fn endpoint(&self) -> &Arc<Endpoint> {
        &self.endpoint
    }

    /// The head of a good response is there: enough for a breaker that waits for this request to close again, since a
    /// body can take hours. How the whole ends is for [`report`](Self::report) to say.
    pub fn answers(&mut self, now: Instant) {
        if let Some(probe) = self.probe.take() {
            let change = probe.settle(false, self.upstream.clock.at(now));
            self.upstream.note_change(change);
        }
    }

    /// Takes in how the try ended. Only the first report counts.
    pub fn report(&mut self, outcome: Outcome, now: Instant) {
        if std::mem::replace(&mut self.is_reported, true) {
            return;
        }
        let failed = match outcome {
            Outcome::Abandoned => {
                self.probe = None;
                return;
            }
            Outcome::Failed => true,
            Outcome::Succeeded => false,
        };
        let at = self.upstream.clock.at(now);
        let change = match (self.probe.take(), &self.upstream.breaker) {
            (Some(probe), _) => probe.settle(failed, at),
            (None, Some(breaker)) => breaker.record(failed, at),
            (None, None) => None,
        };
        self.upstream.note_change(change);
        match failed {
            true => self.upstream.note_failure(&self.endpoint, at),
            false => self.upstream.note_success(&self.endpoint),
        }
    }
}
