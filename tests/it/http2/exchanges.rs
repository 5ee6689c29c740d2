//! Requests and responses as they pass.

use bytes::Bytes;
use http::{Method, Request, StatusCode};

use super::{door, door_with};
use crate::support::http2::{Answer, Http2, request, send_all};
use crate::support::*;

#[tokio::test]
async fn a_request_by_http2_goes_on_by_http1_with_its_authority_as_host() {
    let api = Upstream::new().on("/a", reply(200).header("x-made-by", "api").body("seven")).start().await;
    let door = door(api.address()).await;
    let mut client = Http2::connect(door.client().address()).await;
    let answer = client.get("/a?b=c").await;
    assert_eq!((answer.status, answer.text(), answer.header("x-made-by")), (StatusCode::OK, "seven", Some("api")));
    let seen = api.last();
    assert_eq!((seen.method.as_str(), seen.target.as_str()), ("GET", "/a?b=c"));
    assert_eq!(seen.headers.all("host"), ["door.test"]);
    assert_eq!(seen.header("x-forwarded-proto"), Some("http"));
    let line = &door.log(1).await[0];
    assert_eq!((line["protocol"].as_str(), line["status"].as_u64()), (Some("HTTP/2.0"), Some(200)));
    assert_eq!((line["host"].as_str(), line["bytes_sent"].as_u64()), (Some("door.test"), Some(5)), "{line}");
}

#[tokio::test]
async fn a_listener_that_speaks_http2_speaks_http1_as_before() {
    let api = Upstream::new().on("*", reply(200).body("hi")).start().await;
    let door = door(api.address()).await;
    assert_eq!(door.get("/").send().await.text(), "hi");
}

#[tokio::test]
async fn bodies_pass_both_ways_through_windows_that_are_smaller() {
    let api = Upstream::new().on("/mirror", mirror()).start().await;
    let door = door(api.address()).await;
    let mut client = Http2::connect(door.client().address()).await;
    let body: Bytes = (0..1_u32 << 20).map(|n| n.to_le_bytes()[n as usize % 4]).collect();
    let (response, mut sender) = client.begin(request(Method::POST, "/mirror"), false).await.unwrap();
    let upload = tokio::spawn({
        let body = body.clone();
        async move { send_all(&mut sender, body, true).await }
    });
    let answer = within("the answer", async { Answer::read(response.await?).await }).await.unwrap();
    assert_eq!(answer.body.len(), body.len());
    assert!(answer.body == body);
    assert!(upload.await.unwrap().is_ok());
    assert_eq!(api.last().header("transfer-encoding"), Some("chunked"));
}

#[tokio::test]
async fn a_length_that_is_told_goes_on_and_a_request_without_a_body_has_none() {
    let api = Upstream::new().on("*", reply(200)).start().await;
    let door = door(api.address()).await;
    let mut client = Http2::connect(door.client().address()).await;
    let mut put = request(Method::PUT, "/");
    put.headers_mut().insert("content-length", "4".parse().unwrap());
    client.send(put, "body").await;
    assert_eq!((api.last().header("content-length"), api.last().body.as_slice()), (Some("4"), &b"body"[..]));
    client.get("/").await;
    assert_eq!((api.last().header("content-length"), api.last().header("transfer-encoding")), (None, None));
}

#[tokio::test]
async fn many_requests_share_a_connection_and_none_waits_for_another() {
    let gate = Gate::new();
    let api = Upstream::new().on("/held", reply(200).hold(&gate).body("late")).on("/*", reply(200).body("soon"));
    let api = api.start().await;
    let door = door(api.address()).await;
    let mut client = Http2::connect(door.client().address()).await;
    let (held, _) = client.begin(request(Method::GET, "/held"), true).await.unwrap();
    api.wait_for_requests(1).await;
    for _ in 0..20 {
        assert_eq!(client.get("/x").await.text(), "soon");
    }
    gate.open();
    let answer = within("the answer", async { Answer::read(held.await?).await }).await.unwrap();
    assert_eq!(answer.text(), "late");
    assert_eq!(door.log(21).await.len(), 21);
}

#[tokio::test]
async fn crumbs_of_cookies_arrive_as_one() {
    let api = Upstream::new().on("*", reply(200)).start().await;
    let door = door(api.address()).await;
    let crumbs = Request::get("http://door.test/").header("cookie", "a=1").header("cookie", "b=2").body(()).unwrap();
    Http2::connect(door.client().address()).await.send(crumbs, "").await;
    assert_eq!(api.last().headers.all("cookie"), ["a=1; b=2"]);
}

#[tokio::test]
async fn routes_know_hosts_by_the_authority() {
    let door = Gateway::start(
        "listeners: {web: {address: \"127.0.0.1:0\", http2: true}}\nroutes: {a: {path: /, hosts: [a.test], respond: {body: a}}, b: {path: /, hosts: [\"*.b.test\"], respond: {body: b}}}",
    )
    .await;
    let mut client = Http2::connect(door.client().address()).await;
    for (host, status, body) in [("a.test", 200, "a"), ("x.b.test:8080", 200, "b"), ("c.test", 404, "")] {
        let answer = client.send(Request::get(format!("http://{host}/")).body(()).unwrap(), "").await;
        assert_eq!(answer.status.as_u16(), status, "{host}");
        assert!(status == 404 || answer.text() == body, "{host}");
    }
}

#[tokio::test]
async fn an_authority_and_a_host_that_differ_are_refused() {
    let api = Upstream::new().on("*", reply(200)).start().await;
    let door = door(api.address()).await;
    let mut client = Http2::connect(door.client().address()).await;
    let asked = |host: &str| Request::get("http://door.test/").header("host", host).body(()).unwrap();
    assert_eq!(client.send(asked("door.test"), "").await.status, StatusCode::OK);
    let answer = client.send(asked("other.test"), "").await;
    assert_eq!(answer.status, StatusCode::BAD_REQUEST);
    assert_eq!(answer.header("content-type"), Some("application/problem+json"));
    assert!(answer.header("x-request-id").is_some());
    let line = &door.log(2).await[1];
    assert_eq!((line["cause"].as_str(), line["path"].as_str()), (Some("bad_head"), Some("/")), "{line}");
    assert_eq!(api.requests().len(), 1);
}

#[tokio::test]
async fn tunnels_are_refused_with_a_page() {
    let api = Upstream::new().on("*", reply(200)).start().await;
    let door = door(api.address()).await;
    let mut client = Http2::connect(door.client().address()).await;
    let answer = client.send(Request::connect("other.test:443").body(()).unwrap(), "").await;
    assert_eq!(answer.status.as_u16(), 501);
    let line = &door.log(1).await[0];
    assert_eq!((line["cause"].as_str(), line["method"].as_str()), (Some("bad_head"), Some("CONNECT")), "{line}");
}

#[tokio::test]
async fn heads_that_are_too_large_are_refused_by_the_limits_of_the_listener() {
    let api = Upstream::new().on("*", reply(200)).start().await;
    let door = door_with(api.address(), ", limits: {headers: 20, header_size: 4KiB}", "").await;
    let mut client = Http2::connect(door.client().address()).await;
    let mut many = request(Method::GET, "/");
    for n in 0..21 {
        many.headers_mut().append("x-n", n.into());
    }
    assert_eq!(client.send(many, "").await.status.as_u16(), 431);
    let mut big = request(Method::GET, "/");
    big.headers_mut().insert("x-big", "b".repeat(5000).parse().unwrap());
    assert_eq!(client.send(big, "").await.status.as_u16(), 431);
    assert_eq!(door.cause(2).await, ("bad_head".into(), 431));
    // Beyond what the door has said that it takes, h2 answers by itself.
    let mut huge = request(Method::GET, "/");
    huge.headers_mut().insert("x-huge", "b".repeat(60_000).parse().unwrap());
    assert_eq!(client.send(huge, "").await.status.as_u16(), 431);
    assert_eq!(client.get("/").await.status.as_u16(), 200);
}

#[tokio::test]
async fn answers_of_the_door_and_those_without_a_body_end_with_their_head() {
    let api = Upstream::new().on("/204", reply(204)).on("HEAD *", reply(200).header("content-length", "7"));
    let api = api.on("/304", reply(304)).start().await;
    let door = door(api.address()).await;
    let mut client = Http2::connect(door.client().address()).await;
    for (method, target, status) in [("GET", "/204", 204), ("HEAD", "/h", 200), ("GET", "/304", 304)] {
        let asked = request(method.parse().unwrap(), target);
        let (response, _) = client.begin(asked, true).await.unwrap();
        let response = within("a response", response).await.unwrap();
        assert_eq!(response.status().as_u16(), status, "{method} {target}");
        assert!(response.body().is_end_stream(), "{method} {target}");
    }
}

#[tokio::test]
async fn interim_responses_reach_the_client() {
    let early = reply(200).interim(103, &[("link", "</a.css>")]).body("ok");
    let api = Upstream::new().on("*", early).start().await;
    let door = door(api.address()).await;
    let mut client = Http2::connect(door.client().address()).await;
    let (mut response, _) = client.begin(request(Method::GET, "/"), true).await.unwrap();
    let interim = within("the 103", std::future::poll_fn(|cx| response.poll_informational(cx))).await;
    let interim = interim.expect("one").unwrap();
    assert_eq!((interim.status().as_u16(), &interim.headers()["link"]), (103, &"</a.css>".parse().unwrap()));
    assert_eq!(within("the response", response).await.unwrap().status().as_u16(), 200);
}
