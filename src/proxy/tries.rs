//! The tries of an exchange: where each goes, and what the upstream learns of how it ended.

use std::time::{Duration, Instant};

use http::StatusCode;
use pingora::upstreams::peer::HttpPeer;

use super::exchange::Onward;
use super::fault::{Fault, UpstreamFault};
use crate::config;
use crate::upstream::{Ask, Limit, NoPick, Outcome};

impl Onward {
    /// The peer of the next try: that of the endpoint that the upstream picks, or once an address of an endpoint
    /// failed, that endpoint's next.
    ///
    /// # Errors
    /// Why there is none.
    pub fn next_peer(&mut self, per_try: Option<Duration>, now: Instant) -> Result<Box<HttpPeer>, Fault> {
        // Only for another address of an endpoint that could not be reached the pick holds on.
        if self.picked.is_none() || self.address == 0 {
            self.address = 0;
            self.leave();
            let picked = self.upstream.pick(&self.ask(now)).map_err(Fault::from)?;
            self.spent += 1;
            self.endpoint = Some(picked.endpoint().clone());
            self.picked = Some(picked);
        }
        self.tries += 1;
        self.tried_at = Some(now);
        self.connected = false;
        self.connected_after = None;
        self.status = None;
        self.head_after = None;
        let peer = self.endpoint.as_ref().and_then(|endpoint| endpoint.peers().get(self.address));
        let mut peer = Box::new(peer.ok_or(Fault::NoEndpoint)?.clone());
        if self.upstream.settings().timeouts.keepalive == config::Limit::Off {
            // Pingora keeps every connection at least for a moment; under a key of its own nobody finds it.
            peer.group_key = fastrand::u64(..);
        }
        if let Some(per_try) = per_try
            && peer.options.alpn.get_max_http_version() > 1
        {
            // A connection that others use, too, can't be broken off for this one try.
            peer.options.read_timeout = Some(peer.options.read_timeout.map_or(per_try, |idle| idle.min(per_try)));
        }
        Ok(peer)
    }

    /// The latest try counts neither against the route's `attempts` nor against its endpoint, which may be asked again.
    pub fn forgive(&mut self) {
        self.spent = self.spent.saturating_sub(1);
        self.address = 0;
        self.was_stale = true;
        self.was_forgiven = true;
    }

    /// The try before this one is over. Its endpoint is not asked again while there is another one, unless all that
    /// failed was a kept connection, which the endpoint may just have closed as idle.
    fn leave(&mut self) {
        self.picked = None;
        let was_stale = std::mem::take(&mut self.was_stale);
        self.tried.extend(self.endpoint.take().filter(|_| !was_stale));
    }

    /// What the upstream is asked for this request.
    pub fn ask(&self, now: Instant) -> Ask<'_> {
        Ask { now, key: self.key, tried: &self.tried }
    }

    /// No connection came about: moves on to the endpoint's next address. `false` if it has none, and then the try is
    /// over.
    pub fn next_address(&mut self, now: Instant) -> bool {
        self.address += 1;
        let more = self.endpoint.as_ref().is_some_and(|endpoint| self.address < endpoint.peers().len());
        if !more {
            self.address = 0;
            self.end(Outcome::Failed, now);
        }
        more
    }

    /// A final head is there. With it the try is over where the body may run for ever; what the upstream's limits count
    /// goes on to count.
    pub fn answers(&mut self, status: StatusCode, is_unbounded: bool, now: Instant) {
        self.status = Some(status);
        let Some(picked) = &mut self.picked else { return };
        match outcome(status) {
            Outcome::Succeeded if !is_unbounded => picked.answers(now),
            outcome => picked.report(outcome, now),
        }
    }

    /// The try is over, and this is how it ended, unless that is known already.
    pub fn end(&mut self, outcome: Outcome, now: Instant) {
        if let Some(mut picked) = self.picked.take() {
            picked.report(outcome, now);
        }
    }

    /// The exchange is over without a fault.
    pub fn finish(&mut self, now: Instant) {
        self.end(self.status.map_or(Outcome::Abandoned, outcome), now);
    }
}

/// What a status says of an endpoint.
fn outcome(status: StatusCode) -> Outcome {
    if status.is_server_error() { Outcome::Failed } else { Outcome::Succeeded }
}

impl From<NoPick> for Fault {
    fn from(why: NoPick) -> Self {
        match why {
            NoPick::NoEndpoint => Fault::NoEndpoint,
            NoPick::BreakerOpen(left) => Fault::BreakerOpen(left),
            NoPick::Limit(Limit::Connections) => Fault::LimitConnections,
            NoPick::Limit(Limit::Requests) => Fault::LimitRequests,
        }
    }
}

impl Fault {
    /// What it says of the endpoint that was asked: `waiting` if that had the whole request and had sent no head yet.
    pub fn outcome(&self, waiting: bool) -> Outcome {
        match self {
            // Else the client may be who was slow.
            Fault::Deadline | Fault::Upstream(UpstreamFault::TryTimeout) if !waiting => Outcome::Abandoned,
            Fault::Connect(_) | Fault::Upstream(_) | Fault::Deadline => Outcome::Failed,
            _ => Outcome::Abandoned,
        }
    }
}
