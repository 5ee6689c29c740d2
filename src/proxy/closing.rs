//! What becomes of a client's connection once a response has begun.

use http::StatusCode;
use pingora_proxy::Session;

use super::connection::Ending;
use super::trip::Trip;

/// From here on the client can only be told by a broken connection that something went wrong.
pub(super) fn begin_response(session: &mut Session, trip: &mut Trip, status: StatusCode) {
    trip.answered.status = Some(status.as_u16());
    if let Some(connection) = trip.connection() {
        connection.mark_answered();
        if connection.ending() > Ending::No || connection.had_last_request() {
            session.set_keepalive(None);
            if status != StatusCode::SWITCHING_PROTOCOLS && session.as_http1().is_some() {
                // The next request may be on its way already; unread, it would reset what the client has not read yet.
                connection.hand_back();
            }
        }
    }
}

/// The guard takes the stream back when the exchange is over, and closes it so that the client gets to read the answer.
pub(super) fn linger_afterwards(trip: &Trip) {
    if let Some(connection) = trip.connection() {
        connection.hand_back();
    }
}

/// From here on bytes go both ways, and neither way waits for the other.
pub(super) fn begin_tunnel(trip: &Trip) {
    let upgrade = trip.onward.as_ref().and_then(|onward| onward.upgrade.as_ref());
    if let (Some(connection), Some(upgrade)) = (trip.connection(), upgrade) {
        upgrade.grant();
        connection.begin_tunnel(upgrade);
    }
}
