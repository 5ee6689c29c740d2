//! `ip`: who may come in, by the client's address.
//!
//! ```yaml
//! filters:
//!   ip: {allow: [10.0.0.0/8, 192.0.2.7], deny: [10.9.0.0/16]}
//! ```
//!
//! An address on `deny` is refused, whatever `allow` says; with an `allow` list all that are not on it are refused.
//! The refusal is a 403. The address is the connection's, or what a trusted proxy said of the client (see the
//! listener's `trusted_proxies`). A client without an address, on a Unix socket, is let in only by `unix` on `allow`.

use std::net::IpAddr;

use ipnet::IpNet;
use schemars::JsonSchema;
use serde::Deserialize;

use crate::config::Network;
use crate::filter::{Configure, Env, Filter, Flow, Problems, Reply, Request, Result, Stage, async_trait};

/// Refuses clients by their address.
pub(super) struct Ip {
    allow: Option<Networks>,
    deny: Networks,
}

/// Networks that may or may not come in.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Config {
    /// Only these may come in.
    allow: Option<Vec<Network>>,
    /// These may not, whatever `allow` says.
    #[serde(default)]
    deny: Vec<Network>,
}

/// Networks as sorted ranges that don't touch, so that a list of thousands costs a binary search.
#[derive(Default)]
struct Networks {
    v4: Vec<(u32, u32)>,
    v6: Vec<(u128, u128)>,
    unix: bool,
}

impl Networks {
    fn new(networks: &[Network]) -> Self {
        let unix = networks.contains(&Network::Unix);
        let nets: Vec<IpNet> = networks
            .iter()
            .filter_map(|network| match network {
                Network::Inet(net) => Some(*net),
                Network::Unix => None,
            })
            .collect();
        let mut all = Self { unix, ..Self::default() };
        for net in IpNet::aggregate(&nets) {
            match net {
                IpNet::V4(net) => all.v4.push((net.network().into(), net.broadcast().into())),
                IpNet::V6(net) => all.v6.push((net.network().into(), net.broadcast().into())),
            }
        }
        all.v4.sort_unstable();
        all.v6.sort_unstable();
        all
    }

    fn contains(&self, ip: Option<IpAddr>) -> bool {
        match ip {
            Some(IpAddr::V4(ip)) => within(&self.v4, ip.into()),
            Some(IpAddr::V6(ip)) => within(&self.v6, ip.into()),
            None => self.unix,
        }
    }
}

fn within<T: Copy + Ord>(ranges: &[(T, T)], value: T) -> bool {
    let after = ranges.partition_point(|&(first, _)| first <= value);
    after.checked_sub(1).is_some_and(|at| value <= ranges[at].1)
}

#[async_trait]
impl Filter for Ip {
    async fn request(&self, request: &mut Request<'_>) -> Result<Flow> {
        let ip = request.subject.client.ip;
        let shown = || ip.map_or_else(|| "a client without an address".to_owned(), |ip| ip.to_string());
        let why = match (&self.allow, ip) {
            _ if self.deny.contains(ip) => format!("{} is on `deny`", shown()),
            (Some(allow), _) if !allow.contains(ip) => format!("{} is not on `allow`", shown()),
            // Closed rather than open: nothing can be said of such a client, so a `deny` list cannot clear it.
            (None, None) => format!("{} is let in only by `unix` on `allow`", shown()),
            _ => {
                request.note(|| format!("{} may come in", shown()));
                return Ok(Flow::Continue);
            }
        };
        Ok(Reply::problem(403, "this address may not come in").because("ip_denied", why).into())
    }
}

impl Configure for Ip {
    const KIND: &'static str = "ip";
    const STAGE: Stage = Stage::Address;
    type Config = Config;

    fn configure(config: Config, _: &Env<'_>) -> std::result::Result<Self, Problems> {
        match (&config.allow, config.deny.is_empty()) {
            (None, true) => return Err("give `allow`, `deny` or both, e.g. `ip: {allow: [10.0.0.0/8]}`".into()),
            (Some(allow), _) if allow.is_empty() => {
                let mut problems = Problems::default();
                problems.add(&["allow"], "an empty list lets nobody in; name networks, or leave `allow` out");
                return Err(problems);
            }
            _ => {}
        }
        Ok(Self { allow: config.allow.as_deref().map(Networks::new), deny: Networks::new(&config.deny) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn networks(texts: &[&str]) -> Networks {
        let list: Vec<Network> = texts
            .iter()
            .map(|text| if *text == "unix" { Network::Unix } else { Network::Inet(text.parse().unwrap()) })
            .collect();
        Networks::new(&list)
    }

    #[test]
    fn a_network_holds_its_first_and_last_address_and_no_more() {
        let nets = networks(&["10.0.0.0/8", "192.0.2.7/32", "2001:db8::/32"]);
        for ip in ["10.0.0.0", "10.255.255.255", "192.0.2.7", "2001:db8::", "2001:db8:ffff:ffff:ffff:ffff:ffff:ffff"] {
            assert!(nets.contains(Some(ip.parse().unwrap())), "{ip}");
        }
        for ip in ["9.255.255.255", "11.0.0.0", "192.0.2.6", "192.0.2.8", "2001:db7:ffff::", "2001:db9::"] {
            assert!(!nets.contains(Some(ip.parse().unwrap())), "{ip}");
        }
        assert!(!nets.contains(None));
        assert!(networks(&["unix"]).contains(None));
    }

    #[test]
    fn networks_inside_one_another_are_one() {
        let nets = networks(&["10.1.0.0/16", "10.0.0.0/8", "10.1.2.3/32"]);
        assert!(nets.contains(Some("10.200.0.1".parse().unwrap())));
        assert_eq!(nets.v4.len(), 1);
    }
}
