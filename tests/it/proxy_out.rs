//! The PROXY protocol to upstreams: each connection says whose it is, and carries nobody else's requests.

use crate::support::*;

const CLIENT: &[u8] = b"PROXY TCP4 192.0.2.7 198.51.100.1 4711 443\r\n";
const OTHER: &[u8] = b"PROXY TCP6 2001:db8::7 2001:db8::1 4711 443\r\n";
const ITSELF: &[u8] = b"PROXY UNKNOWN\r\n";

async fn door(endpoint: impl std::fmt::Display, upstream: &str) -> Gateway {
    Gateway::start(&format!(
        "listeners: {{web: {{address: \"127.0.0.1:0\"}}, behind: {{address: \"127.0.0.1:0\", proxy_protocol: [127.0.0.1]}}}}\n\
         upstreams: {{api: {{endpoints: [\"{endpoint}\"], {upstream}}}}}\n\
         routes: {{all: {{path: /, to: api}}}}"
    ))
    .await
}

async fn named(door: &Gateway, header: &[u8]) -> Connection {
    let mut connection = door.client_of("behind").connect().await;
    connection.write(header).await;
    connection
}

async fn api() -> Server {
    Upstream::new().on("*", reply(200).body("good")).start().await
}

#[tokio::test]
async fn a_connection_begins_with_the_client_and_the_address_that_it_came_to() {
    let api = api().await;
    for version in ["v1", "v2"] {
        let announced = Announced::to(api.address()).await;
        let door = door(&announced, &format!("proxy_protocol: {version}")).await;
        for (header, ends) in
            [(CLIENT, "192.0.2.7:4711 to 198.51.100.1:443"), (OTHER, "[2001:db8::7]:4711 to [2001:db8::1]:443")]
        {
            assert_eq!(named(&door, header).await.send(door.get("/")).await.text(), "good");
            assert_eq!(announced.headers().last(), Some(&format!("{version} {ends}")));
        }
        assert_eq!(door.client_of("web").get("/").send().await.text(), "good");
        let own = announced.headers().pop().unwrap();
        let address = &door.server().addresses()["web"];
        assert!(own.starts_with(&format!("{version} 127.0.0.1:")) && own.ends_with(&format!(" to {address}")), "{own}");
    }
}

#[tokio::test]
async fn a_client_uses_its_own_connection_again_and_nobody_elses() {
    let api = api().await;
    let announced = Announced::to(api.address()).await;
    let door = door(&announced, "proxy_protocol: v2").await;
    let (mut first, mut second) = (named(&door, CLIENT).await, named(&door, OTHER).await);
    for _ in 0..3 {
        for client in [&mut first, &mut second] {
            assert_eq!(client.send(door.get("/")).await.text(), "good");
        }
    }
    assert_eq!(announced.headers().len(), 2);
    // The same address, another port: another client behind the same router.
    let third = b"PROXY TCP4 192.0.2.7 198.51.100.1 4712 443\r\n";
    assert_eq!(named(&door, third).await.send(door.get("/")).await.text(), "good");
    assert_eq!(announced.headers().len(), 3);
    // Nor does a client get one of those that the door made for itself, or the other way round.
    assert_eq!(named(&door, ITSELF).await.send(door.get("/")).await.text(), "good");
    assert!(announced.headers()[3].starts_with("v2 127.0.0.1:"), "{:?}", announced.headers());
}

#[tokio::test]
async fn without_keepalive_each_request_has_a_connection_of_its_own() {
    let api = api().await;
    let announced = Announced::to(api.address()).await;
    let door = door(&announced, "proxy_protocol: v2, timeouts: {keepalive: off}").await;
    let mut client = named(&door, CLIENT).await;
    for _ in 0..2 {
        assert_eq!(client.send(door.get("/")).await.text(), "good");
    }
    assert_eq!(announced.headers(), ["v2 192.0.2.7:4711 to 198.51.100.1:443"; 2]);
}

#[tokio::test]
async fn a_client_on_a_unix_socket_has_no_name() {
    let api = api().await;
    let folder = tempfile::tempdir().unwrap();
    for version in ["v1", "v2"] {
        let announced = Announced::to(api.address()).await;
        let path = folder.path().join(version);
        let door = Gateway::start(&format!(
            "listeners: {{web: {{address: \"unix:{}\"}}}}\n\
             upstreams: {{api: {{endpoints: [\"{announced}\"], proxy_protocol: {version}}}}}\nroutes: {{all: {{path: /, to: api}}}}",
            path.display()
        ))
        .await;
        assert_eq!(door.get("/").send().await.text(), "good");
        assert_eq!(announced.headers(), [format!("{version} local")]);
    }
}

#[tokio::test]
async fn tls_and_http2_come_after_the_header_and_http2_shares_no_connection_between_clients() {
    let folder = tempfile::tempdir().unwrap();
    let ca = Ca::new("internal");
    std::fs::write(folder.path().join("ca.pem"), ca.pem()).unwrap();
    let by_tls = TlsUpstream::new(&ca.issue(&["127.0.0.1"])).http2().start().await;
    let plain = TlsUpstream::h2c().start().await;
    let tls = format!("tls: {{ca: {}/ca.pem}}", folder.path().display());
    for (api, more, about) in [
        (&by_tls, format!("{tls}, protocol: http1"), "http/1.1 "),
        (&by_tls, tls, "h2 "),
        (&plain, "protocol: http2".to_owned(), "h2c "),
    ] {
        let announced = Announced::to(&api.address()).await;
        let door = door(&announced, &format!("{more}, proxy_protocol: v2")).await;
        let (mut first, mut second) = (named(&door, CLIENT).await, named(&door, OTHER).await);
        for _ in 0..2 {
            for client in [&mut first, &mut second] {
                let response = client.send(door.get("/")).await;
                assert!(response.text().starts_with(about), "{more}: {}", response.text());
            }
        }
        let mut headers = announced.headers();
        headers.sort();
        let both = ["v2 192.0.2.7:4711 to 198.51.100.1:443", "v2 [2001:db8::7]:4711 to [2001:db8::1]:443"];
        assert_eq!(headers, both, "{more}");
    }
}

#[tokio::test]
async fn a_websocket_begins_with_the_client_too() {
    let api = Upstream::new().on("*", upgrade("websocket")).start().await;
    let announced = Announced::to(api.address()).await;
    let door = door(&announced, "proxy_protocol: v2").await;
    let mut client = named(&door, CLIENT).await;
    let head = door.get("/chat").header("connection", "Upgrade").header("upgrade", "websocket");
    client
        .send_head(head.header("sec-websocket-version", "13").header("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ=="))
        .await;
    assert_eq!(client.read_head().await.status, 101);
    client.write("ping").await;
    assert_eq!(client.read_exactly(4).await, b"ping");
    assert_eq!(announced.headers(), ["v2 192.0.2.7:4711 to 198.51.100.1:443"]);
}

#[tokio::test]
async fn a_retry_says_it_again() {
    let api = Upstream::new().on("*", [reply(503), reply(200).body("good")]).start().await;
    let announced = Announced::to(api.address()).await;
    let door = Gateway::start(&format!(
        "upstreams: {{api: {{endpoints: [\"{announced}\"], proxy_protocol: v2, timeouts: {{keepalive: off}}}}}}\n\
         routes: {{all: {{path: /, to: api, retry: {{attempts: 2, on: [503]}}}}}}"
    ))
    .await;
    assert_eq!(door.get("/").send().await.text(), "good");
    let headers = announced.headers();
    assert!(headers.len() == 2 && headers[0] == headers[1] && headers[0].starts_with("v2 127.0.0.1:"), "{headers:?}");
}

#[tokio::test]
async fn checks_say_that_the_door_speaks_for_itself() {
    let api = api().await;
    for (version, check) in [("v1", "path: /healthz"), ("v2", "path: /healthz"), ("v2", "tcp: true")] {
        let announced = Announced::to(api.address()).await;
        let health = format!("proxy_protocol: {version}, health: {{{check}, interval: 2s}}");
        let door = door(&announced, &health).await;
        until("a check", || !announced.headers().is_empty()).await;
        assert_eq!(announced.headers()[0], format!("{version} local"), "{check}");
        assert_eq!(door.client_of("web").get("/").send().await.text(), "good");
    }
}

#[tokio::test]
async fn a_mirror_that_wants_it_gets_the_same_client() {
    let (api, shadow) = (api().await, api().await);
    let announced = Announced::to(shadow.address()).await;
    let door = Gateway::start(&format!(
        "listeners: {{web: {{address: \"127.0.0.1:0\", proxy_protocol: [127.0.0.1]}}}}\n\
         upstreams: {{api: {{endpoints: [\"{api}\"]}}, shadow: {{endpoints: [\"{announced}\"], proxy_protocol: v2}}}}\n\
         routes: {{all: {{path: /, to: api, mirror: {{to: shadow}}}}}}"
    ))
    .await;
    let mut connection = door.client().connect().await;
    connection.write(CLIENT).await;
    assert_eq!(connection.send(door.get("/")).await.text(), "good");
    shadow.wait_for_requests(1).await;
    assert_eq!(announced.headers(), ["v2 192.0.2.7:4711 to 198.51.100.1:443"]);
}

#[tokio::test]
async fn an_endpoint_that_cannot_be_reached_has_the_same_causes_as_ever() {
    let dead = Port::refusing();
    let door = door(&dead, "proxy_protocol: v2").await;
    assert_eq!(door.client_of("web").get("/").send().await.status, 502);
    assert_eq!(door.cause(1).await.0, "upstream_refused");
    // It takes the connection and the header, and then nothing comes of TLS.
    let silent = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let more = "proxy_protocol: v2, tls: {sni: a.internal}, timeouts: {connect: 100ms}";
    let hangs = self::door(silent.local_addr().unwrap(), more).await;
    assert_eq!(hangs.client_of("web").get("/").send().await.status, 504);
    assert_eq!(hangs.cause(1).await.0, "upstream_connect_timeout");
}

#[tokio::test]
async fn a_version_that_there_is_not_is_told_when_the_file_is_loaded() {
    for (version, words) in [
        ("v3", "unknown word `v3`; allowed: `v1`, `v2`"),
        ("true", "unknown word `true`"),
        ("off", "allowed: `v1`, `v2`"),
    ] {
        let told = Gateway::refused(&format!(
            "upstreams: {{api: {{endpoints: [\"127.0.0.1:1\"], proxy_protocol: {version}}}}}\nroutes: {{all: {{path: /, to: api}}}}"
        ))
        .await
        .join("\n");
        assert!(told.contains("upstreams.api.proxy_protocol: ") && told.contains(words), "{told}");
    }
}
