//! Requests by TLS.

use bytes::Bytes;
use http::Request as Asked;
use rustls::version::{TLS12, TLS13};
use tokio::io::AsyncReadExt;

use super::*;
use crate::support::secure::is_resumed;

#[tokio::test]
async fn which_http_is_spoken_is_what_alpn_agrees_on() {
    let files = Files::new();
    for (http2, offers, protocol) in [
        ("", &[][..], "HTTP/1.1"),
        ("", &["http/1.1"], "HTTP/1.1"),
        ("", &["h2", "http/1.1"], "HTTP/2.0"),
        ("", &["http/1.1", "h2"], "HTTP/2.0"),
        (", http2: false", &["h2", "http/1.1"], "HTTP/1.1"),
    ] {
        let door = files.door(http2, HI).await;
        let client = files.client().alpn(offers);
        let stream = client.try_shake(door.client().address(), "door.test").await.unwrap();
        let agreed = stream.get_ref().1.alpn_protocol().map(<[u8]>::to_vec);
        if protocol == "HTTP/2.0" {
            assert_eq!(agreed.as_deref(), Some(&b"h2"[..]));
            let mut client = http2::Http2::over(stream, &h2::client::Builder::new()).await;
            assert_eq!(client.send(asked("door.test"), "").await.text(), "hi");
        } else {
            assert_eq!(agreed.as_deref(), (!offers.is_empty()).then_some(&b"http/1.1"[..]));
            let mut client = Connection::over(Stream::Tls(Box::new(stream)), "door.test");
            assert_eq!(client.send(get("/")).await.text(), "hi");
        }
        assert_eq!(door.log(1).await[0]["protocol"], protocol, "{offers:?}{http2}");
    }
    let door = files.door(", http2: false", HI).await;
    let refused = files.client().alpn(&["h2"]).try_shake(door.client().address(), "door.test").await;
    assert!(refused.unwrap_err().to_string().contains("NoApplicationProtocol"));
    wait_for(&door, TurnedAway::TlsHandshakeFailed, 1).await;
}

fn asked(host: &str) -> Asked<()> {
    Asked::get(format!("https://{host}/")).body(()).unwrap()
}

#[tokio::test]
async fn the_oldest_version_that_is_spoken_is_what_the_file_says_and_the_log_has_both() {
    let files = Files::new();
    for (min, version, is_spoken) in
        [("", &TLS12, true), ("", &TLS13, true), ("1.3", &TLS12, false), ("1.3", &TLS13, true)]
    {
        let tls = if min.is_empty() { DOOR.to_owned() } else { format!("{DOOR}, min_version: \"{min}\"") };
        let door = Gateway::start(&files.yaml(&tls, "", HI)).await;
        let client = Secure::of(&files.ca, None, &[version]);
        match client.try_connect(door.client().address(), "door.test").await {
            Ok(mut connection) => {
                assert!(is_spoken, "{min} {version:?}");
                connection.send(get("/")).await;
                let line = &door.log(1).await[0];
                let (logged, cipher) = (line["tls"].as_str().unwrap(), line["cipher"].as_str().unwrap());
                assert_eq!(logged, if version.version == TLS12.version { "TLSv1_2" } else { "TLSv1_3" });
                assert!(
                    cipher.starts_with(if logged == "TLSv1_2" { "TLS_ECDHE_ECDSA_" } else { "TLS13_" }),
                    "{cipher}"
                );
            }
            Err(refused) => {
                assert!(!is_spoken, "{min} {version:?}");
                assert!(refused.to_string().contains("ProtocolVersion"), "{refused}");
                wait_for(&door, TurnedAway::TlsHandshakeFailed, 1).await;
            }
        }
    }
}

#[tokio::test]
async fn upstreams_and_filters_are_told_that_the_client_came_by_tls() {
    let files = Files::new();
    let api = Upstream::new().on("*", reply(200)).start().await;
    let rest = format!("{}\ndefaults: {{filters: {{security_headers: {{}}}}}}", to(&api));
    let door = files.door("", &rest).await;
    let mut client = files.client().connect(door.client().address(), "door.test").await;
    // The client's own word counts nothing.
    let response = client.send(get("/").header("x-forwarded-proto", "http")).await;
    assert!(response.header("strict-transport-security").is_some());
    let seen = api.last();
    assert_eq!(seen.headers.all("x-forwarded-proto"), ["https"]);
    assert_eq!(seen.header("forwarded"), Some("for=127.0.0.1;host=\"door.test\";proto=https"));
    files.client().http2(door.client().address(), "door.test").await.send(asked("door.test"), "").await;
    let seen = api.last();
    assert_eq!((seen.headers.all("x-forwarded-proto"), seen.header("host")), (vec!["https"], Some("door.test")));
}

#[tokio::test]
async fn bodies_and_tunnels_pass_whole() {
    let files = Files::new();
    let api = Upstream::new().on("/mirror", mirror()).on("/chat", upgrade("websocket")).start().await;
    let door = files.door("", &to(&api)).await;
    let body: Bytes = (0..1_u32 << 20).map(|n| n.to_le_bytes()[n as usize % 4]).collect();
    let mut client = files.client().connect(door.client().address(), "door.test").await;
    let response = client.send(Request::new("POST", "/mirror").body(body.clone())).await;
    assert!(response.body == body, "{} bytes", response.body.len());
    let mut client = chat(&files, &door).await;
    client.write("hello").await;
    assert_eq!(client.read_exactly(5).await, b"hello");
}

#[tokio::test]
async fn on_paper_a_request_to_a_listener_by_tls_comes_by_https() {
    let files = Files::new();
    let tests = "tests: [{get: /, expect: {headers: {x-forwarded-proto: https}}}]";
    let yaml = files.yaml(DOOR, "", &format!("routes: {{all: {{path: /, to: \"http://127.0.0.1:1\"}}}}\n{tests}"));
    assert_eq!(Gateway::refused(&yaml).await, Vec::<String>::new());
}

/// An open tunnel.
async fn chat(files: &Files, door: &Gateway) -> Connection {
    let mut client = files.client().connect(door.client().address(), "door.test").await;
    let upgrade = get("/chat").header("connection", "upgrade").header("upgrade", "websocket");
    let upgrade = upgrade.header("sec-websocket-version", "13").header("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ==");
    client.send_head(upgrade).await;
    assert_eq!(client.read_head().await.status, 101);
    client
}

#[tokio::test]
async fn a_client_that_leaves_a_tunnel_without_close_notify_just_leaves() {
    let files = Files::new();
    let api = Upstream::new().on("/chat", upgrade("websocket")).start().await;
    let door = files.door("", &to(&api)).await;
    let mut client = chat(&files, &door).await;
    client.write("hello").await;
    assert_eq!(client.read_exactly(5).await, b"hello");
    // The socket is closed, and nothing is said.
    drop(client);
    let line = &door.log(1).await[0];
    assert_eq!((line["status"].as_u64(), line["cause"].as_str()), (Some(101), None), "{line}");
}

#[tokio::test]
async fn a_body_that_is_cut_short_without_close_notify_is_no_whole_one() {
    let files = Files::new();
    let api = Upstream::new().on("*", reply(200)).start().await;
    let door = files.door("", &to(&api)).await;
    for head in [
        Request::new("POST", "/").header("content-length", "10"),
        Request::new("POST", "/").header("transfer-encoding", "chunked"),
    ] {
        let mut client = files.client().connect(door.client().address(), "door.test").await;
        client.send_head(head).await;
        client.write("3\r\nabc\r\n").await;
        api.wait_for_connections(1).await;
    }
    for line in door.log(2).await {
        assert_eq!(line["cause"], "client_gone", "{line}");
    }
    assert!(api.requests().iter().all(|request| !request.complete));
}

#[tokio::test]
async fn whoever_speaks_http_in_the_clear_is_told_so() {
    let files = Files::new();
    let door = files.door("", HI).await;
    let response = door.get("/").send().await;
    assert_eq!((response.status, response.header("connection")), (400, Some("close")));
    assert_eq!(response.text(), "This port speaks TLS only: use https instead.\n");
    wait_for(&door, TurnedAway::TlsNotSpoken, 1).await;
    // Who knows what this is: nothing is said.
    assert_eq!(door.client().raw([0_u8; 16]).await, b"");
    wait_for(&door, TurnedAway::TlsNotSpoken, 2).await;
    assert_eq!(turned_away(&door, TurnedAway::TlsHandshakeFailed), 0);
}

#[tokio::test]
async fn a_proxy_header_stands_before_the_handshake() {
    let files = Files::new();
    let api = Upstream::new().on("*", reply(200)).start().await;
    let door = files.door(", proxy_protocol: [127.0.0.1]", &to(&api)).await;
    let header = b"PROXY TCP4 192.0.2.7 192.0.2.1 4711 443\r\n";
    let client = files.client();
    let stream = client.try_shake_after(header, door.client().address(), "door.test").await.unwrap();
    let mut connection = Connection::over(Stream::Tls(Box::new(stream)), "door.test");
    connection.send(get("/")).await;
    assert_eq!(api.last().header("x-forwarded-for"), Some("192.0.2.7"));
    assert_eq!(door.log(1).await[0]["client"], "192.0.2.7");
    client.try_shake(door.client().address(), "door.test").await.unwrap_err();
    wait_for(&door, TurnedAway::ProxyHeaderMissing, 1).await;
}

#[tokio::test]
async fn a_plain_listener_can_send_its_clients_to_https() {
    let files = Files::new();
    let rest = files.filled(&format!(
        "listeners:\n  plain: {{address: \"127.0.0.1:0\", redirect: \"https:8443\"}}\n  secure: {{address: \"127.0.0.1:0\", tls: {{{DOOR}}}}}\n{HI}"
    ));
    let door = Gateway::start(&rest).await;
    let response = door.client_of("plain").get("/a?b=c").host("door.test:8080").send().await;
    assert_eq!((response.status, response.header("location")), (308, Some("https://door.test:8443/a?b=c")));
    let mut client = files.client().connect(door.client_of("secure").address(), "door.test").await;
    assert_eq!(client.send(get("/")).await.text(), "hi");
}

#[tokio::test]
async fn a_ticket_is_good_for_the_next_connection_also_after_a_reload_and_for_both_versions() {
    let files = Files::new();
    for version in [&TLS12, &TLS13] {
        let mut door = files.door("", HI).await;
        let client = Secure::of(&files.ca, None, &[version]);
        let address = door.client().address().clone();
        let visit = async || {
            let stream = client.try_shake(&address, "door.test").await.unwrap();
            let is_resumed = is_resumed(&stream);
            // Tickets of TLS 1.3 come with the answer.
            let mut connection = Connection::over(Stream::Tls(Box::new(stream)), "door.test");
            assert_eq!(connection.send(get("/")).await.status, 200);
            is_resumed
        };
        assert!(!visit().await && visit().await, "{version:?}");
        door.reload(&files.yaml(DOOR, ", http2: false", "routes: {a: {path: /, respond: {}}}")).await.unwrap();
        assert!(visit().await, "after a reload: {version:?}");
    }
}

#[tokio::test]
async fn a_handshake_has_its_own_deadline() {
    let files = Files::new();
    let door = files.door(", limits: {handshake_timeout: 100ms}", HI).await;
    for beginning in [&b""[..], b"\x16", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"] {
        let mut stream = Stream::connect(door.client().address()).await.unwrap();
        tokio::io::AsyncWriteExt::write_all(&mut stream, beginning).await.unwrap();
        let mut rest = Vec::new();
        // A reset is an end, too.
        within("the connection's end", stream.read_to_end(&mut rest)).await.ok();
        assert_eq!(rest, b"", "{beginning:?}");
    }
    wait_for(&door, TurnedAway::TlsHandshakeTimeout, 3).await;
    // The time that an idle connection has is another one.
    let mut client = files.client().connect(door.client().address(), "door.test").await;
    tokio::time::sleep(std::time::Duration::from_millis(150)).await;
    assert_eq!(client.send(get("/")).await.text(), "hi");
}
