//! What is known of an exchange once it is over.

use std::net::IpAddr;
use std::time::{Duration, SystemTime};

/// One finished exchange, borrowed from whoever drove it.
///
/// What a client can choose freely is bytes, as it came: each [`Format`](super::Format) makes it harmless in its own
/// way. `None`, and an empty method, host or target, mean that the exchange ended before that was known.
#[derive(Debug, Clone, Copy)]
pub struct Record<'a> {
    /// When the request's head had arrived.
    pub started: SystemTime,
    /// The id that the client and the upstream were given, too.
    pub request_id: Option<&'a str>,
    /// Who asked: the connection's peer, or whom a trusted proxy named. `None` on a Unix socket.
    pub client: Option<IpAddr>,
    /// As the client sent it.
    pub method: &'a str,
    /// The host that was asked for.
    pub host: Option<&'a [u8]>,
    /// Path and query as the client sent them, before anything was made canonical.
    pub target: &'a [u8],
    /// What the client spoke.
    pub version: http::Version,
    /// The version of TLS; `None` without.
    pub tls: Option<&'static str>,
    /// The cipher of TLS.
    pub cipher: Option<&'static str>,
    /// The listener's name in the file.
    pub listener: Option<&'a str>,
    /// The route's name in the file; `None` where no route matched.
    pub route: Option<&'a str>,
    /// Whom `auth` has found the request to come from.
    pub identity: Option<&'a [u8]>,
    /// The upstream's name in the file; `None` where the door answered by itself.
    pub upstream: Option<&'a str>,
    /// The address that was tried last.
    pub endpoint: Option<&'a str>,
    /// How many endpoints were tried, so 1 where the first answered and 0 where none was asked.
    pub tries: u32,
    /// What the client was told; 0 where it was told nothing, for example because it had gone.
    pub status: u16,
    /// The status of a gRPC call, whoever set it.
    pub grpc_status: Option<u16>,
    /// From the request's head to the end of the exchange.
    pub total: Duration,
    /// How long the last connection to an endpoint took; `None` where one was reused.
    pub connect: Option<Duration>,
    /// From the request's head to the first byte of the response's head from the upstream.
    pub upstream_head: Option<Duration>,
    /// Bytes of the request's body that were read.
    pub received: u64,
    /// Bytes of the response's body that were sent.
    pub sent: u64,
    /// The header of that name.
    pub user_agent: Option<&'a [u8]>,
    /// The header of that name.
    pub referer: Option<&'a [u8]>,
    /// Where anything failed: the stable code of what did.
    pub cause: Option<&'static str>,
    /// Where an endpoint had to do with that: how far the last try had come.
    pub phase: Option<&'static str>,
    /// What more there is to say about what failed, also in tries before one that succeeded; for people.
    pub detail: Option<&'a str>,
}

impl Record<'_> {
    /// A record in which nothing but the start is known; for `Record { status, ..Record::at(started) }`.
    #[must_use]
    pub fn at(started: SystemTime) -> Self {
        Self {
            started,
            request_id: None,
            client: None,
            method: "",
            host: None,
            target: b"",
            version: http::Version::HTTP_11,
            tls: None,
            cipher: None,
            listener: None,
            route: None,
            identity: None,
            upstream: None,
            endpoint: None,
            tries: 0,
            status: 0,
            grpc_status: None,
            total: Duration::ZERO,
            connect: None,
            upstream_head: None,
            received: 0,
            sent: 0,
            user_agent: None,
            referer: None,
            cause: None,
            phase: None,
            detail: None,
        }
    }
}
