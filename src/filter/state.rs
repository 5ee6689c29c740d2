//! What filters know that outlives a reload: buckets, keys, counters.

use std::any::Any;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

type Kept = Arc<dyn Any + Send + Sync>;

/// What belongs to one filter: the route (or `defaults`) that names it, its kind, and the filter's own word.
type Key = (Box<str>, Box<str>, Box<str>);

/// The states of all filters of a snapshot. A filter that is made anew finds what the one before it had left under the
/// same key; what nobody asks for is dropped with the snapshot that had it.
#[derive(Debug, Default)]
pub(crate) struct States {
    before: BTreeMap<Key, Kept>,
    now: Mutex<BTreeMap<Key, Kept>>,
}

impl States {
    /// For a snapshot that follows another one.
    pub(crate) fn after(previous: Option<&Self>) -> Self {
        let before = previous.map(|previous| lock(&previous.now).clone()).unwrap_or_default();
        Self { before, now: Mutex::default() }
    }

    /// A filter is kept as it is, and so is all that it has.
    pub(crate) fn keep(&self, owner: &str, kind: &str) {
        let of_it = self.before.iter().filter(|((o, k, _), _)| **o == *owner && **k == *kind);
        lock(&self.now).extend(of_it.map(|(key, kept)| (key.clone(), kept.clone())));
    }

    /// All filters are made: what was not asked for is let go.
    pub(crate) fn settle(&mut self) {
        self.before.clear();
    }

    pub(super) fn get<T: Send + Sync + 'static>(
        &self,
        owner: &str,
        kind: &str,
        key: &str,
        make: impl FnOnce() -> T,
    ) -> Arc<T> {
        let key: Key = (owner.into(), kind.into(), key.into());
        let mut now = lock(&self.now);
        let known = now.get(&key).or_else(|| self.before.get(&key)).cloned();
        let state = known.and_then(|known| known.downcast::<T>().ok()).unwrap_or_else(|| Arc::new(make()));
        now.insert(key, state.clone());
        state
    }
}

fn lock(map: &Mutex<BTreeMap<Key, Kept>>) -> std::sync::MutexGuard<'_, BTreeMap<Key, Kept>> {
    map.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_asked_for_again_is_found_again_and_the_rest_is_dropped() {
        let first = States::default();
        let kept = first.get("a", "limit", "x", || 1_u32);
        let dropped = Arc::downgrade(&first.get("a", "limit", "y", || 2_u32));
        let mut second = States::after(Some(&first));
        assert!(Arc::ptr_eq(&second.get("a", "limit", "x", || 9), &kept));
        assert_eq!(*second.get("b", "limit", "x", || 3_u32), 3);
        assert_eq!(*second.get("a", "limit", "x", || "another type"), "another type");
        second.settle();
        drop(first);
        assert!(dropped.upgrade().is_none());
    }

    #[test]
    fn a_filter_that_is_kept_keeps_all_that_it_has() {
        let first = States::default();
        let kept = first.get("a", "limit", "x", || 1_u32);
        let mut second = States::after(Some(&first));
        second.keep("a", "limit");
        second.settle();
        let third = States::after(Some(&second));
        assert!(Arc::ptr_eq(&third.get("a", "limit", "x", || 9), &kept));
    }
}
