//! What Pingora knows of a connection, and by the same way callbacks of a stream.

use std::sync::Arc;

use pingora::http::ResponseHeader;
use pingora::protocols::raw_connect::ProxyDigest;
use pingora::protocols::{Digest, SocketDigest, Stream, tls::SslDigest};
use pingora_proxy::Session;

use crate::proxy::connection::Connection;

/// What Pingora knows of a connection.
#[derive(Debug, Clone)]
pub(super) struct WireDigest {
    tls: Option<Arc<SslDigest>>,
    socket: Option<Arc<SocketDigest>>,
}

impl WireDigest {
    /// Reads it from a connection.
    pub(super) fn of(stream: &Stream) -> Self {
        Self { tls: stream.get_ssl_digest(), socket: stream.get_socket_digest() }
    }

    /// The same for one of its streams. Of all that a session shows only this has room for what is ours: in the request's
    /// head it would be cloned for every try.
    pub(super) fn of_stream(&self, stream: &Arc<Connection>) -> Digest {
        let ours = Box::new(Arc::clone(stream));
        let proxy = ResponseHeader::build_no_case(200, Some(0)).ok();
        let proxy = proxy.map(|head| Arc::new(ProxyDigest::new(Box::new(head), Some(ours))));
        Digest {
            ssl_digest: self.tls.clone(),
            timing_digest: Vec::new(),
            proxy_digest: proxy,
            socket_digest: self.socket.clone(),
        }
    }
}

/// The stream that a session is about.
pub(in crate::proxy) fn stream_of(session: &Session) -> Option<Arc<Connection>> {
    let ours = session.as_downstream().as_custom()?.digest()?.proxy_digest.as_ref()?.user_data.as_ref()?;
    ours.downcast_ref::<Arc<Connection>>().cloned()
}
