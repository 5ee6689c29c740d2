//! Listeners that take anybody's word about who the client is.

use super::{Door, Finding};
use crate::config::{ListenAddress, Network};

pub(super) fn check(door: &Door<'_>) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (name, listener) in &door.config().listeners {
        if is_local(&listener.address) {
            continue;
        }
        for (key, networks) in
            [("trusted_proxies", &listener.trusted_proxies), ("proxy_protocol", &listener.proxy_protocol)]
        {
            for (index, network) in networks.iter().enumerate().filter(|(_, network)| is_wide(network)) {
                let index = index.to_string();
                let path = ["listeners", name.as_ref(), key, &index];
                let reason =
                    format!("whoever comes from {network} may claim any address, and pass `ip` and `rate_limit` by it");
                let remedy = "name only the networks of your own proxies";
                findings.push(door.finding(&path, "trusts_everybody", reason, remedy));
            }
        }
    }
    findings
}

/// Whether only this machine reaches it.
fn is_local(address: &ListenAddress) -> bool {
    match address {
        ListenAddress::Tcp(address) => address.ip().is_loopback(),
        ListenAddress::Unix(_) => true,
    }
}

/// Larger than what anybody has of the public internet for proxies of his own: content networks name /13 and /29.
fn is_wide(network: &Network) -> bool {
    let prefix = match network {
        Network::Inet(net) => net.prefix_len(),
        Network::Unix => return false,
    };
    let least = if matches!(network, Network::Inet(net) if net.addr().is_ipv4()) { 8 } else { 16 };
    prefix < least && !network.is_inside()
}
