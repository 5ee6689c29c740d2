//! What gRPC asks of a gateway: errors that its clients understand, and the status in the log.

use http::{HeaderMap, HeaderValue};

use super::exchange::Exchange;
use super::fault::Fault;
use crate::filter::{Body, Reply};
use crate::head::grpc::{Dialect, GRPC_STATUS, Status, encoded};

/// The end of a call that failed at the door.
pub(super) struct Failed {
    /// As the client speaks.
    pub(super) dialect: Dialect,
    /// Why it failed.
    pub(super) status: Status,
    /// The same in a sentence, as a header carries it.
    pub(super) message: HeaderValue,
}

/// What an error is to a client that speaks gRPC, which takes no pages and no status but 200; `None` for other clients,
/// and for answers that are no errors.
pub(super) fn failed(exchange: &Exchange, reply: &Reply) -> Option<Failed> {
    let dialect = exchange.asked.grpc?;
    let http = reply.status;
    if !http.is_client_error() && !http.is_server_error() {
        return None;
    }
    let status = match exchange.answered.fault {
        Some(Fault::Deadline) => Status::DeadlineExceeded,
        _ => Status::of(http),
    };
    let message = match &reply.body {
        Body::Problem(Some(detail)) => encoded(detail),
        _ => http.canonical_reason().unwrap_or("Error").to_owned(),
    };
    let message = HeaderValue::try_from(message).unwrap_or_else(|_| HeaderValue::from_static("Error"));
    Some(Failed { dialect, status, message })
}

/// The status of a call, where these headers or trailers have it.
pub(super) fn status_in(headers: &HeaderMap) -> Option<u16> {
    headers.get(GRPC_STATUS)?.to_str().ok()?.parse().ok()
}
