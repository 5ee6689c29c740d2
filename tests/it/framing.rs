//! Where one message ends and the next begins: pipelined requests, bodies that nobody waits for, older versions.

use crate::support::*;

async fn door_to(api: &Address) -> Gateway {
    Gateway::start(&format!("routes: {{all: {{path: /, to: \"http://{api}\"}}, own: {{path: /own, respond: {{}}}}}}"))
        .await
}

#[tokio::test]
async fn a_request_that_is_sent_in_pieces_behind_another_is_read_as_it_was_meant() {
    let api = Upstream::new().on("*", reply(200).body("ok")).start().await;
    let door = door_to(api.address()).await;
    let mut connection = door.client().connect().await;
    // The second head's beginning comes with the first request; what follows has more spaces than any request line.
    connection.write("GET /1 HTTP/1.1\r\nHost: a\r\n\r\nGET /2 HTTP/1.1\r\nHo").await;
    assert_eq!(connection.read_response().await.status, 200);
    connection.write("st: a\r\nX-Words: a b c d e f\r\n\r\n").await;
    assert_eq!(connection.read_response().await.status, 200);
    // From then on lines are judged again.
    connection.write("GET /a b HTTP/1.1\r\nHost: a\r\n\r\n").await;
    assert_eq!(connection.read_response().await.status, 400);
    let targets: Vec<String> = api.requests().into_iter().map(|seen| seen.target).collect();
    assert_eq!(targets, ["/1", "/2"]);
}

#[tokio::test]
async fn empty_lines_before_a_request_are_skipped() {
    let api = Upstream::new().on("*", reply(200).body("ok")).start().await;
    let door = door_to(api.address()).await;
    let mut connection = door.client().connect().await;
    connection.write("\r\nGET /1 HTTP/1.1\r\nHost: a\r\nX-Words: a b c d\r\n\r\n").await;
    assert_eq!(connection.read_response().await.status, 200);
    connection.write("POST /2 HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nab\r\n").await;
    assert_eq!(connection.read_response().await.status, 200);
    connection.write("GET /3 HTTP/1.1\r\nHost: a\r\n\r\n").await;
    assert_eq!(connection.read_response().await.status, 200);
    connection.write("\r\nGET /a b HTTP/1.1\r\nHost: a\r\n\r\n").await;
    assert_eq!(connection.read_response().await.status, 400);
}

#[tokio::test]
async fn a_head_without_end_is_refused_before_it_fills_the_memory() {
    let door = Gateway::start("routes: {own: {path: /own, respond: {}}}").await;
    let mut connection = door.client().connect().await;
    connection.write("GET /own HTTP/1.1\r\nHost: a\r\n").await;
    let line = format!("X-Filler: {}\r\n", "x".repeat(8000));
    for _ in 0..64 {
        if connection.try_write(&line).await.is_err() {
            break;
        }
    }
    assert_eq!(connection.read_response().await.status, 431);
    let line = &door.log(1).await[0];
    assert_eq!((line["cause"].as_str(), line["method"].as_str()), (Some("bad_head"), None), "{line}");
}

#[tokio::test]
async fn a_small_body_behind_an_early_answer_does_not_cost_the_connection() {
    let door = Gateway::start("routes: {own: {path: /own, respond: {}}}").await;
    let mut connection = door.client().connect().await;
    connection.write("POST /own HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\r\n").await;
    let response = connection.read_response().await;
    assert_eq!((response.status, response.header("connection")), (200, Some("keep-alive")));
    connection.write("bodyGET /own HTTP/1.1\r\nHost: a\r\n\r\n").await;
    assert_eq!(connection.read_response().await.status, 200);
}

#[tokio::test]
async fn a_client_that_still_sends_gets_to_read_an_early_answer_of_the_upstream() {
    let api = Upstream::new().on("*", reply(413).body("too much").before_body()).start().await;
    let door = door_to(api.address()).await;
    let mut connection = door.client().connect().await;
    connection.send_head(door.request("PUT", "/").header("content-length", "1000000000")).await;
    let chunk = vec![b'x'; 1 << 16];
    for _ in 0..64 {
        if connection.try_write(&chunk).await.is_err() {
            break;
        }
    }
    let response = connection.read_response().await;
    assert_eq!((response.status, response.text()), (413, "too much"));
    drop(connection);
    let line = &door.log(1).await[0];
    assert_eq!((line["status"].as_u64(), &line["cause"]), (Some(413), &serde_json::Value::Null), "{line}");
}

#[tokio::test]
async fn an_upstream_of_http_1_0_is_spoken_for_in_http_1_1() {
    let api = Upstream::new().on("*", raw_then_close("HTTP/1.0 200 OK\r\n\r\nhello")).start().await;
    let door = door_to(api.address()).await;
    let mut connection = door.client().connect().await;
    for _ in 0..2 {
        connection.write("GET / HTTP/1.1\r\nHost: a\r\n\r\n").await;
        let response = connection.read_response().await;
        assert_eq!((response.status, response.text()), (200, "hello"));
        assert_eq!(response.version, "HTTP/1.1");
        assert!(!response.truncated());
    }
    let chunked = "HTTP/1.0 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n";
    let api = Upstream::new().on("*", raw_then_close(chunked)).start().await;
    let door = door_to(api.address()).await;
    assert_eq!(door.get("/").send().await.status, 502);
    assert_eq!(door.cause(1).await.0, "upstream_bad_framing");
}

#[tokio::test]
async fn a_client_of_http_1_0_gets_no_interim_responses() {
    let hint = reply(200).interim(103, &[("link", "</a.css>")]).body("ok");
    let api = Upstream::new().on("*", hint).start().await;
    let door = door_to(api.address()).await;
    let answer = door.client().raw("GET / HTTP/1.0\r\nHost: a\r\n\r\n").await;
    let answer = String::from_utf8(answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 200 ") && !answer.contains("link"), "{answer}");
}

#[tokio::test]
async fn a_client_that_resets_under_an_answer_of_the_doors_own_is_gone_and_no_bug() {
    let body = "x".repeat(15 << 20);
    let door = Gateway::start(&format!("routes: {{own: {{path: /own, respond: {{body: {body}}}}}}}")).await;
    let mut connection = door.client().connect().await;
    connection.send_head(door.get("/own")).await;
    connection.read_head().await;
    connection.reset();
    assert_eq!(door.cause(1).await, ("client_gone".into(), 200));
}
