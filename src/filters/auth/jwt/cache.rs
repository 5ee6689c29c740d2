//! Tokens that were found to be good, so that a signature is checked once and not for each request.

use std::collections::HashMap;
use std::hash::BuildHasher;
use std::sync::Arc;
use std::time::SystemTime;

use foldhash::quality::RandomState;
use parking_lot::Mutex;

use super::claims::Verified;
use super::keys::Keys;
use crate::filter::Identity;

/// Good tokens and whom they are for, until they end or the keys change. Only tokens with a good signature get in, so
/// nobody can fill it up with made-up ones.
///
/// The whole token is the key: two never have the same, as two hashes might. At the bound those go that were not used
/// while half of the others came or were used.
pub(super) struct Cache {
    hasher: RandomState,
    shards: Box<[Mutex<Shard>]>,
    /// Of each of a shard's two generations.
    most: usize,
}

/// What was put in or used lately, and what was before that.
#[derive(Default)]
struct Shard {
    keys: Option<Arc<Keys>>,
    young: Generation,
    old: Generation,
}

type Generation = HashMap<Box<[u8]>, Verified, RandomState>;

/// So many requests can look at once.
const SHARDS: usize = 16;

impl Cache {
    /// For so many tokens.
    pub(super) fn new(tokens: usize) -> Self {
        let shards = SHARDS.min(tokens.div_ceil(2)).max(1);
        Self {
            hasher: RandomState::default(),
            shards: (0..shards).map(|_| Mutex::default()).collect(),
            most: (tokens / shards / 2).max(1),
        }
    }

    /// Whom a token is for that was found to be good by these keys and has not ended.
    pub(super) fn get(&self, token: &[u8], keys: &Arc<Keys>, now: SystemTime) -> Option<Arc<Identity>> {
        let mut shard = self.shard(token, keys);
        if let Some(verified) = shard.young.get(token) {
            return (now < verified.until).then(|| verified.identity.clone());
        }
        let (token, verified) = shard.old.remove_entry(token)?;
        let identity = (now < verified.until).then(|| verified.identity.clone())?;
        shard.put(token, verified, self.most);
        Some(identity)
    }

    /// Remembers a token that these keys have found to be good.
    pub(super) fn put(&self, token: &[u8], verified: Verified, keys: &Arc<Keys>) {
        self.shard(token, keys).put(token.into(), verified, self.most);
    }

    /// Where a token is looked for; emptied if the keys have changed.
    fn shard(&self, token: &[u8], keys: &Arc<Keys>) -> parking_lot::MutexGuard<'_, Shard> {
        let hash = self.hasher.hash_one(token);
        let index = (hash >> 32) as usize % self.shards.len();
        let mut shard = self.shards[index].lock();
        if !shard.keys.as_ref().is_some_and(|known| Arc::ptr_eq(known, keys)) {
            *shard = Shard { keys: Some(keys.clone()), ..Shard::default() };
        }
        shard
    }
}

impl Shard {
    fn put(&mut self, token: Box<[u8]>, verified: Verified, most: usize) {
        if self.young.len() >= most && !self.young.contains_key(&token) {
            self.old = std::mem::take(&mut self.young);
        }
        self.young.insert(token, verified);
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, UNIX_EPOCH};

    use super::super::algorithm::Algorithm;
    use super::super::key::Key;
    use super::*;

    fn keys() -> Arc<Keys> {
        Arc::new(Keys::one(Key::of_secret(&[7; 32], &[Algorithm::Hs256]).unwrap()))
    }

    fn at(seconds: u64) -> SystemTime {
        UNIX_EPOCH + Duration::from_secs(seconds)
    }

    fn verified(subject: &str) -> Verified {
        Verified { identity: Arc::new(Identity::new(subject, "jwt")), until: at(100) }
    }

    #[test]
    fn a_token_is_known_until_it_ends_or_the_keys_change() {
        let (cache, keys) = (Cache::new(100), keys());
        cache.put(b"a", verified("u1"), &keys);
        assert_eq!(cache.get(b"a", &keys, at(99)).unwrap().subject, "u1");
        assert_eq!(cache.get(b"a", &keys, at(100)), None);
        assert_eq!(cache.get(b"b", &keys, at(1)), None);
        assert_eq!(cache.get(b"a", &self::keys(), at(1)), None);
        assert_eq!(cache.get(b"a", &keys, at(1)), None, "what is gone stays gone");
    }

    #[test]
    fn it_never_holds_more_than_it_may_and_keeps_what_is_used() {
        let (cache, keys) = (Cache::new(64), keys());
        cache.put(b"used", verified("used"), &keys);
        for number in 0..10_000_u32 {
            cache.put(&number.to_be_bytes(), verified("x"), &keys);
            assert!(cache.get(b"used", &keys, at(1)).is_some(), "{number}");
        }
        let count = |shard: &Mutex<Shard>| {
            let shard = shard.lock();
            shard.young.len() + shard.old.len()
        };
        let held: usize = cache.shards.iter().map(count).sum();
        assert!(held <= 64, "{held}");
    }
}
