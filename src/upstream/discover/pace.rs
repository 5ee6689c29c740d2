//! When to ask again.

use std::time::Duration;

/// The bounds on what a record's TTL may say. A TTL of 0 must not make a busy loop, and one of days not a door that
/// follows nothing.
const SHORTEST: Duration = Duration::from_secs(1);
const LONGEST: Duration = Duration::from_secs(5 * 60);
/// After a failure: first soon, then twice as late each time.
const FIRST_RETRY: Duration = Duration::from_secs(1);
const LATEST_RETRY: Duration = Duration::from_secs(30);
/// Doors that were started together should not ask together for ever.
const JITTER: f64 = 0.1;

/// The time between two turns of asking, each within ±10 % of what is said here.
#[derive(Debug)]
pub(super) struct Pace {
    every: Option<Duration>,
    failures: u32,
}

impl Pace {
    pub(super) fn new(every: Option<Duration>) -> Self {
        Self { every, failures: 0 }
    }

    /// After an answer that holds for so long: `every`, or else that time within 1 s and 5 min.
    pub(super) fn after_answer(&mut self, holds: Duration) -> Duration {
        self.failures = 0;
        jittered(self.every.unwrap_or(holds.clamp(SHORTEST, LONGEST)))
    }

    /// After a failure: 1 s, doubled with each further one up to 30 s, and never later than `every`.
    pub(super) fn after_failure(&mut self) -> Duration {
        let doubled = FIRST_RETRY.saturating_mul(1 << self.failures.min(16));
        self.failures += 1;
        let latest = self.every.map_or(LATEST_RETRY, |every| every.min(LATEST_RETRY));
        jittered(doubled.min(latest))
    }
}

fn jittered(time: Duration) -> Duration {
    time.mul_f64(1.0 - JITTER + 2.0 * JITTER * fastrand::f64())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn is_about(time: Duration, seconds: u64) -> bool {
        let wanted = Duration::from_secs(seconds);
        (wanted.mul_f64(0.89)..wanted.mul_f64(1.11)).contains(&time)
    }

    #[test]
    fn the_ttl_rules_within_bounds_unless_the_file_says_how_often() {
        for (ttl, seconds) in [(0, 1), (1, 1), (30, 30), (300, 300), (86_400, 300)] {
            assert!(is_about(Pace::new(None).after_answer(Duration::from_secs(ttl)), seconds), "{ttl}");
        }
        let mut pace = Pace::new(Some(Duration::from_secs(600)));
        assert!(is_about(pace.after_answer(Duration::from_secs(1)), 600));
    }

    #[test]
    fn failures_are_retried_soon_and_then_ever_later() {
        let mut pace = Pace::new(None);
        for seconds in [1, 2, 4, 8, 16, 30, 30] {
            assert!(is_about(pace.after_failure(), seconds), "{seconds}");
        }
        pace.after_answer(Duration::ZERO);
        assert!(is_about(pace.after_failure(), 1), "an answer makes it forget");
    }

    #[test]
    fn a_retry_is_never_later_than_the_next_turn() {
        let mut pace = Pace::new(Some(Duration::from_secs(5)));
        for seconds in [1, 2, 4, 5, 5] {
            assert!(is_about(pace.after_failure(), seconds), "{seconds}");
        }
        assert!((0..100).all(|_| !pace.after_failure().is_zero()), "however many they are");
    }

    #[test]
    fn doors_that_started_together_drift_apart() {
        let mut pace = Pace::new(Some(Duration::from_secs(10)));
        let times: Vec<Duration> = (0..100).map(|_| pace.after_answer(Duration::ZERO)).collect();
        assert!(times.iter().all(|time| is_about(*time, 10)));
        assert!(times.iter().any(|time| *time != times[0]));
    }
}
