//! One exchange: a request, its response, and all that is known of them on the way.

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::os::fd::RawFd;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use http::{Extensions, HeaderValue, Method, StatusCode, Version};

use super::arrival::Secured;
use super::evidence::{Evidence, MOST_EVIDENCE};
use super::fault::Fault;
use super::leg::Leg;
use super::mirror::Duplicate;
use super::symptom::Symptom;
use crate::filter::{BodyHook, Client, Edits, Identity, Reply};
use crate::head::Path;
use crate::head::grpc::Dialect;
use crate::observe::Record;
use crate::route::Match;
use crate::snapshot::{Listener, Route, Snapshot};
use crate::upstream::{Endpoint, Picked, Upgrade, Upstream};

/// The state of one exchange. Knows no server: the live proxy and `explain` fill and read the same.
pub struct Exchange {
    /// The configuration that holds for this exchange from beginning to end.
    pub snapshot: Arc<Snapshot>,
    /// The listener that it came in by, when that is known.
    pub listener: Option<Arc<Listener>>,
    /// When its head was whole.
    pub started: Instant,
    /// The same by the wall clock.
    pub started_at: SystemTime,
    /// What TLS has shown of the connection; `None` without TLS.
    pub tls: Option<Arc<Secured>>,
    /// Who is asking.
    pub client: Client,
    /// The id that it has in logs and error pages.
    pub request_id: Box<str>,
    /// What was asked, as far as it was understood.
    pub asked: Asked,
    /// The route that takes it.
    pub route: Option<Arc<Taken>>,
    /// How many filters of the route's chain have seen the request.
    pub entered: usize,
    /// What filters change in the request that goes on.
    pub edits: Edits,
    /// What filters keep for the way back.
    pub kept: Extensions,
    /// Whom a filter has found the request to come from.
    pub identity: Option<Arc<Identity>>,
    /// What filters do with the request's body, in this order.
    pub request_hooks: Vec<Box<dyn BodyHook>>,
    /// What filters do with the response's body: the last first.
    pub response_hooks: Vec<Box<dyn BodyHook>>,
    /// What a filter answers in the midst of the request's body.
    pub body_refused: Option<Box<Reply>>,
    /// Where it goes.
    pub onward: Option<Onward>,
    /// What came back.
    pub answered: Answered,
    /// The bound on the whole, if the route has one.
    pub timeout: Option<Duration>,
}

/// What was asked.
#[derive(Debug, Default)]
pub struct Asked {
    /// As the client sent it.
    pub method: Method,
    /// As the client sent it: path and query.
    pub target: Box<str>,
    /// The normalised host; empty until the head was checked.
    pub host: Box<str>,
    /// As the client sent it, for `X-Forwarded-Host`.
    pub authority: Option<HeaderValue>,
    /// The canonical path, when there is one and no route takes it.
    pub path: Option<Path>,
    /// Whether it is a WebSocket handshake.
    pub upgrade: bool,
    /// Where the query begins in `target`.
    pub query_at: Option<usize>,
    /// What filters have put in place of the query, until that is taken over; empty for none.
    pub other_query: Option<Box<str>>,
    /// The protocol version.
    pub version: Version,
    /// What kinds of answer the client likes.
    pub accept: Option<HeaderValue>,
    /// The origin of the page that asks.
    pub origin: Option<HeaderValue>,
    /// For the log.
    pub user_agent: Option<HeaderValue>,
    /// For the log.
    pub referer: Option<HeaderValue>,
    /// How it speaks gRPC, if it does.
    pub grpc: Option<Dialect>,
    /// Bytes of body that came from the client.
    pub body_bytes: u64,
    /// Whether the client waits for a 100 before it sends its body.
    pub expects: bool,
    /// Whether all of it came and went on.
    pub is_whole: bool,
}

/// The route that takes a request, and how.
pub struct Taken {
    /// The route.
    pub route: Arc<Route>,
    /// Which of its paths, and what its wildcards stand for.
    pub matched: Match,
    /// The one path.
    pub path: Path,
}

/// Where a request goes.
pub struct Onward {
    /// The upstream.
    pub upstream: Arc<Upstream>,
    /// Path and query that it goes on with.
    pub target: String,
    /// The number of what decides its endpoint, if the upstream's `balance` is a hash.
    pub key: Option<u64>,
    /// The endpoint that has it, and all that it holds there; `None` once the try is over.
    pub picked: Option<Picked>,
    /// The endpoints of the tries before.
    pub tried: Vec<Arc<Endpoint>>,
    /// The final status that the latest try brought.
    pub status: Option<StatusCode>,
    /// The endpoint of the latest try.
    pub endpoint: Option<Arc<Endpoint>>,
    /// Which of the endpoint's addresses is tried.
    pub address: usize,
    /// How often an endpoint was connected to, or was tried to be.
    pub tries: u32,
    /// How many tries count against the route's `attempts`: an endpoint's several addresses are one, and a kept
    /// connection that was closed is none.
    pub spent: u32,
    /// How long to wait before the next try.
    pub pause: Option<Duration>,
    /// Whether the latest try failed only as its kept connection was closed already.
    pub was_stale: bool,
    /// Whether any try did.
    pub was_forgiven: bool,
    /// Whether the latest try's response is left for another try.
    pub is_passed_over: bool,
    /// The socket of the latest try's connection, if no other exchange uses that.
    pub socket: Option<RawFd>,
    /// The latest try's, of a request that asks for one.
    pub upgrade: Option<Arc<Upgrade>>,
    /// Who gets a copy, until that has begun.
    pub mirror: Option<Arc<Upstream>>,
    /// The copy that is under way.
    pub copy: Option<Duplicate>,
    /// When the latest try began.
    pub tried_at: Option<Instant>,
    /// Whether the latest try has a connection.
    pub connected: bool,
    /// How long it took to connect; `None` for a kept connection.
    pub connected_after: Option<Duration>,
    /// Time from the beginning of the exchange to the head of the upstream's response.
    pub head_after: Option<Duration>,
}

/// What came back.
#[derive(Debug, Default)]
pub struct Answered {
    /// The status sent to the client; `None` until a final head was sent.
    pub status: Option<u16>,
    /// The status of a gRPC call, once it is known.
    pub grpc_status: Option<u16>,
    /// Bytes of body sent to the client.
    pub body_bytes: u64,
    /// Whether the upstream's response has come to its end.
    pub whole: bool,
    /// Why it failed, if it did.
    pub fault: Option<Fault>,
    /// The cause and the story of a refusal by a filter.
    pub refused: Option<(&'static str, String)>,
    /// The tries that failed, and how.
    pub failures: Vec<Evidence>,
    /// How many interim responses (1xx) the upstream has sent.
    pub interim: u32,
}

impl Exchange {
    /// An exchange about which nothing is known yet.
    pub fn new(snapshot: Arc<Snapshot>, listener: Option<Arc<Listener>>) -> Self {
        Self {
            snapshot,
            listener,
            started: Instant::now(),
            started_at: SystemTime::now(),
            tls: None,
            client: Client::default(),
            request_id: Box::default(),
            asked: Asked::default(),
            route: None,
            entered: 0,
            edits: Edits::default(),
            kept: Extensions::new(),
            identity: None,
            request_hooks: Vec::new(),
            response_hooks: Vec::new(),
            body_refused: None,
            onward: None,
            answered: Answered::default(),
            timeout: None,
        }
    }

    /// The query, as the client sent it or filters have left it.
    pub fn query(&self) -> Option<&str> {
        self.asked.query_at.and_then(|at| self.asked.target.get(at..))
    }

    /// Takes over what filters have put in place of the query.
    pub fn settle_query(&mut self) {
        let asked = &mut self.asked;
        let Some(query) = asked.other_query.take() else { return };
        let path = asked.target.get(..asked.query_at.map_or(asked.target.len(), |at| at - 1)).unwrap_or_default();
        let at = path.len() + 1;
        (asked.target, asked.query_at) = match &*query {
            "" => (path.into(), None),
            _ => (format!("{path}?{query}").into(), Some(at)),
        };
    }

    /// The canonical path, when the head was understood.
    pub fn path(&self) -> Option<&Path> {
        self.route.as_ref().map(|taken| &taken.path).or(self.asked.path.as_ref())
    }

    /// Marks it as failed, and tells the upstream what that says of its endpoint. The first fault counts: what follows
    /// from it is no news.
    pub fn fail(&mut self, fault: Fault) -> &Fault {
        if let Some(onward) = &mut self.onward {
            let waiting = self.asked.is_whole && onward.head_after.is_none();
            onward.end(fault.outcome(waiting), Instant::now());
        }
        self.answered.fault.get_or_insert(fault)
    }

    /// Writes down how the try that is under way failed, unless that, or why the exchange did, is known already.
    pub fn witness(&mut self, fault: &Fault, symptom: Symptom) {
        if self.answered.fault.is_none() && self.has_news() {
            let evidence = Evidence::of(fault, symptom, self);
            self.answered.failures.extend(evidence);
        }
    }

    /// Writes down that the response of the try that is under way is left for another try.
    pub fn witness_status(&mut self, status: u16) {
        if self.has_news() {
            let evidence = Evidence::of_status(status, self);
            self.answered.failures.extend(evidence);
        }
    }

    /// Whether nothing was written down of the try that is under way.
    fn has_news(&self) -> bool {
        let failures = &self.answered.failures;
        let tries = self.onward.as_ref().map_or(0, |onward| onward.tries);
        failures.len() < MOST_EVIDENCE && failures.last().is_none_or(|last| last.number < tries)
    }

    /// All that there is to say about what failed, for people.
    fn story(&self) -> Option<String> {
        let failures = self.answered.failures.iter().map(Evidence::to_string);
        let fault = self.answered.fault.as_ref().and_then(Fault::detail);
        let refused = self.answered.refused.as_ref().map(|(_, story)| story.clone());
        let told: Vec<String> = failures.chain(fault).chain(refused).collect();
        (!told.is_empty()).then(|| told.join("; "))
    }

    /// How far the try had come that the exchange failed with.
    fn phase(&self) -> Option<&'static str> {
        let fault = self.answered.fault.as_ref()?;
        if matches!(fault, Fault::HeadTimeout(_)) {
            return Some(Leg::Request.name());
        }
        let last = self.answered.failures.last().filter(|last| last.cause == Some(fault.cause()));
        last.map(|last| last.leg.name())
    }

    /// A line for the access log.
    pub fn record<'a>(&'a self, detail: &'a mut Option<String>) -> Record<'a> {
        let onward = self.onward.as_ref();
        let fault = self.answered.fault.as_ref();
        let refused = self.answered.refused.as_ref();
        *detail = self.story();
        Record {
            request_id: Some(&self.request_id),
            client: self.client.ip,
            // Where the target is not known, nor is the method.
            method: if self.asked.target.is_empty() { "" } else { self.asked.method.as_str() },
            host: Some(self.asked.host.as_bytes()).filter(|host| !host.is_empty()),
            target: self.asked.target.as_bytes(),
            version: self.asked.version,
            tls: self.tls.as_deref().map(|tls| tls.version),
            cipher: self.tls.as_deref().map(|tls| tls.cipher),
            listener: self.listener.as_deref().map(|listener| &*listener.name),
            route: self.route.as_ref().map(|taken| &*taken.route.name),
            identity: self.identity.as_ref().map(|identity| identity.subject.as_bytes()),
            upstream: onward.map(|onward| &**onward.upstream.name()),
            endpoint: onward.and_then(|onward| onward.endpoint.as_ref()).map(|endpoint| endpoint.name()),
            tries: onward.map_or(0, |onward| onward.tries),
            status: self.answered.status.or(fault.map(Fault::status)).unwrap_or(0),
            grpc_status: self.answered.grpc_status,
            total: self.started.elapsed(),
            connect: onward.and_then(|onward| onward.connected_after),
            upstream_head: onward.and_then(|onward| onward.head_after),
            received: self.asked.body_bytes,
            sent: self.answered.body_bytes,
            user_agent: self.asked.user_agent.as_ref().map(HeaderValue::as_bytes),
            referer: self.asked.referer.as_ref().map(HeaderValue::as_bytes),
            cause: fault.map(|fault| fault.cause().code()).or(refused.map(|(cause, _)| *cause)),
            phase: self.phase(),
            detail: detail.as_deref(),
            ..Record::at(self.started_at)
        }
    }
}

impl fmt::Debug for Exchange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Exchange")
            .field("request_id", &self.request_id)
            .field("asked", &self.asked)
            .finish_non_exhaustive()
    }
}

/// The other end of the connection.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Peer {
    /// An address.
    Inet(SocketAddr),
    /// A process on this machine, through a Unix socket.
    Unix,
}

impl Peer {
    /// Its address, IPv4 as such also where it came through an IPv6 socket; `None` on a Unix socket.
    pub fn ip(self) -> Option<IpAddr> {
        match self {
            Self::Inet(address) => Some(address.ip().to_canonical()),
            Self::Unix => None,
        }
    }
}
