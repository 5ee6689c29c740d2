//! A client's stream on its way through Pingora: it tells the connection what it sees, and hands itself back.

use std::io::IoSlice;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use pingora::protocols::{
    ALPN, GetProxyDigest, GetSocketDigest, GetTimingDigest, Peek, Shutdown, SocketDigest, Ssl, Stream, TimingDigest,
    UniqueID, UniqueIDType, raw_connect::ProxyDigest, tls::SslDigest,
};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::connection::{Connection, Phase};
use super::outgoing::Outgoing;
use crate::head::wire::Wire;
use crate::upstream::Upgrade;

/// The client's stream on its way through Pingora.
#[derive(Debug)]
pub struct GuardStream {
    stream: Option<Stream>,
    connection: Arc<Connection>,
    wire: Wire,
    outgoing: Outgoing,
    /// From when on the client is waited for to send more of a body.
    waiting_since: Option<Instant>,
}

impl GuardStream {
    /// Wraps a stream.
    pub fn new(stream: Stream, connection: Arc<Connection>) -> Self {
        let limits = connection.settings().head;
        let wire = Wire::new(limits.header_bytes + limits.target_bytes + SLACK);
        Self { stream: Some(stream), connection, wire, outgoing: Outgoing::default(), waiting_since: None }
    }

    /// The connection that it belongs to.
    pub fn connection(&self) -> &Arc<Connection> {
        &self.connection
    }

    /// Looks at what a client sends: a head begins, has become too large, or what comes is malformed.
    fn see(&mut self, bytes: &[u8]) {
        let Self { connection, wire, .. } = self;
        wire.saw(bytes);
        connection.boundary.saw(wire);
        if connection.phase() == Phase::Idle && !connection.boundary.is_clean() {
            connection.begin_head();
        }
        if connection.phase() == Phase::Head
            && let Some(problem) = wire.is_endless()
        {
            connection.refuse(problem.status());
        }
    }

    /// Why what was read must not be used: a head that is too large, or a body in which another reader would find
    /// another end. What is wrong with a head is for the head check to tell.
    fn objection(&self) -> Option<&'static str> {
        match self.connection.phase() {
            Phase::Head if self.connection.refused().is_some() => Some("the head is too large"),
            Phase::Exchange if self.connection.has_bad_body() => Some("the body is malformed"),
            _ => None,
        }
    }

    fn stream(&self) -> &Stream {
        self.stream.as_ref().expect(STREAM)
    }

    fn parts(&mut self) -> (&mut Outgoing, &mut Stream, Option<&Upgrade>) {
        (&mut self.outgoing, self.stream.as_mut().expect(STREAM), self.connection.tunnel())
    }
}

/// Whether a client of TLS has closed its connection without `close_notify`, as many do. Where a message ends it says
/// itself, in a tunnel too, so that nothing can be cut off unseen.
fn is_end_without_word(read: &Poll<std::io::Result<()>>) -> bool {
    matches!(read, Poll::Ready(Err(error)) if error.kind() == std::io::ErrorKind::UnexpectedEof)
}

/// A head that is larger than all limits, and by this, will not be read further. The head check has the exact limits;
/// this is what a client can make the door keep.
const SLACK: usize = 48 << 10;

/// How long a client may take to read the rest of a tunnel when the upstream is gone.
const LAST_READ: Duration = Duration::from_secs(30);

const STREAM: &str = "a guarded stream leaves its wrapper only when that is dropped";

impl Drop for GuardStream {
    fn drop(&mut self) {
        self.connection.receive(|back| back.stream = self.stream.take());
    }
}

impl AsyncRead for GuardStream {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<std::io::Result<()>> {
        let (before, room) = (buf.filled().len(), buf.remaining());
        let (outgoing, stream, tunnel) = self.parts();
        ready!(outgoing.poll_turn(stream, tunnel, cx))?;
        let mut result = Pin::new(&mut *stream).poll_read(cx, buf);
        if is_end_without_word(&result) {
            result = Poll::Ready(Ok(()));
        }
        if let Some(bytes) = buf.filled().get(before..).filter(|bytes| !bytes.is_empty()) {
            outgoing.read(room, bytes.len());
            self.see(bytes);
            if let Some(why) = self.objection() {
                return Poll::Ready(Err(std::io::Error::other(why)));
            }
        }
        let this = &mut *self;
        let came = result.is_ready().then(|| buf.filled().len() - before);
        this.connection.pace.read(&mut this.waiting_since, came);
        result
    }
}

impl AsyncWrite for GuardStream {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<std::io::Result<usize>> {
        if self.connection.phase() != Phase::Exchange {
            self.connection.refuse_as(buf);
            return Poll::Ready(Ok(buf.len()));
        }
        let (outgoing, stream, tunnel) = self.parts();
        outgoing.poll_write(stream, tunnel, cx, &[IoSlice::new(buf)])
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<std::io::Result<usize>> {
        if self.connection.phase() != Phase::Exchange {
            self.connection.refuse_as(bufs.first().map_or(&[][..], |buf| buf));
            return Poll::Ready(Ok(bufs.iter().map(|buf| buf.len()).sum()));
        }
        let (outgoing, stream, tunnel) = self.parts();
        outgoing.poll_write(stream, tunnel, cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream().is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        let (outgoing, stream, tunnel) = self.parts();
        outgoing.poll_flush(stream, tunnel, cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        if self.connection.is_handing_back() {
            return Poll::Ready(Ok(()));
        }
        Pin::new(self.parts().1).poll_shutdown(cx)
    }
}

#[async_trait]
impl Shutdown for GuardStream {
    async fn shutdown(&mut self) {
        let last = std::future::poll_fn(|cx| {
            let (outgoing, stream, _) = self.parts();
            outgoing.poll_out(stream, cx)
        });
        // Whatever the outcome, this is the end.
        tokio::time::timeout(LAST_READ, last).await.ok();
        if let Some(stream) = self.stream.as_mut().filter(|_| !self.connection.is_handing_back()) {
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
