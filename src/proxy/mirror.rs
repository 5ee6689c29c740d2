//! Copies of requests for another upstream, whose answers nobody gets.
//!
//! A copy runs in a task of its own, on connections of its own. What streams by is offered to it, and it takes it or
//! loses the request: nothing ever waits for a mirror (nginx's `mirror` module holds the client's connection until the
//! mirror has answered; Envoy's shadowing does not, nor does this).

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::Uri;
use http::header::{CONNECTION, CONTENT_LENGTH, HOST, TRANSFER_ENCODING};
use http::uri::PathAndQuery;
use pingora::connectors::http::Connector;
use pingora::http::RequestHeader;
use pingora::protocols::http::client::HttpSession;
use pingora::upstreams::peer::{HttpPeer, Peer};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};

use super::forwarded::host_of;
use super::trip::Trip;
use crate::proxy_protocol::Addresses;
use crate::upstream::{Ask, Outcome, Upstream, connector_options};

/// What sends copies, for the whole door.
pub(super) struct Mirrors {
    connector: Connector,
    room: Arc<Semaphore>,
    memory: Arc<Semaphore>,
}

/// A copy that is under way. Dropped before its [`end`](Duplicate::end), it is cut short.
pub struct Duplicate {
    /// Bytes of body that it has.
    has: u64,
    pieces: mpsc::Sender<Piece>,
    memory: Arc<Semaphore>,
}

enum Piece {
    /// What it holds counts until it is sent.
    Body {
        bytes: Bytes,
        _held: OwnedSemaphorePermit,
    },
    End,
}

/// How a copy got lost.
enum Lost {
    /// The request itself was cut short, or came faster than the mirror took it.
    Cut,
    Failed(String),
}

/// All that waits for mirrors may hold so many KiB.
const MEMORY: usize = 64 * 1024;

/// So many copies may be under way: a mirror that hangs must not fill the memory.
const MOST: usize = 1024;

/// Pieces of a body (64 KiB at most) that a mirror may lag behind.
const LAG: usize = 16;

/// Kept connections to mirrors, over all of them.
const POOL_SIZE: usize = 512;

/// How long a copy may take where its route has no `timeout`.
const LONGEST: Duration = Duration::from_secs(30);

impl Mirrors {
    pub(super) fn new() -> Self {
        Self {
            connector: Connector::new(Some(connector_options(POOL_SIZE))),
            room: Arc::new(Semaphore::new(MOST)),
            memory: Arc::new(Semaphore::new(MEMORY)),
        }
    }

    /// Begins a copy of a request on a connection between these addresses; `None` if too many are under way.
    pub(super) fn begin(
        self: &Arc<Self>,
        upstream: Arc<Upstream>,
        mut head: RequestHeader,
        has_body: bool,
        timeout: Option<Duration>,
        addresses: Option<Addresses>,
    ) -> Option<Duplicate> {
        for_http1(&mut head, has_body).ok()?;
        let Ok(room) = self.room.clone().try_acquire_owned() else {
            log::debug!("mirror `{}`: {MOST} copies are under way, one more is left out", upstream.name());
            return None;
        };
        let (pieces, taken) = mpsc::channel(LAG);
        let mirrors = self.clone();
        tokio::spawn(async move {
            if let Err(why) = mirrors.send(&upstream, head, taken, timeout.unwrap_or(LONGEST), addresses).await {
                log::debug!("mirror `{}`: {why}", upstream.name());
            }
            drop(room);
        });
        if !has_body {
            // By HTTP/2 nobody tells of the end of a body that there is not.
            pieces.try_send(Piece::End).ok()?;
            return None;
        }
        Some(Duplicate { has: 0, pieces, memory: self.memory.clone() })
    }

    async fn send(
        &self,
        upstream: &Arc<Upstream>,
        mut head: RequestHeader,
        mut pieces: mpsc::Receiver<Piece>,
        limit: Duration,
        addresses: Option<Addresses>,
    ) -> Result<(), String> {
        let picked = upstream.pick(&Ask::at(Instant::now()));
        let mut picked = picked.map_err(|why| format!("no endpoint: {why:?}"))?;
        let mut peer = picked.endpoint().peers().first().ok_or("it has no address")?.clone();
        if let Some(announce) = upstream.transport().announce(addresses) {
            announce.alone_on(&mut peer);
        }
        if let Some(host) = host_of(upstream, Some(picked.endpoint())) {
            head.insert_header(HOST, host).map_err(|e| e.to_string())?;
        }
        let ended = tokio::time::timeout(limit, self.exchange(&peer, head, &mut pieces)).await;
        let ended = ended.unwrap_or_else(|_| Err(Lost::Failed("the time for a copy is over".to_owned())));
        let outcome = match &ended {
            Ok(_) => Outcome::Succeeded,
            Err(Lost::Cut) => Outcome::Abandoned,
            Err(Lost::Failed(_)) => Outcome::Failed,
        };
        picked.report(outcome, Instant::now());
        let session = ended.map_err(|lost| match lost {
            Lost::Cut => "the request was cut short".to_owned(),
            Lost::Failed(why) => why,
        })?;
        self.connector.release_http_session(session, &peer, peer.idle_timeout()).await;
        Ok(())
    }
}

impl Mirrors {
    /// One exchange with a mirror; what comes back can be used for the next.
    async fn exchange(
        &self,
        peer: &HttpPeer,
        mut head: RequestHeader,
        pieces: &mut mpsc::Receiver<Piece>,
    ) -> Result<HttpSession, Lost> {
        let said = |e: Box<pingora::Error>| Lost::Failed(e.to_string());
        let (mut session, _) = self.connector.get_http_session(peer).await.map_err(said)?;
        session.set_read_timeout(peer.options.read_timeout);
        session.set_write_timeout(peer.options.write_timeout);
        if session.as_http2().is_some() {
            for_http2(&mut head, peer.is_tls()).map_err(Lost::Failed)?;
        }
        session.write_request_header(Box::new(head)).await.map_err(said)?;
        loop {
            match pieces.recv().await {
                Some(Piece::Body { bytes, .. }) => session.write_request_body(bytes, false).await.map_err(said)?,
                Some(Piece::End) => break,
                None => return Err(Lost::Cut),
            }
        }
        session.finish_request_body().await.map_err(said)?;
        for _ in 0..MOST_HEADS {
            session.read_response_header().await.map_err(said)?;
            let is_final = session.response_header().is_some_and(|head| !head.status.is_informational());
            if is_final {
                while session.read_response_body().await.map_err(said)?.is_some() {}
                return Ok(session);
            }
        }
        Err(Lost::Failed(format!("{MOST_HEADS} interim responses and no final one")))
    }
}

/// Heads of a response that are read: interim ones and the final one.
const MOST_HEADS: usize = 16;

/// As a mirror by HTTP/1.1 sees it, whatever the upstream that it is a copy for speaks: the host in `Host`, and framing of
/// its own.
fn for_http1(head: &mut RequestHeader, has_body: bool) -> pingora::Result<()> {
    head.set_version(http::Version::HTTP_11);
    if let Some(authority) = head.uri.authority().map(|authority| authority.as_str().to_owned()) {
        if !head.headers.contains_key(HOST) {
            head.insert_header(HOST, authority)?;
        }
        let path = head.uri.path_and_query().cloned().unwrap_or_else(|| PathAndQuery::from_static("/"));
        head.set_uri(path.into());
    }
    if has_body && !head.headers.contains_key(CONTENT_LENGTH) {
        head.insert_header(TRANSFER_ENCODING, "chunked")?;
    }
    Ok(())
}

/// HTTP/2 has the host in the target, and no headers that concern the connection (RFC 9113, 8.2.2 and 8.3.1).
fn for_http2(head: &mut RequestHeader, is_tls: bool) -> Result<(), String> {
    let host = head.headers.get(HOST).and_then(|host| host.to_str().ok()).unwrap_or("localhost").to_owned();
    let path = head.uri.path_and_query().map_or("/", |target| target.as_str());
    let uri = Uri::builder()
        .scheme(if is_tls { "https" } else { "http" })
        .authority(host)
        .path_and_query(path.to_owned())
        .build();
    head.set_uri(uri.map_err(|e| e.to_string())?);
    for name in [HOST, CONNECTION, TRANSFER_ENCODING] {
        head.remove_header(&name);
    }
    head.set_version(http::Version::HTTP_2);
    Ok(())
}

impl Duplicate {
    /// Offers a piece of the body that ends at this many bytes; whether the mirror keeps up. What it has of an earlier
    /// try is not offered again.
    pub(super) fn body(&mut self, piece: &Bytes, end: u64) -> bool {
        let new = usize::try_from(end.saturating_sub(self.has)).unwrap_or(usize::MAX).min(piece.len());
        if new == 0 {
            return true;
        }
        let kib = u32::try_from(new / 1024 + 1).unwrap_or(u32::MAX);
        let Ok(held) = self.memory.clone().try_acquire_many_owned(kib) else { return false };
        self.has = end;
        self.pieces.try_send(Piece::Body { bytes: piece.slice(piece.len() - new..), _held: held }).is_ok()
    }

    /// The request is whole. A mirror that lags behind loses it.
    pub(super) fn end(self) {
        self.pieces.try_send(Piece::End).ok();
    }
}

/// Offers what came of the body to the mirror, if the request has one.
pub(super) fn go_on_with_copy(trip: &mut Trip, piece: Option<&Bytes>, end: bool) {
    let so_far = trip.asked.body_bytes;
    let Some(onward) = trip.onward.as_mut() else { return };
    let keeps_up = match (&mut onward.copy, piece) {
        (Some(copy), Some(piece)) => copy.body(piece, so_far),
        _ => true,
    };
    if let Some(copy) = onward.copy.take_if(|_| end || !keeps_up)
        && keeps_up
    {
        copy.end();
    }
}
