//! Clients that send without end what costs them little: each is stopped, and nobody else notices.

use std::time::Duration;

use h2::Reason;

use super::{door, door_with, listeners};
use crate::support::http2::{
    Came, DATA, END_HEADERS, END_STREAM, Frames, HEADERS, Http2, PADDED, PING, PRIORITY, RST_STREAM, SETTINGS,
    WINDOW_UPDATE, asking, frame, good,
};
use crate::support::*;

const CALM: Came = Came::Goaway(Reason::ENHANCE_YOUR_CALM);

/// What is sent first, and then again and again, by the number of the turn.
type Flood = (&'static str, Vec<u8>, fn(u32) -> Vec<u8>);

fn opened() -> Vec<u8> {
    frame(HEADERS, END_HEADERS, 1, &asking("POST", &[]))
}

fn floods() -> Vec<Flood> {
    vec![
        ("PING", vec![], |_| frame(PING, 0, 0, &[0; 8])),
        ("SETTINGS", vec![], |_| frame(SETTINGS, 0, 0, &[0, 3, 0, 0, 0, 100])),
        ("PRIORITY", vec![], |turn| frame(PRIORITY, 0, 2 * turn + 1, &[0, 0, 0, 0, 1])),
        ("WINDOW_UPDATE", vec![], |_| frame(WINDOW_UPDATE, 0, 0, &[0, 0, 0, 1])),
        ("WINDOW_UPDATE of a stream", opened(), |_| frame(WINDOW_UPDATE, 0, 1, &[0, 0, 0, 1])),
        ("empty DATA", opened(), |_| frame(DATA, 0, 1, &[])),
        ("DATA of padding", opened(), |_| frame(DATA, PADDED, 1, &[&[200][..], &[0; 200]].concat())),
        ("unknown frames", vec![], |_| frame(0xfe, 0, 0, b"what")),
        ("rapid resets", vec![], |turn| {
            let head = frame(HEADERS, END_HEADERS | END_STREAM, 2 * turn + 1, &good());
            [head, frame(RST_STREAM, 0, 2 * turn + 1, &[0, 0, 0, 8])].concat()
        }),
        ("requests beyond those allowed at a time", vec![], |turn| {
            frame(HEADERS, END_HEADERS, 2 * turn + 1, &asking("POST", &[]))
        }),
        ("resets of streams that broke rules", vec![], |turn| {
            // The door has to reset each of them itself (CVE-2025-8671, "MadeYouReset").
            let head = frame(HEADERS, END_HEADERS, 2 * turn + 1, &asking("POST", &[]));
            let window = frame(WINDOW_UPDATE, 0, 2 * turn + 1, &(u32::MAX >> 1).to_be_bytes());
            [head, window].concat()
        }),
    ]
}

#[tokio::test]
async fn frames_of_no_use_without_end_are_stopped_and_told_of_once() {
    let api = Upstream::new().on("POST *", silence()).on("*", reply(200).body("hi")).start().await;
    for (what, first, turn) in floods() {
        let door = door(api.address()).await;
        let mut other = Http2::connect(door.client().address()).await;
        let mut client = Frames::greeted(door.client().address()).await;
        client.write(&first).await;
        for turns in 0..6 {
            let bytes: Vec<u8> = (500 * turns..500 * (turns + 1)).flat_map(turn).collect();
            client.write(&bytes).await;
        }
        let came = loop {
            match client.outcome().await {
                // What was begun before it was too much.
                Came::Answer | Came::Reset(_) => {}
                came => break came,
            }
        };
        assert_eq!(came, CALM, "{what}");
        assert_eq!(client.outcome().await, Came::Closed, "{what}");
        assert_eq!(other.get("/").await.text(), "hi", "{what}");
        let told = |line: &&serde_json::Value| line["cause"] == "http2_flood";
        let lines = async {
            loop {
                let lines = door.log(1).await;
                if lines.iter().any(|line| told(&line)) {
                    return lines;
                }
            }
        };
        let lines = within("the line", lines).await;
        assert_eq!(lines.iter().filter(told).count(), 1, "{what}");
    }
}

#[tokio::test]
async fn a_few_of_them_are_fine() {
    let api = Upstream::new().on("*", reply(200)).start().await;
    let door = door(api.address()).await;
    let mut client = Frames::greeted(door.client().address()).await;
    for kind in [PING, 0xfe] {
        let bytes: Vec<u8> = (0..300).flat_map(|_| frame(kind, 0, 0, &[0; 8])).collect();
        client.write(&bytes).await;
    }
    assert!(client.works().await);
}

#[tokio::test]
async fn continuation_frames_without_end_are_stopped() {
    let api = Upstream::new().on("*", reply(200)).start().await;
    let door = door(api.address()).await;
    let mut client = Frames::greeted(door.client().address()).await;
    client.send(HEADERS, END_STREAM, 1, &good()).await;
    for _ in 0..1000 {
        client.send(9, 0, 1, &[0, 1, b'a', 1, b'b']).await;
    }
    assert_eq!(client.outcome().await, CALM);
    assert_eq!(door.cause(1).await.0, "http2_flood");
}

#[tokio::test]
async fn small_pieces_that_nobody_reads_are_stopped() {
    let api = Upstream::new().on("*", silence().never_reading()).start().await;
    let door = door(api.address()).await;
    let mut client = Frames::greeted(door.client().address()).await;
    client.write(&opened()).await;
    let pieces: Vec<u8> = (0..1000).flat_map(|_| frame(DATA, 0, 1, b"x")).collect();
    let flood = async { while client.try_write(&pieces).await.is_ok() {} };
    tokio::time::timeout(Duration::from_secs(5), flood).await.ok();
    assert!(matches!(client.outcome().await, Came::Goaway(Reason::ENHANCE_YOUR_CALM) | Came::Closed));
}

#[tokio::test]
async fn a_head_that_does_not_end_ends_the_connection() {
    let api = Upstream::new().on("*", reply(200)).start().await;
    let door = door_with(api.address(), ", limits: {header_timeout: 100ms}", "").await;
    let mut client = Frames::greeted(door.client().address()).await;
    client.send(HEADERS, END_STREAM, 1, &good()).await;
    assert_eq!(client.outcome().await, CALM);
    assert_eq!(door.cause(1).await, ("head_timeout".into(), 408));
    // The same where it stops within a frame.
    let mut client = Frames::greeted(door.client().address()).await;
    client.write(&frame(HEADERS, END_STREAM | END_HEADERS, 1, &good())[..20]).await;
    assert_eq!(client.outcome().await, CALM);
    assert_eq!(door.cause(2).await, ("head_timeout".into(), 408));
}

#[tokio::test]
async fn who_takes_nothing_at_all_loses_the_connection() {
    let api = Upstream::new().on("*", reply(200).filler(64 << 20)).start().await;
    let yaml = format!(
        "{}\nroutes: {{all: {{path: /, timeout: off, to: \"http://{}\"}}}}",
        listeners(", limits: {body_timeout: 200ms}"),
        api.address()
    );
    let door = Gateway::start(&yaml).await;
    let mut client = Frames::greeted(door.client().address()).await;
    // Windows that are wide open, and a socket that nobody reads.
    client.send(SETTINGS, 0, 0, &[0, 4, 0x7f, 0xff, 0xff, 0xff]).await;
    client.send(WINDOW_UPDATE, 0, 0, &[0x7f, 0, 0, 0]).await;
    client.send(HEADERS, END_STREAM | END_HEADERS, 1, &good()).await;
    assert_eq!(door.cause(1).await, ("client_read_timeout".into(), 200));
    assert_eq!(within("the drain", door.drain()).await, 0);
}
