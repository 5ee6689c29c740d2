//! A client's connection as the guard sees it: what it is doing, until when, and how to get it back.
//!
//! Pingora owns the session while an exchange is under way. Two things it can't do are done from here: a deadline that
//! holds in every phase, and an error page of ours where its own parser refuses a head. For both, the guard drops
//! Pingora's future and takes back the stream and the [`Exchange`], which hand themselves over as they are dropped.

use std::ops::{Deref, DerefMut};
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU16, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use pingora::protocols::{
    ALPN, GetProxyDigest, GetSocketDigest, GetTimingDigest, Peek, Shutdown, SocketDigest, Ssl, Stream, TimingDigest,
    UniqueID, UniqueIDType, raw_connect::ProxyDigest, tls::SslDigest,
};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::exchange::{Exchange, Peer};

/// What is known of a connection by all who have a hand in it.
#[derive(Debug)]
pub struct Connection {
    /// The listener that accepted it.
    pub listener: Arc<str>,
    /// Its other end.
    pub peer: Peer,
    opened: Instant,
    phase: AtomicU8,
    /// Nanoseconds after `opened`; [`NO_DEADLINE`] for none.
    deadline: AtomicU64,
    answered: AtomicBool,
    refused: AtomicU16,
    odd_line: AtomicBool,
    handing_back: AtomicBool,
    handed_back: Mutex<HandedBack>,
}

/// What the guard gets back when it drops Pingora's future.
#[derive(Debug, Default)]
pub struct HandedBack {
    /// The client's stream.
    pub stream: Option<Stream>,
    /// What was under way.
    pub exchange: Option<Box<Exchange>>,
}

/// What a connection is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Phase {
    /// Waiting for a request.
    Idle = 0,
    /// The first byte of a head has come.
    Head = 1,
    /// A head was read and is being answered.
    Exchange = 2,
}

const NO_DEADLINE: u64 = u64::MAX;

/// How long a head may take from its first byte to its last.
pub const HEAD_TIMEOUT: Duration = Duration::from_secs(10);

impl Connection {
    /// A connection that was just accepted.
    pub fn new(listener: Arc<str>, peer: Peer) -> Self {
        Self {
            listener,
            peer,
            opened: Instant::now(),
            phase: AtomicU8::new(Phase::Idle as u8),
            deadline: AtomicU64::new(NO_DEADLINE),
            answered: AtomicBool::new(false),
            refused: AtomicU16::new(0),
            odd_line: AtomicBool::new(false),
            handing_back: AtomicBool::new(false),
            handed_back: Mutex::default(),
        }
    }

    /// What it is doing.
    pub fn phase(&self) -> Phase {
        match self.phase.load(Relaxed) {
            0 => Phase::Idle,
            1 => Phase::Head,
            _ => Phase::Exchange,
        }
    }

    /// It waits for the next request.
    pub fn rest(&self) {
        self.set_deadline(None);
        self.answered.store(false, Relaxed);
        self.refused.store(0, Relaxed);
        self.odd_line.store(false, Relaxed);
        self.handing_back.store(false, Relaxed);
        self.phase.store(Phase::Idle as u8, Relaxed);
    }

    /// A head was read whole.
    pub fn begin_exchange(&self) {
        self.set_deadline(None);
        self.phase.store(Phase::Exchange as u8, Relaxed);
    }

    fn begin_head(&self) {
        if self.phase() == Phase::Idle {
            self.phase.store(Phase::Head as u8, Relaxed);
            self.set_deadline(Some(Instant::now() + HEAD_TIMEOUT));
        }
    }

    /// Until when what it is doing must be done.
    pub fn set_deadline(&self, at: Option<Instant>) {
        let nanos = at.map_or(NO_DEADLINE, |at| {
            u64::try_from(at.saturating_duration_since(self.opened).as_nanos()).unwrap_or(NO_DEADLINE)
        });
        self.deadline.store(nanos, Relaxed);
    }

    /// Until when what it is doing must be done.
    pub fn deadline(&self) -> Option<Instant> {
        match self.deadline.load(Relaxed) {
            NO_DEADLINE => None,
            nanos => Some(self.opened + Duration::from_nanos(nanos)),
        }
    }

    /// The final head of a response has been begun: nothing else can be said any more.
    pub fn mark_answered(&self) {
        self.answered.store(true, Relaxed);
    }

    /// Whether the final head of a response has been begun.
    pub fn is_answered(&self) -> bool {
        self.answered.load(Relaxed)
    }

    /// Whether the request's line has more than its two spaces. A line that was sent before the answer to the request
    /// before it is not looked at: its spaces go on as `%20`.
    pub fn has_odd_line(&self) -> bool {
        self.odd_line.load(Relaxed)
    }

    /// The status that Pingora's own parser wanted to refuse the head with.
    pub fn refused(&self) -> Option<u16> {
        Some(self.refused.load(Relaxed)).filter(|status| *status != 0)
    }

    /// From now on stream and exchange hand themselves back when they are dropped.
    pub fn hand_back(&self) {
        self.handing_back.store(true, Relaxed);
    }

    /// What was handed back.
    pub fn take_back(&self) -> HandedBack {
        self.handing_back.store(false, Relaxed);
        std::mem::take(&mut *self.handed_back.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn receive(&self, put: impl FnOnce(&mut HandedBack)) {
        if self.handing_back.load(Relaxed) {
            put(&mut self.handed_back.lock().unwrap_or_else(PoisonError::into_inner));
        }
    }

    /// Pingora wants to answer a head by itself: remembers the status in place of writing it.
    fn refuse(&self, head: &[u8]) {
        let status = head.get(9..12).and_then(|digits| std::str::from_utf8(digits).ok()).and_then(|s| s.parse().ok());
        if self.refused().is_none() {
            self.refused.store(status.unwrap_or(400), Relaxed);
        }
        self.hand_back();
    }
}

/// Pingora's per-request context: the exchange, which hands itself back when it is dropped too early.
pub struct Trip {
    exchange: Option<Box<Exchange>>,
    connection: Option<Arc<Connection>>,
}

impl Trip {
    /// A trip that has just begun.
    pub fn new(exchange: Exchange) -> Self {
        Self { exchange: Some(Box::new(exchange)), connection: None }
    }

    /// The connection that it takes place on.
    pub fn set_connection(&mut self, connection: Arc<Connection>) {
        self.connection = Some(connection);
    }

    /// The connection that it takes place on.
    pub fn connection(&self) -> Option<&Connection> {
        self.connection.as_deref()
    }
}

const PRESENT: &str = "an exchange leaves its trip only when that is dropped";

impl Deref for Trip {
    type Target = Exchange;

    fn deref(&self) -> &Exchange {
        self.exchange.as_deref().expect(PRESENT)
    }
}

impl DerefMut for Trip {
    fn deref_mut(&mut self) -> &mut Exchange {
        self.exchange.as_deref_mut().expect(PRESENT)
    }
}

impl Drop for Trip {
    fn drop(&mut self) {
        if let Some(connection) = &self.connection {
            connection.receive(|back| back.exchange = self.exchange.take());
        }
    }
}

/// The client's stream on its way through Pingora.
#[derive(Debug)]
pub struct GuardStream {
    stream: Option<Stream>,
    connection: Arc<Connection>,
    /// Spaces in the request's line so far; `None` when the line is over.
    spaces: Option<u8>,
}

impl GuardStream {
    /// Wraps a stream.
    pub fn new(stream: Stream, connection: Arc<Connection>) -> Self {
        Self { stream: Some(stream), connection, spaces: None }
    }

    /// The connection that it belongs to.
    pub fn connection(&self) -> &Arc<Connection> {
        &self.connection
    }

    /// Looks at what a client sends: a head begins, and its line has two spaces or is odd.
    fn see(&mut self, bytes: &[u8]) {
        if self.connection.phase() == Phase::Idle {
            self.connection.begin_head();
            self.spaces = Some(0);
        }
        let Some(before) = self.spaces else { return };
        let end = bytes.iter().position(|&byte| byte == b'\n');
        let line = &bytes[..end.unwrap_or(bytes.len())];
        let spaces = line.iter().filter(|&&byte| byte == b' ' || byte == b'\t').count();
        let spaces = before.saturating_add(u8::try_from(spaces).unwrap_or(u8::MAX));
        // An empty line before the request's is skipped by parsers (RFC 9112, 2.2).
        let over = end.is_some() && spaces > 0;
        self.spaces = (!over).then_some(spaces);
        if spaces > 2 {
            self.connection.odd_line.store(true, Relaxed);
        }
    }

    fn stream(&self) -> &Stream {
        self.stream.as_ref().expect(STREAM)
    }

    fn pinned(&mut self) -> Pin<&mut Stream> {
        Pin::new(self.stream.as_mut().expect(STREAM))
    }
}

const STREAM: &str = "a guarded stream leaves its wrapper only when that is dropped";

impl Drop for GuardStream {
    fn drop(&mut self) {
        self.connection.receive(|back| back.stream = self.stream.take());
    }
}

impl AsyncRead for GuardStream {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<std::io::Result<()>> {
        let before = buf.filled().len();
        let result = self.pinned().poll_read(cx, buf);
        if let Some(bytes) = buf.filled().get(before..).filter(|bytes| !bytes.is_empty()) {
            self.see(bytes);
        }
        result
    }
}

impl AsyncWrite for GuardStream {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<std::io::Result<usize>> {
        if self.connection.phase() != Phase::Exchange {
            self.connection.refuse(buf);
            return Poll::Ready(Ok(buf.len()));
        }
        self.pinned().poll_write(cx, buf)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[std::io::IoSlice<'_>],
    ) -> Poll<std::io::Result<usize>> {
        if self.connection.phase() != Phase::Exchange {
            self.connection.refuse(bufs.first().map_or(&[][..], |buf| buf));
            return Poll::Ready(Ok(bufs.iter().map(|buf| buf.len()).sum()));
        }
        self.pinned().poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream().is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        self.pinned().poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        if self.connection.handing_back.load(Relaxed) {
            return Poll::Ready(Ok(()));
        }
        self.pinned().poll_shutdown(cx)
    }
}

#[async_trait]
impl Shutdown for GuardStream {
    async fn shutdown(&mut self) {
        if let Some(stream) = self.stream.as_mut().filter(|_| !self.connection.handing_back.load(Relaxed)) {
            Shutdown::shutdown(&mut **stream).await;
        }
    }
}

#[async_trait]
impl Peek for GuardStream {
    async fn try_peek(&mut self, buf: &mut [u8]) -> std::io::Result<bool> {
        match self.stream.as_mut() {
            Some(stream) => stream.try_peek(buf).await,
            None => Ok(false),
        }
    }
}

impl UniqueID for GuardStream {
    fn id(&self) -> UniqueIDType {
        self.stream().id()
    }
}

impl Ssl for GuardStream {
    fn get_ssl_digest(&self) -> Option<Arc<SslDigest>> {
        self.stream().get_ssl_digest()
    }

    fn selected_alpn_proto(&self) -> Option<ALPN> {
        self.stream().selected_alpn_proto()
    }
}

impl GetTimingDigest for GuardStream {
    fn get_timing_digest(&self) -> Vec<Option<TimingDigest>> {
        self.stream().get_timing_digest()
    }
}

impl GetProxyDigest for GuardStream {
    fn get_proxy_digest(&self) -> Option<Arc<ProxyDigest>> {
        self.stream().get_proxy_digest()
    }
}

impl GetSocketDigest for GuardStream {
    fn get_socket_digest(&self) -> Option<Arc<SocketDigest>> {
        self.stream().get_socket_digest()
    }
}
