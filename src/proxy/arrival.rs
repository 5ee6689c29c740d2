//! How a connection came in: whose it is, and what it has shown before its first request.

use std::sync::Arc;

use super::exchange::Peer;
use crate::proxy_protocol::Addresses;
use crate::tls::ClientIdentity;

/// What is known of a connection when its first request can come. All its requests share it.
#[derive(Debug, Clone)]
pub struct Arrival {
    /// Its other end; behind a load balancer that speaks the PROXY protocol, the client that this stands for.
    pub peer: Peer,
    /// The addresses of both ends of its connection; `None` for one on a Unix socket.
    pub addresses: Option<Addresses>,
    /// What TLS has shown; `None` without TLS.
    pub tls: Option<Arc<Secured>>,
}

/// What a TLS handshake has shown; by default nothing but that there was one.
#[derive(Debug, Default)]
pub struct Secured {
    /// The name that the client asked for (SNI), in small letters.
    pub server_name: Option<Box<str>>,
    /// The version, such as `TLSv1_3`.
    pub version: &'static str,
    /// The cipher suite, by its name of the standard.
    pub cipher: &'static str,
    /// Who the client is by its certificate, if it has shown one. The handshake has checked it.
    pub client: Option<Arc<ClientIdentity>>,
}
