//! Upstreams and clients that fail: each in its own way, each with its own cause and status.

use serde_json::Value;

use crate::support::*;

async fn door_to(address: &Address) -> Gateway {
    Gateway::start(&format!(
        "upstreams: {{api: {{endpoints: [\"{address}\"], timeouts: {{connect: 200ms, idle: 150ms}}}}}}\nroutes: {{all: {{path: /, to: api}}}}"
    ))
    .await
}

#[tokio::test]
async fn a_post_on_a_kept_connection_that_was_closed_is_not_sent_twice() {
    let api = Upstream::new().on("*", [reply(200).body("ok"), raw_then_close("")]).start().await;
    let door = Gateway::start(&format!("routes: {{all: {{path: /, to: \"http://{}\"}}}}", api.address())).await;
    assert_eq!(door.get("/").send().await.status, 200);
    assert_eq!(door.client().post("/").body("once").send().await.status, 502);
    let posts = api.requests().into_iter().filter(|seen| seen.method == "POST").count();
    assert_eq!(posts, 1);
}

#[tokio::test]
async fn an_upstream_whose_endpoints_are_all_drained_is_a_503() {
    let door = Gateway::start(
        "upstreams: {api: {endpoints: [{address: 127.0.0.1:9, weight: 0}]}}\nroutes: {all: {path: /, to: api}}",
    )
    .await;
    assert_eq!(door.get("/").send().await.status, 503);
    assert_eq!(door.cause(1).await, ("no_endpoint".into(), 503));
}

#[tokio::test]
async fn a_hint_at_an_early_response_is_passed_on_without_what_concerns_the_connection() {
    let hint = reply(200).interim(103, &[("link", "</a.css>"), ("connection", "x-hop"), ("x-hop", "1")]).body("ok");
    let api = Upstream::new().on("*", hint).start().await;
    let door = Gateway::start(&format!("routes: {{all: {{path: /, to: \"http://{}\"}}}}", api.address())).await;
    let response = door.get("/").send().await;
    assert_eq!((response.status, response.interim.len()), (200, 1));
    let interim = &response.interim[0];
    assert_eq!((interim.status, interim.header("link"), interim.header("x-hop")), (103, Some("</a.css>"), None));
}

#[tokio::test]
async fn an_endpoint_that_refuses_is_a_502_and_its_address_is_in_the_log_only() {
    let port = Port::refusing();
    let door = door_to(port.address()).await;
    let response = door.get("/").send().await;
    assert_eq!(response.status, 502);
    assert!(!response.text().contains("127.0.0.1"), "{}", response.text());
    let line = &door.log(1).await[0];
    assert_eq!((line["cause"].as_str(), line["tries"].as_u64()), (Some("upstream_refused"), Some(2)));
    assert_eq!(line["endpoint"], port.address().to_string());
}

#[tokio::test]
async fn a_socket_path_without_a_listener_is_a_502() {
    let folder = tempfile::tempdir().unwrap();
    let door = door_to(&Address::Unix(folder.path().join("nobody.sock"))).await;
    assert_eq!(door.get("/").send().await.status, 502);
    assert_eq!(door.cause(1).await.1, 502);
}

#[tokio::test]
async fn when_the_client_goes_the_upstream_call_is_cancelled() {
    let api = Upstream::new().on("*", silence()).start().await;
    let door = Gateway::start(&format!("routes: {{all: {{path: /, to: \"http://{}\"}}}}", api.address())).await;
    let mut connection = door.client().connect().await;
    connection.send_head(door.get("/")).await;
    api.wait_for_requests(1).await;
    connection.reset();
    api.wait_closed(1).await;
    assert_eq!(door.cause(1).await, ("client_gone".into(), 499));
}

#[tokio::test]
async fn when_the_client_goes_within_a_response_the_upstream_call_is_cancelled() {
    let gate = Gate::new();
    let api = Upstream::new().on("*", reply(200).chunk("one").wait(&gate).chunk("two")).start().await;
    let door = Gateway::start(&format!("routes: {{all: {{path: /, to: \"http://{}\"}}}}", api.address())).await;
    let mut connection = door.client().connect().await;
    connection.send_head(door.get("/")).await;
    assert_eq!(connection.read_head().await.status, 200);
    assert_eq!(connection.read_some().await.as_deref(), Some(&b"one"[..]));
    drop(connection);
    api.wait_closed(1).await;
    let (cause, status) = door.cause(1).await;
    assert_eq!((cause.as_str(), status), ("client_gone", 200));
}

#[tokio::test]
async fn a_kept_connection_that_was_closed_costs_an_idempotent_request_nothing() {
    let api = Upstream::new().on("*", reply(200).body("ok")).start().await;
    let door = Gateway::start(&format!("routes: {{all: {{path: /, to: \"http://{}\"}}}}", api.address())).await;
    assert_eq!(door.get("/").send().await.status, 200);
    api.close_connections().await;
    assert_eq!(door.get("/").send().await.status, 200);
    assert_eq!(api.connections(), 2);
}

#[tokio::test]
async fn a_try_that_failed_is_told_of_although_the_next_one_succeeded() {
    let api = Upstream::new().on("*", [reply(200), raw_then_close(""), reply(200)]).start().await;
    let door = Gateway::start(&format!("routes: {{all: {{path: /, to: \"http://{}\"}}}}", api.address())).await;
    for _ in 0..2 {
        assert_eq!(door.get("/").send().await.status, 200);
    }
    let line = &door.log(2).await[1];
    assert_eq!((line["tries"].as_u64(), &line["cause"], &line["phase"]), (Some(2), &Value::Null, &Value::Null));
    let start = format!("try 1 on {}: closed before the head, at ", api.address());
    assert!(line["detail"].as_str().is_some_and(|detail| detail.starts_with(&start)), "{line}");
}

#[tokio::test]
async fn connections_are_kept_for_the_next_request_but_never_shared_between_upstreams() {
    let api = Upstream::new().on("*", reply(200).body("ok")).start().await;
    let door = Gateway::start(&format!(
        "upstreams: {{a: {{endpoints: [\"{0}\"]}}, b: {{endpoints: [\"{0}\"]}}, c: {{endpoints: [\"{0}\"], timeouts: {{keepalive: off}}}}}}\nroutes: {{a: {{path: /a, to: a}}, b: {{path: /b, to: b}}, c: {{path: /c, to: c}}}}",
        api.address()
    ))
    .await;
    for path in ["/a", "/a", "/b", "/b"] {
        door.get(path).send().await;
    }
    let connections = |path: &str| {
        let seen = api.requests().into_iter().filter(|seen| seen.target == path).map(|seen| seen.connection);
        seen.collect::<std::collections::BTreeSet<_>>()
    };
    assert_eq!((connections("/a").len(), connections("/b").len()), (1, 1));
    assert!(connections("/a").is_disjoint(&connections("/b")));
    for _ in 0..3 {
        door.get("/c").send().await;
    }
    assert_eq!(connections("/c").len(), 3, "`keepalive: off` keeps none");
}

#[tokio::test]
async fn a_body_with_bad_chunks_is_a_400_and_the_upstream_never_sees_it_as_whole() {
    let api = Upstream::new().on("*", echo()).start().await;
    let door = Gateway::start(&format!("routes: {{all: {{path: /, to: \"http://{}\"}}}}", api.address())).await;
    let answer = door.client().raw("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n").await;
    assert!(answer.starts_with(b"HTTP/1.1 400"), "{}", String::from_utf8_lossy(&answer));
    assert_eq!(door.cause(1).await, ("malformed_body".into(), 400));
    assert!(api.requests().iter().all(|seen| !seen.complete));
}

#[tokio::test]
async fn every_line_of_the_log_says_where_a_request_went_and_how_long_it_took() {
    let api = Upstream::new().on("*", reply(201).body("hello")).start().await;
    let door = Gateway::start(&format!(
        "upstreams: {{api: {{endpoints: [\"{}\"]}}}}\nroutes: {{all: {{path: /, to: api}}}}",
        api.address()
    ))
    .await;
    door.request("POST", "/a?b=c").host("shop.test").header("user-agent", "me \"x\"").body("12345678").send().await;
    let line = &door.log(1).await[0];
    for (field, value) in [
        ("method", "POST"),
        ("host", "shop.test"),
        ("path", "/a?b=c"),
        ("listener", "web"),
        ("route", "all"),
        ("upstream", "api"),
        ("client", "127.0.0.1"),
        ("user_agent", "me \"x\""),
    ] {
        assert_eq!(line[field], value, "{field}: {line}");
    }
    for (field, value) in [("status", 201), ("tries", 1), ("bytes_received", 8), ("bytes_sent", 5)] {
        assert_eq!(line[field], value, "{field}: {line}");
    }
    assert!(line["duration_ms"].as_f64().unwrap() > 0.0 && line["upstream_ms"].as_f64().unwrap() > 0.0, "{line}");
    assert_eq!(line["cause"], serde_json::Value::Null);
}
