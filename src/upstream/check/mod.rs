//! Active health checks: each endpoint is asked, again and again, whether it is well.
//!
//! A check takes the way that a request takes: the endpoint's own prepared peers, so that TLS, ALPN, its own CA and
//! client certificates apply. Its connection is new and is closed afterwards: one that was taken from the requests'
//! pool would hide that no new one can be made. What counts as healthy after how many checks is for the upstream to
//! say; here it is only found out.
//!
//! ```text
//! Schedule ── whose turn ──▸ Checker::check ── Connector ──▸ Http · Grpc ──▸ Ok, or a reason in a few words
//! ```

mod connect;
mod grpc;
mod head;
mod http;
mod reason;
mod schedule;
mod watch;

use std::sync::Arc;
use std::time::Duration;

use ::http::uri::Authority;
use pingora::protocols::Stream;
use pingora::upstreams::peer::HttpPeer;

use super::Endpoint;
use crate::config::{CheckKind, HealthCheck, HostPolicy};
pub use connect::Connector;

/// What is checked: one server with one name, at one or more addresses.
pub trait Member: Send + Sync + 'static {
    /// Its address as the file has it. Results are reported by it.
    fn name(&self) -> &str;

    /// Its host, for a check that names none: a host and a port, or a Unix socket's path.
    fn authority(&self) -> &str {
        self.name()
    }

    /// How to reach it, one peer for each of its addresses: the first that takes the connection is asked.
    fn peers(&self) -> &[HttpPeer];
}

impl Member for Endpoint {
    fn name(&self) -> &str {
        self.name()
    }

    fn authority(&self) -> &str {
        self.authority()
    }

    fn peers(&self) -> &[HttpPeer] {
        self.peers()
    }
}

/// Checks the endpoints of one upstream, as its part of the file says. Two are equal if they ask the same, also where
/// secrets are read from other places.
#[derive(Debug, PartialEq)]
pub struct Checker {
    kind: Kind,
    interval: Duration,
    timeout: Duration,
    port: Option<u16>,
    /// The upstream's own `host`, where it is a literal.
    host: Option<Authority>,
    connector: Connector,
}

#[derive(Debug, PartialEq)]
enum Kind {
    Tcp,
    Http(http::Http),
    Grpc(grpc::Grpc),
}

impl Checker {
    /// Prepares everything, and reads the secrets that headers have, so it is made when the file is loaded. Starts
    /// nothing. `host` is the upstream's: a check without a `host` of its own asks for that, if it is a literal.
    ///
    /// # Errors
    /// Each header that can't be sent, by its name, and why, as sentences for people.
    pub fn new(
        settings: &HealthCheck,
        host: &HostPolicy,
        connector: &Connector,
    ) -> Result<Self, Vec<(String, String)>> {
        let kind = match &settings.kind {
            CheckKind::Tcp => Kind::Tcp,
            CheckKind::Http(settings) => Kind::Http(http::Http::new(settings)?),
            CheckKind::Grpc(grpc) => Kind::Grpc(grpc::Grpc::new(grpc, settings.timeout.0)?),
        };
        let host = match host {
            HostPolicy::Literal(host) => host.parse().ok(),
            HostPolicy::Client | HostPolicy::Endpoint => None,
        };
        Ok(Self {
            kind,
            interval: settings.interval.0,
            timeout: settings.timeout.0,
            port: settings.port.map(Into::into),
            host,
            connector: connector.clone(),
        })
    }

    /// Asks once.
    ///
    /// # Errors
    /// Why it is not well, in a few words without its name: `refused`, `no answer in 1s`, `status 503, expected
    /// 200-299`, `NOT_SERVING`.
    pub async fn check(&self, member: &impl Member) -> Result<(), String> {
        let mut awaited = "connection";
        let asked = tokio::time::timeout(self.timeout, async {
            let (stream, peer) = self.connector.connect(self.peers(member)?, self.timeout).await?;
            awaited = "answer";
            self.ask(member.authority(), stream, &peer).await
        });
        let asked = asked.await;
        asked.unwrap_or_else(|_| Err(format!("no {awaited} in {}", humantime::format_duration(self.timeout))))
    }

    /// Checks members until it is dropped, or until `members` says `None`: each of them once an interval, give or take
    /// 15 %; the first time at once, or spread over the first interval (at least a second) if they are more than the
    /// 32 that are checked at the same time. `members` is asked anew every second; by their names those that stay keep
    /// their turn. `report` gets each result with the member's name, and should return soon.
    pub async fn watch<M: Member>(
        self: Arc<Self>,
        members: impl Fn() -> Option<Vec<Arc<M>>>,
        report: impl Fn(&str, Result<(), String>),
    ) {
        let check = |member: Arc<M>| {
            let checker = self.clone();
            async move { checker.check(&*member).await }
        };
        watch::watch(self.interval, check, members, report).await;
    }

    /// The peers as they are to be checked.
    fn peers(&self, member: &impl Member) -> Result<Vec<HttpPeer>, String> {
        let mut peers = member.peers().to_vec();
        for peer in &mut peers {
            if let Kind::Grpc(_) = self.kind {
                // Over TLS nothing else is offered; without it, HTTP/2 is spoken at once.
                peer.options.set_http_version(2, 2);
            }
            if let Some(port) = self.port {
                if peer._address.as_inet().is_none() {
                    return Err(format!("a Unix socket has no port {port} to check"));
                }
                peer._address.set_port(port);
            }
        }
        Ok(peers)
    }

    async fn ask(&self, own: &str, stream: Stream, peer: &HttpPeer) -> Result<(), String> {
        match &self.kind {
            Kind::Tcp => Ok(()),
            Kind::Http(http) => http.ask(connect::session(stream, peer).await?, peer, &self.host(own, peer)).await,
            Kind::Grpc(grpc) => grpc.ask(connect::session(stream, peer).await?, peer, &self.host(own, peer)).await,
        }
    }

    /// The host to ask for if the check has none: the upstream's, the one that TLS verified, or the endpoint's own.
    fn host(&self, own: &str, peer: &HttpPeer) -> Authority {
        let sni = || (peer.is_tls() && !peer.sni.is_empty()).then(|| peer.sni.parse().ok())?;
        // A Unix socket's path is no authority.
        let address = || own.parse().ok().filter(|_| !own.starts_with("unix:"));
        let host = self.host.clone().or_else(sni).or_else(address);
        host.unwrap_or_else(|| Authority::from_static("localhost"))
    }
}

#[cfg(test)]
mod tests;
