//! Who of those that are used gets a request.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use super::Endpoint;
use super::balance::{Load, fraction, less_loaded};
use super::members::{Members, Set};
use super::slow_start::Ramp;
use crate::config::Balance;

/// What there is to know of a request before it is given to anybody.
pub(super) struct Choice<'a> {
    pub(super) balance: &'a Balance,
    pub(super) key: Option<u64>,
    /// Those that failed it already.
    pub(super) tried: &'a [Arc<Endpoint>],
    /// The most requests that one may have in flight.
    pub(super) limit: Option<u32>,
    pub(super) ramp: Option<Ramp>,
}

/// Turns that are taken, or only looked at.
pub(super) enum Turns<'a> {
    Take(&'a AtomicUsize),
    Look(usize),
}

/// How many turns or draws may fall on somebody that can't take the request, before everybody is asked in a row. That
/// one's neighbour would get all its share, whereas turns spread it out.
const DRAWS: usize = 8;

/// The same for the slots of a key, which cost less to look at.
const SLOTS: usize = 64;

impl Turns<'_> {
    fn next(&mut self) -> usize {
        match self {
            Self::Take(turn) => turn.fetch_add(1, Relaxed),
            Self::Look(turn) => {
                *turn = turn.wrapping_add(1);
                turn.wrapping_sub(1)
            }
        }
    }
}

impl Choice<'_> {
    /// Who gets it: as `balance` says; else anyone that has not failed it; else a backup, also while primaries are
    /// used; else one that has failed it. `None` where nobody has room.
    pub(super) fn make<'m>(&self, members: &'m Members, turns: &mut Turns<'_>) -> Option<&'m Arc<Endpoint>> {
        let used = members.used();
        let balanced = match (self.balance, self.key) {
            (Balance::Hash(_), Some(key)) => {
                members.owners(key).take(SLOTS).find(|endpoint| self.fits(endpoint, || fraction(key)))
            }
            (Balance::LeastRequests, _) => self.less_loaded_of_two(members, used),
            _ => (0..DRAWS).find_map(|_| {
                let endpoint = used.turn(turns.next(), members)?;
                self.fits(endpoint, fastrand::f64).then_some(endpoint)
            }),
        };
        let start = || self.key.map_or_else(|| fastrand::usize(..), |key| key as usize);
        balanced
            .or_else(|| used.all_from(start(), members).find(|endpoint| self.is_open(endpoint)))
            .or_else(|| members.spare().all_from(start(), members).find(|endpoint| self.is_open(endpoint)))
            .or_else(|| used.all_from(start(), members).find(|endpoint| self.has_room(endpoint)))
    }

    fn less_loaded_of_two<'m>(&self, members: &'m Members, used: &Set) -> Option<&'m Arc<Endpoint>> {
        let draw = || used.draw(members);
        let fits = |endpoint: &&Arc<Endpoint>| self.fits(endpoint, fastrand::f64);
        let first = (0..DRAWS).filter_map(|_| draw()).find(fits)?;
        if used.len() < 2 {
            return Some(first);
        }
        let is_other = |endpoint: &&Arc<Endpoint>| !endpoint.is(first) && fits(endpoint);
        let second = (0..DRAWS).filter_map(|_| draw()).find(is_other);
        let second = second.or_else(|| used.all_from(fastrand::usize(..), members).find(is_other));
        Some(second.filter(|second| less_loaded(load(second), load(first))).unwrap_or(first))
    }

    fn fits(&self, endpoint: &Endpoint, number: impl FnOnce() -> f64) -> bool {
        self.is_open(endpoint) && self.ramp.is_none_or(|ramp| ramp.admits(&endpoint.state.warm_up, number))
    }

    fn is_open(&self, endpoint: &Endpoint) -> bool {
        self.has_room(endpoint) && !self.tried.iter().any(|tried| tried.is(endpoint))
    }

    fn has_room(&self, endpoint: &Endpoint) -> bool {
        endpoint.state.in_flight.has_room(self.limit)
    }
}

fn load(endpoint: &Endpoint) -> Load {
    Load { in_flight: endpoint.state.in_flight.count(), weight: endpoint.weight() }
}
