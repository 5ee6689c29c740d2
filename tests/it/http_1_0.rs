//! Clients of HTTP/1.0: answers without chunks and interim responses, and a connection that is kept where they ask for it
//! and can tell where a body ends. The status line says HTTP/1.1, as nginx's and Apache's does (RFC 9110, 6.2).

use crate::support::*;

async fn door(script: impl Into<Script>) -> (Gateway, Server) {
    let api = Upstream::new().on("*", script).start().await;
    let door = Gateway::start(&format!(
        "routes: {{all: {{path: /, to: \"http://{}\"}}, own: {{path: /own, respond: {{body: mine}}}}}}",
        api.address()
    ))
    .await;
    (door, api)
}

fn kept(door: &Gateway, method: &str, target: &str) -> Request {
    door.request(method, target).version("HTTP/1.0").header("connection", "keep-alive")
}

#[tokio::test]
async fn a_connection_is_kept_where_the_client_asks_and_the_length_is_known() {
    let (door, api) = door([reply(200).body("one"), reply(204), reply(304)]).await;
    let mut client = door.client().connect().await;
    for (target, status, body) in
        [("/", 200, "one"), ("/", 204, ""), ("/", 304, ""), ("/own", 200, "mine"), ("/no", 304, "")]
    {
        let response = client.send(kept(&door, "GET", target)).await;
        assert_eq!((response.status, response.text()), (status, body), "{target}");
        assert_eq!(response.header("connection"), Some("keep-alive"), "{target}");
    }
    assert_eq!(api.requests().len(), 4);
}

#[tokio::test]
async fn without_being_asked_none_is_kept() {
    let (door, _api) = door(reply(200).body("one")).await;
    let mut client = door.client().connect().await;
    client.send_head(door.get("/").version("HTTP/1.0")).await;
    let head = client.read_head().await;
    assert_eq!((head.status, head.header("connection")), (200, Some("close")));
    assert_eq!(client.read_to_close().await, b"one");
}

#[tokio::test]
async fn without_a_length_the_end_of_the_connection_ends_the_body() {
    for script in [reply(200).chunk("one").chunk("two"), reply(200).until_close().body("onetwo")] {
        let (door, _api) = door(script).await;
        let mut client = door.client().connect().await;
        client.send_head(kept(&door, "GET", "/")).await;
        let head = client.read_head().await;
        assert_eq!((head.header("connection"), head.header("transfer-encoding")), (Some("close"), None));
        assert_eq!(client.read_to_close().await, b"onetwo");
    }
}

#[tokio::test]
async fn a_head_request_keeps_its_connection() {
    let (door, _api) = door(reply(200).header("transfer-encoding", "chunked").before_body()).await;
    let mut client = door.client().connect().await;
    for _ in 0..2 {
        let response = client.send(kept(&door, "HEAD", "/")).await;
        assert_eq!((response.status, response.header("connection")), (200, Some("keep-alive")));
        assert_eq!(response.header("transfer-encoding"), None);
    }
}

#[tokio::test]
async fn it_is_asked_to_expect_nothing() {
    let (door, api) = door(reply(200).interim(100, &[]).body("ok")).await;
    let request = door.request("POST", "/").version("HTTP/1.0").header("expect", "100-continue").body("abc");
    let response = request.send().await;
    assert_eq!((response.status, response.interim.len(), response.text()), (200, 0, "ok"));
    assert_eq!(api.last().body, b"abc");
}
