//! What an error of Pingora's means.
//!
//! Pingora tells errors apart by a type, and within one only by its words and by the error that it has wrapped. What is
//! read of both stands here and in [`Symptom`], and the tests of whole doors (`tests/it/zoo.rs`) hold it up.

use pingora::{Error, ErrorSource, ErrorType};

use super::fault::{ClientFault, ConnectFault, Fault, UpstreamFault};
use super::symptom::{End, Refused, Symptom, find};
use super::trip::Trip;
use crate::upstream::classify;

/// What an error means for an trip.
pub fn fault_of(e: &Error, trip: &Trip) -> Fault {
    match e.esource() {
        ErrorSource::Upstream => upstream(e, trip),
        ErrorSource::Downstream if trip.connection().is_some_and(|connection| connection.has_bad_body()) => {
            Fault::Client(ClientFault::MalformedBody)
        }
        ErrorSource::Downstream => Fault::Client(client(e.etype())),
        ErrorSource::Internal | ErrorSource::Unset => Fault::Internal(e.to_string()),
    }
}

/// Writes down how a try failed with `fault`, unless that is known already.
pub(super) fn witness(trip: &mut Trip, e: &Error, fault: &Fault) {
    if let (ErrorType::HTTPStatus(status), true) = (e.etype(), trip.onward.as_ref().is_some_and(|on| on.is_passed_over))
    {
        return trip.witness_status(*status);
    }
    if trip.body_refused.is_some() {
        // That is the whole story, and no server's failure.
        return;
    }
    let is_of_no_consequence = trip.answered.whole && is_of_the_request(fault, e);
    if !is_of_no_consequence {
        trip.witness(fault, Symptom::of(e));
    }
}

/// Whether it is only the rest of a request's body that failed to come.
pub fn is_of_the_request(fault: &Fault, e: &Error) -> bool {
    match fault {
        Fault::Client(ClientFault::BodyTimeout | ClientFault::MalformedBody) => true,
        Fault::Client(ClientFault::Gone) => !matches!(e.etype(), ErrorType::WriteError),
        _ => false,
    }
}

fn client(etype: &ErrorType) -> ClientFault {
    match etype {
        ErrorType::ReadTimedout => ClientFault::BodyTimeout,
        ErrorType::WriteTimedout => ClientFault::ReadTimeout,
        ErrorType::ReadError | ErrorType::WriteError | ErrorType::ConnectionClosed => ClientFault::Gone,
        _ => ClientFault::MalformedBody,
    }
}

fn upstream(e: &Error, trip: &Trip) -> Fault {
    let connected = trip.onward.as_ref().is_some_and(|onward| onward.connected);
    let begun = trip.onward.as_ref().is_some_and(|onward| onward.head_after.is_some());
    if let Some(refused) = find::<Refused>(e) {
        return Fault::Upstream(refused.fault);
    }
    if connected && !begun && is_try_over(e.etype(), trip) {
        return Fault::Upstream(UpstreamFault::TryTimeout);
    }
    if let Some(tls) = classify(e).filter(|_| !begun) {
        return Fault::Connect(ConnectFault::Tls(tls));
    }
    if let Some(h2) = find::<h2::Error>(e).filter(|h2| !h2.is_io()) {
        return Fault::Upstream(by_http2(h2));
    }
    match e.etype() {
        ErrorType::H2Error | ErrorType::InvalidH2 | ErrorType::H2Downgrade => Fault::Upstream(UpstreamFault::H2Error),
        ErrorType::ConnectRefused if !connected => Fault::Connect(ConnectFault::Refused),
        ErrorType::ConnectTimedout if !connected => Fault::Connect(ConnectFault::Timeout),
        _ if !connected => Fault::Connect(ConnectFault::Unreachable),
        ErrorType::ReadTimedout if is_the_clients_silence(e, trip) => Fault::Client(ClientFault::BodyTimeout),
        etype if begun => Fault::Upstream(within_body(etype, &Symptom::of(e))),
        etype => Fault::Upstream(before_head(etype, e)),
    }
}

/// Whether an upstream by HTTP/1 said nothing because the rest of the request had not come yet: Pingora's timer runs then,
/// too. By HTTP/2 it runs through the whole upload, so nothing can be told from it.
fn is_the_clients_silence(e: &Error, trip: &Trip) -> bool {
    let asked = &trip.asked;
    let is_awaited = !asked.is_whole && (asked.body_bytes > 0 || !asked.expects);
    is_awaited && e.to_string().contains("while reading response headers")
}

/// Whether a try ended without a head since its time was over.
fn is_try_over(etype: &ErrorType, trip: &Trip) -> bool {
    if trip.connection().is_some_and(|connection| connection.try_limit.has_struck()) {
        return true;
    }
    // On a connection that others use, too, it is a read that took too long.
    let idle = trip.onward.as_ref().and_then(|onward| onward.upstream.settings().timeouts.idle.after());
    let is_shorter = trip.per_try().is_some_and(|per_try| idle.is_none_or(|idle| per_try < idle));
    is_shorter && *etype == ErrorType::ReadTimedout
}

fn by_http2(e: &h2::Error) -> UpstreamFault {
    match (e.is_remote(), e.is_go_away()) {
        (true, true) => UpstreamFault::H2Goaway,
        (true, false) => UpstreamFault::H2Reset,
        (false, _) => UpstreamFault::H2Error,
    }
}

fn before_head(etype: &ErrorType, e: &Error) -> UpstreamFault {
    let symptom = Symptom::of(e);
    match etype {
        ErrorType::ReadTimedout => UpstreamFault::HeadTimeout,
        ErrorType::WriteTimedout => UpstreamFault::WriteTimeout,
        ErrorType::WriteError if is_reset(&symptom) => UpstreamFault::ResetBeforeHead,
        ErrorType::WriteError => UpstreamFault::WriteFailed,
        ErrorType::InvalidHTTPHeader => bad_head(e, symptom.sign.as_deref().unwrap_or_default()),
        ErrorType::Custom(PING_TIMED_OUT) => UpstreamFault::H2Error,
        _ if symptom.end.is_some() && symptom.head_bytes > 0 => UpstreamFault::TruncatedHead,
        _ if symptom.end == Some(End::Reset) => UpstreamFault::ResetBeforeHead,
        _ if symptom.end == Some(End::Closed) => UpstreamFault::ClosedBeforeHead,
        _ => UpstreamFault::MalformedHead,
    }
}

/// Whether a request could not be sent since the connection was gone, which is also found out by reading: which of the
/// two comes first is chance.
fn is_reset(symptom: &Symptom) -> bool {
    symptom.end == Some(End::Reset) && matches!(symptom.sign.as_deref(), Some("ECONNRESET" | "EPIPE"))
}

/// A head that Pingora does not take: of these errors only the words differ.
fn bad_head(e: &Error, words: &str) -> UpstreamFault {
    match find::<httparse::Error>(e) {
        Some(httparse::Error::TooManyHeaders) => UpstreamFault::HeadTooLarge,
        Some(_) => UpstreamFault::MalformedHead,
        None if words.contains("header larger than") => UpstreamFault::HeadTooLarge,
        None if words.contains("Content-Length") || words.contains("Transfer-Encoding") => UpstreamFault::BadFraming,
        None => UpstreamFault::MalformedHead,
    }
}

fn within_body(etype: &ErrorType, symptom: &Symptom) -> UpstreamFault {
    match etype {
        ErrorType::ReadTimedout => UpstreamFault::IdleTimeout,
        ErrorType::WriteTimedout => UpstreamFault::WriteTimeout,
        ErrorType::Custom(INVALID_CHUNK | INVALID_TRAILER_END) => UpstreamFault::BadChunks,
        ErrorType::Custom(PING_TIMED_OUT) => UpstreamFault::H2Error,
        _ if symptom.end == Some(End::Reset) => UpstreamFault::ResetBody,
        _ => UpstreamFault::TruncatedBody,
    }
}

/// Types that Pingora has of its own, and does not export all of.
const INVALID_CHUNK: &str = "InvalidChunk";
const INVALID_TRAILER_END: &str = "InvalidTrailerEnd";
const PING_TIMED_OUT: &str = "PingTimedout";
