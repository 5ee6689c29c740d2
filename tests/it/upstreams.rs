//! Upstreams whose endpoints fail, fill up and come back, seen through a whole door.

use std::collections::BTreeSet;
use std::time::Instant;

use onedoor::upstream::Status;

use crate::support::*;

fn status(door: &Gateway) -> Status {
    door.server().snapshot().upstream("api").expect("an upstream `api`").status(Instant::now())
}

/// A door to an upstream `api` with these endpoints and settings.
async fn door_to(endpoints: &[&Address], settings: &str) -> Gateway {
    let endpoints: Vec<String> = endpoints.iter().map(|address| format!("\"{address}\"")).collect();
    Gateway::start(&format!(
        "upstreams: {{api: {{endpoints: [{}], {settings}}}}}\n\
         routes: {{all: {{path: \"/{{id}}/\", to: api, timeout: 300ms, retry: off}}}}",
        endpoints.join(", ")
    ))
    .await
}

const EJECTION: &str = "ejection: {consecutive_failures: 2, for: 1h}";

#[tokio::test]
async fn an_endpoint_that_fails_in_any_way_is_ejected() {
    let cases: Vec<(&str, Reply)> = vec![
        ("answers 500", reply(500)),
        ("closes at once", raw_then_close("")),
        ("sends garbage", garbage()),
        ("cuts a body short", raw_then_close("HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nshort")),
        ("hangs until the deadline", silence()),
    ];
    for (what, script) in cases {
        let bad = Upstream::new().on("*", script).start().await;
        let good = Upstream::new().on("*", reply(200)).start().await;
        let door = door_to(&[bad.address(), good.address()], EJECTION).await;
        for _ in 0..4 {
            door.get("/a/").send().await;
        }
        door.log(4).await;
        assert!(status(&door).endpoints[0].ejected_ms.is_some(), "{what}: {:?}", status(&door));
        let seen = bad.requests().len();
        for _ in 0..4 {
            assert_eq!(door.get("/a/").send().await.status, 200, "{what}");
        }
        assert_eq!(bad.requests().len(), seen, "{what}");
    }
}

#[tokio::test]
async fn an_endpoint_that_refuses_is_ejected() {
    let refusing = Port::refusing();
    let good = Upstream::new().on("*", reply(200)).start().await;
    let door = door_to(&[refusing.address(), good.address()], EJECTION).await;
    for _ in 0..4 {
        door.get("/a/").send().await;
    }
    let statuses: BTreeSet<u64> = door.log(4).await.iter().filter_map(|line| line["status"].as_u64()).collect();
    assert_eq!(statuses, [200, 502].into());
    assert!(status(&door).endpoints[0].ejected_ms.is_some());
}

#[tokio::test]
async fn a_client_that_is_slow_or_leaves_says_nothing_of_the_endpoint() {
    let api = Upstream::new().on("*", silence()).start().await;
    let other = Upstream::new().on("*", silence()).start().await;
    let door = door_to(&[api.address(), other.address()], "ejection: {consecutive_failures: 1, for: 1h}").await;
    for gone in 1..=4 {
        let mut connection = door.client().connect().await;
        connection.send_head(door.request("POST", "/a/").header("content-length", "10")).await;
        if gone % 2 == 0 {
            drop(connection);
        } else {
            // The route's timeout strikes while the door still waits for the body.
            assert_eq!(connection.read_head().await.status, 504);
        }
        door.log(gone).await;
    }
    let status = status(&door);
    assert!(status.endpoints.iter().all(|endpoint| endpoint.failures == 0 && endpoint.in_flight == 0), "{status:?}");
}

#[tokio::test]
async fn an_open_breaker_answers_at_once_and_says_when_to_come_again() {
    let api = Upstream::new().on("*", reply(503)).start().await;
    let door = door_to(&[api.address()], "breaker: {minimum_requests: 3, open_for: 90s}").await;
    for _ in 0..3 {
        assert_eq!(door.get("/a/").send().await.status, 503);
        door.log(1).await;
    }
    door.log(3).await;
    let response = door.get("/a/").send().await;
    assert_eq!((response.status, response.header("retry-after")), (503, Some("90")));
    assert_eq!(door.cause(4).await, ("breaker_open".into(), 503));
    assert_eq!(api.requests().len(), 3);
}

#[tokio::test]
async fn above_a_limit_a_request_is_answered_at_once() {
    for (limits, cause) in
        [("limits: {requests: 1}", "limit_requests"), ("limits: {connections: 1}", "limit_connections")]
    {
        let gate = Gate::new();
        let api = Upstream::new().on("*", reply(200).wait(&gate).body("held")).start().await;
        let door = door_to(&[api.address()], limits).await;
        let mut held = door.client().connect().await;
        held.send_head(door.get("/a/")).await;
        api.wait_for_requests(1).await;
        assert_eq!(door.get("/a/").send().await.status, 503, "{limits}");
        assert_eq!(door.cause(1).await, (cause.into(), 503));
        gate.open();
        assert_eq!(held.read_response().await.text(), "held");
        door.log(2).await;
        assert_eq!(door.get("/a/").send().await.status, 200, "{limits}");
    }
}

#[tokio::test]
async fn a_key_goes_to_one_endpoint_wherever_it_stands() {
    for (by, requests) in [
        ("{header: x-user}", [("/1/", "x-user", "ann"), ("/2/", "x-user", "ann"), ("/3/", "x-user", "ann")]),
        (
            "{cookie: sid}",
            [("/1/", "cookie", "sid=ann"), ("/2/", "cookie", "a=b; sid=ann"), ("/3/", "cookie", "sid=ann;c=d")],
        ),
        ("{path: id}", [("/ann/1", "x-a", "1"), ("/ann/2", "x-a", "2"), ("/ann/3", "x-a", "3")]),
        ("client_ip", [("/1/", "x-a", "1"), ("/2/", "x-a", "2"), ("/3/", "x-a", "3")]),
    ] {
        let apis = [
            Upstream::new().on("*", reply(200)).start().await,
            Upstream::new().on("*", reply(200)).start().await,
            Upstream::new().on("*", reply(200)).start().await,
        ];
        let addresses: Vec<&Address> = apis.iter().map(Server::address).collect();
        let door = door_to(&addresses, &format!("balance: {{hash: {by}}}")).await;
        for (path, name, value) in requests {
            assert_eq!(door.get(path).header(name, value).send().await.status, 200);
        }
        let mut seen: Vec<usize> = apis.iter().map(|api| api.requests().len()).collect();
        seen.sort_unstable();
        assert_eq!(seen, [0, 0, 3], "{by}");
    }
}

#[tokio::test]
async fn a_backup_serves_once_the_primary_is_ejected_and_a_reload_forgets_nothing() {
    let bad = Upstream::new().on("*", reply(500)).start().await;
    let good = Upstream::new().on("*", reply(200)).start().await;
    let file = |timeout: &str| {
        format!(
            "upstreams: {{api: {{endpoints: [\"{}\", {{address: \"{}\", backup: true}}], {EJECTION}, \
             timeouts: {{idle: {timeout}}}}}}}\nroutes: {{all: {{path: /, to: api}}}}",
            bad.address(),
            good.address()
        )
    };
    let mut door = Gateway::start(&file("9s")).await;
    for status in [500, 500, 200] {
        assert_eq!(door.get("/").send().await.status, status);
        door.log(1).await;
    }
    door.log(3).await;
    assert_eq!(door.get("/").send().await.status, 200);
    door.reload(&file("10s")).await.unwrap();
    assert_eq!(door.get("/").send().await.status, 200);
    assert_eq!(bad.requests().len(), 2);
}

#[tokio::test]
async fn a_wildcard_that_a_route_has_not_is_told_at_its_to() {
    let file = "upstreams:\n  api: {endpoints: [127.0.0.1:9], balance: {hash: {path: id}}}\nroutes:\n  \
                a: {path: \"/{id}\", to: api}\n  b:\n    path: [\"/b/{id}\", \"/b/{name}/x\"]\n    to: api\n";
    let said = Gateway::refused(file).await;
    assert_eq!(said.len(), 1, "{said:?}");
    assert!(said[0].starts_with("test.yaml:7:9: routes.b.to: ") && said[0].contains("wildcard `id`"), "{said:?}");
}
