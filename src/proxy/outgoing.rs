//! What is written to a client: out as soon as nothing more comes at once, and never waited for in a tunnel.
//!
//! Pingora leaves a response with a `Content-Length` in its buffer until that is full or the response is whole
//! (`do_write_body`, pingora-core/src/protocols/http/v1/body.rs), so the first bytes of one that comes slowly would
//! wait for the last. But while it waits for the upstream it polls the client's side for reading, too
//! (`read_body_or_idle`): what is left in the buffer then goes out. A response that is there at once is written whole
//! before that, and costs no system call more.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::AsyncWrite;

use crate::upstream::{Backlog, Upgrade};

/// What was written to a client's stream and is not out yet.
#[derive(Debug, Default)]
pub(super) struct Outgoing {
    /// Of a tunnel.
    backlog: Backlog,
    /// Whether the stream may have something in its buffer.
    is_unflushed: bool,
    /// Whether nobody will read while a response is written, so that each piece is to go out at once.
    is_eager: bool,
}

impl Outgoing {
    /// Writes; in a tunnel all of the first piece is taken.
    pub(super) fn poll_write<W: AsyncWrite + Unpin>(
        &mut self,
        stream: &mut W,
        tunnel: Option<&Upgrade>,
        cx: &mut Context<'_>,
        pieces: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.is_unflushed = true;
        if let Some(tunnel) = tunnel {
            let bytes = pieces.iter().find(|piece| !piece.is_empty()).map_or(&[][..], |piece| piece);
            let taken = self.backlog.write(Pin::new(stream), cx, bytes);
            tunnel.to_client.set_stalled(!self.backlog.is_empty());
            return Poll::Ready(taken);
        }
        let taken = match pieces {
            [bytes] => ready!(Pin::new(&mut *stream).poll_write(cx, bytes)),
            _ => ready!(Pin::new(&mut *stream).poll_write_vectored(cx, pieces)),
        }?;
        if self.is_eager {
            // What does not go out now does with the next piece.
            self.is_unflushed = Pin::new(stream).poll_flush(cx)?.is_pending();
        }
        Poll::Ready(Ok(taken))
    }

    /// Flushes; in a tunnel as far as that goes.
    pub(super) fn poll_flush<W: AsyncWrite + Unpin>(
        &mut self,
        stream: &mut W,
        tunnel: Option<&Upgrade>,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<()>> {
        if tunnel.is_none() {
            ready!(Pin::new(stream).poll_flush(cx))?;
            self.is_unflushed = false;
            return Poll::Ready(Ok(()));
        }
        Poll::Ready(match self.poll_out(stream, cx) {
            Poll::Ready(done) => done,
            Poll::Pending => Ok(()),
        })
    }

    /// Before the client is read from: lets out what is left, and waits where the other end of a tunnel takes nothing.
    pub(super) fn poll_turn<W: AsyncWrite + Unpin>(
        &mut self,
        stream: &mut W,
        tunnel: Option<&Upgrade>,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<()>> {
        let is_out = !self.is_unflushed || self.poll_out(stream, cx)?.is_ready();
        let Some(tunnel) = tunnel else { return Poll::Ready(Ok(())) };
        if is_out {
            tunnel.to_client.set_stalled(false);
        }
        tunnel.to_upstream.poll_free(cx).map(Ok)
    }

    /// The client was read from. Pingora asks for a single byte where it only waits for the client to leave; if one
    /// comes, it is of the next request, and it does not read any further before the response is out.
    pub(super) fn read(&mut self, room: usize, came: usize) {
        self.is_eager = room == 1 && came == 1;
    }

    /// Ready once all is out.
    pub(super) fn poll_out<W: AsyncWrite + Unpin>(
        &mut self,
        stream: &mut W,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<()>> {
        ready!(self.backlog.poll_drain(Pin::new(&mut *stream), cx))?;
        ready!(Pin::new(stream).poll_flush(cx))?;
        self.is_unflushed = false;
        Poll::Ready(Ok(()))
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;

    use super::*;

    /// Counts what would be system calls, and takes only so much.
    #[derive(Default)]
    struct Counted {
        written: Vec<u8>,
        flushes: usize,
        room: usize,
    }

    impl AsyncWrite for Counted {
        fn poll_write(mut self: Pin<&mut Self>, _: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
            let taken = bytes.len().min(self.room);
            if taken == 0 {
                return Poll::Pending;
            }
            self.room -= taken;
            self.written.extend_from_slice(&bytes[..taken]);
            Poll::Ready(Ok(taken))
        }

        fn poll_flush(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            self.flushes += 1;
            Poll::Ready(Ok(()))
        }

        fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }
    }

    #[tokio::test]
    async fn reading_flushes_only_what_was_written_and_not_flushed() {
        let (mut out, mut stream) = (Outgoing::default(), Counted { room: 100, ..Counted::default() });
        poll_fn(|cx| out.poll_turn(&mut stream, None, cx)).await.unwrap();
        assert_eq!(stream.flushes, 0);
        poll_fn(|cx| out.poll_write(&mut stream, None, cx, &[IoSlice::new(b"whole")])).await.unwrap();
        poll_fn(|cx| out.poll_flush(&mut stream, None, cx)).await.unwrap();
        poll_fn(|cx| out.poll_turn(&mut stream, None, cx)).await.unwrap();
        assert_eq!(stream.flushes, 1, "it was out already");
        poll_fn(|cx| out.poll_write(&mut stream, None, cx, &[IoSlice::new(b"half")])).await.unwrap();
        poll_fn(|cx| out.poll_turn(&mut stream, None, cx)).await.unwrap();
        poll_fn(|cx| out.poll_turn(&mut stream, None, cx)).await.unwrap();
        assert_eq!(stream.flushes, 2);
    }

    #[tokio::test]
    async fn in_a_tunnel_a_write_is_taken_whole_and_its_source_waits() {
        let mut peer = pingora::upstreams::peer::HttpPeer::new("127.0.0.1:1", false, String::new());
        let tunnel = Upgrade::on(&mut peer, None);
        let (mut out, mut stream) = (Outgoing::default(), Counted { room: 2, ..Counted::default() });
        for piece in [&b"abc"[..], b"def"] {
            let mut left = piece;
            while !left.is_empty() {
                let taken = poll_fn(|cx| out.poll_write(&mut stream, Some(&tunnel), cx, &[IoSlice::new(left)])).await;
                left = &left[taken.unwrap()..];
            }
        }
        let is_free = || poll_fn(|cx| Poll::Ready(tunnel.to_client.poll_free(cx).is_ready()));
        assert!(!is_free().await);
        poll_fn(|cx| out.poll_flush(&mut stream, Some(&tunnel), cx)).await.unwrap();
        stream.room = 100;
        poll_fn(|cx| out.poll_turn(&mut stream, Some(&tunnel), cx)).await.unwrap();
        assert!(is_free().await);
        assert_eq!(stream.written, b"abcdef");
    }
}
