//! Upstreams that no script of HTTP/1 can play: they speak HTTP/2, break it, drip, or never accept.

use std::time::Duration;

use bytes::Bytes;
use h2::Reason;
use socket2::{Domain, Socket, Type};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::oneshot;
use tokio::task::JoinSet;

use crate::support::*;

/// Serves until it is dropped.
pub struct Peer {
    pub address: Address,
    _serving: JoinSet<()>,
}

impl Peer {
    async fn new<F>(mut serve: impl FnMut(TcpStream) -> F + Send + 'static) -> Self
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a loopback port");
        let address = listener.local_addr().expect("its address").into();
        let mut serving = JoinSet::new();
        serving.spawn(async move {
            let mut tasks = JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                stream.set_nodelay(true).expect("a TCP socket");
                tasks.spawn(serve(stream));
            }
        });
        Self { address, _serving: serving }
    }

    /// Answers whatever comes first with these bytes, and closes.
    pub async fn answering(bytes: &'static [u8]) -> Self {
        Self::new(move |mut stream| async move {
            // A door that has gone needs no answer.
            stream.read_buf(&mut Vec::with_capacity(4096)).await.ok();
            say_last(stream, bytes).await;
        })
        .await
    }

    /// Answers a request by HTTP/2 with these frames, and closes.
    pub async fn answering_http2(frames: &'static [&'static [u8]]) -> Self {
        Self::new(move |mut stream| async move {
            let mut come = Vec::new();
            while !has_request(&come) && matches!(stream.read_buf(&mut come).await, Ok(1..)) {}
            say_last(stream, &frames.concat()).await;
        })
        .await
    }

    /// Sends the beginning, and then one byte after the other, for ever.
    pub async fn dripping(beginning: &'static str) -> Self {
        Self::new(move |mut stream| async move {
            stream.read_buf(&mut Vec::with_capacity(4096)).await.ok();
            let mut next = stream.write_all(beginning.as_bytes()).await;
            let mut every = tokio::time::interval(Duration::from_millis(30));
            while next.is_ok() {
                every.tick().await;
                next = stream.write_all(b"x").await;
            }
        })
        .await
    }

    /// HTTP/2 without TLS, where each request is reset so, or never answered.
    pub async fn http2(reset: Option<Reason>) -> Self {
        Self::new(move |stream| async move {
            // How it ends is what the door is asked.
            serve_http2(stream, reset).await.ok();
        })
        .await
    }

    /// The same, but the first request gets a head and a piece of the body, and is reset once `cue` is given.
    pub async fn http2_within_body(reset: Reason, cue: oneshot::Receiver<()>) -> Self {
        let mut cue = Some(cue);
        Self::new(move |stream| {
            let cue = cue.take();
            async move {
                if let Some(cue) = cue {
                    serve_piece(stream, reset, cue).await.ok();
                }
            }
        })
        .await
    }
}

async fn say_last(mut stream: TcpStream, bytes: &[u8]) {
    stream.write_all(bytes).await.ok();
    stream.shutdown().await.ok();
    while matches!(stream.read(&mut [0; 4096]).await, Ok(1..)) {}
}

/// Whether there is a whole frame of headers behind the preface (RFC 9113, 3.4 and 4.1).
fn has_request(bytes: &[u8]) -> bool {
    let mut rest = bytes.get(24..).unwrap_or_default();
    while let [a, b, c, kind, ..] = *rest {
        let length = usize::from(a) << 16 | usize::from(b) << 8 | usize::from(c);
        let Some(next) = rest.get(9 + length..) else { return false };
        if kind == 1 {
            return true;
        }
        rest = next;
    }
    false
}

async fn serve_http2(stream: TcpStream, reset: Option<Reason>) -> Result<(), h2::Error> {
    let mut connection = h2::server::handshake(stream).await?;
    let mut held = Vec::new();
    while let Some(request) = connection.accept().await {
        let (request, mut respond) = request?;
        reset.into_iter().for_each(|reason| respond.send_reset(reason));
        held.push((request, respond));
    }
    Ok(())
}

async fn serve_piece(stream: TcpStream, reset: Reason, cue: oneshot::Receiver<()>) -> Result<(), h2::Error> {
    let mut connection = h2::server::handshake(stream).await?;
    let Some(request) = connection.accept().await else { return Ok(()) };
    let (_request, mut respond) = request?;
    let mut body = respond.send_response(http::Response::new(()), false)?;
    body.send_data(Bytes::from_static(b"piece"), false)?;
    // Only while it accepts does it send.
    tokio::select! {
        _ = cue => body.send_reset(reset),
        _ = connection.accept() => {}
    }
    while connection.accept().await.is_some() {}
    Ok(())
}

/// A listener whose queue is full, so that the kernel lets nobody in.
pub struct Full {
    pub address: Address,
    _listener: Socket,
    _queued: Vec<TcpStream>,
}

impl Full {
    pub async fn new() -> Self {
        let listener = Socket::new(Domain::IPV4, Type::STREAM, None).expect("a socket");
        listener.bind(&std::net::SocketAddr::from(([127, 0, 0, 1], 0)).into()).expect("a loopback port");
        listener.listen(0).expect("a listener");
        let address = listener.local_addr().expect("its address").as_socket().expect("an address of IP");
        let mut queued = Vec::new();
        while let Ok(stream) = tokio::time::timeout(Duration::from_millis(200), TcpStream::connect(address)).await {
            queued.push(stream.expect("a connection"));
        }
        Self { address: address.into(), _listener: listener, _queued: queued }
    }
}
