//! The engine: what the door does with a request. The live proxy, `explain`, `test` and reload call this same code.

use std::sync::Arc;

use http::header::{ACCEPT, HOST, REFERER, USER_AGENT};
use http::{HeaderMap, Method, Version};

use super::exchange::{Exchange, Onward, Peer, Taken};
use super::fault::Fault;
use super::forwarded;
use crate::filter::{Outcome, Reply, Request, Verdict};
use crate::head::strict::{self, HeadProblem};
use crate::head::{Head, Headers, Path};
use crate::route::{Lookup, Match};
use crate::snapshot::{Action, Forward, PathRule, Redirect};
use crate::template::Template;

/// A request as a driver has read it.
pub struct Incoming<'a> {
    /// The method.
    pub method: &'a Method,
    /// The protocol version.
    pub version: Version,
    /// The request target as it stood in the request line.
    pub target: &'a str,
    /// The headers.
    pub headers: &'a HeaderMap,
    /// What was wrong with the head and the driver's parser has mended silently.
    pub mended: Option<HeadProblem>,
    /// The other end of the connection.
    pub peer: Peer,
}

/// What the door does with a request.
#[derive(Debug)]
pub enum Decision {
    /// Passes it on, as [`Exchange::onward`] says.
    Forward,
    /// Answers it.
    Reply(Reply),
    /// Refuses it.
    Refuse(Fault),
}

/// What `explain` wants to see of the way to a decision.
#[derive(Debug, Default)]
pub struct Trace {
    /// What each filter said.
    pub verdicts: Vec<Verdict>,
}

/// Finds the route that takes a request, and writes down in `exchange` what it finds out on the way. A driver can set
/// the exchange's deadline then, which [`run`] is under already.
///
/// # Errors
/// What becomes of a request that no route takes.
pub fn route(exchange: &mut Exchange, incoming: &Incoming<'_>) -> Result<(), Box<Decision>> {
    identify(exchange, incoming);
    understand(exchange, incoming).map_err(refuse)?;
    let taken = find(exchange, incoming)?;
    exchange.timeout = taken.route.timeout;
    exchange.route = Some(taken);
    Ok(())
}

/// Runs the filters of the route that takes a request, and decides what becomes of it.
pub async fn run(exchange: &mut Exchange, incoming: &Incoming<'_>, trace: Option<&mut Trace>) -> Decision {
    let Some(Taken { route, matched }) = exchange.route.as_ref() else {
        return Decision::Refuse(Fault::NoRoute);
    };
    let (route, matched) = (route.clone(), matched.clone());
    match filter(exchange, incoming, trace).await {
        Outcome::Continue => act(exchange, &route.action, &matched),
        Outcome::Reply(kind, reply) => {
            let cause = reply.cause.unwrap_or("filter_reply");
            let story = reply.reason.clone().unwrap_or_else(|| format!("filter `{kind}` answered"));
            exchange.answered.refused = Some((cause, story));
            Decision::Reply(reply)
        }
        Outcome::Failed(failure) => Decision::Refuse(Fault::Filter(failure)),
    }
}

/// What is known of a request before anything in it was checked: enough for a line in the log.
fn identify(exchange: &mut Exchange, incoming: &Incoming<'_>) {
    let snapshot = exchange.snapshot.clone();
    let listener = exchange.listener.as_deref().and_then(|name| snapshot.listener(name));
    let trusted_proxies = listener.map_or(&[][..], |listener| &listener.trusted_proxies);
    exchange.client = forwarded::client(incoming.peer, incoming.headers, trusted_proxies);
    exchange.request_id = forwarded::request_id(incoming.headers, exchange.client.trusted);
    let asked = &mut exchange.asked;
    asked.method = incoming.method.clone();
    asked.version = incoming.version;
    asked.target = incoming.target.into();
    asked.accept = incoming.headers.get(ACCEPT).cloned();
    asked.user_agent = incoming.headers.get(USER_AGENT).cloned();
    asked.referer = incoming.headers.get(REFERER).cloned();
}

/// Checks the head, and finds out its host, path and query.
fn understand(exchange: &mut Exchange, incoming: &Incoming<'_>) -> Result<(), Fault> {
    let head =
        strict::check(incoming.method, incoming.version, incoming.target, incoming.headers).map_err(Fault::Head)?;
    if let Some(problem) = incoming.mended {
        return Err(Fault::Head(problem));
    }
    let asked = &mut exchange.asked;
    asked.authority = incoming.headers.get(HOST).cloned();
    asked.host = head.host.into();
    let target = head.path_and_query;
    if target.len() != asked.target.len() {
        asked.target = target.into();
    }
    let path = match target.find('?') {
        Some(mark) => {
            asked.query_at = Some(mark + 1);
            &target[..mark]
        }
        None => target,
    };
    asked.path = Some(Path::parse(path).map_err(Fault::Path)?);
    Ok(())
}

fn refuse(fault: Fault) -> Box<Decision> {
    Box::new(Decision::Refuse(fault))
}

fn find(exchange: &Exchange, incoming: &Incoming<'_>) -> Result<Taken, Box<Decision>> {
    let Some(head) = head(exchange, incoming) else {
        return Err(refuse(Fault::Internal("the path was not understood".into())));
    };
    match exchange.snapshot.table().find(&head) {
        Lookup::Route(matched) => match exchange.snapshot.routes().get(matched.route()) {
            Some(route) => Ok(Taken { route: route.clone(), matched }),
            None => Err(refuse(Fault::Internal("the table names a route that is not there".into()))),
        },
        Lookup::AddSlash => Err(Box::new(Decision::Reply(add_slash(&head)))),
        Lookup::MethodNotAllowed(allow) => Err(refuse(Fault::MethodNotAllowed(allow))),
        Lookup::NotFound => Err(refuse(Fault::NoRoute)),
    }
}

/// `/users` when only `/users/` exists, as Go's `ServeMux` does it.
fn add_slash(head: &Head<'_>) -> Reply {
    let query = head.query.map(|query| format!("?{query}")).unwrap_or_default();
    Reply::redirect(308, &format!("{}/{query}", head.path.forwarded()))
}

/// The head as filters and routes see it; `None` until its path was understood.
pub(super) fn head<'a>(exchange: &'a Exchange, incoming: &'a Incoming<'_>) -> Option<Head<'a>> {
    Some(Head {
        method: incoming.method,
        host: &exchange.asked.host,
        path: exchange.asked.path.as_ref()?,
        query: exchange.query(),
        headers: incoming.headers as &dyn Headers,
    })
}

async fn filter(exchange: &mut Exchange, incoming: &Incoming<'_>, trace: Option<&mut Trace>) -> Outcome {
    let Exchange { asked, route: Some(Taken { route, matched }), client, request_id, entered, edits, kept, .. } =
        exchange
    else {
        return Outcome::Continue;
    };
    if route.chain.is_empty() {
        return Outcome::Continue;
    }
    let Some(path) = asked.path.as_ref() else {
        return Outcome::Continue;
    };
    let mut notes = trace.is_some().then(Vec::new);
    let param = |name: &str| matched.param(path, name).map(str::to_owned);
    let mut request = Request {
        head: Head {
            method: incoming.method,
            host: &asked.host,
            path,
            query: asked.query_at.and_then(|at| asked.target.get(at..)),
            headers: incoming.headers,
        },
        subject: crate::filter::Subject { client, request_id, route: &route.name, kept },
        param: &param,
        edits,
        notes: notes.as_mut(),
    };
    route.chain.request(&mut request, entered, trace.map(|trace| &mut trace.verdicts)).await
}

fn act(exchange: &mut Exchange, action: &Action, matched: &Match) -> Decision {
    match action {
        Action::Forward(forward) => {
            let Some(target) = forward.turns.next().and_then(|turn| forward.targets.get(turn)) else {
                return Decision::Refuse(Fault::NoEndpoint);
            };
            exchange.onward = Some(Onward::new(target.upstream.clone(), onward_target(exchange, forward, matched)));
            Decision::Forward
        }
        Action::Redirect(redirect) => Decision::Reply(self::redirect(exchange, redirect, matched)),
        Action::Respond(respond) => Decision::Reply(respond.reply.clone()),
    }
}

/// Path and query that a request goes on with.
fn onward_target(exchange: &Exchange, forward: &Forward, matched: &Match) -> String {
    let Some(path) = exchange.asked.path.as_ref() else {
        return "/".to_owned();
    };
    let mut target = String::with_capacity(exchange.asked.target.len());
    match &forward.path {
        PathRule::Keep => target.push_str(path.forwarded()),
        PathRule::Strip => target.push_str(path.below(matched.prefix_segments())),
        PathRule::Rewrite(template) => {
            fill(template, path, matched, &mut target);
            // `{rest}` may begin or end with a slash that the template has, too.
            if let Ok(clean) = Path::parse(&target) {
                clean.forwarded().clone_into(&mut target);
            }
        }
    }
    if let Some(query) = exchange.query() {
        target.push('?');
        target.push_str(query);
    }
    target
}

fn redirect(exchange: &Exchange, redirect: &Redirect, matched: &Match) -> Reply {
    let Some(path) = exchange.asked.path.as_ref() else {
        return Reply::bare_problem(500);
    };
    let mut location = String::new();
    fill(&redirect.to, path, matched, &mut location);
    if let Some(query) = exchange.query().filter(|_| !redirect.has_query) {
        location.push('?');
        location.push_str(query);
    }
    Reply::redirect(redirect.status, &location)
}

fn fill(template: &Template, path: &Path, matched: &Match, out: &mut String) {
    template.render(out, &mut |name, out| {
        if let Some(value) = matched.param(path, name) {
            out.push_str(value);
        }
    });
}

impl Onward {
    fn new(upstream: Arc<crate::upstream::Upstream>, target: String) -> Self {
        Self {
            upstream,
            target,
            endpoint: None,
            address: 0,
            tries: 0,
            tried_at: None,
            connected_after: None,
            head_after: None,
        }
    }
}
