//! Frames: RFC 9113, 4.1, 4.2, 6 and 7.

use h2::Reason;

use super::Comes::{Answer, Goaway, Nothing, Reset};
use super::{GENERIC, STRICTER, case, good, half_closed, hold, open};
use crate::support::http2::{
    ACK, CONTINUATION, DATA, END_HEADERS, END_STREAM, GOAWAY, HEADERS, PADDED, PING, PRIORITY, PRIORITY_FLAG,
    RST_STREAM, SETTINGS, WINDOW_UPDATE, asking, fields, frame,
};

const PROTOCOL: Reason = Reason::PROTOCOL_ERROR;
const SIZE: Reason = Reason::FRAME_SIZE_ERROR;
const FLOW: Reason = Reason::FLOW_CONTROL_ERROR;

fn settings(id: u16, value: u32) -> Vec<u8> {
    frame(SETTINGS, 0, 0, &[&id.to_be_bytes()[..], &value.to_be_bytes()].concat())
}

fn window(stream: u32, more: u32) -> Vec<u8> {
    frame(WINDOW_UPDATE, 0, stream, &more.to_be_bytes())
}

#[tokio::test]
async fn frames_have_their_form() {
    let reserved = |mut bytes: Vec<u8>| {
        bytes[5] |= 0x80;
        bytes
    };
    hold(vec![
        case("4.1", "flags that a kind does not have", frame(PING, 0x16, 0, b"01234567"), Nothing),
        case("4.1", "the reserved bit", reserved(frame(PING, 0, 0, b"01234567")), Nothing),
        case("4.2", "DATA of 2^14 bytes", [open(1), frame(DATA, 0, 1, &[0; 1 << 14])].concat(), Nothing),
        case(
            "4.2",
            "DATA that is larger",
            [open(1), frame(DATA, END_STREAM, 1, &[0; (1 << 14) + 1])].concat(),
            Goaway(SIZE),
        ),
        case(
            "4.2",
            "HEADERS that are larger",
            frame(HEADERS, END_HEADERS | END_STREAM, 1, &[0; (1 << 14) + 1]),
            Goaway(SIZE),
        ),
        case("6.1", "DATA on stream 0", frame(DATA, END_STREAM, 0, b"test"), Goaway(PROTOCOL)),
        case("6.1", "DATA with padding", [open(1), frame(DATA, PADDED, 1, &[3, b'a', 0, 0, 0])].concat(), Nothing),
        case(
            "6.1",
            "DATA with more padding than payload",
            [open(1), frame(DATA, PADDED, 1, &[5, b'a', 0, 0, 0])].concat(),
            Goaway(PROTOCOL),
        ),
        case("6.2", "HEADERS on stream 0", good(0), Goaway(PROTOCOL)),
        case(
            "6.2",
            "HEADERS with padding",
            frame(
                HEADERS,
                END_HEADERS | END_STREAM | PADDED,
                1,
                &[&[2][..], &crate::support::http2::good(), &[0, 0]].concat(),
            ),
            Answer(200),
        ),
        case(
            "6.2",
            "HEADERS with more padding than payload",
            frame(HEADERS, END_HEADERS | END_STREAM | PADDED, 1, &[200, 0x82]),
            Goaway(PROTOCOL),
        ),
        case(
            "6.2",
            "HEADERS with a priority",
            frame(
                HEADERS,
                END_HEADERS | END_STREAM | PRIORITY_FLAG,
                1,
                &[&[0, 0, 0, 0, 9][..], &crate::support::http2::good()].concat(),
            ),
            Answer(200),
        ),
        case("6.3", "PRIORITY on stream 0", frame(PRIORITY, 0, 0, &[0; 5]), Goaway(PROTOCOL)),
        case("6.3", "PRIORITY that is not 5 bytes long", frame(PRIORITY, 0, 1, &[0; 4]), Reset(SIZE))
            .but(Goaway(PROTOCOL), STRICTER),
        case("6.4", "RST_STREAM on stream 0", frame(RST_STREAM, 0, 0, &[0; 4]), Goaway(PROTOCOL)),
        case(
            "6.4",
            "RST_STREAM that is not 4 bytes long",
            [open(1), frame(RST_STREAM, 0, 1, &[0; 3])].concat(),
            Goaway(SIZE),
        )
        .but(Goaway(PROTOCOL), GENERIC),
        case("6.7", "PING", frame(PING, 0, 0, b"01234567"), Nothing),
        case("6.7", "PING with ACK", frame(PING, ACK, 0, b"01234567"), Nothing),
        case("6.7", "PING on a stream", frame(PING, 0, 1, b"01234567"), Goaway(PROTOCOL)),
        case("6.7", "PING that is not 8 bytes long", frame(PING, 0, 0, b"0123456"), Goaway(SIZE))
            .but(Goaway(PROTOCOL), GENERIC),
        case("6.8", "GOAWAY on a stream", frame(GOAWAY, 0, 1, &[0; 8]), Goaway(PROTOCOL)),
        case("7", "RST_STREAM with an unknown code", [open(1), frame(RST_STREAM, 0, 1, &[0xff; 4])].concat(), Nothing),
    ])
    .await;
}

#[tokio::test]
async fn settings_have_their_bounds() {
    hold(vec![
        case("6.5", "ACK with a payload", frame(SETTINGS, ACK, 0, &[0; 6]), Goaway(SIZE))
            .but(Goaway(PROTOCOL), GENERIC),
        case("6.5", "on a stream", frame(SETTINGS, 0, 1, &[0; 6]), Goaway(PROTOCOL)),
        case("6.5", "a length that is no multiple of 6", frame(SETTINGS, 0, 0, &[0; 5]), Goaway(SIZE))
            .but(Goaway(PROTOCOL), GENERIC),
        case("6.5.2", "ENABLE_PUSH neither 0 nor 1", settings(2, 2), Goaway(PROTOCOL)),
        case("6.5.2", "INITIAL_WINDOW_SIZE above 2^31-1", settings(4, 1 << 31), Goaway(FLOW))
            .but(Goaway(PROTOCOL), GENERIC),
        case("6.5.2", "MAX_FRAME_SIZE below 2^14", settings(5, (1 << 14) - 1), Goaway(PROTOCOL)),
        case("6.5.2", "MAX_FRAME_SIZE above 2^24-1", settings(5, 1 << 24), Goaway(PROTOCOL)),
        case("6.5.2", "an unknown setting", settings(0xff, 1), Nothing),
        case("6.5.2", "HEADER_TABLE_SIZE of 0", [settings(1, 0), good(1)].concat(), Answer(200)),
        case("6.5.3", "the same setting twice", [settings(4, 100), settings(4, 1), good(1)].concat(), Answer(200)),
    ])
    .await;
}

#[tokio::test]
async fn windows_have_their_bounds() {
    hold(vec![
        case("6.9", "0 for the connection", window(0, 0), Goaway(PROTOCOL)),
        case("6.9", "0 for a stream", [open(1), window(1, 0)].concat(), Reset(PROTOCOL))
            .but(Goaway(PROTOCOL), STRICTER),
        case("6.9", "not 4 bytes long", frame(WINDOW_UPDATE, 0, 0, &[0; 3]), Goaway(SIZE))
            .but(Goaway(PROTOCOL), GENERIC),
        case(
            "6.9.1",
            "above 2^31-1 for the connection",
            [window(0, u32::MAX >> 1), window(0, u32::MAX >> 1)].concat(),
            Goaway(FLOW),
        ),
        case(
            "6.9.1",
            "above 2^31-1 for a stream",
            [open(1), window(1, u32::MAX >> 1), window(1, u32::MAX >> 1)].concat(),
            Reset(FLOW),
        ),
        case(
            "6.9.2",
            "INITIAL_WINDOW_SIZE that makes a stream's too large",
            [open(1), window(1, (u32::MAX >> 1) - 65_535), settings(4, 65_536)].concat(),
            Goaway(FLOW),
        ),
        case(
            "6.9.1",
            "more DATA than the window of the stream",
            [open(1), (0..17).flat_map(|_| frame(DATA, 0, 1, &[0; 1 << 14])).collect()].concat(),
            Reset(FLOW),
        )
        .but(Goaway(FLOW), STRICTER),
    ])
    .await;
}

#[tokio::test]
async fn continuations_follow_their_headers() {
    let block = asking("GET", &[("x-long", &"l".repeat(300))]);
    let (front, rest) = block.split_at(100);
    let (middle, back) = rest.split_at(100);
    let head = || frame(HEADERS, END_STREAM, 1, front);
    let end = |block: &[u8], stream| frame(CONTINUATION, END_HEADERS, stream, block);
    let x = fields(&[("x-more", "1")]);
    hold(vec![
        case("6.10", "several", [head(), frame(CONTINUATION, 0, 1, middle), end(back, 1)].concat(), Answer(200)),
        case("6.10", "on stream 0", [head(), end(rest, 0)].concat(), Goaway(PROTOCOL)),
        case("6.10", "on another stream", [head(), end(rest, 3)].concat(), Goaway(PROTOCOL)),
        case("6.10", "behind HEADERS that end their fields", [half_closed(1), end(&x, 1)].concat(), Goaway(PROTOCOL)),
        case(
            "6.10",
            "behind CONTINUATION that ends them",
            [head(), end(rest, 1), end(&x, 1)].concat(),
            Goaway(PROTOCOL),
        ),
        case("6.10", "behind DATA", [open(1), frame(DATA, 0, 1, b"test"), end(&x, 1)].concat(), Goaway(PROTOCOL)),
        case("6.10", "another frame before the end", [head(), frame(PING, 0, 0, &[0; 8])].concat(), Goaway(PROTOCOL)),
    ])
    .await;
}
