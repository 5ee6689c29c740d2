//! The same key, the same endpoint.
//!
//! Karger's ring (*Consistent Hashing and Random Trees*, STOC 1997) as nginx and memcached have it, by Pingora's port
//! of it (`pingora-ketama`): each endpoint has 160 points for each unit of weight, and a key belongs to the next point.
//! When one of ten goes, its own tenth of the keys moves and no other.
//!
//! To walk to a point costs more the more points there are, so that is done once for each of 65,537 slots, when the
//! endpoints change; a look-up then reads one slot.

use std::collections::HashMap;
use std::net::{Ipv6Addr, SocketAddr};

use pingora_ketama::{Bucket, Continuum};

use super::round_robin::scaled;

/// The number of slots: a prime, and enough for 1,000 endpoints to have 65 each.
const SLOTS: u64 = 65_537;

/// The most units of weight on a ring, so that 160 points for each can be sorted in some ten milliseconds.
const MOST_UNITS: u64 = 4_096;

/// Which one has which key.
#[derive(Debug)]
pub(in super::super) struct Keys(Box<[u16]>);

impl Keys {
    /// The slots of these names with their weights, by their positions; those of weight 0 have none.
    pub(in super::super) fn new<'a>(members: impl IntoIterator<Item = (u16, &'a str, u16)>) -> Self {
        let members: Vec<_> = members.into_iter().filter(|(_, _, weight)| *weight > 0).collect();
        let weights: Vec<u16> = members.iter().map(|(_, _, weight)| *weight).collect();
        let places: Vec<SocketAddr> = members.iter().map(|(_, name, _)| place(name)).collect();
        let owners: HashMap<SocketAddr, u16> =
            places.iter().zip(&members).map(|(&place, &(index, ..))| (place, index)).collect();
        let buckets = places.iter().zip(scaled(&weights, MOST_UNITS));
        let buckets: Vec<Bucket> = buckets.map(|(&place, units)| Bucket::new(place, units.into())).collect();
        let ring = Continuum::new(&buckets);
        let owner = |slot: u64| owners.get(&ring.node(&mix(slot).to_le_bytes())?).copied();
        Self((0..SLOTS).filter_map(owner).collect())
    }

    /// Whose the key is, and whose it is next when that one can't be used: the neighbours of a slot belong to anybody,
    /// so one's keys spread over all the others.
    pub(in super::super) fn owners(&self, key: u64) -> impl Iterator<Item = usize> {
        let start = (key % SLOTS) as usize;
        let (before, after) = self.0.split_at(start.min(self.0.len()));
        after.iter().chain(before).map(|&index| index.into())
    }
}

/// Where an endpoint stands on the ring. The library wants an address, so names and Unix sockets get one that is made
/// of theirs and nobody's else.
fn place(name: &str) -> SocketAddr {
    name.parse().unwrap_or_else(|_| {
        let hash = hash_key(name.as_bytes());
        SocketAddr::new(Ipv6Addr::from_bits(u128::from(hash) << 64 | u128::from(mix(hash))).into(), 0)
    })
}

/// A key's number, from its bytes: the same in every door, of every version, on every machine (FNV-1a, and
/// MurmurHash3's last step, since FNV alone leaves the upper bits of short keys alike).
pub fn hash_key(bytes: &[u8]) -> u64 {
    let fnv = bytes
        .iter()
        .fold(0xcbf2_9ce4_8422_2325, |hash: u64, &byte| (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3));
    mix(fnv)
}

/// A number from 0 up to 1 that belongs to a key, and has nothing to do with the slot that it falls into.
pub(in super::super) fn fraction(key: u64) -> f64 {
    mix(key ^ 0x9e37_79b9_7f4a_7c15) as f64 / (u64::MAX as f64 + 1.0)
}

fn mix(mut hash: u64) -> u64 {
    hash = (hash ^ hash >> 33).wrapping_mul(0xff51_afd7_ed55_8ccd);
    hash = (hash ^ hash >> 33).wrapping_mul(0xc4ce_b9fe_1a85_ec53);
    hash ^ hash >> 33
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table(names: &[(String, u16)]) -> Keys {
        Keys::new((0..).zip(names).map(|(index, (name, weight))| (index, name.as_str(), *weight)))
    }

    fn names(count: usize) -> Vec<(String, u16)> {
        (0..count).map(|index| (format!("10.0.{}.{}:80", index / 256, index % 256), 1)).collect()
    }

    /// The name that each of 20,000 keys has.
    fn owners(names: &[(String, u16)]) -> Vec<String> {
        let table = table(names);
        let key = |index: u32| hash_key(format!("user-{index}").as_bytes());
        (0..20_000).filter_map(|index| table.owners(key(index)).next()).map(|index| names[index].0.clone()).collect()
    }

    fn moved(before: &[(String, u16)], after: &[(String, u16)]) -> f64 {
        let (before, after) = (owners(before), owners(after));
        before.iter().zip(&after).filter(|(before, after)| before != after).count() as f64 / before.len() as f64
    }

    #[test]
    fn a_change_of_one_of_ten_moves_about_a_tenth_of_the_keys() {
        let ten = names(10);
        let mut nine = ten.clone();
        nine.remove(3);
        assert!((0.08..0.13).contains(&moved(&ten, &nine)), "{}", moved(&ten, &nine));
        let eleven = names(11);
        assert!((0.07..0.12).contains(&moved(&ten, &eleven)), "{}", moved(&ten, &eleven));
        let mut other = ten.clone();
        other[7].0 = "10.9.9.9:80".into();
        assert!((0.15..0.22).contains(&moved(&ten, &other)), "one leaves and one joins: {}", moved(&ten, &other));
    }

    #[test]
    fn the_order_in_the_file_makes_no_difference() {
        let ten = names(10);
        let mut turned = ten.clone();
        turned.reverse();
        assert_eq!(owners(&ten), owners(&turned));
    }

    #[test]
    fn a_change_of_one_weight_moves_only_what_it_gains() {
        let ten = names(10);
        let mut heavier = ten.clone();
        heavier[4].1 = 2;
        let gained = moved(&ten, &heavier);
        assert!((0.05..0.12).contains(&gained), "{gained}");
        assert!(owners(&ten).iter().zip(owners(&heavier)).all(|(before, after)| *before == after || after == ten[4].0));
    }

    #[test]
    fn slots_are_shared_out_by_weight() {
        let mut ten = names(10);
        ten[0].1 = 3;
        ten[1].1 = 0;
        let table = table(&ten);
        let share = |index: u16| table.0.iter().filter(|&&owner| owner == index).count() as f64 / SLOTS as f64;
        assert!((share(0) - 3.0 / 11.0).abs() < 0.05 && share(1) == 0.0 && (share(2) - 1.0 / 11.0).abs() < 0.03);
        let even = self::table(&names(1000));
        let slots = |index: u16| even.0.iter().filter(|&&owner| owner == index).count();
        assert!((0..1000).all(|index| (30..120).contains(&slots(index))));
    }

    #[test]
    fn names_and_unix_sockets_have_their_share_too() {
        let names: Vec<_> = ["10.0.0.1:80", "users.internal:80", "unix:/run/a.sock", "unix:/run/b.sock"]
            .map(|name| (name.to_owned(), 1))
            .into();
        let owners = owners(&names);
        let share = |name: &String| owners.iter().filter(|owner| *owner == name).count() as f64 / owners.len() as f64;
        assert!(names.iter().all(|(name, _)| (0.18..0.32).contains(&share(name))));
    }

    #[test]
    fn the_keys_of_one_go_to_all_others() {
        let table = table(&names(10));
        let mut heirs = [0; 10];
        for key in (0..20_000_u64).map(mix) {
            let mut owners = table.owners(key);
            if owners.next() == Some(3)
                && let Some(heir) = owners.find(|&owner| owner != 3)
            {
                heirs[heir] += 1;
            }
        }
        let total: i32 = heirs.iter().sum();
        assert!(heirs.iter().enumerate().all(|(at, &heir)| at == 3 || heir > total / 18), "{heirs:?}");
    }

    #[test]
    fn an_empty_table_has_no_owners() {
        assert_eq!(table(&[]).owners(5).next(), None);
        assert_eq!(table(&[("a".into(), 0)]).owners(5).next(), None);
        assert_eq!(table(&[("a".into(), 1)]).owners(u64::MAX).count(), SLOTS as usize);
    }

    #[test]
    fn a_fraction_is_below_one() {
        assert!((0..1000).map(|key| fraction(mix(key))).all(|fraction| (0.0..1.0).contains(&fraction)));
        let low = (0..10_000).filter(|&key| fraction(mix(key)) < 0.1).count();
        assert!((800..1200).contains(&low), "{low}");
    }

    #[test]
    fn the_number_of_a_key_never_changes() {
        assert_eq!(hash_key(b""), mix(0xcbf2_9ce4_8422_2325));
        assert_eq!(hash_key(b"user-1"), 4_729_620_347_622_785_477);
    }
}
