//! What a connection goes through before its first request: whether there is room for it, whose it is (the PROXY
//! protocol), and which protocol it speaks. Each step has a deadline, and each way to fail is counted.

mod handshake;
mod preface;
mod question;

use std::future::poll_fn;
use std::task::Poll;
use std::time::Duration;

use pingora::protocols::Stream;
use pingora::protocols::l4::stream::Stream as L4Stream;

use super::arrival::Arrival;
use super::connection::{Connection, Ending};
use super::exchange::Peer;
use super::open::Entered;
use super::turned_away::TurnedAway;
use crate::proxy_protocol::{self, HeaderProblem};
use handshake::secure;
use preface::begins_http2;

/// A connection that may have its first request.
pub(super) enum Speaks {
    /// HTTP/1.1 and its forerunners.
    Http1(Stream),
    /// HTTP/2.
    Http2(Stream),
}

/// Lets a connection in; `None` for one that is turned away, or that a door which ends has no time for.
pub(super) async fn enter(stream: Stream, connection: &mut Entered) -> Option<Speaks> {
    let shared = std::sync::Arc::clone(connection);
    tokio::select! {
        // Its first request may be under way already, so it is listened to first.
        biased;
        entered = pass(stream, connection) => entered,
        () = asked_to_go(&shared) => None,
    }
}

async fn pass(mut stream: Stream, connection: &mut Entered) -> Option<Speaks> {
    let arrival = match said_by_proxy(&mut stream, connection).await {
        Ok(arrival) => arrival,
        Err(HeaderFault::Gone) => return None,
        Err(HeaderFault::Bad(reason, detail)) => {
            turn_away(connection, reason, detail.as_deref());
            return None;
        }
    };
    let peer = arrival.peer;
    let most = connection.limits().connections_per_client;
    if let (Peer::Inet(address), Some(most)) = (peer, most)
        && !connection.enter_client(address.ip(), most.0)
    {
        turn_client_away(connection, peer, TurnedAway::ClientConnectionsFull, None);
        return None;
    }
    let Some(tls) = &connection.settings().tls else {
        connection.arrive(arrival);
        return in_the_clear(stream, connection).await;
    };
    let secure = secure(stream, tls, connection.settings().acme.as_deref());
    let secure = within(connection.limits().handshake_timeout.0, secure).await;
    let secure = secure.unwrap_or(Err((TurnedAway::TlsHandshakeTimeout, None)));
    let secure =
        secure.map_err(|(reason, detail)| turn_client_away(connection, peer, reason, detail.as_deref())).ok()??;
    connection.arrive(Arrival { tls: Some(secure.secured), ..arrival });
    Some(if secure.is_http2 { Speaks::Http2(secure.stream) } else { Speaks::Http1(secure.stream) })
}

/// What a connection without TLS speaks.
async fn in_the_clear(stream: Stream, connection: &Connection) -> Option<Speaks> {
    if !connection.settings().http2 {
        return Some(Speaks::Http1(stream));
    }
    let limits = connection.limits();
    match begins_http2(stream, limits.idle_timeout.0, limits.handshake_timeout.0).await {
        Ok((stream, true)) => Some(Speaks::Http2(stream)),
        Ok((stream, false)) => Some(Speaks::Http1(stream)),
        Err(is_late) => {
            if is_late {
                turn_away(connection, TurnedAway::PrefaceTimeout, None);
            }
            None
        }
    }
}

/// Resolves when a connection that has no request yet must go.
async fn asked_to_go(connection: &Connection) {
    poll_fn(|cx| match connection.hear(cx.waker()) {
        Ending::No | Ending::AfterAnswer => Poll::Pending,
        Ending::WhenIdle | Ending::Now => Poll::Ready(()),
    })
    .await;
}

/// Why a load balancer did not say whose connection it passes on.
enum HeaderFault {
    /// It left without a word, as those do that only look whether the door is there.
    Gone,
    Bad(TurnedAway, Option<String>),
}

/// Whose connection it is. Where the other end is one of the load balancers on `proxy_protocol`, it says so itself.
async fn said_by_proxy(stream: &mut Stream, connection: &Connection) -> Result<Arrival, HeaderFault> {
    let own = Arrival { peer: connection.accepted_from(), addresses: connection.addresses(), tls: None };
    let settings = connection.settings();
    if !settings.proxy_protocol.iter().any(|network| network.contains(own.peer.ip())) {
        return Ok(own);
    }
    match within(settings.limits.handshake_timeout.0, proxy_protocol::read(stream)).await {
        Some(Ok(Some(said))) => Ok(Arrival { peer: Peer::Inet(said.client), addresses: Some(said), tls: None }),
        Some(Ok(None)) => Ok(own),
        Some(Err(HeaderProblem::Malformed(why))) => Err(HeaderFault::Bad(TurnedAway::ProxyHeaderMalformed, Some(why))),
        Some(Err(HeaderProblem::Missing)) => Err(HeaderFault::Bad(TurnedAway::ProxyHeaderMissing, None)),
        Some(Err(HeaderProblem::Gone(_))) => Err(HeaderFault::Gone),
        None => Err(HeaderFault::Bad(TurnedAway::ProxyHeaderTimeout, None)),
    }
}

pub(super) fn turn_away(connection: &Connection, reason: TurnedAway, detail: Option<&str>) {
    turn_client_away(connection, connection.peer(), reason, detail);
}

/// The same before the connection knows whose it is.
fn turn_client_away(connection: &Connection, peer: Peer, reason: TurnedAway, detail: Option<&str>) {
    connection.live_listener().turn_away(reason, peer.ip(), detail);
}

async fn within<T>(limit: Duration, work: impl Future<Output = T>) -> Option<T> {
    tokio::time::timeout(limit, work).await.ok()
}

/// The connection as Pingora accepted it, which can take back what was read of it.
fn unwrap(stream: Stream) -> Option<Box<L4Stream>> {
    stream.into_any().downcast::<L4Stream>().ok()
}
