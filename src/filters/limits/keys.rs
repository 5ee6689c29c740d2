//! How many requests each key has under way: a bounded table.

use std::collections::HashMap;
use std::hash::BuildHasher;
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering::AcqRel, Ordering::Acquire};

use foldhash::quality::RandomState;
use parking_lot::Mutex;

use crate::config::Prefixes;

/// Whose request it is.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) enum Key {
    /// A client's network, by its first address.
    Ip(IpAddr),
    /// A header's or cookie's value, or a route's name.
    Value(Box<[u8]>),
    /// A subject's name.
    Subject(Box<str>),
    /// All that have no key share this one.
    None,
    /// All that found the table full share this one.
    Rest,
}

impl Key {
    /// Of a client at this address, if it has one.
    pub(super) fn of_ip(ip: Option<IpAddr>, prefixes: Prefixes) -> Self {
        match ip {
            Some(ip) => Self::Ip(prefixes.network_of(ip)),
            None => Self::None,
        }
    }
}

/// Counts by key. A key takes room only while it has a request under way, so nothing has ever to be thrown out.
#[derive(Default)]
pub(super) struct Table {
    hasher: RandomState,
    shards: [Mutex<HashMap<Key, u32, RandomState>>; 16],
    keys: AtomicU32,
}

/// One request of a key; dropped, it is over.
pub(super) struct KeyPermit {
    table: Arc<Table>,
    key: Key,
}

/// A key has as many requests under way as it may.
#[derive(Debug, PartialEq)]
pub(super) enum Full {
    /// Its own.
    Key,
    /// The table has no room for another key, and those without room have together as many as one may have.
    Rest,
}

impl Table {
    /// One more request of `key`, which may have `limit`. There is room for so many `keys`; above that, new keys share
    /// one count: a flood of keys is never without a limit.
    pub(super) fn take(self: &Arc<Self>, key: Key, limit: u32, keys: u32) -> Result<KeyPermit, Full> {
        match self.count(&key, limit, keys) {
            Some(true) => Ok(KeyPermit { table: self.clone(), key }),
            Some(false) => Err(Full::Key),
            None => match self.count(&Key::Rest, limit, u32::MAX) {
                Some(true) => Ok(KeyPermit { table: self.clone(), key: Key::Rest }),
                _ => Err(Full::Rest),
            },
        }
    }

    /// Counts one more, if there may be one; `None` without room for the key.
    fn count(&self, key: &Key, limit: u32, keys: u32) -> Option<bool> {
        let mut shard = self.shard(key).lock();
        if let Some(count) = shard.get_mut(key) {
            let more = *count < limit;
            *count += u32::from(more);
            return Some(more);
        }
        self.keys.fetch_update(AcqRel, Acquire, |known| (known < keys).then(|| known + 1)).ok()?;
        shard.insert(key.clone(), 1);
        Some(true)
    }

    fn shard(&self, key: &Key) -> &Mutex<HashMap<Key, u32, RandomState>> {
        // Others bits than those that the map in the shard goes by.
        &self.shards[(self.hasher.hash_one(key) >> 32) as usize % self.shards.len()]
    }
}

impl Drop for KeyPermit {
    fn drop(&mut self) {
        let mut shard = self.table.shard(&self.key).lock();
        if let Some(count) = shard.get_mut(&self.key) {
            *count -= 1;
            if *count == 0 {
                shard.remove(&self.key);
                self.table.keys.fetch_sub(1, AcqRel);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn key(text: &str) -> Key {
        Key::Subject(text.into())
    }

    #[test]
    fn a_key_never_has_more_than_it_may_and_leaves_nothing_behind() {
        let table = Arc::new(Table::default());
        let first = table.take(key("a"), 2, 10).unwrap();
        let second = table.take(key("a"), 2, 10).unwrap();
        assert_eq!(table.take(key("a"), 2, 10).err(), Some(Full::Key));
        assert!(table.take(key("b"), 2, 10).is_ok());
        drop(first);
        assert!(table.take(key("a"), 2, 10).is_ok());
        drop(second);
        assert!(table.shards.iter().all(|shard| shard.lock().is_empty()));
        assert_eq!(table.keys.load(Acquire), 0);
    }

    #[test]
    fn what_finds_no_room_shares_one_count() {
        let table = Arc::new(Table::default());
        let _held = [table.take(key("a"), 1, 2).unwrap(), table.take(key("b"), 1, 2).unwrap()];
        let third = table.take(key("c"), 1, 2).unwrap();
        assert_eq!(table.take(key("d"), 1, 2).err(), Some(Full::Rest));
        drop(third);
        assert!(table.take(key("d"), 1, 2).is_ok());
        assert_eq!(table.take(key("a"), 1, 2).err(), Some(Full::Key));
    }

    #[test]
    fn a_client_is_known_by_its_network_where_it_has_a_whole_one() {
        let of = |text: &str| Key::of_ip(Some(text.parse().unwrap()), Prefixes::default());
        assert_eq!(of("2001:db8::1"), of("2001:db8::ffff:1"));
        assert_ne!(of("2001:db8:0:1::1"), of("2001:db8::1"));
        assert_ne!(of("192.0.2.1"), of("192.0.2.2"));
        assert_eq!(of("::ffff:192.0.2.1"), of("192.0.2.1"));
        assert_eq!(Key::of_ip(None, Prefixes::default()), Key::None);
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(300) })]

        #[test]
        fn whatever_comes_and_goes_all_bounds_hold(steps in prop::collection::vec((0..8_u8, any::<bool>()), 1..200)) {
            let (limit, keys) = (3, 4);
            let table = Arc::new(Table::default());
            let mut held: Vec<KeyPermit> = Vec::new();
            for (number, comes) in steps {
                if comes {
                    held.extend(table.take(key(&number.to_string()), limit, keys));
                } else if !held.is_empty() {
                    held.swap_remove(usize::from(number) % held.len());
                }
                let mut counts = HashMap::new();
                held.iter().for_each(|permit| *counts.entry(permit.key.clone()).or_insert(0) += 1);
                prop_assert!(counts.values().all(|count| *count <= limit));
                prop_assert!(counts.len() <= keys as usize + 1);
            }
            held.clear();
            prop_assert_eq!(table.keys.load(Acquire), 0);
        }
    }
}
