//! How fast a client sends a body: a byte now and then is never silent for long, and could hold a connection for ever.
//!
//! Only the time that the door waits for the client counts, not the time in which the upstream takes nothing more. So
//! the rule is one of sums, and needs no timer: the pieces of a body must have come, and whoever sends none at all runs
//! into `body_timeout`. Apache's mod_reqtimeout (`MinRate`) and Kestrel (`MinRequestBodyDataRate`) have the same.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

use crate::config::ListenerLimits;

/// How fast the body of one request comes.
#[derive(Debug, Default)]
pub(super) struct Pace {
    is_measured: AtomicBool,
    /// Nanoseconds in which the client was waited for.
    waited: AtomicU64,
    /// Bytes that came, framing included.
    came: AtomicU64,
}

impl Pace {
    /// A body is awaited from now on.
    pub(super) fn begin(&self) {
        self.waited.store(0, Relaxed);
        self.came.store(0, Relaxed);
        self.is_measured.store(true, Relaxed);
    }

    /// None is any more, or it may come as slowly as it likes.
    pub(super) fn end(&self) {
        self.is_measured.store(false, Relaxed);
    }

    /// Something is read from the client: notes in `since` from when on it is waited for, and sums up.
    pub(super) fn read(&self, since: &mut Option<Instant>, came: Option<usize>) {
        if !self.is_measured.load(Relaxed) {
            *since = None;
            return;
        }
        match came {
            None => *since = since.or_else(|| Some(Instant::now())),
            Some(bytes) => {
                let waited = since.take().map_or(Duration::ZERO, |since| since.elapsed());
                self.waited.fetch_add(u64::try_from(waited.as_nanos()).unwrap_or(u64::MAX), Relaxed);
                self.came.fetch_add(bytes as u64, Relaxed);
            }
        }
    }

    /// Whether it is too slow: less than `body_rate` once `body_timeout` is over.
    pub(super) fn is_too_slow(&self, limits: &ListenerLimits) -> bool {
        let waited = Duration::from_nanos(self.waited.load(Relaxed));
        let due = self.came.load(Relaxed) as f64 / limits.body_rate.per_second() as f64;
        self.is_measured.load(Relaxed) && waited.saturating_sub(limits.body_timeout.0).as_secs_f64() > due
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn is_too_slow(waited: Duration, came: u64) -> bool {
        let pace = Pace::default();
        pace.begin();
        pace.waited.store(u64::try_from(waited.as_nanos()).unwrap(), Relaxed);
        pace.came.store(came, Relaxed);
        pace.is_too_slow(&ListenerLimits::default())
    }

    #[test]
    fn a_body_may_be_as_slow_as_it_likes_for_body_timeout_and_then_has_its_rate() {
        assert!(!is_too_slow(Duration::from_secs(30), 0));
        assert!(is_too_slow(Duration::from_secs(31), 0));
        // 240 bytes buy a second.
        assert!(!is_too_slow(Duration::from_secs(31), 240));
        assert!(is_too_slow(Duration::from_millis(31_100), 240));
        assert!(!is_too_slow(Duration::from_secs(130), 24_000));
    }

    #[test]
    fn what_is_not_measured_is_never_too_slow() {
        let pace = Pace::default();
        let mut since = None;
        pace.read(&mut since, None);
        assert!(since.is_none());
        pace.waited.store(u64::MAX, Relaxed);
        assert!(!pace.is_too_slow(&ListenerLimits::default()));
    }
}
