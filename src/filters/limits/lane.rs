//! The requests that a route has under way.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering::AcqRel, Ordering::Acquire, Ordering::Relaxed};
use std::time::Instant;

use parking_lot::{Mutex, RwLock};

use super::gradient::{Bounds, Gradient};

/// The lanes of all routes that pass through one filter; `defaults` may have many, a route's own filter has one.
#[derive(Default)]
pub(super) struct Lanes(RwLock<BTreeMap<Box<str>, Arc<Lane>>>);

/// What a route has under way, and how much that may be where it is found out.
pub(super) struct Lane {
    under_way: AtomicU32,
    gradient: Mutex<Option<Gradient>>,
}

/// One request that is under way on a route; dropped, it is over.
pub(super) struct Permit(Arc<Lane>);

/// How many may be under way.
#[derive(Debug, Clone, Copy)]
pub(super) enum Most {
    /// So many.
    Fixed(u32),
    /// As many as make none slower.
    Adaptive(Bounds),
}

impl Lanes {
    /// The lane of a route.
    pub(super) fn of(&self, route: &str) -> Arc<Lane> {
        if let Some(lane) = self.0.read().get(route) {
            return lane.clone();
        }
        let new = || Arc::new(Lane { under_way: AtomicU32::new(0), gradient: Mutex::new(None) });
        self.0.write().entry(route.into()).or_insert_with(new).clone()
    }
}

impl Lane {
    /// One more, or how many there may be where that would be too many.
    pub(super) fn take(self: &Arc<Self>, most: Most, now: Instant) -> Result<Permit, u32> {
        let limit = self.limit(most, now);
        let more = |count: u32| (count < limit).then(|| count + 1);
        let before = self.under_way.fetch_update(AcqRel, Acquire, more).map_err(|_| limit)?;
        if let (Most::Adaptive(_), Some(gradient)) = (most, &mut *self.gradient.lock()) {
            gradient.enter(before + 1);
        }
        Ok(Permit(self.clone()))
    }

    /// How many there may be.
    pub(super) fn limit(&self, most: Most, now: Instant) -> u32 {
        match most {
            Most::Fixed(limit) => limit,
            Most::Adaptive(bounds) => {
                self.gradient.lock().get_or_insert_with(|| Gradient::new(now)).limit(now, &bounds)
            }
        }
    }

    /// How many there are.
    pub(super) fn count(&self) -> u32 {
        self.under_way.load(Relaxed)
    }
}

impl Permit {
    /// Its request, which was let in at `began`, has its answer.
    pub(super) fn answered(&self, bounds: &Bounds, began: Instant, now: Instant) {
        if let Some(gradient) = &mut *self.0.gradient.lock() {
            gradient.answered(began, now, bounds);
        }
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        self.0.under_way.fetch_sub(1, AcqRel);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_route_has_its_own_and_what_ends_makes_room() {
        let (lanes, now) = (Lanes::default(), Instant::now());
        let first = lanes.of("a").take(Most::Fixed(1), now).unwrap();
        assert_eq!(lanes.of("a").take(Most::Fixed(1), now).err(), Some(1));
        assert!(lanes.of("b").take(Most::Fixed(1), now).is_ok());
        drop(first);
        assert!(lanes.of("a").take(Most::Fixed(1), now).is_ok());
        assert_eq!(lanes.of("a").count(), 0);
    }
}
