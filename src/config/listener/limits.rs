//! `limits` of a listener: what one client may cost.

use std::time::Duration;

use schemars::JsonSchema;
use serde::Deserialize;

use super::super::value::{ByteRate, Count, Period, Size};

/// Bounds on what clients do with their connections. Nothing here can be switched off: a connection without a deadline
/// is an attack. What is accepted while a value holds keeps it, also over a reload.
#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct ListenerLimits {
    /// What comes before HTTP may take so long, each: the PROXY header and the TLS handshake from the moment when they
    /// are awaited, the preface of HTTP/2 from its first byte.
    pub handshake_timeout: Period,
    /// From the first byte of a request's head to its last: then 408.
    pub header_timeout: Period,
    /// How long a client may be silent within a body that it sends, and how long it may leave a response unread.
    pub body_timeout: Period,
    /// How fast a body must come once it has taken `body_timeout`, over all the time that the client was waited for;
    /// bytes now and then would be no silence. Not asked of WebSockets, gRPC and where the response is an event stream.
    pub body_rate: ByteRate,
    /// How long a connection without a request is kept.
    pub idle_timeout: Period,
    /// Bytes of all header lines together, at most 512KiB: above that 431.
    pub header_size: Size,
    /// Header lines, at most 256: above that 431.
    pub headers: Count,
    /// Bytes of the path and the query, at most 64KiB: above that 414.
    pub target_size: Size,
    /// Requests after which a connection is closed, so that clients spread anew after a change behind a load balancer.
    pub requests_per_connection: Count,
    /// Requests under way at a time on a connection of HTTP/2.
    pub streams: Count,
    /// Connections open at a time; one more is closed unheard.
    pub connections: Count,
    /// The same for each client address, for IPv6 each /64. None: no bound of its own.
    pub connections_per_client: Option<Count>,
}

impl Default for ListenerLimits {
    fn default() -> Self {
        Self {
            handshake_timeout: Period(Duration::from_secs(10)),
            header_timeout: Period(Duration::from_secs(10)),
            body_timeout: Period(Duration::from_secs(30)),
            body_rate: ByteRate::bytes(240),
            idle_timeout: Period(Duration::from_secs(75)),
            header_size: Size(64 << 10),
            headers: Count(100),
            target_size: Size(16 << 10),
            requests_per_connection: Count(1000),
            streams: Count(100),
            connections: Count(20_000),
            connections_per_client: None,
        }
    }
}
