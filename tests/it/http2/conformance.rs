//! What RFC 9113 (and 7541) say that a server must do, asked from outside frame by frame, in the manner of h2spec.
//!
//! Where the door does something else than the RFC has it, the row says so with its reason, and fails when that changes.

mod fields;
mod frames;
mod hpack;
mod streams;

use std::time::Duration;

use h2::Reason;

use crate::support::http2::{ACK, Frames, GOAWAY, HEADERS, PING, RST_STREAM, SETTINGS, code, frame};
use crate::support::*;

/// What comes of what was sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Comes {
    /// The connection ends by a GOAWAY with this code.
    Goaway(Reason),
    /// The connection is closed without a word.
    Closed,
    /// The stream is reset with this code; the connection lives on.
    Reset(Reason),
    /// A response with this status; the connection lives on.
    Answer(u16),
    /// Nothing; the connection lives on.
    Nothing,
    /// Not what is waited for, for two seconds.
    Silence,
}

/// Why another code is as good: RFC 9113, 5.4, of generic ones.
const GENERIC: &str = "a generic code can always be used in place of more specific ones (5.4)";

/// Why another reaction is as good: RFC 9113, 5.4.2.
const STRICTER: &str = "what is an error of a stream may be taken for one of the connection (5.4.1)";

/// A row: what is sent on a new connection after preface and SETTINGS, and what must come.
struct Case {
    section: &'static str,
    what: &'static str,
    sent: Vec<u8>,
    must: Comes,
    /// What comes in its place, and why that is borne.
    instead: Option<(Comes, &'static str)>,
}

fn case(section: &'static str, what: &'static str, sent: Vec<u8>, must: Comes) -> Case {
    Case { section, what, sent, must, instead: None }
}

impl Case {
    /// A deviation that is known.
    fn but(self, comes: Comes, why: &'static str) -> Self {
        Self { instead: Some((comes, why)), ..self }
    }
}

/// What comes of it on a new connection.
async fn comes(address: &Address, sent: &[u8], awaits: Comes) -> Comes {
    let mut client = Frames::greeted(address).await;
    client.write(sent).await;
    if awaits == Comes::Nothing {
        client.send(PING, 0, 0, b"are you?").await;
    }
    let came = first(&mut client).await;
    match came {
        Comes::Goaway(_) => assert_eq!(client.next_of(GOAWAY).await, None, "it is closed after a GOAWAY"),
        Comes::Closed => {}
        _ => assert!(client.works().await, "the connection lives on after {came:?}"),
    }
    came
}

async fn first(client: &mut Frames) -> Comes {
    loop {
        let came = match client.next_within(Duration::from_secs(2)).await {
            Some(Some(came)) => came,
            Some(None) => return Comes::Closed,
            None => return Comes::Silence,
        };
        match (came.kind, came.flags & ACK) {
            (SETTINGS, 0) => client.write(&frame(SETTINGS, ACK, 0, &[])).await,
            (PING, ACK) => return Comes::Nothing,
            (GOAWAY, _) => return Comes::Goaway(code(&came.payload[4..8])),
            (RST_STREAM, _) => return Comes::Reset(code(&came.payload)),
            (HEADERS, _) => return Comes::Answer(status(&came.payload)),
            _ => {}
        }
    }
}

/// The status in a block of fields that begins with it.
fn status(block: &[u8]) -> u16 {
    match block {
        // RFC 7541, appendix A.
        [indexed @ 0x88..=0x8e, ..] => [200, 204, 206, 304, 400, 404, 500][usize::from(indexed - 0x88)],
        // Not in the table: in Huffman's code.
        [0x48, 0x82, 0x6c, 0x01, ..] => 501,
        // Behind a change of the table's size.
        [0x20..=0x3f, rest @ ..] => status(rest),
        _ => 0,
    }
}

/// Asks all of a table, and tells of every row that is not as it says.
async fn hold(cases: Vec<Case>) {
    let api = Upstream::new().on("/mute", silence()).on("*", reply(200).body("ok")).start().await;
    let door = super::door_with(api.address(), ", limits: {streams: 10}", "").await;
    let mut wrong = Vec::new();
    for Case { section, what, sent, must, instead } in &cases {
        let expected = instead.map_or(*must, |(comes, _)| comes);
        let came = comes(door.client().address(), sent, expected).await;
        if came != expected {
            let why = instead.map(|(_, why)| format!(" (deviates: {why})")).unwrap_or_default();
            wrong.push(format!("{section}: {what}: must {must:?}, expected {expected:?}{why}, came {came:?}"));
        }
    }
    assert!(wrong.is_empty(), "{} of {} rows:\n{}", wrong.len(), cases.len(), wrong.join("\n"));
}

/// A good request on a stream, which gets a response.
fn good(stream: u32) -> Vec<u8> {
    use crate::support::http2::{END_HEADERS, END_STREAM};
    frame(HEADERS, END_HEADERS | END_STREAM, stream, &crate::support::http2::good())
}

/// A request on a stream that stays open: its body is not over, and its upstream says nothing.
fn open(stream: u32) -> Vec<u8> {
    frame(HEADERS, crate::support::http2::END_HEADERS, stream, &mute("POST"))
}

/// A request on a stream that is whole, and gets no response.
fn half_closed(stream: u32) -> Vec<u8> {
    use crate::support::http2::{END_HEADERS, END_STREAM};
    frame(HEADERS, END_HEADERS | END_STREAM, stream, &mute("GET"))
}

fn mute(method: &str) -> Vec<u8> {
    let pseudo = [(":method", method), (":scheme", "http"), (":path", "/mute"), (":authority", "door.test")];
    crate::support::http2::fields(&pseudo)
}
