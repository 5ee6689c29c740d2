//! A request as Pingora has read it: what the engine wants to know, and where it ends on the wire.

use http::header::{CONTENT_LENGTH, EXPECT, TRANSFER_ENCODING};
use pingora_proxy::Session;

use super::connection::Connection;
use super::decide::Incoming;
use super::exchange::Peer;
use super::fault::Fault;
use super::trip::Trip;
use crate::head::strict::HeadProblem;

/// Sets what the session keeps to by itself: how long the client may be silent, and whether it gets another request.
pub(super) fn bound_session(session: &mut Session, trip: &Trip) {
    let Some(connection) = trip.connection() else { return };
    if connection.count_request() {
        session.set_keepalive(None);
    } else if !session.is_process_shutting_down() && session.get_keepalive().is_some() {
        session.set_keepalive(Some(connection.keep_alive()));
    }
    let silence = Some(connection.limits().body_timeout.0);
    session.set_read_timeout(silence);
    session.set_write_timeout(silence);
}

/// A body up to this size is read to its end after an early answer; with a larger one the connection is closed.
const DRAIN_SIZE: u64 = 64 * 1024;

/// What the engine wants to know of a request that Pingora has read; `None` for a target that is not text.
pub(super) fn incoming<'a>(session: &'a Session, trip: &Trip) -> Option<Incoming<'a>> {
    let head = session.req_header();
    Some(Incoming {
        method: &head.method,
        version: head.version,
        target: std::str::from_utf8(head.raw_path()).ok()?,
        headers: &head.headers,
        mended: mended(session, trip),
        peer: trip.connection().map_or(Peer::Unix, Connection::peer),
        tls: trip.connection().and_then(Connection::tls).cloned(),
    })
}

/// What Pingora has mended silently in a head: it escapes spaces in a target, and drops a `Content-Length` beside a
/// `Transfer-Encoding`.
pub(super) fn mended(session: &Session, trip: &Trip) -> Option<HeadProblem> {
    if trip.connection().is_some_and(Connection::has_odd_line) {
        return Some(HeadProblem::Target);
    }
    let is_chunked = session.req_header().headers.contains_key(TRANSFER_ENCODING);
    let raw = session.as_http1().filter(|_| is_chunked)?.get_headers_raw_bytes();
    names_a_length(&raw).then_some(HeadProblem::AmbiguousLength)
}

/// How long a request was on the wire, head and body; `None` for a chunked one.
pub(super) fn wire_length(session: &Session) -> Option<u64> {
    let headers = &session.req_header().headers;
    let head = session.as_http1()?.get_headers_raw_bytes().len() as u64;
    if headers.contains_key(TRANSFER_ENCODING) {
        return None;
    }
    let body = headers.get(CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse::<u64>().ok());
    Some(head.saturating_add(body.unwrap_or(0)))
}

/// Whether what is left of a request's body is small and sure to come.
pub(super) fn can_drain(session: &Session) -> bool {
    let head = session.req_header();
    let length = head.headers.get(CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse::<u64>().ok());
    !head.headers.contains_key(EXPECT)
        && !head.headers.contains_key(TRANSFER_ENCODING)
        && length.is_none_or(|length| length <= DRAIN_SIZE)
}

/// After a head whose framing is in doubt nothing on the connection can be trusted any more.
pub(super) fn must_close(fault: &Fault) -> bool {
    matches!(fault, Fault::Head(_) | Fault::Malformed)
}

/// Whether a head as it came over the wire has a `Content-Length`.
fn names_a_length(raw: &[u8]) -> bool {
    let name = CONTENT_LENGTH.as_str().as_bytes();
    raw.split(|&byte| byte == b'\n').any(|line| {
        let (start, rest) = line.split_at(name.len().min(line.len()));
        start.eq_ignore_ascii_case(name) && matches!(rest.first(), Some(b':' | b' ' | b'\t'))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_length_is_found_in_a_raw_head_however_it_is_written() {
        assert!(names_a_length(b"POST / HTTP/1.1\r\nHost: a\r\ncontent-LENGTH: 3\r\n\r\n"));
        assert!(names_a_length(b"POST / HTTP/1.1\nContent-Length:3\n\n"));
        assert!(!names_a_length(b"POST / HTTP/1.1\r\nX-Content-Length: 3\r\n\r\n"));
        assert!(!names_a_length(b"POST / HTTP/1.1\r\nContent-Length-Hint: 3\r\n\r\n"));
    }
}
