//! The test harness itself: the client against scripted upstreams, with no gateway in between.

use std::io::ErrorKind;
use std::time::Duration;

use crate::support::*;

#[tokio::test]
async fn a_reply_comes_as_it_was_scripted() {
    let api =
        Upstream::new().on("/v1/a", reply(200).header("X-One", "1").header("x-one", "2").body("hi")).start().await;
    let response = Client::to(api.address()).get("/v1/a").send().await;
    assert_eq!((response.version.as_str(), response.status, response.reason.as_str()), ("HTTP/1.1", 200, "OK"));
    assert_eq!(response.headers.all("x-one"), ["1", "2"]);
    assert_eq!(response.headers.names(), ["X-One", "x-one", "Content-Length"]);
    assert_eq!(response.text(), "hi");
    assert!(!response.truncated());
}

#[tokio::test]
async fn patterns_match_by_method_path_and_prefix_and_the_first_counts() {
    let api = Upstream::new()
        .on("POST /a", reply(201))
        .on("/a", reply(200))
        .on("/b/*", reply(202))
        .on("DELETE *", reply(204))
        .start()
        .await;
    let client = Client::to(api.address());
    let mut seen = Vec::new();
    for (method, target) in
        [("POST", "/a"), ("GET", "/a?x=1"), ("GET", "/b/c"), ("DELETE", "/z"), ("GET", "/z"), ("GET", "/a/")]
    {
        seen.push(client.request(method, target).send().await.status);
    }
    assert_eq!(seen, [201, 200, 202, 204, 404, 404]);
}

#[tokio::test]
async fn replies_come_in_turn_and_the_last_one_stays() {
    let api = Upstream::new().on("*", [reply(503), reply(200)]).start().await;
    let client = Client::to(api.address());
    for status in [503, 200, 200] {
        assert_eq!(client.get("/").send().await.status, status);
    }
    api.change("*", reply(500));
    assert_eq!(client.get("/").send().await.status, 500);
}

#[tokio::test]
async fn a_request_arrives_exactly_as_it_was_told() {
    let api = Upstream::new().on("*", reply(200)).start().await;
    let request = Client::to(api.address()).request("PUT", "/a/../%7e?q=%zz").version("HTTP/1.0").no_host();
    request.header("X-Odd", "a").header("x-oDD", "b").body("body").send().await;
    let seen = api.last();
    assert_eq!(
        seen.head.as_ref(),
        b"PUT /a/../%7e?q=%zz HTTP/1.0\r\nX-Odd: a\r\nx-oDD: b\r\nContent-Length: 4\r\n\r\n"
    );
    assert_eq!((seen.method.as_str(), seen.target.as_str()), ("PUT", "/a/../%7e?q=%zz"));
    assert_eq!((seen.header("x-odd"), seen.headers.all("X-ODD")), (Some("a"), vec!["a", "b"]));
    assert_eq!((seen.body.as_slice(), seen.body_length, seen.complete), (&b"body"[..], 4, true));
}

#[tokio::test]
async fn the_host_is_the_address_unless_another_is_given() {
    let api = Upstream::new().on("*", reply(200)).start().await;
    let client = Client::to(api.address());
    client.get("/").send().await;
    assert_eq!(api.last().headers.all("host"), [api.to_string()]);
    client.get("/").host("api.example.com").send().await;
    assert_eq!(api.last().headers.all("host"), ["api.example.com"]);
}

#[tokio::test]
async fn a_kept_connection_carries_several_requests_also_after_a_head() {
    let api = Upstream::new().on("*", reply(200).body("abc")).start().await;
    let mut connection = Client::to(api.address()).connect().await;
    let head = connection.send(Request::new("HEAD", "/1")).await;
    assert_eq!((head.header("content-length"), head.body.len()), (Some("3"), 0));
    assert_eq!(connection.send(Request::new("GET", "/2")).await.text(), "abc");
    assert_eq!(api.requests().iter().map(|seen| seen.connection).collect::<Vec<_>>(), [1, 1]);
    drop(connection);
    assert_eq!(api.wait_closed(1).await, Closed::ByPeer);
    assert_eq!(api.connections(), 1);
}

#[tokio::test]
async fn chunks_pass_one_by_one_while_a_gate_holds_the_next() {
    let gate = Gate::new();
    let api = Upstream::new().on("/events", reply(200).chunk("one").wait(&gate).chunk("two").trailer("x-sum", "2"));
    let api = api.start().await;
    let mut connection = Client::to(api.address()).connect().await;
    connection.send_head(Request::new("GET", "/events")).await;
    assert_eq!(connection.read_head().await.status, 200);
    assert_eq!(connection.read_some().await.as_deref(), Some(&b"one"[..]));
    gate.reached().await;
    gate.open();
    assert_eq!(connection.read_some().await.as_deref(), Some(&b"two"[..]));
    assert_eq!(connection.read_some().await, None);

    let whole = connection.send(Request::new("GET", "/events")).await;
    assert_eq!((whole.text(), whole.trailers.get("x-sum")), ("onetwo", Some("2")));
}

#[tokio::test]
async fn a_client_that_goes_while_the_script_waits_is_noticed() {
    let gate = Gate::new();
    let api = Upstream::new().on("/held", reply(200).hold(&gate)).on("/mute", silence()).start().await;
    let client = Client::to(api.address());
    for (number, target) in [(1, "/held"), (2, "/mute")] {
        let mut connection = client.connect().await;
        connection.send_head(Request::new("GET", target)).await;
        api.wait_for_requests(number).await;
        drop(connection);
        assert_eq!(api.wait_closed(number).await, Closed::ByPeer);
    }
    let mut connection = client.connect().await;
    connection.send_head(Request::new("GET", "/mute")).await;
    api.wait_for_requests(3).await;
    connection.reset();
    assert_eq!(api.wait_closed(3).await, Closed::ByReset);
}

#[tokio::test]
async fn a_body_that_ends_with_the_connection_is_whole() {
    let api = Upstream::new().on("*", reply(200).body("all of it").until_close()).start().await;
    let response = Client::to(api.address()).get("/").send().await;
    assert_eq!((response.text(), response.truncated()), ("all of it", false));
    assert_eq!(response.header("content-length"), None);
}

#[tokio::test]
async fn a_cut_body_is_told_from_a_whole_one() {
    let api = Upstream::new()
        .on("/length", reply(200).content_length(100).body("short").then_close())
        .on("/chunks", reply(200).chunk("short").then_close())
        .on("/reset", reply(200).content_length(100).then_reset())
        .start()
        .await;
    let client = Client::to(api.address());
    for target in ["/length", "/chunks"] {
        let response = client.get(target).send().await;
        assert_eq!((response.text(), response.broken), ("short", Some(ErrorKind::UnexpectedEof)), "{target}");
    }
    // A reset may overtake the head.
    match client.get("/reset").try_send().await {
        Ok(response) => assert_eq!(response.broken, Some(ErrorKind::ConnectionReset)),
        Err(error) => assert_eq!(error.kind(), ErrorKind::ConnectionReset),
    }
}

#[tokio::test]
async fn a_length_that_is_too_small_leaves_bytes_behind() {
    let api = Upstream::new().on("*", reply(200).content_length(2).body("hi, there").then_close()).start().await;
    assert_eq!(Client::to(api.address()).get("/").send().await.text(), "hi");
    let all = Client::to(api.address()).raw("GET / HTTP/1.1\r\n\r\n").await;
    assert!(all.ends_with(b"\r\n\r\nhi, there"));
}

#[tokio::test]
async fn raw_bytes_garbage_and_half_heads_come_as_they_are() {
    let api = Upstream::new()
        .on("/raw", raw_then_close("HTTP/1.1 299 Odd  Reason\r\nA:b\r\nContent-Length: 0\r\n\r\n"))
        .on("/garbage", garbage())
        .on("/half", raw_then_close("HTTP/1.1 200 OK\r\nContent-"))
        .on("/hang-up", raw_then_close(""))
        .on("/reset", raw_then_reset(""))
        .start()
        .await;
    let client = Client::to(api.address());
    let response = client.get("/raw").send().await;
    assert_eq!((response.status, response.reason.as_str(), response.header("a")), (299, "Odd  Reason", Some("b")));
    for (target, kind) in [
        ("/garbage", ErrorKind::InvalidData),
        ("/half", ErrorKind::UnexpectedEof),
        ("/hang-up", ErrorKind::UnexpectedEof),
        ("/reset", ErrorKind::ConnectionReset),
    ] {
        assert_eq!(client.get(target).try_send().await.map(|r| r.status).map_err(|e| e.kind()), Err(kind), "{target}");
    }
}

#[tokio::test]
async fn half_a_head_and_then_silence_can_be_seen_and_left() {
    let api = Upstream::new().on("*", raw("HTTP/1.1 200 OK\r\nConte").then_silence()).start().await;
    let mut connection = Client::to(api.address()).connect().await;
    connection.send_head(Request::new("GET", "/")).await;
    api.wait_for_requests(1).await;
    connection.half_close().await;
    assert_eq!(connection.read_to_close().await, b"HTTP/1.1 200 OK\r\nConte");
    assert_eq!(api.wait_closed(1).await, Closed::ByPeer);
}

#[tokio::test]
async fn interim_responses_stand_before_the_final_one() {
    let early = reply(200).interim(103, &[("link", "</a.css>")]).interim(102, &[]).body("ok");
    let api = Upstream::new().on("*", early).start().await;
    let response = Client::to(api.address()).get("/").send().await;
    assert_eq!((response.status, response.text()), (200, "ok"));
    assert_eq!(response.interim.iter().map(|interim| interim.status).collect::<Vec<_>>(), [103, 102]);
    assert_eq!(response.interim[0].header("link"), Some("</a.css>"));
}

#[tokio::test]
async fn a_client_that_expects_it_is_told_to_continue() {
    let api = Upstream::new().on("*", reply(200)).start().await;
    let mut connection = Client::to(api.address()).connect().await;
    let request = Request::new("POST", "/").header("expect", "100-continue").header("content-length", "4");
    connection.send_head(request).await;
    assert_eq!(connection.read_interim().await.status, 100);
    connection.write("body").await;
    assert_eq!(connection.read_head().await.status, 200);
    assert_eq!(api.last().body, b"body");
}

#[tokio::test]
async fn a_chunked_request_is_seen_without_its_chunks() {
    let api = Upstream::new().on("*", reply(200)).start().await;
    let mut connection = Client::to(api.address()).connect().await;
    connection.send_head(Request::new("POST", "/").header("transfer-encoding", "chunked")).await;
    connection.send_chunk("abc").await;
    api.wait_for_requests(1).await;
    assert!(!api.last().complete);
    connection.send_chunk("def").await;
    connection.end_chunks().await;
    api.wait_for_body(0).await;
    assert_eq!(connection.read_response().await.status, 200);
    assert_eq!((api.last().body.as_slice(), api.last().complete), (&b"abcdef"[..], true));

    connection.send(Request::new("POST", "/").chunks(["x", "y"])).await;
    assert_eq!(api.last().body, b"xy");
}

#[tokio::test]
async fn an_echo_tells_the_request_and_a_mirror_sends_its_body_back_as_it_comes() {
    let api = Upstream::new().on("/echo", echo()).on("/mirror", mirror()).start().await;
    let client = Client::to(api.address());
    let response = client.post("/echo").host("h").header("X-A", "b").body("12345").send().await;
    assert_eq!(response.text(), "POST /echo HTTP/1.1\nhost: h\nX-A: b\nContent-Length: 5\n\n5 bytes");

    let mut connection = client.connect().await;
    connection.send_head(Request::new("POST", "/mirror").header("transfer-encoding", "chunked")).await;
    assert_eq!(connection.read_head().await.status, 200);
    for piece in ["ping", "pong"] {
        connection.send_chunk(piece).await;
        assert_eq!(connection.read_exactly(4).await, piece.as_bytes());
    }
    connection.end_chunks().await;
    assert_eq!(connection.read_some().await, None);
}

#[tokio::test]
async fn a_body_that_nobody_reads_stalls_its_sender() {
    let api = Upstream::new().on("*", reply(413).never_reading()).start().await;
    let mut connection = Client::to(api.address()).connect().await;
    let response = connection.send(Request::new("POST", "/").body(vec![0; 64 << 20])).await;
    assert_eq!(response.status, 413);
    assert_eq!(api.last().body_length, 0);
    connection.reset();
    assert!(matches!(api.wait_closed(1).await, Closed::ByPeer | Closed::ByReset));
}

#[tokio::test]
async fn so_many_bytes_are_read_before_a_reset() {
    let api = Upstream::new().on("*", raw("").reading(1000).then_reset()).start().await;
    let sent = Client::to(api.address()).post("/").body(vec![0; 8 << 20]).try_send().await;
    assert!(sent.is_err());
    assert_eq!(api.wait_closed(1).await, Closed::Here);
    assert_eq!((api.last().body_length, api.last().complete), (1000, false));
}

#[tokio::test]
async fn long_bodies_are_made_and_read_without_being_kept() {
    let length = 64 << 20;
    let api = Upstream::new().on("*", reply(200).filler(length)).start().await;
    let mut connection = Client::to(api.address()).connect().await;
    connection.send_head(Request::new("GET", "/")).await;
    connection.read_head().await;
    assert_eq!(connection.discard_body().await, (length, true));
}

#[tokio::test]
async fn after_a_101_bytes_pass_as_they_are() {
    let api = Upstream::new().on("/chat", upgrade("websocket")).start().await;
    let mut connection = Client::to(api.address()).connect().await;
    let request = Request::new("GET", "/chat").header("connection", "upgrade").header("upgrade", "websocket");
    let response = connection.send(request).await;
    assert_eq!((response.status, response.header("upgrade")), (101, Some("websocket")));
    connection.write(b"\x00\xff\r\n\r\n").await;
    assert_eq!(connection.read_exactly(6).await, b"\x00\xff\r\n\r\n");
    connection.half_close().await;
    assert_eq!(connection.read_to_close().await, b"");
}

#[tokio::test]
async fn a_reserved_port_refuses_until_an_upstream_takes_it() {
    let port = Port::refusing();
    let client = Client::to(port.address());
    for _ in 0..3 {
        assert_eq!(client.get("/").try_send().await.err().map(|e| e.kind()), Some(ErrorKind::ConnectionRefused));
    }
    let _api = Upstream::new().on("*", reply(200)).start_on(port);
    assert_eq!(client.get("/").send().await.status, 200);
}

#[tokio::test]
async fn the_first_connections_can_be_hung_up_on() {
    let api = Upstream::new().hang_up(2).on("*", reply(200)).start().await;
    let client = Client::to(api.address());
    for _ in 0..2 {
        assert!(client.get("/").try_send().await.is_err());
    }
    assert_eq!(client.get("/").send().await.status, 200);
    assert_eq!((api.connections(), api.requests().len()), (3, 1));
}

#[tokio::test]
async fn idle_connections_can_be_closed_by_the_upstream() {
    let api = Upstream::new().on("*", reply(200)).start().await;
    let client = Client::to(api.address());
    let mut connection = client.connect().await;
    connection.send(Request::new("GET", "/")).await;
    api.close_connections().await;
    assert_eq!(connection.read_to_close().await, b"");
    assert_eq!(client.get("/").send().await.status, 200);
}

#[tokio::test]
async fn unix_sockets_work_like_ports() {
    let api = Upstream::new().on("*", reply(200).body("hi")).start_unix();
    assert!(api.to_string().starts_with("unix:/"), "{api}");
    assert_eq!(Client::to(api.address()).get("/").send().await.text(), "hi");
    assert_eq!(api.last().header("host"), Some("localhost"));
}

#[tokio::test]
async fn what_is_no_request_is_kept_for_the_test_to_see() {
    let api = Upstream::new().start().await;
    assert_eq!(Client::to(api.address()).raw("no http\r\n\r\n").await, b"");
    assert_eq!((api.malformed().len(), api.requests().len()), (1, 0));
}

#[tokio::test]
async fn dropping_an_upstream_ends_its_connections_and_frees_its_port() {
    let api = Upstream::new().on("*", reply(200)).start().await;
    let client = Client::to(api.address());
    let mut connection = client.connect().await;
    connection.send(Request::new("GET", "/")).await;
    drop(api);
    assert_eq!(connection.read_to_close().await, b"");
    assert_eq!(client.get("/").try_send().await.err().map(|e| e.kind()), Some(ErrorKind::ConnectionRefused));
}

#[tokio::test]
async fn a_wire_can_be_cut_reset_and_restored() {
    let api = Upstream::new().on("*", reply(200).body("through")).start().await;
    let wire = Wire::to(api.address()).await;
    let client = Client::to(wire.address());
    let mut connection = client.connect().await;
    assert_eq!(connection.send(Request::new("GET", "/")).await.text(), "through");
    wire.cut().await;
    assert_eq!(connection.read_to_close().await, b"");
    assert_eq!(api.wait_closed(1).await, Closed::ByPeer);
    assert!(client.get("/").try_send().await.is_err());
    wire.restore();

    let mut connection = client.connect().await;
    assert_eq!(connection.send(Request::new("GET", "/")).await.text(), "through");
    wire.reset().await;
    assert_eq!(api.wait_closed(2).await, Closed::ByReset);
    wire.restore();
    assert_eq!(client.get("/").send().await.text(), "through");
}

#[tokio::test]
async fn a_stalled_wire_holds_bytes_and_loses_none() {
    let api = Upstream::new().on("*", reply(200).body("through")).start().await;
    let wire = Wire::to(api.address()).await;
    wire.stall(Direction::ToClient);
    let mut connection = Client::to(wire.address()).connect().await;
    connection.send_head(Request::new("GET", "/")).await;
    api.wait_for_requests(1).await;
    assert_eq!(wire.passed(Direction::ToClient), 0);
    wire.restore();
    assert_eq!(connection.read_response().await.text(), "through");
    wire.wait_passed(Direction::ToClient, 40).await;
}

#[tokio::test]
#[should_panic(expected = "waited 0ns for what never comes")]
async fn what_does_not_come_fails_the_test_by_name() {
    within_time(Duration::ZERO, "what never comes", std::future::pending::<()>()).await;
}
