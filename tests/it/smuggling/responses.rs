//! Responses that two clients could read in two ways: each is a 502 with its cause, or gets to the client in one form.
//! And whatever an upstream says too much is nobody's answer.

use std::collections::VecDeque;

use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

use super::answers::{Answer, Answers};
use super::cases::bytes;
use super::tcp_address;
use crate::support::{Gateway, PATIENCE, Upstream, raw, raw_then_close, reply};

/// What a client gets to see of a response.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Comes {
    /// A 502 of this cause.
    Bad(&'static str),
    /// This status and body.
    As(u16, &'static str),
    /// A response that is seen to be cut.
    Cut,
}

use Comes::{As, Bad, Cut};

const FRAMING: Comes = Bad("upstream_bad_framing");
const MALFORMED: Comes = Bad("upstream_malformed_head");

/// On connections that stay open. Whatever stands behind `|` comes too much.
const KEPT: &[(&str, Comes)] = &[
    ("HTTP/1.1 200 OK\nContent-Length: 3\n\nabc", As(200, "abc")),
    ("HTTP/1.1 200 OK\nContent-Length: 003\n\nabc", As(200, "abc")),
    ("HTTP/1.1 200 OK\nTransfer-Encoding: chunked\n\n3;x\nabc\n0\nX: y\n\n", As(200, "abc")),
    ("HTTP/1.1 200\nContent-Length: 3\n\nabc", As(200, "abc")),
    ("HTTP/1.1 204 No Content\nContent-Length: 0\n\n", As(204, "")),
    ("HTTP/1.1 304 Not Modified\nContent-Length: 3\n\n", As(304, "")),
    ("HTTP/1.1 103 Early\nLink: x\n\nHTTP/1.1 200 OK\nContent-Length: 3\n\nabc", As(200, "abc")),
    // A length beside a coding: the coding counts, and the client sees only that.
    ("HTTP/1.1 200 OK\nContent-Length: 3\nTransfer-Encoding: chunked\n\n5\nabcde\n0\n\n", As(200, "abcde")),
    ("HTTP/1.1 200 OK\nTransfer-Encoding: chunked\nContent-Length: 30\n\n5\nabcde\n0\n\n", As(200, "abcde")),
    ("HTTP/1.1 200 OK\nContent-Length: 3\nContent-Length: 3\n\nabc", FRAMING),
    ("HTTP/1.1 200 OK\nContent-Length: 3\nContent-Length: 4\n\nabc", FRAMING),
    ("HTTP/1.1 200 OK\nContent-Length: 3, 3\n\nabc", FRAMING),
    ("HTTP/1.1 200 OK\nContent-Length: 3, 4\n\nabc", FRAMING),
    ("HTTP/1.1 200 OK\nContent-Length: +3\n\nabc", FRAMING),
    ("HTTP/1.1 200 OK\nContent-Length: -3\n\nabc", FRAMING),
    ("HTTP/1.1 200 OK\nContent-Length: 0x3\n\nabc", FRAMING),
    ("HTTP/1.1 200 OK\nContent-Length:\n\nabc", FRAMING),
    ("HTTP/1.1 200 OK\nContent-Length: 18446744073709551619\n\nabc", FRAMING),
    ("HTTP/1.1 200 OK\nTransfer-Encoding: gzip, chunked\n\n3\nabc\n0\n\n", FRAMING),
    ("HTTP/1.1 200 OK\nTransfer-Encoding: chunked, chunked\n\n3\nabc\n0\n\n", FRAMING),
    ("HTTP/1.1 200 OK\nTransfer-Encoding: xchunked\n\n3\nabc\n0\n\n", FRAMING),
    ("HTTP/1.1 200 OK\nTransfer-Encoding: identity\n\nabc", FRAMING),
    ("HTTP/1.1 200 OK\nTransfer-Encoding: chunked\nTransfer-Encoding: chunked\n\n3\nabc\n0\n\n", FRAMING),
    ("HTTP/1.1 204 No Content\nContent-Length: 3\n\nabc", FRAMING),
    ("HTTP/1.1 204 No Content\nTransfer-Encoding: chunked\n\n0\n\n", FRAMING),
    ("HTTP/1.1 103 Early\nContent-Length: 3\n\nabcHTTP/1.1 200 OK\nContent-Length: 0\n\n", FRAMING),
    ("HTTP/1.1 101 Switching Protocols\nUpgrade: x\nConnection: upgrade\n\n", Bad("upstream_unexpected_switch")),
    ("<40xHTTP/1.1 102 Processing\n\n>HTTP/1.1 200 OK\nContent-Length: 0\n\n", Bad("upstream_too_many_interim")),
    // Lines and bytes.
    ("HTTP/1.1 200 OK\nX: y<NUL>z\nContent-Length: 3\n\nabc", MALFORMED),
    ("HTTP/1.1 200 OK\nX: y<CR>Set-Cookie: a=b\nContent-Length: 3\n\nabc", MALFORMED),
    ("HTTP/1.1 200 OK\nX: <x1b>[2J\nContent-Length: 3\n\nabc", MALFORMED),
    ("HTTP/1.1 200 OK\nX(: y\nContent-Length: 3\n\nabc", MALFORMED),
    ("HTTP/1.1 200 OK\nX<NUL>: y\nContent-Length: 3\n\nabc", MALFORMED),
    ("HTTP/1.1 200 OK\nX\nContent-Length: 3\n\nabc", MALFORMED),
    ("HTTP/1.1 200 OK\n X: y\nContent-Length: 3\n\nabc", MALFORMED),
    ("HTTP/1.1 200 O<CR>K\nContent-Length: 3\n\nabc", MALFORMED),
    ("HTTP/1.1 200 O<NUL>K\nContent-Length: 3\n\nabc", MALFORMED),
    ("HTTP/1.1 2000 OK\nContent-Length: 3\n\nabc", MALFORMED),
    ("HTTP/1.1 20 OK\nContent-Length: 3\n\nabc", MALFORMED),
    ("HTTP/1.1 -20 OK\nContent-Length: 3\n\nabc", MALFORMED),
    ("HTTP/1.1 099 OK\nContent-Length: 3\n\nabc", MALFORMED),
    ("HTTP/1.1 abc OK\nContent-Length: 3\n\nabc", MALFORMED),
    ("HTTP/1.2 200 OK\nContent-Length: 3\n\nabc", MALFORMED),
    ("HTTP/2 200 OK\nContent-Length: 3\n\nabc", MALFORMED),
    ("ICY 200 OK\nContent-Length: 3\n\nabc", MALFORMED),
    (" HTTP/1.1 200 OK\nContent-Length: 3\n\nabc", MALFORMED),
    // What Pingora mends, and the client gets mended: a fold becomes spaces (RFC 9112, 5.2).
    ("HTTP/1.1 200 OK\nX: y\n z\nContent-Length: 3\n\nabc", As(200, "abc")),
    ("HTTP/1.1 200 OK\nX: y\n\tContent-Length: 5\nContent-Length: 3\n\nabc", As(200, "abc")),
    ("HTTP/1.1 200 OK<LF>Content-Length: 3<LF><LF>abc", As(200, "abc")),
    ("HTTP/1.1 200 OK\nX: y<LF>Content-Length: 3\n\nabc", As(200, "abc")),
    ("HTTP/1.1 200 OK\nContent-Length : 3\n\nabc", As(200, "abc")),
    ("HTTP/1.1 200 OK\nTransfer-Encoding\t: chunked\n\n3\nabc\n0\n\n", As(200, "abc")),
    // Too many and too much.
    ("HTTP/1.1 200 OK\n<300xX: y\n>Content-Length: 3\n\nabc", Bad("upstream_head_too_large")),
    ("HTTP/1.1 200 OK\nX: <2000000xy>\nContent-Length: 3\n\nabc", Bad("upstream_head_too_large")),
    // Chunks.
    ("HTTP/1.1 200 OK\nTransfer-Encoding: chunked\n\nxyz\nabc\n0\n\n", Cut),
    ("HTTP/1.1 200 OK\nTransfer-Encoding: chunked\n\n0x3\nabc\n0\n\n", Cut),
    ("HTTP/1.1 200 OK\nTransfer-Encoding: chunked\n\n3\nabcd\n0\n\n", Cut),
    ("HTTP/1.1 200 OK\nTransfer-Encoding: chunked\n\n-3\nabc\n0\n\n", Cut),
    ("HTTP/1.1 200 OK\nTransfer-Encoding: chunked\n\n10000000000000003\nabc\n0\n\n", Cut),
    // Too much behind a response that is whole.
    ("HTTP/1.1 200 OK\nContent-Length: 3\n\nabcEXTRA", As(200, "abc")),
    ("HTTP/1.1 200 OK\nContent-Length: 3\n\nabc\n", As(200, "abc")),
    (
        "HTTP/1.1 200 OK\nContent-Length: 3\n\nabcHTTP/1.1 200 OK\nX-Target: evil\nContent-Length: 4\n\nevil",
        As(200, "abc"),
    ),
    ("HTTP/1.1 200 OK\nContent-Length: 0\n\nHTTP/1.1 200 OK\nX-Target: evil\nContent-Length: 4\n\nevil", As(200, "")),
    ("HTTP/1.1 204 No Content\n\nHTTP/1.1 200 OK\nX-Target: evil\nContent-Length: 4\n\nevil", As(204, "")),
    ("HTTP/1.1 304 Not Modified\n\nHTTP/1.1 200 OK\nX-Target: evil\nContent-Length: 4\n\nevil", As(304, "")),
    (
        "HTTP/1.1 200 OK\nTransfer-Encoding: chunked\n\n3\nabc\n0\n\nHTTP/1.1 200 OK\nX-Target: evil\nContent-Length: 4\n\nevil",
        As(200, "abc"),
    ),
    (
        "HTTP/1.1 200 OK\nTransfer-Encoding: chunked\nContent-Length: 3\n\n3\nabc\n0\n\nHTTP/1.1 200 OK\nX-Target: evil\nContent-Length: 4\n\nevil",
        As(200, "abc"),
    ),
];

/// On connections that the upstream closes afterwards.
const CLOSED: &[(&str, Comes)] = &[
    ("HTTP/1.1 200 OK\n\nabc", As(200, "abc")),
    ("HTTP/1.0 200 OK\n\nabc", As(200, "abc")),
    ("HTTP/1.0 200 OK\nTransfer-Encoding: chunked\n\n3\nabc\n0\n\n", FRAMING),
    ("HTTP/1.1 200 OK\nContent-Length: 5\n\nabc", Cut),
    ("HTTP/1.1 200 OK\nTransfer-Encoding: chunked\n\n3\nabc\n", Cut),
    ("HTTP/1.1 200 OK\nTransfer-Encoding: chunked\n\n3\nabc\n0\n", Cut),
    ("HTTP/1.1 200 OK\nContent-Length: 3", Bad("upstream_truncated_head")),
    ("abc", MALFORMED),
    ("HTTP/0.9 200 OK\n\nabc", MALFORMED),
    ("<LT>html>hello<LT>/html>", MALFORMED),
    ("\n\nHTTP/1.1 200 OK\nContent-Length: 3\n\nabc", As(200, "abc")),
];

#[tokio::test]
async fn a_doubtful_response_is_a_502_or_gets_one_form() {
    let kept = KEPT.iter().map(|(text, comes)| (*text, *comes, raw(bytes(text))));
    let closed = CLOSED.iter().map(|(text, comes)| (*text, *comes, raw_then_close(bytes(text))));
    let cases: Vec<_> = kept.chain(closed).collect();
    let mut upstream = Upstream::new().on("/probe", reply(200).header("X-Target", "/probe").body("ok"));
    for (number, (_, _, script)) in cases.iter().enumerate() {
        upstream = upstream.on(&format!("/{number}"), script.clone());
    }
    let upstream = upstream.start().await;
    let door = Gateway::start(&format!("routes: {{all: {{path: /, to: \"http://{}\"}}}}", upstream.address())).await;
    let (mut wrong, mut asked) = (Vec::new(), 0);
    for (number, (text, comes, _)) in cases.iter().enumerate() {
        let playing = tokio::time::timeout(PATIENCE, play(&door, number, *comes, &mut asked));
        if let Err(why) = playing.await.unwrap_or_else(|_| Err("nothing came of it".into())) {
            wrong.push(format!("{:.120}: {why:.600}", format!("{text:?}")));
        }
    }
    assert!(wrong.is_empty(), "{} of {} responses:\n{}", wrong.len(), cases.len(), wrong.join("\n"));
}

async fn play(door: &Gateway, number: usize, comes: Comes, asked: &mut usize) -> Result<(), String> {
    let stream = TcpStream::connect(tcp_address(door)).await.unwrap();
    let (read, mut write) = stream.into_split();
    let mut answers = Answers::new(read, VecDeque::from(["GET".to_owned(), "GET".to_owned()]));
    write.write_all(format!("GET /{number} HTTP/1.1\r\nHost: a\r\n\r\n").as_bytes()).await.unwrap();
    let answer = answers.next().await;
    *asked += 1;
    let line = door.log(*asked).await.swap_remove(*asked - 1);
    let cause = line["cause"].as_str().unwrap_or("-").to_owned();
    let is_right = match (comes, &answer) {
        (Bad(wanted), Ok(Some(answer))) => answer.status == 502 && cause == wanted,
        (As(status, body), Ok(Some(answer))) => (answer.status, &*answer.body) == (status, body.as_bytes()),
        (Cut, Err(why)) => why.contains("ends within"),
        _ => false,
    };
    if !is_right {
        return Err(format!("not {comes:?}, but {answer:?}, of cause {cause}"));
    }
    *asked += 1;
    let probe = probe(door, &mut write, &mut answers).await?;
    match probe.body == b"ok" && probe.target.as_deref() == Some("/probe") {
        true => Ok(()),
        false => Err(format!("the next request got {probe:?}")),
    }
}

/// Asks again, on the same connection if the door has kept that.
async fn probe(
    door: &Gateway,
    write: &mut tokio::net::tcp::OwnedWriteHalf,
    answers: &mut Answers,
) -> Result<Answer, String> {
    let request = b"GET /probe HTTP/1.1\r\nHost: a\r\n\r\n";
    write.write_all(request).await.ok();
    if let Ok(Some(answer)) = answers.next().await {
        return Ok(answer);
    }
    let stream = TcpStream::connect(tcp_address(door)).await.unwrap();
    let (read, mut write) = stream.into_split();
    write.write_all(request).await.unwrap();
    Answers::new(read, VecDeque::new()).next().await?.ok_or_else(|| "no answer to the next request".into())
}

#[tokio::test]
async fn what_comes_when_nobody_has_asked_is_nobodys_answer() {
    let late = "HTTP/1.1 200 OK\r\nX-Target: evil\r\nContent-Length: 4\r\n\r\nevil";
    let gate = crate::support::Gate::new();
    let script = raw("HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabc").wait(&gate).body(late);
    let upstream = Upstream::new()
        .on("/first", script)
        .on("/probe", reply(200).header("X-Target", "/probe").body("ok"))
        .start()
        .await;
    let door = Gateway::start(&format!("routes: {{all: {{path: /, to: \"http://{}\"}}}}", upstream.address())).await;
    assert_eq!(door.get("/first").send().await.text(), "abc");
    gate.reached().await;
    gate.open();
    for _ in 0..20 {
        let answer = door.get("/probe").send().await;
        assert_eq!((answer.text(), answer.header("x-target")), ("ok", Some("/probe")));
    }
}
