//! Endpoints by DNS: the addresses of a name, or its SRV records (RFC 2782).

mod service;

use std::collections::BTreeSet;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use futures_util::future::join;
use hickory_resolver::TokioResolver;
use hickory_resolver::config::{ConnectionConfig, NameServerConfig, ResolveHosts, ResolverConfig};
use hickory_resolver::net::runtime::TokioRuntimeProvider;
use hickory_resolver::net::{DnsError, NetError};
use hickory_resolver::proto::op::ResponseCode;
use hickory_resolver::proto::rr::{Record, RecordType};

use super::{Answer, Endpoint, Source};
use crate::config::EndpointAddress;

/// How long one turn may take in all: several servers, tries and search domains.
const LONGEST_TURN: Duration = Duration::from_secs(10);
/// How long a server that the file names has for an answer, and how often it is asked again. For those of the system
/// `/etc/resolv.conf` says it.
const LONGEST_TRY: Duration = Duration::from_secs(2);
const MORE_TRIES: usize = 1;

/// A name that is looked up for endpoints.
#[derive(Debug)]
pub(super) struct Dns {
    wanted: Wanted,
    server: Option<SocketAddr>,
    /// The questions that had an answer in the last good turn.
    answered: BTreeSet<Question>,
}

#[derive(Debug)]
enum Wanted {
    /// A host's addresses, at this port.
    Host(String, u16),
    /// A service's servers.
    Service(String),
}

type Question = (String, RecordType);

impl Dns {
    /// The addresses of a host; from the system's servers if none is given.
    pub(super) fn host(host: &str, port: u16, server: Option<SocketAddr>) -> Self {
        Self::new(Wanted::Host(host.to_owned(), port), server)
    }

    /// The servers of a service; from the system's servers if none is given.
    pub(super) fn service(name: &str, server: Option<SocketAddr>) -> Self {
        Self::new(Wanted::Service(name.to_owned()), server)
    }

    fn new(wanted: Wanted, server: Option<SocketAddr>) -> Self {
        Self { wanted, server, answered: BTreeSet::new() }
    }

    async fn look_up(&mut self) -> Result<Answer, String> {
        let turn = Turn { resolver: resolver(self.server)?, before: &self.answered };
        let (answer, answered) = match &self.wanted {
            Wanted::Host(host, port) => turn.host(host, *port).await?,
            Wanted::Service(name) => turn.service(name).await?,
        };
        self.answered = answered;
        Ok(answer)
    }
}

impl Source for Dns {
    async fn ask(&mut self) -> Result<Answer, String> {
        match tokio::time::timeout(LONGEST_TURN, self.look_up()).await {
            Ok(result) => result,
            Err(_) => Err(format!("no answer within {}", humantime::format_duration(LONGEST_TURN))),
        }
    }
}

/// A resolver for one turn: the system's settings may have changed since the last one, and a connection may be dead.
/// It caches nothing, since it is we who know when to ask again.
fn resolver(server: Option<SocketAddr>) -> Result<TokioResolver, String> {
    let mut builder = match server {
        Some(server) => {
            let mut builder = TokioResolver::builder_with_config(only(server), TokioRuntimeProvider::default());
            let options = builder.options_mut();
            options.timeout = LONGEST_TRY;
            options.attempts = MORE_TRIES;
            options.use_hosts_file = ResolveHosts::Never;
            builder
        }
        None => TokioResolver::builder_tokio().map_err(|error| {
            format!("/etc/resolv.conf cannot be used ({}); mend it, or name a `resolver`", plain(&error))
        })?,
    };
    builder.options_mut().cache_size = 0;
    builder.build().map_err(|error| format!("no resolver can be made: {}", plain(&error)))
}

/// This server alone, by UDP, and by TCP where an answer is too long for that.
fn only(server: SocketAddr) -> ResolverConfig {
    let connections = [ConnectionConfig::udp(), ConnectionConfig::tcp()].map(|mut connection| {
        connection.port = server.port();
        connection
    });
    ResolverConfig::from_name_servers(vec![NameServerConfig::new(server.ip(), true, connections.into())])
}

/// What a name has: its addresses, for how long they hold, and which questions had an answer.
#[derive(Debug, Default)]
struct Addresses {
    addresses: Vec<IpAddr>,
    holds: Duration,
    answered: Vec<Question>,
}

/// Why a question has no answer.
enum Miss {
    /// The name has no records of this kind.
    NoRecords(&'static str),
    /// There is no such name.
    NoName,
    /// Nobody knows.
    Failed(String),
}

impl Miss {
    fn why(self, name: &str) -> String {
        match self {
            Self::NoRecords(kind) => format!("`{name}` has no {kind} records"),
            Self::NoName => format!("there is no name `{name}` (NXDOMAIN)"),
            Self::Failed(why) => why,
        }
    }

    /// Of two, the one with the higher rank says more.
    fn rank(&self) -> u8 {
        match self {
            Self::NoRecords(_) => 0,
            Self::NoName => 1,
            Self::Failed(_) => 2,
        }
    }
}

/// One turn of asking.
struct Turn<'a> {
    resolver: TokioResolver,
    before: &'a BTreeSet<Question>,
}

impl Turn<'_> {
    async fn host(&self, host: &str, port: u16) -> Result<(Answer, BTreeSet<Question>), String> {
        let Addresses { addresses, holds, answered } = self.addresses(host).await.map_err(|miss| miss.why(host))?;
        let found: BTreeSet<Endpoint> =
            addresses.into_iter().map(|ip| Endpoint::of(EndpointAddress::Socket(SocketAddr::new(ip, port)))).collect();
        Ok((Answer { found: found.into_iter().collect(), holds }, answered.into_iter().collect()))
    }

    /// A name's addresses of both families. One family alone will do where the other never had an answer (some servers
    /// are at a loss with AAAA); but one that had an answer and fails now has not lost its addresses.
    async fn addresses(&self, name: &str) -> Result<Addresses, Miss> {
        let both = join(self.records(name, RecordType::A), self.records(name, RecordType::AAAA)).await;
        let mut all = Addresses { holds: Duration::MAX, ..Addresses::default() };
        let mut misses = Vec::new();
        for (records, kind) in [(both.0, RecordType::A), (both.1, RecordType::AAAA)] {
            let question = (name.to_owned(), kind);
            match records {
                Ok(records) => {
                    all.addresses.extend(records.iter().filter_map(address));
                    all.holds = all.holds.min(ttl(&records));
                    all.answered.push(question);
                }
                Err(Miss::Failed(why)) if self.before.contains(&question) => return Err(Miss::Failed(why)),
                Err(miss) => misses.push(miss),
            }
        }
        // The last of the highest: what is said of the A records goes before what is said of the AAAA records.
        match misses.into_iter().rev().max_by_key(Miss::rank) {
            _ if !all.addresses.is_empty() => Ok(all),
            Some(miss @ (Miss::NoName | Miss::Failed(_))) => Err(miss),
            _ => Err(Miss::NoRecords("A or AAAA")),
        }
    }

    /// The records of this kind that a name has, with the aliases that lead to them; at least one is of this kind.
    async fn records(&self, name: &str, kind: RecordType) -> Result<Vec<Record>, Miss> {
        let answer = self.resolver.lookup(name, kind).await.map_err(|error| miss(&error, name, kind))?;
        if answer.answers().iter().any(|record| record.record_type() == kind) {
            Ok(answer.answers().to_vec())
        } else {
            Err(Miss::NoRecords(kind.into()))
        }
    }
}

/// Not `0.0.0.0`, with which servers that block names deny them, and which leads to this machine.
fn address(record: &Record) -> Option<IpAddr> {
    record.data.ip_addr().filter(|ip| !ip.is_unspecified())
}

/// The time that all of these hold.
fn ttl(records: &[Record]) -> Duration {
    Duration::from_secs(records.iter().map(|record| record.ttl).min().unwrap_or_default().into())
}

fn miss(error: &NetError, name: &str, kind: RecordType) -> Miss {
    match error {
        NetError::Dns(DnsError::NoRecordsFound(no)) if no.response_code == ResponseCode::NXDomain => Miss::NoName,
        NetError::Dns(DnsError::NoRecordsFound(_)) => Miss::NoRecords(kind.into()),
        error => Miss::Failed(format!("looking up the {kind} records of `{name}` failed: {}", plain(error))),
    }
}

/// The same words for the same reason.
fn plain(error: &NetError) -> String {
    match error {
        NetError::Timeout => "no answer in time".to_owned(),
        NetError::NoConnections => "the DNS server cannot be reached".to_owned(),
        NetError::Truncated => "the answer is cut off, over TCP too".to_owned(),
        NetError::Dns(DnsError::ResponseCode(ResponseCode::ServFail)) => "the DNS server answers SERVFAIL".to_owned(),
        NetError::Dns(DnsError::ResponseCode(ResponseCode::Refused)) => "the DNS server answers REFUSED".to_owned(),
        NetError::Dns(DnsError::ResponseCode(code)) => format!("the DNS server answers \"{code}\""),
        NetError::Proto(error) => format!("the answer is malformed ({error})"),
        NetError::Io(error) => error.to_string(),
        error => error.to_string(),
    }
}

#[cfg(test)]
mod tests;
