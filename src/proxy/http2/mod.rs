//! HTTP/2 connections of clients (RFC 9113).
//!
//! h2 does the protocol, Pingora's `HttpProxy` each exchange; what is between them is here: which streams are taken up
//! and how a connection ends ([`connection`]), what a client may send beside requests ([`conduct`], seen on the
//! [`wire`]), and a [`session`] for each stream that the guard can take back to answer by itself.
//!
//! | who | bounds |
//! |---|---|
//! | h2 | streams at a time, sizes of heads, CONTINUATION frames, unread small DATA frames, windows, its own resets |
//! | [`conduct`] | frames that are of no use, requests that are taken back |
//! | [`connection`] | the preface, heads that don't end, idleness, a client that takes nothing any more |
//! | [`stream`] | everything that bounds an exchange by HTTP/1 |

mod conduct;
mod connection;
mod digest;
mod ends;
mod frames;
mod head;
mod session;
mod stream;
mod wire;

use std::sync::Arc;

use h2::server;
use pingora::protocols::Stream;
use pingora::server::ShutdownWatch;

use super::connection::Connection;
use super::entrance::turn_away;
use super::fault::Fault;
use super::guard::{Guard, linger};
use super::open::Entered;
use super::turned_away::TurnedAway;
use connection::Driven;
use digest::WireDigest;
pub(super) use digest::stream_of;
pub(super) use ends::Ends;
use stream::Arrived;
use wire::Wire;

/// What a stream may send before it is read; and what a connection may, which bounds what it can make the door keep.
const STREAM_WINDOW: u32 = 256 << 10;
const CONNECTION_WINDOW: u32 = 1 << 20;

/// What is kept for a stream whose client reads more slowly than its upstream sends.
const SEND_BUFFER: usize = 64 << 10;

/// How many streams h2 may have to reset for breaking rules before it ends the connection.
const MOST_BROKEN: usize = 100;

/// What HTTP/2 counts of a line of a request's fields beyond what HTTP/1 does: 32 bytes, less the 4 that HTTP/1 has
/// between (RFC 9113, 6.5.2).
const MORE_OF_A_LINE: usize = 28;

impl Guard {
    /// Serves a connection that speaks HTTP/2 to its end.
    pub(super) async fn http2(&self, stream: Stream, connection: &Entered, shutdown: &ShutdownWatch) {
        let digest = WireDigest::of(&stream);
        let (wire, seen) = Wire::new(stream);
        let handshake = options(connection).handshake(wire);
        match tokio::time::timeout(connection.limits().handshake_timeout.0, handshake).await {
            Ok(Ok(h2)) => {
                let driven = Driven::new(h2, connection, Arc::clone(&seen));
                if let Some(fault) = self.streams(driven, connection, &digest, shutdown).await {
                    self.note(connection, fault);
                }
            }
            Ok(Err(e)) if e.is_io() => {}
            Ok(Err(_)) => turn_away(connection, TurnedAway::PrefaceMalformed, None),
            Err(_) => turn_away(connection, TurnedAway::PrefaceTimeout, None),
        }
        let stream = seen.lock().back.take();
        linger(stream).await;
    }

    async fn streams(
        &self,
        mut driven: Driven<'_>,
        connection: &Connection,
        digest: &WireDigest,
        shutdown: &ShutdownWatch,
    ) -> Option<Fault> {
        loop {
            let next = driven.next().await;
            (0..driven.refused()).for_each(|_| self.note(connection, Fault::Malformed));
            let Some((request, respond)) = next else { break };
            let stream = Arc::new(connection.stream());
            let id = respond.stream_id().as_u32();
            let arrived = Arrived { request, respond, stream: Arc::clone(&stream), wire: digest.clone() };
            driven.spawn(id, stream, self.clone().stream(arrived, shutdown.clone()));
        }
        driven.end().await
    }

    /// Writes down what a connection ended for, once.
    fn note(&self, connection: &Connection, fault: Fault) {
        let mut exchange = self.unread(connection);
        exchange.asked.version = http::Version::HTTP_2;
        exchange.fail(fault);
        self.gateway.write_log(&exchange);
    }
}

fn options(connection: &Connection) -> server::Builder {
    let head = connection.settings().head;
    // A few more for the pseudo-fields, of which the path may be long.
    let fields = head.header_bytes + head.target_bytes + (head.headers + 8) * MORE_OF_A_LINE;
    let mut options = server::Builder::new();
    options
        .max_concurrent_streams(connection.limits().streams.0)
        .max_header_list_size(u32::try_from(fields).unwrap_or(u32::MAX))
        .initial_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .max_send_buffer_size(SEND_BUFFER)
        .max_local_error_reset_streams(Some(MOST_BROKEN));
    options
}
