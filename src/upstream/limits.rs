//! How many at a time.

use std::ops::Deref;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering::AcqRel, Ordering::Relaxed};

/// How many are under way.
#[derive(Debug, Default)]
pub(super) struct Gauge(AtomicU32);

/// One of those that are under way with something that counts them; dropped, it is so no more.
#[derive(Debug)]
pub(super) struct Permit<T: AsRef<Gauge>>(Arc<T>);

impl Gauge {
    /// How many there are.
    pub(super) fn count(&self) -> u32 {
        self.0.load(Relaxed)
    }

    /// Whether one more may be.
    pub(super) fn has_room(&self, limit: Option<u32>) -> bool {
        limit.is_none_or(|limit| self.count() < limit)
    }
}

impl AsRef<Gauge> for Gauge {
    fn as_ref(&self) -> &Gauge {
        self
    }
}

impl<T: AsRef<Gauge>> Permit<T> {
    /// One more with `counted`, which must not be more than the limit; `None` if it would be.
    pub(super) fn take(counted: &Arc<T>, limit: Option<u32>) -> Option<Self> {
        let gauge = &(**counted).as_ref().0;
        let Some(limit) = limit else {
            gauge.fetch_add(1, AcqRel);
            return Some(Self(counted.clone()));
        };
        let more = |count: u32| (count < limit).then(|| count + 1);
        gauge.fetch_update(AcqRel, Relaxed, more).ok().map(|_| Self(counted.clone()))
    }
}

impl<T: AsRef<Gauge>> Deref for Permit<T> {
    type Target = Arc<T>;

    fn deref(&self) -> &Arc<T> {
        &self.0
    }
}

impl<T: AsRef<Gauge>> Drop for Permit<T> {
    fn drop(&mut self) {
        (*self.0).as_ref().0.fetch_sub(1, AcqRel);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_limit_is_never_passed_and_what_ends_makes_room() {
        let gauge = Arc::new(Gauge::default());
        let first = Permit::take(&gauge, Some(2));
        let second = Permit::take(&gauge, Some(2));
        assert!(first.is_some() && second.is_some() && Permit::take(&gauge, Some(2)).is_none());
        assert!(!gauge.has_room(Some(2)) && gauge.has_room(None));
        drop(first);
        assert!(Permit::take(&gauge, Some(2)).is_some());
        drop(second);
        assert_eq!(gauge.count(), 0);
    }
}
