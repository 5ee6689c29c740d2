//! The chain: its order, its way back, its failures; and the filters that come along.

use std::sync::atomic::{AtomicUsize, Ordering};

use http::{HeaderName, HeaderValue};
use onedoor::filter::{
    Configure, Env, Filter, Flow, Problems, Registry, Reply, Request, Response, Result, async_trait,
};

use crate::support::*;

/// A filter that does as its settings say.
struct Test(TestConfig);

#[derive(serde::Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields, default)]
struct TestConfig {
    request: String,
    response: String,
}

impl Default for TestConfig {
    fn default() -> Self {
        Self { request: "continue".into(), response: "continue".into() }
    }
}

#[async_trait]
impl Filter for Test {
    async fn request(&self, request: &mut Request<'_>) -> Result<Flow> {
        request.subject.kept.insert(Kept("from the request".into()));
        match self.0.request.as_str() {
            "reply" => return Ok(Reply::status(299).with_text("by the filter").into()),
            "fail" => return Err("told to fail".into()),
            "half" => {
                request.edits.set(HeaderName::from_static("x-test"), HeaderValue::from_static("half done"))?;
                return Err("told to fail half way".into());
            }
            "framing" => {
                request.edits.remove(http::header::CONTENT_LENGTH)?;
            }
            "panic" => panic!("told to panic"),
            "sleep" => std::future::pending().await,
            _ => {}
        }
        request.edits.set(HeaderName::from_static("x-test"), HeaderValue::from_static("went through"))?;
        Ok(Flow::Continue)
    }

    async fn response(&self, response: &mut Response<'_>) -> Result<()> {
        if let Some(kept) = response.subject.kept.get::<Kept>() {
            response.edits.set(HeaderName::from_static("x-kept"), HeaderValue::from_str(&kept.0)?)?;
        }
        match self.0.response.as_str() {
            "fail" => Err("told to fail on the way back".into()),
            _ => Ok(()),
        }
    }
}

#[derive(Clone)]
struct Kept(String);

impl Configure for Test {
    const KIND: &'static str = "test";
    type Config = TestConfig;

    fn configure(config: TestConfig, _: &Env<'_>) -> std::result::Result<Self, Problems> {
        Ok(Self(config))
    }
}

fn registry() -> Registry {
    onedoor::builtins().with::<Test>()
}

async fn door(filters: &str) -> (Gateway, Server) {
    let api = Upstream::new().on("*", echo()).start().await;
    let yaml =
        format!("routes: {{all: {{path: \"/{{id}}\", to: \"http://{}\", filters: {{{filters}}}}}}}", api.address());
    (Gateway::start_with(&yaml, registry()).await, api)
}

#[tokio::test]
async fn a_filter_of_ones_own_changes_requests_and_keeps_state_for_the_way_back() {
    let (door, api) = door("test: {}").await;
    let response = door.get("/7").send().await;
    assert_eq!((response.status, response.header("x-kept")), (200, Some("from the request")));
    assert_eq!(api.last().header("x-test"), Some("went through"));
}

#[tokio::test]
async fn a_filters_answer_goes_back_through_the_filters_that_were_entered_only() {
    let (door, api) = door("test: {request: reply}, headers: {response: {set: {x-headers: was entered}}}").await;
    let response = door.get("/7").send().await;
    assert_eq!((response.status, response.text()), (299, "by the filter"));
    assert_eq!(response.header("x-kept"), Some("from the request"));
    assert!(response.header("x-request-id").is_some());
    assert_eq!(response.header("x-headers"), None, "`headers` runs after custom filters, so it was not entered");
    assert_eq!(api.requests().len(), 0);
    assert_eq!(door.cause(1).await, ("filter_reply".into(), 299));
}

#[tokio::test]
async fn a_filter_that_fails_or_panics_refuses_the_request_and_no_other() {
    for what in ["fail", "panic"] {
        let (door, api) = door(&format!("test: {{request: {what}}}")).await;
        let mut connection = door.client().connect().await;
        let response = connection.send(Client::to(api.address()).get("/7")).await;
        assert_eq!(response.status, 500, "{what}");
        assert!(!response.text().contains("told to"), "{}", response.text());
        assert_eq!(api.requests().len(), 0);
        let line = &door.log(1).await[0];
        assert_eq!(line["cause"], "filter_failed");
        assert!(line["detail"].as_str().unwrap().contains(&format!("told to {what}")), "{line}");
    }
}

#[tokio::test]
async fn a_filter_that_may_fail_open_lets_the_request_through() {
    for what in ["fail", "half", "panic"] {
        let (door, api) = door(&format!("test: {{request: {what}, on_error: open}}")).await;
        assert_eq!(door.get("/7").send().await.status, 200);
        assert_eq!(api.last().header("x-test"), None);
    }
}

#[tokio::test]
async fn a_filter_may_not_change_the_framing() {
    let (door, api) = door("test: {request: framing}").await;
    assert_eq!(door.client().post("/7").body("abc").send().await.status, 500);
    assert_eq!(api.requests().len(), 0);
    assert!(door.log(1).await[0]["detail"].as_str().unwrap().contains("content-length"));
}

#[tokio::test]
async fn an_allow_list_is_about_what_the_client_sent_not_about_what_the_door_writes() {
    let (door, api) = door("headers: {request: {allow: [accept]}}").await;
    door.get("/7").header("accept", "*/*").header("cookie", "a=b").send().await;
    let seen = api.last();
    assert_eq!((seen.header("accept"), seen.header("cookie")), (Some("*/*"), None));
    for name in ["x-forwarded-for", "forwarded", "x-request-id", "host"] {
        assert!(seen.header(name).is_some(), "{name}");
    }
}

#[tokio::test]
async fn a_filter_that_fails_on_the_way_back_turns_the_response_into_a_500() {
    let (door, _api) = door("test: {response: fail}").await;
    let response = door.get("/7").send().await;
    assert_eq!((response.status, response.header("x-kept")), (500, None), "it changes nothing any more");
    assert!(response.header("x-request-id").is_some(), "the others do");
    assert_eq!(door.cause(1).await, ("filter_failed".into(), 500));
}

#[tokio::test]
async fn a_filter_that_hangs_is_bounded_by_the_deadline() {
    let api = Upstream::new().on("*", echo()).start().await;
    let yaml = format!(
        "routes: {{all: {{path: /, timeout: 50ms, to: \"http://{}\", filters: {{test: {{request: sleep}}}}}}}}",
        api.address()
    );
    let door = Gateway::start_with(&yaml, registry()).await;
    assert_eq!(door.get("/7").send().await.status, 504);
    assert_eq!(door.cause(1).await, ("deadline".into(), 504));
}

#[tokio::test]
async fn a_502_still_carries_what_filters_add() {
    let door = Gateway::start(&format!(
        "routes: {{all: {{path: /, to: \"http://{}\", filters: {{headers: {{response: {{set: {{x-a: b}}}}}}}}}}}}",
        Port::refusing().address()
    ))
    .await;
    let response = door.get("/").send().await;
    assert_eq!((response.status, response.header("x-a")), (502, Some("b")));
    assert!(response.header("x-request-id").is_some());
}

#[tokio::test]
async fn headers_are_set_added_removed_and_let_through() {
    let (door, api) = door(
        "headers: {request: {allow: [x-a, x-b, x-c], remove: [x-b], set: {x-c: new, x-id: \"{path.id}\", x-ip: \"{client_ip}\", x-brace: \"{{}}\"}, add: {x-a: more}}, response: {set: {server: mine}, remove: [x-echo]}}",
    )
    .await;
    let request = door.get("/7").header("x-a", "1").header("x-b", "2").header("x-c", "3").header("cookie", "c=d");
    let response = request.header("connection", "close, x-set-later").send().await;
    let seen = api.last();
    assert_eq!(seen.headers.all("x-a"), ["1", "more"]);
    assert_eq!((seen.header("x-b"), seen.header("cookie")), (None, None));
    assert_eq!(seen.headers.all("x-c"), ["new"]);
    assert_eq!((seen.header("x-id"), seen.header("x-ip")), (Some("7"), Some("127.0.0.1")));
    assert_eq!(seen.header("x-brace"), Some("{}"));
    assert_eq!(response.header("server"), Some("mine"));
}

#[tokio::test]
async fn a_wildcard_that_a_route_does_not_have_is_refused_there_and_not_written_by_defaults() {
    let set = "filters: {headers: {request: {set: {x-id: \"{path.id}\"}}}}";
    let said = Gateway::refused(&format!("routes: {{a: {{path: \"/a/{{x}}\", respond: {{}}, {set}}}}}")).await;
    assert!(said[0].contains("`id` is no wildcard") && said[0].contains("{path.x}"), "{said:?}");
    let api = Upstream::new().on("*", echo()).start().await;
    let door = Gateway::start(&format!(
        "defaults: {{{set}}}\nroutes: {{a: {{path: \"/a/{{id}}\", to: \"http://{0}\"}}, b: {{path: /b, to: \"http://{0}\"}}}}",
        api.address()
    ))
    .await;
    door.get("/a/7").send().await;
    assert_eq!(api.last().header("x-id"), Some("7"));
    door.get("/b").send().await;
    assert_eq!(api.last().header("x-id"), None);
}

#[tokio::test]
async fn a_clients_connection_header_cannot_take_away_what_the_door_adds() {
    let (door, api) = door("headers: {request: {set: {x-user: door}}}").await;
    door.get("/7").header("connection", "close, x-user").header("x-user", "client").send().await;
    assert_eq!(api.last().headers.all("x-user"), ["door"]);
    // The door's own may not even be named.
    assert_eq!(door.get("/7").header("connection", "x-forwarded-for").send().await.status, 400);
}

#[tokio::test]
async fn addresses_are_let_in_by_allow_and_kept_out_by_deny() {
    for (ip, status) in [
        ("{allow: [127.0.0.0/8]}", 200),
        ("{allow: [10.0.0.0/8]}", 403),
        ("{deny: [127.0.0.0/8]}", 403),
        ("{deny: [10.0.0.0/8]}", 200),
        ("{allow: [127.0.0.0/8], deny: [127.0.0.1]}", 403),
    ] {
        let (door, _api) = door(&format!("ip: {ip}")).await;
        assert_eq!(door.get("/7").send().await.status, status, "{ip}");
        if status == 403 {
            assert_eq!(door.cause(1).await, ("ip_denied".into(), 403));
        }
    }
}

#[tokio::test]
async fn a_client_on_a_unix_socket_is_let_in_by_name_only() {
    let folder = tempfile::tempdir().unwrap();
    for (ip, status) in [("{allow: [unix]}", 200), ("{allow: [127.0.0.1]}", 403), ("{deny: [10.0.0.1]}", 403)] {
        let socket = folder.path().join(format!("{status}{}.sock", ip.len()));
        let door = Gateway::start(&format!(
            "listeners: {{web: {{address: \"unix:{}\"}}}}\nroutes: {{a: {{path: /, respond: {{}}, filters: {{ip: {ip}}}}}}}",
            socket.display()
        ))
        .await;
        assert_eq!(door.get("/").send().await.status, status, "{ip}");
    }
}

#[tokio::test]
async fn off_removes_what_defaults_have_and_a_route_says_otherwise_as_a_whole() {
    let door = Gateway::start(
        "defaults: {filters: {headers: {response: {set: {x-default: a}}}}}\nroutes:\n  a: {path: /a, respond: {}}\n  b: {path: /b, respond: {}, filters: {headers: off}}\n  c: {path: /c, respond: {}, filters: {headers: {response: {set: {x-own: b}}}}}\n  d: {path: /d, respond: {}, filters: {request_id: off}}",
    )
    .await;
    let header = async |path: &str, name: &str| door.get(path).send().await.header(name).map(str::to_owned);
    assert_eq!(header("/a", "x-default").await.as_deref(), Some("a"));
    assert_eq!(header("/b", "x-default").await, None);
    assert_eq!(header("/c", "x-default").await, None);
    assert_eq!(header("/c", "x-own").await.as_deref(), Some("b"));
    assert_eq!(header("/d", "x-request-id").await, None);
}

/// Counts how often it was made.
struct Counted;

static MADE: AtomicUsize = AtomicUsize::new(0);

impl Filter for Counted {}

impl Configure for Counted {
    const KIND: &'static str = "counted";
    type Config = TestConfig;

    fn configure(_: TestConfig, _: &Env<'_>) -> std::result::Result<Self, Problems> {
        MADE.fetch_add(1, Ordering::SeqCst);
        Ok(Self)
    }
}

#[tokio::test]
async fn a_filter_is_made_once_for_each_place_and_kept_over_a_reload_while_its_settings_stay() {
    let registry = onedoor::builtins().with::<Counted>();
    let yaml = |settings: &str, body: &str| {
        format!(
            "defaults: {{filters: {{counted: {{{settings}}}}}}}\nroutes: {{a: {{path: /a, respond: {{body: \"{body}\"}}}}, b: {{path: /b, respond: {{}}}}}}"
        )
    };
    let mut door = Gateway::start_with(&yaml("", "one"), registry).await;
    assert_eq!(MADE.load(Ordering::SeqCst), 1);
    door.reload(&yaml("", "two")).await.unwrap();
    assert_eq!(door.get("/a").send().await.text(), "two");
    assert_eq!(MADE.load(Ordering::SeqCst), 1, "unrelated changes make no new filter");
    door.reload(&yaml("request: other", "two")).await.unwrap();
    assert_eq!(MADE.load(Ordering::SeqCst), 2);
}
