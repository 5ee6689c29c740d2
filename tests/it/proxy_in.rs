//! The PROXY protocol from load balancers: who is believed, and what becomes of everybody else.

use crate::support::*;

const V1: &[u8] = b"PROXY TCP4 192.0.2.7 198.51.100.1 4711 443\r\n";
const V1_IPV6: &[u8] = b"PROXY TCP6 2001:db8::7 2001:db8::1 4711 443\r\n";
const V1_UNKNOWN: &[u8] = b"PROXY UNKNOWN\r\n";
const V2: &[u8] = b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c\xc0\0\x02\x07\xc6\x33\x64\x01\x12\x67\x01\xbb";
const V2_LOCAL: &[u8] = b"\r\n\r\n\0\r\nQUIT\n\x20\0\0\0";

async fn api() -> Server {
    Upstream::new().on("*", reply(200).body("good")).start().await
}

/// A door with this listener, in front of an upstream, with these filters.
async fn door(listener: &str, api: &Server, filters: &str) -> Gateway {
    Gateway::start(&format!(
        "listeners: {{web: {{address: \"127.0.0.1:0\", {listener}}}}}\n\
         routes: {{all: {{path: /, to: \"http://{api}\", filters: {{{filters}}}}}}}"
    ))
    .await
}

async fn connect(door: &Gateway, header: &[u8]) -> Connection {
    let mut connection = door.client().connect().await;
    connection.write(header).await;
    connection
}

const FROM_HERE: &str = "proxy_protocol: [127.0.0.0/8]";

#[tokio::test]
async fn what_no_connection_can_come_from_is_refused_in_the_list() {
    for (address, list, words) in [
        ("127.0.0.1:0", "[10.0.0.0/8, unix]", "proxy_protocol[1]: nobody comes to this address through a Unix socket"),
        ("unix:/tmp/nobody.sock", "[10.0.0.0/8]", "proxy_protocol[0]: nobody comes to a Unix socket from a network"),
    ] {
        let yaml = format!(
            "listeners: {{web: {{address: \"{address}\", proxy_protocol: {list}}}}}\n\
             routes: {{all: {{path: /, respond: {{body: good}}}}}}"
        );
        let told = Gateway::refused(&yaml).await.join("\n");
        assert!(told.contains(words), "{told}");
    }
}

#[tokio::test]
async fn a_load_balancer_says_who_the_client_is() {
    let api = api().await;
    let door = door(FROM_HERE, &api, "").await;
    for (line, header, client) in [
        (1, V1, "192.0.2.7"),
        (2, V1_IPV6, "2001:db8::7"),
        (3, V2, "192.0.2.7"),
        (4, V1_UNKNOWN, "127.0.0.1"),
        (5, V2_LOCAL, "127.0.0.1"),
    ] {
        let mut connection = connect(&door, header).await;
        assert_eq!(connection.send(door.get("/")).await.text(), "good");
        assert_eq!(api.last().header("x-forwarded-for"), Some(client));
        assert_eq!(door.log(line).await[line - 1]["client"], client);
    }
    assert_eq!(door.turned_away(), []);
}

#[tokio::test]
async fn header_and_request_may_come_in_one_packet_and_in_many() {
    let api = api().await;
    let door = door(FROM_HERE, &api, "").await;
    let request = b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";
    for header in [V1, V2] {
        let answer = door.client().raw([header, request].concat()).await;
        assert!(answer.starts_with(b"HTTP/1.1 200"), "{}", String::from_utf8_lossy(&answer));
        let mut connection = door.client().connect().await;
        for byte in [header, request].concat() {
            connection.write([byte]).await;
        }
        assert!(connection.read_to_close().await.starts_with(b"HTTP/1.1 200"));
        assert_eq!(api.last().header("x-forwarded-for"), Some("192.0.2.7"));
    }
}

#[tokio::test]
async fn filters_see_the_client_and_not_the_load_balancer() {
    let api = api().await;
    let door =
        door(FROM_HERE, &api, "ip: {deny: [192.0.2.0/24]}, rate_limit: {per: client_ip, rate: 1/h, burst: 1}").await;
    let status = async |header: &[u8]| connect(&door, header).await.send(door.get("/")).await.status;
    assert_eq!(status(V1).await, 403);
    assert_eq!(status(V1_IPV6).await, 200);
    assert_eq!(status(V1_IPV6).await, 429, "the second of this client");
    assert_eq!(status(b"PROXY TCP6 2001:db8:1::7 2001:db8::1 4711 443\r\n").await, 200, "the first of another");
}

#[tokio::test]
async fn a_client_that_is_a_trusted_proxy_itself_is_believed() {
    let api = api().await;
    let listener = format!("{FROM_HERE}, trusted_proxies: [192.0.2.0/24]");
    let door = door(&listener, &api, "").await;
    for (line, header, client, chain) in
        [(1, V1, "203.0.113.9", "203.0.113.9, 192.0.2.7"), (2, V1_IPV6, "2001:db8::7", "2001:db8::7")]
    {
        let mut connection = connect(&door, header).await;
        connection.send(door.get("/").header("x-forwarded-for", "203.0.113.9")).await;
        assert_eq!(api.last().header("x-forwarded-for"), Some(chain));
        assert_eq!(door.log(line).await[line - 1]["client"], client);
    }
}

#[tokio::test]
async fn from_a_network_that_must_send_a_header_nothing_else_is_served() {
    let api = api().await;
    let door = door(FROM_HERE, &api, "").await;
    for other in [&b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"[..], b"\x16\x03\x01\x02\0\x01\0\x01\xfc\x03\x03"] {
        assert_eq!(door.client().raw(other).await, b"");
    }
    for bad in [&b"PROXY TCP4 192.0.2.7 198.51.100.1 4711\r\n"[..], b"PROXY TCP4 1.1.1.1 2.2.2.2 3 70000\r\n"] {
        assert_eq!(door.client().raw(bad).await, b"");
    }
    let mut cut = connect(&door, &V2[..20]).await;
    cut.half_close().await;
    assert_eq!(cut.read_to_close().await, b"");
    assert_eq!(door.turned_away(), [("proxy_header_missing", 2), ("proxy_header_malformed", 3)]);
    assert_eq!(api.connections(), 0);
}

#[tokio::test]
async fn who_only_looks_whether_the_door_is_there_is_not_turned_away() {
    let api = api().await;
    let door = door(FROM_HERE, &api, "").await;
    let mut connection = door.client().connect().await;
    connection.half_close().await;
    assert_eq!(connection.read_to_close().await, b"");
    assert_eq!(door.turned_away(), []);
}

#[tokio::test]
async fn a_header_from_elsewhere_is_refused() {
    let api = api().await;
    let door = door("proxy_protocol: [10.0.0.0/8]", &api, "").await;
    let request = b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";
    for header in [V1, V1_UNKNOWN, V2, V2_LOCAL] {
        let answer = door.client().raw([header, request].concat()).await;
        assert!(answer.starts_with(b"HTTP/1.1 400"), "{}", String::from_utf8_lossy(&answer));
        // Nothing behind it is taken for a request of its own.
        assert!(!String::from_utf8_lossy(&answer).contains("good"));
    }
    assert_eq!(api.connections(), 0);
    assert_eq!(door.get("/").send().await.status, 200, "who sends none is served");
}

#[tokio::test]
async fn a_header_that_does_not_come_in_time_ends_the_connection() {
    let api = api().await;
    let door = door(&format!("{FROM_HERE}, limits: {{handshake_timeout: 50ms}}"), &api, "").await;
    for begun in [&b""[..], &V1[..10], &V2[..14]] {
        let mut connection = connect(&door, begun).await;
        assert_eq!(connection.read_to_close().await, b"");
    }
    assert_eq!(door.turned_away(), [("proxy_header_timeout", 3)]);
    assert_eq!(door.server().connections(), 0);
}

#[tokio::test]
async fn a_load_balancer_on_a_unix_socket_says_who_the_client_is() {
    let api = api().await;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("door.sock");
    let door = Gateway::start(&format!(
        "listeners: {{web: {{address: \"unix:{}\", proxy_protocol: [unix]}}}}\nroutes: {{all: {{path: /, to: \"http://{api}\"}}}}",
        path.display()
    ))
    .await;
    let mut named = connect(&door, V2).await;
    assert_eq!(named.send(door.get("/")).await.status, 200);
    assert_eq!(api.last().header("x-forwarded-for"), Some("192.0.2.7"));
    let mut itself = connect(&door, V2_LOCAL).await;
    assert_eq!(itself.send(door.get("/")).await.status, 200);
    assert_eq!(api.last().header("x-forwarded-for"), None);
    assert_eq!(door.client().raw("GET / HTTP/1.1\r\nHost: a\r\n\r\n").await, b"");
}

#[tokio::test]
async fn a_door_that_leaves_does_not_wait_for_a_header() {
    let api = api().await;
    let door = door(FROM_HERE, &api, "").await;
    let mut connection = connect(&door, &V1[..10]).await;
    until("it is counted", || door.server().connections() == 1).await;
    let (cut, answer) = tokio::join!(door.drain(), connection.read_to_close());
    assert_eq!((cut, answer.as_slice()), (0, &b""[..]));
}

#[tokio::test]
async fn a_connection_keeps_its_settings_over_a_reload_and_the_next_has_the_new_ones() {
    let api = api().await;
    let yaml = |listener: &str| {
        format!(
            "listeners: {{web: {{address: \"127.0.0.1:0\"{listener}}}}}\nroutes: {{all: {{path: /, to: \"http://{api}\"}}}}"
        )
    };
    let mut door = Gateway::start(&yaml("")).await;
    let mut before = door.client().connect().await;
    assert_eq!(before.send(door.get("/")).await.status, 200);
    door.reload(&yaml(&format!(", {FROM_HERE}"))).await.unwrap();
    assert_eq!(before.send(door.get("/")).await.status, 200);
    assert_eq!(door.client().raw("GET / HTTP/1.1\r\nHost: a\r\n\r\n").await, b"");
    let mut after = connect(&door, V1).await;
    assert_eq!(after.send(door.get("/")).await.status, 200);
    assert_eq!(api.last().header("x-forwarded-for"), Some("192.0.2.7"));
}
