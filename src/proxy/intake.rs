//! A request as Pingora has read it: what the engine wants to know, and what becomes of the rest of it.

use std::sync::Arc;

use http::Version;
use http::header::{CONTENT_LENGTH, EXPECT, TRANSFER_ENCODING};
use pingora::http::RequestHeader;
use pingora::{Error, ErrorType};
use pingora_proxy::Session;

use super::connection::Connection;
use super::decide::Incoming;
use super::exchange::Peer;
use super::fault::Fault;
use super::http2::stream_of;
use super::stream::GuardStream;
use super::trip::Trip;
use crate::head::grpc::Dialect;

/// What is known of the connection, or stream of HTTP/2, that a request has come by.
pub(super) fn connection_of(session: &Session) -> Option<Arc<Connection>> {
    if let Some(stream) = session.stream() {
        let guarded = (**stream).as_any().downcast_ref::<GuardStream>()?;
        return Some(Arc::clone(guarded.connection()));
    }
    stream_of(session)
}

/// Sets what the session keeps to by itself: how long the client may be silent, and whether it gets another request.
pub(super) fn bound_session(session: &mut Session, trip: &Trip) {
    let Some(connection) = trip.connection() else { return };
    if connection.count_request() {
        session.set_keepalive(None);
    }
    if !session.is_body_empty() {
        connection.pace.begin();
    }
    let silence = Some(connection.limits().body_timeout.0);
    session.set_read_timeout(silence);
    session.set_write_timeout(silence);
}

/// Lets a gRPC call that goes on be as silent as its upstream may be: its client sends when it has something to say, and
/// many servers answer nothing before that.
pub(super) fn let_calls_run(session: &mut Session, trip: &Trip) {
    if trip.asked.grpc != Some(Dialect::Native) {
        return;
    }
    if let (Some(connection), Some(onward)) = (trip.connection(), trip.onward.as_ref()) {
        connection.pace.end();
        session.set_read_timeout(onward.upstream.settings().timeouts.idle.after());
    }
}

/// Refuses a body that comes too slowly, when a piece of it has come.
///
/// # Errors
/// The client's fault.
pub(super) fn refuse_slow_body(trip: &Trip, end: bool) -> pingora::Result<()> {
    let Some(connection) = trip.connection() else { return Ok(()) };
    if connection.pace.is_too_slow(connection.limits()) {
        let mut e = Error::explain(ErrorType::ReadTimedout, "the request's body comes too slowly");
        e.as_down();
        return Err(e);
    }
    if end {
        connection.pace.end();
    }
    Ok(())
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
        problem: trip.connection().and_then(|connection| connection.boundary.problem()),
        peer: trip.connection().map_or(Peer::Unix, Connection::peer),
        tls: trip.connection().and_then(Connection::tls).cloned(),
    })
}

/// Lets a client that waits for a 100 send its body where the upstream is spoken to by HTTP/2: of its 1xx Pingora reads
/// none. By HTTP/1.1 the upstream says so itself.
pub(super) async fn go_ahead(session: &mut Session, head: &mut RequestHeader, trip: &mut Trip) -> pingora::Result<()> {
    if !trip.asked.expects || head.version != Version::HTTP_2 {
        return Ok(());
    }
    head.remove_header(&EXPECT);
    if session.as_http1().is_some() {
        session.as_downstream_mut().write_continue_response().await.map_err(|e| e.into_down())?;
    }
    trip.asked.expects = false;
    Ok(())
}

/// Whether what is left of a request's body is small and sure to come.
pub(super) fn can_drain(session: &Session) -> bool {
    let head = session.req_header();
    let length = head.headers.get(CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse::<u64>().ok());
    !head.headers.contains_key(EXPECT)
        && !head.headers.contains_key(TRANSFER_ENCODING)
        && length.is_none_or(|length| length <= DRAIN_SIZE)
}

/// After a request whose framing is in doubt nothing on the connection can be trusted any more.
pub(super) fn must_close(fault: &Fault) -> bool {
    matches!(fault, Fault::Head(_) | Fault::Malformed | Fault::Client(_))
}
