//! The table.

use std::time::Duration;

use h2::Reason;
use serde_json::Value;
use tokio::net::{TcpListener, UnixListener};
use tokio::sync::oneshot;

use super::Row;
use super::peers::{Full, Peer};
use crate::support::*;

fn row(
    what: &'static str,
    status: u64,
    cause: &'static str,
    phase: &'static str,
    says: &'static str,
    play: impl Future<Output = Value> + Send + 'static,
) -> Row {
    Row { what, status, cause, phase, says, play: Box::pin(play) }
}

/// All of them.
pub fn all() -> Vec<Row> {
    let groups = [
        requests(),
        picks(),
        connects(),
        tls(),
        sends(),
        heads(),
        framing(),
        bodies(),
        http2(),
        deadlines(),
        clients(),
    ];
    groups.into_iter().flatten().collect()
}

fn requests() -> Vec<Row> {
    vec![
        row("a request that is no HTTP", 400, "malformed_head", "-", "", sent("hello\r\n\r\n")),
        row("two `Host`", 400, "malformed_head", "-", "", sent("GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n")),
        row("no `Host`", 400, "bad_head", "-", "no Host", sent("GET / HTTP/1.1\r\n\r\n")),
        row(
            "a method that a gateway must not pass on",
            501,
            "bad_head",
            "-",
            "",
            sent("TRACE / HTTP/1.1\r\nHost: a\r\n\r\n"),
        ),
        row("a path above the root", 400, "bad_path", "-", "", sent("GET /../x HTTP/1.1\r\nHost: a\r\n\r\n")),
        row("a path that no route has", 404, "no_route", "-", "", sent("GET /none HTTP/1.1\r\nHost: a\r\n\r\n")),
        row(
            "a method that the route does not take",
            405,
            "method_not_allowed",
            "-",
            "GET",
            sent("PUT /get HTTP/1.1\r\nHost: a\r\n\r\n"),
        ),
        row(
            "a head that stalls for 10 s",
            408,
            "head_timeout",
            "request",
            "not whole after 10s",
            sent("GET / HTTP/1.1\r\nX: "),
        ),
    ]
}

fn picks() -> Vec<Row> {
    let refusing = "ejection: {consecutive_failures: 1, for: 1h, max_ejected: 100%}, panic: off";
    vec![
        row("all endpoints are drained", 503, "no_endpoint", "-", "", async {
            ask(&start("{address: \"127.0.0.1:9\", weight: 0}", "", "").await).await
        }),
        row("all endpoints are ejected, `panic` is off", 503, "no_endpoint", "-", "", async move {
            let port = Port::refusing();
            second(&door(&port, refusing, "").await).await
        }),
        row("DNS has no answer, and never had one", 503, "no_endpoint", "-", "", async {
            let dns = dns::Server::new(|_, _| dns::Reply::Silence).await;
            let door = Gateway::start(&by_dns(&dns, "gone", 1)).await;
            ask(&door).await
        }),
        row("DNS is gone, and had an answer: the last good one stays", 200, "-", "-", "", async {
            let api = Upstream::new().on("*", reply(200)).start().await;
            let Address::Tcp(address) = api.address() else { unreachable!("it listens on a port") };
            let mut dns = dns::Server::new(dns::addresses(0, &["127.0.0.1"])).await;
            let door = Gateway::start(&by_dns(&dns, "kept", address.port())).await;
            // A door starts without an answer, too, if that takes long.
            while door.get("/").send().await.status != 200 {}
            dns.die().await;
            ask(&door).await
        }),
        row("the breaker is open", 503, "breaker_open", "-", "it stays open", async {
            let port = Port::refusing();
            second(&door(&port, "breaker: {minimum_requests: 1, open_for: 90s}", "").await).await
        }),
        row(
            "as many requests as may be are under way",
            503,
            "limit_requests",
            "-",
            "",
            beside_another("limits: {requests: 1}"),
        ),
        row(
            "as many connections as may be are in use",
            503,
            "limit_connections",
            "-",
            "",
            beside_another("limits: {connections: 1}"),
        ),
    ]
}

fn connects() -> Vec<Row> {
    vec![
        row("nobody listens", 502, "upstream_refused", "connect", "(ECONNREFUSED)", async {
            let port = Port::refusing();
            ask(&door(&port, "", "").await).await
        }),
        row("a network that cannot be reached", 502, "upstream_unreachable", "connect", "(ENETUNREACH)", async {
            ask(&door("255.255.255.255:9", "", "").await).await
        }),
        row("no answer to a connection", 504, "upstream_connect_timeout", "connect", "no connection after", async {
            let full = Full::new().await;
            ask(&door(&full.address, "timeouts: {connect: 1s}", "").await).await
        }),
        row("a Unix socket that is not there", 502, "upstream_unreachable", "connect", "(ENOENT)", async {
            let folder = tempfile::tempdir().unwrap();
            ask(&door(Address::Unix(folder.path().join("no.sock")), "", "").await).await
        }),
        row(
            "a Unix socket that nobody listens on any more",
            502,
            "upstream_refused",
            "connect",
            "(ECONNREFUSED)",
            async {
                let folder = tempfile::tempdir().unwrap();
                let path = folder.path().join("left.sock");
                drop(UnixListener::bind(&path).unwrap());
                ask(&door(Address::Unix(path), "", "").await).await
            },
        ),
    ]
}

fn tls() -> Vec<Row> {
    // A ServerHello of TLS 1.1 with an empty session and TLS_RSA_WITH_AES_128_CBC_SHA.
    let old: &[u8] = b"\x16\x03\x02\x00\x2a\x02\x00\x00\x26\x03\x02rrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrr\x00\x00\x2f\x00";
    vec![
        row("a certificate for another name", 502, "upstream_tls_name", "tls", "not valid for", {
            secured("", |ca| TlsUpstream::new(&ca.issue(&["other.internal"])))
        }),
        row("a certificate of a foreign CA", 502, "upstream_tls_untrusted", "tls", "invalid peer certificate", {
            secured("", |_| TlsUpstream::new(&Ca::new("internal").issue(&["127.0.0.1"])))
        }),
        row("a certificate that has expired", 502, "upstream_tls_expired", "tls", "expired", {
            secured("", |ca| TlsUpstream::new(&ca.issue_until(&["127.0.0.1"], 2020)))
        }),
        row("a client certificate is demanded", 502, "upstream_tls_alert", "tls", "CertificateRequired", {
            secured("", |ca| TlsUpstream::for_clients_of(&Ca::new("clients"), &ca.issue(&["127.0.0.1"])))
        }),
        row(
            "only HTTP/2 is wanted, and the endpoint has only HTTP/1.1",
            502,
            "upstream_tls_alert",
            "tls",
            "NoApplicationProtocol",
            secured("protocol: http2", |ca| TlsUpstream::new(&ca.issue(&["127.0.0.1"]))),
        ),
        row(
            "only HTTP/2 is wanted, and the endpoint negotiates nothing",
            502,
            "upstream_tls_failed",
            "tls",
            "no HTTP/2",
            secured("protocol: http2", |ca| TlsUpstream::new(&ca.issue(&["127.0.0.1"])).without_alpn()),
        ),
        row(
            "plain text where TLS is wanted",
            502,
            "upstream_tls_failed",
            "tls",
            "corrupt message",
            shaking(b"HTTP/1.1 400 Bad Request\r\n\r\n"),
        ),
        row("closed within the handshake", 502, "upstream_tls_failed", "tls", "eof", shaking(b"")),
        row("TLS 1.1 and no newer", 502, "upstream_tls_failed", "tls", "peer", shaking(old)),
        row("a handshake that hangs", 504, "upstream_connect_timeout", "tls", "no TLS connection after", async {
            // The kernel takes the connection, and nobody accepts it.
            let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
            let door = door(silent.local_addr().unwrap(), "tls: {}, timeouts: {connect: 1s}", "").await;
            ask(&door).await
        }),
    ]
}

fn sends() -> Vec<Row> {
    vec![
        row("an upload that is not read", 504, "upstream_write_timeout", "send", "(idle 2s)", {
            upload(silence().never_reading(), "timeouts: {idle: 2s}", "")
        }),
        row("a reset within an upload", 502, "upstream_reset_before_head", "send", "reset within the request", {
            upload(raw("").reading(1000).then_reset(), "", "")
        }),
        row("a request's body with bad chunks", 400, "malformed_body", "send", "malformed", async {
            let api = Upstream::new().on("*", echo()).start().await;
            let door = door(&api, "", "").await;
            let mut connection = door.client().connect().await;
            connection.send_head(door.request("POST", "/").header("transfer-encoding", "chunked")).await;
            api.wait_for_requests(1).await;
            connection.write("zz\r\n").await;
            connection.read_response().await;
            last(&door, 1).await
        }),
        row("a request's body that begins with bad chunks", 400, "malformed_body", "-", "chunks", async {
            let api = Upstream::new().on("*", echo()).start().await;
            let door = door(&api, "", "").await;
            door.client().raw("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n").await;
            last(&door, 1).await
        }),
    ]
}

fn heads() -> Vec<Row> {
    let flood = "HTTP/1.1 102 Processing\r\n\r\n".repeat(100);
    let many = format!("HTTP/1.1 200 OK\r\n{}\r\n", "x: y\r\n".repeat(300));
    let large = format!("HTTP/1.1 200 OK\r\nx: {}\r\n\r\n", "y".repeat(3 << 20));
    let switch = "HTTP/1.1 101 Switching Protocols\r\nupgrade: x\r\nconnection: upgrade\r\n\r\n";
    let patient = "timeouts: {idle: 300ms}";
    vec![
        row(
            "closed before the head",
            502,
            "upstream_closed_before_head",
            "head",
            "closed before the head",
            answer(raw_then_close("")),
        ),
        row(
            "reset before the head",
            502,
            "upstream_reset_before_head",
            "head",
            "(ECONNRESET)",
            answer(raw_then_reset("")),
        ),
        row("closed within the head", 502, "upstream_truncated_head", "head", "closed after 22 bytes of the head", {
            answer(raw_then_close("HTTP/1.1 200 OK\r\nconte"))
        }),
        row("reset within the head", 502, "upstream_truncated_head", "head", "reset after 22 bytes of the head", {
            answer(raw_then_reset("HTTP/1.1 200 OK\r\nconte"))
        }),
        row("no head", 504, "upstream_head_timeout", "head", "(idle 300ms)", answer_to(silence(), patient, "")),
        row(
            "no head within `per_try`",
            504,
            "upstream_try_timeout",
            "head",
            "no whole head after",
            answer_to(silence(), "", "retry: {attempts: 2, per_try: 500ms}"),
        ),
        row("a response that is left for another try", 200, "-", "-", "answered 503, at", async {
            let api = Upstream::new().on("*", [reply(503), reply(200)]).start().await;
            ask(&door(&api, "", "retry: {attempts: 2, on: [503]}").await).await
        }),
        row("half a head, then silence", 504, "upstream_head_timeout", "head", "(idle 300ms)", {
            answer_to(raw("HTTP/1.1 200 OK\r\nconte").then_silence(), patient, "")
        }),
        row("garbage", 502, "upstream_malformed_head", "head", "what came is no head", answer(garbage())),
        row(
            "a status that is none",
            502,
            "upstream_malformed_head",
            "head",
            "invalid response status",
            answer(raw_then_close("HTTP/1.1 2x0 OK\r\n\r\n")),
        ),
        row(
            "interim responses without end",
            502,
            "upstream_too_many_interim",
            "head",
            "more than 16",
            answer(raw(flood)),
        ),
        row(
            "a head with 300 headers",
            502,
            "upstream_head_too_large",
            "head",
            "too many headers",
            answer(raw_then_close(many)),
        ),
        row(
            "a head of 3 MiB",
            502,
            "upstream_head_too_large",
            "head",
            "larger than 1048575",
            answer(raw_then_close(large)),
        ),
        row(
            "a 101 that nobody asked for",
            502,
            "upstream_unexpected_switch",
            "head",
            "not asked for",
            answer(raw(switch)),
        ),
    ]
}

fn framing() -> Vec<Row> {
    fn bad(what: &'static str, says: &'static str, lines: &str) -> Row {
        let script = raw_then_close(format!("HTTP/1.1 {lines}\r\n\r\n"));
        row(what, 502, "upstream_bad_framing", "head", says, answer(script))
    }
    vec![
        bad("a negative Content-Length", "Content-Length", "200 OK\r\ncontent-length: -1"),
        bad("two Content-Lengths", "Content-Length", "200 OK\r\ncontent-length: 1\r\ncontent-length: 2"),
        bad("the same Content-Length twice", "Content-Length", "200 OK\r\ncontent-length: 0\r\ncontent-length: 0"),
        bad("a list of Content-Lengths", "Content-Length", "200 OK\r\ncontent-length: 0, 0"),
        bad(
            "a Content-Length beyond all numbers",
            "Content-Length",
            "200 OK\r\ncontent-length: 99999999999999999999999",
        ),
        bad("a Content-Length that is a word", "Content-Length", "200 OK\r\ncontent-length: many"),
        bad("another coding beside chunked", "Transfer-Encoding", "200 OK\r\ntransfer-encoding: gzip, chunked"),
        bad("another coding than chunked", "Transfer-Encoding", "200 OK\r\ntransfer-encoding: gzip"),
        bad("a coding that nobody knows", "Transfer-Encoding", "200 OK\r\ntransfer-encoding: xchunked"),
        row("a coding in HTTP/1.0", 502, "upstream_bad_framing", "head", "HTTP/1.0", {
            answer(raw_then_close("HTTP/1.0 200 OK\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n"))
        }),
        bad("a 204 with a body", "no body", "204 No Content\r\ncontent-length: 5"),
        row("a Content-Length beside chunked (Pingora drops it)", 200, "-", "-", "", {
            answer(raw_then_close(
                "HTTP/1.1 200 OK\r\ncontent-length: 3\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
            ))
        }),
    ]
}

fn bodies() -> Vec<Row> {
    let chunked = |body: &str| format!("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n{body}");
    let whole = "HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nshort";
    vec![
        row(
            "a chunk without a size",
            200,
            "upstream_bad_chunks",
            "body",
            "after 5 bytes of the body",
            answer(raw_then_close(chunked("5\r\nabcde\r\nzz\r\n"))),
        ),
        row(
            "a chunk without its end",
            200,
            "upstream_bad_chunks",
            "body",
            "bad chunks",
            answer(raw_then_close(chunked("5\r\nabcdefgh\r\n"))),
        ),
        row(
            "chunks that end too early",
            200,
            "upstream_truncated_body",
            "body",
            "closed after 5 bytes of the body",
            answer(raw_then_close(chunked("5\r\nabcde\r\n"))),
        ),
        row(
            "closed within the body",
            200,
            "upstream_truncated_body",
            "body",
            "5 bytes of the body, 95 too early",
            answer(raw_then_close(whole)),
        ),
        row("reset within the body", 200, "upstream_reset_body", "body", "reset after 5 bytes of the body, at", {
            within_response(|gate| reply(200).chunk("short").wait(gate).then_reset())
        }),
        row(
            "a body that stalls",
            200,
            "upstream_idle_timeout",
            "body",
            "stalled 5 bytes into the body",
            answer_to(raw(whole).then_silence(), "timeouts: {idle: 3s}", ""),
        ),
    ]
}

fn http2() -> Vec<Row> {
    async fn dealt(reset: Option<Reason>, more: &'static str) -> Value {
        let peer = Peer::http2(reset).await;
        ask(&door(&peer.address, &format!("protocol: http2 {more}"), "").await).await
    }
    // Frames (RFC 9113, 4.1 and 6): a 200 on the first stream, five bytes of its body, an end after that stream.
    const SETTINGS: &[u8] = b"\0\0\0\x04\0\0\0\0\0";
    const HEADERS: &[u8] = b"\0\0\x01\x01\x04\0\0\0\x01\x88";
    const DATA: &[u8] = b"\0\0\x05\0\0\0\0\0\x01piece";
    const GOAWAY: &[u8] = b"\0\0\x08\x07\0\0\0\0\0\0\0\0\x01\0\0\0\x02";
    async fn broken(frames: &'static [&'static [u8]]) -> Value {
        let peer = Peer::answering_http2(frames).await;
        ask(&door(&peer.address, "protocol: http2", "").await).await
    }
    vec![
        row(
            "a GOAWAY that leaves the request out",
            502,
            "upstream_h2_goaway",
            "head",
            "(ENHANCE_YOUR_CALM)",
            broken(&[SETTINGS, b"\0\0\x08\x07\0\0\0\0\0\0\0\0\0\0\0\0\x0b"]),
        ),
        row(
            "a GOAWAY after the request, and an end (Pingora tells only of that)",
            502,
            "upstream_closed_before_head",
            "head",
            "closed before the head",
            broken(&[SETTINGS, GOAWAY]),
        ),
        row(
            "RST_STREAM (REFUSED_STREAM)",
            502,
            "upstream_h2_reset",
            "head",
            "(REFUSED_STREAM)",
            dealt(Some(Reason::REFUSED_STREAM), ""),
        ),
        row(
            "RST_STREAM (INTERNAL_ERROR)",
            502,
            "upstream_h2_reset",
            "head",
            "(INTERNAL_ERROR)",
            dealt(Some(Reason::INTERNAL_ERROR), ""),
        ),
        row("RST_STREAM within the body", 200, "upstream_h2_reset", "body", "(INTERNAL_ERROR)", within_body()),
        row(
            "a GOAWAY within the body, and an end (Pingora tells only of that)",
            200,
            "upstream_truncated_body",
            "body",
            "closed after 5 bytes of the body",
            broken(&[SETTINGS, HEADERS, DATA, GOAWAY]),
        ),
        row(
            "HTTP/2: closed before the head",
            502,
            "upstream_closed_before_head",
            "head",
            "closed before the head",
            broken(&[SETTINGS]),
        ),
        row(
            "HTTP/2: closed within the body",
            200,
            "upstream_truncated_body",
            "body",
            "closed after 5 bytes of the body",
            broken(&[SETTINGS, HEADERS, DATA]),
        ),
        row(
            "HTTP/2: no head",
            504,
            "upstream_head_timeout",
            "head",
            "(idle 300ms)",
            dealt(None, ", timeouts: {idle: 300ms}"),
        ),
        row(
            "garbage instead of HTTP/2",
            502,
            "upstream_h2_error",
            "head",
            "HTTP/2 is broken",
            broken(&[b"\x00\x00\x05\x09\x00\x00\x00\x00\x01junk!"]),
        ),
        row(
            "HTTP/1.1 where HTTP/2 is wanted",
            502,
            "upstream_h2_error",
            "head",
            "HTTP/2 is broken",
            broken(&[b"HTTP/1.1 400 Bad Request\r\nconnection: close\r\n\r\n"]),
        ),
    ]
}

fn deadlines() -> Vec<Row> {
    const LIMIT: &str = "timeout: 1s";
    // Time enough for a head on a busy machine.
    const LATER: &str = "timeout: 4s";
    vec![
        row(
            "the deadline, while connecting",
            504,
            "deadline",
            "connect",
            "before there was a connection after",
            async {
                let full = Full::new().await;
                ask(&door(&full.address, "", LIMIT).await).await
            },
        ),
        row("the deadline, within a handshake", 504, "deadline", "connect", "(the route's timeout 1s)", async {
            let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
            ask(&door(silent.local_addr().unwrap(), "tls: {}", LIMIT).await).await
        }),
        row(
            "the deadline, within an upload",
            504,
            "deadline",
            "send",
            "within the request",
            upload(silence().never_reading(), "", LATER),
        ),
        row(
            "the deadline, before the head",
            504,
            "deadline",
            "head",
            "before the response's head",
            answer_to(silence(), "", LIMIT),
        ),
        row("a head that drips over the deadline", 504, "deadline", "head", "before the response's head", async {
            let peer = Peer::dripping("HTTP/1.1 200 OK\r\nx-drip: ").await;
            ask(&door(&peer.address, "", LIMIT).await).await
        }),
        row("the deadline, within the body", 200, "deadline", "body", "5 bytes into its body", {
            answer_to(raw("HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nshort").then_silence(), "", LATER)
        }),
        row("a body that drips over the deadline", 200, "deadline", "body", "within the response", async {
            let peer = Peer::dripping("HTTP/1.1 200 OK\r\ncontent-length: 1000\r\n\r\n").await;
            ask(&door(&peer.address, "", LATER).await).await
        }),
    ]
}

fn clients() -> Vec<Row> {
    vec![
        row("the client leaves within its head", 499, "client_gone", "request", "within its request's head", async {
            let api = Upstream::new().start().await;
            let door = door(&api, "", "").await;
            let mut connection = door.client().connect().await;
            connection.write("GET / HTTP/1.1\r\nHost: a\r\nX: ").await;
            drop(connection);
            last(&door, 1).await
        }),
        row(
            "the client leaves while the door connects (it is seen once that is done)",
            499,
            "client_gone",
            "head",
            "the client left before the response's head",
            while_connecting(),
        ),
        row(
            "the client stalls within its body",
            408,
            "client_body_timeout",
            "send",
            "too little came from the client within the request, 5 bytes into its body",
            stalled_upload(""),
        ),
        row(
            "a client that waits for a 100, and no 100",
            504,
            "upstream_head_timeout",
            "send",
            "(idle 1s)",
            stalled_upload("100-continue"),
        ),
        row("the client leaves within its body", 499, "client_gone", "send", "5 bytes into its body", async {
            let api = Upstream::new().on("*", silence()).start().await;
            let door = door(&api, "", "").await;
            let mut connection = door.client().connect().await;
            connection.send_head(door.request("PUT", "/").header("content-length", "100")).await;
            connection.write("short").await;
            until("a piece of the body", || api.requests().first().is_some_and(|seen| seen.body_length == 5)).await;
            drop(connection);
            last(&door, 1).await
        }),
        row("the client leaves before the response", 499, "client_gone", "head", "before the response's head", async {
            let api = Upstream::new().on("*", silence()).start().await;
            let door = door(&api, "", "").await;
            let mut connection = door.client().connect().await;
            connection.send_head(door.get("/")).await;
            api.wait_for_requests(1).await;
            connection.reset();
            last(&door, 1).await
        }),
        row(
            "the client leaves within the response",
            200,
            "client_gone",
            "body",
            "within the response, 3 bytes into its body",
            async {
                let gate = Gate::new();
                let api = Upstream::new().on("*", reply(200).chunk("one").wait(&gate).chunk("two")).start().await;
                let door = door(&api, "", "").await;
                let mut connection = door.client().connect().await;
                connection.send_head(door.get("/")).await;
                connection.read_head().await;
                connection.read_some().await;
                drop(connection);
                last(&door, 1).await
            },
        ),
    ]
}

/// Plays a request that comes in these bytes to a door with the routes `/` and, for `GET` only, `/get`.
async fn sent(bytes: &'static str) -> Value {
    let door =
        Gateway::start("routes: {a: {path: \"/{$}\", respond: {}}, b: {path: /get, methods: [GET], respond: {}}}")
            .await;
    let mut connection = door.client().connect().await;
    connection.write(bytes).await;
    if !bytes.ends_with("\r\n\r\n") {
        // Longer than anything else is waited for.
        connection.read_to_close_within(Duration::from_secs(15)).await;
    }
    last(&door, 1).await
}

async fn answer(script: Reply) -> Value {
    answer_to(script, "", "").await
}

/// Plays a `GET` that an upstream answers so.
async fn answer_to(script: Reply, upstream: &'static str, route: &'static str) -> Value {
    let api = Upstream::new().on("*", script).start().await;
    ask(&door(&api, upstream, route).await).await
}

/// Plays an upload that no kernel's buffers can hold.
async fn upload(script: Reply, upstream: &'static str, route: &'static str) -> Value {
    let api = Upstream::new().on("*", script).start().await;
    let door = door(&api, upstream, route).await;
    let mut connection = door.client().connect().await;
    connection.send_head(door.request("PUT", "/").header("content-length", "1000000000000")).await;
    let chunk = vec![b'x'; 1 << 16];
    let uploading = async {
        while connection.try_write(&chunk).await.is_ok() {}
        std::future::pending::<()>().await;
    };
    tokio::select! {
        line = last(&door, 1) => line,
        () = uploading => unreachable!("it ends with the line in the log"),
    }
}

/// Plays a client that sends less than it has said, or nothing if it has an expectation first.
async fn stalled_upload(expect: &'static str) -> Value {
    let api = Upstream::new().on("*", silence().never_reading()).start().await;
    let door = door(&api, "timeouts: {connect: 6s, idle: 1s}", "").await;
    let mut connection = door.client().connect().await;
    let request = door.request("PUT", "/").header("content-length", "100");
    if expect.is_empty() {
        connection.send_head(request).await;
        connection.write("short").await;
    } else {
        connection.send_head(request.header("expect", expect)).await;
    }
    let response = connection.read_response().await;
    let line = last(&door, 1).await;
    assert_eq!(line["status"], response.status);
    line
}

/// Opens the gate once the client has a piece of the body.
async fn within_response(script: impl FnOnce(&Gate) -> Reply) -> Value {
    let gate = Gate::new();
    let api = Upstream::new().on("*", script(&gate)).start().await;
    let door = door(&api, "", "").await;
    let mut connection = door.client().connect().await;
    connection.send_head(door.get("/")).await;
    connection.read_head().await;
    connection.read_some().await;
    gate.open();
    connection.discard_body().await;
    last(&door, 1).await
}

/// The same by HTTP/2.
async fn within_body() -> Value {
    let (give, cue) = oneshot::channel();
    let peer = Peer::http2_within_body(Reason::INTERNAL_ERROR, cue).await;
    let door = door(&peer.address, "protocol: http2", "").await;
    let mut connection = door.client().connect().await;
    connection.send_head(door.get("/")).await;
    connection.read_head().await;
    connection.read_some().await;
    give.send(()).expect("the peer waits");
    connection.discard_body().await;
    last(&door, 1).await
}

/// Plays an endpoint that speaks TLS as a test says, with a certificate of a CA that the door trusts or not.
async fn secured(more: &'static str, server: impl FnOnce(&Ca) -> TlsUpstream) -> Value {
    let folder = tempfile::tempdir().unwrap();
    let ca = Ca::new("internal");
    let path = folder.path().join("ca.pem");
    std::fs::write(&path, ca.pem()).unwrap();
    let api = server(&ca).start().await;
    let tls = format!("tls: {{ca: {}}}, {more}", path.display());
    ask(&door(api.address(), &tls, "").await).await
}

/// Plays an endpoint that answers a ClientHello with these bytes.
async fn shaking(bytes: &'static [u8]) -> Value {
    let peer = Peer::answering(bytes).await;
    ask(&door(&peer.address, "tls: {}", "").await).await
}

async fn while_connecting() -> Value {
    let folder = tempfile::tempdir().unwrap();
    let ca = Ca::new("internal");
    let path = folder.path().join("ca.pem");
    std::fs::write(&path, ca.pem()).unwrap();
    // The second request, for which the first would wait, never comes.
    let api = TlsUpstream::new(&ca.issue(&["127.0.0.1"])).http2().together(2).start().await;
    let wire = Wire::to(api.address()).await;
    wire.stall(Direction::ToServer);
    let door = door(wire.address(), &format!("tls: {{ca: {}}}", path.display()), "").await;
    let mut connection = door.client().connect().await;
    connection.send_head(door.get("/")).await;
    until("a connection", || wire.connections() > 0).await;
    drop(connection);
    wire.restore();
    last(&door, 1).await
}

/// Plays a request that comes while another one is under way.
async fn beside_another(limits: &'static str) -> Value {
    let api = Upstream::new().on("*", silence()).start().await;
    let door = door(&api, limits, "").await;
    let mut held = door.client().connect().await;
    held.send_head(door.get("/")).await;
    api.wait_for_requests(1).await;
    ask(&door).await
}

/// A file with an upstream that is found by DNS; its name is told in messages, so each has its own.
fn by_dns(server: &dns::Server, name: &str, port: u16) -> String {
    let discover = format!("dns: \"users.test:{port}\", resolver: \"{}\"", server.address);
    format!("upstreams: {{{name}: {{discover: {{{discover}}}}}}}\nroutes: {{all: {{path: /, to: {name}}}}}")
}

/// A door to one endpoint, with more settings of its upstream and its route. Nothing is short that is not made so.
async fn door(endpoint: impl std::fmt::Display, upstream: &str, route: &str) -> Gateway {
    start(&format!("\"{endpoint}\""), upstream, route).await
}

async fn start(endpoint: &str, upstream: &str, route: &str) -> Gateway {
    let patient = if upstream.contains("timeouts") { "" } else { "timeouts: {connect: 6s, idle: 6s}" };
    let settings: Vec<&str> =
        [upstream.trim_end_matches([',', ' ']), patient].into_iter().filter(|text| !text.is_empty()).collect();
    let file = "upstreams: {api: {endpoints: [ENDPOINT], UPSTREAM}}\nroutes: {all: {path: /, to: api, ROUTE}}";
    let file = file.replace("ENDPOINT", endpoint).replace("UPSTREAM", &settings.join(", ")).replace("ROUTE", route);
    Gateway::start(&file).await
}

async fn ask(door: &Gateway) -> Value {
    send(door, door.get("/")).await
}

/// The line of the only request that has ended; its status is what the client got.
async fn send(door: &Gateway, request: Request) -> Value {
    let response = request.send().await;
    let line = last(door, 1).await;
    assert_eq!(line["status"], response.status, "{line}");
    assert_eq!(response.truncated(), response.status == 200 && !line["cause"].is_null(), "{line}");
    line
}

async fn second(door: &Gateway) -> Value {
    door.get("/").send().await;
    last(door, 1).await;
    door.get("/").send().await;
    last(door, 2).await
}

async fn last(door: &Gateway, count: usize) -> Value {
    door.log(count).await.pop().expect("a line")
}
