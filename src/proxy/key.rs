//! What of a request decides its endpoint, where the upstream's `balance` is a hash.

use std::net::IpAddr;

use super::decide::Incoming;
use super::exchange::{Exchange, Taken};
use crate::config::{Balance, HashKey};
use crate::head::{Headers, cookie};
use crate::upstream::hash_key;

/// The number of a request's key; `None` without a hash, or where the request has no such key.
pub fn of(exchange: &Exchange, taken: &Taken, incoming: &Incoming<'_>, balance: &Balance) -> Option<u64> {
    let Balance::Hash(by) = balance else { return None };
    match by {
        HashKey::ClientIp => exchange.client.ip.map(|ip| match ip.to_canonical() {
            IpAddr::V4(ip) => hash_key(&ip.octets()),
            IpAddr::V6(ip) => hash_key(&ip.octets()),
        }),
        HashKey::Header(name) => exchange.edits.first(name, Headers::get(incoming.headers, name)).map(hash_key),
        HashKey::Cookie(name) => cookie(incoming.headers, name.as_bytes()).map(hash_key),
        HashKey::Path(name) => taken.matched.param(&taken.path, name).map(|value| hash_key(value.as_bytes())),
    }
}
