//! Requests: RFC 9113, 8.

use h2::Reason;

use super::Comes::{self, Answer, Goaway, Nothing, Reset};
use super::{Case, STRICTER, case, hold, open};
use crate::support::http2::{DATA, END_HEADERS, END_STREAM, HEADERS, asking, fields, frame};

const PROTOCOL: Reason = Reason::PROTOCOL_ERROR;
const STRICTER_GOAWAY: Comes = Goaway(PROTOCOL);

const METHOD: (&str, &str) = (":method", "GET");
const SCHEME: (&str, &str) = (":scheme", "http");
const PATH: (&str, &str) = (":path", "/");
const AUTHORITY: (&str, &str) = (":authority", "door.test");

/// A request with these fields, which is malformed.
fn malformed(section: &'static str, what: &'static str, list: &[(&str, &str)]) -> Case {
    case(section, what, request(list), Reset(PROTOCOL))
}

fn request(list: &[(&str, &str)]) -> Vec<u8> {
    frame(HEADERS, END_HEADERS | END_STREAM, 1, &fields(list))
}

/// One that is good but for a field.
fn with(section: &'static str, what: &'static str, name: &str, value: &str) -> Case {
    malformed(section, what, &[METHOD, SCHEME, PATH, AUTHORITY, (name, value)])
}

#[tokio::test]
async fn fields_have_their_form() {
    hold(vec![
        with("8.2.1", "a name with capitals", "X-Test", "ok").but(STRICTER_GOAWAY, STRICTER),
        with("8.2.1", "an empty name", "", "ok").but(STRICTER_GOAWAY, STRICTER),
        with("8.2.1", "a name with a space", "x test", "ok").but(STRICTER_GOAWAY, STRICTER),
        with("8.2.1", "a name with a colon", "x:test", "ok").but(STRICTER_GOAWAY, STRICTER),
        with("8.2.1", "a name with a control byte", "x\u{7f}test", "ok").but(STRICTER_GOAWAY, STRICTER),
        with("8.2.1", "a value with NUL", "x-test", "a\0b").but(STRICTER_GOAWAY, STRICTER),
        with("8.2.1", "a value with a line feed", "x-test", "a\nb").but(STRICTER_GOAWAY, STRICTER),
        with("8.2.1", "a value with a carriage return", "x-test", "a\rb").but(STRICTER_GOAWAY, STRICTER),
        with("8.2.1", "a value that begins with a space", "x-test", " a")
            .but(Answer(200), "h2 passes it on, and the door trims nothing"),
        with("8.2.1", "a value that ends with a tab", "x-test", "a\t")
            .but(Answer(200), "h2 passes it on, and the door trims nothing"),
        with("8.2.2", "connection", "connection", "keep-alive"),
        with("8.2.2", "proxy-connection", "proxy-connection", "keep-alive"),
        with("8.2.2", "keep-alive", "keep-alive", "timeout=5"),
        with("8.2.2", "transfer-encoding", "transfer-encoding", "chunked"),
        with("8.2.2", "upgrade", "upgrade", "websocket"),
        with("8.2.2", "te other than trailers", "te", "trailers, deflate"),
        case("8.2.2", "te: trailers", request(&[METHOD, SCHEME, PATH, AUTHORITY, ("te", "trailers")]), Answer(200)),
    ])
    .await;
}

#[tokio::test]
async fn pseudo_fields_have_their_place() {
    hold(vec![
        malformed("8.3", "one that is unknown", &[METHOD, SCHEME, PATH, AUTHORITY, (":test", "ok")])
            .but(STRICTER_GOAWAY, STRICTER),
        malformed("8.3", "one of a response", &[METHOD, SCHEME, PATH, AUTHORITY, (":status", "200")]),
        malformed("8.3", "one behind a field", &[METHOD, SCHEME, PATH, ("x-test", "ok"), AUTHORITY]),
        malformed("8.3", "two methods", &[METHOD, METHOD, SCHEME, PATH, AUTHORITY]),
        malformed("8.3", "two schemes", &[METHOD, SCHEME, SCHEME, PATH, AUTHORITY]),
        malformed("8.3", "two paths", &[METHOD, SCHEME, PATH, PATH, AUTHORITY]),
        malformed("8.3", "two authorities", &[METHOD, SCHEME, PATH, AUTHORITY, AUTHORITY]),
        malformed("8.3.1", "no method", &[SCHEME, PATH, AUTHORITY]),
        malformed("8.3.1", "no scheme", &[METHOD, PATH, AUTHORITY]),
        malformed("8.3.1", "no path", &[METHOD, SCHEME, AUTHORITY]),
        malformed("8.3.1", "an empty path", &[METHOD, SCHEME, (":path", ""), AUTHORITY]),
        malformed("8.3.1", "an empty method", &[(":method", ""), SCHEME, PATH, AUTHORITY])
            .but(STRICTER_GOAWAY, STRICTER),
        malformed("8.3.1", "a method that is no token", &[(":method", "GE T"), SCHEME, PATH, AUTHORITY])
            .but(STRICTER_GOAWAY, STRICTER),
        malformed("8.3.1", "an authority that is none", &[METHOD, SCHEME, PATH, (":authority", "a b")]),
        malformed("8.5", "CONNECT with a path", &[(":method", "CONNECT"), SCHEME, PATH, AUTHORITY]),
        malformed(
            "8.5",
            "extended CONNECT, which is not offered (RFC 8441, 3)",
            &[(":method", "CONNECT"), (":protocol", "websocket"), SCHEME, PATH, AUTHORITY],
        ),
    ])
    .await;
}

#[tokio::test]
async fn what_h2_lets_through_is_refused_with_a_page() {
    let refused = |section, what, list: &[(&str, &str)]| case(section, what, request(list), Answer(400));
    hold(vec![
        refused(
            "8.3.1",
            "an authority that is not the Host",
            &[METHOD, SCHEME, PATH, AUTHORITY, ("host", "other.test")],
        ),
        refused("8.3.1", "neither authority nor Host", &[METHOD, SCHEME, PATH]),
        refused("8.3.1", "userinfo in the authority", &[METHOD, SCHEME, PATH, (":authority", "me@door.test")]),
        refused("8.3.1", "two Hosts", &[METHOD, SCHEME, PATH, ("host", "a.test"), ("host", "b.test")]),
        refused("8.3.1", "another scheme", &[METHOD, (":scheme", "ftp"), PATH, AUTHORITY]),
        malformed("8.3.1", "a path that is a URL", &[METHOD, SCHEME, (":path", "http://other.test/"), AUTHORITY]),
        malformed("8.3.1", "a path with a space", &[METHOD, SCHEME, (":path", "/a b"), AUTHORITY]),
        refused("8.3.1", "a path with a fragment", &[METHOD, SCHEME, (":path", "/a#b"), AUTHORITY])
            .but(Answer(200), "h2 cuts the fragment off, and routes and upstreams see the same path"),
        case(
            "8.3.1",
            "a Host without an authority",
            request(&[METHOD, SCHEME, PATH, ("host", "door.test")]),
            Answer(200),
        ),
        case("8.5", "CONNECT", request(&[(":method", "CONNECT"), AUTHORITY]), Answer(501)),
    ])
    .await;
}

#[tokio::test]
async fn lengths_are_what_they_say() {
    let long = |length: &str| frame(HEADERS, END_HEADERS, 1, &asking("POST", &[("content-length", length)]));
    let end = |data: &[u8]| frame(DATA, END_STREAM, 1, data);
    let part = |data: &[u8]| frame(DATA, 0, 1, data);
    hold(vec![
        case("8.1.1", "as much as it says", [long("4"), end(b"test")].concat(), Answer(200)),
        case("8.1.1", "less than it says", [long("5"), end(b"test")].concat(), Reset(PROTOCOL)),
        case("8.1.1", "more than it says", [long("3"), end(b"test")].concat(), Reset(PROTOCOL)),
        case("8.1.1", "more in several pieces", [long("6"), part(b"test"), end(b"test")].concat(), Reset(PROTOCOL)),
        case(
            "8.1.1",
            "a length and no body",
            request(&[METHOD, SCHEME, PATH, AUTHORITY, ("content-length", "4")]),
            Reset(PROTOCOL),
        ),
        case(
            "8.1.1",
            "two lengths",
            request(&[METHOD, SCHEME, PATH, AUTHORITY, ("content-length", "1"), ("content-length", "2")]),
            Reset(PROTOCOL),
        ),
        case(
            "8.1.1",
            "a length that is no number",
            request(&[METHOD, SCHEME, PATH, AUTHORITY, ("content-length", "+4")]),
            Reset(PROTOCOL),
        ),
    ])
    .await;
}

#[tokio::test]
async fn trailers_end_a_request() {
    let trailers = |flags: u8, list: &[(&str, &str)]| frame(HEADERS, END_HEADERS | flags, 1, &fields(list));
    hold(vec![
        case(
            "8.1",
            "trailers",
            [
                frame(HEADERS, END_HEADERS, 1, &asking("POST", &[])),
                frame(DATA, 0, 1, b"test"),
                trailers(END_STREAM, &[("x-sum", "1")]),
            ]
            .concat(),
            Answer(200),
        ),
        case(
            "8.1",
            "a second HEADERS that does not end the stream",
            [open(1), trailers(0, &[("x-sum", "1")])].concat(),
            Reset(PROTOCOL),
        ),
        case(
            "8.1",
            "a pseudo-field in trailers",
            [open(1), trailers(END_STREAM, &[(":method", "GET")])].concat(),
            Reset(PROTOCOL),
        )
        .but(Nothing, "h2 takes the pseudo-field away, and a request's trailers go no further"),
        case("8.1", "no DATA between", [open(1), trailers(END_STREAM, &[("x-sum", "1")])].concat(), Nothing),
    ])
    .await;
}
