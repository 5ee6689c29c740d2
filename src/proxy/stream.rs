//! A client's stream on its way through Pingora: it tells the connection what it sees, and hands itself back.

use std::io::IoSlice;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use async_trait::async_trait;
use pingora::protocols::{
    ALPN, GetProxyDigest, GetSocketDigest, GetTimingDigest, Peek, Shutdown, SocketDigest, Ssl, Stream, TimingDigest,
    UniqueID, UniqueIDType, raw_connect::ProxyDigest, tls::SslDigest,
};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::connection::{Connection, Phase};
use super::outgoing::Outgoing;
use crate::upstream::Upgrade;

/// The client's stream on its way through Pingora.
#[derive(Debug)]
pub struct GuardStream {
    stream: Option<Stream>,
    connection: Arc<Connection>,
    /// Spaces in the request's line so far; `None` when the line is over, or its beginning was not seen.
    spaces: Option<u8>,
    /// How much of a head has come so far.
    head: usize,
    /// A head that is still not whole at this size will not be read further. The head check has the exact limits; this
    /// is what a client can make the door keep.
    largest_head: usize,
    outgoing: Outgoing,
}

impl GuardStream {
    /// Wraps a stream.
    pub fn new(stream: Stream, connection: Arc<Connection>) -> Self {
        let limits = connection.settings().head;
        let largest_head = limits.header_bytes + limits.target_bytes + BEGINNING_OF_BODY;
        Self { stream: Some(stream), connection, spaces: None, head: 0, largest_head, outgoing: Outgoing::default() }
    }

    /// The connection that it belongs to.
    pub fn connection(&self) -> &Arc<Connection> {
        &self.connection
    }

    /// Looks at what a client sends: a head begins, or has become too large.
    fn see(&mut self, bytes: &[u8]) {
        if self.connection.phase() == Phase::Idle {
            // Empty lines before a request are skipped (RFC 9112, 2.2).
            let is_blank = |byte: &u8| matches!(byte, b'\r' | b'\n');
            let Some(start) = bytes.iter().position(|byte| !is_blank(byte)) else {
                self.connection.boundary.saw(bytes);
                return;
            };
            self.spaces = self.connection.boundary.is_clean().then_some(0);
            self.head = 0;
            self.connection.begin_head();
            self.see_line(&bytes[start..]);
        } else {
            self.see_line(bytes);
        }
        self.connection.boundary.saw(bytes);
        if self.connection.phase() == Phase::Head {
            self.head = self.head.saturating_add(bytes.len());
            if self.head > self.largest_head {
                self.connection.refuse(431);
            }
        }
    }

    /// Looks at a request's first line: it has two spaces, or is odd.
    fn see_line(&mut self, bytes: &[u8]) {
        let Some(before) = self.spaces else { return };
        let end = bytes.iter().position(|&byte| byte == b'\n');
        let line = &bytes[..end.unwrap_or(bytes.len())];
        let spaces = line.iter().filter(|&&byte| byte == b' ').count();
        let spaces = before.saturating_add(u8::try_from(spaces).unwrap_or(u8::MAX));
        // What Pingora would escape silently, and the `#` from which on it would drop the target.
        let mended = |byte: &u8| !matches!(byte, b' '..=b'~' | b'\r') || *byte == b'#';
        self.spaces = end.is_none().then_some(spaces);
        if spaces > 2 || line.iter().any(mended) {
            self.connection.mark_odd_line();
        }
    }

    fn stream(&self) -> &Stream {
        self.stream.as_ref().expect(STREAM)
    }

    fn parts(&mut self) -> (&mut Outgoing, &mut Stream, Option<&Upgrade>) {
        (&mut self.outgoing, self.stream.as_mut().expect(STREAM), self.connection.tunnel())
    }
}

/// Room for the beginning of a body that came along with a head.
const BEGINNING_OF_BODY: usize = 48 << 10;

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
        let result = Pin::new(&mut *stream).poll_read(cx, buf);
        if let Some(bytes) = buf.filled().get(before..).filter(|bytes| !bytes.is_empty()) {
            outgoing.read(room, bytes.len());
            self.see(bytes);
            if self.connection.phase() == Phase::Head && self.connection.refused().is_some() {
                return Poll::Ready(Err(std::io::Error::other("the head is too large")));
            }
        }
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
