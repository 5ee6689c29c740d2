//! Exchanges that end early, each with the page that HTTP/1 has, and connections that end in good order.

use std::time::{Duration, Instant};

use bytes::Bytes;
use h2::Reason;
use http::Method;

use super::{door, door_with};
use crate::support::http2::{
    Answer, Came, END_HEADERS, END_STREAM, Frames, HEADERS, Http2, asking, good, request, send_all,
};
use crate::support::*;

#[tokio::test]
async fn a_response_that_does_not_come_in_time_is_a_504_and_the_connection_lives_on() {
    let api = Upstream::new().on("/mute", silence()).on("/*", reply(200).body("hi")).start().await;
    let cors = ", timeout: 150ms, filters: {cors: {origins: [\"https://app.test\"]}}";
    let door = door_with(api.address(), "", cors).await;
    let mut client = Http2::connect(door.client().address()).await;
    let before = Instant::now();
    let mut asked = request(Method::GET, "/mute");
    asked.headers_mut().insert("origin", "https://app.test".parse().unwrap());
    let answer = client.send(asked, "").await;
    assert_eq!(answer.status.as_u16(), 504);
    assert!(before.elapsed() >= Duration::from_millis(150));
    assert_eq!(answer.header("content-type"), Some("application/problem+json"));
    assert_eq!(answer.header("access-control-allow-origin"), Some("https://app.test"));
    assert!(answer.header("x-request-id").is_some());
    assert_eq!(door.cause(1).await, ("deadline".into(), 504));
    api.wait_closed(1).await;
    assert_eq!(client.get("/").await.text(), "hi");
}

#[tokio::test]
async fn after_the_head_the_deadline_resets_the_stream() {
    let gate = Gate::new();
    let api = Upstream::new().on("*", reply(200).chunk("one").wait(&gate).chunk("two")).start().await;
    let door = door_with(api.address(), "", ", timeout: 150ms").await;
    let mut client = Http2::connect(door.client().address()).await;
    let answer = client.get("/").await;
    assert_eq!((answer.status.as_u16(), answer.text()), (200, "one"));
    assert_eq!(answer.broken.unwrap().reason(), Some(Reason::INTERNAL_ERROR));
    assert_eq!(door.cause(1).await, ("deadline".into(), 200));
    api.wait_closed(1).await;
}

#[tokio::test]
async fn a_body_that_does_not_come_is_a_408() {
    let api = Upstream::new().on("*", reply(200)).start().await;
    let door = door_with(api.address(), ", limits: {body_timeout: 200ms}", "").await;
    let mut client = Http2::connect(door.client().address()).await;
    let (response, mut sender) = client.begin(request(Method::POST, "/"), false).await.unwrap();
    send_all(&mut sender, Bytes::from_static(b"half"), false).await.unwrap();
    let answer = within("the answer", async { Answer::read(response.await?).await }).await.unwrap();
    assert_eq!(answer.status.as_u16(), 408);
    assert_eq!(door.cause(1).await, ("client_body_timeout".into(), 408));
}

#[tokio::test]
async fn a_client_that_leaves_a_response_unread_loses_the_stream_only() {
    let api = Upstream::new().on("/long", reply(200).filler(8 << 20)).on("/*", reply(200).body("hi")).start().await;
    let door = door_with(api.address(), ", limits: {body_timeout: 200ms}", "").await;
    let mut client = Http2::connect(door.client().address()).await;
    let (response, _) = client.begin(request(Method::GET, "/long"), true).await.unwrap();
    let response = within("the head", response).await.unwrap();
    assert_eq!(door.cause(1).await, ("client_read_timeout".into(), 200));
    let answer = Answer::read(response).await.unwrap();
    assert!(answer.broken.is_some());
    assert_eq!(client.get("/").await.text(), "hi");
}

#[tokio::test]
async fn a_stream_that_the_client_resets_is_one_line_and_ends_the_upstreams_call() {
    let api = Upstream::new().on("*", silence()).start().await;
    let door = door(api.address()).await;
    let mut client = Http2::connect(door.client().address()).await;
    let (response, mut sender) = client.begin(request(Method::GET, "/"), true).await.unwrap();
    api.wait_for_requests(1).await;
    sender.send_reset(Reason::CANCEL);
    drop(response);
    api.wait_closed(1).await;
    assert_eq!(door.cause(1).await, ("client_gone".into(), 499));
}

#[tokio::test]
async fn a_connection_that_is_lost_is_a_line_for_each_stream() {
    let api = Upstream::new().on("*", silence()).start().await;
    let door = door(api.address()).await;
    let mut client = Http2::connect(door.client().address()).await;
    let mut held = Vec::new();
    for _ in 0..3 {
        held.push(client.begin(request(Method::GET, "/"), true).await.unwrap());
    }
    api.wait_for_requests(3).await;
    drop(client);
    let lines = door.log(3).await;
    assert_eq!(lines.iter().map(|line| line["cause"].as_str().unwrap()).collect::<Vec<_>>(), ["client_gone"; 3]);
    assert_eq!(within("the drain", door.drain()).await, 0);
}

#[tokio::test]
async fn a_drain_says_goaway_and_loses_nothing() {
    let gate = Gate::new();
    let api = Upstream::new().on("/held", reply(200).hold(&gate).body("late")).on("/*", reply(200)).start().await;
    let door = door(api.address()).await;
    let mut client = Http2::connect(door.client().address()).await;
    let (held, _) = client.begin(request(Method::GET, "/held"), true).await.unwrap();
    api.wait_for_requests(1).await;
    let drained = tokio::spawn(door.drain());
    // The door says that no more requests are wanted, and waits for the one that is under way.
    let refused = async { while client.try_send(request(Method::GET, "/"), "").await.is_ok() {} };
    within("a GOAWAY", refused).await;
    gate.open();
    let answer = within("the answer", async { Answer::read(held.await?).await }).await.unwrap();
    assert_eq!(answer.text(), "late");
    assert_eq!(within("the drain", drained).await.unwrap(), 0);
    assert!(client.ended().await.is_ok());
}

#[tokio::test]
async fn an_idle_connection_does_not_hold_up_a_drain() {
    let api = Upstream::new().on("*", reply(200)).start().await;
    let door = door(api.address()).await;
    let mut client = Http2::connect(door.client().address()).await;
    client.get("/").await;
    assert_eq!(within("the drain", door.drain()).await, 0);
    assert!(client.ended().await.is_ok());
}

#[tokio::test]
async fn after_so_many_requests_the_connection_ends_and_none_of_them_is_lost() {
    let api = Upstream::new().on("*", reply(200)).start().await;
    let door = door_with(api.address(), ", limits: {requests_per_connection: 3}", "").await;
    let mut client = Http2::connect(door.client().address()).await;
    for _ in 0..3 {
        assert_eq!(client.get("/").await.status.as_u16(), 200);
    }
    assert!(client.ended().await.is_ok());
}

#[tokio::test]
async fn an_idle_connection_is_closed_with_a_goaway() {
    let api = Upstream::new().on("*", reply(200)).start().await;
    let door = door_with(api.address(), ", limits: {idle_timeout: 100ms}", "").await;
    let mut client = Http2::connect(door.client().address()).await;
    client.get("/").await;
    assert!(client.ended().await.is_ok());
}

#[tokio::test]
async fn what_a_door_that_must_leave_breaks_off_is_a_503() {
    let api = Upstream::new().on("*", silence()).start().await;
    let yaml = format!(
        "process: {{drain: 100ms}}\n{}\nroutes: {{all: {{path: /, to: \"http://{}\"}}}}",
        super::listeners(""),
        api.address()
    );
    let door = Gateway::start(&yaml).await;
    let mut client = Http2::connect(door.client().address()).await;
    let (held, _) = client.begin(request(Method::GET, "/"), true).await.unwrap();
    api.wait_for_requests(1).await;
    door.drain().await;
    let answer = within("the answer", async { Answer::read(held.await?).await }).await.unwrap();
    assert_eq!(answer.status.as_u16(), 503);
    assert!(client.ended().await.is_ok());
}

#[tokio::test]
async fn an_upload_that_nobody_waits_for_any_more_is_not_read_on() {
    let api = Upstream::new().on("*", reply(413).never_reading().then_close()).start().await;
    let door = door(api.address()).await;
    let mut client = Http2::connect(door.client().address()).await;
    let (response, mut sender) = client.begin(request(Method::POST, "/"), false).await.unwrap();
    let upload = async {
        send_all(&mut sender, Bytes::from(vec![0; 64 << 20]), true).await.ok();
        std::future::poll_fn(|cx| sender.poll_reset(cx)).await
    };
    let (reason, response) = within("the answer", async { tokio::join!(upload, response) }).await;
    assert_eq!(response.unwrap().status().as_u16(), 413);
    assert_eq!(reason.unwrap(), Reason::NO_ERROR, "the rest is not wanted (RFC 9113, 8.1)");
    assert_eq!(client.get("/").await.status.as_u16(), 413);
}

#[tokio::test]
async fn requests_that_never_reach_the_engine_are_lines_all_the_same() {
    let api = Upstream::new().on("*", reply(200)).start().await;
    let door = door(api.address()).await;
    let mut client = Frames::greeted(door.client().address()).await;
    let bad = asking("GET", &[("connection", "close")]);
    client.send(HEADERS, END_HEADERS | END_STREAM, 1, &bad).await;
    assert_eq!(client.outcome().await, Came::Reset(Reason::PROTOCOL_ERROR));
    client.send(HEADERS, END_HEADERS | END_STREAM, 3, &good()).await;
    assert_eq!(client.outcome().await, Came::Answer);
    let lines = door.log(2).await;
    let mut causes: Vec<_> = lines.iter().map(|line| line["cause"].as_str()).collect();
    causes.sort_unstable();
    assert_eq!(causes, [None, Some("malformed_head")]);
}

#[tokio::test]
async fn a_body_that_drips_is_a_408() {
    let api = Upstream::new().on("*", reply(200)).start().await;
    let door = door_with(api.address(), ", limits: {body_timeout: 200ms, body_rate: 1KiB/s}", "").await;
    let mut client = Http2::connect(door.client().address()).await;
    let (mut response, mut sender) = client.begin(request(Method::POST, "/"), false).await.unwrap();
    let mut every = tokio::time::interval(Duration::from_millis(10));
    // Never silent for half of `body_timeout`, and at a tenth of the rate.
    let drip = async {
        loop {
            tokio::select! {
                response = &mut response => return response,
                _ = every.tick() => drop(sender.send_data(Bytes::from_static(b"x"), false)),
            }
        }
    };
    let response = within("the answer", drip).await.unwrap();
    assert_eq!(response.status().as_u16(), 408);
    assert_eq!(door.cause(1).await, ("client_body_timeout".into(), 408));
}
