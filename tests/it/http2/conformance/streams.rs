//! Connections and streams: RFC 9113, 3.4, 5 and 8.4.

use h2::Reason;

use super::Comes::{Answer, Goaway, Nothing, Reset};
use super::{STRICTER, case, good, half_closed, hold, open};
use crate::support::http2::{
    CONTINUATION, DATA, END_HEADERS, END_STREAM, Frames, HEADERS, PING, PREFACE, PRIORITY, PRIORITY_FLAG, PUSH_PROMISE,
    RST_STREAM, SETTINGS, WINDOW_UPDATE, fields, frame,
};
use crate::support::*;

const PROTOCOL: Reason = Reason::PROTOCOL_ERROR;
const STREAM_CLOSED: Reason = Reason::STREAM_CLOSED;

fn reset(stream: u32) -> Vec<u8> {
    frame(RST_STREAM, 0, stream, &[0, 0, 0, 8])
}

fn data(stream: u32, flags: u8) -> Vec<u8> {
    frame(DATA, flags, stream, b"test")
}

fn more(stream: u32) -> Vec<u8> {
    frame(CONTINUATION, END_HEADERS, stream, &fields(&[("x-more", "1")]))
}

fn window(stream: u32) -> Vec<u8> {
    frame(WINDOW_UPDATE, 0, stream, &[0, 0, 0, 100])
}

#[tokio::test]
async fn streams_have_their_states() {
    hold(vec![
        case("5.1 idle", "DATA", data(1, END_STREAM), Goaway(PROTOCOL)),
        case("5.1 idle", "RST_STREAM", reset(1), Goaway(PROTOCOL)),
        case("5.1 idle", "WINDOW_UPDATE", window(1), Goaway(PROTOCOL)),
        case("5.1 idle", "CONTINUATION", more(1), Goaway(PROTOCOL)),
        case("5.1 idle", "PRIORITY", frame(PRIORITY, 0, 1, &[0, 0, 0, 0, 1]), Nothing),
        case("5.1 half-closed (remote)", "DATA", [half_closed(1), data(1, END_STREAM)].concat(), Reset(STREAM_CLOSED))
            .but(Goaway(PROTOCOL), STRICTER),
        case("5.1 half-closed (remote)", "HEADERS", [half_closed(1), half_closed(1)].concat(), Reset(STREAM_CLOSED))
            .but(Goaway(PROTOCOL), STRICTER),
        case("5.1 half-closed (remote)", "CONTINUATION", [half_closed(1), more(1)].concat(), Goaway(PROTOCOL)),
        case("5.1 half-closed (remote)", "WINDOW_UPDATE", [half_closed(1), window(1)].concat(), Nothing),
        case(
            "5.1 half-closed (remote)",
            "PRIORITY",
            [half_closed(1), frame(PRIORITY, 0, 1, &[0; 5])].concat(),
            Nothing,
        ),
        case("5.1 half-closed (remote)", "RST_STREAM", [half_closed(1), reset(1)].concat(), Nothing),
        case(
            "5.1 closed by RST_STREAM",
            "DATA",
            [open(1), reset(1), data(1, END_STREAM)].concat(),
            Reset(STREAM_CLOSED),
        ),
        case("5.1 closed by RST_STREAM", "HEADERS", [open(1), reset(1), open(1)].concat(), Reset(STREAM_CLOSED))
            .but(Goaway(PROTOCOL), STRICTER),
        case("5.1 closed by RST_STREAM", "CONTINUATION", [open(1), reset(1), more(1)].concat(), Goaway(PROTOCOL)),
        case("5.1 closed by RST_STREAM", "WINDOW_UPDATE", [open(1), reset(1), window(1)].concat(), Nothing),
        case("5.1 closed by RST_STREAM", "RST_STREAM", [open(1), reset(1), reset(1)].concat(), Nothing),
        case(
            "5.1 closed by RST_STREAM",
            "PRIORITY",
            [open(1), reset(1), frame(PRIORITY, 0, 1, &[0; 5])].concat(),
            Nothing,
        ),
        case("5.1.1", "an even number", good(2), Goaway(PROTOCOL)),
        case(
            "5.1.1",
            "a number that is smaller than one before",
            [half_closed(5), half_closed(3)].concat(),
            Goaway(PROTOCOL),
        ),
        case("5.1.1", "numbers that are left out", [half_closed(5), half_closed(7), good(101)].concat(), Answer(200)),
        case(
            "5.1.2",
            "more streams than allowed",
            (0..11).flat_map(|n| half_closed(2 * n + 1)).collect(),
            Reset(Reason::REFUSED_STREAM),
        ),
    ])
    .await;
}

#[tokio::test]
async fn extensions_and_pushes_have_their_place() {
    let split = |between: Vec<u8>| {
        let (front, back) = (frame(HEADERS, END_STREAM, 1, &fields(&[(":method", "GET")])), more(1));
        [front, between, back].concat()
    };
    hold(vec![
        case("5.5", "a frame of an unknown kind", frame(0xfe, 0xff, 0, b"what"), Nothing),
        case("5.5", "the same on a stream", [half_closed(1), frame(0xfe, 0, 1, b"what")].concat(), Nothing),
        case("5.5", "the same within a block of fields", split(frame(0xfe, 0, 0, b"what")), Goaway(PROTOCOL)),
        case("4.3", "PRIORITY within a block of fields", split(frame(PRIORITY, 0, 1, &[0; 5])), Goaway(PROTOCOL)),
        case("4.3", "another stream's HEADERS within a block of fields", split(good(3)), Goaway(PROTOCOL)),
        case("6.10", "DATA within a block of fields", split(data(1, 0)), Goaway(PROTOCOL)),
        case(
            "8.4",
            "PUSH_PROMISE from a client",
            [open(1), frame(PUSH_PROMISE, END_HEADERS, 1, &[0, 0, 0, 2])].concat(),
            Goaway(PROTOCOL),
        ),
        case(
            "5.3.1 of RFC 7540",
            "HEADERS that depend on themselves",
            frame(
                HEADERS,
                END_HEADERS | END_STREAM | PRIORITY_FLAG,
                1,
                &[&[0, 0, 0, 1, 255][..], &crate::support::http2::good()].concat(),
            ),
            Answer(200),
        )
        .but(Reset(PROTOCOL), "RFC 9113 has no priorities any more; h2 holds to the older rule"),
    ])
    .await;
}

#[tokio::test]
async fn a_connection_begins_with_the_preface_and_settings() {
    let api = Upstream::new().on("*", reply(200)).start().await;
    let door = super::super::door(api.address()).await;
    let begin = async |bytes: &[u8]| {
        let mut client = Frames::connect(door.client().address()).await;
        client.write(bytes).await;
        super::first(&mut client).await
    };
    // RFC 9113, 3.4: SETTINGS must be first; h2 reads on all the same.
    assert_eq!(begin(&[PREFACE, &frame(PING, 0, 0, b"too soon")].concat()).await, Nothing);
    assert_eq!(begin(&[PREFACE, &frame(SETTINGS, 0, 0, &[]), &good(1)].concat()).await, Answer(200));
    // By prior knowledge it is HTTP/2 only if it begins so; else HTTP/1 says what is wrong.
    let said = Client::to(door.client().address()).raw("PRI * HTTP/2.0\r\n\r\nNO\r\n\r\n").await;
    assert!(said.starts_with(b"HTTP/1.1 400 "), "{}", String::from_utf8_lossy(&said));
}
