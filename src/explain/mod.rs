//! What the door would do with a request, and why: the live proxy's own engine, asked on paper.

mod trial;

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;

use http::header::HOST;
use http::{HeaderMap, HeaderValue, Method, Version};
use serde::Serialize;
use serde_json::Value;

use crate::filter::{Identity, Verdict};
pub use crate::proxy::Peer;
use crate::proxy::{self, Decision, Exchange, Fault, Incoming};
use crate::snapshot::{Action, Listener, Snapshot};
use crate::upstream::Using;
pub use trial::{Shortfall, try_all};

/// A request on paper.
#[derive(Debug, Clone)]
pub struct Question {
    /// The method.
    pub method: Method,
    /// The target as it would stand in the request line: path and query, or an absolute URL.
    pub target: String,
    /// The headers. Without a `Host` the request is for the target's authority, or for `localhost`.
    pub headers: HeaderMap,
    /// Who asks.
    pub peer: Peer,
    /// The listener that it comes in by; if none is named the first by name, but one that sends everybody to `https`
    /// only if there is no other.
    pub listener: Option<String>,
    /// Whom it comes from, as if `auth` had found that out already.
    pub identity: Option<Identity>,
}

impl Question {
    /// A request without headers from this machine.
    pub fn new(method: Method, target: impl Into<String>) -> Self {
        Self {
            method,
            target: target.into(),
            headers: HeaderMap::new(),
            peer: Peer::Inet(SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 0)),
            listener: None,
            identity: None,
        }
    }

    /// Takes it for granted whom the request comes from: `sub` is the subject, and all of it are its claims.
    pub fn assume(&mut self, said: impl IntoIterator<Item = (String, Value)>) {
        let claims: serde_json::Map<String, Value> = said.into_iter().collect();
        let subject = claims.get("sub").map(|sub| sub.as_str().map_or_else(|| sub.to_string(), str::to_owned));
        self.identity = Some(Identity { claims, ..Identity::new(subject.unwrap_or_default(), "assumed") });
    }
}

/// What the door would do, and why.
#[derive(Debug, Serialize)]
pub struct Explanation {
    /// Method and target as they were asked about.
    pub request: String,
    /// The listener that it would come in by.
    pub listener: Option<String>,
    /// The normalised host.
    pub host: Option<String>,
    /// The path that is matched.
    pub canonical: Option<String>,
    /// The client's address.
    pub client: Option<IpAddr>,
    /// The route that wins.
    pub route: Option<String>,
    /// The status, where the door answers by itself.
    pub status: Option<u16>,
    /// The cause that the log would have, where something is refused.
    pub cause: Option<&'static str>,
    /// The story behind the cause.
    pub detail: Option<String>,
    /// The upstream that it goes to.
    pub upstream: Option<String>,
    /// The endpoint whose turn it would be in a door that has just started.
    pub endpoint: Option<String>,
    /// Whom the upstream uses, where that is not its primary endpoints as it should be.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub using: Option<Using>,
    /// Where its endpoints are discovered and none is known yet: where that looks, and why there is none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub discovery: Option<String>,
    /// Where the route shares its requests out: all upstreams and their weights.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub shares: Vec<Share>,
    /// Path and query as the upstream sees them; the canonical path where nothing goes on.
    pub path: Option<String>,
    /// The bound on the whole exchange, in milliseconds.
    pub timeout_ms: Option<u64>,
    /// When the request would be tried again; `None`: never.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub retry: Option<String>,
    /// Who gets copies of such requests, and of which share.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mirror: Option<String>,
    /// Every filter of the route with what it says, in their order.
    pub filters: Vec<Verdict>,
    /// Headers as the upstream sees them, or of the door's own answer.
    pub headers: Vec<(String, String)>,
    /// The door's own answer.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub body: Option<String>,
    /// Routes that came near, and all that each failed by.
    pub near: Vec<Nearby>,
}

/// One part of a weighted `to`.
#[derive(Debug, Serialize)]
pub struct Share {
    /// The upstream.
    pub upstream: String,
    /// Its weight.
    pub weight: u16,
}

/// A route that came near.
#[derive(Debug, Serialize)]
pub struct Nearby {
    /// Its name.
    pub route: String,
    /// All that it failed by, joined by `; `; or what is more specific.
    pub failed: String,
}

/// Asks the engine.
pub async fn explain(snapshot: &Arc<Snapshot>, question: &Question) -> Explanation {
    asked(snapshot, question, Endpoints::AsTheyAre).await
}

/// What is taken for granted of an upstream's endpoints.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Endpoints {
    /// Nothing: one that is down now is down.
    AsTheyAre,
    /// One takes the request, unless the file itself says that none does.
    AsTheFileHasThem,
}

async fn asked(snapshot: &Arc<Snapshot>, question: &Question, endpoints: Endpoints) -> Explanation {
    let listener = question.listener.as_deref().and_then(|name| snapshot.listener(name));
    let listener = listener.or_else(|| usual(snapshot.listeners())).cloned();
    let is_secure = listener.as_deref().is_some_and(|listener| listener.tls.is_some());
    let mut headers = question.headers.clone();
    headers.entry(HOST).or_insert_with(|| host_of(&question.target));
    let incoming = Incoming {
        method: &question.method,
        version: Version::HTTP_11,
        target: &question.target,
        headers: &headers,
        problem: None,
        peer: question.peer,
        tls: is_secure.then(Arc::default),
    };
    let mut exchange = Exchange::new(snapshot.clone(), listener);
    exchange.identity = question.identity.clone().map(Arc::new);
    let mut trace = Vec::new();
    let decision = match proxy::route(&mut exchange, &incoming) {
        Ok(()) => proxy::run(&mut exchange, &incoming, Some(&mut trace)).await,
        Err(decision) => proxy::unrouted(&mut exchange, &incoming, *decision).await,
    };
    let near = near(snapshot, &exchange, &incoming);
    let mut explanation = understood(question, &exchange, trace, near);
    match decision {
        Decision::Forward => explanation.forwarded(&mut exchange, headers, endpoints).await,
        Decision::Reply(reply) => explanation.answered(&mut exchange, reply).await,
        Decision::Refuse(fault) => {
            let reply = exchange.fail(fault).reply();
            explanation.answered(&mut exchange, reply).await;
        }
    }
    explanation
}

/// The listener of a question that names none.
fn usual(listeners: &[Arc<Listener>]) -> Option<&Arc<Listener>> {
    listeners.iter().find(|listener| listener.redirect.is_none()).or_else(|| listeners.first())
}

/// The `Host` that a client would send with this target.
fn host_of(target: &str) -> HeaderValue {
    let authority = target.split_once("://").map(|(_, rest)| rest.split(['/', '?']).next().unwrap_or_default());
    authority
        .and_then(|authority| HeaderValue::from_str(authority).ok())
        .unwrap_or(HeaderValue::from_static("localhost"))
}

fn understood(question: &Question, exchange: &Exchange, trace: Vec<Verdict>, near: Vec<Nearby>) -> Explanation {
    let canonical = exchange.path().map(|path| path.canonical().to_owned());
    Explanation {
        request: format!("{} {}", question.method, question.target),
        listener: exchange.listener.as_deref().map(|listener| listener.name.to_string()),
        host: Some(exchange.asked.host.to_string()).filter(|host| !host.is_empty()),
        canonical: canonical.clone(),
        client: exchange.client.ip,
        route: exchange.route.as_ref().map(|taken| taken.route.name.to_string()),
        status: None,
        cause: None,
        detail: None,
        upstream: None,
        endpoint: None,
        using: None,
        discovery: None,
        shares: shares(exchange),
        path: canonical,
        timeout_ms: exchange.timeout.map(|timeout| u64::try_from(timeout.as_millis()).unwrap_or(u64::MAX)),
        retry: None,
        mirror: None,
        filters: verdicts(exchange, trace),
        headers: Vec::new(),
        body: None,
        near,
    }
}

/// What each filter said, and that the others were not asked.
fn verdicts(exchange: &Exchange, mut verdicts: Vec<Verdict>) -> Vec<Verdict> {
    let links = exchange.route.as_ref().map_or(&[][..], |taken| taken.route.chain.links());
    let silent = links.iter().skip(verdicts.len()).map(|link| Verdict {
        kind: link.kind,
        verdict: "not reached".into(),
        notes: Vec::new(),
    });
    let silent: Vec<Verdict> = silent.collect();
    verdicts.extend(silent);
    verdicts
}

fn shares(exchange: &Exchange) -> Vec<Share> {
    match exchange.route.as_ref().map(|taken| &taken.route.action) {
        Some(Action::Forward(forward)) if forward.targets.len() > 1 => forward
            .targets
            .iter()
            .map(|target| Share { upstream: target.upstream.name().to_string(), weight: target.weight })
            .collect(),
        _ => Vec::new(),
    }
}

fn near(snapshot: &Snapshot, exchange: &Exchange, incoming: &Incoming<'_>) -> Vec<Nearby> {
    let Some(path) = exchange.path() else {
        return Vec::new();
    };
    let head = proxy::head(exchange, incoming, path);
    let name = |route: usize| snapshot.routes().get(route).map_or(String::new(), |route| route.name.to_string());
    snapshot
        .table()
        .near(&head)
        .into_iter()
        .map(|near| Nearby { route: name(near.route), failed: near.failed })
        .collect()
}

impl Explanation {
    /// The request as the upstream would see it.
    async fn forwarded(&mut self, exchange: &mut Exchange, mut headers: HeaderMap, endpoints: Endpoints) {
        let Some(onward) = exchange.onward.as_mut() else { return };
        let upstream = &onward.upstream;
        self.discovery = upstream.unknown().map(|unknown| unknown.to_string());
        let granted = match endpoints {
            Endpoints::AsTheyAre => upstream.unknown().is_some_and(|unknown| unknown.why.is_none()),
            Endpoints::AsTheFileHasThem => !upstream.is_drained(),
        };
        match upstream.peek(&onward.ask(exchange.started)) {
            Ok(endpoint) => onward.endpoint = Some(endpoint),
            Err(_) if granted => {}
            Err(why) => {
                let reply = exchange.fail(why.into()).reply();
                self.answered(exchange, reply).await;
                self.detail = self.detail.take().or_else(|| self.discovery.clone());
                return;
            }
        }
        let using = self.discovery.is_none().then(|| onward.upstream.using());
        self.using = using.filter(|using| *using != Using::Primaries);
        self.upstream = Some(onward.upstream.name().to_string());
        self.endpoint = onward.endpoint.as_ref().map(|endpoint| endpoint.name().to_owned());
        self.path = Some(onward.target.clone());
        if let Some(Action::Forward(forward)) = exchange.route.as_ref().map(|taken| &taken.route.action) {
            self.retry = forward.retry.as_ref().map(ToString::to_string);
            self.mirror =
                forward.mirror.as_ref().map(|mirror| format!("{} of them to {}", mirror.ratio, mirror.upstream.name()));
        }
        proxy::to_upstream(exchange, &mut headers);
        self.headers = listed(&headers);
    }

    /// The answer as the client would see it.
    async fn answered(&mut self, exchange: &mut Exchange, reply: crate::filter::Reply) {
        let answer = proxy::answer(exchange, reply).await;
        let fault = exchange.answered.fault.as_ref();
        let refused = exchange.answered.refused.as_ref();
        self.status = Some(answer.status.as_u16());
        self.cause = fault.map(|fault| fault.cause().code()).or(refused.map(|(cause, _)| *cause));
        self.detail = fault.and_then(Fault::detail).or_else(|| refused.map(|(_, story)| story.clone()));
        self.headers = listed(&answer.headers);
        let text = std::str::from_utf8(&answer.body).map(str::to_owned);
        let text = text.unwrap_or_else(|_| format!("({} bytes that are no text)", answer.body.len()));
        self.body = Some(text).filter(|body| !body.is_empty());
    }
}

/// Headers for people, in the order of their names: a secret stays one.
fn listed(headers: &HeaderMap) -> Vec<(String, String)> {
    let shown = |value: &HeaderValue| match value.is_sensitive() {
        true => "(secret)".to_owned(),
        false => String::from_utf8_lossy(value.as_bytes()).into_owned(),
    };
    let mut list: Vec<_> = headers.iter().map(|(name, value)| (name.as_str().to_owned(), shown(value))).collect();
    list.sort_by(|a, b| a.0.cmp(&b.0));
    list
}
