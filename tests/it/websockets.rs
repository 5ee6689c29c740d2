//! WebSockets: none ends but by one of its ends, by its upstream's silence, or with the door.

use std::sync::Arc;
use std::time::Duration;

use onedoor::server::BoundAddress;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

use crate::support::*;

async fn door(api: impl std::fmt::Display, upstream: &str, more: &str) -> Gateway {
    Gateway::start(&format!(
        "upstreams: {{api: {{endpoints: [\"{api}\"], {upstream}}}}}\nroutes: {{all: {{path: /, to: api}}}}\n{more}"
    ))
    .await
}

fn handshake(door: &Gateway) -> Request {
    let head = door.get("/chat").header("connection", "Upgrade").header("upgrade", "websocket");
    head.header("sec-websocket-version", "13").header("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ==")
}

async fn open(door: &Gateway) -> Connection {
    let mut chat = door.client().connect().await;
    chat.send_head(handshake(door)).await;
    assert_eq!(chat.read_head().await.status, 101);
    chat
}

/// Opens one and says something that must come back; `false` if it was closed before.
async fn is_heard(door: &Gateway) -> bool {
    let mut chat = door.client().connect().await;
    chat.send_head(handshake(door)).await;
    assert_eq!(chat.read_head().await.status, 101);
    chat.try_write("hello").await.is_ok() && hears_hello(&mut chat).await
}

/// Whether the next that comes is what was said.
async fn hears_hello(chat: &mut Connection) -> bool {
    let mut got = Vec::new();
    while got.len() < 5 {
        match chat.try_read_some().await {
            Ok(Some(piece)) => got.extend_from_slice(&piece),
            _ => return false,
        }
    }
    got == b"hello"
}

/// An endpoint that takes one connection, reads a head, and then does as it is told.
async fn endpoint<F: Future<Output = ()> + Send + 'static>(
    then: impl FnOnce(TcpStream) -> F + Send + 'static,
) -> (String, tokio::task::JoinHandle<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let serving = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.push(stream.read_u8().await.unwrap());
        }
        then(stream).await;
    });
    (address, serving)
}

const SWITCHED: &[u8] = b"HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_upstream_that_answers_at_once_loses_no_websocket() {
    let (in_a_row, clients) = if std::env::var_os("ONEDOOR_SOAK").is_some() { (20_000, 40) } else { (1000, 40) };
    let api = Upstream::new().on("*", upgrade("websocket")).start().await;
    let door = Arc::new(door(api.address(), "", "log: {access: {to: off}}").await);
    let mut closed = 0;
    for _ in 0..in_a_row {
        closed += usize::from(!is_heard(&door).await);
    }
    assert_eq!(closed, 0, "closed early, of {in_a_row} in a row");
    let mut all = JoinSet::new();
    for _ in 0..clients {
        let door = Arc::clone(&door);
        all.spawn(async move {
            let mut closed = 0;
            for _ in 0..in_a_row / clients {
                closed += usize::from(!is_heard(&door).await);
            }
            closed
        });
    }
    let closed: usize = all.join_all().await.into_iter().sum();
    assert_eq!(closed, 0, "closed early, of {in_a_row} with {clients} clients");
}

#[tokio::test]
async fn the_filters_of_a_response_see_the_101_too() {
    let api = Upstream::new().on("*", upgrade("websocket").header("x-internal", "1")).start().await;
    let door = door(
        api.address(),
        "",
        "defaults: {filters: {cors: {origins: [\"https://app.example.com\"]}, headers: {response: {remove: [x-internal]}}}}",
    )
    .await;
    let mut chat = door.client().connect().await;
    chat.send_head(handshake(&door).header("origin", "https://app.example.com")).await;
    let head = chat.read_head().await;
    assert_eq!((head.status, head.header("upgrade")), (101, Some("websocket")));
    assert_eq!(head.header("access-control-allow-origin"), Some("https://app.example.com"));
    assert!(head.header("x-request-id").is_some());
    assert_eq!(head.header("x-internal"), None);
    let seen = api.last();
    assert_eq!((seen.header("upgrade"), seen.header("connection")), (Some("websocket"), Some("Upgrade")));
    assert!(seen.header("sec-websocket-key").is_some() && seen.header("x-forwarded-for").is_some());
}

#[tokio::test]
async fn a_refusal_passes_and_its_connection_serves_the_next_request() {
    let refused = |status| reply(status).header("x-why", "no").body("not here");
    let api = Upstream::new()
        .on("*", [refused(200), refused(403), refused(426), reply(204), upgrade("websocket")])
        .start()
        .await;
    let door = door(api.address(), "", "").await;
    let mut client = door.client().connect().await;
    for status in [200, 403, 426] {
        let response = client.send(handshake(&door)).await;
        assert_eq!((response.status, response.text(), response.header("x-why")), (status, "not here", Some("no")));
    }
    assert_eq!(client.send(handshake(&door)).await.status, 204);
    client.send_head(handshake(&door)).await;
    assert_eq!(client.read_head().await.status, 101);
    client.write("hello").await;
    assert!(hears_hello(&mut client).await);
    assert_eq!(api.connections(), 5, "each handshake has a connection of its own");
}

#[tokio::test]
async fn an_upstream_that_refuses_the_connection_is_a_502_with_a_page() {
    let port = Port::refusing();
    let door = door(port.address(), "", "").await;
    let response = door.client().connect().await.send(handshake(&door)).await;
    assert_eq!((response.status, response.header("content-type")), (502, Some("application/problem+json")));
    assert!(response.header("x-request-id").is_some());
    let line = &door.log(1).await[0];
    assert_eq!((line["cause"].as_str(), line["status"].as_u64()), (Some("upstream_refused"), Some(502)));
    assert!(line["detail"].as_str().unwrap().contains("ECONNREFUSED"), "{line}");
}

#[tokio::test]
async fn a_101_that_does_not_come_in_time_is_a_504() {
    let api = Upstream::new().on("*", silence()).start().await;
    let door = door(api.address(), "", "defaults: {timeout: 100ms}").await;
    let response = door.client().connect().await.send(handshake(&door)).await;
    assert_eq!(response.status, 504);
    assert_eq!(door.cause(1).await, ("deadline".into(), 504));
    api.wait_closed(1).await;
}

#[tokio::test]
async fn an_endpoint_that_says_nothing_loses_the_handshake_to_another_try() {
    let api = Upstream::new().on("*", [silence(), upgrade("websocket")]).start().await;
    let door = door(api.address(), "", "defaults: {retry: {attempts: 2, per_try: 100ms}}").await;
    assert!(is_heard(&door).await);
    assert_eq!(api.requests().len(), 2);
    api.wait_closed(1).await;
}

#[tokio::test]
async fn what_a_client_sends_before_the_101_is_not_lost() {
    let gate = Gate::new();
    let api = Upstream::new().on("*", upgrade("websocket").hold(&gate)).start().await;
    let door = door(api.address(), "", "").await;
    let mut chat = door.client().connect().await;
    // With the head, and while the upstream thinks about it.
    chat.write("GET /chat HTTP/1.1\r\nhost: a\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\nhe").await;
    gate.reached().await;
    chat.write("l").await;
    chat.write("lo").await;
    gate.open();
    assert_eq!(chat.read_head().await.status, 101);
    assert!(hears_hello(&mut chat).await);
}

#[tokio::test]
async fn what_an_upstream_sends_with_its_101_is_not_lost() {
    let (address, _serving) = endpoint(|mut stream| async move {
        stream.write_all(&[SWITCHED, b"hello"].concat()).await.unwrap();
    })
    .await;
    let door = door(address, "", "").await;
    let mut chat = open(&door).await;
    assert!(hears_hello(&mut chat).await);
    assert_eq!(chat.read_to_close().await, b"");
    let line = &door.log(1).await[0];
    assert_eq!(
        (line["status"].as_u64(), line["cause"].as_str(), line["bytes_sent"].as_u64()),
        (Some(101), None, Some(5))
    );
}

#[tokio::test]
async fn silence_ends_one_and_a_byte_either_way_is_no_silence() {
    let (address, serving) = endpoint(|mut stream| async move {
        stream.write_all(SWITCHED).await.unwrap();
        // Only the upstream speaks, for longer than the silence that is allowed.
        for _ in 0..8 {
            tokio::time::sleep(Duration::from_millis(80)).await;
            stream.write_all(b".").await.unwrap();
        }
        assert_eq!(stream.read(&mut [0; 1]).await.unwrap(), 0);
    })
    .await;
    let door = door(address, "timeouts: {idle: 300ms}", "").await;
    let mut chat = open(&door).await;
    assert_eq!(chat.read_exactly(8).await, b"........");
    assert_eq!(chat.read_to_close().await, b"");
    within("the upstream's end", serving).await.unwrap();
    assert_eq!(door.cause(1).await, ("upstream_idle_timeout".into(), 101));
}

#[tokio::test]
async fn when_a_client_ends_the_upstream_gets_all_and_the_end() {
    let (address, serving) = endpoint(|mut stream| async move {
        stream.write_all(SWITCHED).await.unwrap();
        let mut got = Vec::new();
        stream.read_to_end(&mut got).await.unwrap();
        assert_eq!(got.len(), 1 << 20);
    })
    .await;
    let door = door(address, "", "").await;
    let mut chat = open(&door).await;
    chat.write(vec![b'w'; 1 << 20]).await;
    chat.half_close().await;
    within("the upstream's end", serving).await.unwrap();
    assert_eq!(chat.read_to_close().await, b"");
    let line = &door.log(1).await[0];
    assert_eq!((line["bytes_received"].as_u64(), line["cause"].as_str()), (Some(1 << 20), None), "{line}");
}

#[tokio::test]
async fn when_an_upstream_ends_the_client_gets_all_and_the_end() {
    let (address, _serving) = endpoint(|mut stream| async move {
        stream.write_all(SWITCHED).await.unwrap();
        stream.write_all(&vec![b'w'; 1 << 20]).await.unwrap();
    })
    .await;
    let door = door(address, "", "").await;
    let mut chat = open(&door).await;
    assert_eq!(chat.read_to_close().await.len(), 1 << 20);
}

#[tokio::test]
async fn a_client_that_is_gone_ends_it_for_the_upstream() {
    let api = Upstream::new().on("*", upgrade("websocket")).start().await;
    let door = door(api.address(), "", "").await;
    open(&door).await.reset();
    api.wait_closed(1).await;
    assert_eq!(door.cause(1).await, ("client_gone".into(), 101));
}

#[tokio::test]
async fn a_door_that_drains_ends_one_when_its_time_is_over() {
    let api = Upstream::new().on("*", upgrade("websocket")).start().await;
    let door = door(api.address(), "", "process: {drain: 300ms}").await;
    let mut chat = open(&door).await;
    let drained = tokio::spawn(door.drain());
    // Until then it works.
    chat.write("hello").await;
    assert!(hears_hello(&mut chat).await);
    assert_eq!(chat.read_to_close().await, b"");
    assert_eq!(within("the drain", drained).await.unwrap(), 1);
    api.wait_closed(1).await;
}

#[tokio::test]
async fn other_upgrades_and_those_with_a_body_are_requests_like_others() {
    let api = Upstream::new().on("*", echo()).start().await;
    let door = door(api.address(), "", "").await;
    let h2c = door.get("/").header("connection", "upgrade").header("upgrade", "h2c");
    let mixed = door.get("/").header("connection", "upgrade").header("upgrade", "websocket, h2c");
    let post = door.request("POST", "/").header("connection", "upgrade").header("upgrade", "websocket").body("abc");
    let with_body = handshake(&door).body("abc");
    for request in [h2c, mixed, post, with_body] {
        let response = door.client().connect().await.send(request).await;
        assert_eq!(response.status, 200);
        assert_eq!((api.last().header("upgrade"), api.last().header("connection")), (None, None));
    }
}

#[tokio::test]
async fn a_switch_that_nobody_asked_for_is_a_502() {
    let api = Upstream::new().on("*", upgrade("websocket")).start().await;
    let door = door(api.address(), "", "").await;
    assert_eq!(door.get("/").send().await.status, 502);
    assert_eq!(door.client().connect().await.send(handshake(&door).body("abc")).await.status, 502);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn much_goes_through_both_ways_at_once() {
    const LENGTH: usize = 32 << 20;
    let api = Upstream::new().on("*", upgrade("websocket")).start_unix();
    let door = door(api.address(), "", "").await;
    let Some(BoundAddress::Tcp(address)) = door.server().addresses().into_values().next() else { panic!("TCP") };
    let mut chat = TcpStream::connect(address).await.unwrap();
    chat.write_all(b"GET / HTTP/1.1\r\nhost: a\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n").await.unwrap();
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(chat.read_u8().await.unwrap());
    }
    let (mut read, mut write) = chat.into_split();
    let piece: Vec<u8> = (0..1 << 16).map(|n: u32| (n % 251) as u8).collect();
    let pieces = piece.clone();
    let sending = tokio::spawn(async move {
        let piece = pieces;
        for _ in 0..LENGTH / piece.len() {
            write.write_all(&piece).await.unwrap();
        }
        write
    });
    let mut came = 0;
    let mut buffer = vec![0; 1 << 16];
    within("all of it to come back", async {
        while came < LENGTH {
            let length = read.read(&mut buffer).await.unwrap();
            assert!(length > 0, "it ended after {came} bytes");
            let at = came % piece.len();
            let same = length.min(piece.len() - at);
            assert!(buffer[..same] == piece[at..at + same] && buffer[same..length] == piece[..length - same]);
            came += length;
        }
    })
    .await;
    drop(sending.await.unwrap());
    let line = &door.log(1).await[0];
    assert_eq!(
        (line["bytes_received"].as_u64(), line["bytes_sent"].as_u64()),
        (Some(LENGTH as u64), Some(LENGTH as u64))
    );
}

#[tokio::test]
async fn a_side_that_reads_nothing_stalls_the_other_and_fills_no_memory() {
    let (address, serving) = endpoint(|mut stream| async move {
        stream.write_all(SWITCHED).await.unwrap();
        std::future::pending().await
    })
    .await;
    let door = door(address, "", "").await;
    let mut chat = open(&door).await;
    let piece = vec![0; 1 << 16];
    let mut taken = 0;
    // What the kernels and the door keep in between; 64 MiB are more than they may.
    while taken < 64 << 20
        && tokio::time::timeout(Duration::from_millis(500), chat.try_write(&piece)).await.is_ok_and(|sent| sent.is_ok())
    {
        taken += piece.len();
    }
    assert!(taken < 32 << 20, "{taken} bytes went somewhere");
    serving.abort();
}
