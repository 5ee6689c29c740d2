//! Copies for another upstream, which touch neither client nor upstream.

use crate::support::*;

async fn door_to(api: &Address, mirror: &Address, more: &str) -> Gateway {
    Gateway::start(&format!(
        "upstreams: {{api: {{endpoints: [\"{api}\"]}}, shadow: {{endpoints: [\"{mirror}\"]}}}}\nroutes: {{all: {{path: /in/, strip: true, to: api, mirror: {{to: shadow{more}}}}}}}"
    ))
    .await
}

async fn good() -> Server {
    Upstream::new().on("*", reply(200).body("good")).start().await
}

#[tokio::test]
async fn a_mirror_gets_what_the_upstream_gets() {
    let (api, shadow) = (good().await, good().await);
    let door = door_to(api.address(), shadow.address(), "").await;
    let body = "0123456789".repeat(20_000);
    let request = door.request("PUT", "/in/a?b=c").header("x-kind", "kept").body(body.clone());
    assert_eq!(request.send().await.text(), "good");
    let chunked = door.request("POST", "/in/chunks").chunks(["one", "two"]);
    assert_eq!(chunked.send().await.text(), "good");
    assert_eq!(door.get("/in/none").send().await.text(), "good");
    for request in 0..3 {
        shadow.wait_for_body(request).await;
    }
    let mut pairs = (api.requests(), shadow.requests());
    pairs.1.sort_by_key(|seen| api.requests().iter().position(|real| real.target == seen.target));
    for (real, copy) in pairs.0.iter().zip(&pairs.1) {
        assert_eq!((&real.method, &real.target, &real.body), (&copy.method, &copy.target, &copy.body));
        assert_eq!(real.headers.all("x-request-id"), copy.headers.all("x-request-id"));
        assert!(copy.complete);
    }
    assert_eq!(pairs.1[0].header("x-kind"), Some("kept"));
}

#[tokio::test]
async fn what_a_mirror_does_is_nobodys_business() {
    let api = good().await;
    let dead = Port::refusing();
    let door = door_to(api.address(), dead.address(), "").await;
    assert_eq!(door.get("/in/").send().await.text(), "good");
    for script in [silence(), garbage(), raw_then_reset(""), reply(500)] {
        let shadow = Upstream::new().on("*", script).start().await;
        let door = door_to(api.address(), shadow.address(), "").await;
        assert_eq!(door.get("/in/").send().await.text(), "good");
        shadow.wait_for_requests(1).await;
        let line = &door.log(1).await[0];
        assert_eq!((line["status"].as_u64(), line["upstream"].as_str()), (Some(200), Some("api")));
        assert!(line["cause"].is_null());
    }
}

#[tokio::test]
async fn a_mirror_that_reads_nothing_holds_nothing_up() {
    let api = good().await;
    let shadow = Upstream::new().on("*", silence().never_reading()).start().await;
    let door = door_to(api.address(), shadow.address(), "").await;
    let response = door.request("PUT", "/in/").body(vec![b'x'; 32 << 20]).send().await;
    assert_eq!(response.text(), "good");
    assert_eq!(api.last().body_length, 32 << 20);
}

#[tokio::test]
async fn a_mirror_gets_its_share_and_a_retry_is_copied_once() {
    let (api, shadow) = (good().await, good().await);
    let door = door_to(api.address(), shadow.address(), ", ratio: 0%").await;
    assert_eq!(door.get("/in/").send().await.text(), "good");
    assert_eq!(shadow.connections(), 0);
    let busy = Upstream::new().on("*", [reply(503), reply(200).body("good")]).start().await;
    let door = Gateway::start(&format!(
        "routes: {{all: {{path: /, to: \"http://{busy}\", mirror: {{to: \"http://{shadow}\"}}, retry: {{on: [503]}}}}}}"
    ))
    .await;
    assert_eq!(door.request("PUT", "/").body("a body").send().await.text(), "good");
    shadow.wait_for_body(0).await;
    assert_eq!((busy.requests().len(), shadow.requests().len()), (2, 1));
    assert_eq!(shadow.last().body, b"a body");
}

#[tokio::test]
async fn a_mirror_sees_the_host_that_it_wants_to_see() {
    let (api, shadow) = (good().await, good().await);
    let door = Gateway::start(&format!(
        "upstreams: {{shadow: {{endpoints: [\"{shadow}\"], host: shadow.internal}}}}\n\
         routes: {{all: {{path: /, to: \"http://{api}\", mirror: {{to: shadow}}}}}}"
    ))
    .await;
    door.get("/").host("shop.test").send().await;
    shadow.wait_for_body(0).await;
    assert_eq!((api.last().header("host"), shadow.last().header("host")), (Some("shop.test"), Some("shadow.internal")));
}

#[tokio::test]
async fn a_mirror_of_an_upstream_by_http2_is_spoken_to_by_its_own_version() {
    let (api, shadow) = (TlsUpstream::h2c().start().await, good().await);
    let door = Gateway::start(&format!(
        "upstreams: {{api: {{endpoints: [\"{}\"], protocol: http2}}}}\n\
         routes: {{all: {{path: /, to: api, mirror: {{to: \"http://{shadow}\"}}}}}}",
        api.address()
    ))
    .await;
    assert_eq!(door.get("/a").host("shop.test").send().await.status, 200);
    shadow.wait_for_body(0).await;
    let seen = shadow.last();
    assert_eq!(
        (seen.version.as_str(), seen.target.as_str(), seen.header("host")),
        ("HTTP/1.1", "/a", Some("shop.test"))
    );
    assert!(seen.complete && shadow.malformed().is_empty());
}
