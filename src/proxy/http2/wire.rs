//! A client's HTTP/2 connection on its way through h2: who sends what is seen here, and who does not read.

use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Instant;

use parking_lot::Mutex;
use pingora::protocols::Stream;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::conduct::Conduct;
use super::frames::{FrameHead, Frames, flag, kind};

/// What is seen on a wire by who drives the connection.
#[derive(Debug, Default)]
pub(super) struct Seen {
    /// Whether the client has sent too much that is of no use.
    pub is_flood: bool,
    /// Since when a request's head has been on its way.
    pub head_since: Option<Instant>,
    /// The streams that were begun and not taken up yet.
    pub begun: VecDeque<u32>,
    /// Since when the client has taken nothing of what there is for it.
    pub stalled_since: Option<Instant>,
    /// The stream, once h2 is done with it.
    pub back: Option<Stream>,
}

/// The wire of a connection: passes bytes on, and looks at them.
pub(super) struct Wire {
    stream: Option<Stream>,
    seen: Arc<Mutex<Seen>>,
    conduct: Conduct,
    received: Frames,
    sent: Frames,
    /// Whether the frame that is being received ends a request's head.
    ends_head: bool,
    /// The latest stream that was begun.
    latest: u32,
}

/// What a client begins with (RFC 9113, 3.4).
const PREFACE: &[u8; 24] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

const STREAM: &str = "a stream leaves its wire only when that is dropped";

impl Wire {
    /// A wire, and what is seen on it.
    pub(super) fn new(stream: Stream) -> (Self, Arc<Mutex<Seen>>) {
        let seen = Arc::<Mutex<Seen>>::default();
        let wire = Self {
            stream: Some(stream),
            seen: Arc::clone(&seen),
            conduct: Conduct::new(Instant::now()),
            received: Frames::behind(PREFACE.len()),
            sent: Frames::default(),
            ends_head: false,
            latest: 0,
        };
        (wire, seen)
    }

    fn pinned(&mut self) -> Pin<&mut Stream> {
        Pin::new(self.stream.as_mut().expect(STREAM))
    }

    fn receive(&mut self, bytes: &[u8]) {
        let now = Instant::now();
        let Self { received, conduct, seen, ends_head, latest, .. } = self;
        let mut seen = seen.lock();
        received.see(bytes, |frame| {
            let begins = frame.kind == kind::HEADERS && frame.stream > *latest;
            if begins && !seen.is_flood {
                *latest = frame.stream;
                seen.begun.push_back(frame.stream);
            }
            seen.is_flood |= conduct.received(frame, begins, now);
            note_head(frame, &mut seen, ends_head, now);
        });
        if *ends_head && received.is_whole() {
            seen.head_since = None;
        }
    }

    fn send(&mut self, bytes: &[u8]) {
        let Self { sent, conduct, .. } = self;
        sent.see(bytes, |frame| conduct.sent(frame));
        self.moved();
    }

    fn moved(&self) {
        self.seen.lock().stalled_since = None;
    }

    /// Notes whether anything could be done.
    fn note<T>(&self, result: Poll<T>) -> Poll<T> {
        if result.is_pending() {
            self.seen.lock().stalled_since.get_or_insert_with(Instant::now);
        }
        result
    }
}

/// A head is on its way from its first frame until its last is whole; the next frame of whatever kind ends it, too.
fn note_head(frame: FrameHead, seen: &mut Seen, ends: &mut bool, now: Instant) {
    if matches!(frame.kind, kind::HEADERS | kind::CONTINUATION) {
        *ends = frame.has(flag::END_HEADERS);
        if frame.kind == kind::HEADERS {
            seen.head_since = Some(now);
        }
    } else {
        *ends = false;
        seen.head_since = None;
    }
}

impl Drop for Wire {
    fn drop(&mut self) {
        self.seen.lock().back = self.stream.take();
    }
}

impl AsyncRead for Wire {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<std::io::Result<()>> {
        if self.seen.lock().is_flood {
            // Who drives the connection is about to end it.
            return Poll::Pending;
        }
        let before = buf.filled().len();
        ready!(self.pinned().poll_read(cx, buf))?;
        if let Some(bytes) = buf.filled().get(before..).filter(|bytes| !bytes.is_empty()) {
            self.receive(bytes);
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Wire {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<std::io::Result<usize>> {
        let result = self.pinned().poll_write(cx, buf);
        let written = ready!(self.note(result))?;
        self.send(&buf[..written.min(buf.len())]);
        Poll::Ready(Ok(written))
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[std::io::IoSlice<'_>],
    ) -> Poll<std::io::Result<usize>> {
        let result = self.pinned().poll_write_vectored(cx, bufs);
        let written = ready!(self.note(result))?;
        let mut left = written;
        for buf in bufs {
            let part = left.min(buf.len());
            self.send(&buf[..part]);
            left -= part;
        }
        Poll::Ready(Ok(written))
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.as_ref().expect(STREAM).is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        let result = self.pinned().poll_flush(cx);
        ready!(self.note(result))?;
        self.moved();
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        let result = self.pinned().poll_shutdown(cx);
        self.note(result)
    }
}
