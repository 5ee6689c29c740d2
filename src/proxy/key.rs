//! What of a request decides its endpoint, where the upstream's `balance` is a hash.

use std::net::IpAddr;

use http::header::COOKIE;

use super::decide::Incoming;
use super::exchange::{Exchange, Taken};
use crate::config::{Balance, HashKey};
use crate::head::Headers;
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

/// The value of a cookie (RFC 6265, 4.2): the first of that name.
fn cookie<'a>(headers: &'a dyn Headers, name: &[u8]) -> Option<&'a [u8]> {
    let mut found = None;
    headers.all(&COOKIE, &mut |value| {
        let pairs = value.split(|&byte| byte == b';').map(<[u8]>::trim_ascii);
        let value = pairs.filter_map(|pair| pair.strip_prefix(name)?.strip_prefix(b"=")).next();
        found = found.or(value);
    });
    found
}

#[cfg(test)]
mod tests {
    use http::{HeaderMap, HeaderValue};

    use super::*;

    #[test]
    fn a_cookie_is_found_among_others() {
        let mut headers = HeaderMap::new();
        headers.append(COOKIE, HeaderValue::from_static("xsid=1; a=b;sid=abc==; sid=second"));
        headers.append(COOKIE, HeaderValue::from_static("late=yes"));
        let value =
            |name: &str| cookie(&headers, name.as_bytes()).map(|value| String::from_utf8_lossy(value).into_owned());
        assert_eq!(value("sid").as_deref(), Some("abc=="));
        assert_eq!(value("late").as_deref(), Some("yes"));
        assert_eq!(value("none"), None);
        assert_eq!(value("si"), None);
    }
}
