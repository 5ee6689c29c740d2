//! What one client may cost a listener: connections, silence, slowness, heads.

use std::time::{Duration, Instant};

use crate::support::*;

/// A door with these limits, `process` settings included where the text ends in them, and a route that answers.
async fn door(limits: &str) -> Gateway {
    Gateway::start(&yaml(limits)).await
}

fn yaml(limits: &str) -> String {
    format!(
        "listeners: {{web: {{address: \"127.0.0.1:0\", limits: {{{limits}}}}}}}\nroutes: {{all: {{path: /, respond: {{body: good}}}}}}"
    )
}

/// A connection on which one request was answered.
async fn used(door: &Gateway) -> Connection {
    let mut connection = door.client().connect().await;
    assert_eq!(connection.send(door.get("/")).await.text(), "good");
    connection
}

async fn is_refused(client: &Client) -> bool {
    client.connect().await.read_to_close().await.is_empty()
}

#[tokio::test]
async fn one_connection_too_many_is_closed_and_the_next_has_the_place_of_one_that_left() {
    let door = door("connections: 2").await;
    let (first, _second) = (used(&door).await, used(&door).await);
    assert!(is_refused(door.client()).await);
    assert_eq!(door.turned_away(), [("connections_full", 1)]);
    drop(first);
    until("the first is gone", || door.server().connections() == 1).await;
    let _third = used(&door).await;
    assert!(is_refused(door.client()).await);
}

#[tokio::test]
async fn all_listeners_together_have_a_bound_and_a_full_one_takes_no_room_from_the_others() {
    let door = Gateway::start(
        "listeners: {a: {address: \"127.0.0.1:0\", limits: {connections: 1}}, b: {address: \"127.0.0.1:0\"}}\n\
         process: {connections: 2}\nroutes: {all: {path: /, respond: {body: good}}}",
    )
    .await;
    let (a, b) = (door.client_of("a"), door.client_of("b"));
    let (mut on_a, mut on_b) = (a.connect().await, b.connect().await);
    assert_eq!(on_a.send(a.get("/")).await.status, 200);
    for _ in 0..3 {
        assert!(is_refused(&a).await);
    }
    assert_eq!(on_b.send(b.get("/")).await.status, 200);
    assert!(is_refused(&b).await, "two are open");
    assert_eq!(door.turned_away(), [("connections_full", 3), ("connections_full", 1)]);
}

#[tokio::test]
async fn a_client_has_so_many_connections_to_each_listener() {
    let door = Gateway::start(
        "listeners: {web: {address: \"127.0.0.1:0\", proxy_protocol: [127.0.0.1], limits: {connections_per_client: 2}}, other: {address: \"127.0.0.1:0\", limits: {connections_per_client: 2}}}\n\
         routes: {all: {path: /, respond: {body: good}}}",
    )
    .await;
    let from = async |client: &str| {
        let mut connection = door.client_of("web").connect().await;
        connection.write(format!("PROXY TCP6 {client} 2001:db8::1 4711 443\r\n")).await;
        connection
    };
    let mut kept = Vec::new();
    for client in ["2001:db8:1::7", "2001:db8:1::8", "2001:db8:2::7"] {
        let mut connection = from(client).await;
        assert_eq!(connection.send(door.get("/")).await.status, 200, "{client}");
        kept.push(connection);
    }
    // The third of this /64.
    assert_eq!(from("2001:db8:1:0:1::9").await.read_to_close().await, b"");
    assert_eq!(door.turned_away(), [("client_connections_full", 1)]);
    kept.remove(0);
    until("one of them is gone", || door.server().connections() == 2).await;
    assert_eq!(from("2001:db8:1::9").await.send(door.get("/")).await.status, 200);
    let other = door.client_of("other");
    let mut on_other = other.connect().await;
    assert_eq!(on_other.send(other.get("/")).await.status, 200);
}

#[tokio::test]
async fn a_connection_that_sends_nothing_is_closed_after_idle_timeout_be_it_new_or_used() {
    let door = door("idle_timeout: 150ms").await;
    for begun in ["", "\r\n", "used"] {
        let mut connection = if begun == "used" { used(&door).await } else { door.client().connect().await };
        if begun != "used" {
            connection.write(begun).await;
        }
        let before = Instant::now();
        assert_eq!(connection.read_to_close().await, b"", "{begun:?}");
        assert!(before.elapsed() >= Duration::from_millis(100), "{begun:?}: {:?}", before.elapsed());
    }
    until("nobody is left", || door.server().connections() == 0).await;
    assert_eq!(door.log(1).await.len(), 1, "only the request is written down");
}

#[tokio::test]
async fn idle_timeout_does_not_strike_within_a_head() {
    let door = door("idle_timeout: 50ms, header_timeout: 10s").await;
    let mut connection = door.client().connect().await;
    connection.write("GET / HTTP/1.1\r\n").await;
    tokio::time::sleep_until((Instant::now() + Duration::from_millis(200)).into()).await;
    connection.write("Host: a\r\n\r\n").await;
    assert_eq!(connection.read_response().await.text(), "good");
}

#[tokio::test]
async fn a_head_that_drips_is_a_408_on_time() {
    let door = door("header_timeout: 200ms").await;
    let mut connection = door.client().connect().await;
    let before = Instant::now();
    for byte in b"GET / HTTP/1.1\r\nHost: a\r\nX-Drip: 0123456789012345678901234567890123456789" {
        if connection.try_write([*byte]).await.is_err() || before.elapsed() > Duration::from_millis(400) {
            break;
        }
        tokio::time::sleep_until((Instant::now() + Duration::from_millis(10)).into()).await;
    }
    let answer = connection.read_to_close().await;
    assert!(answer.starts_with(b"HTTP/1.1 408"), "{}", String::from_utf8_lossy(&answer));
    assert!(before.elapsed() < Duration::from_secs(3), "{:?}", before.elapsed());
    assert_eq!(door.cause(1).await, ("head_timeout".into(), 408));
}

async fn uploading(limits: &str) -> (Server, Gateway, Connection) {
    let api = Upstream::new().on("*", reply(200).body("taken")).start().await;
    let door = Gateway::start(&format!(
        "listeners: {{web: {{address: \"127.0.0.1:0\", limits: {{{limits}}}}}}}\n\
         routes: {{all: {{path: /, timeout: off, to: \"http://{api}\"}}}}"
    ))
    .await;
    let mut connection = door.client().connect().await;
    connection.send_head(door.request("PUT", "/").header("content-length", "100000")).await;
    (api, door, connection)
}

#[tokio::test]
async fn a_client_that_is_silent_within_a_body_gets_a_408_without_any_deadline() {
    let (_api, door, mut connection) = uploading("body_timeout: 100ms").await;
    connection.write("some").await;
    assert_eq!(connection.read_response().await.status, 408);
    assert_eq!(door.cause(1).await, ("client_body_timeout".into(), 408));
}

#[tokio::test]
async fn so_does_one_whose_body_drips() {
    let (_api, door, mut connection) = uploading("body_timeout: 200ms, body_rate: 1KiB/s").await;
    let drip = async {
        // Never silent for half of `body_timeout`, and at a tenth of the rate.
        while connection.try_write("x").await.is_ok() {
            tokio::time::sleep_until((Instant::now() + Duration::from_millis(10)).into()).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(1), drip).await.ok();
    assert_eq!(connection.read_response().await.status, 408);
    let line = &door.log(1).await[0];
    assert_eq!((line["cause"].as_str(), line["status"].as_u64()), (Some("client_body_timeout"), Some(408)));
}

#[tokio::test]
async fn a_body_at_its_rate_may_take_much_longer_than_body_timeout() {
    let (api, _door, mut connection) = uploading("body_timeout: 100ms, body_rate: 1KiB/s").await;
    // A tenth of a second buys 102 bytes; each piece is worth ten of them.
    for _ in 0..100 {
        connection.write([b'x'; 1000]).await;
        tokio::time::sleep_until((Instant::now() + Duration::from_millis(5)).into()).await;
    }
    assert_eq!(connection.read_response().await.text(), "taken");
    assert_eq!(api.last().body_length, 100_000);
}

#[tokio::test]
async fn an_upstream_that_takes_its_time_is_not_the_clients_slowness() {
    let gate = Gate::new();
    let api = Upstream::new().on("*", reply(200).hold(&gate).body("taken").before_body()).start().await;
    let door = Gateway::start(&format!(
        "listeners: {{web: {{address: \"127.0.0.1:0\", limits: {{body_timeout: 10s, body_rate: 1GiB/s}}}}}}\n\
         routes: {{all: {{path: /, timeout: off, to: \"http://{api}\"}}}}"
    ))
    .await;
    let mut connection = door.client().connect().await;
    connection.send_head(door.request("PUT", "/").header("content-length", "4")).await;
    gate.reached().await;
    connection.write("four").await;
    gate.open();
    assert_eq!(connection.read_response().await.text(), "taken");
}

#[tokio::test]
async fn a_client_that_does_not_read_is_let_go_after_body_timeout() {
    let api = Upstream::new().on("*", reply(200).filler(64 << 20)).start().await;
    let door = Gateway::start(&format!(
        "listeners: {{web: {{address: \"127.0.0.1:0\", limits: {{body_timeout: 200ms}}}}}}\n\
         routes: {{all: {{path: /, timeout: off, to: \"http://{api}\"}}}}"
    ))
    .await;
    let mut connection = door.client().connect().await;
    connection.send_head(door.get("/")).await;
    assert_eq!(door.cause(1).await, ("client_read_timeout".into(), 200));
    assert_ne!(api.wait_closed(1).await, Closed::Here, "the upstream call is cancelled");
    assert_eq!(connection.read_head().await.status, 200);
    let (length, whole) = connection.discard_body().await;
    assert!(!whole && length < 64 << 20, "{length}");
}

#[tokio::test]
async fn heads_have_exact_edges() {
    let door = door("header_size: 1KiB, headers: 5, target_size: 100B").await;
    let status = async |request: Request| request.send().await.status;
    let path = |length: usize| format!("/{}", "x".repeat(length - 1));
    assert_eq!(status(door.get(&path(100))).await, 200);
    assert_eq!(status(door.get(&path(101))).await, 414);
    assert_eq!(status(door.get(&format!("{}?a", path(98)))).await, 200, "the query counts");
    assert_eq!(status(door.get(&format!("{}?a", path(99)))).await, 414);
    // `Host: a` and `x: …`, each with four bytes of its own.
    let room = (1 << 10) - ("Hosta".len() + 4) - ("x".len() + 4);
    assert_eq!(status(door.get("/").host("a").header("x", "y".repeat(room))).await, 200);
    assert_eq!(status(door.get("/").host("a").header("x", "y".repeat(room + 1))).await, 431);
    let lines = |count: usize| (1..count).fold(door.get("/"), |request, n| request.header(format!("x-{n}"), "y"));
    assert_eq!(status(lines(5)).await, 200);
    assert_eq!(status(lines(6)).await, 431);
    let lines = door.log(8).await;
    for line in lines.iter().filter(|line| line["status"] != 200) {
        assert_eq!(line["cause"], "bad_head");
    }
}

#[tokio::test]
async fn the_last_request_of_a_connection_is_answered_by_a_close() {
    let door = door("requests_per_connection: 3").await;
    let mut connection = door.client().connect().await;
    for number in 1..=3 {
        let response = connection.send(door.get("/")).await;
        let closes = response.header("connection") == Some("close");
        assert_eq!((response.text(), closes), ("good", number == 3));
    }
    assert_eq!(connection.read_to_close().await, b"");
}

#[tokio::test]
async fn what_was_sent_behind_the_last_request_does_not_destroy_its_answer() {
    let api = Upstream::new().on("*", reply(200).filler(1 << 20)).start().await;
    let door = Gateway::start(&format!(
        "listeners: {{web: {{address: \"127.0.0.1:0\", limits: {{requests_per_connection: 2}}}}}}\n\
         routes: {{all: {{path: /, to: \"http://{api}\"}}}}"
    ))
    .await;
    let mut connection = door.client().connect().await;
    for _ in 0..200 {
        connection.send_head(door.get("/")).await;
    }
    for last in [false, true] {
        let response = connection.read_response().await;
        assert_eq!((response.status, response.body.len(), response.truncated()), (200, 1 << 20, false));
        assert_eq!(response.header("connection") == Some("close"), last);
    }
    assert_eq!(connection.read_to_close().await, b"");
    assert_eq!(api.requests().len(), 2);
}

#[tokio::test]
async fn limits_that_change_hold_for_new_connections() {
    let mut door = door("requests_per_connection: 2, idle_timeout: 60s, connections: 10").await;
    let mut before = used(&door).await;
    door.reload(&yaml("requests_per_connection: 5, idle_timeout: 60s, connections: 1")).await.unwrap();
    assert!(is_refused(door.client()).await, "there is one already");
    assert_eq!(before.send(door.get("/")).await.header("connection"), Some("close"), "the old limit");
    assert_eq!(before.read_to_close().await, b"");
    drop(before);
    until("it is gone", || door.server().connections() == 0).await;
    let mut after = used(&door).await;
    assert_ne!(after.send(door.get("/")).await.header("connection"), Some("close"));
}

#[tokio::test]
async fn a_listener_that_is_renamed_keeps_its_connections_and_counts_and_one_that_is_removed_ends_well() {
    let file = |name: &str, more: &str| {
        format!(
            "listeners: {{{name}: {{address: \"127.0.0.1:0\", limits: {{connections: 2}}}}{more}}}\n\
             routes: {{all: {{path: /, respond: {{body: good}}}}}}"
        )
    };
    let mut door = Gateway::start(&file("first", "")).await;
    let mut kept = used(&door).await;
    door.reload(&file("second", "")).await.unwrap();
    assert_eq!(kept.send(door.get("/")).await.text(), "good");
    assert_eq!(door.log(2).await[1]["listener"], "second");
    let _another = used(&door).await;
    assert!(is_refused(door.client()).await, "the first still counts");
    // Another address on the same port is another listener; so the old one goes.
    door.reload(&file("second", "").replace("127.0.0.1:0", "127.0.0.2:0")).await.unwrap();
    let last = kept.send(door.get("/")).await;
    assert_eq!((last.text(), last.header("connection")), ("good", Some("close")));
    let client = door.client_of("second");
    assert_eq!(client.get("/").send().await.text(), "good");
}

#[tokio::test]
async fn what_is_more_than_can_be_read_is_refused_when_the_file_is_loaded() {
    for (limits, words) in [
        ("header_size: 513KiB", "limits.header_size: more than 512KiB"),
        ("headers: 257", "limits.headers: more than 256"),
        ("target_size: 65KiB", "limits.target_size: more than 64KiB"),
        ("body_rate: 240B", "such as `240B/s`"),
        ("body_rate: off", "such as `240B/s`"),
        ("idle_timeout: off", "limits.idle_timeout"),
        ("connections: 0", "limits.connections"),
    ] {
        let told = Gateway::refused(&yaml(limits)).await.join("\n");
        assert!(told.contains(words), "{limits}: {told}");
    }
}

#[tokio::test]
async fn who_is_turned_away_is_counted_by_reason_and_told_of_once() {
    logged::keep();
    let door = Gateway::start(
        "listeners: {flooded-listener: {address: \"127.0.0.1:0\", proxy_protocol: [127.0.0.1]}}\n\
         routes: {all: {path: /, respond: {body: good}}}",
    )
    .await;
    for _ in 0..5 {
        assert_eq!(door.client().raw("GET / HTTP/1.1\r\n\r\n").await, b"");
        assert_eq!(door.client().raw("PROXY x\r\n").await, b"");
    }
    assert_eq!(door.turned_away(), [("proxy_header_missing", 5), ("proxy_header_malformed", 5)]);
    let lines = logged::lines("listener `flooded-listener`: connection");
    assert_eq!(lines.len(), 2, "{lines:?}");
    assert_eq!(
        lines[0],
        "INFO listener `flooded-listener`: connection from 127.0.0.1 turned away, proxy_header_missing"
    );
    assert!(lines[1].contains("turned away, proxy_header_malformed: "), "{lines:?}");
}
