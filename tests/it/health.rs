//! Active checks, seen through a whole door.

use std::time::Instant;

use onedoor::config::Config;
use onedoor::explain::{Question, explain};
use onedoor::upstream::{Status, Using};

use crate::support::*;

const CHECKED: &str = "health: {path: /healthz, interval: 100ms, timeout: 90ms}";

fn status(door: &Gateway) -> Status {
    door.server().snapshot().upstream("api").expect("an upstream `api`").status(Instant::now())
}

fn file(endpoints: &[&Server], settings: &str) -> String {
    let endpoints: Vec<String> = endpoints.iter().map(|api| format!("\"{api}\"")).collect();
    format!(
        "upstreams: {{api: {{endpoints: [{}], {settings}}}}}\nroutes: {{all: {{path: /, to: api}}}}",
        endpoints.join(", ")
    )
}

async fn well() -> Server {
    Upstream::new().on("*", reply(200)).start().await
}

async fn becomes_unhealthy(door: &Gateway, endpoint: usize) {
    until("it is found to be unhealthy", || status(door).endpoints[endpoint].unhealthy.is_some()).await;
}

async fn becomes_healthy(door: &Gateway, endpoint: usize) {
    until("it is found to be healthy", || status(door).endpoints[endpoint].unhealthy.is_none()).await;
}

/// How many of so many requests each endpoint gets; checks don't count.
async fn shares<const N: usize>(door: &Gateway, requests: usize, apis: [&Server; N]) -> [usize; N] {
    let count = |api: &Server| api.requests().iter().filter(|seen| seen.target == "/").count();
    let before = apis.map(count);
    for _ in 0..requests {
        assert_eq!(door.get("/").send().await.status, 200);
    }
    let after = apis.map(count);
    std::array::from_fn(|api| after[api] - before[api])
}

fn checks(api: &Server) -> usize {
    api.requests().iter().filter(|seen| seen.target == "/healthz").count()
}

#[tokio::test]
async fn an_endpoint_that_fails_its_checks_gets_no_request_until_it_passes_them() {
    let (good, bad) = (well().await, well().await);
    let door = Gateway::start(&file(&[&good, &bad], CHECKED)).await;
    assert_eq!(shares(&door, 10, [&good, &bad]).await, [5, 5]);
    bad.change("/healthz", reply(503));
    becomes_unhealthy(&door, 1).await;
    assert_eq!(status(&door).endpoints[1].unhealthy.as_deref(), Some("status 503, expected 200-299"));
    assert_eq!(shares(&door, 10, [&good, &bad]).await, [10, 0]);
    bad.change("/healthz", reply(200));
    becomes_healthy(&door, 1).await;
    assert_eq!(shares(&door, 10, [&good, &bad]).await, [5, 5]);
}

#[tokio::test]
async fn with_slow_start_the_one_that_comes_back_has_a_small_share_first() {
    let (good, bad) = (well().await, well().await);
    let door = Gateway::start(&file(&[&good, &bad], &format!("{CHECKED}, slow_start: 1h"))).await;
    bad.change("/healthz", reply(503));
    becomes_unhealthy(&door, 1).await;
    bad.change("/healthz", reply(200));
    becomes_healthy(&door, 1).await;
    assert!((0.1..0.2).contains(&status(&door).endpoints[1].share), "{:?}", status(&door));
    let [_, slow] = shares(&door, 100, [&good, &bad]).await;
    assert!(slow < 25, "{slow} of 100, where it will have 50");
}

#[tokio::test]
async fn when_all_are_unhealthy_panic_says_whether_all_are_used_or_none() {
    for (panic, using, answer) in [("50%", Using::Everyone, 200), ("off", Using::Nobody, 503)] {
        let (one, two) = (well().await, well().await);
        let door = Gateway::start(&file(&[&one, &two], &format!("{CHECKED}, panic: {panic}"))).await;
        for (index, api) in [&one, &two].into_iter().enumerate() {
            api.change("/healthz", reply(500));
            becomes_unhealthy(&door, index).await;
        }
        until("the last one counts", || status(&door).using == using).await;
        assert_eq!(door.get("/").send().await.status, answer);
        let said = explain(&door.server().snapshot(), &Question::new(http::Method::GET, "/")).await;
        match using {
            Using::Everyone => assert_eq!(said.using, Some(Using::Everyone)),
            _ => {
                assert_eq!(said.cause, Some("no_endpoint"));
                assert_eq!(door.cause(1).await, ("no_endpoint".into(), 503));
            }
        }
    }
}

#[tokio::test]
async fn a_reload_with_other_settings_keeps_what_checks_have_found_and_goes_on_checking() {
    let (good, bad) = (well().await, well().await);
    let mut door = Gateway::start(&file(&[&good, &bad], CHECKED)).await;
    bad.change("/healthz", reply(503));
    becomes_unhealthy(&door, 1).await;
    door.reload(&file(&[&good, &bad], &format!("{CHECKED}, balance: least_requests"))).await.unwrap();
    assert_eq!(shares(&door, 10, [&good, &bad]).await, [10, 0]);
    bad.change("/healthz", reply(200));
    becomes_healthy(&door, 1).await;
}

#[tokio::test]
async fn a_reload_disturbs_the_rhythm_of_the_checks_only_where_an_upstream_has_changed() {
    let api = well().await;
    let rarely = |timeout: &str| {
        file(&[&api], &format!("health: {{path: /healthz, interval: 1h}}, timeouts: {{idle: {timeout}}}"))
    };
    let mut door = Gateway::start(&rarely("9s")).await;
    api.wait_for_requests(1).await;
    for reload in 0..3 {
        door.reload(&format!("{}\ntests: [{{get: /{reload}, expect: {{to: api}}}}]", rarely("9s"))).await.unwrap();
        door.get("/").send().await;
    }
    assert_eq!(checks(&api), 1);
    for reload in 1..3 {
        door.reload(&rarely(&format!("{reload}s"))).await.unwrap();
        until("the new one checks", || checks(&api) == 1 + reload).await;
    }
}

#[tokio::test]
async fn an_upstream_that_is_replaced_is_checked_no_more_though_an_exchange_goes_on_with_it() {
    let gate = Gate::new();
    let (api, pace) = (well().await, well().await);
    api.change("/held", reply(200).hold(&gate));
    let with = |checked: &str| {
        format!(
            "upstreams: {{api: {{endpoints: [\"{api}\"]{checked}}}, pace: {{endpoints: [\"{pace}\"], {CHECKED}}}}}\n\
             routes: {{all: {{path: /, to: api}}, pace: {{path: /pace, to: pace}}}}"
        )
    };
    let mut door = Gateway::start(&with(&format!(", {CHECKED}"))).await;
    let mut held = door.client().connect().await;
    held.send_head(door.get("/held")).await;
    until("the request and a check", || api.requests().len() > 1 && checks(&api) > 0).await;
    door.reload(&with("")).await.unwrap();
    let (before, turns) = (checks(&api), checks(&pace));
    until("the other's checks", || checks(&pace) > turns + 4).await;
    assert!(checks(&api) <= before + 1, "one may have been under way");
    gate.open();
    assert_eq!(held.read_response().await.status, 200);
}

#[tokio::test]
async fn check_and_explain_ask_nobody() {
    let api = well().await;
    let yaml = format!("listeners: {{web: {{address: \"127.0.0.1:0\"}}}}\n{}", file(&[&api], CHECKED));
    let (config, _) = Config::parse(&yaml, "test.yaml").unwrap_or_else(|_| panic!("{yaml}"));
    let (snapshot, _) = onedoor::server::check(config, &onedoor::builtins(), None).await.unwrap();
    explain(&snapshot, &Question::new(http::Method::GET, "/")).await;
    // Whatever was started would have its turn before this has made its own way.
    Client::to(api.address()).get("/").send().await;
    assert_eq!((checks(&api), api.connections()), (0, 1));
}

#[tokio::test]
async fn a_check_verifies_the_certificate_that_requests_would() {
    let ca = Ca::new("internal");
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("ca.pem"), ca.pem()).unwrap();
    let good = TlsUpstream::new(&ca.issue(&["127.0.0.1"])).start().await;
    let bad = TlsUpstream::new(&ca.issue(&["127.0.0.2"])).start().await;
    let door = Gateway::start(&format!(
        "upstreams: {{api: {{endpoints: [\"{}\", \"{}\"], tls: {{ca: {}/ca.pem}}, \
         health: {{path: /, interval: 500ms, timeout: 450ms, unhealthy_after: 1}}}}}}\n\
         routes: {{all: {{path: /, to: api}}}}",
        good.address(),
        bad.address(),
        folder.path().display()
    ))
    .await;
    becomes_unhealthy(&door, 1).await;
    let [good, bad] = &status(&door).endpoints[..] else { panic!("two endpoints") };
    assert_eq!(good.unhealthy, None);
    assert!(bad.unhealthy.as_ref().is_some_and(|why| why.contains("certificate")), "{bad:?}");
    for _ in 0..4 {
        assert_eq!(door.get("/").send().await.status, 200);
    }
}

#[tokio::test]
async fn a_secret_that_has_changed_is_used_after_a_reload() {
    let api = well().await;
    let folder = tempfile::tempdir().unwrap();
    let secret = folder.path().join("token");
    let yaml = file(
        &[&api],
        &format!(
            "health: {{path: /healthz, interval: 1h, headers: {{authorization: {{file: \"{}\"}}}}}}",
            secret.display()
        ),
    );
    std::fs::write(&secret, "one").unwrap();
    let mut door = Gateway::start(&yaml).await;
    api.wait_for_requests(1).await;
    std::fs::write(&secret, "two").unwrap();
    door.reload(&yaml).await.unwrap();
    api.wait_for_requests(2).await;
    let sent: Vec<_> = api.requests().iter().map(|seen| seen.header("authorization").map(str::to_owned)).collect();
    assert_eq!(sent, [Some("one".to_owned()), Some("two".to_owned())]);
}

#[tokio::test]
async fn what_is_wrong_with_a_check_is_told_at_its_place() {
    for (upstream, words) in [
        ("{endpoints: [127.0.0.1:9], health: {}}", "upstreams.api.health: expected exactly one of `path`"),
        (
            "{endpoints: [127.0.0.1:9], health: {path: /, headers: {x-key: {env: NO_SUCH_VARIABLE}}}}",
            "upstreams.api.health.headers.x-key: ",
        ),
        (
            "{endpoints: [\"unix:/run/x.sock\"], health: {tcp: true, port: 80}}",
            "upstreams.api.endpoints[0]: `port: 80` cannot be checked",
        ),
    ] {
        let said =
            Gateway::refused(&format!("upstreams:\n  api: {upstream}\nroutes: {{a: {{path: /, to: api}}}}")).await;
        assert!(said.len() == 1 && said[0].contains(words), "{words}: {said:?}");
    }
}
