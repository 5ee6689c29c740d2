//! `cors` through a whole door: preflights, every kind of answer, and files that are refused.

use onedoor::filter::{self, Configure, Env, Filter, Flow, Problems, Registry, Stage, async_trait};

use crate::support::*;

/// Stands where `auth` does, and answers with a status whatever is asked.
struct Refuse(u16);

#[derive(serde::Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
struct Settings {
    status: u16,
}

#[async_trait]
impl Filter for Refuse {
    async fn request(&self, _: &mut filter::Request<'_>) -> filter::Result<Flow> {
        Ok(filter::Reply::problem(self.0, "told to").because("told", "told to").into())
    }
}

impl Configure for Refuse {
    const KIND: &'static str = "refuse";
    const STAGE: Stage = Stage::Auth;
    type Config = Settings;

    fn configure(settings: Settings, _: &Env<'_>) -> std::result::Result<Self, Problems> {
        Ok(Self(settings.status))
    }
}

fn registry() -> Registry {
    onedoor::builtins().with::<Refuse>()
}

const CORS: &str = "{origins: [https://app.example.com, \"https://*.example.org\"], methods: [GET, POST, DELETE], headers: [Authorization, X-A], expose: [etag, x-request-id], max_age: 10m}";

/// A door with a route for each kind of answer.
async fn door(cors: &str) -> (Gateway, Server) {
    let own = reply(200)
        .header("access-control-allow-origin", "*")
        .header("access-control-allow-credentials", "true")
        .header("access-control-expose-headers", "x-secret")
        .header("vary", "Accept-Encoding")
        .body("ok");
    let api = Upstream::new()
        .on("/slow", silence())
        .on("/forbidden", reply(403).header("access-control-allow-origin", "https://evil.test"))
        .on("/missing", reply(404).header("vary", "accept, ORIGIN"))
        .on("*", own);
    let api = api.start().await;
    let to = format!("to: \"http://{}\"", api.address());
    let refuse =
        |status: u16| format!("  s{status}: {{path: /{status}, {to}, filters: {{refuse: {{status: {status}}}}}}}\n");
    let refused: String = [401, 403, 413, 429, 503].map(refuse).concat();
    let yaml = format!(
        "defaults: {{filters: {{cors: {cors}}}}}\nroutes:\n  ok: {{path: /ok, {to}}}\n  forbidden: {{path: /forbidden, {to}}}\n  missing: {{path: /missing, {to}}}\n  only: {{path: /only, methods: [GET], {to}}}\n  ip: {{path: /ip, {to}, filters: {{ip: {{deny: [127.0.0.1]}}}}}}\n  down: {{path: /down, to: \"http://{}\"}}\n  slow: {{path: /slow, timeout: 50ms, {to}}}\n  own: {{path: /own, respond: {{body: own, headers: {{access-control-allow-origin: \"*\"}}}}}}\n  off: {{path: /off, methods: [GET, OPTIONS], {to}, filters: {{cors: off}}}}\n  none: {{path: /none, methods: [GET], {to}, filters: {{cors: off}}}}\n{refused}",
        Port::refusing().address()
    );
    (Gateway::start_with(&yaml, registry()).await, api)
}

/// The value of a header that stands at most once.
fn once<'a>(response: &'a Response, name: &str) -> Option<&'a str> {
    let all = response.headers.all(name);
    assert!(all.len() < 2, "{name} stands {} times: {all:?}", all.len());
    all.first().copied()
}

fn varies_by_origin(response: &Response) -> bool {
    let all = response.headers.all("vary").join(",");
    let named = all.split(',').filter(|name| name.trim().eq_ignore_ascii_case("origin")).count();
    assert!(named < 2, "{all}");
    named == 1
}

const APP: &str = "https://app.example.com";

/// Origins and whether their pages may read what the door of [`CORS`] answers.
const ORIGINS: [(Option<&str>, bool); 7] = [
    (Some(APP), true),
    (Some("https://a.b.example.org"), true),
    (Some("https://example.org"), false),
    (Some("https://evil.test"), false),
    (Some("http://app.example.com"), false),
    (Some("null"), false),
    (None, false),
];

fn asked(door: &Gateway, method: &str, target: &str, origin: Option<&str>) -> Request {
    let request = door.request(method, target);
    match origin {
        Some(origin) => request.header("origin", origin),
        None => request,
    }
}

#[tokio::test]
async fn every_answer_is_readable_by_the_pages_that_may_and_by_no_others() {
    let (door, _api) = door(CORS).await;
    let mut cases = 0;
    for (method, target, status) in [
        ("GET", "/ok", 200),
        ("POST", "/ok", 200),
        ("DELETE", "/ok", 200),
        // A method that is not allowed is the browser's to refuse, which asks by a preflight before.
        ("PUT", "/ok", 200),
        ("GET", "/own", 200),
        ("GET", "/forbidden", 403),
        ("GET", "/missing", 404),
        ("GET", "/401", 401),
        ("POST", "/403", 403),
        ("GET", "/ip", 403),
        ("GET", "/nowhere", 404),
        ("POST", "/only", 405),
        ("POST", "/413", 413),
        ("GET", "/429", 429),
        ("GET", "/down", 502),
        ("GET", "/503", 503),
        ("GET", "/slow", 504),
        ("GET", "/bad%zz", 400),
    ] {
        for (origin, may) in ORIGINS {
            let response = asked(&door, method, target, origin).send().await;
            let case = format!("{method} {target} from {origin:?}");
            assert_eq!(response.status, status, "{case}");
            assert_eq!(once(&response, "access-control-allow-origin"), origin.filter(|_| may), "{case}");
            let exposed = may.then_some("etag, x-request-id");
            assert_eq!(once(&response, "access-control-expose-headers"), exposed, "{case}");
            assert_eq!(once(&response, "access-control-allow-credentials"), None, "{case}");
            assert!(varies_by_origin(&response), "{case}");
            cases += 1;
        }
    }
    assert_eq!(cases, 126);
}

#[tokio::test]
async fn preflights_are_answered_before_anybody_is_asked_and_whatever_the_methods_are() {
    let (door, api) = door(CORS).await;
    let mut cases = 0;
    for target in ["/ok", "/401", "/403", "/429", "/503", "/only", "/down", "/slow", "/nowhere"] {
        for method in ["GET", "DELETE", "PUT", "patch"] {
            for headers in [None, Some("authorization,x-a"), Some("x-other")] {
                for (origin, may) in ORIGINS {
                    let Some(origin) = origin else { continue };
                    let mut request =
                        asked(&door, "OPTIONS", target, Some(origin)).header("access-control-request-method", method);
                    if let Some(headers) = headers {
                        request = request.header("access-control-request-headers", headers);
                    }
                    let response = request.send().await;
                    let case = format!("{target} by {method} with {headers:?} from {origin}");
                    assert_eq!((response.status, response.text()), (204, ""), "{case}");
                    let header = |name: &str| once(&response, name).map(str::to_owned);
                    let allowed = |value: &str| may.then(|| value.to_owned());
                    assert_eq!(header("access-control-allow-origin"), allowed(origin), "{case}");
                    assert_eq!(header("access-control-allow-methods"), allowed("GET, POST, DELETE"), "{case}");
                    assert_eq!(header("access-control-allow-headers"), allowed("Authorization, X-A"), "{case}");
                    assert_eq!(header("access-control-max-age"), allowed("600"), "{case}");
                    for none in ["access-control-allow-credentials", "access-control-expose-headers", "content-length"]
                    {
                        assert_eq!(header(none), None, "{case}");
                    }
                    assert!(varies_by_origin(&response), "{case}");
                    assert!(header("vary").unwrap().contains("Access-Control-Request-Method"), "{case}");
                    assert!(header("x-request-id").is_some(), "{case}");
                    cases += 1;
                }
            }
        }
    }
    assert_eq!(cases, 648);
    assert_eq!(api.requests().len(), 0);
}

#[tokio::test]
async fn a_preflights_answer_has_its_cause_in_the_log() {
    let (door, _api) = door(CORS).await;
    for (line, (origin, cause)) in [(APP, "preflight"), ("https://evil.test", "cors_denied")].into_iter().enumerate() {
        let request = asked(&door, "OPTIONS", "/ok", Some(origin)).header("access-control-request-method", "PUT");
        request.send().await;
        assert_eq!(door.cause(line + 1).await, (cause.into(), 204));
    }
}

#[tokio::test]
async fn what_is_no_preflight_is_a_request_like_any_other() {
    let (door, api) = door(CORS).await;
    // Without an origin or a method that is asked for.
    assert_eq!(door.request("OPTIONS", "/ok").send().await.status, 200);
    assert_eq!(asked(&door, "OPTIONS", "/ok", Some(APP)).send().await.status, 200);
    let request = door.request("OPTIONS", "/ok").header("access-control-request-method", "GET");
    assert_eq!(request.send().await.status, 200);
    assert_eq!(api.requests().len(), 3);
    assert_eq!(asked(&door, "OPTIONS", "/401", Some(APP)).send().await.status, 401);
    assert_eq!(asked(&door, "OPTIONS", "/only", Some(APP)).send().await.status, 405);
    let request = asked(&door, "GET", "/401", Some(APP)).header("access-control-request-method", "GET");
    assert_eq!(request.send().await.status, 401);
}

#[tokio::test]
async fn a_route_without_cors_leaves_preflights_and_headers_to_its_upstream() {
    let (door, api) = door(CORS).await;
    let preflight =
        |target: &str| asked(&door, "OPTIONS", target, Some(APP)).header("access-control-request-method", "GET");
    let response = preflight("/off").send().await;
    assert_eq!((response.status, once(&response, "access-control-allow-origin")), (200, Some("*")));
    assert_eq!(api.last().method, "OPTIONS");
    let response = asked(&door, "GET", "/off", Some(APP)).send().await;
    assert_eq!(once(&response, "access-control-allow-origin"), Some("*"));
    assert_eq!(response.headers.all("vary"), ["Accept-Encoding"]);
    // No route takes an OPTIONS, and the one that is asked about has no `cors`.
    assert_eq!(preflight("/none").send().await.status, 405);
    assert_eq!(api.requests().len(), 2);
}

#[tokio::test]
async fn without_cors_in_defaults_a_preflight_for_nothing_is_a_404_or_405() {
    let yaml = format!("routes: {{a: {{path: /a, methods: [GET], respond: {{}}, filters: {{cors: {CORS}}}}}}}");
    let door = Gateway::start(&yaml).await;
    for (target, method, status) in [("/a", "GET", 204), ("/a", "DELETE", 405), ("/b", "GET", 404)] {
        let request = asked(&door, "OPTIONS", target, Some(APP)).header("access-control-request-method", method);
        assert_eq!(request.send().await.status, status, "{target} {method}");
    }
}

#[tokio::test]
async fn an_upstreams_vary_is_kept_and_said_once() {
    let (door, _api) = door(CORS).await;
    let vary = async |target: &str| asked(&door, "GET", target, Some(APP)).send().await.headers.all("vary").join("|");
    assert_eq!(vary("/ok").await, "Accept-Encoding, Origin");
    assert_eq!(vary("/missing").await, "accept, ORIGIN");
    assert_eq!(vary("/401").await, "Origin");
}

#[tokio::test]
async fn with_credentials_the_origin_is_named_and_they_are_allowed() {
    let cors = "{origins: https://app.example.com, credentials: true, headers: [X-A]}";
    let (door, _api) = door(cors).await;
    for (target, status) in [("/ok", 200), ("/401", 401), ("/nowhere", 404), ("/down", 502), ("/slow", 504)] {
        for (origin, may) in [(APP, true), ("https://evil.test", false), ("null", false)] {
            let request = asked(&door, "GET", target, Some(origin)).header("cookie", "a=b");
            let response = request.send().await;
            assert_eq!(response.status, status);
            assert_eq!(once(&response, "access-control-allow-origin"), may.then_some(origin), "{target} {origin}");
            assert_eq!(once(&response, "access-control-allow-credentials"), may.then_some("true"), "{target} {origin}");
            let exposed = may.then_some("x-request-id, retry-after, ratelimit, ratelimit-policy");
            assert_eq!(once(&response, "access-control-expose-headers"), exposed);
            let request = asked(&door, "OPTIONS", target, Some(origin)).header("access-control-request-method", "GET");
            let response = request.send().await;
            assert_eq!(once(&response, "access-control-allow-credentials"), may.then_some("true"), "{target} {origin}");
            assert_eq!(once(&response, "access-control-allow-methods"), may.then_some("GET, HEAD, POST"));
            assert_eq!(once(&response, "access-control-max-age"), None);
        }
    }
}

#[tokio::test]
async fn a_star_is_for_everybody_and_needs_no_vary() {
    let cors = "{origins: \"*\", methods: \"*\", headers: [\"*\", Authorization], expose: [\"*\"]}";
    let (door, _api) = door(cors).await;
    for origin in [Some(APP), Some("null"), Some("https://evil.test"), None] {
        for (target, status) in [("/ok", 200), ("/429", 429), ("/nowhere", 404)] {
            let response = asked(&door, "GET", target, origin).send().await;
            assert_eq!((response.status, once(&response, "access-control-allow-origin")), (status, Some("*")));
            assert_eq!(once(&response, "access-control-expose-headers"), Some("*"));
            assert!(!varies_by_origin(&response));
        }
    }
    let request = asked(&door, "OPTIONS", "/401", Some(APP)).header("access-control-request-method", "PURGE");
    let response = request.send().await;
    assert_eq!(once(&response, "access-control-allow-origin"), Some("*"));
    assert_eq!(once(&response, "access-control-allow-methods"), Some("*"));
    assert_eq!(once(&response, "access-control-allow-headers"), Some("*, Authorization"));
}

#[tokio::test]
async fn a_private_network_is_opened_to_those_who_ask_and_may() {
    for (setting, origin, asks, allowed) in [
        ("true", APP, "true", Some("true")),
        ("true", APP, "false", None),
        ("true", "https://evil.test", "true", None),
        ("false", APP, "true", None),
    ] {
        let (door, _api) = door(&format!("{{origins: [{APP}], private_network: {setting}}}")).await;
        let request = asked(&door, "OPTIONS", "/ok", Some(origin))
            .header("access-control-request-method", "GET")
            .header("access-control-request-private-network", asks);
        let response = request.send().await;
        assert_eq!(once(&response, "access-control-allow-private-network"), allowed, "{setting} {origin} {asks}");
    }
}

#[tokio::test]
async fn what_could_not_even_be_read_is_answered_to_the_only_page_that_may_ask() {
    let (door, _api) = door(&format!("{{origins: [{APP}]}}")).await;
    let answer = door.client().raw("GET / HTTP/1.1\r\nbroken\r\n\r\n").await;
    let answer = String::from_utf8(answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 400 ") && answer.contains(&format!("access-control-allow-origin: {APP}\r\n")));
}

#[tokio::test]
async fn wrong_mixes_refuse_the_file() {
    for (cors, why) in [
        ("{origins: \"*\", credentials: true}", "cors.credentials: with `origins: \"*\"`"),
        ("{origins: [\"*\", https://a.test]}", "cors.origins: `*` allows every origin"),
        ("{origins: [https://a.test/x]}", "cors.origins[0]: `https://a.test/x` has a path"),
        ("{origins: [\"https://*\"]}", "cors.origins[0]: `https://*` matches every host"),
        ("{origins: [\"https://*.com\"]}", "is too wide"),
        ("{origins: []}", "at least one value"),
        ("{}", "origins"),
        (
            "{origins: https://a.test, methods: [GET, patch]}",
            "cors.methods[1]: methods are written in capital letters; write `PATCH`",
        ),
        ("{origins: https://a.test, methods: [TRACE]}", "cors.methods[0]: browsers send no `TRACE`"),
        ("{origins: https://a.test, methods: [\"*\", GET]}", "cors.methods[1]: `GET` is among what `*` stands for"),
        ("{origins: https://a.test, methods: \"*\", credentials: true}", "cors.methods: with `credentials`"),
        ("{origins: https://a.test, headers: [\"*\"], credentials: true}", "cors.headers[0]: with `credentials`"),
        ("{origins: https://a.test, expose: [\"*\"], credentials: true}", "cors.expose[0]: with `credentials`"),
        ("{origins: https://a.test, headers: [\"a b\"]}", "cors.headers[0]: `a b` is no header's name"),
        ("{origins: https://a.test, expose: [Set-Cookie]}", "cors.expose[0]: browsers show no page a `Set-Cookie`"),
        ("{origins: https://a.test, max_age: 600}", "has no unit"),
        ("{origins: https://a.test, max_age: 5ms}", "cors.max_age: browsers count whole seconds"),
        ("{origins: https://a.test, allow: [a]}", "cors.allow"),
    ] {
        let said =
            Gateway::refused(&format!("routes: {{a: {{path: /, respond: {{}}, filters: {{cors: {cors}}}}}}}")).await;
        assert!(said.iter().any(|line| line.contains(why)), "{cors}: {said:?}");
    }
}

#[tokio::test]
async fn a_longer_max_age_than_browsers_take_is_warned_of() {
    let yaml = "listeners: {web: {address: \"127.0.0.1:0\"}}\nroutes: {a: {path: /, respond: {}, filters: {cors: {origins: https://a.test, max_age: 7d}}}}";
    let (config, _) = onedoor::config::Config::parse(yaml, "test.yaml").unwrap();
    let (_, warnings) = onedoor::server::check(config, &onedoor::builtins(), None).await.unwrap();
    let said: Vec<String> = warnings.iter().map(ToString::to_string).collect();
    assert!(
        said.len() == 1 && said[0].contains("warning: routes.a.filters.cors.max_age: browsers keep it"),
        "{said:?}"
    );
}
