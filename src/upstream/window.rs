//! Counts of the recent past.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use super::clock::{Nanos, nanos};

/// Two counts over a window of time that moves on in tenths, in atomics only.
///
/// Each tenth has one word: which tenth of time it is (20 bits), and both counts (26 and 18 bits). Whoever first counts
/// in a new tenth clears what stood in its place, in the same exchange of that word, so that nothing is lost and
/// nothing counted twice. What does not fit any more is not counted.
#[derive(Debug)]
pub(super) struct Window {
    tenth: Nanos,
    words: [AtomicU64; TENTHS],
}

/// What was counted.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Counts {
    /// The larger one.
    pub(super) all: u64,
    /// The smaller one.
    pub(super) some: u64,
}

const TENTHS: usize = 10;
const SOME_BITS: u32 = 18;
const ALL_BITS: u32 = 26;
const MOST_SOME: u64 = (1 << SOME_BITS) - 1;
const MOST_ALL: u64 = (1 << ALL_BITS) - 1;

impl Window {
    /// A window as long as this, of which at least a microsecond is a tenth.
    pub(super) fn new(length: Duration) -> Self {
        Self { tenth: (nanos(length) / TENTHS as u64).max(1_000), words: Default::default() }
    }

    /// Counts.
    pub(super) fn add(&self, all: u64, some: u64, at: Nanos) {
        let tenth = at / self.tenth;
        let stamp = stamp(tenth);
        let counted = |word: u64| {
            let before = if word >> (ALL_BITS + SOME_BITS) == stamp { unpack(word) } else { Counts::default() };
            let (all, some) = (before.all + all, before.some + some);
            (all <= MOST_ALL && some <= MOST_SOME).then_some(stamp << (ALL_BITS + SOME_BITS) | all << SOME_BITS | some)
        };
        // Full is the only way to fail.
        self.word(tenth).fetch_update(Relaxed, Relaxed, counted).ok();
    }

    /// Takes one of the smaller count back that was counted at this time, unless its tenth is over.
    pub(super) fn take_back(&self, at: Nanos) {
        let tenth = at / self.tenth;
        let stamp = stamp(tenth);
        let less = |word: u64| (word >> (ALL_BITS + SOME_BITS) == stamp && unpack(word).some > 0).then(|| word - 1);
        self.word(tenth).fetch_update(Relaxed, Relaxed, less).ok();
    }

    /// What was counted in the window that ends now.
    pub(super) fn sum(&self, at: Nanos) -> Counts {
        let last = at / self.tenth;
        let first = last.saturating_sub(TENTHS as u64 - 1);
        (first..=last).fold(Counts::default(), |sum, tenth| {
            let word = self.word(tenth).load(Relaxed);
            if word >> (ALL_BITS + SOME_BITS) != stamp(tenth) {
                return sum;
            }
            let here = unpack(word);
            Counts { all: sum.all + here.all, some: sum.some + here.some }
        })
    }

    /// Forgets everything.
    pub(super) fn clear(&self) {
        self.words.iter().for_each(|word| word.store(0, Relaxed));
    }

    fn word(&self, tenth: u64) -> &AtomicU64 {
        &self.words[(tenth % TENTHS as u64) as usize]
    }
}

/// Which tenth it is, never 0 so that an empty word is none. It comes round after a million: a tenth that was left
/// alone for exactly as long would count again, once.
fn stamp(tenth: u64) -> u64 {
    tenth % ((1 << 20) - 1) + 1
}

fn unpack(word: u64) -> Counts {
    Counts { all: word >> SOME_BITS & MOST_ALL, some: word & MOST_SOME }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Nanos = 1_000_000_000;

    #[test]
    fn what_is_older_than_the_window_does_not_count() {
        let window = Window::new(Duration::from_secs(10));
        (0..20).for_each(|second| window.add(2, 1, second * SECOND));
        assert_eq!(window.sum(19 * SECOND), Counts { all: 20, some: 10 });
        assert_eq!(window.sum(24 * SECOND), Counts { all: 10, some: 5 });
        assert_eq!(window.sum(60 * SECOND), Counts::default());
        window.add(1, 1, 60 * SECOND);
        assert_eq!(window.sum(60 * SECOND), Counts { all: 1, some: 1 });
        window.clear();
        assert_eq!(window.sum(60 * SECOND), Counts::default());
    }

    #[test]
    fn what_was_counted_can_be_taken_back() {
        let window = Window::new(Duration::from_secs(10));
        window.add(0, 1, SECOND);
        window.take_back(SECOND);
        window.take_back(SECOND);
        assert_eq!(window.sum(SECOND), Counts::default());
    }

    #[test]
    fn a_full_tenth_keeps_what_it_has() {
        let window = Window::new(Duration::from_secs(10));
        window.add(MOST_ALL, 0, SECOND);
        window.add(1, 1, SECOND);
        assert_eq!(window.sum(SECOND), Counts { all: MOST_ALL, some: 0 });
    }
}
