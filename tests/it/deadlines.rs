//! Everything ends: heads, exchanges in every phase, bodies. And what may run long does.

use std::time::{Duration, Instant};

use crate::support::*;

async fn door(api: &Address, timeout: &str) -> Gateway {
    Gateway::start(&format!(
        "upstreams: {{api: {{endpoints: [\"{api}\"], timeouts: {{idle: 400ms}}}}}}\nroutes: {{all: {{path: /, timeout: {timeout}, to: api}}}}"
    ))
    .await
}

#[tokio::test]
async fn a_response_that_does_not_come_in_time_is_a_504_on_time() {
    let api = Upstream::new().on("*", silence()).start().await;
    let door = door(api.address(), "100ms").await;
    let before = Instant::now();
    let response = door.get("/").send().await;
    let took = before.elapsed();
    assert_eq!(response.status, 504);
    assert_eq!(response.header("content-type"), Some("application/problem+json"));
    assert!(response.header("x-request-id").is_some());
    assert!(took >= Duration::from_millis(100), "{took:?}");
    assert_eq!(door.cause(1).await, ("deadline".into(), 504));
    api.wait_closed(1).await;
}

#[tokio::test]
async fn a_head_that_drips_does_not_move_the_deadline() {
    // Each byte comes well within the upstream's `idle`, and the head would take twenty times the deadline.
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = Address::Tcp(listener.local_addr().unwrap());
    let drip = tokio::spawn(async move {
        use tokio::io::AsyncWriteExt;
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut every = tokio::time::interval(Duration::from_millis(40));
        for byte in b"HTTP/1.1 200 OK\r\nx-drip: 0123456789012345678901234567890123456789\r\n" {
            every.tick().await;
            if stream.write_all(&[*byte]).await.is_err() {
                return;
            }
        }
    });
    let door = door(&address, "150ms").await;
    assert_eq!(door.get("/").send().await.status, 504);
    assert_eq!(door.cause(1).await.0, "deadline");
    drip.abort();
}

#[tokio::test]
async fn an_upload_that_the_upstream_does_not_take_is_a_504_on_time() {
    let api = Upstream::new().on("*", silence().never_reading()).start().await;
    let door =
        Gateway::start(&format!("routes: {{all: {{path: /, timeout: 200ms, to: \"http://{}\"}}}}", api.address()))
            .await;
    let mut connection = door.client().connect().await;
    let head = door.request("PUT", "/").header("content-length", "1000000000");
    connection.send_head(head).await;
    let before = Instant::now();
    let chunk = vec![b'x'; 1 << 16];
    // Both kernels' buffers fill up, then nothing moves any more.
    let upload = async { while connection.try_write(&chunk).await.is_ok() {} };
    tokio::time::timeout(Duration::from_millis(600), upload).await.ok();
    let response = connection.read_head().await;
    assert_eq!(response.status, 504);
    assert!(before.elapsed() < Duration::from_secs(2), "{:?}", before.elapsed());
    assert_eq!(door.cause(1).await, ("deadline".into(), 504));
}

#[tokio::test]
async fn after_the_head_the_deadline_is_a_visibly_broken_connection() {
    let gate = Gate::new();
    let api = Upstream::new().on("*", reply(200).chunk("one").wait(&gate).chunk("two")).start().await;
    let door = door(api.address(), "150ms").await;
    let response = door.get("/").send().await;
    assert_eq!((response.status, response.text()), (200, "one"));
    assert!(response.truncated());
    assert_eq!(door.cause(1).await, ("deadline".into(), 200));
    api.wait_closed(1).await;
}

#[tokio::test]
async fn an_event_stream_outlives_the_deadline_and_is_bounded_by_silence_only() {
    let gate = Gate::new();
    let stream =
        reply(200).header("content-type", "text/event-stream").chunk("data: 1\n\n").wait(&gate).chunk("data: 2\n\n");
    let api = Upstream::new().on("*", stream.then_silence()).start().await;
    let door = door(api.address(), "100ms").await;
    let mut connection = door.client().connect().await;
    connection.send_head(door.get("/")).await;
    let before = Instant::now();
    assert_eq!(connection.read_head().await.status, 200);
    assert_eq!(connection.read_some().await.as_deref(), Some(&b"data: 1\n\n"[..]), "events are not held back");
    tokio::time::sleep_until((before + Duration::from_millis(250)).into()).await;
    gate.open();
    assert_eq!(connection.read_some().await.as_deref(), Some(&b"data: 2\n\n"[..]));
    let (_, whole) = connection.discard_body().await;
    assert!(!whole);
    assert_eq!(door.cause(1).await.0, "upstream_idle_timeout");
}

#[tokio::test]
async fn a_websocket_outlives_the_deadline() {
    let api = Upstream::new().on("*", upgrade("websocket")).start().await;
    let door = door(api.address(), "100ms").await;
    let mut connection = door.client().connect().await;
    let head = door.get("/chat").header("connection", "Upgrade").header("upgrade", "websocket");
    connection
        .send_head(head.header("sec-websocket-version", "13").header("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ=="))
        .await;
    let before = Instant::now();
    assert_eq!(connection.read_head().await.status, 101);
    assert_eq!(api.last().header("upgrade"), Some("websocket"));
    for _ in 0..3 {
        connection.write("ping").await;
        assert_eq!(connection.read_exactly(4).await, b"ping");
        tokio::time::sleep_until((Instant::now() + Duration::from_millis(60)).into()).await;
    }
    assert!(before.elapsed() > Duration::from_millis(150));
}

#[tokio::test]
async fn off_is_no_deadline_but_the_upstreams_silence_still_counts() {
    let api = Upstream::new().on("*", silence()).start().await;
    let door = door(api.address(), "off").await;
    assert_eq!(door.get("/").send().await.status, 504);
    assert_eq!(door.cause(1).await.0, "upstream_head_timeout");
}

#[tokio::test]
async fn a_deadline_counts_for_each_exchange_of_a_connection_anew() {
    let api = Upstream::new().on("*", reply(200).body("ok")).start().await;
    let door = door(api.address(), "600ms").await;
    let mut connection = door.client().connect().await;
    for _ in 0..3 {
        assert_eq!(connection.send(door.get("/")).await.status, 200);
        tokio::time::sleep_until((Instant::now() + Duration::from_millis(250)).into()).await;
    }
    // Between two exchanges there is no deadline but the keep-alive time.
    tokio::time::sleep_until((Instant::now() + Duration::from_millis(700)).into()).await;
    assert_eq!(connection.send(door.get("/")).await.status, 200);
}

#[tokio::test]
async fn a_head_that_never_ends_is_a_408() {
    let door = Gateway::start("routes: {all: {path: /, respond: {}}}").await;
    let mut connection = door.client().connect().await;
    connection.write("GET / HTTP/1.1\r\nHost: a\r\nX: ").await;
    let answer = connection.read_to_close_within(Duration::from_secs(15)).await;
    assert!(answer.starts_with(b"HTTP/1.1 408"), "{}", String::from_utf8_lossy(&answer));
    assert_eq!(door.cause(1).await, ("head_timeout".into(), 408));
}

#[tokio::test]
async fn an_early_answer_reaches_a_client_that_is_still_sending() {
    let door = Gateway::start("routes: {all: {path: /only-this, respond: {}}}").await;
    let mut connection = door.client().connect().await;
    connection.send_head(door.request("PUT", "/other").header("content-length", "10000000")).await;
    let chunk = vec![b'x'; 1 << 16];
    for _ in 0..10 {
        connection.try_write(&chunk).await.ok();
    }
    let response = connection.read_response().await;
    assert_eq!((response.status, response.header("connection")), (404, Some("close")));
    assert!(!response.truncated());
}
