//! Two streams that are copied into each other, where neither may stop the other.
//!
//! Pingora copies a tunnel by two halves, each of which waits until a write was taken before it reads on
//! (`proxy_handle_upstream` and `proxy_handle_downstream`, pingora-proxy/src/proxy_h1.rs). Where an end writes before it
//! reads, as an echo does, all wait for each other for ever once the kernels' buffers are full. So here a write is always
//! taken: what the socket does not take is kept, and where it came from is not read any more until that is gone. No more
//! is kept than Pingora had read by then, which are the few pieces of its pipe, 64 KiB each.

use std::io;
use std::pin::Pin;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering::{AcqRel, Acquire};
use std::task::{Context, Poll, ready};

use bytes::{Buf, BytesMut};
use futures_util::task::AtomicWaker;
use tokio::io::AsyncWrite;

/// One direction of a tunnel.
#[derive(Debug, Default)]
pub struct Lane {
    is_stalled: AtomicBool,
    reader: AtomicWaker,
}

impl Lane {
    /// Whoever writes says whether it has something left.
    pub fn set_stalled(&self, is_stalled: bool) {
        if self.is_stalled.swap(is_stalled, AcqRel) && !is_stalled {
            self.reader.wake();
        }
    }

    /// Whoever reads waits here until what was read before is written.
    pub fn poll_free(&self, cx: &mut Context<'_>) -> Poll<()> {
        if !self.is_stalled.load(Acquire) {
            return Poll::Ready(());
        }
        self.reader.register(cx.waker());
        if self.is_stalled.load(Acquire) { Poll::Pending } else { Poll::Ready(()) }
    }
}

/// What was written to a stream that has not taken it yet.
#[derive(Debug, Default)]
pub struct Backlog(BytesMut);

impl Backlog {
    /// Whether the stream has taken all.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Gives up what is left.
    pub fn clear(&mut self) {
        self.0.clear();
    }

    /// Writes, and keeps what the stream does not take.
    ///
    /// # Errors
    /// The stream's own.
    pub fn write<W: AsyncWrite + ?Sized>(
        &mut self,
        mut stream: Pin<&mut W>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> io::Result<usize> {
        if self.poll_drain(stream.as_mut(), cx)?.is_ready()
            && let Poll::Ready(taken) = stream.poll_write(cx, bytes)
        {
            return taken;
        }
        self.0.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    /// Ready once nothing is left here.
    ///
    /// # Errors
    /// The stream's own.
    pub fn poll_drain<W: AsyncWrite + ?Sized>(
        &mut self,
        mut stream: Pin<&mut W>,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<()>> {
        while !self.0.is_empty() {
            match ready!(stream.as_mut().poll_write(cx, &self.0))? {
                0 => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                taken => self.0.advance(taken),
            }
        }
        Poll::Ready(Ok(()))
    }
}
