//! A client that sends exactly what it is told, and tells exactly what came back.

use std::collections::VecDeque;
use std::fmt;
use std::io;
use std::pin::pin;

use bytes::Bytes;
use tokio::io::{AsyncWriteExt, ReadHalf, WriteHalf};

use super::http1::{Framing, Headers, Reader, Response, encoded};
use super::{Address, Stream, within, within_time};

/// Whom to ask. Cheap to clone; holds no connection.
#[derive(Debug, Clone)]
pub struct Client {
    address: Address,
}

impl Client {
    /// Where it connects to.
    pub fn address(&self) -> &Address {
        &self.address
    }

    /// Whoever listens there.
    pub fn to(address: impl Into<Address>) -> Self {
        Self { address: address.into() }
    }

    /// A request, to be sent by [`Request::send`] on a connection of its own.
    pub fn request(&self, method: &str, target: &str) -> Request {
        Request { client: Some(self.clone()), ..Request::new(method, target) }
    }

    /// A `GET` on a connection of its own.
    pub fn get(&self, target: &str) -> Request {
        self.request("GET", target)
    }

    /// A `POST` on a connection of its own.
    pub fn post(&self, target: &str) -> Request {
        self.request("POST", target)
    }

    /// A connection for several requests, or for one in pieces.
    #[track_caller]
    pub fn connect(&self) -> impl Future<Output = Connection> {
        let connecting = within(format!("a connection to {}", self.address), self.try_connect());
        async move { connecting.await.expect("a connection") }
    }

    /// The same where it may fail.
    pub async fn try_connect(&self) -> io::Result<Connection> {
        let host = match &self.address {
            Address::Tcp(address) => address.to_string(),
            Address::Unix(_) => "localhost".into(),
        };
        Ok(Connection::over(Stream::connect(&self.address).await?, &host))
    }

    /// Sends bytes as they are, and gives all that came until the connection was closed or reset.
    #[track_caller]
    pub fn raw(&self, bytes: impl AsRef<[u8]>) -> impl Future<Output = Vec<u8>> {
        let connecting = self.connect();
        within("the connection's end", async move {
            let mut connection = connecting.await;
            // A peer that refuses the first bytes may close before the last.
            connection.write.write_all(bytes.as_ref()).await.ok();
            connection.drain().await
        })
    }
}

/// A request as it is to be sent. Nothing in it is checked or normalised.
#[derive(Debug, Clone)]
pub struct Request {
    client: Option<Client>,
    method: String,
    target: String,
    version: String,
    default_host: bool,
    headers: Vec<(Vec<u8>, Vec<u8>)>,
    body: Option<Bytes>,
    chunks: Option<Vec<Bytes>>,
}

impl Request {
    /// A request for [`Connection::send`].
    pub fn new(method: &str, target: &str) -> Self {
        Self {
            client: None,
            method: method.into(),
            target: target.into(),
            version: "HTTP/1.1".into(),
            default_host: true,
            headers: Vec::new(),
            body: None,
            chunks: None,
        }
    }

    /// Another header, after those before it.
    #[must_use]
    pub fn header(mut self, name: impl AsRef<[u8]>, value: impl AsRef<[u8]>) -> Self {
        self.headers.push((name.as_ref().to_vec(), value.as_ref().to_vec()));
        self
    }

    /// This `Host`, instead of the address that is asked, which stands first otherwise.
    #[must_use]
    pub fn host(self, host: &str) -> Self {
        self.header("host", host)
    }

    /// No `Host` at all.
    #[must_use]
    pub fn no_host(mut self) -> Self {
        self.default_host = false;
        self
    }

    /// Instead of `HTTP/1.1`.
    #[must_use]
    pub fn version(mut self, version: &str) -> Self {
        self.version = version.into();
        self
    }

    /// With its `Content-Length`, unless a header has told a length or coding already.
    #[must_use]
    pub fn body(mut self, body: impl Into<Bytes>) -> Self {
        self.body = Some(body.into());
        self
    }

    /// A body in these chunks, with its `Transfer-Encoding`.
    #[must_use]
    pub fn chunks<B: Into<Bytes>>(mut self, chunks: impl IntoIterator<Item = B>) -> Self {
        self.chunks = Some(chunks.into_iter().map(Into::into).collect());
        self
    }

    /// Sends it on a connection of its own, and waits for the whole response.
    #[track_caller]
    pub fn send(self) -> impl Future<Output = Response> {
        let what = format!("the response to {self}");
        let sending = within(what, self.try_send());
        async move { sending.await.expect("a response") }
    }

    /// The same where there may be no response: an error of kind `UnexpectedEof` or `ConnectionReset` then.
    pub async fn try_send(mut self) -> io::Result<Response> {
        let client = self.client.take().expect("made by a client, or else for `Connection::send`");
        client.try_connect().await?.exchange(&self).await
    }

    fn names(&self, name: &str) -> bool {
        self.headers.iter().any(|(known, _)| known.eq_ignore_ascii_case(name.as_bytes()))
    }

    fn head(&self, host: &str) -> Vec<u8> {
        let mut head = format!("{} {} {}\r\n", self.method, self.target, self.version).into_bytes();
        let mut add = |name: &[u8], value: &[u8]| head.extend([name, b": ", value, b"\r\n"].concat());
        if self.default_host && !self.names("host") {
            add(b"Host", host.as_bytes());
        }
        for (name, value) in &self.headers {
            add(name, value);
        }
        if !self.names("content-length") && !self.names("transfer-encoding") {
            if self.chunks.is_some() {
                add(b"Transfer-Encoding", b"chunked");
            } else if let Some(body) = &self.body {
                add(b"Content-Length", body.len().to_string().as_bytes());
            }
        }
        head.extend_from_slice(b"\r\n");
        head
    }

    fn bytes(&self, host: &str) -> Vec<u8> {
        let mut bytes = self.head(host);
        bytes.extend_from_slice(self.body.as_deref().unwrap_or_default());
        if let Some(chunks) = &self.chunks {
            chunks.iter().for_each(|chunk| bytes.extend(encoded(chunk)));
            bytes.extend_from_slice(b"0\r\n\r\n");
        }
        bytes
    }
}

impl fmt::Display for Request {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.method, self.target)
    }
}

/// One connection, for requests one after the other or in pieces.
#[derive(Debug)]
pub struct Connection {
    read: Reader<ReadHalf<Stream>>,
    write: WriteHalf<Stream>,
    host: String,
    /// Of the requests that have no response yet.
    methods: VecDeque<String>,
    /// Of the response that is being read.
    framing: Framing,
    trailers: Headers,
    /// Whether a request was left unfinished, since its response came first.
    cut: bool,
}

impl Connection {
    /// One by this stream, for requests to this host where they don't say another.
    pub fn over(stream: Stream, host: &str) -> Self {
        let (read, write) = tokio::io::split(stream);
        Self {
            read: Reader::new(read),
            write,
            host: host.to_owned(),
            methods: VecDeque::new(),
            framing: Framing::Length(0),
            trailers: Headers::default(),
            cut: false,
        }
    }

    /// Sends a request whole where no response may come.
    pub async fn try_send(&mut self, request: Request) -> io::Result<Response> {
        within(format!("the response to {request}"), self.exchange(&request)).await
    }

    /// Sends a request whole and waits for its whole response.
    #[track_caller]
    pub fn send(&mut self, request: Request) -> impl Future<Output = Response> {
        assert!(!self.cut, "the request before was not sent to its end");
        let what = format!("the response to {request}");
        let sending = within(what, async move { self.exchange(&request).await });
        async move { sending.await.expect("a response") }
    }

    /// Reads while it writes: a response may come before the request's end, and the rest is not sent then.
    async fn exchange(&mut self, request: &Request) -> io::Result<Response> {
        let bytes = request.bytes(&self.host);
        self.methods.push_back(request.method.clone());
        let Self { read, write, methods, framing, trailers, cut, .. } = self;
        let mut reading = pin!(whole(read, methods, framing, trailers));
        tokio::select! {
            biased;
            _ = write.write_all(&bytes) => {}
            response = &mut reading => {
                *cut = true;
                return response;
            }
        }
        reading.await
    }

    /// Sends only the head of a request, as it says it: a body needs its framing header given.
    pub async fn send_head(&mut self, request: Request) {
        self.methods.push_back(request.method.clone());
        let head = request.head(&self.host);
        self.write(head).await;
    }

    /// A chunk of a chunked body.
    pub async fn send_chunk(&mut self, chunk: impl AsRef<[u8]>) {
        self.write(encoded(chunk.as_ref())).await;
    }

    /// The end of a chunked body.
    pub async fn end_chunks(&mut self) {
        self.write("0\r\n\r\n").await;
    }

    /// Bytes as they are.
    pub async fn write(&mut self, bytes: impl AsRef<[u8]>) {
        self.try_write(bytes).await.expect("bytes written");
    }

    /// The same where the peer may have gone.
    pub async fn try_write(&mut self, bytes: impl AsRef<[u8]>) -> io::Result<()> {
        within("the peer to take bytes", self.write.write_all(bytes.as_ref())).await
    }

    /// The head of the next response, with the 1xx before it; its body is for [`read_some`](Self::read_some).
    pub async fn read_head(&mut self) -> Response {
        let reading = head(&mut self.read, &mut self.methods, &mut self.framing);
        within("a response's head", reading).await.expect("a response's head")
    }

    /// The next interim response, or the head of the final one; to see one before the rest comes.
    pub async fn read_interim(&mut self) -> Response {
        let head = within("an interim response", self.read.head()).await;
        Response::parse(&head.expect("a head").expect("a head")).expect("a head")
    }

    /// The next bytes of the body that is being read; `None` at its end.
    pub async fn read_some(&mut self) -> Option<Bytes> {
        self.try_read_some().await.expect("more of the body")
    }

    /// The same where the body may be cut.
    pub async fn try_read_some(&mut self) -> io::Result<Option<Bytes>> {
        within("more of the body", self.read.body(&mut self.framing, u64::MAX, &mut self.trailers)).await
    }

    /// Reads exactly this much of the body that is being read, or of what a tunnel brings.
    pub async fn read_exactly(&mut self, length: usize) -> Vec<u8> {
        let mut bytes = Vec::new();
        while bytes.len() < length {
            let left = (length - bytes.len()) as u64;
            let reading = self.read.body(&mut self.framing, left, &mut self.trailers);
            let piece = within(format!("{left} further bytes"), reading).await.expect("more of the body");
            bytes.extend_from_slice(&piece.expect("more of the body"));
        }
        bytes
    }

    /// Reads the body that is being read to its end and keeps nothing: how long it was, and whether it was whole.
    /// The time is bounded for each piece, not in all.
    pub async fn discard_body(&mut self) -> (u64, bool) {
        let mut length = 0;
        loop {
            match self.try_read_some().await {
                Ok(Some(piece)) => length += piece.len() as u64,
                end => return (length, end.is_ok()),
            }
        }
    }

    /// The next response, whole.
    pub async fn read_response(&mut self) -> Response {
        let reading = whole(&mut self.read, &mut self.methods, &mut self.framing, &mut self.trailers);
        within("a response", reading).await.expect("a response")
    }

    /// All that comes until the peer ends the connection.
    pub async fn read_to_close(&mut self) -> Vec<u8> {
        within("the connection's end", self.drain()).await
    }

    /// The same where that takes longer than others are waited for.
    pub async fn read_to_close_within(&mut self, limit: std::time::Duration) -> Vec<u8> {
        within_time(limit, "the connection's end", self.drain()).await
    }

    async fn drain(&mut self) -> Vec<u8> {
        while matches!(self.read.fill().await, Ok(1..)) {}
        self.read.buffer.split().to_vec()
    }

    /// Sends nothing further, but goes on reading.
    pub async fn half_close(&mut self) {
        self.write.shutdown().await.expect("an end of sending");
    }

    /// Ends the connection by a reset. Dropping it ends it in order.
    pub fn reset(self) {
        self.read.inner.unsplit(self.write).reset();
    }
}

type Read = Reader<ReadHalf<Stream>>;

async fn head(read: &mut Read, methods: &mut VecDeque<String>, framing: &mut Framing) -> io::Result<Response> {
    let mut interim = Vec::new();
    loop {
        let none = || io::Error::new(io::ErrorKind::UnexpectedEof, "the connection ended before a response");
        let mut response = Response::parse(&read.head().await?.ok_or_else(none)?)?;
        if (100..200).contains(&response.status) && response.status != 101 {
            interim.push(response);
            continue;
        }
        let method = methods.pop_front().unwrap_or_default();
        *framing = Framing::of_response(&method, response.status, &response.headers);
        response.interim = interim;
        return Ok(response);
    }
}

async fn whole(
    read: &mut Read,
    methods: &mut VecDeque<String>,
    framing: &mut Framing,
    trailers: &mut Headers,
) -> io::Result<Response> {
    let mut response = head(read, methods, framing).await?;
    if response.status == 101 {
        return Ok(response);
    }
    loop {
        match read.body(framing, u64::MAX, trailers).await {
            Ok(Some(piece)) => response.body.extend_from_slice(&piece),
            Ok(None) => break,
            Err(error) => {
                response.broken = Some(error.kind());
                break;
            }
        }
    }
    response.trailers = std::mem::take(trailers);
    Ok(response)
}
