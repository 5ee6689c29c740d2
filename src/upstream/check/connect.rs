//! A check's connection: made for it, and closed after it.

use std::fmt;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use pingora::connectors::TransportConnector;
use pingora::connectors::http::v2::{H2HandshakeSettings, handshake};
use pingora::protocols::http::client::HttpSession;
use pingora::protocols::http::v1::client::HttpSession as Http1Session;
use pingora::protocols::{ALPN, Stream};
use pingora::upstreams::peer::HttpPeer;

use super::super::tls::connector_options;
use super::reason;

/// Makes the connections of checks. Clones are the same one: share it between all upstreams, since the system's
/// trusted certificates are read for it, though not before a first check needs them.
#[derive(Clone, Default)]
pub struct Connector(Arc<OnceLock<TransportConnector>>);

impl PartialEq for Connector {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

impl fmt::Debug for Connector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Connector")
    }
}

impl Connector {
    /// A new connection, by the first peer to which one can be made; and that peer. Of `time`, each peer gets an equal
    /// share, so that a silent address leaves the others theirs.
    pub(super) async fn connect(&self, peers: Vec<HttpPeer>, time: Duration) -> Result<(Stream, HttpPeer), String> {
        let transport = self.0.get_or_init(|| {
            // No connection is ever given to the pool.
            TransportConnector::new(Some(connector_options(1)))
        });
        let share = time / u32::try_from(peers.len()).unwrap_or(u32::MAX).max(1);
        let mut why = "no address".to_owned();
        for mut peer in peers {
            let limit = peer.options.total_connection_timeout.map_or(share, |own| own.min(share));
            peer.options.total_connection_timeout = Some(limit);
            // `new_stream` and `release_stream` alone know the pool; the first never looks into it.
            match transport.new_stream(&peer).await {
                Ok(stream) => return Ok((stream, peer)),
                Err(error) => why = reason::of_connecting(&error, limit),
            }
        }
        Err(why)
    }
}

/// Of a check's answer little is read, so little may be under way.
const WINDOW: u32 = 65_535;

/// A session of the version that TLS agreed on; without TLS, of the one that the peer is bound to.
pub(super) async fn session(stream: Stream, peer: &HttpPeer) -> Result<HttpSession, String> {
    if !speaks_http2(&stream, peer) {
        return Ok(HttpSession::H1(Http1Session::new_with_options(stream, peer)));
    }
    let mut settings = H2HandshakeSettings::new();
    settings.max_streams = 1;
    settings.stream_window_size = Some(WINDOW);
    settings.connection_window_size = Some(WINDOW);
    let connection = handshake(stream, settings).await.map_err(|error| reason::of(&error))?;
    let stream = connection.spawn_stream().await.map_err(|error| reason::of(&error))?;
    stream.map(HttpSession::H2).ok_or_else(|| "HTTP/2: the endpoint takes no requests on a new connection".to_owned())
}

fn speaks_http2(stream: &Stream, peer: &HttpPeer) -> bool {
    match stream.selected_alpn_proto() {
        Some(alpn) => alpn == ALPN::H2,
        None => !peer.is_tls() && peer.options.alpn.get_min_http_version() == 2,
    }
}
