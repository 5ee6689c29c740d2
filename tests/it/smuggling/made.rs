//! Cases that are combined: every odd spelling of a framing header with every odd value, every odd chunk.

use super::cases::{Case, Expected};

/// What stands behind a body, for a reader who finds its end too early.
const HIDDEN: &str = "GET /hidden HTTP/1.1\nHost: hidden.test\n\n";

/// All of them.
pub fn cases() -> impl Iterator<Item = Case> {
    codings().chain(lengths()).chain(pairs()).chain(chunks()).map(|text| Case::new(&text, Expected::Either))
}

fn codings() -> impl Iterator<Item = String> {
    let names = [
        "Transfer-Encoding",
        "Transfer_Encoding",
        "Transfer-Encoding ",
        "Transfer-Encoding\t",
        " Transfer-Encoding",
        "Transfer-Encoding<NUL>",
        "Transfer-Encoding<x0b>",
        "<xa0>Transfer-Encoding",
        "X: y<LF>Transfer-Encoding",
        "X: y<CR>Transfer-Encoding",
        "Transfer-Encoding:",
        "X: y\n Transfer-Encoding",
    ];
    let values = [
        "chunked",
        "CHUNKED",
        "\tchunked \t",
        "xchunked",
        "chunkedx",
        "identity",
        "identity, chunked",
        "chunked, identity",
        "gzip, chunked",
        "chunked, gzip",
        "chunked, chunked",
        "chunked,",
        ", chunked",
        "chunked;q=1",
        "\"chunked\"",
        "'chunked'",
        "chunked<x0b>",
        "<x0c>chunked",
        "chunked<NUL>",
        "<xa0>chunked",
        "chunk ed",
        "chun\n ked",
        "\n chunked",
        "",
        "0",
    ];
    let one =
        move |name: &str, value: &str| format!("POST / HTTP/1.1\nHost: a\n{name}: {value}\n\n3\nabc\n0\n\n{HIDDEN}");
    names.into_iter().flat_map(move |name| values.into_iter().map(move |value| one(name, value)))
}

fn lengths() -> impl Iterator<Item = String> {
    let names = [
        "Content-Length",
        "content-length",
        "Content-Length ",
        "Content-Length\t",
        "Content-Length<NUL>",
        "X: y<LF>Content-Length",
    ];
    let values = [
        "3",
        "003",
        "+3",
        "-3",
        "- 3",
        "3 ",
        "3,3",
        "3, 3",
        "3,4",
        "3;",
        "3.0",
        "3e0",
        "0x3",
        "3h",
        "\"3\"",
        "",
        "3 3",
        "3\n 3",
        "3<NUL>",
        "3<x0b>",
        "<xa0>3",
        "\u{ff13}",
        "9223372036854775808",
        "18446744073709551619",
        "99999999999999999999999",
        "-1",
        "0, 3",
        "NaN",
    ];
    let one = |name: &str, value: &str| format!("POST / HTTP/1.1\nHost: a\n{name}: {value}\n\nabc{HIDDEN}");
    names.into_iter().flat_map(move |name| values.into_iter().map(move |value| one(name, value)))
}

/// Two framing headers in one head, in either order.
fn pairs() -> impl Iterator<Item = String> {
    let lines = [
        "Content-Length: 3",
        "Content-Length: 13",
        "Content-Length: 0",
        "Content_Length: 13",
        "Transfer-Encoding: chunked",
        "Transfer-Encoding: identity",
        "Transfer-Encoding : chunked",
        "Transfer_Encoding: chunked",
        "Transfer-Encoding: xchunked",
        "Transfer-Encoding:\tchunked",
        "X-Fold: y\n Transfer-Encoding: chunked",
        "X-Line: y<LF>Content-Length: 13",
    ];
    let versions = ["HTTP/1.1", "HTTP/1.0"];
    let both = move |version| lines.into_iter().flat_map(move |a| lines.into_iter().map(move |b| (version, a, b)));
    let all = versions.into_iter().flat_map(both);
    all.map(|(version, a, b)| format!("POST / {version}\nHost: a\n{a}\n{b}\n\n3\nabc\n0\n\n{HIDDEN}"))
}

fn chunks() -> impl Iterator<Item = String> {
    let bodies = [
        "3<LF>abc\n0\n\n",
        "3\nabc<LF>0\n\n",
        "3\nabc\n0<LF>\n",
        "3\nabc\n0\n<LF>",
        "3\nabc\n0<LF><LF>",
        "3<CR>abc\n0\n\n",
        "3\nabc<CR>0\n\n",
        "3\nabc0\n\n",
        "3\nabcd\n0\n\n",
        "3\nab\n0\n\n",
        " 3\nabc\n0\n\n",
        "3 \nabc\n0\n\n",
        "3\t\nabc\n0\n\n",
        "+3\nabc\n0\n\n",
        "-3\nabc\n0\n\n",
        "0x3\nabc\n0\n\n",
        "0X3\nabc\n0\n\n",
        "x3\nabc\n0\n\n",
        "3h\nabc\n0\n\n",
        "3.0\nabc\n0\n\n",
        "3,3\nabc\n0\n\n",
        "\"3\"\nabc\n0\n\n",
        "3_\nabc\n0\n\n",
        "\nabc\n0\n\n",
        ";x\nabc\n0\n\n",
        "3;x<LF>abc\n0\n\n",
        "3;x<LF>y\nabc\n0\n\n",
        "3;x<CR>y\nabc\n0\n\n",
        "3;x<CR><CR>\nabc\n0\n\n",
        "3;<NUL>\nabc\n0\n\n",
        "3;<x0b>\nabc\n0\n\n",
        "3;\nabc\n0\n\n",
        "3 ;x\nabc\n0\n\n",
        "3;x=\"\n\"\nabc\n0\n\n",
        "3;x=\"<LF>0\n\n\"\nabc\n0\n\n",
        "3;<300xx>\nabc\n0\n\n",
        "3;<40000xx>\nabc\n0\n\n",
        "3<NUL>\nabc\n0\n\n",
        "0000000000000000000000000003\nabc\n0\n\n",
        "10000000000000003\nabc\n0\n\n",
        "ffffffffffffffff\nabc\n0\n\n",
        "8000000000000000\nabc\n0\n\n",
        "7fffffffffffffffff\nabc\n0\n\n",
        "fffffffffffffffffffffffffffffff3\nabc\n0\n\n",
        "\u{ff13}\nabc\n0\n\n",
        "3\nabc\n0\nContent-Length: 5\n\n",
        "3\nabc\n0\nTransfer-Encoding: chunked\n\n",
        "3\nabc\n0\nHost: b\n\n",
        "3\nabc\n0\nX: y\n z\n\n",
        "3\nabc\n0\nX : y\n\n",
        "3\nabc\n0\nX\n\n",
        "3\nabc\n0\nX: y<LF>\n",
        "3\nabc\n0\nX: <NUL>\n\n",
        "3\nabc\n0\nX: <9000xy>\n\n",
        "3\nabc\n0\n \n\n",
        "3\nabc\n00\n\n",
        "3\nabc\n-0\n\n",
        "3\nabc\n0x0\n\n",
        "3\nabc\n0;x<LF>\n\n",
        "3\nabc\n0 \n\n",
        "3\nabc\n\n0\n\n",
        "3\nabc\n0\n0\n\n",
    ];
    bodies.into_iter().map(|body| format!("POST / HTTP/1.1\nHost: a\nTransfer-Encoding: chunked\n\n{body}{HIDDEN}"))
}
