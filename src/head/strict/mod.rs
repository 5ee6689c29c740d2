//! What a gateway refuses before it decides anything: heads that the server behind it could read in another way than
//! the door does (request smuggling), and what the door cannot do. And of what comes back, the responses whose framing
//! a client could read in another way.
//!
//! HTTP allows most of these, or leaves what to do to the recipient; a gateway is where two recipients have to agree.
//! The rules are at least as strict as those that Pingora 0.9.1 applies when it writes a request to an upstream, so that
//! those never strike after a filter let a request through.

mod names;
mod response;

use std::borrow::Cow;

use http::{HeaderName, Method, Version, header};
use thiserror::Error;

use super::Headers;
use super::host::{self, HostProblem};
pub use names::is_disguised;
use names::names_more_than_the_connection;
pub use response::{ResponseProblem, check_response};

/// How much a request's head may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HeadLimits {
    /// Header lines: above that 431.
    pub headers: usize,
    /// Bytes of all header lines, each with its `: ` and line end: above that 431.
    pub header_bytes: usize,
    /// Bytes of the request target: above that 414.
    pub target_bytes: usize,
}

impl Default for HeadLimits {
    fn default() -> Self {
        Self { headers: 100, header_bytes: 64 << 10, target_bytes: 16 << 10 }
    }
}

/// What was found out while checking.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Checked<'a> {
    /// The host, normalised as [`host::normalise`] says.
    pub host: Cow<'a, str>,
    /// Path and query: the target in origin form. Begins with `/`; the path is not yet checked.
    pub path_and_query: &'a str,
}

/// Why a head is refused, in words for the client.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum HeadProblem {
    /// No `Host` (RFC 9112, 3.2); refused in HTTP/1.0 too, since nothing could say who is meant.
    #[error("the request has no Host header")]
    HostMissing,
    /// More than one.
    #[error("the request has more than one Host header")]
    HostRepeated,
    /// One that is no host.
    #[error("{0}")]
    Host(HostProblem),
    /// The target names another host than `Host` does (RFC 9112, 3.2.2).
    #[error("the request's target and its Host header name different hosts")]
    HostMismatch,
    /// Both `Content-Length` and `Transfer-Encoding` (RFC 9112, 6.3).
    #[error("the request has both a Content-Length and a Transfer-Encoding")]
    AmbiguousLength,
    /// Repeated, a list, signed, empty, not digits, or beyond 2⁶³ - 1.
    #[error("the Content-Length is not one number")]
    ContentLength,
    /// Anything but exactly `chunked`: another coding would have to be undone here, as the door writes its own framing.
    #[error("the Transfer-Encoding is not exactly `chunked`")]
    TransferEncoding,
    /// In HTTP/1.0, which has none (RFC 9112, 6.1).
    #[error("HTTP/1.0 has no Transfer-Encoding")]
    TransferEncodingTooOld,
    /// A header of HTTP/1 connections in HTTP/2 (RFC 9113, 8.2.2).
    #[error("HTTP/2 has no connection headers")]
    ConnectionHeader,
    /// A name such as `Transfer_Encoding`: see [`is_disguised`].
    #[error("a header's name has `_` where a header of the protocol has `-`")]
    DisguisedName,
    /// A line on the wire that ends in anything but CRLF, holds a control byte, or is no line of HTTP/1.1 (RFC 9112, 2.2,
    /// 3 and 5): see [`super::wire`].
    #[error("a line of the head does not end in CR LF, holds a control character, or is none of HTTP/1.1")]
    Line,
    /// A control byte within a value (RFC 9110, 5.5).
    #[error("a header's value holds a control character")]
    HeaderValue,
    /// `Connection` lists what is no token, or more than nine.
    #[error("the Connection header is malformed")]
    Connection,
    /// `Connection` names a header that would get lost though it matters to who is behind the door.
    #[error("the Connection header names a header that is not the connection's")]
    ConnectionNames,
    /// `Expect` other than `100-continue` (RFC 9110, 10.1.1).
    #[error("the door meets no expectation but 100-continue")]
    Expectation,
    /// `TRACE` would show a client what the door adds, `CONNECT` would make a tunnel.
    #[error("the door does not do this method")]
    Method,
    /// More header lines than [`HeadLimits::headers`].
    #[error("the request has too many headers")]
    TooManyHeaders,
    /// More than [`HeadLimits::header_bytes`].
    #[error("the request's headers are too big")]
    HeadersTooBig,
    /// Longer than [`HeadLimits::target_bytes`].
    #[error("the request's target is too long")]
    TargetTooLong,
    /// Neither a path nor an `http://` or `https://` URL with one, or its query holds what has to be percent-encoded:
    /// see [`split_target`].
    #[error("the request's target is neither a path nor an http URL, or holds what has to be percent-encoded")]
    Target,
}

impl HeadProblem {
    /// The status that the client gets.
    pub fn status(&self) -> u16 {
        match self {
            Self::TargetTooLong => 414,
            Self::Expectation => 417,
            Self::TooManyHeaders | Self::HeadersTooBig => 431,
            Self::Method => 501,
            _ => 400,
        }
    }
}

/// Checks all of a head but its path, which [`super::Path::parse`] does.
///
/// In HTTP/2 and later the authority may stand in the target alone (as `https://host/path`).
///
/// # Errors
/// The first rule that it breaks.
pub fn check<'a>(
    method: &Method,
    version: Version,
    target: &'a str,
    headers: &'a dyn Headers,
    limits: HeadLimits,
) -> Result<Checked<'a>, HeadProblem> {
    // Its target is an authority, which no other method may have.
    if *method == Method::CONNECT {
        return Err(HeadProblem::Method);
    }
    if target.len() > limits.target_bytes {
        return Err(HeadProblem::TargetTooLong);
    }
    let (authority, path_and_query) = split_target(target)?;
    let seen = Seen::read(headers, limits)?;
    seen.check_framing(version)?;
    let host = seen.host(version, authority)?;
    Ok(Checked { host, path_and_query })
}

/// Checks whether the door does this method, for a request whose head and path are in order: neither `TRACE` nor
/// `TRACK`, which would show a client what the door adds.
///
/// # Errors
/// [`HeadProblem::Method`].
pub fn check_method(method: &Method) -> Result<(), HeadProblem> {
    match *method == Method::TRACE || method.as_str().eq_ignore_ascii_case("TRACK") {
        true => Err(HeadProblem::Method),
        false => Ok(()),
    }
}

/// Splits a request target into its authority, if it has one, and its path and query (RFC 9112, 3.2).
///
/// `*` is refused for `OPTIONS` too: it asks about the door itself, and routes are about paths. So is a URL without
/// a path but with a query, which clients have to send with `/`.
///
/// In the query are refused, raw: control bytes and DEL, space, `"`, `<`, `>`, `#`, and whatever is not ASCII. Of those
/// httparse 1.10 refuses control bytes, DEL and space (upon which Pingora 0.9.1 escapes them, `"`, `<`, `>` and what is
/// not ASCII, and tries again), and `http` 1.5 these and `"`, `<` and `>`; a fragment it cuts off without a word. Both
/// take what is not ASCII if it is UTF-8, but servers differ on what it means. Both take `\`, `^`, `` ` ``, `[`, `]`,
/// `{`, `|` and `}`, which RFC 3986, 3.4 does not allow in a query but browsers send there (WHATWG URL, query
/// percent-encode set), and so does the door. A `%` that begins no escape is data.
///
/// In the path the two refuse control bytes, DEL, space, `<`, `>` and `` ` ``. [`super::Path::parse`] refuses all of
/// these and more, and says so in better words, so the path is not looked at here.
///
/// # Errors
/// [`HeadProblem::Target`] for every other form, and for such a query.
pub fn split_target(target: &str) -> Result<(Option<&str>, &str), HeadProblem> {
    let (authority, path_and_query) = match target.strip_prefix('/') {
        Some(_) => (None, target),
        None => {
            let (scheme, rest) = target.split_once("://").ok_or(HeadProblem::Target)?;
            if !scheme.eq_ignore_ascii_case("http") && !scheme.eq_ignore_ascii_case("https") {
                return Err(HeadProblem::Target);
            }
            match rest.find(['/', '?', '#']) {
                Some(at) if rest[at..].starts_with('/') => (Some(&rest[..at]), &rest[at..]),
                Some(_) => return Err(HeadProblem::Target),
                None => (Some(rest), "/"),
            }
        }
    };
    // What is wrong with the path is told by `Path::parse`, which knows it better.
    if let Some((_, query)) = path_and_query.split_once('?')
        && !query.bytes().all(|byte| byte.is_ascii_graphic() && !matches!(byte, b'"' | b'#' | b'<' | b'>'))
    {
        return Err(HeadProblem::Target);
    }
    Ok((authority, path_and_query))
}

/// What matters of the headers, from one pass over them.
#[derive(Default)]
struct Seen<'a> {
    host: Option<&'a [u8]>,
    content_length: Option<&'a [u8]>,
    transfer_encoding: Option<&'a [u8]>,
    connection: bool,
}

impl<'a> Seen<'a> {
    fn read(headers: &'a dyn Headers, limits: HeadLimits) -> Result<Self, HeadProblem> {
        let mut seen = Self::default();
        let (mut count, mut size, mut tokens) = (0_usize, 0_usize, 0_usize);
        let mut result = Ok(());
        headers.each(&mut |name, value| {
            if result.is_err() {
                return;
            }
            count += 1;
            size = size.saturating_add(name.as_str().len()).saturating_add(value.len()).saturating_add(4);
            result = if count > limits.headers {
                Err(HeadProblem::TooManyHeaders)
            } else if size > limits.header_bytes {
                Err(HeadProblem::HeadersTooBig)
            } else if holds_control(value) {
                Err(HeadProblem::HeaderValue)
            } else {
                seen.note(name, value, &mut tokens)
            };
        });
        result.map(|()| seen)
    }

    fn note(&mut self, name: &HeaderName, value: &'a [u8], tokens: &mut usize) -> Result<(), HeadProblem> {
        match *name {
            header::HOST => once(&mut self.host, value, HeadProblem::HostRepeated),
            header::CONTENT_LENGTH => once(&mut self.content_length, value, HeadProblem::ContentLength),
            header::TRANSFER_ENCODING => once(&mut self.transfer_encoding, value, HeadProblem::TransferEncoding),
            header::CONNECTION => {
                self.connection = true;
                check_connection(value, tokens)
            }
            header::UPGRADE => {
                self.connection = true;
                Ok(())
            }
            header::EXPECT if !value.eq_ignore_ascii_case(b"100-continue") => Err(HeadProblem::Expectation),
            _ => {
                let name = name.as_str();
                self.connection |= matches!(name, "keep-alive" | "proxy-connection");
                if is_disguised(name) { Err(HeadProblem::DisguisedName) } else { Ok(()) }
            }
        }
    }

    fn check_framing(&self, version: Version) -> Result<(), HeadProblem> {
        if let Some(coding) = self.transfer_encoding {
            if self.content_length.is_some() {
                return Err(HeadProblem::AmbiguousLength);
            }
            if version < Version::HTTP_11 {
                return Err(HeadProblem::TransferEncodingTooOld);
            }
            if !coding.eq_ignore_ascii_case(b"chunked") {
                return Err(HeadProblem::TransferEncoding);
            }
        }
        if version >= Version::HTTP_2 && (self.connection || self.transfer_encoding.is_some()) {
            return Err(HeadProblem::ConnectionHeader);
        }
        match self.content_length {
            Some(value) if !is_length(value) => Err(HeadProblem::ContentLength),
            _ => Ok(()),
        }
    }

    fn host(&self, version: Version, authority: Option<&'a str>) -> Result<Cow<'a, str>, HeadProblem> {
        let host = match (self.host, authority) {
            (Some(host), Some(authority)) if !host.eq_ignore_ascii_case(authority.as_bytes()) => {
                return Err(HeadProblem::HostMismatch);
            }
            (Some(host), _) => host,
            (None, Some(authority)) if version >= Version::HTTP_2 => authority.as_bytes(),
            (None, _) => return Err(HeadProblem::HostMissing),
        };
        host::normalise(host).map_err(HeadProblem::Host)
    }
}

fn once<'a, P>(slot: &mut Option<&'a [u8]>, value: &'a [u8], problem: P) -> Result<(), P> {
    match slot.replace(value) {
        None => Ok(()),
        Some(_) => Err(problem),
    }
}

/// No early exit, so that it is compiled to vector instructions.
pub(super) fn holds_control(value: &[u8]) -> bool {
    value.iter().fold(false, |found, byte| found | (*byte < 0x20 && *byte != b'\t') | (*byte == 0x7f))
}

pub(super) fn is_length(value: &[u8]) -> bool {
    let digits = !value.is_empty() && value.iter().all(u8::is_ascii_digit);
    // Signed, since some servers count in signed numbers.
    digits && std::str::from_utf8(value).is_ok_and(|text| text.parse::<i64>().is_ok())
}

/// The most tokens that `Connection` may have, in all its lines. Pingora's bound.
const CONNECTION_TOKENS: usize = 9;

fn check_connection(value: &[u8], tokens: &mut usize) -> Result<(), HeadProblem> {
    for token in value.split(|byte| *byte == b',').map(<[u8]>::trim_ascii).filter(|token| !token.is_empty()) {
        *tokens += 1;
        if *tokens > CONNECTION_TOKENS || !token.iter().copied().all(is_token) {
            return Err(HeadProblem::Connection);
        }
        if names_more_than_the_connection(token) {
            return Err(HeadProblem::ConnectionNames);
        }
        // Pingora refuses what is too long for a header's name.
        if token.len() > 256 {
            return Err(HeadProblem::Connection);
        }
    }
    Ok(())
}

/// `tchar` of RFC 9110, 5.6.2.
pub(super) fn is_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

#[cfg(test)]
mod tests {
    use http::{HeaderMap, HeaderValue};
    use proptest::prelude::*;

    use super::*;

    pub(super) fn headers(lines: &[(&str, &str)]) -> HeaderMap {
        let mut map = HeaderMap::new();
        for (name, value) in lines {
            map.append(HeaderName::from_bytes(name.as_bytes()).unwrap(), HeaderValue::from_str(value).unwrap());
        }
        map
    }

    fn with(version: Version, target: &str, lines: &[(&str, &str)]) -> Result<(String, String), HeadProblem> {
        let map = headers(lines);
        check(&Method::GET, version, target, &map, HeadLimits::default())
            .map(|head| (head.host.into_owned(), head.path_and_query.to_owned()))
    }

    /// The problem of a request that is good but for these lines.
    fn problem(lines: &[(&str, &str)]) -> Option<HeadProblem> {
        with(Version::HTTP_11, "/", &[&[("host", "a.test")], lines].concat()).err()
    }

    #[test]
    fn a_usual_head_passes() {
        let lines = [
            ("host", "A.test:80"),
            ("connection", "keep-alive, Upgrade"),
            ("upgrade", "websocket"),
            ("content-length", "0012"),
            ("expect", "100-Continue"),
            ("api_key", "x"),
            ("x-odd", "caf\u{e9}\tx"),
        ];
        assert_eq!(with(Version::HTTP_11, "/x?a=%20&b='|\\", &lines).unwrap().0, "a.test");
        assert_eq!(problem(&[("transfer-encoding", "Chunked")]), None);
    }

    #[test]
    fn a_missing_or_repeated_host_is_refused() {
        for version in [Version::HTTP_10, Version::HTTP_11, Version::HTTP_2] {
            assert_eq!(with(version, "/", &[]), Err(HeadProblem::HostMissing));
        }
        assert_eq!(with(Version::HTTP_11, "http://a.test/", &[]), Err(HeadProblem::HostMissing));
        assert_eq!(problem(&[("host", "a.test")]), Some(HeadProblem::HostRepeated));
        assert_eq!(with(Version::HTTP_11, "/", &[("host", "a,b")]), Err(HeadProblem::Host(HostProblem::Illegal)));
        assert_eq!(with(Version::HTTP_2, "https://a.test/x", &[]).unwrap(), ("a.test".into(), "/x".into()));
    }

    #[test]
    fn doubtful_framing_is_refused() {
        for (lines, expected) in [
            (&[("transfer-encoding", "chunked"), ("content-length", "3")][..], HeadProblem::AmbiguousLength),
            (&[("transfer-encoding", "gzip, chunked")], HeadProblem::TransferEncoding),
            (&[("transfer-encoding", "chunked, chunked")], HeadProblem::TransferEncoding),
            (&[("transfer-encoding", "chunked"), ("transfer-encoding", "chunked")], HeadProblem::TransferEncoding),
            (&[("transfer-encoding", "chunked;x=1")], HeadProblem::TransferEncoding),
            (&[("transfer-encoding", "identity")], HeadProblem::TransferEncoding),
            (&[("transfer-encoding", "")], HeadProblem::TransferEncoding),
            (&[("content-length", "2, 2")], HeadProblem::ContentLength),
            (&[("content-length", "2"), ("content-length", "2")], HeadProblem::ContentLength),
            (&[("content-length", "+2")], HeadProblem::ContentLength),
            (&[("content-length", "-2")], HeadProblem::ContentLength),
            (&[("content-length", "0x2")], HeadProblem::ContentLength),
            (&[("content-length", "")], HeadProblem::ContentLength),
            (&[("content-length", "9223372036854775808")], HeadProblem::ContentLength),
            (&[("Transfer_Encoding", "chunked")], HeadProblem::DisguisedName),
            (&[("content_length", "1")], HeadProblem::DisguisedName),
            (&[("X-Forwarded_For", "10.0.0.1")], HeadProblem::DisguisedName),
            (&[("x_real_ip", "10.0.0.1")], HeadProblem::DisguisedName),
        ] {
            assert_eq!(problem(lines), Some(expected), "{lines:?}");
        }
        let lines = [("host", "a"), ("transfer-encoding", "chunked")];
        assert_eq!(with(Version::HTTP_10, "/", &lines), Err(HeadProblem::TransferEncodingTooOld));
        assert_eq!(with(Version::HTTP_2, "/", &lines), Err(HeadProblem::ConnectionHeader));
        let lines = [("host", "a"), ("connection", "close")];
        assert_eq!(with(Version::HTTP_2, "/", &lines), Err(HeadProblem::ConnectionHeader));
    }

    #[test]
    fn connection_names_only_what_is_the_connections() {
        for name in ["Host", "authorization", "Cookie", "X-Forwarded-For", "x-forwarded-anything", "content-length"] {
            assert_eq!(
                problem(&[("connection", &format!("close, {name}"))]),
                Some(HeadProblem::ConnectionNames),
                "{name}"
            );
        }
        for value in ["\"x-forwarded-for\"", ":authority", "a b", "é", "a,b,c,d,e,f,g,h,i,j"] {
            assert_eq!(problem(&[("connection", value)]), Some(HeadProblem::Connection), "{value}");
        }
        assert_eq!(problem(&[("connection", "a,b,c,d,e"), ("connection", "f,g,h,i,j")]), Some(HeadProblem::Connection));
        assert_eq!(problem(&[("connection", ", a,b,,c,d,e,f,g,h,i ,")]), None);
        assert_eq!(problem(&[("connection", &"a".repeat(70_000))]), Some(HeadProblem::HeadersTooBig));
    }

    #[test]
    fn methods_that_the_door_does_not_do_get_501() {
        let map = headers(&[("host", "a")]);
        for name in ["TRACE", "TRACK", "track"] {
            let method = Method::from_bytes(name.as_bytes()).unwrap();
            assert_eq!(check_method(&method).unwrap_err().status(), 501, "{name}");
        }
        assert!(check_method(&Method::GET).is_ok());
        let purge = Method::from_bytes(b"PURGE").unwrap();
        assert!(check(&purge, Version::HTTP_11, "/", &map, HeadLimits::default()).is_ok());
    }

    #[test]
    fn what_is_too_big_is_refused_and_what_just_fits_is_not() {
        let many: Vec<(&str, &str)> = vec![("x", "y"); 99];
        assert_eq!(problem(&many), None);
        assert_eq!(problem(&[many, vec![("x", "y")]].concat()), Some(HeadProblem::TooManyHeaders));
        // Each line has four bytes besides name and value, and so has `host: a.test`.
        let room = (64 << 10) - "hosta.test".len() - 4 - "x".len() - 4;
        assert_eq!(problem(&[("x", &"y".repeat(room))]), None);
        let big = problem(&[("x", &"y".repeat(room + 1))]).unwrap();
        assert_eq!((big, big.status()), (HeadProblem::HeadersTooBig, 431));
        let target = format!("/{}", "a".repeat(16 << 10));
        let long = with(Version::HTTP_11, &target, &[("host", "a")]).unwrap_err();
        assert_eq!((long, long.status()), (HeadProblem::TargetTooLong, 414));
        assert!(with(Version::HTTP_11, &target[..16 << 10], &[("host", "a")]).is_ok());
    }

    #[test]
    fn an_unknown_expectation_gets_417() {
        assert_eq!(problem(&[("expect", "200-ok")]).unwrap().status(), 417);
    }

    #[test]
    fn a_target_is_a_path_or_a_url() {
        let host = [("host", "a.test:80")];
        let taken = |target: &str| with(Version::HTTP_11, target, &host).map(|(_, path)| path);
        assert_eq!(taken("HTTP://A.test:80/x?y").unwrap(), "/x?y");
        assert_eq!(taken("http://a.test:80").unwrap(), "/");
        assert_eq!(taken("http://a.test/x"), Err(HeadProblem::HostMismatch));
        assert_eq!(taken("http://b.test:80/x"), Err(HeadProblem::HostMismatch));
        for target in
            ["*", "", "a.test:80", "ftp://a.test:80/", "http:/x", "http://a.test:80?x", "/a?b#c", "/a?b c", "/a?é"]
        {
            assert_eq!(taken(target), Err(HeadProblem::Target), "{target}");
        }
        assert_eq!(taken("//a.test/x").unwrap(), "//a.test/x");
    }

    /// Whether both libraries that Pingora parses targets with take one, and leave it as it is.
    fn is_taken_by_pingora(target: &[u8]) -> bool {
        let line = [b"GET ", target, b" HTTP/1.1\r\n\r\n"].concat();
        let mut room = [httparse::EMPTY_HEADER; 1];
        let mut request = httparse::Request::new(&mut room);
        let parsed = request.parse(&line).is_ok_and(|status| status.is_complete());
        let kept = |uri: &http::Uri| uri.path_and_query().is_some_and(|kept| kept.as_str().as_bytes() == target);
        parsed && request.path.map(str::as_bytes) == Some(target) && http::Uri::try_from(target).is_ok_and(|u| kept(&u))
    }

    fn is_taken_by_the_door(target: &[u8]) -> bool {
        let split = std::str::from_utf8(target).ok().and_then(|target| split_target(target).ok());
        split.is_some_and(|(_, rest)| crate::head::Path::parse(rest.split('?').next().unwrap()).is_ok())
    }

    #[test]
    fn no_byte_passes_that_pingora_refuses_or_mends() {
        for byte in 0..=255_u8 {
            for target in [[b"/a", &[byte][..], b"b"].concat(), [b"/a?b=", &[byte][..], b"c"].concat()] {
                let shown = target.escape_ascii();
                assert!(!is_taken_by_the_door(&target) || is_taken_by_pingora(&target), "{shown}");
            }
            let query = [b"/?", &[byte][..]].concat();
            assert_eq!(is_taken_by_the_door(&query), is_taken_by_pingora(&query), "{}", query.escape_ascii());
        }
    }

    #[test]
    fn a_query_holds_nothing_that_has_to_be_encoded() {
        for raw in ["\"", "<", ">", " ", "\t", "\0", "\u{7f}", "#", "\u{e9}", "\u{4e2d}"] {
            assert_eq!(split_target(&format!("/a?b={raw}")), Err(HeadProblem::Target), "{raw:?}");
            assert_eq!(split_target(&format!("http://a.test/?{raw}")), Err(HeadProblem::Target), "{raw:?}");
        }
        let lenient = "/a?b[0]={\"x\":1}".replace('"', "%22") + "&c=|^`\\'?/&d=%&e=%zz";
        assert_eq!(split_target(&lenient), Ok((None, lenient.as_str())));
    }

    /// A driver that lets through what `HeaderMap` would not.
    struct Raw<'a>(&'a HeaderName, &'a [u8]);

    impl Headers for Raw<'_> {
        fn get(&self, name: &HeaderName) -> Option<&[u8]> {
            (name == self.0).then_some(self.1)
        }
        fn each<'a>(&'a self, visit: &mut dyn FnMut(&'a HeaderName, &'a [u8])) {
            visit(self.0, self.1);
        }
    }

    #[test]
    fn control_bytes_in_values_are_refused() {
        for byte in [0, b'\r', b'\n', 0x1b, 0x7f] {
            let value = [b'a', byte];
            let found =
                check(&Method::GET, Version::HTTP_11, "/", &Raw(&header::ACCEPT, &value), HeadLimits::default())
                    .unwrap_err();
            assert_eq!(found, HeadProblem::HeaderValue);
        }
    }

    proptest! {
        #[test]
        fn nothing_makes_it_panic(target in ".*", value in prop::collection::vec(any::<u8>(), 0..40), which in 0..7_usize) {
            let names = [
                header::HOST, header::CONNECTION, header::CONTENT_LENGTH, header::TRANSFER_ENCODING, header::EXPECT,
                header::UPGRADE, header::ACCEPT,
            ];
            check(&Method::GET, Version::HTTP_11, &target, &Raw(&names[which], &value), HeadLimits::default()).ok();
            check_response(if which % 2 == 0 { 200 } else { 204 }, &Raw(&names[which], &value)).ok();
        }
    }
}
