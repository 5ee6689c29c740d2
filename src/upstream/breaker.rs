//! A circuit breaker for an upstream as a whole.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::AcqRel, Ordering::Acquire};
use std::time::Duration;

use super::clock::{Nanos, nanos};
use super::window::Window;
use crate::config;

/// Closed, open, half-open (Nygard, *Release It!*, 5): closed while enough requests succeed; open, and everything is
/// refused at once; after `open_for` one request at a time may try, and its success closes it.
///
/// All of it is in atomics: no request waits for another's.
#[derive(Debug)]
pub(super) struct Breaker {
    settings: config::Breaker,
    recent: Window,
    gate: AtomicU64,
}

/// Lets everything through.
const CLOSED: u64 = 0;

/// Beside a time: one request is under way to try. Without it, the time is the end of the refusal.
const PROBING: u64 = 1 << 63;

/// A request that tries whether an open breaker may close. Dropped without a result, it leaves that to the next one.
#[derive(Debug)]
pub(super) struct Probe {
    breaker: Arc<Breaker>,
    gate: u64,
}

/// What a result has changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Change {
    /// It lets everything through again.
    Closed,
    /// It refuses.
    Opened,
}

impl Breaker {
    pub(super) fn new(settings: &config::Breaker) -> Self {
        Self { settings: settings.clone(), recent: Window::new(settings.window.0), gate: AtomicU64::new(CLOSED) }
    }

    pub(super) fn settings(&self) -> &config::Breaker {
        &self.settings
    }

    /// Whether a request may go, as a probe or just so.
    ///
    /// # Errors
    /// How long it is refused for at least.
    pub(super) fn admit(self: &Arc<Self>, at: Nanos) -> Result<Option<Probe>, Duration> {
        let gate = self.gate.load(Acquire);
        self.refusal(gate, at)?;
        if gate == CLOSED {
            return Ok(None);
        }
        let probing = PROBING | at;
        match self.gate.compare_exchange(gate, probing, AcqRel, Acquire) {
            Ok(_) => Ok(Some(Probe { breaker: self.clone(), gate: probing })),
            // Another one was faster, to try or to tell.
            Err(gate) => self.refusal(gate, at).and(if gate == CLOSED { Ok(None) } else { Err(Duration::ZERO) }),
        }
    }

    /// What [`Breaker::admit`] would say, without being the probe.
    ///
    /// # Errors
    /// How long a request is refused for at least.
    pub(super) fn check(&self, at: Nanos) -> Result<(), Duration> {
        self.refusal(self.gate.load(Acquire), at)
    }

    fn refusal(&self, gate: u64, at: Nanos) -> Result<(), Duration> {
        match gate {
            CLOSED => Ok(()),
            // One that takes longer than this, such as for its client's sake, must not keep everybody out.
            probing if probing & PROBING != 0 => {
                let takes = at.saturating_sub(probing & !PROBING);
                if takes < nanos(self.settings.open_for.0) { Err(Duration::ZERO) } else { Ok(()) }
            }
            until if until <= at => Ok(()),
            until => Err(Duration::from_nanos(until - at)),
        }
    }

    /// Takes in how a request ended that was admitted just so.
    pub(super) fn record(&self, failed: bool, at: Nanos) -> Option<Change> {
        self.recent.add(1, failed.into(), at);
        if !failed || self.gate.load(Acquire) != CLOSED {
            return None;
        }
        let recent = self.recent.sum(at);
        let ratio = u64::from(self.settings.failure_ratio.hundredths());
        let enough = recent.all >= self.settings.minimum_requests.0.into();
        if !enough || recent.some * 10_000 < recent.all * ratio {
            return None;
        }
        let opened = self.gate.compare_exchange(CLOSED, self.open_until(at), AcqRel, Acquire);
        opened.is_ok().then_some(Change::Opened)
    }

    fn open_until(&self, at: Nanos) -> u64 {
        (at + nanos(self.settings.open_for.0)) & !PROBING
    }
}

impl Probe {
    /// Takes in how it ended.
    pub(super) fn settle(self, failed: bool, at: Nanos) -> Option<Change> {
        let breaker = &self.breaker;
        if failed {
            breaker.gate.compare_exchange(self.gate, breaker.open_until(at), AcqRel, Acquire).ok()?;
            return Some(Change::Opened);
        }
        // What failed before must not open it again at once.
        breaker.recent.clear();
        breaker.gate.compare_exchange(self.gate, CLOSED, AcqRel, Acquire).ok()?;
        Some(Change::Closed)
    }
}

impl Drop for Probe {
    fn drop(&mut self) {
        // After a result the gate is another one, and stays. Else the refusal is over since the probe began.
        self.breaker.gate.compare_exchange(self.gate, self.gate & !PROBING, AcqRel, Acquire).ok();
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::config::{Count, Percent, Period};

    const SECOND: Nanos = 1_000_000_000;

    fn breaker() -> Arc<Breaker> {
        Arc::new(Breaker::new(&config::Breaker { minimum_requests: Count(4), ..Default::default() }))
    }

    fn opened() -> Arc<Breaker> {
        let breaker = breaker();
        let changes = [(); 4].map(|()| breaker.record(true, SECOND));
        assert_eq!(changes, [None, None, None, Some(Change::Opened)]);
        breaker
    }

    #[test]
    fn it_opens_at_its_ratio_and_not_before_its_minimum() {
        let breaker = breaker();
        assert_eq!([true, false, true].map(|failed| breaker.record(failed, SECOND)), [None; 3]);
        assert_eq!(breaker.record(false, SECOND), None);
        assert_eq!(breaker.record(true, SECOND), Some(Change::Opened));
        assert_eq!(breaker.check(SECOND), Err(Duration::from_secs(5)));
        let calm = self::breaker();
        assert!((0..99).all(|i| calm.record(i % 3 == 2, SECOND).is_none()), "a third is below the half");
    }

    #[test]
    fn failures_of_long_ago_do_not_open_it() {
        let breaker = breaker();
        assert_eq!([(); 3].map(|()| breaker.record(true, SECOND)), [None; 3]);
        assert_eq!(breaker.record(true, 20 * SECOND), None);
    }

    #[test]
    fn after_its_time_one_request_tries_and_its_success_closes_it() {
        let breaker = opened();
        assert_eq!(breaker.admit(5 * SECOND).unwrap_err(), Duration::from_secs(1));
        let probe = breaker.admit(6 * SECOND).unwrap().unwrap();
        assert_eq!(breaker.admit(6 * SECOND).unwrap_err(), Duration::ZERO);
        assert_eq!(probe.settle(false, 7 * SECOND), Some(Change::Closed));
        assert!(breaker.admit(7 * SECOND).unwrap().is_none());
        assert_eq!(breaker.record(true, 7 * SECOND), None, "what failed before is forgotten");
    }

    #[test]
    fn a_probe_that_takes_too_long_does_not_keep_everybody_out() {
        let breaker = opened();
        let slow = breaker.admit(10 * SECOND).unwrap().unwrap();
        assert!(breaker.admit(11 * SECOND).is_err());
        let next = breaker.admit(60 * SECOND).unwrap().unwrap();
        drop(slow);
        assert!(breaker.admit(60 * SECOND).is_err(), "the slow one says nothing any more");
        assert_eq!(next.settle(false, 61 * SECOND), Some(Change::Closed));
    }

    #[test]
    fn a_probe_that_fails_opens_it_again_and_one_that_says_nothing_leaves_it_to_the_next() {
        let breaker = opened();
        let probe = breaker.admit(6 * SECOND).unwrap().unwrap();
        assert_eq!(probe.settle(true, 7 * SECOND), Some(Change::Opened));
        assert_eq!(breaker.check(8 * SECOND), Err(Duration::from_secs(4)));
        drop(breaker.admit(12 * SECOND).unwrap().unwrap());
        assert!(breaker.admit(12 * SECOND).unwrap().is_some());
    }

    #[derive(Debug, Clone)]
    enum Step {
        Wait(u16),
        Ask,
        End(usize, Option<bool>),
    }

    fn step() -> impl Strategy<Value = Step> {
        prop_oneof![
            any::<u16>().prop_map(Step::Wait),
            Just(Step::Ask),
            Just(Step::Ask),
            (0..8_usize, any::<Option<bool>>()).prop_map(|(which, failed)| Step::End(which, failed)),
        ]
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(500) })]

        #[test]
        fn there_is_never_more_than_one_probe_that_counts(steps in proptest::collection::vec(step(), 0..200)) {
            let settings = config::Breaker {
                minimum_requests: Count(2), failure_ratio: Percent::whole(50),
                window: Period(Duration::from_millis(500)), open_for: Period(Duration::from_millis(100)),
            };
            let breaker = Arc::new(Breaker::new(&settings));
            let mut at = 1;
            let mut under_way: Vec<(Nanos, Option<Probe>)> = Vec::new();
            for step in steps {
                match step {
                    Step::Wait(millis) => at += u64::from(millis) * 10_000,
                    Step::Ask => under_way.extend(breaker.admit(at).ok().map(|probe| (at, probe))),
                    Step::End(which, failed) if which < under_way.len() => {
                        match (under_way.swap_remove(which).1, failed) {
                            (probe, None) => drop(probe),
                            (Some(probe), Some(failed)) => drop(probe.settle(failed, at)),
                            (None, Some(failed)) => prop_assert_ne!(breaker.record(failed, at), Some(Change::Closed)),
                        }
                    }
                    Step::End(..) => {}
                }
                let open_for = nanos(settings.open_for.0);
                let young = under_way.iter().filter(|(since, probe)| probe.is_some() && at - since < open_for);
                prop_assert!(young.count() <= 1);
            }
        }
    }

    #[test]
    fn of_many_threads_one_gets_the_probe() {
        let breaker = opened();
        let probes: Vec<Probe> = std::thread::scope(|scope| {
            let asking: Vec<_> = (0..4).map(|_| scope.spawn(|| breaker.admit(6 * SECOND).ok().flatten())).collect();
            asking.into_iter().filter_map(|thread| thread.join().unwrap()).collect()
        });
        assert_eq!(probes.len(), 1);
    }
}
