//! A client of HTTP/2 that is well-behaved, and one that sends whatever frames it is told.

use std::time::Duration;

use bytes::Bytes;
use h2::client::{ResponseFuture, SendRequest};
use h2::{Reason, RecvStream, SendStream};
use http::{HeaderMap, Method, Request, Response, StatusCode};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinHandle;

use super::{Address, within};

/// A well-behaved client on one connection.
pub struct Http2 {
    send: SendRequest<Bytes>,
    driver: JoinHandle<Result<(), h2::Error>>,
}

/// What came back.
#[derive(Debug)]
pub struct Answer {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub body: Vec<u8>,
    pub trailers: Option<HeaderMap>,
    /// Why it ended early, if it did.
    pub broken: Option<h2::Error>,
}

impl Http2 {
    /// Connects by prior knowledge.
    pub async fn connect(address: &Address) -> Self {
        Self::connect_by(address, &h2::client::Builder::new()).await
    }

    /// The same with settings of the test's.
    pub async fn connect_by(address: &Address, builder: &h2::client::Builder) -> Self {
        let Address::Tcp(address) = address else { panic!("a TCP address") };
        let stream = within("a connection", TcpStream::connect(address)).await.expect("a connection");
        stream.set_nodelay(true).expect("no delay");
        Self::over(stream, builder).await
    }

    /// The same over a connection that is there.
    pub async fn over<S>(stream: S, builder: &h2::client::Builder) -> Self
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let (send, connection) = within("HTTP/2", builder.handshake(stream)).await.expect("HTTP/2");
        Self { send, driver: tokio::spawn(connection) }
    }

    /// A `GET`.
    pub async fn get(&mut self, target: &str) -> Answer {
        self.send(request(Method::GET, target), "").await
    }

    /// Sends a request whole, and reads its answer whole.
    pub async fn send(&mut self, request: Request<()>, body: impl Into<Bytes>) -> Answer {
        within("an answer", self.try_send(request, body)).await.expect("an answer")
    }

    /// The same, and says why nothing came.
    pub async fn try_send(&mut self, request: Request<()>, body: impl Into<Bytes>) -> Result<Answer, h2::Error> {
        let body = body.into();
        let (response, mut sender) = self.begin(request, body.is_empty()).await?;
        if !body.is_empty() {
            send_all(&mut sender, body, true).await.ok();
        }
        Answer::read(response.await?).await
    }

    /// Sends a head.
    pub async fn begin(
        &mut self,
        request: Request<()>,
        end: bool,
    ) -> Result<(ResponseFuture, SendStream<Bytes>), h2::Error> {
        std::future::poll_fn(|cx| self.send.poll_ready(cx)).await?;
        self.send.send_request(request, end)
    }

    /// How the connection ended, without the client's letting go of it.
    pub async fn ended(&mut self) -> Result<(), h2::Error> {
        within("the connection to end", &mut self.driver).await.expect("no panic")
    }
}

impl Drop for Http2 {
    fn drop(&mut self) {
        self.driver.abort();
    }
}

/// A request to `door.test`.
pub fn request(method: Method, target: &str) -> Request<()> {
    Request::builder().method(method).uri(format!("http://door.test{target}")).body(()).expect("a request")
}

/// Sends a piece of a body as the windows allow.
pub async fn send_all(sender: &mut SendStream<Bytes>, mut data: Bytes, end: bool) -> Result<(), h2::Error> {
    while !data.is_empty() {
        sender.reserve_capacity(data.len());
        let room = match sender.capacity() {
            0 => match std::future::poll_fn(|cx| sender.poll_capacity(cx)).await {
                Some(room) => room?,
                None => return Ok(()),
            },
            room => room,
        };
        let piece = data.split_to(room.min(data.len()));
        sender.send_data(piece, end && data.is_empty())?;
    }
    Ok(())
}

impl Answer {
    pub async fn read(response: Response<RecvStream>) -> Result<Self, h2::Error> {
        let (head, mut stream) = response.into_parts();
        let (mut body, mut broken) = (Vec::new(), None);
        while let Some(data) = stream.data().await {
            match data {
                Ok(data) => {
                    stream.flow_control().release_capacity(data.len())?;
                    body.extend_from_slice(&data);
                }
                Err(e) => {
                    broken = Some(e);
                    break;
                }
            }
        }
        let trailers = if broken.is_none() { stream.trailers().await? } else { None };
        Ok(Self { status: head.status, headers: head.headers, body, trailers, broken })
    }

    pub fn text(&self) -> &str {
        std::str::from_utf8(&self.body).expect("text")
    }

    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(|value| value.to_str().expect("text"))
    }
}

/// A frame as it was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Frame {
    pub kind: u8,
    pub flags: u8,
    pub stream: u32,
    pub payload: Vec<u8>,
}

pub const DATA: u8 = 0;
pub const HEADERS: u8 = 1;
pub const PRIORITY: u8 = 2;
pub const RST_STREAM: u8 = 3;
pub const SETTINGS: u8 = 4;
pub const PUSH_PROMISE: u8 = 5;
pub const PING: u8 = 6;
pub const GOAWAY: u8 = 7;
pub const WINDOW_UPDATE: u8 = 8;
pub const CONTINUATION: u8 = 9;

pub const END_STREAM: u8 = 1;
pub const ACK: u8 = 1;
pub const END_HEADERS: u8 = 4;
pub const PADDED: u8 = 8;
pub const PRIORITY_FLAG: u8 = 0x20;

pub const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// The bytes of a frame.
pub fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let mut bytes = (u32::try_from(payload.len()).expect("a frame")).to_be_bytes()[1..].to_vec();
    bytes.extend([kind, flags]);
    bytes.extend(stream.to_be_bytes());
    bytes.extend(payload);
    bytes
}

/// Header fields, each literal and not indexed (RFC 7541, 6.2.2).
pub fn fields(fields: &[(&str, &str)]) -> Vec<u8> {
    let mut block = Vec::new();
    for (name, value) in fields {
        block.push(0);
        for text in [name, value] {
            length(&mut block, text.len());
            block.extend(text.as_bytes());
        }
    }
    block
}

/// A length of seven bits, or of as many more as it needs (RFC 7541, 5.1).
fn length(block: &mut Vec<u8>, length: usize) {
    let Some(mut rest) = length.checked_sub(127) else {
        return block.push(u8::try_from(length).expect("seven bits"));
    };
    block.push(127);
    while rest >= 128 {
        block.push(0x80 | u8::try_from(rest & 127).expect("seven bits"));
        rest >>= 7;
    }
    block.push(u8::try_from(rest).expect("seven bits"));
}

/// The fields of a good `GET /`.
pub fn good() -> Vec<u8> {
    asking("GET", &[])
}

/// The fields of a good request, and more.
pub fn asking(method: &str, more: &[(&str, &str)]) -> Vec<u8> {
    let pseudo = [(":method", method), (":scheme", "http"), (":path", "/"), (":authority", "door.test")];
    fields(&[&pseudo, more].concat())
}

/// A client that sends whatever frames it is told.
pub struct Frames {
    stream: TcpStream,
    buffer: Vec<u8>,
}

/// How a connection ended, or what came on a stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Came {
    /// A GOAWAY with this code, and the connection was closed.
    Goaway(Reason),
    /// The connection was closed without a word.
    Closed,
    /// RST_STREAM with this code.
    Reset(Reason),
    /// A head of a response.
    Answer,
}

impl Frames {
    /// Connects, and sends nothing.
    pub async fn connect(address: &Address) -> Self {
        let Address::Tcp(address) = address else { panic!("a TCP address") };
        let stream = within("a connection", TcpStream::connect(address)).await.expect("a connection");
        stream.set_nodelay(true).expect("no delay");
        Self { stream, buffer: Vec::new() }
    }

    /// Connects, and sends a preface and SETTINGS.
    pub async fn greeted(address: &Address) -> Self {
        let mut frames = Self::connect(address).await;
        frames.write(PREFACE).await;
        frames.send(SETTINGS, 0, 0, &[]).await;
        frames
    }

    /// Writes bytes; a door that has closed the connection is no failure.
    pub async fn write(&mut self, bytes: &[u8]) {
        self.try_write(bytes).await.ok();
    }

    pub async fn try_write(&mut self, bytes: &[u8]) -> std::io::Result<()> {
        within("bytes to be taken", self.stream.write_all(bytes)).await
    }

    pub async fn send(&mut self, kind: u8, flags: u8, stream: u32, payload: &[u8]) {
        self.write(&frame(kind, flags, stream, payload)).await;
    }

    /// The next frame; `None` at the end.
    pub async fn next(&mut self) -> Option<Frame> {
        within("a frame", self.read()).await
    }

    /// The same, or `None` if there is none for so long.
    pub async fn next_within(&mut self, limit: Duration) -> Option<Option<Frame>> {
        tokio::time::timeout(limit, self.read()).await.ok()
    }

    async fn read(&mut self) -> Option<Frame> {
        loop {
            if let Some(frame) = self.take() {
                return Some(frame);
            }
            match self.stream.read_buf(&mut self.buffer).await {
                Ok(0) | Err(_) => return None,
                Ok(_) => {}
            }
        }
    }

    fn take(&mut self) -> Option<Frame> {
        let [a, b, c, kind, flags, s @ ..] = *self.buffer.first_chunk::<9>()?;
        let end = 9 + u32::from_be_bytes([0, a, b, c]) as usize;
        let payload = self.buffer.get(9..end)?.to_vec();
        self.buffer.drain(..end);
        Some(Frame { kind, flags, stream: u32::from_be_bytes(s), payload })
    }

    /// The next frame of this kind.
    pub async fn next_of(&mut self, kind: u8) -> Option<Frame> {
        loop {
            let frame = self.next().await?;
            if frame.kind == kind {
                return Some(frame);
            }
        }
    }

    /// What comes first of all that tells something.
    pub async fn outcome(&mut self) -> Came {
        loop {
            let Some(frame) = self.next().await else { return Came::Closed };
            match frame.kind {
                GOAWAY => return Came::Goaway(code(&frame.payload[4..8])),
                RST_STREAM => return Came::Reset(code(&frame.payload)),
                HEADERS => return Came::Answer,
                _ => {}
            }
        }
    }

    /// Whether the connection still works: a PING is answered.
    pub async fn works(&mut self) -> bool {
        self.send(PING, 0, 0, b"are you?").await;
        loop {
            match self.next().await {
                Some(frame) if frame.kind == PING && frame.flags == ACK => return true,
                Some(frame) if frame.kind == GOAWAY => return false,
                Some(_) => {}
                None => return false,
            }
        }
    }
}

/// An error code.
pub fn code(bytes: &[u8]) -> Reason {
    u32::from_be_bytes(bytes.try_into().expect("four bytes")).into()
}
