//! What is worth a word in the log, but not one for each request.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// Counts something, and says now and then how often it was.
#[derive(Debug, Default)]
pub struct Seldom {
    count: AtomicU64,
    /// Up to which count it was told.
    told: AtomicU64,
    /// From when on it may be told again.
    again_at: AtomicU64,
}

/// Between two words on the same thing, in nanoseconds: ten seconds.
const PAUSE: u64 = 10_000_000_000;

impl Seldom {
    /// It has happened once more, so many nanoseconds after some beginning. If it is time for a word: how often since
    /// the last one.
    pub fn happened(&self, now: u64) -> Option<u64> {
        let count = self.count.fetch_add(1, Relaxed) + 1;
        let again_at = self.again_at.load(Relaxed);
        if now < again_at || self.again_at.compare_exchange(again_at, now + PAUSE, Relaxed, Relaxed).is_err() {
            return None;
        }
        Some(count.saturating_sub(self.told.swap(count, Relaxed)))
    }

    /// How often it has happened.
    pub fn count(&self) -> u64 {
        self.count.load(Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_is_told_at_once_and_the_others_together() {
        let seldom = Seldom::default();
        let told: Vec<_> = [0, 1, 2, PAUSE, PAUSE + 1].map(|now| seldom.happened(now)).to_vec();
        assert_eq!(told, [Some(1), None, None, Some(3), None]);
        assert_eq!(seldom.count(), 5);
    }
}
