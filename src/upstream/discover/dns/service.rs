//! SRV records: which servers a service has, and their shares (RFC 2782).

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::time::Duration;

use futures_util::stream::{StreamExt, iter};
use hickory_resolver::proto::rr::rdata::SRV;
use hickory_resolver::proto::rr::{RData, Record, RecordType};

use super::super::{Answer, Endpoint};
use super::{Addresses, Miss, Question, Turn, ttl};
use crate::config::{EndpointAddress, Weight};

/// How many targets are looked up at once.
const AT_ONCE: usize = 8;
/// The largest weight of an endpoint.
const HEAVIEST: u32 = 1000;

impl Turn<'_> {
    pub(super) async fn service(&self, name: &str) -> Result<(Answer, BTreeSet<Question>), String> {
        let records = self.records(name, RecordType::SRV).await.map_err(|miss| miss.why(name))?;
        let services: Vec<&SRV> = records.iter().filter_map(service).collect();
        if services.is_empty() {
            return Err(format!("`{name}` says that there is no such service (an SRV record with the target `.`)"));
        }
        let targets = self.targets(&services).await?;
        let holds = targets.values().map(|target| target.holds).fold(ttl(&records), Duration::min);
        let servers: Vec<Server> = services
            .iter()
            .filter_map(|service| Some((service, targets.get(&service.target.to_string())?)))
            .flat_map(|(service, target)| {
                target.addresses.iter().map(|&ip| Server {
                    priority: service.priority,
                    weight: service.weight,
                    address: SocketAddr::new(ip, service.port),
                })
            })
            .collect();
        let answered = targets.into_values().flat_map(|target| target.answered).collect();
        Ok((Answer { found: found(&servers), holds }, answered))
    }

    /// The targets' addresses. One that does not exist is left out, as long as there are others; one that nobody knows
    /// of makes the whole unknown.
    async fn targets(&self, services: &[&SRV]) -> Result<BTreeMap<String, Addresses>, String> {
        let names: BTreeSet<String> = services.iter().map(|service| service.target.to_string()).collect();
        let look_ups = iter(names).map(|name| async { (self.addresses(&name).await, name) });
        let results: Vec<_> = look_ups.buffer_unordered(AT_ONCE).collect().await;
        let mut targets = BTreeMap::new();
        let mut nothing = BTreeSet::new();
        for (result, name) in results {
            match result {
                Ok(addresses) => drop(targets.insert(name, addresses)),
                Err(Miss::Failed(why)) => return Err(why),
                Err(miss) => drop(nothing.insert(miss.why(&name))),
            }
        }
        match nothing.into_iter().next() {
            Some(why) if targets.is_empty() => Err(why),
            _ => Ok(targets),
        }
    }
}

/// A usable one: the target `.` means that the service is decidedly not there, and port 0 can't be connected to.
fn service(record: &Record) -> Option<&SRV> {
    match &record.data {
        RData::SRV(service) if !service.target.is_root() && service.port != 0 => Some(service),
        _ => None,
    }
}

/// An address of an SRV record's target. Where a target has several, each has the record's weight.
#[derive(Debug, Clone, Copy)]
struct Server {
    priority: u16,
    weight: u16,
    address: SocketAddr,
}

/// The endpoints that servers make: the lowest priority's get the requests, the others are backups. Weights are the
/// records' own, but where a priority has only zeros, these are equal shares; and weights above 1000 shrink in
/// proportion, so that the heaviest has 1000 and none vanishes.
fn found(servers: &[Server]) -> Vec<Endpoint> {
    let Some(first) = servers.iter().map(|server| server.priority).min() else { return Vec::new() };
    let weighed: BTreeSet<u16> =
        servers.iter().filter(|server| server.weight > 0).map(|server| server.priority).collect();
    let mut shares: BTreeMap<SocketAddr, (bool, u32)> = BTreeMap::new();
    let mut in_order = servers.to_vec();
    in_order.sort_by_key(|server| server.priority);
    for server in in_order {
        let backup = server.priority != first;
        let weight = if weighed.contains(&server.priority) { server.weight.into() } else { 1 };
        let share = shares.entry(server.address).or_insert((backup, 0));
        // Who is among the first is no backup as well.
        if share.0 == backup {
            share.1 += weight;
        }
    }
    let heaviest = |of: bool| shares.values().filter(|share| share.0 == of).map(|share| share.1).max().unwrap_or(0);
    let heaviest = [heaviest(false), heaviest(true)];
    shares
        .into_iter()
        .map(|(address, (backup, weight))| Endpoint {
            address: EndpointAddress::Socket(address),
            weight: Weight(shrunk(weight, heaviest[usize::from(backup)])),
            backup,
        })
        .collect()
}

fn shrunk(weight: u32, heaviest: u32) -> u16 {
    let weight = match heaviest {
        ..=HEAVIEST => weight,
        _ if weight == 0 => 0,
        _ => (u64::from(weight) * u64::from(HEAVIEST) / u64::from(heaviest)).max(1) as u32,
    };
    u16::try_from(weight).unwrap_or(HEAVIEST as u16)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Priority, weight and port → port, weight and whether it is a backup.
    fn made(servers: &[(u16, u16, u16)]) -> Vec<(u16, u16, bool)> {
        let servers: Vec<Server> = servers
            .iter()
            .map(|&(priority, weight, port)| Server { priority, weight, address: ([127, 0, 0, 1], port).into() })
            .collect();
        found(&servers)
            .into_iter()
            .map(|found| match found.address {
                EndpointAddress::Socket(address) => (address.port(), found.weight.0, found.backup),
                other => panic!("{other} is no socket address"),
            })
            .collect()
    }

    #[test]
    fn the_lowest_priority_gets_the_requests_and_the_others_are_backups() {
        assert_eq!(
            made(&[(20, 1, 3), (10, 5, 2), (30, 7, 4), (10, 2, 1)]),
            [(1, 2, false), (2, 5, false), (3, 1, true), (4, 7, true)]
        );
    }

    #[test]
    fn zeros_alone_are_equal_shares_and_beside_others_no_share() {
        assert_eq!(
            made(&[(1, 0, 1), (1, 0, 2), (2, 0, 3), (2, 4, 4)]),
            [(1, 1, false), (2, 1, false), (3, 0, true), (4, 4, true)]
        );
    }

    #[test]
    fn heavy_weights_shrink_in_proportion_and_none_vanishes() {
        assert_eq!(
            made(&[(1, 50_000, 1), (1, 25_000, 2), (1, 1, 3), (1, 0, 4), (2, 500, 5)]),
            [(1, 1000, false), (2, 500, false), (3, 1, false), (4, 0, false), (5, 500, true),]
        );
    }

    #[test]
    fn an_address_stands_once_and_is_no_backup_of_itself() {
        assert_eq!(made(&[(2, 9, 1), (1, 3, 1), (1, 2, 1)]), [(1, 5, false)]);
        assert!(made(&[]).is_empty());
    }
}
