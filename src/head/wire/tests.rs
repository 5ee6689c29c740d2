use proptest::prelude::*;

use super::*;

const MOST_BYTES: usize = 128 << 10;

fn read(bytes: &[u8]) -> (u64, Option<(u64, WireProblem)>) {
    let mut wire = Wire::new(MOST_BYTES);
    wire.saw(bytes);
    (wire.begun(), wire.problem())
}

fn problem(text: &str) -> Option<WireProblem> {
    read(text.as_bytes()).1.map(|(_, problem)| problem)
}

fn head(lines: &str) -> Option<WireProblem> {
    problem(&format!("POST / HTTP/1.1\r\nHost: a\r\n{lines}\r\n"))
}

fn chunks(body: &str) -> Option<WireProblem> {
    problem(&format!("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n{body}"))
}

#[test]
fn messages_are_counted_where_they_begin() {
    assert_eq!(read(b""), (0, None));
    assert_eq!(read(b"\r\n\r\n"), (0, None));
    assert_eq!(read(b"\r\nG"), (1, None));
    assert_eq!(read(b"GET / HTTP/1.1\r\n\r\n"), (1, None));
    assert_eq!(read(b"GET / HTTP/1.1\r\n\r\nGET / HTTP/1.1\r\n\r\nG"), (3, None));
    assert_eq!(read(b"POST / HTTP/1.1\r\nContent-Length: 3\r\n\r\nGETG"), (2, None));
    assert_eq!(read(b"POST / HTTP/1.1\r\nContent-Length: 3\r\n\r\nGET\r\n"), (1, None));
    let chunked = b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n3;x\r\nGET\r\n0\r\nX: y\r\n\r\n";
    assert_eq!(read(chunked), (1, None));
    assert_eq!(read(&[chunked, &b"G"[..]].concat()), (2, None));
}

#[test]
fn a_problem_is_told_with_its_message() {
    let bad = Some((2, WireProblem::Head(HeadProblem::Line)));
    assert_eq!(read(b"GET / HTTP/1.1\r\n\r\nGET / HTTP/1.1\nHost: a\r\n\r\n"), (2, bad));
    assert_eq!(read(b"GET / HTTP/1.1\r\n\r\n\nGET / HTTP/1.1\r\n\r\n"), (2, bad));
}

#[test]
fn a_line_that_two_readers_could_end_in_two_places_is_a_problem() {
    let bad = Some(WireProblem::Head(HeadProblem::Line));
    for lines in [
        "X: a\n",
        "X: a\rY: b\r\n",
        "X: a\r\r\n",
        "X: \0\r\n",
        " X: a\r\n",
        "X : a\r\n",
        "X\r\n",
        ": a\r\n",
        "X\u{e9}: a\r\n",
    ] {
        assert_eq!(head(lines), bad, "{lines:?}");
    }
    for text in [
        "\nGET / HTTP/1.1\r\n",
        "\rGET / HTTP/1.1\r\n",
        "GET / HTTP/1.2\r\n",
        "GET / HTTP/1.1\r\r\n",
        "G@T / HTTP/1.1\r\n",
    ] {
        assert_eq!(problem(text), bad, "{text:?}");
    }
    assert_eq!(head("X:\r\nY: \u{e9}\t\r\n"), None);
}

#[test]
fn a_request_line_has_three_parts_and_two_spaces() {
    for line in [
        "GET /",
        "GET  / HTTP/1.1",
        "GET / HTTP/1.1 ",
        "GET /a b HTTP/1.1",
        "GET /a\tb HTTP/1.1",
        "GET /# HTTP/1.1",
        "GET /\u{e9} HTTP/1.1",
    ] {
        assert_eq!(problem(&format!("{line}\r\n")), Some(WireProblem::Head(HeadProblem::Target)), "{line:?}");
    }
}

#[test]
fn framing_that_is_in_doubt_is_a_problem() {
    for (lines, expected) in [
        ("Content-Length: 3\r\nTransfer-Encoding: chunked\r\n", HeadProblem::AmbiguousLength),
        ("Content-Length: 3\r\nContent-Length: 3\r\n", HeadProblem::ContentLength),
        ("Content-Length: 3, 3\r\n", HeadProblem::ContentLength),
        ("Content-Length: +3\r\n", HeadProblem::ContentLength),
        ("Content-Length: 9223372036854775808\r\n", HeadProblem::ContentLength),
        ("Transfer-Encoding: gzip, chunked\r\n", HeadProblem::TransferEncoding),
        ("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n", HeadProblem::TransferEncoding),
    ] {
        assert_eq!(head(lines), Some(WireProblem::Head(expected)), "{lines:?}");
    }
    let old = "POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n";
    assert_eq!(problem(old), Some(WireProblem::Head(HeadProblem::TransferEncodingTooOld)));
}

#[test]
fn a_chunk_has_a_size_and_an_end() {
    for body in ["3\r\nabc\r\n0\r\n\r\n", "003;a=\"b\"\r\nabc\r\n0;x\r\nX: y\r\n\r\n", "7fffffffffffffff\r\n", "A\r\n"]
    {
        assert_eq!(chunks(body), None, "{body:?}");
    }
    for body in [
        "\r\n",
        ";x\r\n",
        " 3\r\n",
        "3 \r\n",
        "+3\r\n",
        "0x3\r\n",
        "3\nabc",
        "3;\n",
        "3;\0\r\n",
        "8000000000000000\r\n",
        "00000000000000003\r\n",
        "3\r\nabcd\r\n",
        "3\r\nabc\n",
        "0\r\n\n",
        "0\r\nX\r\n",
        "0\r\n X: y\r\n",
        "0\r\nHost: b\r\n",
        "0\r\nContent-Length: 1\r\n",
    ] {
        assert_eq!(chunks(body), Some(WireProblem::Body), "{body:?}");
    }
}

#[test]
fn what_never_ends_is_not_kept_for_ever() {
    let filler = vec![b'x'; MOST_BYTES];
    let mut wire = Wire::new(MOST_BYTES);
    wire.saw(b"GET /");
    assert_eq!(wire.is_endless(), None);
    wire.saw(&filler);
    assert_eq!((wire.is_endless(), wire.line.capacity()), (Some(HeadProblem::TargetTooLong), 0));
    let mut wire = Wire::new(MOST_BYTES);
    wire.saw(b"GET / HTTP/1.1\r\nX: ");
    wire.saw(&filler);
    assert_eq!((wire.is_endless(), wire.line.capacity()), (Some(HeadProblem::HeadersTooBig), 0));
    let mut wire = Wire::new(MOST_BYTES);
    wire.saw(b"GET / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n3;");
    wire.saw(&filler);
    assert_eq!((wire.problem(), wire.line.capacity()), (Some((1, WireProblem::Body)), 0));
}

proptest! {
    #[test]
    fn in_whatever_pieces_bytes_come_they_are_read_alike(
        pieces in prop::collection::vec(prop::sample::select(vec![
            "GET / HTTP/1.1\r\n", "Host: a\r\n", "\r\n", "Content-Length: 3\r\n", "Transfer-Encoding: chunked\r\n", "3\r\n",
            "abc", "0\r\n", "\n", "\r", " ", "X: y", ";x",
        ]), 0..12),
        size in 1..9_usize,
    ) {
        let bytes = pieces.concat();
        let mut wire = Wire::new(MOST_BYTES);
        bytes.as_bytes().chunks(size).for_each(|piece| wire.saw(piece));
        prop_assert_eq!((wire.begun(), wire.problem()), read(bytes.as_bytes()));
    }
}
