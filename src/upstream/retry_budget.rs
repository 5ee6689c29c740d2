//! How many retries an upstream can bear.

use std::time::{Duration, Instant};

use super::clock::{Clock, Nanos};
use super::window::Window;
use crate::config::Percent;

/// A bucket of tokens, as Finagle's `RetryBudget`: each request puts a share of a token in, each retry takes a whole
/// one out, and what was put in is good for ten seconds.
///
/// **The bound**: whenever there is a retry, those of the last ten seconds are at most the share of the requests of
/// these ten seconds, and ten more, which are there so that an upstream with little traffic can be retried at all. So
/// an outage is never doubled: with `20%`, a thousand requests that fail within ten seconds bring two hundred and ten
/// retries at most.
#[derive(Debug)]
pub struct RetryBudget {
    clock: Clock,
    recent: Window,
}

/// How long a deposit is good for.
const WINDOW: Duration = Duration::from_secs(10);

/// What may be taken beyond all deposits.
const RESERVE: u64 = 10;

/// A token in the unit of deposits: a tenth of a percent of it.
const TOKEN: u64 = 1_000;

impl RetryBudget {
    pub(super) fn new(clock: Clock) -> Self {
        Self { clock, recent: Window::new(WINDOW) }
    }

    /// A request is made whose route allows retries up to `budget` of its requests.
    pub fn deposit(&self, budget: Percent, now: Instant) {
        self.recent.add(u64::from(budget.hundredths()) / 10, 0, self.clock.at(now));
    }

    /// Takes a token for a retry; `false` if none is left, and then there must be no retry.
    #[must_use = "without a token there must be no retry"]
    pub fn withdraw(&self, now: Instant) -> bool {
        let at = self.clock.at(now);
        // Taken first and counted afterwards, so that two at a time can't both take the last.
        self.recent.add(0, 1, at);
        let granted = self.is_covered(at);
        if !granted {
            self.recent.take_back(at);
        }
        granted
    }

    fn is_covered(&self, at: Nanos) -> bool {
        let recent = self.recent.sum(at);
        recent.some <= recent.all / TOKEN + RESERVE
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn low_traffic_may_retry_and_an_outage_is_not_doubled() {
        let start = Instant::now();
        let budget = RetryBudget::new(Clock::new(start));
        assert_eq!((0..50).filter(|_| budget.withdraw(start)).count(), 10);
        let later = start + Duration::from_secs(20);
        let mut retries = 0;
        for request in 0..1000 {
            let now = later + Duration::from_millis(request);
            budget.deposit(Percent::whole(20), now);
            retries += usize::from(budget.withdraw(now));
        }
        assert!((200..=210).contains(&retries), "{retries}");
    }

    #[test]
    fn what_was_not_used_is_not_saved_up() {
        let start = Instant::now();
        let budget = RetryBudget::new(Clock::new(start));
        (0..10_000).for_each(|_| budget.deposit(Percent::whole(20), start));
        let later = start + Duration::from_secs(11);
        assert_eq!((0..5_000).filter(|_| budget.withdraw(later)).count(), 10);
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(100) })]

        #[test]
        fn the_bound_holds_at_every_retry(steps in proptest::collection::vec((0_u64..300, any::<bool>()), 0..600)) {
            let mut now = Instant::now();
            let budget = RetryBudget::new(Clock::new(now));
            let (mut requests, mut retries) = (Vec::new(), Vec::new());
            for (wait, retry) in steps {
                now += Duration::from_millis(wait);
                if !retry {
                    budget.deposit(Percent::whole(20), now);
                    requests.push(now);
                    continue;
                } else if !budget.withdraw(now) {
                    continue;
                }
                retries.push(now);
                // The window moves on in tenths, so it may be as much as a second shorter than ten.
                let recent = |times: &[Instant], window| times.iter().filter(|&&time| now - time < window).count();
                let (made, asked) = (recent(&retries, Duration::from_secs(9)), recent(&requests, WINDOW));
                prop_assert!(made <= asked / 5 + 10, "{made} retries of {asked}");
            }
        }
    }
}
