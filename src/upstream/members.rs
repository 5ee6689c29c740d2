//! Who of an upstream is used.

use std::collections::HashSet;
use std::sync::Arc;

use serde::Serialize;

use super::Endpoint;
use super::balance::{Keys, Round};
use super::clock::Nanos;
use super::state::State;
use crate::config::{Balance, Share, Upstream as Settings};

/// Who there is: this changes by discovery and reload only.
#[derive(Debug)]
pub(super) struct Membership {
    all: Box<[Arc<Endpoint>]>,
    primaries: Tier,
    backups: Tier,
}

/// Those that are used in the first place, or those that stand by.
#[derive(Debug)]
struct Tier {
    who: Vec<u16>,
    /// Who has which key, if that decides: of all, whoever can be used, so that a key comes back when its owner does.
    keys: Option<Keys>,
}

/// Who of them is used just now: this is made anew whenever one of them is ejected, found unhealthy or comes back.
#[derive(Debug)]
pub(super) struct Members {
    membership: Arc<Membership>,
    usable: Box<[bool]>,
    using: Using,
    used: Set,
    /// Backups that can be used beside the primaries, for a request that no primary can take.
    spare: Set,
    next_change: Nanos,
}

/// Some that requests can be given to.
#[derive(Debug, Default)]
pub(super) struct Set {
    who: Vec<u16>,
    round: Round,
    is_backup: bool,
}

/// Whom an upstream uses.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Using {
    /// Its primary endpoints, as far as they can be used.
    Primaries,
    /// Its backups, since no primary can be used.
    Backups,
    /// All primaries, whatever is known of them: too few can be used (`panic`).
    Everyone,
    /// Nobody: none can be used.
    Nobody,
}

impl Membership {
    /// Takes in endpoints whose weights are in order.
    pub(super) fn new(all: Vec<Arc<Endpoint>>, balance: &Balance) -> Arc<Self> {
        let tier = |backup: bool| -> Vec<u16> {
            let is_in = |member: &Endpoint| member.weight() > 0 && member.is_backup() == backup;
            (0..u16::MAX).zip(&all).filter(|(_, member)| is_in(member)).map(|(index, _)| index).collect()
        };
        let (mut primaries, mut backups) = (tier(false), tier(true));
        if primaries.is_empty() {
            // Nobody is there that they could stand by for.
            std::mem::swap(&mut primaries, &mut backups);
        }
        let hashed = matches!(balance, Balance::Hash(_));
        let tier = |who: Vec<u16>| {
            let named = who.iter().map(|&index| (index, &all[usize::from(index)]));
            let named = named.map(|(index, member)| (index, member.name(), member.weight()));
            let keys = hashed.then(|| Keys::new(named));
            Tier { who, keys }
        };
        let (primaries, backups) = (tier(primaries), tier(backups));
        Arc::new(Self { all: all.into(), primaries, backups })
    }
}

impl Members {
    /// Finds out who can be used.
    pub(super) fn new(membership: Arc<Membership>, settings: &Settings, at: Nanos) -> Self {
        let usable: Box<[bool]> = membership.all.iter().map(|member| member.can_be_used(settings, at)).collect();
        let ejected = membership.all.iter().filter_map(|member| member.ejected_until(settings, at));
        let next_change = ejected.min().unwrap_or(Nanos::MAX);
        let of = |tier: &Tier| tier.who.iter().copied().filter(|&index| usable[usize::from(index)]).collect();
        let (primaries, backups): (Vec<u16>, Vec<u16>) = (of(&membership.primaries), of(&membership.backups));
        let all = membership.primaries.who.len();
        let too_few = matches!(settings.panic, Share::Of(share) if share.is_above(primaries.len(), all));
        let weigh = |who, is_backup| Set::new(who, is_backup, &membership.all);
        let (using, used, spare) = match (primaries.is_empty(), backups.is_empty()) {
            (_, true) if too_few => (Using::Everyone, weigh(membership.primaries.who.clone(), false), Set::default()),
            (false, _) => (Using::Primaries, weigh(primaries, false), weigh(backups, true)),
            (true, false) => (Using::Backups, weigh(backups, true), Set::default()),
            (true, true) => (Using::Nobody, Set::default(), Set::default()),
        };
        Self { membership, usable, using, used, spare, next_change }
    }

    /// Everyone, in the order of the file.
    pub(super) fn all(&self) -> &[Arc<Endpoint>] {
        &self.membership.all
    }

    pub(super) fn membership(&self) -> Arc<Membership> {
        self.membership.clone()
    }

    pub(super) fn using(&self) -> Using {
        self.using
    }

    /// Those that requests are given to.
    pub(super) fn used(&self) -> &Set {
        &self.used
    }

    /// Those that stand by.
    pub(super) fn spare(&self) -> &Set {
        &self.spare
    }

    /// When an endpoint comes back, and this is out of date.
    pub(super) fn next_change(&self) -> Nanos {
        self.next_change
    }

    /// Whether it is among them and neither ejected nor unhealthy.
    pub(super) fn is_usable(&self, endpoint: &Endpoint) -> bool {
        self.usable_ones().any(|member| member.is(endpoint))
    }

    /// How many of the primaries can be used, and how many there are.
    pub(super) fn count(&self) -> (usize, usize) {
        let primaries = &self.membership.primaries.who;
        (primaries.iter().filter(|&&index| self.usable[usize::from(index)]).count(), primaries.len())
    }

    /// Whether nobody ever gets a request, since every weight is 0. Of those who are yet to be found that isn't known.
    pub(super) fn is_drained(&self) -> bool {
        self.membership.primaries.who.is_empty() && !self.membership.all.is_empty()
    }

    /// Begins the ramp of those that could not be used before, if there were others: nobody takes over little by little
    /// from nobody.
    pub(super) fn warm_up(&self, before: &Members, at: Nanos) {
        let known: HashSet<*const State> = before.usable_ones().map(|member| Arc::as_ptr(&member.state)).collect();
        if known.is_empty() {
            return;
        }
        for member in self.usable_ones().filter(|member| !known.contains(&Arc::as_ptr(&member.state))) {
            member.state.warm_up.begin(at);
        }
    }

    /// The owners of a key, the best first, as far as they are used.
    pub(super) fn owners(&self, key: u64) -> impl Iterator<Item = &Arc<Endpoint>> {
        let tier = if self.used.is_backup { &self.membership.backups } else { &self.membership.primaries };
        let everyone = self.using == Using::Everyone;
        let owners = tier.keys.iter().flat_map(move |keys| keys.owners(key));
        owners.filter(move |&index| everyone || self.usable[index]).map(|index| &self.membership.all[index])
    }

    fn usable_ones(&self) -> impl Iterator<Item = &Arc<Endpoint>> {
        self.membership.all.iter().zip(&self.usable).filter(|(_, usable)| **usable).map(|(member, _)| member)
    }
}

impl Set {
    fn new(who: Vec<u16>, is_backup: bool, all: &[Arc<Endpoint>]) -> Self {
        let weights: Vec<u16> = who.iter().map(|&index| all[usize::from(index)].weight()).collect();
        Self { round: Round::new(&weights), who, is_backup }
    }

    /// How many they are.
    pub(super) fn len(&self) -> usize {
        self.who.len()
    }

    /// Whose this turn is.
    pub(super) fn turn<'m>(&self, turn: usize, members: &'m Members) -> Option<&'m Arc<Endpoint>> {
        self.member(self.round.at(turn)?, members)
    }

    /// One at random, by weight.
    pub(super) fn draw<'m>(&self, members: &'m Members) -> Option<&'m Arc<Endpoint>> {
        self.member(self.round.draw()?, members)
    }

    /// All of them, beginning somewhere.
    pub(super) fn all_from<'m>(&self, start: usize, members: &'m Members) -> impl Iterator<Item = &'m Arc<Endpoint>> {
        let (before, after) = self.who.split_at(start.checked_rem(self.who.len()).unwrap_or_default());
        after.iter().chain(before).filter_map(|&index| members.membership.all.get(usize::from(index)))
    }

    fn member<'m>(&self, position: usize, members: &'m Members) -> Option<&'m Arc<Endpoint>> {
        members.membership.all.get(usize::from(*self.who.get(position)?))
    }
}
