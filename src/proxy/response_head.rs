//! The head that an upstream sends: what of it is refused, and what it says of its body.

use http::header::{CONTENT_LENGTH, CONTENT_TYPE, TRANSFER_ENCODING};
use http::{Method, StatusCode, Version};
use pingora::http::{RequestHeader, ResponseHeader};
use pingora::{Error, ErrorType};
use pingora_proxy::Session;

use super::fault::UpstreamFault;
use super::symptom::Refused;
use super::trip::Trip;
use crate::config::Protocol;
use crate::head::grpc::Dialect;
use crate::head::strict;

/// An upstream may send so many interim responses (1xx) before its final one: a few 103s and a 100 are usual, and an
/// endless run would keep an exchange alive for ever.
const MOST_INTERIM: u32 = 16;

/// An endpoint that negotiates nothing is spoken to by HTTP/1.1 on Pingora's own, also where only HTTP/2 was wanted.
pub(super) fn refuse_other_version(head: &RequestHeader, trip: &Trip) -> pingora::Result<()> {
    let wanted = trip.onward.as_ref().map(|onward| onward.upstream.settings().protocol);
    if wanted == Some(Protocol::Http2) && head.version != Version::HTTP_2 {
        let why = "the endpoint negotiated no HTTP/2, and `protocol` is `http2`";
        return Err(Error::explain(ErrorType::TLSHandshakeFailure, why).into_up());
    }
    Ok(())
}

/// Refuses what an upstream must not send: framing that the client could read in another way, a protocol switch that
/// nobody asked for, an endless run of interim responses.
pub(super) fn check_response(head: &ResponseHeader, trip: &mut Trip) -> pingora::Result<()> {
    let status = head.status;
    let refused = if status == StatusCode::SWITCHING_PROTOCOLS && !trip.asked.upgrade {
        Err((UpstreamFault::UnexpectedSwitch, "a 101 that was not asked for".to_owned()))
    } else if status.is_informational() && trip.answered.interim >= MOST_INTERIM {
        Err((UpstreamFault::TooManyInterim, format!("more than {MOST_INTERIM}")))
    } else if head.version == Version::HTTP_10 && head.headers.contains_key(TRANSFER_ENCODING) {
        // RFC 9112, 6.1: framing that such a server can't have meant.
        Err((UpstreamFault::BadFraming, "an HTTP/1.0 response with a Transfer-Encoding".to_owned()))
    } else {
        let checked = strict::check_response(status.as_u16(), &head.headers);
        checked.map_err(|problem| (UpstreamFault::BadFraming, problem.to_string()))
    };
    trip.answered.interim += u32::from(status.is_informational());
    refused.map_err(|(fault, why)| {
        let what = "the upstream's response is refused";
        Error::because(ErrorType::InvalidHTTPHeader, what, Refused { fault, why }).into_up()
    })
}

/// Whether a response runs as long as it wants: only the upstream's `idle` timeout bounds it.
pub(super) fn is_unbounded(head: &ResponseHeader) -> bool {
    let media_type = head.headers.get(CONTENT_TYPE).map_or(&[][..], |value| value.as_bytes());
    let is = |name: &[u8]| media_type.get(..name.len()).is_some_and(|start| start.eq_ignore_ascii_case(name));
    head.status == StatusCode::SWITCHING_PROTOCOLS
        || is(b"text/event-stream")
        || Dialect::of(Some(media_type)).is_some()
}

/// A body whose length a filter changes as it streams ends by its chunks, or for HTTP/1.0 with the connection.
pub(super) fn leave_length_open(head: &mut ResponseHeader, version: Version) -> pingora::Result<()> {
    head.remove_header(&CONTENT_LENGTH);
    if version == Version::HTTP_11 {
        head.insert_header(TRANSFER_ENCODING, "chunked")?;
    }
    Ok(())
}

/// A client of HTTP/1.0 knows no chunks: where no length is told, the end of the connection ends the body.
pub(super) fn spare_chunks(session: &mut Session, head: &mut ResponseHeader) {
    if session.req_header().version != Version::HTTP_10 {
        return;
    }
    head.remove_header(&TRANSFER_ENCODING);
    let has_body = session.req_header().method != Method::HEAD
        && !matches!(head.status, StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED);
    if has_body && !head.headers.contains_key(CONTENT_LENGTH) {
        session.set_keepalive(None);
    }
}
