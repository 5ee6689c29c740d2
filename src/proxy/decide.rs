//! The engine: what the door does with a request. The live proxy, `explain`, `test` and reload call this same code.

use std::sync::Arc;

use http::header::{ACCEPT, ACCESS_CONTROL_REQUEST_METHOD, CONTENT_TYPE, EXPECT, HOST, ORIGIN, REFERER, USER_AGENT};
use http::{HeaderMap, HeaderValue, Method, Version};

use super::arrival::Secured;
use super::exchange::{Exchange, Onward, Peer, Taken};
use super::fault::Fault;
use super::{forwarded, headers, key};
use crate::config::Percent;
use crate::filter::{Body, Chain, Outcome, Reply, Request, Subject, Verdict};
use crate::head::grpc::Dialect;
use crate::head::strict;
use crate::head::wire::WireProblem;
use crate::head::{Head, Headers, Path};
use crate::route::{Lookup, Match};
use crate::snapshot::{Action, Forward, PathRule, Redirect, Route};
use crate::template::Template;
use crate::tls::ClientIdentity;

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
    /// What is wrong with it on the wire, which the driver's parser may have mended silently.
    pub problem: Option<WireProblem>,
    /// The other end of the connection.
    pub peer: Peer,
    /// What TLS has shown of it.
    pub tls: Option<Arc<Secured>>,
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

/// Finds the route that takes a request, and writes down in `exchange` what it finds out on the way. A driver can set
/// the exchange's deadline then, which [`run`] is under already.
///
/// # Errors
/// What becomes of a request that no route takes.
pub fn route(exchange: &mut Exchange, incoming: &Incoming<'_>) -> Result<(), Box<Decision>> {
    identify(exchange, incoming);
    let path = understand(exchange, incoming).map_err(refuse)?;
    let reply = to_ca(exchange, incoming, &path).or_else(|| to_https(exchange, &path));
    if let Some(reply) = reply {
        exchange.asked.path = Some(path);
        return Err(Box::new(Decision::Reply(reply)));
    }
    match find(exchange, incoming, &path) {
        Ok((route, matched)) => {
            exchange.timeout = route.timeout;
            exchange.route = Some(Arc::new(Taken { route, matched, path }));
            Ok(())
        }
        Err(decision) => {
            exchange.asked.path = Some(path);
            Err(decision)
        }
    }
}

/// Runs the filters of the route that takes a request, and decides what becomes of it. With `trace` this is a
/// rehearsal: each filter's verdict is written down, and no turn is taken.
pub async fn run(exchange: &mut Exchange, incoming: &Incoming<'_>, trace: Option<&mut Vec<Verdict>>) -> Decision {
    let Some(taken) = exchange.route.clone() else {
        return Decision::Refuse(Fault::Internal("no route was looked for".into()));
    };
    let rehearsal = trace.is_some();
    match filter(exchange, &taken, incoming, trace).await {
        Outcome::Continue => act(exchange, &taken, incoming, rehearsal),
        Outcome::Reply(kind, reply) => answered(exchange, kind, reply),
        Outcome::Failed(failure) => Decision::Refuse(Fault::Filter(failure)),
    }
}

fn answered(exchange: &mut Exchange, kind: &str, reply: Reply) -> Decision {
    let cause = reply.cause.unwrap_or("filter_reply");
    let story = reply.reason.clone().unwrap_or_else(|| format!("filter `{kind}` answered"));
    exchange.answered.refused = Some((cause, story));
    Decision::Reply(reply)
}

/// What becomes of a request that no route takes, once that is known. A preflight that asks about such a request is
/// answered by the `cors` of `defaults`: the page then gets to read what the request itself is answered, a 404 say.
pub async fn unrouted(exchange: &mut Exchange, incoming: &Incoming<'_>, refused: Decision) -> Decision {
    let snapshot = exchange.snapshot.clone();
    let Some(link) = snapshot.unrouted().links().iter().find(|link| link.kind == CORS) else {
        return refused;
    };
    let Exchange { asked, client, tls, request_id, edits, kept, identity, request_hooks, .. } = exchange;
    let Some(path) = asked.path.as_ref() else { return refused };
    let query = asked.query_at.and_then(|at| asked.target.get(at..));
    let head = Head { method: incoming.method, host: &asked.host, path, query, headers: incoming.headers };
    let asks_in_vain = |method: &Method| !matches!(snapshot.table().find(&Head { method, ..head }), Lookup::Route(_));
    if !preflight_for(&head).is_some_and(|method| asks_in_vain(&method)) {
        return refused;
    }
    let mut request = Request {
        head,
        subject: Subject { client, certificate: certificate(tls.as_ref()), request_id, route: "", identity, kept },
        param: &|_| None,
        edits,
        bodies: request_hooks,
        query: &mut asked.other_query,
        rehearsal: false,
        notes: None,
    };
    match Chain::new(vec![link.clone()]).request(&mut request, &mut 0, None).await {
        Outcome::Continue => refused,
        Outcome::Reply(kind, reply) => answered(exchange, kind, reply),
        Outcome::Failed(failure) => Decision::Refuse(Fault::Filter(failure)),
    }
}

/// What is known of a request before anything in it was checked: enough for a line in the log.
pub(super) fn identify(exchange: &mut Exchange, incoming: &Incoming<'_>) {
    let trusted_proxies = exchange.listener.as_deref().map_or(&[][..], |listener| &listener.trusted_proxies);
    exchange.client = forwarded::client(incoming.peer, incoming.tls.is_some(), incoming.headers, trusted_proxies);
    exchange.tls.clone_from(&incoming.tls);
    exchange.request_id = forwarded::request_id(incoming.headers, exchange.client.trusted);
    let asked = &mut exchange.asked;
    asked.method = incoming.method.clone();
    asked.version = incoming.version;
    asked.target = incoming.target.into();
    asked.accept = incoming.headers.get(ACCEPT).cloned();
    asked.origin = incoming.headers.get(ORIGIN).cloned();
    asked.user_agent = incoming.headers.get(USER_AGENT).cloned();
    asked.expects = incoming.headers.contains_key(EXPECT);
    asked.grpc = Dialect::of(incoming.headers.get(CONTENT_TYPE).map(HeaderValue::as_bytes));
    asked.referer = incoming.headers.get(REFERER).cloned();
}

/// Checks the head, and finds out its host, path and query.
fn understand(exchange: &mut Exchange, incoming: &Incoming<'_>) -> Result<Path, Fault> {
    if let Some(problem) = incoming.problem {
        return Err(problem.into());
    }
    let limits = exchange.listener.as_deref().map(|listener| listener.head).unwrap_or_default();
    let head = strict::check(incoming.method, incoming.version, incoming.target, incoming.headers, limits);
    let head = head.map_err(Fault::Head)?;
    let asked = &mut exchange.asked;
    asked.authority = incoming.headers.get(HOST).cloned();
    asked.host = head.host.into();
    asked.upgrade = headers::is_websocket(incoming);
    if is_misdirected(&asked.host, incoming) {
        return Err(Fault::Misdirected);
    }
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
    let path = Path::parse(path).map_err(Fault::Path)?;
    strict::check_method(incoming.method).map_err(Fault::Head)?;
    Ok(path)
}

fn refuse(fault: Fault) -> Box<Decision> {
    Box::new(Decision::Refuse(fault))
}

fn find(exchange: &Exchange, incoming: &Incoming<'_>, path: &Path) -> Result<(Arc<Route>, Match), Box<Decision>> {
    let head = head(exchange, incoming, path);
    if let Some(found) = preflighted(exchange, &head) {
        return Ok(found);
    }
    match exchange.snapshot.table().find(&head) {
        Lookup::Route(matched) => match exchange.snapshot.routes().get(matched.route()) {
            Some(route) => Ok((route.clone(), matched)),
            None => Err(refuse(Fault::Internal("the table names a route that is not there".into()))),
        },
        Lookup::AddSlash => Err(Box::new(Decision::Reply(add_slash(&head)))),
        Lookup::MethodNotAllowed(allow) => Err(refuse(Fault::MethodNotAllowed(allow))),
        Lookup::NotFound => Err(refuse(Fault::NoRoute)),
    }
}

/// The route of the request that a preflight asks about (Fetch, 4.8): its `cors` answers, whatever the route's methods
/// are, and before anybody is asked for credentials.
fn preflighted(exchange: &Exchange, head: &Head<'_>) -> Option<(Arc<Route>, Match)> {
    let method = preflight_for(head)?;
    let Lookup::Route(matched) = exchange.snapshot.table().find(&Head { method: &method, ..*head }) else {
        return None;
    };
    let route = exchange.snapshot.routes().get(matched.route())?;
    route.chain.has(CORS).then(|| (route.clone(), matched))
}

/// The method that a preflight asks about, if this is one.
fn preflight_for(head: &Head<'_>) -> Option<Method> {
    if head.method != Method::OPTIONS || head.headers.get(&ORIGIN).is_none() {
        return None;
    }
    Method::from_bytes(head.headers.get(&ACCESS_CONTROL_REQUEST_METHOD)?).ok()
}

/// Who the client is by the certificate that it has shown.
pub(super) fn certificate(tls: Option<&Arc<Secured>>) -> Option<&ClientIdentity> {
    tls.and_then(|tls| tls.client.as_deref())
}

/// Whether a request is for another host than the one that its TLS connection was made for (RFC 9110, 7.4): the
/// certificate, or what was asked of the client for it, may be another's.
fn is_misdirected(host: &str, incoming: &Incoming<'_>) -> bool {
    let server_name = incoming.tls.as_deref().and_then(|tls| tls.server_name.as_deref());
    server_name.is_some_and(|name| name.trim_end_matches('.') != host)
}

/// What a CA is answered that looks whether a name is ours (RFC 8555, 8.3). Anybody else gets what was always there.
fn to_ca(exchange: &Exchange, incoming: &Incoming<'_>, path: &Path) -> Option<Reply> {
    let token = path.forwarded().strip_prefix(ACME_CHALLENGE)?;
    if incoming.tls.is_some() || !matches!(*incoming.method, Method::GET | Method::HEAD) {
        return None;
    }
    let answer = exchange.snapshot.acme().find_map(|acme| acme.answers().to_request(token))?;
    let kind = HeaderValue::from_static("application/octet-stream");
    Some(Reply { body: Body::Bytes(kind, answer), ..Reply::status(200) })
}

/// The same address by `https`, where the listener sends its clients there.
fn to_https(exchange: &Exchange, path: &Path) -> Option<Reply> {
    let redirect = exchange.listener.as_deref().and_then(|listener| listener.redirect)?;
    let port = redirect.port.map(|port| format!(":{port}")).unwrap_or_default();
    let query = exchange.query().map(|query| format!("?{query}")).unwrap_or_default();
    let location = format!("https://{}{port}{}{query}", exchange.asked.host, path.forwarded());
    Some(Reply::redirect(308, &location))
}

/// Below which path CAs ask.
const ACME_CHALLENGE: &str = "/.well-known/acme-challenge/";

/// The kind of filter that answers preflights.
const CORS: &str = "cors";

/// `/users` when only `/users/` exists, as Go's `ServeMux` does it.
fn add_slash(head: &Head<'_>) -> Reply {
    let query = head.query.map(|query| format!("?{query}")).unwrap_or_default();
    Reply::redirect(308, &format!("{}/{query}", head.path.forwarded()))
}

/// The head as filters and routes see it.
pub fn head<'a>(exchange: &'a Exchange, incoming: &'a Incoming<'_>, path: &'a Path) -> Head<'a> {
    Head {
        method: incoming.method,
        host: &exchange.asked.host,
        path,
        query: exchange.query(),
        headers: incoming.headers as &dyn Headers,
    }
}

async fn filter(
    exchange: &mut Exchange,
    taken: &Taken,
    incoming: &Incoming<'_>,
    trace: Option<&mut Vec<Verdict>>,
) -> Outcome {
    let chain = &taken.route.chain;
    if chain.is_empty() {
        return Outcome::Continue;
    }
    let mut notes = trace.is_some().then(Vec::new);
    let param = |name: &str| taken.matched.param(&taken.path, name).map(str::to_owned);
    let Exchange { asked, client, tls, request_id, entered, edits, kept, identity, request_hooks, .. } = exchange;
    let certificate = certificate(tls.as_ref());
    let mut request = Request {
        head: Head {
            method: incoming.method,
            host: &asked.host,
            path: &taken.path,
            query: asked.query_at.and_then(|at| asked.target.get(at..)),
            headers: incoming.headers,
        },
        subject: Subject { client, certificate, request_id, route: &taken.route.name, identity, kept },
        param: &param,
        edits,
        bodies: request_hooks,
        query: &mut asked.other_query,
        rehearsal: trace.is_some(),
        notes: notes.as_mut(),
    };
    let outcome = chain.request(&mut request, entered, trace).await;
    exchange.settle_query();
    outcome
}

fn act(exchange: &mut Exchange, taken: &Taken, incoming: &Incoming<'_>, rehearsal: bool) -> Decision {
    match &taken.route.action {
        Action::Forward(forward) => {
            let turn = if rehearsal { forward.turns.peek() } else { forward.turns.next() };
            let Some(target) = turn.and_then(|turn| forward.targets.get(turn)) else {
                return Decision::Refuse(Fault::NoEndpoint);
            };
            match onward_target(exchange, taken, forward) {
                Ok(path) => {
                    let key = key::of(exchange, taken, incoming, &target.upstream.settings().balance);
                    let mirror = forward.mirror.as_ref().filter(|mirror| !rehearsal && is_drawn(mirror.ratio));
                    let mirror = mirror.map(|mirror| mirror.upstream.clone());
                    exchange.onward = Some(Onward { key, mirror, ..Onward::new(target.upstream.clone(), path) });
                    Decision::Forward
                }
                Err(fault) => Decision::Refuse(fault),
            }
        }
        Action::Redirect(redirect) => Decision::Reply(self::redirect(exchange, taken, redirect)),
        Action::Respond(respond) => Decision::Reply(respond.reply.clone()),
    }
}

/// Draws a lot that wins for this share of all.
fn is_drawn(share: Percent) -> bool {
    fastrand::u16(..10_000) < share.hundredths()
}

/// Path and query that a request goes on with.
fn onward_target(exchange: &Exchange, taken: &Taken, forward: &Forward) -> Result<String, Fault> {
    let Taken { path, matched, .. } = taken;
    let mut target = String::with_capacity(exchange.asked.target.len());
    match &forward.path {
        PathRule::Keep => target.push_str(path.forwarded()),
        PathRule::Strip => target.push_str(path.below(matched.prefix_segments())),
        PathRule::Rewrite(template) => {
            fill(template, taken, &mut target);
            // `{rest}` may begin or end with a slash that the template has, too; and what is harmless in one place
            // may be a dot segment in another.
            let clean = Path::parse(&target).map_err(Fault::Path)?;
            clean.forwarded().clone_into(&mut target);
        }
    }
    if let Some(query) = exchange.query() {
        target.push('?');
        target.push_str(query);
    }
    Ok(target)
}

fn redirect(exchange: &Exchange, taken: &Taken, redirect: &Redirect) -> Reply {
    let mut location = String::new();
    fill(&redirect.to, taken, &mut location);
    keep_on_this_host(&mut location);
    if let Some(query) = exchange.query().filter(|_| !redirect.has_query) {
        // A fragment stands behind the query (RFC 3986, 3).
        let fragment = location.find('#').map(|at| location.split_off(at)).unwrap_or_default();
        location.push('?');
        location.push_str(query);
        location.push_str(&fragment);
    }
    Reply::redirect(redirect.status, &location)
}

/// Browsers read a path that begins with `//` or `/\` as another host's, and an empty wildcard can make one:
/// `/{rest}/{id}` for `/u/evil.test/`. One slash is left of them, and of the tabs and line breaks that browsers would
/// overlook between them; a URL begins with its scheme and stays as it is.
fn keep_on_this_host(location: &mut String) {
    let is_dropped = |c: char| matches!(c, '/' | '\\') || c.is_ascii_control();
    let path = location.trim_start_matches(is_dropped);
    let slashes = location.len() - path.len();
    if slashes > 0 {
        location.replace_range(..slashes, "/");
    }
}

fn fill(template: &Template, taken: &Taken, out: &mut String) {
    template.render(out, &mut |name, out| {
        if let Some(value) = taken.matched.param(&taken.path, name) {
            out.push_str(value);
        }
    });
}

impl Onward {
    fn new(upstream: Arc<crate::upstream::Upstream>, target: String) -> Self {
        Self {
            upstream,
            target,
            key: None,
            picked: None,
            tried: Vec::new(),
            status: None,
            endpoint: None,
            address: 0,
            tries: 0,
            spent: 0,
            pause: None,
            was_stale: false,
            was_forgiven: false,
            is_passed_over: false,
            socket: None,
            upgrade: None,
            mirror: None,
            copy: None,
            tried_at: None,
            connected: false,
            connected_after: None,
            head_after: None,
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// As the URL parser of browsers does it (WHATWG URL, 4.4): tabs and line breaks count for nothing, and after a
    /// slash a backslash is one, too.
    fn has_authority(location: &str) -> bool {
        let seen: String = location.trim().chars().filter(|c| !matches!(c, '\t' | '\n' | '\r')).collect();
        !seen.starts_with(['/', '\\']) || seen.replace('\\', "/").starts_with("//")
    }

    fn filled(template: &str, mut wildcard: impl FnMut(&str) -> String) -> String {
        let mut location = String::new();
        Template::parse(template).unwrap().render(&mut location, &mut |name, out| out.push_str(&wildcard(name)));
        keep_on_this_host(&mut location);
        location
    }

    #[test]
    fn a_url_keeps_its_host() {
        assert_eq!(filled("https://a.test/{rest}", |_| "/x".into()), "https://a.test//x");
        assert_eq!(
            filled("/{rest}/{id}", |name| if name == "id" { "evil.test".into() } else { String::new() }),
            "/evil.test"
        );
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2000))]

        #[test]
        fn a_path_leads_to_no_other_host_whatever_fills_it(
            pieces in prop::collection::vec(prop::sample::select(vec!["{a}", "{b}", "/", "x", "?", "#"]), 0..6),
            a in prop_oneof!["[/\\\\.%25Ffevil@:]{0,6}", ".*"],
            b in "[/\\\\a]{0,3}",
        ) {
            let location = filled(&format!("/{}", pieces.concat()), |name| if name == "a" { a.clone() } else { b.clone() });
            prop_assert!(!has_authority(&location), "{location}");
        }
    }
}
