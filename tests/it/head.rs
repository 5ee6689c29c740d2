//! What the door does to heads: refuses doubtful ones, strips what concerns one connection, tells who is asking.

use crate::support::*;

async fn door_with(listener: &str, upstream: &str) -> (Gateway, Server) {
    let api = Upstream::new().on("*", echo()).start().await;
    let yaml = format!(
        "listeners: {{web: {{address: \"127.0.0.1:0\"{listener}}}}}\nupstreams: {{api: {{endpoints: [\"{}\"]{upstream}}}}}\nroutes: {{all: {{path: /, to: api}}}}",
        api.address()
    );
    (Gateway::start(&yaml).await, api)
}

async fn door() -> (Gateway, Server) {
    door_with("", "").await
}

/// Sends a request byte for byte; the status that comes back.
async fn status_of(door: &Gateway, request: &str) -> u16 {
    let mut connection = door.client().connect().await;
    connection.write(request.replace('\n', "\r\n")).await;
    connection.read_head().await.status
}

#[tokio::test]
async fn a_head_that_two_parsers_could_read_in_two_ways_is_refused_and_never_goes_on() {
    let (door, api) = door().await;
    let refused = [
        ("GET / HTTP/1.1\n\n", 400),
        ("GET / HTTP/1.1\nHost:\n\n", 400),
        ("GET / HTTP/1.1\nHost: a\nHost: b\n\n", 400),
        ("GET / HTTP/1.1\nHost: a, b\n\n", 400),
        ("GET / HTTP/1.1\nHost: a@b\n\n", 400),
        ("GET http://b/ HTTP/1.1\nHost: a\n\n", 400),
        ("POST / HTTP/1.1\nHost: a\nContent-Length: 3\nTransfer-Encoding: chunked\n\n0\n\n", 400),
        ("POST / HTTP/1.1\nHost: a\nContent-Length: 2, 2\n\nab", 400),
        ("POST / HTTP/1.1\nHost: a\nContent-Length: 2\nContent-Length: 2\n\nab", 400),
        ("POST / HTTP/1.1\nHost: a\nContent-Length: +2\n\nab", 400),
        ("POST / HTTP/1.1\nHost: a\nTransfer-Encoding: gzip, chunked\n\n0\n\n", 400),
        ("POST / HTTP/1.1\nHost: a\nTransfer-Encoding: xchunked\n\n0\n\n", 400),
        ("POST / HTTP/1.1\nHost: a\nTransfer_Encoding: chunked\n\n", 400),
        ("POST / HTTP/1.0\nHost: a\nTransfer-Encoding: chunked\n\n0\n\n", 400),
        ("GET / HTTP/1.1\nHost: a\nConnection: host\n\n", 400),
        ("GET / HTTP/1.1\nHost: a\nConnection: authorization\n\n", 400),
        ("GET / HTTP/1.1\nHost: a\nX: a\0b\n\n", 400),
        ("GET / HTTP/1.1\nHost: a\n folded\n\n", 400),
        ("GET / HTTP/1.1\nHost : a\n\n", 400),
        ("GET /a b HTTP/1.1\nHost: a\n\n", 400),
        ("GET /\\a HTTP/1.1\nHost: a\n\n", 400),
        ("GET /../a HTTP/1.1\nHost: a\n\n", 400),
        ("GET /%zz HTTP/1.1\nHost: a\n\n", 400),
        ("GET /a%00 HTTP/1.1\nHost: a\n\n", 400),
        ("GET /a/..;/b HTTP/1.1\nHost: a\n\n", 400),
        ("GET * HTTP/1.1\nHost: a\n\n", 400),
        ("NONSENSE\n\n", 400),
        ("TRACE / HTTP/1.1\nHost: a\n\n", 501),
        ("CONNECT a:1 HTTP/1.1\nHost: a:1\n\n", 501),
        ("GET / HTTP/1.1\nHost: a\nExpect: 200-maybe\n\n", 417),
    ];
    for (request, status) in refused {
        assert_eq!(status_of(&door, request).await, status, "{request:?}");
    }
    assert_eq!(api.requests().len(), 0);
    let lines = door.log(refused.len()).await;
    for line in lines {
        assert!(line["cause"].is_string(), "{line}");
    }
}

#[tokio::test]
async fn an_oversize_head_is_told_to_be_one() {
    let (door, api) = door().await;
    assert_eq!(door.get(&format!("/{}", "x".repeat(17_000))).send().await.status, 414);
    assert_eq!(door.get("/").header("x", "y".repeat(66_000)).send().await.status, 431);
    let mut many = door.get("/");
    for index in 0..101 {
        many = many.header(format!("x-{index}"), "y");
    }
    assert_eq!(many.send().await.status, 431);
    assert_eq!(api.requests().len(), 0);
}

#[tokio::test]
async fn the_errors_of_the_doors_parser_are_pages_of_ours() {
    let (door, _api) = door().await;
    let answer = door.client().raw("GET / HTTP/1.1\r\nHost: a\r\n bad\r\n\r\n").await;
    let answer = String::from_utf8(answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 400 Bad Request\r\n"), "{answer}");
    assert!(answer.contains("application/problem+json") && answer.contains("request_id"), "{answer}");
    assert!(!answer.to_ascii_lowercase().contains("pingora"), "{answer}");
    assert_eq!(door.cause(1).await, ("malformed_head".into(), 400));
}

#[tokio::test]
async fn what_concerns_one_connection_does_not_go_on() {
    let (door, api) = door().await;
    let response = door
        .get("/")
        .header("Connection", "close, X-Hop")
        .header("X-Hop", "1")
        .header("Keep-Alive", "timeout=5")
        .header("TE", "trailers")
        .header("Proxy-Authorization", "Basic x")
        .header("Proxy-Connection", "keep-alive")
        .header("Upgrade", "h2c")
        .header("X-Stays", "1")
        .send()
        .await;
    assert_eq!(response.status, 200);
    let seen = api.last();
    for gone in ["x-hop", "keep-alive", "te", "proxy-authorization", "proxy-connection", "upgrade", "connection"] {
        assert_eq!(seen.header(gone), None, "{gone}");
    }
    assert_eq!(seen.header("x-stays"), Some("1"));
}

#[tokio::test]
async fn what_concerns_the_upstreams_connection_does_not_come_back() {
    let reply = reply(200)
        .header("Connection", "x-hop, keep-alive")
        .header("X-Hop", "1")
        .header("Keep-Alive", "timeout=5")
        .header("Proxy-Authenticate", "Basic")
        .header("Trailer", "x")
        .header("X-Stays", "1")
        .body("ok");
    let api = Upstream::new().on("*", reply).start().await;
    let door = Gateway::start(&format!("routes: {{all: {{path: /, to: \"http://{}\"}}}}", api.address())).await;
    let response = door.get("/").send().await;
    for gone in ["x-hop", "keep-alive", "proxy-authenticate", "trailer"] {
        assert_eq!(response.header(gone), None, "{gone}");
    }
    assert_eq!((response.header("x-stays"), response.text()), (Some("1"), "ok"));
}

#[tokio::test]
async fn what_a_client_says_of_itself_is_dropped() {
    let (door, api) = door().await;
    door.get("/x")
        .host("shop.test:81")
        .header("X-Forwarded-For", "203.0.113.9")
        .header("X-Forwarded-Proto", "https")
        .header("X-Forwarded-Host", "evil.test")
        .header("X-Forwarded-Port", "1")
        .header("Forwarded", "for=203.0.113.9")
        .header("X-Real-IP", "203.0.113.9")
        .header("X-Request-Id", "mine")
        .send()
        .await;
    let seen = api.last();
    assert_eq!(seen.headers.all("x-forwarded-for"), ["127.0.0.1"]);
    assert_eq!(seen.headers.all("x-forwarded-proto"), ["http"]);
    assert_eq!(seen.headers.all("x-forwarded-host"), ["shop.test:81"]);
    assert_eq!(seen.headers.all("forwarded"), ["for=127.0.0.1;host=\"shop.test:81\";proto=http"]);
    assert_eq!((seen.header("x-real-ip"), seen.header("x-forwarded-port")), (None, None));
    assert_ne!(seen.header("x-request-id"), Some("mine"));
    assert_eq!(seen.header("x-request-id").map(str::len), Some(32));
}

#[tokio::test]
async fn a_trusted_proxy_is_believed_up_to_the_first_untrusted_hop() {
    let (door, api) = door_with(", trusted_proxies: [127.0.0.0/8, 10.0.0.0/8]", "").await;
    let response = door
        .get("/")
        .header("X-Forwarded-For", "1.1.1.1, 203.0.113.9, 10.0.0.7")
        .header("X-Forwarded-Proto", "https")
        .header("X-Forwarded-Host", "shop.test")
        .header("X-Request-Id", "given-1")
        .send()
        .await;
    let seen = api.last();
    assert_eq!(seen.headers.all("x-forwarded-for"), ["1.1.1.1, 203.0.113.9, 10.0.0.7, 127.0.0.1"]);
    assert_eq!((seen.header("x-forwarded-proto"), seen.header("x-forwarded-host")), (Some("https"), Some("shop.test")));
    assert_eq!((seen.header("x-request-id"), response.header("x-request-id")), (Some("given-1"), Some("given-1")));
    assert_eq!(door.log(1).await[0]["client"], "203.0.113.9");
}

#[tokio::test]
async fn an_id_that_is_not_fit_for_logs_is_replaced() {
    let (door, api) = door_with(", trusted_proxies: [127.0.0.1]", "").await;
    door.get("/").header("X-Request-Id", "a b\"c").send().await;
    assert_eq!(api.last().header("x-request-id").map(str::len), Some(32));
}

#[tokio::test]
async fn the_host_that_goes_on_is_the_upstreams_choice() {
    for (policy, host) in [("", "shop.test"), (", host: client", "shop.test"), (", host: inner.test", "inner.test")] {
        let (door, api) = door_with("", policy).await;
        door.get("/").host("shop.test").send().await;
        assert_eq!(api.last().headers.all("host"), [host], "{policy}");
    }
    let (door, api) = door_with("", ", host: endpoint").await;
    door.get("/").host("shop.test").send().await;
    assert_eq!(api.last().header("host"), Some(api.address().to_string().as_str()));
}

#[tokio::test]
async fn an_error_page_is_json_with_the_id_or_text_for_those_who_ask() {
    let door = Gateway::start("routes: {a: {path: /a, respond: {}}}").await;
    let response = door.get("/nope").header("accept", "*/*").send().await;
    assert_eq!(response.header("content-type"), Some("application/problem+json"));
    let page: serde_json::Value = serde_json::from_str(response.text()).unwrap();
    assert_eq!((page["status"].as_u64(), page["title"].as_str()), (Some(404), Some("Not Found")));
    assert_eq!(page["request_id"].as_str(), response.header("x-request-id"));
    let response = door.get("/nope").header("accept", "application/json;q=0.5, text/plain").send().await;
    assert_eq!(response.header("content-type"), Some("text/plain; charset=utf-8"));
    assert!(response.text().starts_with("404 Not Found\n"), "{}", response.text());
    let page = door.get("/a/../../b").send().await;
    assert!(page.text().contains("above its root"), "{}", page.text());
}

#[tokio::test]
async fn a_client_of_http_1_0_gets_no_chunks() {
    let api = Upstream::new().on("*", reply(200).chunk("one").chunk("two")).start().await;
    let door = Gateway::start(&format!("routes: {{all: {{path: /, to: \"http://{}\"}}}}", api.address())).await;
    let answer = door.client().raw("GET / HTTP/1.0\r\nHost: a\r\n\r\n").await;
    let answer = String::from_utf8(answer).unwrap();
    assert!(answer.ends_with("\r\n\r\nonetwo"), "{answer}");
    assert!(!answer.to_ascii_lowercase().contains("transfer-encoding"), "{answer}");
}

#[tokio::test]
async fn requests_that_are_sent_before_the_answers_are_all_answered() {
    let (door, api) = door().await;
    let one = "GET /1 HTTP/1.1\r\nHost: a\r\n\r\n";
    let last = "GET /3 HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";
    let answer = door.client().raw(format!("{one}{}{last}", one.replace("GET /1", "GET /2"))).await;
    let answer = String::from_utf8(answer).unwrap();
    assert_eq!(answer.matches("HTTP/1.1 200 OK").count(), 3, "{answer}");
    let targets: Vec<String> = api.requests().into_iter().map(|seen| seen.target).collect();
    assert_eq!(targets, ["/1", "/2", "/3"]);
}

#[tokio::test]
async fn what_a_service_would_take_for_the_doors_own_word_is_dropped() {
    let (door, api) = door_with("", "").await;
    let names = [
        "X-Forwarded-User",
        "X-Original-URL",
        "X-Rewrite-URL",
        "True-Client-IP",
        "CF-Connecting-IP",
        "X-Cluster-Client-IP",
    ];
    let request = names.iter().fold(door.get("/"), |request, name| request.header(name, "evil"));
    request.header("x_api_kind", "kept").send().await;
    let seen = api.last();
    for name in names {
        assert_eq!(seen.header(name), None, "{name}");
    }
    assert_eq!(seen.header("x_api_kind"), Some("kept"));
}

#[tokio::test]
async fn a_header_that_a_filter_writes_has_no_double_with_an_underscore() {
    let api = Upstream::new().on("*", reply(200)).start().await;
    let door = Gateway::start(&format!(
        "routes: {{all: {{path: /, to: \"http://{}\", filters: {{headers: {{request: {{set: {{X-User: door}}, remove: [X-Role]}}}}}}}}}}",
        api.address()
    ))
    .await;
    door.get("/").header("X_User", "root").header("x-Role", "admin").header("X_Role", "admin").send().await;
    let seen = api.last();
    assert_eq!(seen.headers.all("x-user"), ["door"]);
    assert_eq!((seen.header("x_user"), seen.header("x-role"), seen.header("x_role")), (None, None, None));
}
