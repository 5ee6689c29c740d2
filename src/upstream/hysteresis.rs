//! How many checks make a server healthy or not.

use super::clock::Nanos;
use super::{Endpoint, Upstream};
use crate::config::HealthCheck;

/// How many checks in a row change the mind about a server (HAProxy's `fall` and `rise`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Hysteresis {
    /// So many failures take it out of use.
    pub(super) unhealthy_after: u32,
    /// So many successes bring it back.
    pub(super) healthy_after: u32,
}

impl Hysteresis {
    /// Without checks it does not matter.
    pub(super) fn of(checks: Option<&HealthCheck>) -> Self {
        checks.map_or(Self { unhealthy_after: 1, healthy_after: 1 }, |checks| Self {
            unhealthy_after: checks.unhealthy_after.get().into(),
            healthy_after: checks.healthy_after.get().into(),
        })
    }
}

/// What checks have found of a server, which is healthy until they find otherwise.
#[derive(Debug, Default)]
pub(super) struct Checks {
    unhealthy: bool,
    /// Checks in a row that contradict that.
    against: u32,
    /// What the latest failure was.
    why: Option<String>,
}

impl Checks {
    pub(super) fn is_healthy(&self) -> bool {
        !self.unhealthy
    }

    /// Why it is not healthy.
    pub(super) fn why(&self) -> Option<&str> {
        self.why.as_deref().filter(|_| self.unhealthy)
    }

    /// Takes in what one check found; whether that changes anything.
    fn note(&mut self, passed: Result<(), String>, rules: Hysteresis) -> bool {
        let passes = passed.is_ok();
        self.why = passed.err().or(self.why.take());
        if passes != self.unhealthy {
            self.against = 0;
            return false;
        }
        self.against += 1;
        let enough = if passes { rules.healthy_after } else { rules.unhealthy_after };
        if self.against < enough {
            return false;
        }
        self.unhealthy = !passes;
        self.against = 0;
        true
    }
}

impl Upstream {
    /// Takes in what an active check of an endpoint found. Of one that is not among the members any more nothing is
    /// taken in.
    pub(super) fn note_check(&self, endpoint: &str, passed: Result<(), String>, at: Nanos) {
        let _rebuilding = self.rebuilding.lock();
        let members = self.members.load_full();
        let Some(endpoint) = members.all().iter().find(|member| member.name() == endpoint) else { return };
        self.take_in(endpoint, passed);
        // Not whenever it has changed its mind: that may have been a check of the generation before, which came in
        // while this one was made.
        if members.is_usable(endpoint) != endpoint.can_be_used(&self.settings, at) {
            self.rebuild(members.membership(), at);
        }
    }

    fn take_in(&self, endpoint: &Endpoint, passed: Result<(), String>) {
        let mut checks = endpoint.checks.lock();
        if !checks.note(passed, self.hysteresis) {
            return;
        }
        match checks.why() {
            Some(why) => log::warn!("upstream `{}`: {} is unhealthy: {why}", self.name, endpoint.name()),
            None => log::info!("upstream `{}`: {} is healthy again", self.name, endpoint.name()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_check_changes_nothing_and_enough_in_a_row_do() {
        let mut checks = Checks::default();
        let mut note = |passed: bool| {
            let passed = if passed { Ok(()) } else { Err("refused".to_owned()) };
            checks.note(passed, Hysteresis { unhealthy_after: 3, healthy_after: 2 }).then(|| checks.is_healthy())
        };
        assert_eq!([false, false, true, false, false].map(&mut note), [None; 5]);
        assert_eq!(note(false), Some(false));
        assert_eq!([false, true, false, true].map(&mut note), [None; 4]);
        assert_eq!(note(true), Some(true));
        assert_eq!(checks.why(), None);
    }
}
