//! Bodies go through as they come, both ways; nothing is held back and nothing is lost.

use crate::support::*;

async fn door(script: impl Into<Script>) -> (Gateway, Server) {
    let api = Upstream::new().on("*", script).start().await;
    let door = Gateway::start(&format!("routes: {{all: {{path: /, to: \"http://{}\"}}}}", api.address())).await;
    (door, api)
}

#[tokio::test]
async fn each_chunk_of_a_response_comes_before_the_next_is_sent() {
    let (one, two) = (Gate::new(), Gate::new());
    let (door, _api) = door(reply(200).chunk("a").wait(&one).chunk("b").wait(&two).chunk("c")).await;
    let mut connection = door.client().connect().await;
    connection.send_head(door.get("/")).await;
    connection.read_head().await;
    assert_eq!(connection.read_some().await.as_deref(), Some(&b"a"[..]));
    one.open();
    assert_eq!(connection.read_some().await.as_deref(), Some(&b"b"[..]));
    two.open();
    assert_eq!(connection.read_some().await.as_deref(), Some(&b"c"[..]));
    assert_eq!(connection.read_some().await, None);
}

#[tokio::test]
async fn a_request_body_streams_while_the_response_streams() {
    let (door, api) = door(mirror()).await;
    let mut connection = door.client().connect().await;
    connection.send_head(door.request("POST", "/").header("transfer-encoding", "chunked")).await;
    connection.send_chunk("one").await;
    assert_eq!(connection.read_head().await.status, 200);
    assert_eq!(connection.read_some().await.as_deref(), Some(&b"one"[..]));
    connection.send_chunk("two").await;
    assert_eq!(connection.read_some().await.as_deref(), Some(&b"two"[..]));
    connection.end_chunks().await;
    assert_eq!(connection.read_some().await, None);
    assert_eq!(api.last().body, b"onetwo");
}

#[tokio::test]
async fn large_bodies_arrive_whole_both_ways() {
    let (door, api) = door(reply(200).filler(20 << 20)).await;
    let body = vec![b'u'; 20 << 20];
    let response = door.request("POST", "/").body(body).send().await;
    assert_eq!((response.status, response.body.len(), response.truncated()), (200, 20 << 20, false));
    assert_eq!(api.last().body_length, 20 << 20);
}

#[tokio::test]
async fn a_client_that_waits_for_a_continue_gets_it_from_the_upstream() {
    let (door, api) = door(reply(200).interim(100, &[]).body("ok")).await;
    let mut connection = door.client().connect().await;
    connection
        .send_head(door.request("POST", "/").header("expect", "100-continue").header("content-length", "3"))
        .await;
    assert_eq!(connection.read_interim().await.status, 100);
    connection.write("abc").await;
    assert_eq!(connection.read_response().await.status, 200);
    assert_eq!(api.last().body, b"abc");
}

#[tokio::test]
async fn a_head_request_and_empty_statuses_leave_the_connection_usable() {
    let (door, _api) = door(reply(200).header("content-length", "5").before_body()).await;
    let mut connection = door.client().connect().await;
    for _ in 0..2 {
        let response = connection.send(door.request("HEAD", "/")).await;
        assert_eq!((response.status, response.header("content-length")), (200, Some("5")));
    }
}

#[tokio::test]
async fn a_response_that_ends_with_its_connection_is_passed_on_whole() {
    let (door, _api) = door(reply(200).until_close().body("all of it")).await;
    let response = door.get("/").send().await;
    assert_eq!((response.status, response.text(), response.truncated()), (200, "all of it", false));
}

#[tokio::test]
async fn an_upstream_that_answers_early_is_heard() {
    let (door, _api) = door(reply(413).body("too much").before_body()).await;
    let mut connection = door.client().connect().await;
    connection.send_head(door.request("POST", "/").header("content-length", "1000000")).await;
    connection.write("some").await;
    let response = connection.read_response().await;
    assert_eq!((response.status, response.text()), (413, "too much"));
}

/// A response whose length is known, and which comes three bytes at a time.
fn slow(gates: &[Gate; 2]) -> Reply {
    reply(200).body("abc").wait(&gates[0]).body("def").wait(&gates[1]).body("ghi")
}

#[tokio::test]
async fn each_piece_of_a_response_with_a_length_comes_before_the_next_is_sent() {
    let gates = [Gate::new(), Gate::new()];
    let (door, _api) = door(slow(&gates)).await;
    let mut connection = door.client().connect().await;
    connection.send_head(door.get("/")).await;
    assert_eq!(connection.read_head().await.header("content-length"), Some("9"));
    assert_eq!(connection.read_exactly(3).await, b"abc");
    gates[0].open();
    assert_eq!(connection.read_exactly(3).await, b"def");
    gates[1].open();
    assert_eq!(connection.read_exactly(3).await, b"ghi");
    assert_eq!(connection.read_some().await, None);
}

#[tokio::test]
async fn a_head_comes_before_the_body_that_is_not_there_yet() {
    let gate = Gate::new();
    let (door, _api) = door(reply(200).wait(&gate).body("abc")).await;
    let mut connection = door.client().connect().await;
    connection.send_head(door.get("/")).await;
    assert_eq!(connection.read_head().await.status, 200);
    gate.open();
    assert_eq!(connection.read_exactly(3).await, b"abc");
}

#[tokio::test]
async fn a_slow_response_is_not_held_back_for_a_client_that_has_sent_its_next_request() {
    let gates = [Gate::new(), Gate::new()];
    let (door, api) = door([slow(&gates), reply(200).body("next")]).await;
    let mut connection = door.client().connect().await;
    connection.send_head(door.get("/")).await;
    assert_eq!(connection.read_head().await.status, 200);
    assert_eq!(connection.read_exactly(3).await, b"abc");
    connection.send_head(door.get("/next")).await;
    gates[0].open();
    assert_eq!(connection.read_exactly(3).await, b"def");
    gates[1].open();
    assert_eq!(connection.read_exactly(3).await, b"ghi");
    assert_eq!(connection.read_response().await.text(), "next");
    assert_eq!(api.requests().len(), 2);
}

#[tokio::test]
async fn a_slow_response_is_not_held_back_while_its_request_still_comes() {
    let gates = [Gate::new(), Gate::new()];
    let (door, api) = door(slow(&gates).before_body()).await;
    let mut connection = door.client().connect().await;
    connection.send_head(door.request("PUT", "/").header("content-length", "6")).await;
    connection.write("uvw").await;
    assert_eq!(connection.read_head().await.status, 200);
    assert_eq!(connection.read_exactly(3).await, b"abc");
    gates[0].open();
    assert_eq!(connection.read_exactly(3).await, b"def");
    connection.write("xyz").await;
    gates[1].open();
    assert_eq!(connection.read_exactly(3).await, b"ghi");
    api.wait_for_body(0).await;
    assert_eq!(api.last().body, b"uvwxyz");
}

#[tokio::test]
async fn each_piece_of_a_request_with_a_length_goes_on_before_the_next_is_sent() {
    let (door, api) = door(mirror()).await;
    let mut connection = door.client().connect().await;
    connection.send_head(door.request("POST", "/").header("content-length", "9")).await;
    connection.write("abc").await;
    assert_eq!(connection.read_head().await.status, 200);
    assert_eq!(connection.read_some().await.as_deref(), Some(&b"abc"[..]));
    for piece in ["def", "ghi"] {
        connection.write(piece).await;
        assert_eq!(connection.read_some().await.as_deref(), Some(piece.as_bytes()));
    }
    assert_eq!(connection.read_some().await, None);
    assert_eq!(api.last().body, b"abcdefghi");
}

#[tokio::test]
async fn a_client_of_http_1_0_gets_a_slow_response_as_it_comes() {
    let gates = [Gate::new(), Gate::new()];
    let (door, _api) = door(slow(&gates)).await;
    let mut connection = door.client().connect().await;
    connection.send_head(door.get("/").version("HTTP/1.0")).await;
    connection.read_head().await;
    assert_eq!(connection.read_exactly(3).await, b"abc");
    gates[0].open();
    assert_eq!(connection.read_exactly(3).await, b"def");
    gates[1].open();
    assert_eq!(connection.read_exactly(3).await, b"ghi");
}

#[tokio::test]
async fn a_client_that_waits_for_a_continue_gets_it_from_the_door_where_the_upstream_speaks_http2() {
    let api = GrpcUpstream::fine().start().await;
    let door = Gateway::start(&format!(
        "upstreams: {{api: {{endpoints: [\"{}\"], protocol: http2}}}}\nroutes: {{all: {{path: /, to: api}}}}",
        api.address()
    ))
    .await;
    let mut connection = door.client().connect().await;
    let head = door.request("POST", "/").header("expect", "100-continue").header("content-length", "3");
    connection.send_head(head).await;
    assert_eq!(connection.read_interim().await.status, 100);
    connection.write("abc").await;
    assert_eq!(connection.read_response().await.status, 200);
    assert_eq!((api.last().header("expect"), api.last().body), (None, b"abc".to_vec()));
}

#[tokio::test]
async fn a_client_that_waits_for_a_continue_gets_a_refusal_in_its_place() {
    let (door, api) = door(reply(200)).await;
    let mut connection = door.client().connect().await;
    let head = door.request("POST", "/%zz").header("expect", "100-continue").header("content-length", "3");
    connection.send_head(head).await;
    let response = connection.read_head().await;
    assert_eq!((response.status, response.interim.len()), (400, 0));
    assert_eq!(api.requests().len(), 0);
}

#[tokio::test]
async fn what_concerns_the_upstreams_connection_does_not_reach_the_client() {
    let own = reply(200).header("connection", "x-hop, close").header("x-hop", "1").header("keep-alive", "timeout=5");
    let own = own.header("proxy-authenticate", "Basic").header("trailer", "x-sum").header("x-kept", "1");
    let (door, _api) = door(own.body("ok")).await;
    let response = door.get("/").send().await;
    for gone in ["x-hop", "keep-alive", "proxy-authenticate", "trailer"] {
        assert_eq!(response.header(gone), None, "{gone}");
    }
    assert_eq!((response.header("x-kept"), response.header("connection")), (Some("1"), Some("keep-alive")));
}
