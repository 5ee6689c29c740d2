//! What tests are made of: upstreams that do as a script says, a client that sends exactly what it is told, and a wire
//! to cut between the two.
//!
//! ```ignore
//! let api = Upstream::new()
//!     .on("/users/7", reply(200).header("x-made-by", "users").body("seven"))
//!     .on("POST /users", [reply(503), reply(201)]) // in turn
//!     .on("/events", reply(200).chunk("one").wait(&gate).chunk("two"))
//!     .on("/broken", reply(200).content_length(100).body("short"))
//!     .start()
//!     .await;
//! let response = Client::to(api.address()).get("/users/7").header("accept", "*/*").send().await;
//! assert_eq!((response.status, response.text()), (200, "seven"));
//! assert_eq!(api.last().header("accept"), Some("*/*"));
//! ```
//!
//! Nothing sleeps: a test waits for what it needs to have happened (`api.wait_for_requests(2)`, `gate.reached()`,
//! `api.wait_closed(1)`), and everything that is awaited fails by name after [`PATIENCE`]. What was started ends with
//! the value that stands for it. Only loopback addresses and temporary Unix sockets are used.

#![allow(dead_code, unused_imports, reason = "a tool box: no test uses all of it")]

pub mod announced;
pub mod client;
pub mod dns;
pub mod gateway;
pub mod grpc;
pub mod http1;
pub mod http2;
pub mod logged;
pub mod pebble;
mod peer;
pub mod pki;
pub mod redis;
pub mod script;
pub mod secure;
pub mod tls;
pub mod upstream;
pub mod who;
pub mod wire;

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::panic::Location;
use std::path::PathBuf;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream, UnixListener, UnixStream};
use tokio_rustls::client::TlsStream;

pub use announced::Announced;
pub use client::{Client, Connection, Request};
pub use gateway::Gateway;
pub use grpc::{Call, GrpcServer, GrpcUpstream};
pub use http1::{Headers, Response, Seen};
pub use pki::{Ca, FAR, Identity};
pub use script::{
    Gate, Reply, Script, echo, garbage, mirror, raw, raw_then_close, raw_then_reset, reply, silence, upgrade,
};
pub use secure::Secure;
pub use tls::{TlsServer, TlsUpstream};
pub use upstream::{Closed, Port, Server, Upstream};
pub use wire::{Direction, Wire};

/// How long anything may take before the test fails.
pub const PATIENCE: Duration = Duration::from_secs(10);

/// Waits for `future`, and fails the test by saying `what` did not happen, and where that was awaited.
#[track_caller]
pub fn within<F: Future>(what: impl fmt::Display, future: F) -> impl Future<Output = F::Output> {
    within_time(PATIENCE, what, future)
}

/// The same with another limit.
#[track_caller]
pub fn within_time<F: Future>(limit: Duration, what: impl fmt::Display, future: F) -> impl Future<Output = F::Output> {
    let place = Location::caller();
    async move {
        match tokio::time::timeout(limit, future).await {
            Ok(output) => output,
            Err(_) => panic!("{place}: waited {limit:?} for {what}"),
        }
    }
}

/// Waits until something holds that nobody tells of, and so is looked at time and again.
#[track_caller]
pub fn until(what: impl fmt::Display, mut holds: impl FnMut() -> bool) -> impl Future<Output = ()> {
    within(what, async move {
        while !holds() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    })
}

/// Where somebody listens. Displayed as a configuration has it: `127.0.0.1:9101` or `unix:/tmp/x.sock`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Address {
    /// A TCP port.
    Tcp(SocketAddr),
    /// A Unix socket.
    Unix(PathBuf),
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(address) => address.fmt(f),
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}

impl From<SocketAddr> for Address {
    fn from(address: SocketAddr) -> Self {
        Self::Tcp(address)
    }
}

impl From<PathBuf> for Address {
    fn from(path: PathBuf) -> Self {
        Self::Unix(path)
    }
}

impl From<&Address> for Address {
    fn from(address: &Address) -> Self {
        address.clone()
    }
}

/// A connection of any kind.
#[derive(Debug)]
pub enum Stream {
    Tcp(TcpStream),
    Unix(UnixStream),
    Tls(Box<TlsStream<TcpStream>>),
}

impl Stream {
    /// Connects.
    pub async fn connect(address: &Address) -> io::Result<Self> {
        match address {
            Address::Tcp(address) => {
                let stream = TcpStream::connect(address).await?;
                stream.set_nodelay(true)?;
                Ok(Self::Tcp(stream))
            }
            Address::Unix(path) => UnixStream::connect(path).await.map(Self::Unix),
        }
    }

    /// Ends the connection by a reset rather than an orderly end. A Unix socket knows none and is just closed.
    pub fn reset(self) {
        let tcp = match &self {
            Self::Tcp(stream) => stream,
            Self::Tls(stream) => stream.get_ref().0,
            Self::Unix(_) => return,
        };
        // Fails only where the peer was faster.
        tcp.set_zero_linger().ok();
    }

    /// Resolves when the peer has ended its side, even while unread bytes lie before that end.
    pub async fn peer_closed(&self) {
        loop {
            let ready = match self {
                Self::Tcp(stream) => stream.ready(tokio::io::Interest::READABLE).await,
                Self::Unix(stream) => stream.ready(tokio::io::Interest::READABLE).await,
                Self::Tls(stream) => stream.get_ref().0.ready(tokio::io::Interest::READABLE).await,
            };
            match ready {
                Ok(ready) if !ready.is_read_closed() => {}
                _ => return,
            }
            // Unread bytes make a socket ready for ever, so the end behind them can only be asked for.
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }
}

impl AsyncRead for Stream {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Tcp(stream) => Pin::new(stream).poll_read(cx, buf),
            Self::Unix(stream) => Pin::new(stream).poll_read(cx, buf),
            Self::Tls(stream) => Pin::new(stream).poll_read(cx, buf),
        }
    }
}

impl AsyncWrite for Stream {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Tcp(stream) => Pin::new(stream).poll_write(cx, bytes),
            Self::Unix(stream) => Pin::new(stream).poll_write(cx, bytes),
            Self::Tls(stream) => Pin::new(stream).poll_write(cx, bytes),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Tcp(stream) => Pin::new(stream).poll_flush(cx),
            Self::Unix(stream) => Pin::new(stream).poll_flush(cx),
            Self::Tls(stream) => Pin::new(stream).poll_flush(cx),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Tcp(stream) => Pin::new(stream).poll_shutdown(cx),
            Self::Unix(stream) => Pin::new(stream).poll_shutdown(cx),
            Self::Tls(stream) => Pin::new(stream).poll_shutdown(cx),
        }
    }
}

/// A bound socket of either kind.
#[derive(Debug)]
pub enum Listener {
    Tcp(TcpListener),
    Unix(UnixListener),
}

impl Listener {
    /// On a loopback port that the kernel chooses.
    pub async fn tcp() -> (Self, Address) {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a loopback port");
        let address = listener.local_addr().expect("its address").into();
        (Self::Tcp(listener), address)
    }

    /// The next connection.
    pub async fn accept(&self) -> io::Result<Stream> {
        match self {
            Self::Tcp(listener) => {
                let (stream, _) = listener.accept().await?;
                stream.set_nodelay(true)?;
                Ok(Stream::Tcp(stream))
            }
            Self::Unix(listener) => listener.accept().await.map(|(stream, _)| Stream::Unix(stream)),
        }
    }
}
