//! What a filter of one's own may do beyond heads: bodies, whom a request comes from, state and work of its own.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use bytes::Bytes;
use http::{HeaderName, HeaderValue};
use onedoor::filter::{
    BodyHook, Configure, Env, Filter, Flow, Identity, Problems, Registry, Reply, Request, Response, Result, Stage,
    async_trait,
};
use tokio::sync::Notify;

use crate::support::*;

/// Says who asks, counts requests over reloads, bounds bodies, and shouts.
struct Probe {
    settings: Settings,
    requests: Arc<AtomicUsize>,
    works: Arc<Notify>,
}

#[derive(serde::Deserialize, schemars::JsonSchema, Default)]
#[serde(deny_unknown_fields, default)]
struct Settings {
    subject: Option<String>,
    at_most: Option<usize>,
    shout: bool,
    /// Only there to be changed.
    label: String,
}

struct AtMost {
    limit: usize,
    seen: usize,
}

impl BodyHook for AtMost {
    fn piece(&mut self, piece: Bytes, _: bool) -> std::result::Result<Bytes, Box<Reply>> {
        self.seen += piece.len();
        if self.seen > self.limit {
            return Err(Box::new(Reply::problem(413, "too much").because("body_too_large", "more than was said")));
        }
        Ok(piece)
    }

    fn restart(&mut self) {
        self.seen = 0;
    }
}

/// Upper case, and an end of its own.
struct Shout;

impl BodyHook for Shout {
    fn piece(&mut self, piece: Bytes, end: bool) -> std::result::Result<Bytes, Box<Reply>> {
        let mut loud = piece.to_ascii_uppercase();
        loud.extend_from_slice(if end { b"!" } else { b"" });
        Ok(loud.into())
    }

    fn changes_length(&self) -> bool {
        true
    }
}

#[async_trait]
impl Filter for Probe {
    async fn request(&self, request: &mut Request<'_>) -> Result<Flow> {
        self.requests.fetch_add(1, Relaxed);
        if let Some(subject) = &self.settings.subject {
            *request.subject.identity = Some(Arc::new(Identity::new(subject, "probe")));
        }
        if let Some(limit) = self.settings.at_most {
            request.with_body(Box::new(AtMost { limit, seen: 0 }));
        }
        Ok(Flow::Continue)
    }

    async fn response(&self, response: &mut Response<'_>) -> Result<()> {
        let count = HeaderValue::from(self.requests.load(Relaxed));
        response.edits.set(HeaderName::from_static("x-count"), count)?;
        if self.settings.shout {
            response.with_body(Box::new(Shout));
        }
        Ok(())
    }

    async fn run(&self) {
        self.works.notify_one();
    }

    async fn ready(&self) {
        self.works.notified().await;
    }
}

impl Configure for Probe {
    const KIND: &'static str = "probe";
    const STAGE: Stage = Stage::Auth;
    type Config = Settings;

    fn configure(settings: Settings, env: &Env<'_>) -> std::result::Result<Self, Problems> {
        let requests = env.state("requests", AtomicUsize::default);
        Ok(Self { settings, requests, works: Arc::default() })
    }
}

fn registry() -> Registry {
    onedoor::builtins().with::<Probe>()
}

fn file(api: &Address, probe: &str, more: &str) -> String {
    format!(
        "routes: {{all: {{path: /, to: \"http://{api}\", filters: {{probe: {{{probe}}}{more}}}}}, own: {{path: /own, respond: {{body: quiet}}, filters: {{probe: {{{probe}}}}}}}}}"
    )
}

#[tokio::test]
async fn a_body_is_bounded_as_it_streams_and_the_upstream_never_sees_it_whole() {
    let api = Upstream::new().on("*", echo()).start().await;
    let door = Gateway::start_with(&file(api.address(), "at_most: 100000", ""), registry()).await;
    assert_eq!(door.request("PUT", "/").body(vec![b'x'; 100_000]).send().await.status, 200);
    let response = door.request("PUT", "/").chunks([vec![b'x'; 60_000], vec![b'x'; 60_000]]).send().await;
    assert_eq!((response.status, response.header("content-type")), (413, Some("application/problem+json")));
    assert_eq!(door.cause(2).await, ("body_too_large".into(), 413));
    assert!(api.requests().iter().all(|seen| seen.body_length <= 100_000));
}

#[tokio::test]
async fn a_request_that_is_tried_again_has_its_body_counted_anew() {
    let api = Upstream::new().on("*", [reply(503), reply(200)]).start().await;
    let yaml = file(api.address(), "at_most: 5000", "").replace("all: {", "all: {retry: {on: [503]}, ");
    let door = Gateway::start_with(&yaml, registry()).await;
    assert_eq!(door.request("PUT", "/").body(vec![b'x'; 4000]).send().await.status, 200);
    assert_eq!(api.requests().len(), 2);
}

#[tokio::test]
async fn a_response_changes_its_length_as_it_streams() {
    let api = Upstream::new().on("/one", reply(200).body("quiet")).on("*", reply(200).chunk("a").chunk("b"));
    let api = api.start().await;
    let door = Gateway::start_with(&file(api.address(), "shout: true", ""), registry()).await;
    for (target, body) in [("/one", "QUIET!"), ("/chunks", "AB!"), ("/own", "QUIET!")] {
        let mut connection = door.client().connect().await;
        for _ in 0..2 {
            let response = connection.send(door.get(target)).await;
            assert_eq!((response.status, response.text()), (200, body), "{target}");
        }
    }
    let answer = door.client().raw("GET /one HTTP/1.0\r\nHost: a\r\n\r\n").await;
    assert!(String::from_utf8(answer).unwrap().ends_with("\r\n\r\nQUIET!"));
    assert_eq!(door.request("HEAD", "/own").send().await.status, 200);
}

#[tokio::test]
async fn whom_a_request_comes_from_is_there_for_headers_and_the_log() {
    let api = Upstream::new().on("*", reply(200)).start().await;
    let headers = ", headers: {request: {set: {x-user: \"{identity.sub}\", x-role: \"{identity.role}\"}}}";
    let door = Gateway::start_with(&file(api.address(), "subject: u1", headers), registry()).await;
    door.get("/").header("x-user", "forged").header("x-role", "admin").send().await;
    let seen = api.last();
    assert_eq!((seen.headers.all("x-user"), seen.header("x-role")), (vec!["u1"], None));
    assert_eq!(door.log(1).await[0]["identity"], "u1");
}

#[tokio::test]
async fn state_outlives_a_reload_that_changes_the_filter() {
    let api = Upstream::new().on("*", reply(200)).start().await;
    let mut door = Gateway::start_with(&file(api.address(), "label: a", ""), registry()).await;
    door.get("/").send().await;
    door.get("/").send().await;
    door.reload(&file(api.address(), "label: b", "")).await.unwrap();
    assert_eq!(door.get("/").send().await.header("x-count"), Some("3"));
    // Another route's is another state.
    assert_eq!(door.get("/own").send().await.header("x-count"), Some("1"));
}
