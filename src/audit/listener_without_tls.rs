//! Credentials in the clear between clients and the door.

use super::{Door, Finding};
use crate::config::{ListenAddress, Listener, is_inside};
use crate::filter::Stage;

pub(super) fn check(door: &Door<'_>) -> Vec<Finding> {
    let asks = |link: &crate::filter::Link| link.order.0 == Stage::Auth;
    let Some((route, ..)) = door.routes().find(|(_, _, route)| route.chain.links().iter().any(asks)) else {
        return Vec::new();
    };
    let plain = door.config().listeners.iter().filter(|(_, listener)| is_open(listener) && !has_tls(listener));
    plain
        .map(|(name, _)| {
            let reason = format!("clients send their credentials in the clear, since route `{route}` asks for some");
            let remedy = "have a proxy end TLS before it and name that in `trusted_proxies`, or listen on an address that \
                          only it reaches";
            door.finding(&["listeners", name.as_ref(), "address"], "listener_without_tls", reason, remedy)
        })
        .collect()
}

/// Whether clients of public networks may reach it by themselves. With `trusted_proxies` somebody stands before it.
fn is_open(listener: &Listener) -> bool {
    match &listener.address {
        ListenAddress::Unix(_) => false,
        ListenAddress::Tcp(address) => {
            (address.ip().is_unspecified() || !is_inside(address.ip())) && listener.trusted_proxies.is_empty()
        }
    }
}

/// Whether clients speak TLS to it.
fn has_tls(_: &Listener) -> bool {
    false
}
