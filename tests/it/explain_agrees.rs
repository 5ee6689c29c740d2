//! What `explain` says on paper is what the live door does: same route, same path, same headers out, same status, on
//! thousands of random pairs of configuration and request.

use std::collections::BTreeMap;
use std::fmt::Write;

use http::{HeaderName, HeaderValue, Method};
use onedoor::config::Config;
use onedoor::explain::{Question, explain};
use onedoor::snapshot::compile;

use crate::support::{Gateway, Server, Upstream, echo};

/// A small random number generator with a seed that a failure tells, so that it can be run again.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) as usize % sides
    }

    fn pick<'a>(&mut self, from: &[&'a str]) -> &'a str {
        from[self.roll(from.len())]
    }

    fn chance(&mut self, one_in: usize) -> bool {
        self.roll(one_in) == 0
    }
}

const PATTERNS: &[&str] = &[
    "/",
    "/a",
    "/a/",
    "/a/b",
    "/a/b/",
    "/{x}",
    "/{x}/",
    "/a/{x}",
    "/a/{x}/",
    "/a/{$}",
    "/b/{rest...}",
    "/{x}/b",
    "/c%2Fd/",
    "/users/{id}/posts",
    "/users/",
    "/users/{id}",
];
const PATHS: &[&str] = &[
    "/",
    "/a",
    "/a/",
    "/a/b",
    "/a/b/",
    "/a/c",
    "/a/b/c",
    "/b",
    "/b/",
    "/b/x/y",
    "/users",
    "/users/7",
    "/users/7/posts",
    "/users/7/posts/",
    "/A",
    "/a//b",
    "/a/./b",
    "/a/../b",
    "/../x",
    "/%61",
    "/a%2Fb",
    "/a%2fb",
    "/c%2Fd/e",
    "/a/%7Ex",
    "/a/~x",
    "/a/..;x",
    "/a/%2e%2e/b",
    "/a/b%",
    "/a b",
    "/z",
    "/z/b",
    "/a/b;v=1",
    "/a/%5C",
    "/a/ü",
    "/a#b",
    "/a\u{1}b",
];
const QUERIES: &[&str] = &["", "", "?", "?x=1", "?x=2&y=%20", "?x=1&x=2", "?q=a+b", "?a=|", "?a=\"", "?a=<", "?a#b"];
const HOSTS: &[&str] = &["a.test", "b.test", "A.test:80", "x.a.test", "x.y.a.test.", "127.0.0.1"];
const HOST_PATTERNS: &[&str] = &["a.test", "b.test", "'*.a.test'", "'*.y.a.test'"];
const METHODS: &[&str] = &["GET", "GET", "GET", "POST", "HEAD", "PUT", "DELETE", "TRACE", "OPTIONS"];
const HEADERS: &[(&str, &str)] = &[
    ("x-v", "1"),
    ("x-v", "2"),
    ("x-internal", "yes"),
    ("accept", "*/*"),
    ("accept", "text/plain"),
    ("cookie", "a=b"),
    ("connection", "x-v"),
    ("connection", "close, x-internal"),
    ("te", "trailers"),
    ("keep-alive", "timeout=5"),
    ("x-forwarded-for", "203.0.113.9"),
    ("x-forwarded-for", "10.1.1.1, 127.0.0.1"),
    ("x-forwarded-proto", "https"),
    ("forwarded", "for=192.0.2.1"),
    ("x-real-ip", "1.2.3.4"),
    ("content_length", "3"),
    ("transfer-encoding", "gzip, chunked"),
    ("connection", "host"),
    ("content-length-hint", "3"),
    ("proxy-authorization", "Basic x"),
    ("user-agent", "dice"),
];

fn configuration(dice: &mut Dice, upstream: &str) -> String {
    let trusted = if dice.chance(3) { "" } else { ", trusted_proxies: [127.0.0.0/8]" };
    let mut yaml = format!("listeners: {{web: {{address: \"127.0.0.1:0\"{trusted}}}}}\nupstreams:\n");
    let host = dice.pick(&["client", "endpoint", "inner.test"]);
    writeln!(yaml, "  one: {{endpoints: [\"{upstream}\"], host: {host}}}").unwrap();
    let drop = if dice.chance(2) { ", remove: [x-internal]" } else { "" };
    writeln!(yaml, "defaults:\n  filters:\n    headers:\n      request: {{set: {{x-route: \"{{route}}\"}}{drop}}}")
        .unwrap();
    writeln!(yaml, "      response: {{set: {{x-route: \"{{route}}\"}}}}\nroutes:").unwrap();
    for index in 0..1 + dice.roll(7) {
        let name = format!("r{index}");
        let path = dice.pick(PATTERNS);
        let mut route = format!("  {name}:\n    path: \"{path}\"\n");
        if dice.chance(4) {
            writeln!(route, "    hosts: [{}]", dice.pick(HOST_PATTERNS)).unwrap();
        }
        if dice.chance(3) {
            writeln!(route, "    methods: [{}]", dice.pick(&["GET", "POST", "GET, POST", "HEAD", "PUT"])).unwrap();
        }
        if dice.chance(5) {
            writeln!(
                route,
                "    headers: {{x-v: {}}}",
                dice.pick(&["'1'", "{present: true}", "{prefix: '2'}", "{regex: '[12]'}"])
            )
            .unwrap();
        }
        if dice.chance(6) {
            writeln!(route, "    query: {{x: {}}}", dice.pick(&["'1'", "{present: false}"])).unwrap();
        }
        action(dice, path, &mut route);
        filters(dice, path, &mut route);
        yaml.push_str(&route);
    }
    yaml
}

fn action(dice: &mut Dice, path: &str, route: &mut String) {
    let rest = path.ends_with('/') || path.contains("rest");
    match dice.roll(8) {
        0 => writeln!(route, "    respond: {{status: 203, body: hi}}").unwrap(),
        1 => writeln!(route, "    redirect: {{to: \"/moved{}\"}}", if rest { "/{rest}" } else { "" }).unwrap(),
        _ => {
            writeln!(route, "    to: one").unwrap();
            match dice.roll(4) {
                0 => writeln!(route, "    strip: true").unwrap(),
                1 if rest => writeln!(route, "    rewrite: \"/v2/{{rest}}\"").unwrap(),
                1 if path.contains("{id}") => writeln!(route, "    rewrite: \"/by-id/{{id}}\"").unwrap(),
                _ => {}
            }
        }
    }
}

fn filters(dice: &mut Dice, path: &str, route: &mut String) {
    let mut filters = Vec::new();
    if dice.chance(4) {
        filters.push(
            dice.pick(&["ip: {allow: [127.0.0.0/8]}", "ip: {deny: [203.0.113.0/24]}", "ip: {allow: [10.0.0.0/8]}"])
                .to_owned(),
        );
    }
    if dice.chance(5) {
        filters.push("request_id: off".to_owned());
    }
    if dice.chance(5) && path.contains("{x}") {
        filters.push("headers: {request: {set: {x-x: \"{path.x}\", x-ip: \"{client_ip}\"}, add: {x-v: more}}, response: {set: {x-route: \"{route}\"}}}".to_owned());
    } else if dice.chance(6) {
        filters.push("headers: {request: {allow: [accept, x-v]}, response: {set: {x-route: \"{route}\"}}}".to_owned());
    }
    if !filters.is_empty() {
        writeln!(route, "    filters: {{{}}}", filters.join(", ")).unwrap();
    }
}

/// A request as it is sent, and as it is asked about.
struct Request {
    method: &'static str,
    target: String,
    headers: Vec<(&'static str, String)>,
}

fn request(dice: &mut Dice) -> Request {
    let path = if dice.chance(12) { format!("http://a.test{}", dice.pick(PATHS)) } else { dice.pick(PATHS).to_owned() };
    let mut headers = Vec::new();
    if !dice.chance(25) {
        headers.push(("host", if path.starts_with("http") { "a.test" } else { dice.pick(HOSTS) }.to_owned()));
    }
    headers.push(("x-request-id", format!("id-{}", dice.roll(1000))));
    for _ in 0..dice.roll(4) {
        // A head whose framing or naming is bad ends the connection, so it is asked about less often.
        let (name, value) = HEADERS[dice.roll(HEADERS.len())];
        headers.push((name, value.to_owned()));
    }
    Request { method: METHODS[dice.roll(METHODS.len())], target: path + dice.pick(QUERIES), headers }
}

/// What came of a request, by whichever way it was found out.
#[derive(Debug, PartialEq)]
struct Outcome {
    status: Option<u16>,
    route: Option<String>,
    path: Option<String>,
    headers: BTreeMap<String, Vec<String>>,
}

fn grouped<'a>(headers: impl Iterator<Item = (&'a str, &'a str)>) -> BTreeMap<String, Vec<String>> {
    let mut map: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for (name, value) in headers {
        map.entry(name.to_ascii_lowercase()).or_default().push(value.to_owned());
    }
    map
}

/// What differs from request to request by chance, or is the connection's own. An answer of the door's own has an id of
/// the door's own where the head could not be read.
fn comparable(mut headers: BTreeMap<String, Vec<String>>, own_id: bool) -> BTreeMap<String, Vec<String>> {
    for name in ["date", "connection", "content-length"] {
        headers.remove(name);
    }
    if own_id && let Some(ids) = headers.get_mut("x-request-id") {
        for id in ids {
            "made".clone_into(id);
        }
    }
    headers
}

async fn run(seed: u64, pairs: usize) -> usize {
    let api = Upstream::new().on("*", echo()).start().await;
    let mut dice = Dice(seed);
    let mut compared = 0;
    while compared < pairs {
        let yaml = configuration(&mut dice, &api.address().to_string());
        let Ok((config, _)) = Config::parse(&yaml, "random.yaml") else {
            panic!("the generator made a bad file:\n{yaml}")
        };
        // Random routes often claim the same; that is another test's business.
        let Ok((snapshot, _)) = compile(config, &onedoor::builtins(), None) else { continue };
        let snapshot = std::sync::Arc::new(snapshot);
        let trusted = yaml.contains("trusted_proxies");
        let gateway = Gateway::start(&yaml).await;
        let mut number = 0;
        for _ in 0..100 {
            let request = request(&mut dice);
            let context =
                || format!("seed {seed}\n{yaml}\n{} {} {:?}", request.method, request.target, request.headers);
            let Some(mut paper) = on_paper(&snapshot, &request, trusted).await else { continue };
            number += 1;
            let (mut live, unread) = live(&gateway, &api, &request, trusted, number).await;
            if unread {
                // Of a head that the parser refused nothing is known, neither its id nor what kind of page is liked.
                paper.headers.clear();
                live.headers.clear();
            }
            assert_eq!(paper, live, "paper against live\n{}", context());
            compared += 1;
        }
    }
    compared
}

async fn on_paper(
    snapshot: &std::sync::Arc<onedoor::snapshot::Snapshot>,
    request: &Request,
    trusted: bool,
) -> Option<Outcome> {
    let mut question = Question::new(Method::from_bytes(request.method.as_bytes()).ok()?, request.target.clone());
    for (name, value) in &request.headers {
        question.headers.append(HeaderName::from_bytes(name.as_bytes()).ok()?, HeaderValue::from_str(value).ok()?);
    }
    // A question without a host is for localhost; a request without one is refused before anything is asked.
    if !question.headers.contains_key("host") {
        return None;
    }
    let found = explain(snapshot, &question).await;
    let headers = grouped(found.headers.iter().map(|(name, value)| (&**name, &**value)));
    Some(Outcome {
        status: found.status,
        route: found.route,
        path: found.path.filter(|_| found.upstream.is_some()),
        headers: comparable(headers, !trusted || found.upstream.is_none()),
    })
}

async fn live(gateway: &Gateway, api: &Server, request: &Request, trusted: bool, number: usize) -> (Outcome, bool) {
    let before = api.requests().len();
    let mut sent = gateway.request(request.method, &request.target).no_host();
    for (name, value) in &request.headers {
        sent = sent.header(name, value);
    }
    let response = sent.send().await;
    let forwarded = api.requests().len() > before;
    let line = gateway.log(number).await.pop().expect("a line in the log");
    let unread = line["cause"] == "malformed_head";
    let route = line["route"].as_str().map(str::to_owned);
    let answered = grouped(response.headers.0.iter().map(|(name, value)| (&**name, &**value)));
    if !forwarded {
        return (
            Outcome { status: Some(response.status), route, path: None, headers: comparable(answered, true) },
            unread,
        );
    }
    let seen = api.last();
    let headers = grouped(seen.headers.0.iter().map(|(name, value)| (&**name, &**value)));
    let outcome =
        Outcome { status: None, route, path: Some(seen.target.clone()), headers: comparable(headers, !trusted) };
    (outcome, unread)
}

#[tokio::test(flavor = "multi_thread")]
async fn explain_says_what_the_live_door_does_on_ten_thousand_random_pairs() {
    let pairs = if std::env::var_os("ONEDOOR_SOAK").is_some() { 200_000 } else { 10_000 };
    let seed = 0x0d00_4200_0000_0001;
    assert!(run(seed, pairs).await >= pairs);
}
