//! Connections for requests that ask for an upgrade (WebSockets): what the endpoint answers is held until all of the
//! request is out.
//!
//! Pingora 0.9.1 drives an exchange by two halves with a pipe between them. The half that has the upstream picks by
//! chance what to do first where both are possible: to read the response, or to take "the request's body is over" from
//! the pipe (`proxy_handle_upstream`, pingora-proxy/src/proxy_h1.rs). If it reads a 101 first, it then takes the end of
//! the request for the end of the tunnel, and closes both connections: a few in a thousand, with an endpoint that
//! answers at once.
//!
//! A socket of our own takes the chance away. From [`Upgrade::begin`] on nothing can be read from it before it was flushed
//! twice: once by `write_request_header`, and once by `finish_body`, which is what becomes of "the body is over"
//! (pingora-core/src/protocols/http/v1/client.rs). Each of them flushes exactly once, and nothing else does, since such
//! a request has no body. That is an order, and not a longer odds: whatever comes first from the network, Pingora can
//! read a 101 only when it has taken the end of the request.

use std::io;
use std::os::fd::RawFd;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::Ordering::{Acquire, Relaxed, Release};
use std::sync::atomic::{AtomicBool, AtomicI32, AtomicU8};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use async_trait::async_trait;
use futures_util::task::AtomicWaker;
use pingora::connectors::L4Connect;
use pingora::protocols::ALPN;
use pingora::protocols::l4::ext::set_tcp_keepalive;
use pingora::protocols::l4::socket::SocketAddr;
use pingora::protocols::l4::stream::Stream;
use pingora::protocols::l4::virt::{VirtualSockOpt, VirtualSocket, VirtualSocketStream};
use pingora::upstreams::peer::HttpPeer;
use pingora::{Error, ErrorType};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::Sleep;

use super::announce::Announce;
use super::backlog::{Backlog, Lane};
use super::dial::{Dial, Dialled};

/// What holds the answer to one try of a request that asks for an upgrade, and is the tunnel if that is granted.
#[derive(Debug)]
pub struct Upgrade {
    /// How many flushes are to come before anything may be read.
    flushes: AtomicU8,
    reader: AtomicWaker,
    socket: AtomicI32,
    is_granted: AtomicBool,
    /// What goes to the client.
    pub to_client: Lane,
    /// What goes to the upstream.
    pub to_upstream: Lane,
}

/// What [`write_request_header` and `finish_body`](self) do between them.
const FLUSHES: u8 = 2;

const NO_SOCKET: RawFd = -1;

impl Upgrade {
    /// Makes a peer one for a request that asks for an upgrade: by HTTP/1.1 alone, on a connection that no other request
    /// ever has, and that says this first.
    pub fn on(peer: &mut HttpPeer, announce: Option<Announce>) -> Arc<Self> {
        let upgrade = Arc::new(Self {
            flushes: AtomicU8::new(0),
            reader: AtomicWaker::new(),
            socket: AtomicI32::new(NO_SOCKET),
            is_granted: AtomicBool::new(false),
            to_client: Lane::default(),
            to_upstream: Lane::default(),
        });
        if peer.options.alpn == ALPN::H2H1 {
            peer.options.alpn = ALPN::H1;
        }
        // Pingora's pool knows connections by their socket's number, and takes ours for having none.
        peer.group_key = fastrand::u64(..);
        peer.options.idle_timeout = Some(Duration::ZERO);
        let dial = Dial { announce, within: peer.options.connection_timeout };
        peer.options.custom_l4 = Some(Arc::new(Connector { upgrade: Arc::clone(&upgrade), dial }));
        upgrade
    }

    /// The request is about to be sent: what comes back is held until it is out.
    pub fn begin(&self) {
        self.flushes.store(FLUSHES, Release);
    }

    /// The socket, once there is a connection.
    pub fn socket(&self) -> Option<RawFd> {
        Some(self.socket.load(Relaxed)).filter(|socket| *socket != NO_SOCKET)
    }

    /// The endpoint has switched protocols: from here on the two lanes are all there is.
    pub fn grant(&self) {
        self.is_granted.store(true, Release);
    }

    fn is_granted(&self) -> bool {
        self.is_granted.load(Acquire)
    }

    fn is_held(&self) -> bool {
        self.flushes.load(Acquire) > 0
    }

    fn flushed(&self) {
        let before = self.flushes.fetch_update(Release, Acquire, |left| left.checked_sub(1));
        if before == Ok(1) {
            self.reader.wake();
        }
    }
}

/// Makes the connection, and the socket of ours over it.
#[derive(Debug)]
struct Connector {
    upgrade: Arc<Upgrade>,
    dial: Dial,
}

#[async_trait]
impl L4Connect for Connector {
    async fn connect(&self, address: &SocketAddr) -> pingora::Result<Stream> {
        let raw = self.dial.dial(address).await.map_err(|e| match e.etype() {
            ErrorType::SocketError | ErrorType::BindError => Error::because(ErrorType::InternalError, "no socket", e),
            _ => e,
        })?;
        self.upgrade.socket.store(raw.socket(), Relaxed);
        let socket = HeldSocket {
            raw,
            upgrade: Arc::clone(&self.upgrade),
            backlog: Backlog::default(),
            broken: None,
            closing: None,
        };
        Ok(VirtualSocketStream::new(Box::new(socket)).into())
    }
}

/// A socket that gives nothing while its [`Upgrade`] says so, and in a tunnel takes whatever is written.
#[derive(Debug)]
struct HeldSocket {
    raw: Dialled,
    upgrade: Arc<Upgrade>,
    backlog: Backlog,
    /// Why nothing can be written any more, to be told to whoever writes next.
    broken: Option<io::Error>,
    closing: Option<Pin<Box<Sleep>>>,
}

/// How long an end may take to read the rest when the other is gone.
const LAST_READ: Duration = Duration::from_secs(30);

impl HeldSocket {
    /// Goes on with what is left to be written. There may be something to read from an endpoint that reads no more.
    fn drain(&mut self, cx: &mut Context<'_>) {
        match self.backlog.poll_drain(self.raw.pinned(), cx) {
            Poll::Pending => return,
            Poll::Ready(Ok(())) => {}
            Poll::Ready(Err(error)) => {
                self.backlog.clear();
                self.broken = Some(error);
            }
        }
        self.upgrade.to_upstream.set_stalled(false);
    }
}

impl Drop for HeldSocket {
    fn drop(&mut self) {
        // The number may be another socket's from now on.
        self.upgrade.socket.store(NO_SOCKET, Relaxed);
    }
}

impl AsyncRead for HeldSocket {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if this.upgrade.is_held() {
            this.upgrade.reader.register(cx.waker());
            // It may have ended meanwhile.
            if this.upgrade.is_held() {
                return Poll::Pending;
            }
        }
        if !this.backlog.is_empty() {
            this.drain(cx);
        }
        ready!(this.upgrade.to_client.poll_free(cx));
        this.raw.pinned().poll_read(cx, buf)
    }
}

impl AsyncWrite for HeldSocket {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        if !this.upgrade.is_granted() {
            return this.raw.pinned().poll_write(cx, buf);
        }
        if let Some(error) = this.broken.take() {
            return Poll::Ready(Err(error));
        }
        let taken = this.backlog.write(this.raw.pinned(), cx, buf);
        this.upgrade.to_upstream.set_stalled(!this.backlog.is_empty());
        Poll::Ready(taken)
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        ready!(this.raw.pinned().poll_flush(cx))?;
        this.upgrade.flushed();
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if !this.backlog.is_empty() {
            let limit = this.closing.get_or_insert_with(|| Box::pin(tokio::time::sleep(LAST_READ)));
            if limit.as_mut().poll(cx).is_pending() {
                ready!(this.backlog.poll_drain(this.raw.pinned(), cx))?;
            }
        }
        this.raw.pinned().poll_shutdown(cx)
    }
}

impl VirtualSocket for HeldSocket {
    fn set_socket_option(&self, option: VirtualSockOpt) -> io::Result<()> {
        let Dialled::Tcp(stream) = &self.raw else { return Ok(()) };
        match option {
            VirtualSockOpt::NoDelay => stream.set_nodelay(true),
            VirtualSockOpt::KeepAlive(keepalive) => set_tcp_keepalive(stream, &keepalive).map_err(io::Error::other),
            _ => Ok(()),
        }
    }
}
