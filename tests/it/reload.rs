//! A reload is all or nothing, and costs nobody anything.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::support::*;

fn file(body: &str) -> String {
    format!("routes: {{a: {{path: /a, respond: {{body: \"{body}\"}}}}}}")
}

#[tokio::test]
async fn a_new_file_counts_from_the_next_request_on_also_on_open_connections() {
    let mut door = Gateway::start(&file("one")).await;
    let mut connection = door.client().connect().await;
    assert_eq!(connection.send(door.get("/a")).await.text(), "one");
    door.reload(&file("two")).await.unwrap();
    assert_eq!(connection.send(door.get("/a")).await.text(), "two");
}

#[tokio::test]
async fn an_exchange_that_is_under_way_keeps_its_configuration() {
    let gate = Gate::new();
    let api = Upstream::new().on("*", reply(200).wait(&gate).body("old")).start().await;
    let to = format!(
        "routes: {{a: {{path: /a, to: \"http://{}\", filters: {{headers: {{response: {{set: {{x-file: one}}}}}}}}}}}}",
        api.address()
    );
    let mut door = Gateway::start(&to).await;
    let mut connection = door.client().connect().await;
    connection.send_head(door.get("/a")).await;
    api.wait_for_requests(1).await;
    door.reload(&file("new")).await.unwrap();
    gate.open();
    let response = connection.read_response().await;
    assert_eq!((response.text(), response.header("x-file")), ("old", Some("one")));
    assert_eq!(connection.send(door.get("/a")).await.text(), "new");
}

#[tokio::test]
async fn a_bad_file_a_failing_test_or_a_taken_port_leaves_everything_as_it_was() {
    let mut door = Gateway::start(&file("one")).await;
    let taken = std::net::TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let bad = [
        file("two").replace("respond", "respnd"),
        format!("{}\ntests: [{{get: /a, expect: {{status: 404}}}}]", file("two")),
        format!(
            "listeners: {{web: {{address: \"127.0.0.1:0\"}}, more: {{address: \"{}\"}}}}\n{}",
            taken.local_addr().unwrap(),
            file("two")
        ),
    ];
    for yaml in bad {
        assert!(door.reload(&yaml).await.is_err(), "{yaml}");
        assert_eq!(door.get("/a").send().await.text(), "one");
    }
    assert_eq!(door.server().snapshot().generation(), 1);
}

#[tokio::test]
async fn an_unchanged_upstream_keeps_its_turn_and_its_connections() {
    let api = Upstream::new().on("*", reply(200)).start().await;
    let yaml = |path: &str| {
        format!("upstreams: {{api: {{endpoints: [\"{}\"]}}}}\nroutes: {{a: {{path: {path}, to: api}}}}", api.address())
    };
    let mut door = Gateway::start(&yaml("/a")).await;
    door.get("/a").send().await;
    let before = door.server().snapshot();
    door.reload(&yaml("/b")).await.unwrap();
    let after = door.server().snapshot();
    assert!(Arc::ptr_eq(before.upstream("api").unwrap(), after.upstream("api").unwrap()));
    door.get("/b").send().await;
    assert_eq!(api.connections(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn reloads_under_load_lose_no_request() {
    let api = Upstream::new().on("*", reply(200).body("ok")).start().await;
    let yaml = |timeout: u32| {
        format!(
            "routes: {{a: {{path: /, timeout: {timeout}s, to: \"http://{}\"}}}}\nlog: {{access: off}}",
            api.address()
        )
    };
    let mut door = Gateway::start(&yaml(5)).await;
    let stop = Arc::new(AtomicBool::new(false));
    let mut loads = Vec::new();
    for kept in [true, true, true, true, false, false] {
        let (client, stop) = (door.client().clone(), stop.clone());
        loads.push(tokio::spawn(async move {
            let mut count = 0;
            let mut connection = client.connect().await;
            while !stop.load(Ordering::Relaxed) {
                if !kept {
                    connection = client.connect().await;
                }
                let response = connection.send(client.get("/")).await;
                assert_eq!((response.status, response.truncated()), (200, false));
                count += 1;
            }
            count
        }));
    }
    for turn in 0..20 {
        api.wait_for_requests((turn + 1) * 20).await;
        door.reload(&yaml(6 + turn as u32)).await.unwrap();
    }
    stop.store(true, Ordering::Relaxed);
    let mut count = 0;
    for load in loads {
        count += within("a load to end", load).await.expect("no request was lost");
    }
    assert!(count >= 400, "{count}");
}

#[tokio::test]
async fn a_door_that_drains_answers_what_is_under_way_and_what_still_comes_with_a_close() {
    let gate = Gate::new();
    let api = Upstream::new().on("/slow", reply(200).hold(&gate).body("slow")).on("*", reply(200)).start().await;
    let door = Gateway::start(&format!("routes: {{a: {{path: /, to: \"http://{}\"}}}}", api.address())).await;
    let client = door.client().clone();
    let mut idle = client.connect().await;
    idle.send(client.get("/")).await;
    let mut busy = client.connect().await;
    busy.send_head(client.get("/slow")).await;
    api.wait_for_requests(2).await;
    let drained = tokio::spawn(door.drain());
    within("the listener to close", async {
        while client.try_connect().await.is_ok() {
            tokio::task::yield_now().await
        }
    })
    .await;
    let response = idle.send(client.get("/")).await;
    assert_eq!((response.status, response.header("connection")), (200, Some("close")));
    gate.open();
    let response = busy.read_response().await;
    assert_eq!((response.status, response.text(), response.header("connection")), (200, "slow", Some("close")));
    assert_eq!(drained.await.unwrap(), 0);
}

#[tokio::test]
async fn a_head_that_has_begun_is_waited_for_when_a_door_drains() {
    let door = Gateway::start(&format!("{}\nprocess: {{drain: 4s}}", file("whole"))).await;
    let client = door.client().clone();
    let mut idle = client.connect().await;
    idle.send(client.get("/a")).await;
    let mut begun = client.connect().await;
    begun.write("GET /a HTTP/1.1\r\nHo").await;
    let drained = tokio::spawn(door.drain());
    // Once idle connections are closed it would be this one's turn.
    assert_eq!(idle.read_to_close().await, b"");
    begun.write("st: x\r\n\r\n").await;
    let answer = String::from_utf8(begun.read_to_close().await).unwrap();
    assert!(answer.starts_with("HTTP/1.1 200") && answer.ends_with("whole"), "{answer}");
    assert!(answer.contains("Connection: close"), "{answer}");
    drop(begun);
    assert_eq!(within("the drain", drained).await.unwrap(), 0);
}

#[tokio::test]
async fn a_listener_can_be_renamed_and_keeps_its_socket_and_its_connections() {
    let file = |name: &str| format!("listeners: {{{name}: {{address: \"127.0.0.1:0\"}}}}\n{}", file("x"));
    let mut door = Gateway::start(&file("web")).await;
    let mut connection = door.client().connect().await;
    connection.send(door.get("/a")).await;
    door.reload(&file("door")).await.unwrap();
    connection.send(door.get("/a")).await;
    door.get("/a").send().await;
    let names: Vec<_> = door.log(3).await.iter().map(|line| line["listener"].clone()).collect();
    assert_eq!(names, ["web", "door", "door"]);
    assert_eq!(door.server().addresses().len(), 1);
}

#[tokio::test]
async fn two_listeners_can_swap_their_addresses_and_connections_get_the_rights_of_the_address() {
    let file = |inner: &str, outer: &str| {
        format!(
            "listeners: {{inner: {{address: \"{inner}\", trusted_proxies: [127.0.0.0/8]}}, outer: {{address: \"{outer}\"}}}}\n{}",
            file("x")
        )
    };
    let mut door = Gateway::start(&file("127.0.0.1:0", "127.0.0.2:0")).await;
    let (first, second) = (door.client_of("inner"), door.client_of("outer"));
    let mut connections = [first.connect().await, second.connect().await];
    for swapped in [false, true] {
        if swapped {
            door.reload(&file("127.0.0.2:0", "127.0.0.1:0")).await.unwrap();
        }
        for connection in &mut connections {
            connection.send(Request::new("GET", "/a").header("x-forwarded-for", "192.0.2.7")).await;
        }
    }
    let lines = door.log(4).await;
    let seen = |line: usize| (lines[line]["listener"].as_str().unwrap(), lines[line]["client"] == "192.0.2.7");
    assert_eq!([seen(0), seen(1)], [("inner", true), ("outer", false)]);
    assert_eq!([seen(2), seen(3)], [("outer", false), ("inner", true)]);
    assert_eq!(door.client_of("inner").get("/a").send().await.status, 200);
}

#[tokio::test]
async fn a_port_that_a_removed_listener_had_can_be_taken_by_the_next_file() {
    let port = std::net::TcpListener::bind(("127.0.0.1", 0)).unwrap().local_addr().unwrap();
    let with =
        format!("listeners: {{web: {{address: \"127.0.0.1:0\"}}, more: {{address: \"{port}\"}}}}\n{}", file("x"));
    let mut door = Gateway::start(&with).await;
    door.reload(&file("x")).await.unwrap();
    door.reload(&with).await.unwrap();
    assert_eq!(door.client_of("more").get("/a").send().await.text(), "x");
}
