//! Why no certificate could be had, and when to ask again.

use std::time::{Duration, SystemTime};

use instant_acme::Error;

/// Why an order failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Failure {
    pub why: String,
    pub kind: Kind,
    /// The CA's own word on when to come again.
    pub not_before: Option<SystemTime>,
}

/// Whose fault it is, which decides how soon it is worth another try.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// The CA's or the network's, or this machine's: nothing came of it that the CA would count.
    Unavailable,
    /// The CA says no, as it will again if nothing changes, and counts it.
    Refused,
    /// There were too many already.
    RateLimited,
}

const MINUTE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(60 * 60);

/// No pause is longer than this, whatever the CA says.
pub(super) const LONGEST: Duration = Duration::from_secs(24 * 60 * 60);

impl Failure {
    pub fn new(kind: Kind, why: impl Into<String>) -> Self {
        Self { why: why.into(), kind, not_before: None }
    }

    /// When to try again after so many failures in a row, this one included.
    pub fn next(&self, failures: u32, now: SystemTime) -> SystemTime {
        let steps = failures.saturating_sub(1).min(10);
        let pause = match self.kind {
            Kind::Unavailable => (MINUTE * 2_u32.pow(steps)).min(HOUR),
            Kind::Refused => (MINUTE * 10_u32.pow(steps.min(3))).min(6 * HOUR),
            Kind::RateLimited => (HOUR * 2_u32.pow(steps)).min(6 * HOUR),
        };
        let next = now + pause.mul_f64(1.0 + fastrand::f64() / 10.0);
        self.not_before.map_or(next, |not_before| next.max(not_before.min(now + LONGEST)))
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        let kind = match &error {
            Error::Api(problem) => match problem.r#type.as_deref().and_then(|name| name.rsplit(':').next()) {
                Some("rateLimited") => Kind::RateLimited,
                Some("serverInternal" | "badNonce") => Kind::Unavailable,
                _ => Kind::Refused,
            },
            Error::Str(_) | Error::Unsupported(_) => Kind::Refused,
            _ => Kind::Unavailable,
        };
        let why = match &error {
            Error::Api(problem) => said(problem),
            _ => error.to_string(),
        };
        Self::new(kind, why)
    }
}

/// What a CA says of a problem, with that of each name if it says it.
pub(super) fn said(problem: &instant_acme::Problem) -> String {
    problem.to_string().replacen("API error: ", "the CA says: ", 1).replace(|c: char| c.is_control(), " ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pauses(kind: Kind) -> Vec<u64> {
        let now = SystemTime::UNIX_EPOCH;
        let of = |failures| Failure::new(kind, "").next(failures, now).duration_since(now).unwrap();
        (1..=12).map(|failures| of(failures).as_secs() / 60).collect()
    }

    #[test]
    fn pauses_grow_to_a_bound_and_never_reach_a_cas_limits() {
        let least = |kind: Kind, expected: &[u64]| {
            for (pause, least) in pauses(kind).iter().zip(expected) {
                assert!((*least..=*least + least.div_ceil(10)).contains(pause), "{kind:?}: {pause} for {least}");
            }
        };
        // Let's Encrypt: 5 failed validations an hour for an account and a name.
        least(Kind::Refused, &[1, 10, 100, 360, 360, 360, 360, 360, 360, 360, 360, 360]);
        least(Kind::Unavailable, &[1, 2, 4, 8, 16, 32, 60, 60, 60, 60, 60, 60]);
        least(Kind::RateLimited, &[60, 120, 240, 360, 360]);
    }

    #[test]
    fn the_cas_word_counts_for_a_day_at_most() {
        let now = SystemTime::UNIX_EPOCH;
        let told = |hours| Failure { not_before: Some(now + HOUR * hours), ..Failure::new(Kind::RateLimited, "") };
        assert_eq!(told(7).next(1, now), now + HOUR * 7);
        assert_eq!(told(1000).next(1, now), now + LONGEST);
        assert!(told(0).next(1, now) >= now + HOUR);
    }
}
