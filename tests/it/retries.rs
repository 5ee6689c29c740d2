//! Tries that fail and are followed by another, those that are not, and what both tell the upstream.

use std::time::Duration;

use crate::support::*;

/// A door to these endpoints, by turns in this order.
async fn door_to(endpoints: &[&Address], retry: &str) -> Gateway {
    let endpoints: Vec<String> = endpoints.iter().map(|address| format!("\"{address}\"")).collect();
    Gateway::start(&format!(
        "upstreams: {{api: {{endpoints: [{}], timeouts: {{connect: 500ms, idle: 1s}}}}}}\nroutes: {{all: {{path: /, to: api, timeout: 5s{retry}}}}}",
        endpoints.join(", ")
    ))
    .await
}

async fn good() -> Server {
    Upstream::new().on("*", reply(200).body("good")).start().await
}

#[tokio::test]
async fn without_a_word_a_request_that_found_no_connection_is_tried_at_another_endpoint() {
    let (dead, good) = (Port::refusing(), good().await);
    let door = door_to(&[dead.address(), good.address()], "").await;
    for method in ["GET", "POST"] {
        for _ in 0..4 {
            let response = door.request(method, "/").body("x").send().await;
            assert_eq!((response.status, response.text()), (200, "good"), "{method}");
        }
    }
    let lines = door.log(8).await;
    assert!(lines.iter().any(|line| line["tries"] == 2) && lines.iter().all(|line| line["cause"].is_null()));
}

#[tokio::test]
async fn with_retry_off_it_is_not() {
    let (dead, good) = (Port::refusing(), good().await);
    let door = door_to(&[dead.address(), good.address()], ", retry: off").await;
    assert_eq!(door.get("/").send().await.status, 502);
    assert_eq!(door.cause(1).await, ("upstream_refused".into(), 502));
}

#[tokio::test]
async fn a_connection_that_ends_before_the_head_is_worth_another_try_where_the_route_says_so() {
    let resets = Upstream::new().on("*", raw_then_reset("")).start().await;
    let good = good().await;
    let door = door_to(&[resets.address(), good.address()], ", retry: {on: [reset]}").await;
    assert_eq!(door.get("/").send().await.status, 200);
    assert_eq!(door.log(1).await[0]["tries"], 2);
    // A request that may have done something is not repeated.
    resets.wait_for_requests(1).await;
    let posts = [door.client().post("/").send().await.status, door.client().post("/").send().await.status];
    assert!(posts.contains(&502) && posts.contains(&200), "{posts:?}");
}

#[tokio::test]
async fn a_status_that_the_route_names_is_left_for_another_endpoint() {
    let busy = Upstream::new().on("*", reply(503).body("busy")).start().await;
    let good = good().await;
    let door = door_to(&[busy.address(), good.address()], ", retry: {on: [503]}").await;
    for _ in 0..4 {
        assert_eq!(door.get("/").send().await.status, 200);
    }
    let posts = [door.client().post("/").send().await.status, door.client().post("/").send().await.status];
    assert!(posts.contains(&503) && posts.contains(&200), "{posts:?}");
}

#[tokio::test]
async fn the_last_answer_goes_to_the_client_as_it_is() {
    let busy = Upstream::new().on("*", reply(503).header("retry-after", "7").body("busy")).start().await;
    let door = door_to(&[busy.address()], ", retry: {attempts: 3, on: [503]}").await;
    let response = door.get("/").send().await;
    assert_eq!((response.status, response.text(), response.header("retry-after")), (503, "busy", Some("7")));
    assert_eq!(busy.requests().len(), 3);
    let line = &door.log(1).await[0];
    assert_eq!((line["tries"].as_u64(), line["bytes_sent"].as_u64()), (Some(3), Some(4)));
}

#[tokio::test]
async fn a_body_that_is_at_hand_is_sent_again_whole() {
    let busy = Upstream::new().on("*", reply(503)).start().await;
    let good = Upstream::new().on("*", mirror()).start().await;
    let door = door_to(&[busy.address(), good.address()], ", retry: {on: [503]}").await;
    let body = "0123456789abcdef".repeat(2048);
    let response = door.request("PUT", "/").body(body.clone()).send().await;
    assert_eq!((response.status, response.text()), (200, body.as_str()));
    let line = &door.log(1).await[0];
    assert_eq!((line["tries"].as_u64(), line["bytes_received"].as_u64()), (Some(2), Some(body.len() as u64)));
    // Beyond 64 KiB it is not at hand any more.
    let large = vec![b'x'; 256 * 1024];
    let statuses = [
        door.request("PUT", "/").body(large.clone()).send().await.status,
        door.request("PUT", "/").body(large.clone()).send().await.status,
    ];
    assert!(statuses.contains(&503) && statuses.contains(&200), "{statuses:?}");
}

#[tokio::test]
async fn a_try_that_brings_no_head_in_its_time_is_followed_by_another() {
    let silent = Upstream::new().on("*", silence()).start().await;
    let good = good().await;
    let door = door_to(&[silent.address(), good.address()], ", retry: {per_try: 100ms}").await;
    let response = door.get("/").send().await;
    assert_eq!((response.status, response.text()), (200, "good"));
    silent.wait_closed(1).await;
    let posts = [door.client().post("/").send().await.status, door.client().post("/").send().await.status];
    assert!(posts.contains(&504) && posts.contains(&200), "{posts:?} {:#?}", door.log(3).await);
    let lines = door.log(3).await;
    assert_eq!(lines[0]["tries"], 2);
    assert!(lines.iter().any(|line| line["cause"] == "upstream_try_timeout"), "{lines:?}");
}

#[tokio::test]
async fn a_kept_connection_that_hangs_is_a_try_like_any_other() {
    let hangs = Upstream::new().on("*", [reply(200), silence()]).start().await;
    let door = door_to(&[hangs.address()], ", retry: {attempts: 2, per_try: 100ms}").await;
    assert_eq!(door.get("/").send().await.status, 200);
    assert_eq!(door.get("/").send().await.status, 504);
    let line = &door.log(2).await[1];
    assert_eq!((line["cause"].as_str(), line["tries"].as_u64()), (Some("upstream_try_timeout"), Some(2)), "{line}");
    assert_eq!(hangs.requests().len(), 3);
}

#[tokio::test]
async fn an_endpoint_that_dies_of_a_request_on_a_kept_connection_gets_it_once_more_and_no_oftener() {
    let dies = Upstream::new().on("/die", raw_then_close("")).on("*", reply(200)).start().await;
    let door = door_to(&[dies.address()], ", retry: off").await;
    assert_eq!(door.get("/").send().await.status, 200);
    assert_eq!(door.get("/die").send().await.status, 502);
    assert_eq!(dies.requests().iter().filter(|seen| seen.target == "/die").count(), 2);
}

#[tokio::test]
async fn a_client_that_takes_its_time_is_no_try_that_was_too_slow() {
    let api = good().await;
    let door = door_to(&[api.address()], ", retry: {per_try: 80ms}").await;
    let mut connection = door.client().connect().await;
    connection.send_head(door.request("PUT", "/").header("content-length", "4")).await;
    connection.write("ab").await;
    tokio::time::timeout(Duration::from_millis(200), connection.read_head()).await.unwrap_err();
    connection.write("cd").await;
    assert_eq!(connection.read_response().await.status, 200);
}

#[tokio::test]
async fn the_time_of_a_try_is_over_with_the_head() {
    let gate = Gate::new();
    let slow = Upstream::new().on("*", reply(200).chunk("one").wait(&gate).chunk("two")).start().await;
    let door = door_to(&[slow.address()], ", retry: {per_try: 50ms}").await;
    let mut connection = door.client().connect().await;
    connection.send_head(door.get("/")).await;
    assert_eq!(connection.read_head().await.status, 200);
    assert_eq!(connection.read_some().await.as_deref(), Some(&b"one"[..]));
    // Twice the time of a try, by the clock that it runs by.
    tokio::time::timeout(Duration::from_millis(100), connection.read_some()).await.unwrap_err();
    gate.open();
    assert_eq!(connection.read_some().await.as_deref(), Some(&b"two"[..]));
}

#[tokio::test]
async fn an_outage_is_not_made_worse_by_retries() {
    let dead = Upstream::new().on("*", raw_then_close("")).start().await;
    let door = door_to(&[dead.address()], ", retry: {attempts: 3, on: [reset]}").await;
    for _ in 0..100 {
        assert_eq!(door.get("/").send().await.status, 502);
    }
    let tries = dead.requests().len();
    assert!((101..=130).contains(&tries), "{tries} tries for 100 requests: 20 % and ten more are allowed");
}

#[tokio::test]
async fn all_tries_together_are_bound_by_the_routes_timeout() {
    let silent = Upstream::new().on("*", silence()).start().await;
    let door = Gateway::start(&format!(
        "routes: {{all: {{path: /, to: \"http://{}\", timeout: 300ms, retry: {{attempts: 10, per_try: 100ms}}}}}}",
        silent.address()
    ))
    .await;
    let began = std::time::Instant::now();
    assert_eq!(door.get("/").send().await.status, 504);
    assert!(began.elapsed() < Duration::from_secs(1), "{:?}", began.elapsed());
    assert!((2..=3).contains(&silent.requests().len()), "{}", silent.requests().len());
}

#[tokio::test]
async fn an_upstream_is_told_how_much_time_is_left() {
    let api = good().await;
    let door = door_to(&[api.address()], ", deadline_header: x-deadline-ms").await;
    door.get("/").send().await;
    let left: u64 = api.last().header("x-deadline-ms").unwrap().parse().unwrap();
    assert!((4000..=5000).contains(&left), "{left}");
    assert_eq!(api.last().header("grpc-timeout"), None);
    door.client().post("/").header("content-type", "application/grpc").send().await;
    let left: u64 = api.last().header("grpc-timeout").unwrap().strip_suffix('u').unwrap().parse().unwrap();
    assert!((4_000_000..=5_000_000).contains(&left), "{left}");
    door.client().post("/").header("content-type", "application/grpc").header("grpc-timeout", "1S").send().await;
    let left: u64 = api.last().header("grpc-timeout").unwrap().strip_suffix('u').unwrap().parse().unwrap();
    assert!((1..=1_000_000).contains(&left), "{left}");
}

#[tokio::test]
async fn what_is_no_retry_is_told_at_its_place() {
    let cases = [
        ("retry: {attempts: 1}", "retry.attempts", "`retry: off`"),
        ("retry: {attempts: 11}", "retry.attempts", "2 to 10"),
        ("retry: {on: [5xx]}", "retry.on[0]", "statuses from 500 to 599"),
        ("retry: {per_try: 5}", "retry.per_try", "`5s`"),
        ("retry: {per_try: 10s}, timeout: 5s, strip: 7", "strip", ""),
        ("retry: {budget: 20}", "retry.budget", "`20%`"),
        ("retry: {budgt: 20%}", "retry", "`budget`"),
        ("retry: on", "retry", "a map, or `off`"),
        ("mirror: {to: apj}", "mirror.to", "did you mean `api`"),
        ("mirror: {to: api, ratio: 101%}", "mirror.ratio", "0% to 100%"),
        ("deadline_header: connection", "deadline_header", "the door writes itself"),
    ];
    for (keys, at, words) in cases {
        let told = Gateway::refused(&format!(
            "upstreams: {{api: {{endpoints: [127.0.0.1:9]}}}}\nroutes: {{all: {{path: /, to: api, {keys}}}}}"
        ))
        .await;
        assert!(
            told.iter().any(|problem| problem.contains(&format!("routes.all.{at}")) && problem.contains(words)),
            "{keys}: {told:#?}"
        );
    }
    let told = Gateway::refused("routes: {all: {path: /, respond: {}, retry: {}, deadline_header: x-left}}").await;
    assert_eq!(told.iter().filter(|problem| problem.contains("so it needs `to`")).count(), 2, "{told:#?}");
}
