//! Requests that two servers could read in two ways, sent through a whole door to an upstream that keeps every byte.
//!
//! Each is either refused, or goes on in a form that every reader reads alike: as one message for each that a strict
//! reader finds in what the client sent, and no more. The readers ([`reader`]) share nothing with the door.

mod answers;
mod cases;
mod made;
mod reader;
mod recorder;
mod responses;
mod written;

use std::net::SocketAddr;

use onedoor::server::BoundAddress;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

use crate::support::{Gateway, PATIENCE};
use answers::{Answer, Answers};
use cases::{Case, Expected};
use reader::{End, Message, Read, by_httparse, careless, strict};
use recorder::Recorder;

/// How a case is sent, with an innocent request behind it on the same connection.
#[derive(Debug, Clone, Copy)]
enum Manner {
    /// The innocent request is sent when the case was answered.
    InTurn,
    /// Both at once.
    Pipelined,
    /// Both, a few bytes at a time.
    InPieces,
}

#[tokio::test]
async fn a_request_goes_on_as_the_one_that_everybody_reads_or_not_at_all() {
    play_all(Manner::InTurn).await;
}

#[tokio::test]
async fn a_pipelined_request_is_answered_as_one_of_its_own_or_the_connection_is_closed() {
    play_all(Manner::Pipelined).await;
}

#[tokio::test]
async fn what_is_doubtful_is_so_in_whatever_pieces_it_comes() {
    play_all(Manner::InPieces).await;
}

#[test]
fn the_cases_are_many() {
    let mut cases = cases::all();
    assert!(cases.len() >= 300, "{}", cases.len());
    cases.sort_by(|a, b| a.bytes.cmp(&b.bytes));
    let twice: Vec<&str> =
        cases.windows(2).filter(|two| two[0].bytes == two[1].bytes).map(|two| &*two[0].name).collect();
    assert!(twice.is_empty(), "{twice:#?}");
}

async fn play_all(manner: Manner) {
    let recorder = Recorder::start().await;
    let door = Gateway::start(&format!("routes: {{all: {{path: /, to: \"http://{}\"}}}}", recorder.address)).await;
    let address = tcp_address(&door);
    let mut wrong = Vec::new();
    for (number, case) in cases::all().iter().enumerate() {
        let probe = format!("/probe/{number}");
        let playing = tokio::time::timeout(PATIENCE, play(address, &recorder, case, &probe, manner));
        if let Err(why) = playing.await.unwrap_or_else(|_| Err("nothing came of it".into())) {
            wrong.push(format!("{}: {why}", case.name));
        }
    }
    assert!(wrong.is_empty(), "{} cases, {manner:?}:\n{}", wrong.len(), wrong.join("\n"));
}

/// Where the door's one listener is.
fn tcp_address(door: &Gateway) -> SocketAddr {
    match door.server().addresses().into_values().next() {
        Some(BoundAddress::Tcp(address)) => address,
        other => panic!("a TCP address, not {other:?}"),
    }
}

/// Plays a case; what is wrong with what came of it.
async fn play(door: SocketAddr, recorder: &Recorder, case: &Case, probe: &str, manner: Manner) -> Result<(), String> {
    let mark = recorder.mark();
    let innocent = format!("GET {probe} HTTP/1.1\r\nHost: innocent.test\r\n\r\n").into_bytes();
    let all = [&case.bytes[..], &innocent].concat();
    let expected = strict(&all);
    let stream = TcpStream::connect(door).await.unwrap();
    stream.set_nodelay(true).unwrap();
    let (read, mut write) = stream.into_split();
    let methods = expected.messages.iter().map(|message| message.method.clone()).collect();
    let mut answers = Answers::new(read, methods);
    let mut had = Vec::new();
    match manner {
        Manner::InTurn => {
            // A door that refuses the beginning may close before the end.
            write.write_all(&case.bytes).await.ok();
            let own = strict(&case.bytes).messages.len().max(1);
            while had.len() < own
                && let Some(answer) = answers.next().await?
            {
                had.push(answer);
            }
            write.write_all(&innocent).await.ok();
        }
        Manner::Pipelined => drop(write.write_all(&all).await.ok()),
        Manner::InPieces => {
            for piece in all.chunks(23.max(all.len() / 64)) {
                write.write_all(piece).await.ok();
                write.flush().await.ok();
                tokio::task::yield_now().await;
            }
        }
    }
    while !had.iter().any(|answer| answer.target.as_deref() == Some(probe))
        && let Some(answer) = answers.next().await?
    {
        had.push(answer);
    }
    judge(case, &expected, &had, &recorder.since(mark), probe)
}

/// Whether answers and what has reached the upstream are as they may be.
fn judge(case: &Case, expected: &Read, answers: &[Answer], connections: &[Vec<u8>], probe: &str) -> Result<(), String> {
    let mut forwarded = Vec::new();
    for bytes in connections {
        forwarded.extend(agreed(bytes)?);
    }
    let is_refused = answers.first().is_none_or(|answer| answer.target.is_none());
    match case.expected {
        Expected::Forwarded if is_refused => return Err(format!("was refused: {answers:?}")),
        Expected::Refused(status) if answers.first().map(|answer| answer.status) != Some(status) => {
            return Err(format!("was to be refused with {status}: {answers:?}"));
        }
        _ => {}
    }
    let mut meant = expected.messages.iter();
    let mut went = forwarded.iter();
    for answer in answers {
        let message = meant.next();
        if answer.target.is_none() {
            if answer.status < 400 {
                return Err(format!("answered with {} by nobody", answer.status));
            }
            continue;
        }
        let (Some(message), Some(gone)) = (message, went.next()) else {
            return Err(format!("an answer too many: {answers:?}, upstream got {forwarded:?}"));
        };
        if (&message.method, &message.body) != (&gone.method, &gone.body) {
            return Err(format!("meant {message:?}, gone on as {gone:?}"));
        }
    }
    if let Some(more) = went.next() {
        return Err(format!("the upstream got {more:?}, and nobody an answer to it"));
    }
    let is_whole = answers.last().is_some_and(|answer| answer.target.as_deref() == Some(probe));
    let is_in_doubt = expected.end != End::Clean;
    if is_in_doubt && is_whole {
        return Err(format!("{:?}, and still the innocent request got an answer", expected.end));
    }
    // A connection that ends says why: by an answer of the door's own, or by an answer that is the last.
    let says_why = answers.last().is_some_and(|answer| answer.status >= 400 || answer.closes);
    if !is_whole && !says_why {
        return Err(format!("the connection ended without a word: {answers:?}"));
    }
    Ok(())
}

/// What every reader finds in the bytes of one connection to the upstream.
fn agreed(bytes: &[u8]) -> Result<Vec<Message>, String> {
    let told = || bytes.escape_ascii();
    let read = strict(bytes);
    if let End::Wrong(why) = read.end {
        return Err(format!("the upstream got {why}: {}", told()));
    }
    for headers in &read.headers {
        for (name, value) in headers {
            let is_hop = matches!(&**name, "te" | "trailer" | "keep-alive" | "proxy-connection" | "http2-settings");
            if is_hop || (name == "upgrade" && value != "websocket") {
                return Err(format!("the upstream got `{name}: {value}`"));
            }
        }
    }
    let lenient = careless().map(|way| (format!("{way:?}"), way.read(bytes)));
    for (reader, other) in lenient.chain([("httparse".to_owned(), by_httparse(bytes))]) {
        if other.messages != read.messages {
            return Err(format!("{reader} finds {:?} in {}", other.messages, told()));
        }
    }
    Ok(read.messages)
}
