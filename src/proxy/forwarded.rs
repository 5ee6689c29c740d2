//! Who is asking, and what the upstream is told of it: `X-Forwarded-*` and `Forwarded` (RFC 7239).
//!
//! What a client says of itself is dropped; what a trusted proxy says is kept and carried on. The headers are written
//! into the copy of the head that leaves, after everything that the client could have used to take them away again.

use std::net::{IpAddr, SocketAddr};
use std::str::FromStr;

use http::header::{FORWARDED, HOST};
use http::{HeaderMap, HeaderName, HeaderValue};

use super::exchange::{Exchange, Peer};
use crate::config::{HostPolicy, Network};
use crate::filter::{Client, HeadersMut};
use crate::upstream::{Endpoint, Upstream};

const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const X_FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");
const X_FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
const X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// What services, their frameworks or the proxies before them are known to trust, and clients must not say of
/// themselves: addresses, certificates, and the URL that some frameworks route by in place of the real one.
const SPOOFABLE: [HeaderName; 9] = [
    FORWARDED,
    X_REQUEST_ID,
    HeaderName::from_static("x-real-ip"),
    HeaderName::from_static("x-client-ip"),
    HeaderName::from_static("x-cluster-client-ip"),
    HeaderName::from_static("true-client-ip"),
    HeaderName::from_static("cf-connecting-ip"),
    HeaderName::from_static("fastly-client-ip"),
    HeaderName::from_static("x-rewrite-url"),
];

/// The same, for whole families. Those of certificates are what nginx, HAProxy, AWS and RFC 9440 (4) name them by;
/// Envoy's is `X-Forwarded-Client-Cert`.
const SPOOFABLE_FAMILIES: [&str; 7] =
    ["x-forwarded-", "x-original-", "client-cert", "x-client-cert", "ssl-client-", "x-ssl-client-", "x-amzn-mtls-"];

/// Who is asking: the other end of the connection, or, if that is a trusted proxy, the last address in what it says
/// that is not one.
pub fn client(peer: Peer, is_secured: bool, headers: &HeaderMap, trusted_proxies: &[Network]) -> Client {
    let trusts = |ip| trusted_proxies.iter().any(|network| network.contains(ip));
    let (address, ip) = match peer {
        Peer::Inet(address) => (Some(address), peer.ip()),
        Peer::Unix => (None, None),
    };
    let trusted = trusts(ip);
    let https = is_said_to_be_https(headers).filter(|_| trusted).unwrap_or(is_secured);
    let mut client = Client { ip, peer: address, trusted, https };
    if trusted {
        for hop in hops(headers).into_iter().rev() {
            // What can't be read hides everything before it: believe no further.
            let Some(hop) = hop else { break };
            client.ip = Some(hop);
            if !trusts(Some(hop)) {
                break;
            }
        }
    }
    client
}

/// Whether the proxies say that the client came by TLS: the first word of `X-Forwarded-Proto`, or where there is none of
/// `Forwarded`, is the outermost one's. `None` where they don't say.
fn is_said_to_be_https(headers: &HeaderMap) -> Option<bool> {
    let first = |name: &HeaderName| Some(headers.get(name)?.to_str().ok()?.split(',').next()?.trim());
    if headers.contains_key(&X_FORWARDED_PROTO) {
        return first(&X_FORWARDED_PROTO).map(|proto| proto.eq_ignore_ascii_case("https"));
    }
    let pairs = first(&FORWARDED).into_iter().flat_map(|element| element.split(';'));
    let proto = |(key, value): (&str, &str)| {
        let is_https = value.trim().trim_matches('"').eq_ignore_ascii_case("https");
        key.trim().eq_ignore_ascii_case("proto").then_some(is_https)
    };
    pairs.filter_map(|pair| pair.split_once('=')).find_map(proto)
}

/// The addresses in `X-Forwarded-For`, or where there is none in `Forwarded`, oldest first; `None` for one that can't
/// be read.
fn hops(headers: &HeaderMap) -> Vec<Option<IpAddr>> {
    let of = |name: &HeaderName, hop: fn(&str) -> Option<IpAddr>| -> Vec<Option<IpAddr>> {
        let values = headers.get_all(name).iter();
        values
            .flat_map(|value| value.to_str().unwrap_or("?").split(',').map(|part| hop(part.trim())).collect::<Vec<_>>())
            .collect()
    };
    if headers.contains_key(&X_FORWARDED_FOR) {
        of(&X_FORWARDED_FOR, node)
    } else {
        of(&FORWARDED, |element| {
            let of_for = |pair: &str| {
                let (key, value) = pair.split_once('=')?;
                key.trim().eq_ignore_ascii_case("for").then(|| value.trim().trim_matches('"').to_owned())
            };
            element.split(';').find_map(of_for).as_deref().and_then(node)
        })
    }
}

/// `192.0.2.7`, `192.0.2.7:4711`, `2001:db8::1`, `[2001:db8::1]`, `[2001:db8::1]:4711`.
fn node(text: &str) -> Option<IpAddr> {
    let bare = text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(text);
    let ip = IpAddr::from_str(bare).ok().or_else(|| SocketAddr::from_str(text).ok().map(|address| address.ip()));
    ip.map(|ip| ip.to_canonical())
}

/// The exchange's id: what a trusted proxy calls it, if that is fit for logs, else 32 random hexadecimal digits.
pub fn request_id(headers: &HeaderMap, trusted: bool) -> Box<str> {
    let given = headers.get(&X_REQUEST_ID).filter(|_| trusted).and_then(|value| value.to_str().ok());
    match given {
        Some(id) if is_fit(id) => id.into(),
        _ => hex(fastrand::u128(..)),
    }
}

fn is_fit(id: &str) -> bool {
    (1..=128).contains(&id.len()) && id.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.:/+=@".contains(&b))
}

fn hex(number: u128) -> Box<str> {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let digits = (0..32).rev().map(|at| char::from(DIGITS[(number >> (at * 4)) as usize & 15]));
    digits.collect::<String>().into()
}

/// Whether a client must not say this of itself.
pub fn is_spoofable(name: &HeaderName) -> bool {
    static NAMES: [HeaderName; 9] = SPOOFABLE;
    NAMES.contains(name) || SPOOFABLE_FAMILIES.iter().any(|family| name.as_str().starts_with(family))
}

/// Writes what the upstream is told of the client into the head that leaves.
pub fn write(exchange: &Exchange, headers: &mut impl HeadersMut) {
    let client = &exchange.client;
    // What a client says of itself is dropped; a trusted proxy's word stays, and this hop is added to it.
    let said = |headers: &dyn crate::head::Headers, name: &HeaderName| {
        let mut said = String::new();
        if client.trusted {
            headers.all(name, &mut |value| {
                if let Ok(value) = std::str::from_utf8(value) {
                    join(&mut said, value);
                }
            });
        }
        said
    };
    let peer = client.peer.map(|peer| peer.ip().to_canonical());
    let mut chain = said(headers, &X_FORWARDED_FOR);
    if let Some(peer) = peer {
        join(&mut chain, &peer.to_string());
    }
    put(headers, &X_FORWARDED_FOR, &chain);
    let host = exchange.asked.authority.as_ref().map_or(&[][..], HeaderValue::as_bytes);
    let host = std::str::from_utf8(host).unwrap_or_default();
    let scheme = if exchange.tls.is_some() { "https" } else { "http" };
    for (name, own) in [(&X_FORWARDED_HOST, host), (&X_FORWARDED_PROTO, scheme)] {
        if said(headers, name).is_empty() {
            put(headers, name, own);
        }
    }
    let mut forwarded = said(headers, &FORWARDED);
    let node = match peer {
        Some(IpAddr::V4(ip)) => ip.to_string(),
        Some(IpAddr::V6(ip)) => format!("\"[{ip}]\""),
        None => "unknown".to_owned(),
    };
    join(&mut forwarded, &format!("for={node};host=\"{host}\";proto={scheme}"));
    put(headers, &FORWARDED, &forwarded);
}

fn join(list: &mut String, value: &str) {
    if !list.is_empty() {
        list.push_str(", ");
    }
    list.push_str(value);
}

fn put(headers: &mut impl HeadersMut, name: &HeaderName, value: &str) {
    match HeaderValue::from_str(value) {
        Ok(value) if !value.is_empty() => headers.set(name.clone(), value),
        _ => headers.remove(name),
    }
}

/// Writes the `Host` that the upstream wants to see.
pub fn write_host(exchange: &Exchange, headers: &mut impl HeadersMut) {
    let Some(onward) = exchange.onward.as_ref() else { return };
    if let Some(host) = host_of(&onward.upstream, onward.endpoint.as_deref()) {
        headers.set(HOST, host);
    }
}

/// The `Host` that an upstream wants to see; `None` where that is the client's.
pub fn host_of(upstream: &Upstream, endpoint: Option<&Endpoint>) -> Option<HeaderValue> {
    let host = match upstream.host() {
        HostPolicy::Client => return None,
        HostPolicy::Literal(host) => host,
        // A Unix socket's path is no authority.
        HostPolicy::Endpoint => match endpoint?.authority() {
            path if path.starts_with("unix:") => "localhost",
            name => name,
        },
    };
    HeaderValue::from_str(host).ok()
}
