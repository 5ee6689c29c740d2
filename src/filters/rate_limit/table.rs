//! The buckets of one limit: one for each key, and no more than there is room for.
//!
//! Keys lie in shards, each behind a lock of its own, so that requests meet only by chance. At the bound, the idle go
//! first: a full bucket says no more than none. Only if none is idle does a new key share one bucket with all others
//! that find no room, so that nobody is ever unlimited.

use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed};
use std::time::Instant;

use parking_lot::Mutex;

use super::gcra::{Allowance, Bucket, Standing};
use crate::seldom::Seldom;

/// A key's number. Addresses are their own; texts become 128 bits of two keyed hashes (SipHash), which nobody outside
/// can make collide.
pub(super) type Id = u128;

type Buckets = HashMap<Id, Bucket, foldhash::fast::RandomState>;

/// See the module.
#[derive(Debug)]
pub(super) struct Table {
    shards: Box<[Shard]>,
    tracked: AtomicUsize,
    pool: Mutex<Bucket>,
    epoch: Instant,
    place: foldhash::fast::RandomState,
    seeds: [RandomState; 2],
    /// Requests that had to share a bucket for want of room.
    pub(super) crowded: Seldom,
    /// Requests that a dry run would have refused.
    pub(super) dry: Seldom,
}

/// On a line of the cache of its own.
#[derive(Debug, Default)]
#[repr(align(64))]
struct Shard {
    buckets: Mutex<Buckets>,
    /// Before this none of them is idle; so nobody looks.
    idle_from: AtomicU64,
}

/// Enough that two cores rarely meet, and few enough to be looked through by a key that finds no room, and to cost
/// nothing worth a word (4 KiB) where 10,000 routes have a limit each.
const SHARDS: usize = 64;

impl Table {
    /// Without a key.
    pub(super) fn new(now: Instant) -> Self {
        Self {
            shards: (0..SHARDS).map(|_| Shard::new()).collect(),
            tracked: AtomicUsize::new(0),
            pool: Mutex::default(),
            epoch: now,
            place: foldhash::fast::RandomState::default(),
            seeds: [RandomState::new(), RandomState::new()],
            crowded: Seldom::default(),
            dry: Seldom::default(),
        }
    }

    /// The number of a text, which may have a kind before it.
    pub(super) fn id_of(&self, kind: &[u8], text: &[u8]) -> Id {
        let [high, low] = self.seeds.each_ref().map(|seed| seed.hash_one((kind, text)));
        u128::from(high) << 64 | u128::from(low)
    }

    /// Lets a request of this key through, or not; there may be `room` keys.
    pub(super) fn take(&self, id: Id, allowance: Allowance, room: usize, now: Instant) -> Standing {
        let now = self.nanos(now);
        let shard = self.shard(id);
        if let Some(standing) = self.take_own(shard, id, allowance, room, now) {
            return standing;
        }
        // A bound that was lowered may have more than one shard's idle to drop.
        while self.drop_idle(now) {
            if let Some(standing) = self.take_own(shard, id, allowance, room, now) {
                return standing;
            }
        }
        Standing { pooled: true, ..self.pool.lock().take(allowance, now) }
    }

    /// What [`take`](Self::take) would say, without a trace.
    pub(super) fn peek(&self, id: Id, allowance: Allowance, room: usize, now: Instant) -> Standing {
        let now = self.nanos(now);
        if let Some(bucket) = self.shard(id).buckets.lock().get(&id) {
            return bucket.peek(allowance, now);
        }
        let is_room = self.tracked.load(Relaxed) < room || self.idle(now).next().is_some();
        let bucket = if is_room { Bucket::default() } else { *self.pool.lock() };
        Standing { pooled: !is_room, ..bucket.peek(allowance, now) }
    }

    /// Takes back what a request has spent that was admitted with this standing.
    pub(super) fn give_back(&self, id: Id, standing: Standing) {
        if standing.pooled {
            self.pool.lock().give_back();
        } else if let Some(bucket) = self.shard(id).buckets.lock().get_mut(&id) {
            bucket.give_back();
        }
    }

    /// Nanoseconds since the table was made.
    pub(super) fn nanos(&self, now: Instant) -> u64 {
        u64::try_from(now.saturating_duration_since(self.epoch).as_nanos()).unwrap_or(u64::MAX)
    }

    fn shard(&self, id: Id) -> &Shard {
        &self.shards[self.place.hash_one(id) as usize % SHARDS]
    }

    /// From the key's own bucket, if it has one or there is room for it.
    fn take_own(&self, shard: &Shard, id: Id, allowance: Allowance, room: usize, now: u64) -> Option<Standing> {
        let mut buckets = shard.buckets.lock();
        if let Some(bucket) = buckets.get_mut(&id) {
            return Some(bucket.take(allowance, now));
        }
        if self.tracked.fetch_add(1, Relaxed) >= room {
            self.tracked.fetch_sub(1, Relaxed);
            return None;
        }
        let mut bucket = Bucket::default();
        let standing = bucket.take(allowance, now);
        buckets.insert(id, bucket);
        shard.idle_from.fetch_min(bucket.full_at(), Relaxed);
        Some(standing)
    }

    /// Shards that may have an idle bucket.
    fn idle(&self, now: u64) -> impl Iterator<Item = &Shard> {
        self.shards.iter().filter(move |shard| shard.idle_from.load(Relaxed) <= now)
    }

    /// Drops the idle buckets of the first shard that has any.
    fn drop_idle(&self, now: u64) -> bool {
        self.idle(now).any(|shard| {
            let dropped = shard.drop_idle(now);
            self.tracked.fetch_sub(dropped, Relaxed);
            dropped > 0
        })
    }
}

impl Shard {
    fn new() -> Self {
        Self { idle_from: AtomicU64::new(u64::MAX), ..Self::default() }
    }

    /// Drops the idle, and finds out from when on there are others.
    fn drop_idle(&self, now: u64) -> usize {
        let mut buckets = self.buckets.lock();
        let before = buckets.len();
        let mut next = u64::MAX;
        buckets.retain(|_, bucket| {
            let stays = bucket.full_at() > now;
            if stays {
                next = next.min(bucket.full_at());
            }
            stays
        });
        self.idle_from.store(next, Relaxed);
        before - buckets.len()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn allowance(rate: &str, burst: u32) -> Allowance {
        Allowance::new(rate.parse().unwrap(), burst).unwrap()
    }

    fn table() -> (Table, Instant) {
        let now = Instant::now();
        (Table::new(now), now)
    }

    #[test]
    fn each_key_has_a_bucket_of_its_own() {
        let (table, now) = table();
        let limit = allowance("5/h", 5);
        let admitted = (0..15).flat_map(|_| 0..30).filter(|&key| table.take(key, limit, 1000, now).admitted).count();
        assert_eq!(admitted, 150);
    }

    #[test]
    fn texts_have_numbers_of_their_own() {
        let (table, _) = table();
        assert_eq!(table.id_of(b"", b"a"), table.id_of(b"", b"a"));
        assert_ne!(table.id_of(b"", b"a"), table.id_of(b"a", b""));
        assert_ne!(table.id_of(b"", b"a"), Table::new(Instant::now()).id_of(b"", b"a"));
    }

    #[test]
    fn at_the_bound_those_that_came_first_keep_theirs_and_all_others_share_one() {
        let (table, now) = table();
        let limit = allowance("5/h", 5);
        assert!((0..100).all(|key| table.take(key, limit, 100, now).left == 4));
        let late: Vec<_> = (100..120).map(|key| table.take(key, limit, 100, now)).collect();
        assert!(late.iter().all(|standing| standing.pooled));
        assert_eq!(late.iter().filter(|standing| standing.admitted).count(), 5);
        assert!((0..100).all(|key| table.take(key, limit, 100, now).left == 3));
        assert!(!table.peek(200, limit, 100, now).admitted);
        assert_eq!(table.tracked.load(Relaxed), 100);
    }

    #[test]
    fn at_the_bound_the_idle_go_first_wherever_they_lie() {
        let (table, now) = table();
        let limit = allowance("1/s", 10);
        (0..1000).for_each(|key| {
            table.take(key, limit, 1000, now);
        });
        // All but those that are used again are idle after a second.
        let later = now + Duration::from_millis(500);
        (0..10).for_each(|key| {
            table.take(key, limit, 1000, later);
        });
        let later = now + Duration::from_secs(1);
        assert!(!table.peek(5000, limit, 1000, later).pooled);
        assert!((1000..1990).all(|key| !table.take(key, limit, 1000, later).pooled));
        assert!(table.take(5000, limit, 1000, later).pooled, "the table is full of others");
        assert!((0..10).all(|key| table.take(key, limit, 1000, later).left == 8), "none that owed has gone");
        assert_eq!(table.tracked.load(Relaxed), 1000);
    }

    #[test]
    fn a_lower_bound_lets_no_new_key_in_until_old_ones_are_idle() {
        let (table, now) = table();
        let limit = allowance("1/s", 1);
        (0..100).for_each(|key| {
            table.take(key, limit, 100, now);
        });
        assert!(table.take(100, limit, 10, now).pooled);
        let later = now + Duration::from_secs(2);
        let pooled = (200..300).filter(|&key| table.take(key, limit, 10, later).pooled).count();
        assert_eq!((table.tracked.load(Relaxed), pooled), (10, 90));
    }

    #[test]
    fn what_is_given_back_is_the_keys_own() {
        let (table, now) = table();
        let limit = allowance("1/h", 1);
        let own = table.take(1, limit, 1, now);
        let pooled = table.take(2, limit, 1, now);
        assert!(own.admitted && pooled.admitted && pooled.pooled);
        table.give_back(2, pooled);
        assert!(!table.take(1, limit, 1, now).admitted && table.take(3, limit, 1, now).admitted);
        table.give_back(1, own);
        assert!(table.take(1, limit, 1, now).admitted);
    }

    #[test]
    fn threads_together_get_no_more_than_one_alone_would() {
        let (table, now) = table();
        let limit = allowance("1/h", 1000);
        let admitted = AtomicUsize::new(0);
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    let mine = (0..1000).filter(|key| table.take(key % 2, limit, 1, now).admitted).count();
                    admitted.fetch_add(mine, Relaxed);
                });
            }
        });
        assert_eq!(admitted.into_inner(), 2000, "one key has its own bucket, the other the shared one");
    }
}
