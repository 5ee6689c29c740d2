//! Upstreams by TLS and HTTP/2: who is believed, what is negotiated, and what is said when it fails.

use std::path::PathBuf;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::task::JoinSet;

use crate::support::*;

/// A folder with a CA, and a file of a door to an upstream that knows it.
struct Files {
    folder: tempfile::TempDir,
    ca: Ca,
}

impl Files {
    fn new() -> Self {
        let files = Self { folder: tempfile::tempdir().unwrap(), ca: Ca::new("internal") };
        files.write("ca.pem", &files.ca.pem());
        files
    }

    fn write(&self, name: &str, content: &str) -> PathBuf {
        let path = self.folder.path().join(name);
        std::fs::write(&path, content).unwrap();
        path
    }

    /// A file with one upstream and what else it has, where `DIR` stands for the folder.
    fn yaml(&self, endpoint: impl std::fmt::Display, more: &str) -> String {
        let more = more.replace("DIR", self.folder.path().to_str().unwrap());
        format!("upstreams: {{api: {{endpoints: [\"{endpoint}\"], {more}}}}}\nroutes: {{all: {{path: /, to: api}}}}")
    }

    async fn door(&self, endpoint: impl std::fmt::Display, more: &str) -> Gateway {
        Gateway::start(&self.yaml(endpoint, more)).await
    }
}

const OWN_CA: &str = "tls: {ca: DIR/ca.pem}";

#[tokio::test]
async fn the_name_that_is_verified_is_the_endpoints_own_or_the_one_given() {
    let files = Files::new();
    let api = TlsUpstream::new(&files.ca.issue(&["localhost", "127.0.0.1", "users.internal"])).start().await;
    for (host, more, about) in [
        ("localhost", OWN_CA, "http/1.1 localhost unknown"),
        // No SNI can be sent for an address (RFC 6066, 3), which is verified nevertheless.
        ("127.0.0.1", OWN_CA, "http/1.1 - unknown"),
        ("127.0.0.1", "tls: {ca: DIR/ca.pem, sni: users.internal}", "http/1.1 users.internal unknown"),
    ] {
        let door = files.door(format!("{host}:{}", api.port()), more).await;
        let response = door.get("/").send().await;
        assert_eq!((response.status, response.text()), (200, about), "{host} {more}");
    }
}

#[tokio::test]
async fn an_address_is_verified_as_one() {
    let files = Files::new();
    let api = TlsUpstream::new(&files.ca.issue(&["localhost", "127.0.0.2"])).start().await;
    let door = files.door(api.address(), OWN_CA).await;
    assert_eq!(door.get("/").send().await.status, 502);
    assert_eq!(door.cause(1).await, ("upstream_tls_name".into(), 502));
}

#[tokio::test]
async fn auto_is_what_tls_negotiates_and_a_version_can_be_asked_for() {
    let files = Files::new();
    let identity = files.ca.issue(&["127.0.0.1"]);
    let (both, old) = (TlsUpstream::new(&identity).http2().start().await, TlsUpstream::new(&identity).start().await);
    for (api, protocol, version) in
        [(&both, "auto", "h2"), (&both, "http1", "http/1.1"), (&both, "http2", "h2"), (&old, "auto", "http/1.1")]
    {
        let door = files.door(api.address(), &format!("{OWN_CA}, protocol: {protocol}")).await;
        let response = door.get("/").send().await;
        assert_eq!(response.text().split(' ').next(), Some(version), "{protocol}");
    }
}

#[tokio::test]
async fn where_only_http2_is_wanted_nothing_else_is_spoken() {
    let files = Files::new();
    let identity = files.ca.issue(&["127.0.0.1"]);
    for (api, cause) in [
        (TlsUpstream::new(&identity), "upstream_tls_alert"),
        (TlsUpstream::new(&identity).without_alpn(), "upstream_tls_failed"),
    ] {
        let api = api.start().await;
        let door = files.door(api.address(), &format!("{OWN_CA}, protocol: http2")).await;
        assert_eq!(door.get("/").send().await.status, 502);
        assert_eq!(door.cause(1).await.0, cause);
    }
}

#[tokio::test]
async fn requests_at_once_share_one_connection_of_http2() {
    let files = Files::new();
    let identity = files.ca.issue(&["127.0.0.1"]);
    let by_tls = TlsUpstream::new(&identity).http2().together(2).start().await;
    let plain = TlsUpstream::h2c().together(2).start().await;
    for (api, more, about) in [
        (&by_tls, format!("{OWN_CA}, host: users.internal"), "h2 - unknown https://users.internal"),
        (&plain, "protocol: http2, host: users.internal".to_owned(), "h2c http://users.internal"),
    ] {
        let door = files.door(api.address(), &more).await;
        // Neither is answered before the other has come.
        let (first, second) = within("a pair", async {
            tokio::join!(door.get("/a").send(), async {
                api.wait_for_requests(1).await;
                door.get("/b").send().await
            })
        })
        .await;
        for response in [first, second] {
            assert_eq!((response.status, response.text()), (200, about));
        }
        assert_eq!(api.connections(), 1, "{more}");
    }
}

#[tokio::test]
async fn a_websocket_goes_by_http1_where_both_can_be_had() {
    let files = Files::new();
    let api = TlsUpstream::new(&files.ca.issue(&["127.0.0.1"])).http2().start().await;
    let door = files.door(api.address(), OWN_CA).await;
    assert!(door.get("/").send().await.text().starts_with("h2 "));
    let upgrade = door.get("/").header("connection", "upgrade").header("upgrade", "websocket");
    let upgrade = upgrade.header("sec-websocket-key", "x3JJHMbDL1EzLkh9GBhXDw==").header("sec-websocket-version", "13");
    assert_eq!(upgrade.send().await.status, 101);
    assert!(door.get("/").send().await.text().starts_with("h2 "));
}

#[tokio::test]
async fn the_door_shows_its_certificate_where_one_is_asked_for() {
    let files = Files::new();
    let clients = Ca::new("clients");
    let api = TlsUpstream::for_clients_of(&clients, &files.ca.issue(&["127.0.0.1"])).start().await;
    let own = clients.issue(&["door"]);
    files.write("door.pem", &own.cert);
    files.write("door.key", &own.key);
    let more = "tls: {ca: DIR/ca.pem, client_cert: {cert: DIR/door.pem, key: DIR/door.key}}";
    let door = files.door(api.address(), more).await;
    assert_eq!(door.get("/").send().await.text(), "http/1.1 - known");
    let stranger = Ca::new("clients").issue(&["door"]);
    files.write("door.pem", &stranger.cert);
    files.write("door.key", &stranger.key);
    let door = files.door(api.address(), more).await;
    assert_eq!(door.get("/").send().await.status, 502);
    assert_eq!(door.cause(1).await.0, "upstream_tls_alert");
}

#[tokio::test]
async fn each_failure_of_tls_has_its_cause() {
    let files = Files::new();
    let good = files.ca.issue(&["127.0.0.1"]);
    let clients = Ca::new("clients");
    let cases = [
        ("another name", TlsUpstream::new(&files.ca.issue(&["other.internal"])), "upstream_tls_name"),
        ("no name", TlsUpstream::new(&files.ca.issue(&[])), "upstream_tls_name"),
        ("another CA", TlsUpstream::new(&Ca::new("internal").issue(&["127.0.0.1"])), "upstream_tls_untrusted"),
        ("expired", TlsUpstream::new(&files.ca.issue_until(&["127.0.0.1"], 2020)), "upstream_tls_expired"),
        ("a client's certificate", TlsUpstream::for_clients_of(&clients, &good), "upstream_tls_alert"),
        ("the same by HTTP/2", TlsUpstream::for_clients_of(&clients, &good).http2(), "upstream_tls_alert"),
    ];
    for (what, api, cause) in cases {
        let api = api.start().await;
        let door = files.door(api.address(), OWN_CA).await;
        assert_eq!(door.get("/").send().await.status, 502, "{what}");
        assert_eq!(door.cause(1).await.0, cause, "{what}");
    }
}

/// Answers a ClientHello with these bytes, and ends the connection.
async fn answering(bytes: &'static [u8], serving: &mut JoinSet<()>) -> Address {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    serving.spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            // A client that has gone needs no answer.
            stream.read_buf(&mut Vec::with_capacity(4096)).await.ok();
            stream.write_all(bytes).await.ok();
            stream.shutdown().await.ok();
        }
    });
    address.into()
}

#[tokio::test]
async fn what_is_no_tls_of_today_has_its_cause() {
    let files = Files::new();
    let mut serving = JoinSet::new();
    // A ServerHello of TLS 1.1 with an empty session and TLS_RSA_WITH_AES_128_CBC_SHA.
    let old: &[u8] = b"\x16\x03\x02\x00\x2a\x02\x00\x00\x26\x03\x02rrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrr\x00\x00\x2f\x00";
    for (what, bytes, cause) in [
        ("plain HTTP", &b"HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\n\r\n"[..], "upstream_tls_failed"),
        ("an end", b"", "upstream_tls_failed"),
        ("half a record", b"\x16\x03\x03\x00\x80\x02", "upstream_tls_failed"),
        ("only TLS 1.1", old, "upstream_tls_failed"),
        ("only TLS 1.1, by an alert", b"\x15\x03\x01\x00\x02\x02\x46", "upstream_tls_alert"),
    ] {
        let door = files.door(answering(bytes, &mut serving).await, OWN_CA).await;
        assert_eq!(door.get("/").send().await.status, 502, "{what}");
        assert_eq!(door.cause(1).await.0, cause, "{what}");
    }
}

#[tokio::test]
async fn a_handshake_that_hangs_ends_with_the_time_to_connect() {
    let files = Files::new();
    // The kernel takes the connection, and nobody accepts it.
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let more = format!("{OWN_CA}, timeouts: {{connect: 100ms}}");
    let door = files.door(silent.local_addr().unwrap(), &more).await;
    assert_eq!(door.get("/").send().await.status, 504);
    assert_eq!(door.cause(1).await.0, "upstream_connect_timeout");
}

#[tokio::test]
async fn another_ca_in_the_same_file_counts_from_the_reload_on() {
    let files = Files::new();
    let api = TlsUpstream::new(&files.ca.issue(&["127.0.0.1"])).start().await;
    let yaml = files.yaml(api.address(), OWN_CA);
    let mut door = Gateway::start(&yaml).await;
    assert_eq!(door.get("/").send().await.status, 200);
    let kept = door.server().snapshot().upstream("api").unwrap().clone();
    door.reload(&yaml).await.unwrap();
    assert!(std::sync::Arc::ptr_eq(&kept, door.server().snapshot().upstream("api").unwrap()), "nothing has changed");
    files.write("ca.pem", &Ca::new("another").pem());
    door.reload(&yaml).await.unwrap();
    // The connection that the old CA let be made lies in the pool.
    assert_eq!(door.get("/").send().await.status, 502);
    assert_eq!(door.cause(2).await.0, "upstream_tls_untrusted");
    files.write("ca.pem", "gone");
    let told = door.reload(&yaml).await.unwrap_err().join("\n");
    assert!(told.contains("upstreams.api.tls.ca: ") && told.contains("holds no certificate"), "{told}");
}

#[tokio::test]
async fn upstreams_at_one_address_share_no_connection() {
    let files = Files::new();
    let api = TlsUpstream::new(&files.ca.issue(&["127.0.0.1"])).start().await;
    let ca = files.folder.path().join("ca.pem");
    let foreign = files.write("foreign.pem", &Ca::new("foreign").pem());
    let (at, ca, foreign) = (api.address(), ca.display(), foreign.display());
    let door = Gateway::start(&format!(
        "upstreams: {{a: {{endpoints: [\"{at}\"], tls: {{ca: {ca}}}}}, b: {{endpoints: [\"{at}\"], tls: {{ca: {foreign}}}}}}}\n\
         routes: {{a: {{path: /a, to: a}}, b: {{path: /b, to: b}}}}"
    ))
    .await;
    assert_eq!(door.get("/a").send().await.status, 200);
    assert_eq!(door.get("/b").send().await.status, 502);
}

#[tokio::test]
async fn a_url_with_https_means_tls() {
    let files = Files::new();
    let api = TlsUpstream::new(&files.ca.issue(&["127.0.0.1"])).start().await;
    let door = Gateway::start(&format!("routes: {{all: {{path: /, to: \"https://{}\"}}}}", api.address())).await;
    assert_eq!(door.get("/").send().await.status, 502);
    // The system does not know the test's CA.
    assert_eq!(door.cause(1).await.0, "upstream_tls_untrusted");
}

#[tokio::test]
async fn what_could_not_be_verified_is_refused_when_the_file_is_loaded() {
    let files = Files::new();
    let refused = |endpoint: &str, more: &str| {
        let yaml = files.yaml(endpoint, more);
        async move { Gateway::refused(&yaml).await.join("\n") }
    };
    for (endpoint, more, words) in [
        ("unix:/run/x.sock", OWN_CA, "a Unix socket has no name that its certificate could be for; set `sni`"),
        ("127.0.0.1:1", "tls: {ca: DIR/no.pem}", "upstreams.api.tls.ca: cannot read"),
        ("127.0.0.1:1", "tls: {client_cert: {cert: DIR/ca.pem, key: {env: ONEDOOR_NO_KEY}}}", "tls.client_cert.key: "),
    ] {
        let told = refused(endpoint, more).await;
        assert!(told.contains(words), "{endpoint} {more}: {told}");
    }
}
