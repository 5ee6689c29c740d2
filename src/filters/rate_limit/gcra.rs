//! The generic cell rate algorithm (ITU-T I.371, annex A.1), as arithmetic on nanoseconds: what a bucket owes is the
//! time until it is full again. A request that is admitted adds the interval from one to the next; one that would
//! bring it above the whole burst is refused and adds nothing. So over any time t no more than burst + rate · t pass.

use std::time::Duration;

use crate::config::Rate;

/// How much a limit lets through.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Allowance {
    interval: u64,
    burst: u32,
}

/// A bucket takes at most this long to fill, so that sums of times don't overflow.
const LONGEST: Duration = Duration::from_secs(365 * 24 * 60 * 60);

/// What one key has spent: 16 bytes.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Bucket {
    /// When it is full again; until then it owes.
    full_at: u64,
    /// What a request was worth when that was written down.
    interval: u64,
}

/// Where a request stands with a limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Standing {
    /// Whether it may go on.
    pub(super) admitted: bool,
    /// How many more may come at once.
    pub(super) left: u32,
    /// The time until that is one more; zero where it is the whole burst.
    pub(super) wait: Duration,
    /// Whether the bucket is the one that all share for whom there is no room.
    pub(super) pooled: bool,
}

impl Allowance {
    /// So many at once, and then so often; `None` if that takes more than a year to fill again.
    pub(super) fn new(rate: Rate, burst: u32) -> Option<Self> {
        let interval = u64::try_from(rate.interval().as_nanos()).ok()?;
        let most = interval.checked_mul(burst.into())?;
        (Duration::from_nanos(most) <= LONGEST).then_some(Self { interval, burst })
    }

    /// Nanoseconds from one to the next.
    pub(super) fn interval(self) -> u64 {
        self.interval
    }

    /// Nanoseconds that the whole burst is worth.
    pub(super) fn most(self) -> u64 {
        self.interval * u64::from(self.burst)
    }

    /// How many may come at once.
    pub(super) fn burst(self) -> u32 {
        self.burst
    }

    /// Of a bucket that owes so many nanoseconds, after a request that was admitted or refused.
    pub(super) fn standing(self, admitted: bool, owed: u64) -> Standing {
        let spent = owed.div_ceil(self.interval);
        let left = u64::from(self.burst).saturating_sub(spent);
        let wait = owed - spent.saturating_sub(1) * self.interval;
        let left = u32::try_from(left).unwrap_or(self.burst);
        Standing { admitted, left, wait: Duration::from_nanos(wait), pooled: false }
    }
}

impl Bucket {
    /// Nanoseconds that it owes at `now`. What was written down at another rate keeps the number of requests that it
    /// stands for, and no bucket owes more than a whole burst.
    fn owed(self, allowance: Allowance, now: u64) -> u64 {
        let owed = self.full_at.saturating_sub(now);
        let owed = if self.interval == allowance.interval || self.interval == 0 {
            owed
        } else {
            let owed = u128::from(owed) * u128::from(allowance.interval) / u128::from(self.interval);
            u64::try_from(owed).unwrap_or(u64::MAX)
        };
        owed.min(allowance.most())
    }

    /// Lets a request through, or not.
    pub(super) fn take(&mut self, allowance: Allowance, now: u64) -> Standing {
        let owed = self.owed(allowance, now);
        let after = owed + allowance.interval;
        if after > allowance.most() {
            return allowance.standing(false, owed);
        }
        *self = Self { full_at: now + after, interval: allowance.interval };
        allowance.standing(true, after)
    }

    /// What [`take`](Self::take) would say, without a trace.
    pub(super) fn peek(mut self, allowance: Allowance, now: u64) -> Standing {
        self.take(allowance, now)
    }

    /// Takes back what an admitted request has spent.
    pub(super) fn give_back(&mut self) {
        self.full_at = self.full_at.saturating_sub(self.interval);
    }

    /// From when on it owes nothing.
    pub(super) fn full_at(self) -> u64 {
        self.full_at
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: u64 = 1_000_000_000;

    fn allowance(rate: &str, burst: u32) -> Allowance {
        Allowance::new(rate.parse().unwrap(), burst).unwrap()
    }

    #[test]
    fn a_burst_passes_at_once_and_then_one_for_each_interval() {
        let limit = allowance("10/s", 3);
        let mut bucket = Bucket::default();
        let seen: Vec<_> = (0..4).map(|_| bucket.take(limit, SECOND)).map(|s| (s.admitted, s.left)).collect();
        assert_eq!(seen, [(true, 2), (true, 1), (true, 0), (false, 0)]);
        assert_eq!(bucket.take(limit, SECOND).wait, Duration::from_millis(100));
        assert!(!bucket.take(limit, SECOND + SECOND / 10 - 1).admitted, "a nanosecond too early");
        assert!(bucket.take(limit, SECOND + SECOND / 10).admitted);
        assert_eq!(bucket.full_at(), SECOND + 4 * SECOND / 10);
    }

    #[test]
    fn a_refused_request_spends_nothing_and_a_look_leaves_no_trace() {
        let limit = allowance("1/m", 1);
        let mut bucket = Bucket::default();
        assert_eq!(bucket.peek(limit, 0), bucket.peek(limit, 0));
        assert!(bucket.take(limit, 0).admitted);
        for second in 1..60 {
            let standing = bucket.take(limit, second * SECOND);
            assert_eq!((standing.admitted, standing.wait), (false, Duration::from_secs(60 - second)));
        }
        assert!(bucket.take(limit, 60 * SECOND).admitted);
    }

    #[test]
    fn what_is_given_back_is_there_again() {
        let limit = allowance("1/m", 2);
        let mut bucket = Bucket::default();
        assert!(bucket.take(limit, 0).admitted && bucket.take(limit, 0).admitted);
        bucket.give_back();
        assert!(bucket.take(limit, 0).admitted);
        assert!(!bucket.take(limit, 0).admitted);
    }

    #[test]
    fn another_rate_keeps_the_number_of_requests_that_were_spent() {
        let mut bucket = Bucket::default();
        (0..30).for_each(|_| {
            bucket.take(allowance("100/s", 50), 0);
        });
        assert_eq!(bucket.peek(allowance("10/s", 50), 0).left, 19);
        assert_eq!(bucket.peek(allowance("1000/s", 50), 0).left, 19);
        let smaller = bucket.peek(allowance("100/s", 10), 0);
        assert_eq!((smaller.admitted, smaller.wait), (false, Duration::from_millis(10)));
    }

    #[test]
    fn what_takes_more_than_a_year_to_fill_is_none() {
        assert!(Allowance::new("1/d".parse().unwrap(), 365).is_some());
        assert!(Allowance::new("1/d".parse().unwrap(), 366).is_none());
        assert!(Allowance::new("1/d".parse().unwrap(), 1_000_000).is_none());
    }

    /// A million arrivals with random gaps, in virtual time.
    #[test]
    fn over_any_arrivals_no_more_pass_than_the_bound_and_under_load_all_that_the_rate_allows() {
        fastrand::seed(4);
        for (rate, per_second, burst, load) in [
            ("100/s", 100.0, 50, 3.0),
            ("600/m", 10.0, 20, 3.0),
            ("7/s", 7.0, 20, 10.0),
            ("5000/h", 5000.0 / 3600.0, 5000, 2.0),
        ] {
            let limit = allowance(rate, burst);
            let mut bucket = Bucket::default();
            let gap = (SECOND as f64 / (per_second * load)) as u64;
            let (mut now, mut passed) = (0_u64, 0_u64);
            let mut lowest = f64::INFINITY;
            for _ in 0..1_000_000 {
                // Bunches and pauses: mostly nothing or little, now and then much.
                now += if fastrand::u8(..10) == 0 { fastrand::u64(..=12 * gap) } else { fastrand::u64(..=gap * 8 / 9) };
                if bucket.take(limit, now).admitted {
                    passed += 1;
                    // From any earlier admitted request on: the bound on burst + rate · t is that of the running minimum.
                    let allowed = per_second * now as f64 / SECOND as f64;
                    lowest = lowest.min(passed as f64 - 1.0 - allowed);
                    let since_then = passed as f64 - allowed - lowest;
                    assert!(since_then <= f64::from(burst) + 1e-3, "{rate}: {since_then} more than the rate");
                }
            }
            let allowed = per_second * now as f64 / SECOND as f64 + f64::from(burst);
            assert!(passed as f64 <= allowed, "{rate}");
            assert!(passed as f64 >= 0.99 * allowed, "{rate}: {passed} of {allowed}");
        }
    }
}
